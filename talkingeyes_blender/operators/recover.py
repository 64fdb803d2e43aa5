"""Recover Last Motion: a motion that was made, but could not be written or was lost with Blender, becomes a take."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import dialogue_takes, jobs, kept, subject, writing

if TYPE_CHECKING:
    from ..rig.head_rig import HeadRig
    from ..worker.shelf import Kept

PARTS = ("face", "head", "gaze", "blinks")


def words(lost: Kept) -> str:
    """One sentence on what there is to recover."""
    record = lost.record
    of = rpt_(" of '{strip}'", strip=record["strip"]) if record.get("strip") else ""
    on = rpt_(" for '{head}'", head=record["head"]) if record.get("head") else ""
    return rpt_("A motion{of}{on} is kept that is in no file (seed {seed}).", of=of, on=on, seed=record.get("seed"))


def why_none() -> str | None:
    return rpt_("No motion was lost.") if kept.lost() is None else None


class Recover(jobs.Explained, bpy.types.Operator):
    """Write the last motion that was made but could not be written, or was lost when Blender ended, as a new take"""

    bl_idname = "talkingeyes.recover"
    bl_label = "Recover Last Motion"
    bl_options = {"UNDO"}  # not REGISTER: 'adjust last operation' would find it used up

    @classmethod
    def description(cls, _context: bpy.types.Context, _properties: bpy.types.OperatorProperties) -> str:
        return f"{cls.__doc__}. {words(kept.lost())}" if kept.lost() is not None else cls.__doc__

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return jobs.why_busy() or why_none()

    def execute(self, context: bpy.types.Context) -> set[str]:
        lost = kept.lost()
        try:
            motions = lost.motions()
        except TalkingEyesError as error:
            lost.discard()  # of no use to anybody
            kept.look_again()
            return self._refuse(rpt_("The kept motion is damaged, and was removed: {error}", error=error))
        try:
            said = write(context, lost, motions)
        except TalkingEyesError as error:
            return self._refuse(str(error))
        jobs.mark_written(lost)
        jobs.tell("CHECKMARK", said)
        self.report({"INFO"}, said)
        return {"FINISHED"}

    def _refuse(self, text: str) -> set[str]:
        jobs.tell("ERROR", text)
        self.report({"ERROR"}, text)
        return {"CANCELLED"}


class DiscardMotion(jobs.Explained, bpy.types.Operator):
    """Delete the motion that Recover Last Motion would write from the disk"""

    bl_idname = "talkingeyes.discard_motion"
    bl_label = "Discard"

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return jobs.why_busy() or why_none()

    def execute(self, context: bpy.types.Context) -> set[str]:
        kept.lost().discard()
        kept.look_again()
        return {"FINISHED"}


def write(context: bpy.types.Context, lost: Kept, motions: list) -> str:
    """Write motions as takes; raise TalkingEyesError, and change nothing, if there is no head for them."""
    from ..rig.steps import finish

    record, scene = lost.record, context.scene
    scene = bpy.data.scenes.get(record.get("scene", ""), scene)
    rig = _rig(context, scene, record.get("head", ""))
    strengths = record.get("strengths") or dict.fromkeys(PARTS, 1.0)
    found, pieces = (
        _of_dialogue(scene, rig, record, motions) if "dialogue" in record else _of_strip(scene, record, motions)
    )
    made = finish(
        writing.write_all(
            scene,
            rig,
            pieces,
            {part: value for part, value in strengths.items() if part in PARTS},
            keep_previous=scene.talkingeyes.keep_takes,
            weights=record.get("weights"),
        )
    )
    writing.done(scene, motions[0].seed)
    where = "" if found else rpt_(" at frame {start_frame:.0f}", start_frame=pieces[0].start_frame)
    return " ".join(
        (
            rpt_(
                "{duration:.1f} s of motion were recovered on '{name}'{where}.",
                duration=motions[0].duration,
                name=rig.name,
                where=where,
            ),
            *made[-1].warnings,
        )
    )


def _of_strip(scene: bpy.types.Scene, record: dict, motions: list) -> tuple[bool, list[writing.Piece]]:
    """Whether the strip is there, and the takes of it, the one that shall play last."""
    from ..rig.curves import frames_per_second

    begins = _strip_start(scene, record)
    seconds = begins if begins is not None else record.get("seconds")
    start = scene.frame_start if seconds is None else seconds * frames_per_second(scene)
    told = {"strip": record.get("strip", ""), "start": record.get("start", 0.0), "duration": record.get("duration")}
    told |= record.get("settings", {})
    # Of several takes the first shall play.
    return begins is not None, [writing.Piece(motion, start, told) for motion in reversed(motions)]


def _of_dialogue(scene: bpy.types.Scene, rig: HeadRig, record: dict, motions: list) -> tuple[bool, list[writing.Piece]]:
    """Whether the strips are there as they were, and the takes of them."""
    from ..rig import spoken
    from ..rig.curves import frames_per_second
    from ..rig.strip_times import placement

    dialogue, rate = record["dialogue"], frames_per_second(scene)
    told = {**dialogue["told"], "frame_rate": rate}
    start, found = dialogue["start_frame"] * rate / dialogue["told"]["frame_rate"], False
    try:
        strips = spoken.of_names(scene, [each["strip"] for each in told["spoken"]])
        begins = placement(scene, strips[0]).start - told["spoken"][0]["at"]
        found = dialogue_takes.alike(spoken.record(scene, strips, begins), told)
    except TalkingEyesError:
        pass  # one is gone, or sounds no more
    if found:
        start = begins * rate
    settings = record.get("settings", {})
    seconds = record.get("duration")
    made = dialogue_takes.pieces(motions[0], start, told, dialogue["apart"], seconds, rig.name, settings)
    return found, made


def _rig(context: bpy.types.Context, scene: bpy.types.Scene, name: str) -> HeadRig:
    """The head that the motion was made for, or the chosen one where that is gone."""
    from ..rig.find import find_rig

    head = scene.objects.get(name)
    if head is not None:
        try:
            return find_rig(head)
        except TalkingEyesError:
            pass  # something else has that name
    return subject.head_of(context)


def _strip_start(scene: bpy.types.Scene, record: dict) -> float | None:
    """Where the strip of that name begins now, in seconds, if it is still trimmed as it was."""
    from ..rig.strip_times import placement
    from ..rig.strips import find_sound
    from .same_strip import plays_the_same

    try:
        heard = placement(scene, find_sound(scene, record.get("strip", "")))
    except TalkingEyesError:
        return None
    return heard.start if plays_the_same(heard, record.get("start", 0.0), record.get("duration")) else None


CLASSES = (Recover, DiscardMotion)
