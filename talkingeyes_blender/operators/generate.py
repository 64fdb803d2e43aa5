"""Generate: speech to face, head, gaze and blinks, as a take on the chosen head."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import bpy

from .. import preferences
from ..errors import TalkingEyesError
from . import jobs, memory, subject
from .override_keys import why_linked

if TYPE_CHECKING:
    from ..motion import Motion
    from ..worker.client import Task


class Generate(jobs.JobOperator, bpy.types.Operator):
    """Make the head speak: face, head, gaze and blinks from the sound strip"""

    bl_idname = "talkingeyes.generate"
    bl_label = "Generate"

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        if not context.scene.talkingeyes.parts:
            return "No part is switched on."
        reason = super().disabled_reason(context) or subject.why_no_strip(context) or subject.why_no_head(context)
        return reason or why_linked(context)

    def plan(self, context: bpy.types.Context) -> GeneratePlan:
        from ..rig.strips import timing
        from ..worker.client import Task

        scene, settings = context.scene, context.scene.talkingeyes
        strip, rig = subject.strip_of(context), subject.head_of(context)
        heard = timing(scene, strip)
        task = Task(
            "generate",
            heard.packed if heard.path is None else str(heard.path),
            settings.seed,
            start=heard.offset,
            duration=heard.duration,
            device=settings.chosen_device(context),
            bundle=preferences.read(context).weights,
            settings=settings.generation(),
        )
        return GeneratePlan(task, scene.session_uid, (rig.mesh or rig.armature).session_uid, strip.name, settings.parts)


@dataclasses.dataclass(frozen=True)
class GeneratePlan:
    """Where the motion belongs, by names and uids, and which parts of it at which strength."""

    task: Task
    scene_uid: int
    head_uid: int
    strip: str
    strengths: dict[str, float]

    def apply(self, context: bpy.types.Context, motion: Motion) -> str:
        from ..rig.channels import Parts, Strengths
        from ..rig.curves import write_take
        from ..rig.find import find_rig
        from ..rig.retarget import motion_for_rig, report_for_rig
        from ..rig.strips import find_sound, timing

        strip = self.strip
        scene = jobs.still_there(bpy.data.scenes, self.scene_uid, "The scene was deleted")
        head = jobs.still_there(bpy.data.objects, self.head_uid, "The head was deleted")
        if head.name not in scene.objects:
            raise TalkingEyesError("The head was deleted while the motion was made.", jobs.UNCHANGED)
        heard = timing(scene, find_sound(scene, strip))
        if (heard.offset, heard.duration) != (self.task.start, self.task.duration):
            raise TalkingEyesError(f"The strip '{strip}' was changed while the motion was made.", "Generate again.")
        rig = find_rig(head)
        take = write_take(
            rig,
            motion_for_rig(rig, motion),
            scene=scene,
            start_frame=heard.start_frame,
            parts=Parts(**{part.name: part.name in self.strengths for part in dataclasses.fields(Parts)}),
            strengths=Strengths(**self.strengths),
            seed=motion.seed,
            keep_previous=scene.talkingeyes.keep_takes,
            settings={"strip": strip, "start": heard.offset, "duration": heard.duration, **self.task.settings},
        )
        memory.remember(take, motion)
        scene.talkingeyes.gaze_seed = motion.seed
        scene.sync_mode = "AUDIO_SYNC"
        report = report_for_rig(rig, motion.head_model) if "face" in self.strengths else None
        cannot = [f"{words[0].upper()}{words[1:]}." for words in report.sentences(2)] if report else []
        return " ".join((f"{motion.duration:.1f} s of motion were written to '{rig.name}'.", *take.warnings, *cannot))


CLASSES = (Generate,)
