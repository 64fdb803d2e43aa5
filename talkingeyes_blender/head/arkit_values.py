"""All 52 of ARKit's values from a motion of the stand-in: what its bones do, said as shapes."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from .arkit import EXPRESSIONS, INDEX, MOUTH_CLOSE_JAW_DEGREES
from .rotation import matrix_from_axis_angle

OPEN_DEGREES = 25.0
"""By how much jawOpen at 1 opens the jaw, where the shape itself does not tell."""
ASIDE_DEGREES = 8.0
"""By how much jawLeft or jawRight at 1 turn it aside."""
LOOK_ASIDE_DEGREES, LOOK_UP_DEGREES, LOOK_DOWN_DEGREES = 30.0, 25.0, 25.0
"""Turn of an eye that eyeLookIn and Out, Up and Down stand for at 1."""
JAW = ("jawOpen", "jawLeft", "jawRight")
LOOKS = tuple(f"eyeLook{way}{side}" for side in ("Left", "Right") for way in ("Down", "In", "Out", "Up"))
BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")


def expression_values(expression: np.ndarray, opening: float = OPEN_DEGREES) -> dict[str, np.ndarray]:
    """(T,) values from 0 to 1 by name for coefficients (T, 41) of the stand-in.

    Its mouthClose undoes 10 degrees of jaw; everybody else's undoes their own jawOpen, which turns by ``opening``.
    """
    values = {name: np.clip(column, 0, 1) for name, column in zip(EXPRESSIONS, expression.T, strict=True)}
    close = expression[:, INDEX["mouthClose"]] * MOUTH_CLOSE_JAW_DEGREES / opening
    return {**values, "mouthClose": np.clip(close, 0, 1)}


def jaw_values(jaw: np.ndarray, opening: float = OPEN_DEGREES) -> dict[str, np.ndarray]:
    """jawOpen, jawLeft and jawRight for the jaw's turns (T, 3): +x opens, +y goes to the subject's left."""
    degrees = np.degrees(jaw)
    aside = degrees[:, 1] / ASIDE_DEGREES
    open_, left, right = degrees[:, 0] / opening, aside, -aside
    return {name: np.clip(value, 0, 1) for name, value in zip(JAW, (open_, left, right), strict=True)}


def look_values(eyes: np.ndarray) -> dict[str, np.ndarray]:
    """The eight eyeLook values for the eyes' turns (T, 6), left then right. In is towards the nose."""
    values = {}
    for side, turn, inward in (("Left", eyes[:, :3], -1.0), ("Right", eyes[:, 3:], 1.0)):
        gaze = matrix_from_axis_angle(turn)[..., :, 2]
        aside = inward * np.degrees(np.arctan2(gaze[:, 0], gaze[:, 2])) / LOOK_ASIDE_DEGREES
        up = np.degrees(np.arcsin(np.clip(gaze[:, 1], -1, 1)))
        ways = {"In": aside, "Out": -aside, "Up": up / LOOK_UP_DEGREES, "Down": -up / LOOK_DOWN_DEGREES}
        values.update({f"eyeLook{way}{side}": np.clip(value, 0, 1) for way, value in ways.items()})
    return values
