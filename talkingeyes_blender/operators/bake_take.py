"""Bake Take: what plays becomes keyframes of the user's own."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs, subject


class BakeTake(jobs.Explained, bpy.types.Operator):
    """Write what plays at the time of the selected take, blended as it is seen, as keyframes into an action of yours"""

    bl_idname = "talkingeyes.bake_take"
    bl_label = "Bake to Keyframes"
    bl_options = {"REGISTER", "UNDO"}

    take: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    into: bpy.props.EnumProperty(
        name="Into",
        description="Where the keyframes go",
        items=(
            ("NEW", "A New Action", "An action of its own, which is yours: the add-on does not touch it again"),
            (
                "ACTIVE",
                "The Active Action",
                "The action that is active now; keys of the same channels in the take's time make room",
            ),
        ),
        default="NEW",
    )

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return jobs.why_busy() or subject.why_no_takes(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.bake import bake

        try:
            rig = subject.head_of(context)
            take = subject.take_named(rig, self.take) if self.take else subject.selected_take(context)
            baked = bake(rig, take, self.into == "ACTIVE")
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        when = rpt_("frames {start:.0f} to {end:.0f}", start=baked.start, end=baked.end)
        said = rpt_(
            "{curves} curves were baked into '{name}', {when}; what they come from is muted.",
            curves=baked.curves,
            name=baked.action.name,
            when=when,
        )
        self.report({"INFO"}, said)
        return {"FINISHED"}


CLASSES = (BakeTake,)
