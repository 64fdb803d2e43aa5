"""Remove Take: one of the head's takes goes away."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from . import jobs, subject


class RemoveTake(jobs.Explained, bpy.types.Operator):
    """Remove this take; if it plays, the newest of the others plays instead"""

    bl_idname = "talkingeyes.remove_take"
    bl_label = "Remove Take"
    bl_options = {"REGISTER", "UNDO"}

    take: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return jobs.why_busy() or subject.why_no_take(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.takes import remove_take

        try:
            rig = subject.head_of(context)
            remove_take(rig, subject.take_named(rig, self.take))
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (RemoveTake,)
