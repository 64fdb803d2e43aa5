"""What of a finished motion is noted on disk, so that it can still be written when its job, or its Blender, is gone."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy

from .. import preferences
from ..errors import TalkingEyesError

if TYPE_CHECKING:
    from ..worker.shelf import Kept, Shelf
    from .jobs import Plan

FOLDER = "motions"

_lost: tuple[Kept | None] | None = None
_shelf: Shelf | None = None
"""Where this Blender has kept something: asked for at Blender's end, when bpy cannot be."""


def shelf() -> Shelf:
    from ..worker.shelf import Shelf

    return Shelf(preferences.data_folder() / FOLDER)


def begin(context: bpy.types.Context, plan: Plan) -> Kept | None:
    """Note what a job is for; None where the disk does not let us, which must not keep anybody from generating."""
    global _shelf
    try:
        _shelf = shelf()
        return _shelf.begin(**describe(plan))
    except OSError:
        return None


def describe(plan: Plan) -> dict[str, Any]:
    """Say by names what a plan is for: uids mean nothing to another Blender."""
    from ..rig.take_records import weights_in

    task = plan.task
    scene = _by_uid(bpy.data.scenes, getattr(plan, "scene_uid", None)) or bpy.context.scene
    head = _by_uid(bpy.data.objects, getattr(plan, "head_uid", None))
    facts: dict[str, Any] = {
        "task": task.task,
        "seed": task.seed,
        "file": bpy.data.filepath,
        "scene": scene.name,
        "head": head.name if head is not None else "",
        "strip": getattr(plan, "strip", ""),
        "strengths": getattr(plan, "strengths", None),
        "start": task.start,
        "duration": task.duration,
        "settings": dict(task.settings),
        "weights": weights_in(task.bundle),
        "seconds": None,
    }
    told = getattr(plan, "told", None)
    if told is not None:
        facts["strip"] = told["spoken"][0]["strip"]
        facts["dialogue"] = {"told": told, "apart": plan.apart, "start_frame": plan.start_frame}
    heard = _heard(scene, facts["strip"], task) if told is None else None
    if heard is not None:
        facts["strip"], facts["seconds"] = heard
    take = getattr(plan, "take_id", None)
    if head is not None and take is not None and facts["strengths"] is None:
        facts["strengths"] = _strengths_of(head, take)
    return facts


def forget_written() -> None:
    """Remove what this Blender has written to a scene: it was saved, or given up."""
    if _shelf is not None:
        _shelf.forget_written()
        look_again()


def lost() -> Kept | None:
    """The motion that Recover would write, looked up once and after each job."""
    global _lost
    if _lost is None:
        try:
            _lost = (shelf().lost(),)
        except OSError:
            _lost = (None,)
    return _lost[0]


def look_again() -> None:
    global _lost
    _lost = None


def _by_uid(collection: bpy.types.bpy_prop_collection, uid: int | None) -> bpy.types.ID | None:
    return next((block for block in collection if block.session_uid == uid), None)


def _heard(scene: bpy.types.Scene, name: str, task: Any) -> tuple[str, float] | None:
    """Name of the strip that a task hears, and the seconds after scene frame 0 at which it begins."""
    from ..rig.strip_times import placement
    from ..rig.strips import list_sounds
    from .same_strip import plays_the_same

    for strip in list_sounds(scene):
        try:
            heard = placement(scene, strip)
        except TalkingEyesError:
            continue
        if name in ("", strip.name) and plays_the_same(heard, task.start, task.duration):
            return strip.name, heard.start
    return None


def _strengths_of(head: bpy.types.Object, identity: str) -> dict[str, float] | None:
    from ..rig.find import find_rig
    from ..rig.takes import takes

    try:
        take = next((take for take in takes(find_rig(head)) if take.id == identity), None)
    except TalkingEyesError:
        return None
    if take is None:
        return None
    parts = ("face", "head", "gaze", "blinks")
    return {part: getattr(take.strengths, part) for part in parts if getattr(take.parts, part)}
