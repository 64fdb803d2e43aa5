"""Rename Take, Rate Take, Take's Influence, Bake Take: what one does with a take that is there."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..errors import TalkingEyesError
from . import jobs, subject

if TYPE_CHECKING:
    from ..rig.head_rig import HeadRig
    from ..rig.takes import Take


class EditTake(jobs.Explained):
    """A change to the take of that id, or to the one that plays where none is named."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return jobs.why_busy() or subject.why_no_take(context)

    def change(self, rig: HeadRig, take: Take) -> None:
        raise NotImplementedError

    def meant(self, context: bpy.types.Context) -> tuple[HeadRig, Take]:
        rig = subject.head_of(context)
        return rig, subject.take_named(rig, self.take) if self.take else subject.take_of(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.change(*self.meant(context))
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class RenameTake(EditTake, bpy.types.Operator):
    """Give the take a name; an empty one gives it back the name by its seed"""

    bl_idname = "talkingeyes.rename_take"
    bl_label = "Rename Take"

    take: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    label: bpy.props.StringProperty(name="Name", description="What the take is called in the list", maxlen=60)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        try:
            self.label = self.meant(context)[1].label
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return context.window_manager.invoke_props_dialog(self)

    def change(self, rig: HeadRig, take: Take) -> None:
        from ..rig.take_edits import rename

        rename(rig, take, self.label)


class RateTake(EditTake, bpy.types.Operator):
    """Rate the take; the same number of stars again takes them away"""

    bl_idname = "talkingeyes.rate_take"
    bl_label = "Rate Take"

    take: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    stars: bpy.props.IntProperty(name="Stars", description="How good the take is", min=0, max=5, default=1)

    def change(self, rig: HeadRig, take: Take) -> None:
        from ..rig.take_edits import rate

        rate(rig, take, 0 if take.rating == self.stars else self.stars)


class TakeInfluence(EditTake, bpy.types.Operator):
    """How much of the take is seen over what lies below it in the NLA, such as another take or your own animation"""

    bl_idname = "talkingeyes.take_influence"
    bl_label = "Influence of Take"

    take: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    influence: bpy.props.FloatProperty(
        name="Influence", description="1 is all of it, 0 nothing", default=1.0, min=0.0, max=1.0, subtype="FACTOR"
    )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        from ..rig.take_edits import influence_of

        try:
            self.influence = influence_of(*self.meant(context))
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return context.window_manager.invoke_props_dialog(self)

    def change(self, rig: HeadRig, take: Take) -> None:
        from ..rig.take_edits import set_influence

        set_influence(rig, take, self.influence)


class BakeTake(EditTake, bpy.types.Operator):
    """Make the take ordinary animation of yours: it leaves the list, stays in the NLA, and is never touched again"""

    bl_idname = "talkingeyes.bake_take"
    bl_label = "Bake Take"

    take: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def change(self, rig: HeadRig, take: Take) -> None:
        from ..rig.take_edits import bake

        names = bake(rig, take)
        self.report({"INFO"}, f"The take is ordinary animation now: {', '.join(names)}.")


CLASSES = (RenameTake, RateTake, TakeInfluence, BakeTake)
