"""Motions as curves of ARKit's 52 blend shapes, and their CSV files."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import csv
import os
from collections.abc import Mapping

import numpy as np

from ..errors import TalkingEyesError
from ..files import written_whole
from ..motion import Motion
from . import rotation
from .arkit import INDEX, STANDIN
from .arkit_values import (
    ASIDE_DEGREES,
    BLINKS,
    LOOK_ASIDE_DEGREES,
    LOOK_DOWN_DEGREES,
    LOOK_UP_DEGREES,
    OPEN_DEGREES,
    expression_values,
    jaw_values,
    look_values,
)

_SIDES = ("Left", "Right")
NAMES = (
    *(f"eye{shape}{side}" for side in _SIDES
      for shape in ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")),
    "jawForward", "jawRight", "jawLeft", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthRight", "mouthLeft",
    "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""The 52 in the order of Live Link Face."""
ANGLES = tuple(f"{part}{angle}" for part in ("head", "leftEye", "rightEye") for angle in ("Yaw", "Pitch", "Roll"))
"""The nine angles that follow them there, radians: yaw to the subject's left, pitch down, roll to the right
shoulder."""

LAYOUTS = ("seconds", "live-link")
"""'seconds': a column 'time', then ARKit's names. 'live-link': as the app's recordings, with time codes."""


def arkit_curves(motion: Motion) -> np.ndarray:
    """(T, 52) values 0 to 1 of NAMES for a motion in the stand-in's basis, whose expressions are ARKit's.

    jawOpen, jawLeft, jawRight and eyeLook* come from the rotations; eyeBlink* is the blink added to the expression.
    mouthClose counts against jawOpen, as in ARKit: as large as jawOpen it brings the lips together.
    """
    if motion.head_model != STANDIN:
        raise TalkingEyesError(
            f"The motion's expressions belong to the head model '{motion.head_model or 'unknown'}', not to ARKit's.",
            "Carry them over to the stand-in first.",
        )
    values = {
        **expression_values(motion.expression.astype(np.float64)),
        **jaw_values(motion.jaw.astype(np.float64)),
        **look_values(motion.eyes.astype(np.float64)),
    }
    for name, blink in zip(BLINKS, motion.blink.T, strict=True):
        values[name] = np.clip(motion.expression[:, INDEX[name]].astype(np.float64) + blink, 0, 1)
    return np.stack([values[name] for name in NAMES], 1)


def turns_of_curves(values: Mapping[str, np.ndarray], frames: int) -> tuple[np.ndarray, np.ndarray]:
    """(jaw (T, 3), eyes (T, 6)) that jawOpen, ... and eyeLook... (T,) stand for; 0 for those that are not given."""

    def of(name: str) -> np.ndarray:
        return np.asarray(values.get(name, np.zeros(frames)), np.float64)

    jaw = np.zeros((frames, 3))
    jaw[:, 0] = np.radians(OPEN_DEGREES * of("jawOpen"))
    jaw[:, 1] = np.radians(ASIDE_DEGREES * (of("jawLeft") - of("jawRight")))
    eyes = []
    for side, outwards in (("Left", 1.0), ("Right", -1.0)):
        yaw, pitch = np.zeros((2, frames, 3))
        yaw[:, 1] = np.radians(LOOK_ASIDE_DEGREES * outwards * (of(f"eyeLookOut{side}") - of(f"eyeLookIn{side}")))
        down, up = LOOK_DOWN_DEGREES * of(f"eyeLookDown{side}"), LOOK_UP_DEGREES * of(f"eyeLookUp{side}")
        pitch[:, 0] = np.radians(down - up)
        eyes.append(rotation.compose(yaw, pitch))
    return jaw, np.concatenate(eyes, 1)


def write_arkit_csv(path: str | os.PathLike, motion: Motion, layout: str = "seconds") -> None:
    """Write a row a frame: the time, the 52 curves, and the angles ANGLES of head and eyes."""
    motion.checked()
    if layout not in LAYOUTS:
        raise TalkingEyesError(f"There is no layout '{layout}'.", f"It is one of {', '.join(LAYOUTS)}.")
    turns = [_angles(turn) for turn in (motion.head, motion.eyes[:, :3], motion.eyes[:, 3:])]
    values = np.concatenate([arkit_curves(motion), *turns], 1)
    names = [*NAMES, *ANGLES]
    if layout == "live-link":
        head = ["Timecode", "BlendshapeCount", *(name[0].upper() + name[1:] for name in names)]
    else:
        head = ["time", *names]
    with written_whole(path) as beside, open(beside, "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(head)
        for frame, row in enumerate(values):
            numbers = [f"{value:.6f}".rstrip("0").rstrip(".") if value else "0" for value in row + 0.0]
            first = (
                [_timecode(frame, motion.fps), len(names)] if layout == "live-link" else [f"{frame / motion.fps:.6f}"]
            )
            table.writerow([*first, *(number if number != "-0" else "0" for number in numbers)])


def _angles(vectors: np.ndarray) -> np.ndarray:
    """(T, 3) yaw, pitch, roll in radians of rotations (T, 3): roll turns first, then pitch, then yaw."""
    m = rotation.matrix_from_axis_angle(vectors)
    yaw = np.arctan2(m[:, 0, 2], m[:, 2, 2])
    pitch = np.arcsin(np.clip(-m[:, 1, 2], -1, 1))
    return np.stack([yaw, pitch, np.arctan2(m[:, 1, 0], m[:, 1, 1])], 1)


def _timecode(frame: int, fps: float) -> str:
    """Hours, minutes, seconds, frames of the nearest whole rate, thousandths of a frame."""
    seconds, rest = divmod(frame / fps + 1e-9, 1)
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    whole, part = divmod(int(rest * fps * 1000 + 0.5), 1000)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}:{whole:02d}.{part:03d}"
