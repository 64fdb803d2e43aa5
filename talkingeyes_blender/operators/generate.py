"""Generate: speech to face, head, gaze and blinks, as a take on the chosen head."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import bpy

from .. import preferences
from ..errors import TalkingEyesError
from . import jobs, memory, same_strip, subject

if TYPE_CHECKING:
    from ..motion import Motion
    from ..rig.channels import Parts, Strengths
    from ..rig.head_rig import HeadRig
    from ..rig.takes import Take
    from ..worker.client import Task


class Generate(jobs.JobOperator, bpy.types.Operator):
    """Make the head speak: face, head, gaze and blinks from the sound strip"""

    bl_idname = "talkingeyes.generate"
    bl_label = "Generate"

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        if not context.scene.talkingeyes.parts:
            return "No part is switched on."
        return super().disabled_reason(context) or subject.why_no_strip(context) or subject.why_no_head(context)

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
            takes=settings.takes,
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

    def apply(self, context: bpy.types.Context, motion: Motion, *more: Motion) -> str:
        from ..rig.channels import Parts, Strengths
        from ..rig.find import find_rig
        from ..rig.retarget import report_for_rig

        scene = jobs.still_there(bpy.data.scenes, self.scene_uid, "The scene was deleted")
        head = jobs.still_there(bpy.data.objects, self.head_uid, "The head was deleted")
        if head.name not in scene.objects:
            raise TalkingEyesError("The head was deleted while the motion was made.", jobs.UNCHANGED)
        strip, heard = same_strip.find(scene, self.strip, self.task)
        rig = find_rig(head)
        take = write_takes(
            scene,
            rig,
            [motion, *more],
            start_frame=heard.start_frame,
            parts=Parts(**{part.name: part.name in self.strengths for part in dataclasses.fields(Parts)}),
            strengths=Strengths(**self.strengths),
            settings={"strip": strip.name, "start": heard.offset, "duration": heard.duration, **self.task.settings},
        )
        report = report_for_rig(rig, motion.head_model) if "face" in self.strengths else None
        cannot = [f"{words[0].upper()}{words[1:]}." for words in report.sentences(2)] if report else []
        written = f"{motion.duration:.1f} s of motion were written to '{rig.name}'"
        written += f" as {1 + len(more)} takes." if more else "."
        return " ".join((written, *take.warnings, *cannot))


def write_takes(
    scene: bpy.types.Scene,
    rig: HeadRig,
    motions: list[Motion],
    start_frame: float,
    parts: Parts,
    strengths: Strengths,
    settings: dict[str, object],
) -> Take:
    """Write motions as takes of which the first plays, and return that one.

    All are brought into the rig's basis before the first is written: what cannot be is known before anything changes.
    """
    from ..rig.curves import write_take
    from ..rig.retarget import motion_for_rig

    fitting = [motion_for_rig(rig, motion) for motion in motions]
    # The last one written plays; of several takes that shall be the first.
    for number in reversed(range(len(motions))):
        take = write_take(
            rig,
            fitting[number],
            scene=scene,
            start_frame=start_frame,
            parts=parts,
            strengths=strengths,
            seed=motions[number].seed,
            keep_previous=scene.talkingeyes.keep_takes or number < len(motions) - 1,
            settings=settings,
        )
        memory.remember(take, motions[number])
    scene.talkingeyes.gaze_seed = motions[0].seed
    scene.sync_mode = "AUDIO_SYNC"
    return take


CLASSES = (Generate,)
