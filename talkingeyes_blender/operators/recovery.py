"""Motions that were finished and could not be written, or whose Blender ended first: kept on disk, and brought back.

A finished motion is saved before it is written to the head, and deleted when that has worked. So what is left in the
folder is what was lost; the newest few are kept.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from .. import preferences
from ..errors import TalkingEyesError
from . import jobs, subject

if TYPE_CHECKING:
    from ..motion import Motion

log = logging.getLogger(__name__)

KEPT = 5


@dataclasses.dataclass(frozen=True)
class Kept:
    """A motion in the folder, and what it was made for."""

    path: Path
    story: dict[str, Any]
    """``strip``, ``head``, ``start`` (scene frame), ``settings``, ``made`` (local time)."""

    def motion(self) -> Motion:
        from ..motion import Motion

        return Motion.load(self.path)


def folder() -> Path:
    return preferences.data_folder() / "recovered"


def keep(motion: Motion, story: dict[str, Any]) -> Path | None:
    """Save a motion with its story; return its path, or None where the disk refuses, which only the log is told."""
    try:
        place = folder()
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{time.time_ns():020d}-{os.getpid()}.npz"
        motion.save(path)
        told = path.with_suffix(".json.part")
        story = {"made": time.strftime("%H:%M"), **story}
        told.write_text(json.dumps(story), encoding="utf-8")
        os.replace(told, path.with_suffix(".json"))
        for old in sorted(place.glob("*.npz"))[:-KEPT]:
            forget(old)
    except (OSError, TalkingEyesError, TypeError) as error:
        log.warning("the finished motion could not be kept: %s", error)
        return None
    return path


def forget(path: Path | None) -> None:
    """Delete a kept motion: it is where it belongs."""
    for each in (path, path.with_suffix(".json")) if path is not None else ():
        with contextlib.suppress(OSError):
            each.unlink()


_looked: tuple[float, Path, bool] = (0.0, Path(), False)


def is_any() -> bool:
    """Whether a motion was lost, for what is drawn often: the disk is asked each second at most."""
    global _looked
    now, place = time.monotonic(), folder()
    if now - _looked[0] > 1.0 or _looked[1] != place:
        _looked = (now, place, newest() is not None)
    return _looked[2]


def newest() -> Kept | None:
    """The newest motion that was lost, if there is one; half-written and foreign files are passed over."""
    try:
        paths = sorted(folder().glob("*.npz"), reverse=True)
    except OSError:
        return None
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            story = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            if isinstance(story, dict):
                return Kept(path, story)
    return None


class RecoverMotion(jobs.Explained, bpy.types.Operator):
    """Write the last motion that was finished but not written to the chosen head, where its strip begins"""

    bl_idname = "talkingeyes.recover_motion"
    bl_label = "Recover Last Motion"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        if newest() is None:
            return "No motion was lost."
        return jobs.why_busy() or subject.why_no_head(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.curves import write_take
        from ..rig.retarget import motion_for_rig
        from ..rig.strips import find_sound, timing
        from . import memory

        kept = newest()
        try:
            if kept is None:
                raise TalkingEyesError("No motion was lost.", "Generate one.")
            motion, rig, scene = kept.motion(), subject.head_of(context), context.scene
            start = float(kept.story.get("start", scene.frame_current))
            with contextlib.suppress(TalkingEyesError):
                start = timing(scene, find_sound(scene, str(kept.story.get("strip", "")))).start_frame
            take = write_take(
                rig, motion_for_rig(rig, motion), scene=scene, start_frame=start, seed=motion.seed,
                keep_previous=True, settings=kept.story.get("settings", {}),
            )  # fmt: skip
            memory.remember(take, motion)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        forget(kept.path)
        self.report({"INFO"}, f"{motion.duration:.1f} s of motion were written to '{rig.name}'.")
        return {"FINISHED"}


class DiscardMotion(jobs.Explained, bpy.types.Operator):
    """Delete the motions that were finished and not written"""

    bl_idname = "talkingeyes.discard_motion"
    bl_label = "Discard"
    bl_options = {"REGISTER"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return "No motion was lost." if newest() is None else None

    def execute(self, _context: bpy.types.Context) -> set[str]:
        while (kept := newest()) is not None:
            forget(kept.path)
        return {"FINISHED"}


class RetryOnCpu(jobs.Explained, bpy.types.Operator):
    """Choose the CPU as the scene's device and generate again: slower, and with the computer's own memory"""

    bl_idname = "talkingeyes.retry_on_cpu"
    bl_label = "Retry on the CPU"
    bl_options = {"REGISTER"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return jobs.why_busy()

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.talkingeyes.device = "cpu"
        return bpy.ops.talkingeyes.generate("INVOKE_DEFAULT")


CLASSES = (RecoverMotion, DiscardMotion, RetryOnCpu)
