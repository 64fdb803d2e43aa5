"""Generate Dialogue: one head speaks several sound strips, in one job and without a jump between them.

The strips are mixed as Blender plays them and spoken as one recording, so in the pauses between them the face comes to
rest as it does in the pauses of a sentence, and head and gaze go on.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

import bpy

from .. import preferences
from ..errors import TalkingEyesError
from ..rig import compat
from ..translation import rpt_
from . import dialogue_takes, jobs, subject, writing

if TYPE_CHECKING:
    from ..motion import Motion
    from ..rig.steps import Steps
    from ..worker.client import Task


def chosen_strips(context: bpy.types.Context, muted: bool = False) -> list:
    """The selected sound strips, or all where fewer than two are selected; without those that are muted."""
    from ..rig.strip_times import why_muted

    scene = context.scene
    strips = [s for s in compat.sound_strips(scene) if muted or why_muted(scene, s) is None]
    selected = [strip for strip in strips if strip.select]
    return selected if len(selected) > 1 else strips


def why_no_dialogue(context: bpy.types.Context) -> str | None:
    if len(compat.sound_strips(context.scene)) < 2:
        return rpt_("A dialogue needs two sound strips or more.")
    return None


class GenerateDialogue(jobs.JobOperator, bpy.types.Operator):
    """Make the head speak the selected sound strips (all, where fewer than two are selected) one after another"""

    bl_idname = "talkingeyes.generate_dialogue"
    bl_label = "Generate Dialogue"

    apart: bpy.props.BoolProperty(
        name="One Take a Strip",
        description="Write a take for each strip, which lasts until the next one begins. Turn it off to write one take "
        "over all of them",
        default=False,
    )
    muted: bpy.props.BoolProperty(
        name="Muted Strips Too", description="Let the head speak strips that Blender does not play", default=False
    )

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        if not context.scene.talkingeyes.parts:
            return rpt_("No part is switched on.")
        return super().disabled_reason(context) or why_no_dialogue(context) or subject.why_no_head(context)

    def plan(self, context: bpy.types.Context) -> DialoguePlan:
        from ..rig.spoken import record
        from ..rig.strip_mix import mixdown
        from ..rig.strip_times import placement
        from ..rig.strips import sound_path
        from ..worker.client import Task

        scene, settings, rig = context.scene, context.scene.talkingeyes, subject.head_of(context)
        strips = sorted(chosen_strips(context, self.muted), key=lambda s: placement(scene, s).start)
        if len(strips) < 2:
            raise TalkingEyesError(
                rpt_("Fewer than two of the sound strips can be heard."),
                rpt_("Unmute some, or switch on Muted Strips Too."),
            )
        for strip in strips:
            if strip.sound.packed_file is None:
                sound_path(strip)  # says which file is missing; a mix would be silent there
        if self.apart:
            _refuse_overlap(scene, strips)
        mix = mixdown(scene, strips)
        task = Task(
            "generate",
            mix.wave,
            settings.seed,
            duration=mix.duration,
            device=settings.chosen_device(context),
            bundle=preferences.read(context).weights,
            settings=settings.generation(),
            pieces=settings.preview,
        )
        told = record(scene, strips, mix.start)
        there = dialogue_takes.with_locks(scene, rig, mix.start_frame, told, self.apart, mix.duration)
        if there:
            task = dataclasses.replace(task, **dialogue_takes.around(there, settings.parts))
        return DialoguePlan(
            task, scene.session_uid, (rig.mesh or rig.armature).session_uid, mix.start_frame, told, self.apart,
            settings.parts, tuple(take.id for take in there),
        )  # fmt: skip


def _refuse_overlap(scene: bpy.types.Scene, strips: list) -> None:
    from ..rig.strip_times import placement

    for one, other in itertools.pairwise(strips):
        if placement(scene, one).end > placement(scene, other).start + 1e-4:
            raise TalkingEyesError(
                rpt_("The strips '{one}' and '{other}' sound at the same time.", one=one.name, other=other.name),
                rpt_("Switch off One Take a Strip, or move them apart."),
            )


@dataclasses.dataclass(frozen=True)
class DialoguePlan:
    """Where the motion belongs, by names and uids, and which strips it speaks."""

    task: Task
    scene_uid: int
    head_uid: int
    start_frame: float
    told: dict
    """What the take remembers of its strips; see ``rig.spoken.record``."""
    apart: bool
    strengths: dict[str, float]
    locked: tuple[str, ...] = ()
    """Ids of the takes whose locked parts stay, and whose others are made anew."""

    def apply(self, context: bpy.types.Context, motion: Motion) -> str:
        from ..rig.steps import finish

        return finish(self.steps(context, motion))

    def steps(self, context: bpy.types.Context, motion: Motion) -> Steps[str]:
        """``apply`` in steps."""
        from ..rig.find import find_rig
        from ..rig.spoken import of_names, record
        from ..rig.take_records import weights_in

        scene = jobs.still_there(bpy.data.scenes, self.scene_uid, rpt_("The scene was deleted"))
        head = jobs.still_there(bpy.data.objects, self.head_uid, rpt_("The head was deleted"))
        if head.name not in scene.objects:
            raise TalkingEyesError(rpt_("The head was deleted while the motion was made."), rpt_(jobs.UNCHANGED))
        strips = of_names(scene, [each["strip"] for each in self.told["spoken"]])
        start = self.start_frame / self.told["frame_rate"]
        if record(scene, strips, start) != self.told:
            raise TalkingEyesError(rpt_("A strip was changed while the motion was made."), rpt_("Generate again."))
        rig = find_rig(head)
        if self.locked:
            made = dialogue_takes.write_around(rig, self.locked, self.task, motion, self.strengths)
            writing.done(scene, self.task.seed)
            return rpt_("The parts of {count} that are not locked were made anew.", count=_count(made))
        made = yield from writing.write_all(
            scene,
            rig,
            dialogue_takes.pieces(
                motion, self.start_frame, self.told, self.apart, self.task.duration, rig.name, self.task.settings
            ),
            self.strengths,
            keep_previous=scene.talkingeyes.keep_takes,
            weights=weights_in(self.task.bundle),
        )
        writing.done(scene, motion.seed)
        warnings = dict.fromkeys(warning for take in made for warning in take.warnings)
        written = rpt_(
            "{duration:.1f} s of motion over {count} strips were written to '{name}'",
            duration=motion.duration,
            count=len(strips),
            name=rig.name,
        )
        return " ".join((rpt_("{written} as {count}.", written=written, count=_count(made)), *warnings))


def _count(made: list) -> str:
    return rpt_("{count} takes", count=len(made)) if len(made) > 1 else rpt_("one take")


class GenerateStrip(jobs.Explained, bpy.types.Operator):
    """Make the chosen head speak the sequencer's active sound strip"""

    bl_idname = "talkingeyes.generate_strip"
    bl_label = "Generate for This Strip"

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return why_no_active_strip(context) or jobs.why_busy() or subject.why_no_head(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self._generate(context, "EXEC_DEFAULT")

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return self._generate(context, "INVOKE_DEFAULT")

    def _generate(self, context: bpy.types.Context, how: str) -> set[str]:
        context.scene.talkingeyes.strip = active_strip(context).name
        try:
            done = bpy.ops.talkingeyes.generate(how)
        except RuntimeError as error:
            self.report({"ERROR"}, str(error).removeprefix("Error: ").strip())
            return {"CANCELLED"}
        return {"CANCELLED"} if done == {"CANCELLED"} else {"FINISHED"}


def active_strip(context: bpy.types.Context):
    """The sequencer's active strip, if it is a sound; else None."""
    editor = compat.sequencer_scene(context).sequence_editor
    strip = editor.active_strip if editor is not None else None
    return strip if strip is not None and strip.type == "SOUND" else None


def why_no_active_strip(context: bpy.types.Context) -> str | None:
    if active_strip(context) is None:
        return rpt_("No sound strip is active in the sequencer.")
    scene = compat.sequencer_scene(context)
    if scene != context.scene:
        return rpt_(
            "The sequencer shows the scene '{other}', the window '{scene}'.", other=scene.name, scene=context.scene.name
        )
    return None


CLASSES = (GenerateDialogue, GenerateStrip)
