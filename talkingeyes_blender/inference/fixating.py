"""Eyes that fixate and jump: what the codes leave of tremble is taken out of fixations, gaze in space held by the eyes.

Codes that are drawn frame by frame tremble by a few tenths of a degree about where a fixation is, and wander; and the
gaze decoder makes up for a turning head only about. People's gaze rests in space between saccades, while the
vestibulo-ocular reflex turns the eyes against the head with a gain of about one. This step holds gaze in space where it
is until the generated gaze has left by more than ``leave`` degrees, follows it while it moves, and holds it again. It
looks at no later frame, so that a stream makes the same of it.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from ..head.rotation import matrix_from_axis_angle, turn_to

LEAVE = 2.0
"""Degrees by which generated gaze must leave a fixation to end it."""
MOVING = 0.8
"""Degrees a frame above which it is still on its way."""
FOLLOW = 0.02
"""Share of the distance by which a fixation follows slow wandering, each frame."""
OCULAR_LIMIT = np.radians(35.0)
"""How far an eye turns in the head."""


class Fixating:
    """The step over a clip, in one or in many pieces."""

    def __init__(self, leave: float = LEAVE, moving: float = MOVING, follow: float = FOLLOW) -> None:
        """``leave`` of 0 leaves everything as it is."""
        self._leave, self._moving, self._follow = np.radians(leave), np.radians(moving), follow
        self._held: np.ndarray | None = None
        self._before: np.ndarray | None = None
        self._on_its_way = False

    def __call__(self, eyes: np.ndarray, head: np.ndarray) -> np.ndarray:
        """(n, 6) eyes in the head, given the (n, 3) head, for the next frames."""
        if not self._leave or not len(eyes):
            return eyes
        middle = (eyes[:, 0:3] + eyes[:, 3:6]) / 2
        apart = (eyes[:, 0:3] - eyes[:, 3:6]) / 2
        turned = matrix_from_axis_angle(head.astype(np.float64))
        inside = matrix_from_axis_angle(middle.astype(np.float64))[:, :, 2]
        space = np.einsum("tij,tj->ti", turned, inside)
        held = np.array([self._step(direction) for direction in space])
        back = np.einsum("tji,tj->ti", turned, held)
        middle = np.concatenate([turn_to(back, OCULAR_LIMIT), np.zeros((len(eyes), 1))], axis=1)
        return np.concatenate([middle + apart, middle - apart], axis=1).astype(np.float32)

    def _step(self, direction: np.ndarray) -> np.ndarray:
        if self._held is None:
            self._held = self._before = direction
        if not self._on_its_way and _angle(direction, self._held) > self._leave:
            self._on_its_way = True
        elif self._on_its_way:
            self._on_its_way = _angle(direction, self._before) > self._moving
        aim = direction if self._on_its_way else self._held + self._follow * (direction - self._held)
        self._held = aim / np.linalg.norm(aim)
        self._before = direction
        return self._held


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.arcsin(min(1.0, float(np.linalg.norm(one - other)) / 2)))
