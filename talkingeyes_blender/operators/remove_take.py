"""Remove Take: one of the head's takes goes away, but not somebody's edits of it unasked."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import asking, jobs, subject


class RemoveTake(asking.AsksAboutEdits, jobs.Explained, bpy.types.Operator):
    """Remove this take; if it plays, the newest of the others plays instead. Asks first if it was edited by hand"""

    bl_idname = "talkingeyes.remove_take"
    bl_label = "Remove Take"
    bl_options = {"REGISTER", "UNDO"}

    take: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return jobs.why_busy() or subject.why_no_takes(context)

    def hand_on(self, again: bpy.types.OperatorProperties) -> None:
        again.take = self.take

    def would_lose(self, context: bpy.types.Context) -> str:
        from ..rig.hand_edits import edited, why_ask

        try:
            rig = subject.head_of(context)
            take = subject.take_named(rig, self.take)
        except TalkingEyesError:
            return ""  # execute says it
        return why_ask(rig, take) if edited(rig, take) else ""

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.take_list import mute
        from ..rig.takes import remove_take

        try:
            rig = subject.head_of(context)
            take = subject.take_named(rig, self.take)
            danger = self.would_lose(context) if self.edited != "LOSE" else ""
            if danger:
                mute(rig, take)
                self.report({"WARNING"}, rpt_("{danger} It was kept, muted.", danger=danger))
            else:
                remove_take(rig, take)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (RemoveTake,)
