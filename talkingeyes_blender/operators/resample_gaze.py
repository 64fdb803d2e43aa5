"""Resample Gaze: other glances under the same head motion, for the whole take."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from .resample import ResampleOperator


class ResampleGaze(ResampleOperator, bpy.types.Operator):
    """Let the eyes look elsewhere; head, face and blinks stay as they are"""

    bl_idname = "talkingeyes.resample_gaze"
    bl_label = "Resample Gaze"

    @classmethod
    def parts(cls, context: bpy.types.Context) -> tuple[str, ...]:
        return ("gaze",)


CLASSES = (ResampleGaze,)
