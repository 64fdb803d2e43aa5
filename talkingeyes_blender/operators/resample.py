"""Resample: another seed for the gaze, the head and the gaze, or the blinks of a take, or of some of its frames."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

import bpy

from .. import preferences
from ..errors import TalkingEyesError
from ..translation import n_, rpt_
from . import asking, jobs, memory, reduce_keys, subject
from .frame_range import take_range

if TYPE_CHECKING:
    from ..motion import Motion
    from ..rig.head_rig import HeadRig
    from ..rig.steps import Steps
    from ..rig.takes import Take
    from ..worker.client import Task

CHOICES = {"GAZE": ("gaze",), "HEAD_GAZE": ("head", "gaze"), "BLINKS": ("blinks",)}
"""Parts by the setting ``resample_parts``. New turns of the head ask for new gaze, which makes up for them."""

NAMES = {"face": n_("Face"), "head": n_("Head"), "gaze": n_("Gaze"), "blinks": n_("Blinks")}


def named(parts: Iterable[str]) -> str:
    """The parts' names, as a list for a sentence."""
    return ", ".join(rpt_(NAMES[part]) for part in parts)


class ResampleOperator(asking.AsksAboutEdits, jobs.JobOperator):
    """What operators share that draw parts of the take that plays anew."""

    @classmethod
    def parts(cls, context: bpy.types.Context) -> tuple[str, ...]:
        raise NotImplementedError

    @classmethod
    def frames(cls, context: bpy.types.Context, take: Take) -> tuple[int, int] | None:
        """First frame of the motion and the one behind the last, None for all; TalkingEyesError if there are none."""
        return None

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        reason = super().disabled_reason(context) or subject.why_no_take(context)
        if reason is not None:
            return reason
        take = subject.take_of(context)
        try:
            refuse_locked(take, cls.parts(context))
            cls.frames(context, take)
        except TalkingEyesError as error:
            return error.message
        return None

    def would_lose(self, context: bpy.types.Context) -> str:
        from ..rig.blinks import blink_expressions
        from ..rig.hand_edits import edited, why_ask
        from ..rig.rewrite import paths_of

        try:
            rig, take = subject.head_of(context), subject.take_of(context)
        except TalkingEyesError:
            return ""  # plan says it
        parts = self.parts(context)
        shut = blink_expressions(rig) if "blinks" in parts and not any(rig.blink_keys) else None
        return why_ask(rig, take) if edited(rig, take, set.union(*paths_of(rig, parts, shut))) else ""

    def plan(self, context: bpy.types.Context) -> ResamplePlan:
        from ..rig.spoken import heard_again
        from ..worker.client import Task

        scene, settings = context.scene, context.scene.talkingeyes
        rig, take = subject.head_of(context), subject.take_of(context)
        parts = self.parts(context)
        refuse_locked(take, parts)
        made = take.settings
        if not {"strip", "start", "duration"} <= set(made):
            raise TalkingEyesError(
                rpt_("The take '{name}' does not say what it was made from.", name=take.name),
                rpt_("Generate it again."),
            )
        heard = heard_again(scene, made)
        seed = settings.gaze_seed
        if settings.next_gaze_seed:
            seed = (seed + 1) % (settings.bl_rna.properties["gaze_seed"].hard_max + 1)
        task = Task(
            "resample",
            heard.packed if heard.path is None else str(heard.path),
            seed,
            start=made["start"],
            duration=made["duration"],
            device=settings.chosen_device(context),
            bundle=preferences.read(context).weights,
            motion=memory.recall(take),
            parts=parts,
            frames=self.frames(context, take),
            settings=settings.generation(),
        )
        head_uid = (rig.mesh or rig.armature).session_uid
        return ResamplePlan(task, scene.session_uid, head_uid, take.id, self.edited != "LOSE")


class Resample(ResampleOperator, bpy.types.Operator):
    """Draw the chosen parts of the take anew, in the chosen frames; all else stays as it is, and nothing jumps"""

    bl_idname = "talkingeyes.resample"
    bl_label = "Resample"

    @classmethod
    def parts(cls, context: bpy.types.Context) -> tuple[str, ...]:
        return CHOICES[context.scene.talkingeyes.resample_parts]

    @classmethod
    def frames(cls, context: bpy.types.Context, take: Take) -> tuple[int, int] | None:
        return take_range(context.scene, take)


class LockPart(jobs.Explained, bpy.types.Operator):
    """Lock this part of the take, or unlock it: Resample, and Generate where it replaces the take, leave it alone"""

    bl_idname = "talkingeyes.lock_part"
    bl_label = "Lock Part"
    bl_options = {"UNDO", "INTERNAL"}

    part: bpy.props.EnumProperty(
        name="Part",
        description="What is locked or unlocked",
        items=[(part, name, "") for part, name in NAMES.items()],
        default="gaze",
        options={"SKIP_SAVE"},
    )
    take: bpy.props.StringProperty(
        name="Take", description="Id of the take; empty for the one that plays", options={"SKIP_SAVE"}
    )

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return jobs.why_busy() or subject.why_no_take(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.rewrite import lock_part

        try:
            rig = subject.head_of(context)
            take = subject.take_named(rig, self.take) if self.take else subject.take_of(context)
            lock_part(rig, take, self.part, self.part not in take.locked)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


@dataclasses.dataclass(frozen=True)
class ResamplePlan:
    """Whose parts, by uids."""

    task: Task
    scene_uid: int
    head_uid: int
    take_id: str
    keep_edited: bool = True

    def apply(self, context: bpy.types.Context, motion: Motion) -> str:
        from ..rig.steps import finish

        return finish(self.steps(context, motion))

    def steps(self, context: bpy.types.Context, motion: Motion) -> Steps[str]:
        """``apply`` in steps."""
        from ..rig.find import find_rig
        from ..rig.rewrite import paths_of, rewrite_parts_in_steps

        scene = jobs.still_there(bpy.data.scenes, self.scene_uid, rpt_("The scene was deleted"))
        rig = find_rig(jobs.still_there(bpy.data.objects, self.head_uid, rpt_("The head was deleted")))
        take = take_still_there(rig, self.take_id)
        parts, frames, seed = self.task.parts, self.task.frames, self.task.seed
        refuse_locked(take, parts)
        changes = {"gaze_seed": seed} if "gaze" in parts and frames is None else {}
        story = {"parts": list(parts), "frames": frames and list(frames), "seed": seed}
        before, made = take, for_rig(rig, motion, parts)
        yield
        take = yield from rewrite_parts_in_steps(
            rig, take, made, parts, frames, keep_edited=self.keep_edited, story=story, **changes
        )
        memory.remember(take, motion)
        if frames is None:
            reduce_keys.reduce_new(scene, rig, take, set.union(*paths_of(rig, parts)))
        scene.talkingeyes.gaze_seed = seed
        what = named(parts)
        where = ""
        if frames is not None:
            low, high = (take.start + take.step * frame for frame in (frames[0], frames[1] - 1))
            where = rpt_(" from frame {low:.0f} to {high:.0f}", low=low, high=high)
        kept = (
            rpt_(" '{name}' may have been edited by hand; it was kept, muted.", name=before.name)
            if take.id != before.id
            else ""
        )
        said = rpt_(
            "Made anew on '{name}'{where} with seed {seed}: {parts}.", name=rig.name, where=where, seed=seed, parts=what
        )
        return said + kept


def take_still_there(rig: HeadRig, identity: str) -> Take:
    """Return the take of that id; TalkingEyesError if it was removed while the worker was busy."""
    from ..rig.takes import takes

    for take in takes(rig):
        if take.id == identity:
            return take
    raise TalkingEyesError(rpt_("The take was removed while the motion was made."), rpt_(jobs.UNCHANGED))


def refuse_locked(take: Take, parts: tuple[str, ...]) -> None:
    """Raise TalkingEyesError if one of the parts is locked."""
    locked = [part for part in parts if part in take.locked]
    if locked:
        raise TalkingEyesError(
            rpt_("Locked in this take: {parts}.", parts=named(locked)), rpt_("Unlock what shall be made anew.")
        )


def for_rig(rig: HeadRig, motion: Motion, parts: tuple[str, ...]) -> Motion:
    """The motion with expressions in the rig's basis where the parts touch them, and without any elsewhere."""
    from ..rig.retarget import motion_for_rig

    if "face" in parts or ("blinks" in parts and not any(rig.blink_keys)):
        return motion_for_rig(rig, motion)
    return motion.replace(expression=motion.expression[:, :0], head_model=rig.head_model)


CLASSES = (Resample, LockPart)
