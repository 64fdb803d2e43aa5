"""What of a head's expressions another head can make, as values and in words."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import enum

import numpy as np

from ..errors import TalkingEyesError
from .transfer import Transfer

_WHOLE, _PART = 0.85, 0.7
"""Shares from which an expression counts as made, and as made in part: below, it reads as another one."""

_ACTIONS = {
    "eyeBlink": "shut its eyes by an expression", "eyeSquint": "squint", "eyeWide": "open its eyes wide",
    "jawForward": "push its jaw forward", "mouthClose": "shut its lips over an open jaw",
    "mouthFunnel": "round its lips", "mouthPucker": "pucker", "mouthLeft": "move its mouth to the left",
    "mouthRight": "move its mouth to the right", "mouthSmile": "smile", "mouthFrown": "pull its mouth's corners down",
    "mouthDimple": "dimple", "mouthStretch": "stretch its mouth", "mouthRollLower": "roll its lower lip in",
    "mouthRollUpper": "roll its upper lip in", "mouthShrugLower": "push its lower lip up",
    "mouthShrugUpper": "push its upper lip up", "mouthPress": "press its lips", "mouthLowerDown": "lower its lower lip",
    "mouthUpperUp": "raise its upper lip", "browDown": "lower its brows", "browInnerUp": "raise its inner brows",
    "browOuterUp": "raise its outer brows", "cheekPuff": "puff its cheeks", "cheekSquint": "raise its cheeks",
    "noseSneer": "wrinkle its nose", "tongueOut": "put out its tongue",
}  # fmt: skip


class Grade(enum.Enum):
    """How well an expression is made."""

    WHOLE = "whole"
    PART = "part"
    HARDLY = "hardly"
    UNSEEN = "unseen"
    """It moves none of the points by which expressions are carried over, and is left out."""


@dataclasses.dataclass(frozen=True)
class ShapeReport:
    """How one expression of the source fared."""

    name: str
    reached: float
    """Share of its motion of the face's points that the target makes, 0 to 1."""
    grade: Grade

    @property
    def words(self) -> str:
        """One sentence for the user, without a full stop."""
        action, percent = _action(self.name), f"{100 * self.reached:.0f} % reached"
        if self.grade is Grade.UNSEEN:
            return f"this head is not asked to {action}: the landmarks do not show it"
        verb = {Grade.WHOLE: "can", Grade.PART: "can in part", Grade.HARDLY: "cannot"}[self.grade]
        return f"this head {verb} {action}: {percent}"


@dataclasses.dataclass(frozen=True)
class TransferReport:
    """How all expressions of a source fared, in the source's order."""

    shapes: tuple[ShapeReport, ...]

    @property
    def reached(self) -> float:
        """Mean share over the expressions that the landmarks show, 0 to 1."""
        seen = [shape.reached for shape in self.shapes if shape.grade is not Grade.UNSEEN]
        return float(np.mean(seen)) if seen else 0.0

    def of(self, *grades: Grade) -> tuple[ShapeReport, ...]:
        """The expressions of these grades, the worst first."""
        return tuple(sorted((s for s in self.shapes if s.grade in grades), key=lambda s: s.reached))

    def sentences(self, most: int = 4) -> tuple[str, ...]:
        """What a user should know: the expressions that this head cannot make, the worst first, ``most`` at most and
        then their number. Left and right are told together where both fail. Empty where all is well."""
        failed = {shape.name: shape for shape in self.of(Grade.HARDLY)}
        told = []
        while failed:
            shape = failed.pop(next(iter(failed)))
            stem, side = _side(shape.name)
            other = failed.pop(stem + {"left": "Right", "right": "Left"}.get(side, ""), None) if side else None
            # Of two sides the worse one is told, for both.
            told.append((shape if other is None else dataclasses.replace(shape, name=stem)).words)
        rest = len(told) - most
        if rest > 0:
            told = [*told[:most], f"and {rest} more expressions of the motion are hardly seen on this head"]
        return tuple(told)


def transfer_report(transfer: Transfer, names: tuple[str, ...] = ()) -> TransferReport:
    """Grade a transfer. ``names`` are the source's expressions (ARKit's where it has them), or empty for numbers."""
    count = transfer.matrix.shape[1]
    if names and len(names) != count:
        raise TalkingEyesError(f"There are {len(names)} names for the {count} expressions of the transfer.")
    names = names or tuple(f"expression {i + 1}" for i in range(count))
    shapes = []
    for name, reached, visible in zip(names, transfer.reached.tolist(), transfer.visible.tolist(), strict=True):
        if not visible:
            grade = Grade.UNSEEN
        else:
            grade = Grade.WHOLE if reached >= _WHOLE else Grade.PART if reached >= _PART else Grade.HARDLY
        shapes.append(ShapeReport(name, reached, grade))
    return TransferReport(tuple(shapes))


def _side(name: str) -> tuple[str, str]:
    """An ARKit name without its side, and the side; mouthLeft and mouthRight are no sides but ways."""
    for side in ("Left", "Right"):
        if name.endswith(side) and name.removesuffix(side) in _ACTIONS:
            return name.removesuffix(side), side.lower()
    return name, ""


def _action(name: str) -> str:
    stem, side = _side(name)
    action = _ACTIONS.get(stem)
    if action is None:
        return f"make '{name}'"
    return f"{action} on the {side}" if side else action
