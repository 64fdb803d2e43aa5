"""Generate: speech to face, head, gaze and blinks, as a take on the chosen head."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import bpy

from .. import preferences
from ..errors import TalkingEyesError
from ..translation import n_, rpt_
from . import asking, jobs, replacing, same_strip, subject, writing
from .override_keys import why_linked

if TYPE_CHECKING:
    from ..motion import Motion
    from ..rig.head_rig import HeadRig
    from ..rig.steps import Steps
    from ..rig.strip_times import Placement
    from ..worker.client import Task


class Generate(asking.AsksAboutEdits, jobs.JobOperator, bpy.types.Operator):
    """Make the head speak: face, head, gaze and blinks from the sound strip"""

    bl_idname = "talkingeyes.generate"
    bl_label = "Generate"
    lose_text = n_("Replace It with the Edits")

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        if not context.scene.talkingeyes.parts:
            return rpt_("No part is switched on.")
        reason = super().disabled_reason(context) or subject.why_no_strip(context) or subject.why_no_head(context)
        return reason or why_linked(context)

    def would_lose(self, context: bpy.types.Context) -> str:
        from ..rig.hand_edits import edited, why_ask
        from ..rig.strip_times import placement  # not timing, which mixes a retimed strip down

        scene = context.scene
        try:
            rig, heard = subject.head_of(context), placement(scene, subject.strip_of(context))
        except TalkingEyesError:
            return ""  # plan says it
        end = heard.start_frame + heard.duration * scene.render.fps / scene.render.fps_base
        for take in subject.takes_of(context) if not scene.talkingeyes.keep_takes else ():
            if take.active and take.start < end and heard.start_frame < take.end and edited(rig, take):
                return why_ask(rig, take)
        return ""

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
            pieces=settings.preview,
        )
        head_uid = (rig.mesh or rig.armature).session_uid
        lose = self.edited == "LOSE"
        locked = replacing.locked_take(scene, rig, heard) if isinstance(self, Generate) else None
        if locked is not None:
            task = dataclasses.replace(task, pieces=False, **replacing.around(locked, settings.parts))
        return GeneratePlan(
            task, scene.session_uid, head_uid, strip.name, settings.parts, lose, locked and locked.id, heard.start_frame
        )


@dataclasses.dataclass(frozen=True)
class GeneratePlan:
    """Where the motion belongs, by names and uids, and which parts of it at which strength."""

    task: Task
    scene_uid: int
    head_uid: int
    strip: str
    strengths: dict[str, float]
    replace_edited: bool = False
    locked: str | None = None
    """Id of the take whose locked parts stay, and whose others are made anew."""
    start_frame: float = 0.0
    """Where the strip began to be heard, for the preview."""

    def apply(self, context: bpy.types.Context, motion: Motion) -> str:
        from ..rig.steps import finish

        return finish(self.steps(context, motion))

    def steps(self, context: bpy.types.Context, motion: Motion) -> Steps[str]:
        """``apply`` in steps."""
        from ..rig.take_records import weights_in

        scene, rig, strip, heard = self.destination()
        if self.locked is not None:
            take = replacing.write_around(rig, self.locked, self.task, motion, self.strengths, self.replace_edited)
            scene.talkingeyes.gaze_seed = self.task.seed
            return rpt_("The parts of '{name}' that are not locked were made anew.", name=take.name)
        take = yield from writing.write(
            scene,
            rig,
            self.piece(scene, strip, heard, motion),
            self.strengths,
            keep_previous=scene.talkingeyes.keep_takes,
            replace_edited=self.replace_edited,
            weights=weights_in(self.task.bundle),
        )
        said = rpt_("{duration:.1f} s of motion were written", duration=motion.duration)
        return self.finish(scene, rig, strip, motion, take.warnings, said)

    def destination(self) -> tuple[bpy.types.Scene, HeadRig, bpy.types.Strip, Placement]:
        """What the names and uids mean by now; raise TalkingEyesError where they mean nothing or something else."""
        from ..rig.find import find_rig
        from ..rig.strip_times import placement

        scene = jobs.still_there(bpy.data.scenes, self.scene_uid, rpt_("The scene was deleted"))
        head = jobs.still_there(bpy.data.objects, self.head_uid, rpt_("The head was deleted"))
        if head.name not in scene.objects:
            raise TalkingEyesError(rpt_("The head was deleted while the motion was made."), rpt_(jobs.UNCHANGED))
        strip, _ = same_strip.find(scene, self.strip, self.task)
        return scene, find_rig(head), strip, placement(scene, strip)

    def piece(self, scene: bpy.types.Scene, strip: bpy.types.Strip, heard: Placement, motion: Motion) -> writing.Piece:
        """A motion and what it speaks."""
        from ..rig.spoken import record

        told = {"strip": strip.name, "start": heard.offset, "duration": heard.duration}
        told |= record(scene, [strip], heard.start) | self.task.settings
        return writing.Piece(motion, heard.start_frame, told)

    def finish(
        self, scene: bpy.types.Scene, rig: HeadRig, strip: bpy.types.Strip, motion: Motion, warnings: tuple[str, ...],
        said: str,
    ) -> str:  # fmt: skip
        from ..rig.retarget import report_for_rig
        from ..rig.strip_times import why_muted

        writing.done(scene, motion.seed)
        report = report_for_rig(rig, motion.head_model) if "face" in self.strengths else None
        cannot = [f"{words[0].upper()}{words[1:]}." for words in report.sentences(2)] if report else []
        muted = why_muted(scene, strip)
        return " ".join(
            (rpt_("{said} to '{name}'.", said=said, name=rig.name), *warnings, *cannot, *([muted] if muted else []))
        )


CLASSES = (Generate,)
