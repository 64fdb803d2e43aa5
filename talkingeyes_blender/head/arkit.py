"""The expression vocabulary of the stand-in head: ARKit's 52 names less those that are bones."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

BONES = (
    "jawOpen", "jawLeft", "jawRight",
    "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft",
    "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
)  # fmt: skip
"""Shapes that a FLAME rig makes by turning the jaw and the eyes."""

EXPRESSIONS = (
    "eyeBlinkLeft", "eyeSquintLeft", "eyeWideLeft", "eyeBlinkRight", "eyeSquintRight", "eyeWideRight",
    "jawForward", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight",
    "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""The 41 expressions in the order of the stand-in's keys Exp1 to Exp41."""

VISEME_NAMES = (
    "sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U",
)  # fmt: skip
"""The 15 visemes of Oculus: what faces have that speak by mouth shapes instead."""

INDEX = {name: i for i, name in enumerate(EXPRESSIONS)}

STANDIN = "talkingeyes-standin-1"
"""Identity of the stand-in's expression basis. Its number rises when a name's meaning changes, not its looks."""

MOUTH_CLOSE_JAW_DEGREES = 10.0
"""mouthClose at 1 brings the lips together when the jaw is open by this much."""
