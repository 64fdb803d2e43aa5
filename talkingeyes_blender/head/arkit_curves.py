"""Motions as curves of ARKit's 52 blend shapes, and their CSV files."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import csv
import os

import numpy as np

from ..errors import TalkingEyesError
from ..motion import Motion
from . import rotation
from .arkit import INDEX, MOUTH_CLOSE_JAW_DEGREES, STANDIN
from .writing import written_whole

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

JAW_OPEN_DEGREES = 25.0
"""Turn of the jaw that is jawOpen 1."""
JAW_SIDE_DEGREES = 10.0
EYE_SIDE_DEGREES, EYE_DOWN_DEGREES, EYE_UP_DEGREES = 35.0, 30.0, 25.0
"""Turns of an eye that are eyeLookIn or eyeLookOut, eyeLookDown and eyeLookUp 1."""

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
    values = np.zeros((motion.frames, len(NAMES)))
    place = {name: i for i, name in enumerate(NAMES)}
    for name, column in INDEX.items():
        values[:, place[name]] = motion.expression[:, column]
    values[:, place["mouthClose"]] *= MOUTH_CLOSE_JAW_DEGREES / JAW_OPEN_DEGREES
    jaw = np.degrees(motion.jaw.astype(np.float64))
    values[:, place["jawOpen"]] = jaw[:, 0] / JAW_OPEN_DEGREES
    values[:, place["jawLeft"]] = jaw[:, 1] / JAW_SIDE_DEGREES
    values[:, place["jawRight"]] = -jaw[:, 1] / JAW_SIDE_DEGREES
    for side, name in enumerate(_SIDES):
        values[:, place[f"eyeBlink{name}"]] += motion.blink[:, side]
        yaw, pitch, _ = np.degrees(_angles(motion.eyes[:, 3 * side : 3 * side + 3])).T
        outwards = yaw if name == "Left" else -yaw
        values[:, place[f"eyeLookOut{name}"]] = outwards / EYE_SIDE_DEGREES
        values[:, place[f"eyeLookIn{name}"]] = -outwards / EYE_SIDE_DEGREES
        values[:, place[f"eyeLookDown{name}"]] = pitch / EYE_DOWN_DEGREES
        values[:, place[f"eyeLookUp{name}"]] = -pitch / EYE_UP_DEGREES
    return np.clip(values, 0, 1)


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
