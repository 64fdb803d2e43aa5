"""Eyes that fixate and jump: what the codes leave of tremble is taken out of fixations, gaze in space held by the eyes.

Codes that are drawn frame by frame tremble by a few tenths of a degree about where a fixation is, and wander; and the
gaze decoder makes up for a turning head only about. People's gaze rests in space between saccades, while the
vestibulo-ocular reflex turns the eyes against the head with a gain of about one. This step holds gaze in space where it
is until the drawn eyes jump: until they turn in the head faster than a fixation's tremble, and gaze has left by
``leave`` degrees. It then follows the drawn gaze until that has landed, and holds it again. Gaze that leaves slowly,
with the head, is held, and let go only where it is far off. No later frame is looked at, so that a stream makes the
same of it.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from ..head.rotation import matrix_from_axis_angle, turn_to

LEAVE = 1.5
"""Degrees by which the drawn gaze must leave a fixation to end it."""
JUMP = 1.4
"""Degrees a frame by which the drawn eyes turn in the head where they jump, and not just tremble."""
LANDED = 0.8
"""Degrees a frame below which they have landed."""
ASTRAY = 8.0
"""Degrees of slow wandering at which a fixation is given up all the same."""
FOLLOW = 0.01
"""Share of the distance by which a fixation follows slow wandering, each frame."""
OCULAR_LIMIT = np.radians(35.0)
"""How far an eye turns in the head."""


class Fixating:
    """The step over a clip, in one or in many pieces."""

    def __init__(self, leave: float = LEAVE, follow: float = FOLLOW) -> None:
        """``leave`` of 0 leaves everything as it is."""
        self._leave, self._follow = np.radians(leave), follow
        self._astray = max(np.radians(ASTRAY), self._leave)
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
        held = np.array([self._step(*directions) for directions in zip(space, inside, strict=True)])
        back = np.einsum("tji,tj->ti", turned, held)
        middle = np.concatenate([turn_to(back, OCULAR_LIMIT), np.zeros((len(eyes), 1))], axis=1)
        return np.concatenate([middle + apart, middle - apart], axis=1).astype(np.float32)

    def _step(self, space: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Where gaze is held, given where the drawn eyes look in space and in the head (unit vectors)."""
        if self._held is None:
            self._held, self._before = space, inside
        speed, off = _angle(inside, self._before), _angle(space, self._held)
        if self._on_its_way:
            self._on_its_way = speed > _LANDED
        else:
            self._on_its_way = off > self._astray or (speed > _JUMP and off > self._leave)
        aim = space if self._on_its_way else self._held + self._follow * (space - self._held)
        self._held = aim / np.linalg.norm(aim)
        self._before = inside
        return self._held


_JUMP, _LANDED = np.radians(JUMP), np.radians(LANDED)


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.arcsin(min(1.0, float(np.linalg.norm(one - other)) / 2)))
