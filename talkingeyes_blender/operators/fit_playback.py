"""Fit Playback: the scene's frame range is the speech's, and playback keeps in step with the sound."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math

import bpy

from ..rig import compat
from . import jobs, subject


class FitPlayback(jobs.Explained, bpy.types.Operator):
    """Set the scene's frame range to the speech, and let playback drop frames rather than the sound"""

    bl_idname = "talkingeyes.fit_playback"
    bl_label = "Fit Playback to Speech"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return subject.why_no_strip(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        fit(context.scene, subject.strip_of(context))
        return {"FINISHED"}


def heard_frames(strip: bpy.types.Strip) -> tuple[int, int]:
    """Return the first and the last frame in which a strip is heard."""
    span = compat.span(strip)
    first = max(0, math.floor(span.left))
    return first, max(first, math.ceil(span.right) - 1)


def fits(scene: bpy.types.Scene, strip: bpy.types.Strip) -> bool:
    first, last = heard_frames(strip)
    return scene.frame_start <= first and last <= scene.frame_end and scene.sync_mode == "AUDIO_SYNC"


def fit(scene: bpy.types.Scene, strip: bpy.types.Strip) -> None:
    first, last = heard_frames(strip)
    if first > scene.frame_end:  # Blender keeps the start before the end
        scene.frame_end = last
    scene.frame_start, scene.frame_end = first, last
    scene.sync_mode = "AUDIO_SYNC"


CLASSES = (FitPlayback,)
