"""Resample Gaze: other glances under the same head motion."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import bpy

from .. import preferences
from ..errors import TalkingEyesError
from . import jobs, memory, subject

if TYPE_CHECKING:
    from ..motion import Motion
    from ..worker.client import Task


class ResampleGaze(jobs.JobOperator, bpy.types.Operator):
    """Let the eyes look elsewhere; head, face and blinks stay as they are"""

    bl_idname = "talkingeyes.resample_gaze"
    bl_label = "Resample Gaze"

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return super().disabled_reason(context) or subject.why_no_take(context)

    def plan(self, context: bpy.types.Context) -> ResamplePlan:
        from ..rig.strips import find_sound, timing
        from ..worker.client import Task

        scene, settings = context.scene, context.scene.talkingeyes
        rig, take = subject.head_of(context), subject.take_of(context)
        made = take.settings
        if not {"strip", "start", "duration"} <= set(made):
            raise TalkingEyesError(f"The take '{take.name}' does not say what it was made from.", "Generate it again.")
        heard = timing(scene, find_sound(scene, made["strip"]))
        seed = settings.gaze_seed
        if settings.next_gaze_seed:
            seed = (seed + 1) % (settings.bl_rna.properties["gaze_seed"].hard_max + 1)
        task = Task(
            "resample_gaze",
            heard.packed if heard.path is None else str(heard.path),
            seed,
            start=made["start"],
            duration=made["duration"],
            device=settings.chosen_device(context),
            bundle=preferences.read(context).weights,
            motion=memory.recall(take),
            settings=settings.generation(),
        )
        return ResamplePlan(task, scene.session_uid, (rig.mesh or rig.armature).session_uid, take.id)


@dataclasses.dataclass(frozen=True)
class ResamplePlan:
    """Whose eyes, by uids."""

    task: Task
    scene_uid: int
    head_uid: int
    take_id: str

    def apply(self, context: bpy.types.Context, motion: Motion, *more: Motion) -> str:
        from ..rig.curves import write_gaze
        from ..rig.find import find_rig
        from ..rig.takes import takes

        scene = jobs.still_there(bpy.data.scenes, self.scene_uid, "The scene was deleted")
        rig = find_rig(jobs.still_there(bpy.data.objects, self.head_uid, "The head was deleted"))
        take = next((take for take in takes(rig) if take.id == self.take_id), None)
        if take is None:
            raise TalkingEyesError("The take was removed while its gaze was sampled.", jobs.UNCHANGED)
        before = self.task.motion
        memory.remember(write_gaze(rig, motion.eyes, take=take, seed=self.task.seed), before.replace(eyes=motion.eyes))
        scene.talkingeyes.gaze_seed = self.task.seed
        return f"The gaze of '{rig.name}' was sampled with seed {self.task.seed}."


CLASSES = (ResampleGaze,)
