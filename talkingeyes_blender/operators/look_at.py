"""Look At: a target that the head looks at over its generated gaze, as far as a weight says; and its removal."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs, subject


class AddLookAt(jobs.Explained, bpy.types.Operator):
    """Let the eyes look at a target over their generated gaze: at the active object if it is not the head, else at an
    Empty that is made before the face. Nothing of the take is changed"""

    bl_idname = "talkingeyes.add_look_at"
    bl_label = "Add Look At"
    bl_options = {"REGISTER", "UNDO"}

    target: bpy.props.StringProperty(
        name="Target", description="Object to look at; empty to make an Empty", options={"SKIP_SAVE"}
    )
    weight: bpy.props.FloatProperty(
        name="Weight", description="0 is the generated gaze, 1 the target", default=1.0, min=0.0, max=1.0
    )

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        from ..rig.gaze_layer import target_constraint

        reason = subject.why_no_head(context)
        if reason is None and target_constraint(subject.head_of(context)) is not None:
            return rpt_("The head has a target already; choose another one in its field.")
        return reason

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        rig, active = subject.head_of(context), context.view_layer.objects.active
        if active is not None and active.select_get() and active not in (rig.armature, rig.mesh):
            self.target = active.name
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.gaze_layer import add_layer

        try:
            rig = subject.head_of(context)
            chosen = bpy.data.objects.get(self.target) if self.target else None
            if self.target and chosen is None:
                raise TalkingEyesError(
                    rpt_("There is no object '{target}'.", target=self.target), rpt_("Choose another one.")
                )
            target = add_layer(context, rig, chosen, self.weight)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, rpt_("'{head}' looks at '{target}'.", head=rig.name, target=target.name))
        return {"FINISHED"}


class RemoveLookAt(jobs.Explained, bpy.types.Operator):
    """Take the look-at and the offsets off the head, which then moves by its takes alone"""

    bl_idname = "talkingeyes.remove_look_at"
    bl_label = "Remove Look At"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        from ..rig.gaze_layer import has_layer

        reason = subject.why_no_head(context)
        if reason is None and not has_layer(subject.head_of(context)):
            return rpt_("The head looks at no target.")
        return reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.gaze_layer import remove_layer

        try:
            remove_layer(subject.head_of(context))
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (AddLookAt, RemoveLookAt)
