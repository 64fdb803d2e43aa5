"""Remove Take: one of the head's takes goes away, but not somebody's edits of it unasked."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import asking
from .of_take import OfTake


class RemoveTake(asking.AsksAboutEdits, OfTake, bpy.types.Operator):
    """Remove this take; if it plays, the newest of the others plays instead. Asks first if it was edited by hand"""

    bl_idname = "talkingeyes.remove_take"
    bl_label = "Remove Take"

    def hand_on(self, again: bpy.types.OperatorProperties) -> None:
        again.take = self.take

    def would_lose(self, context: bpy.types.Context) -> str:
        from ..rig.hand_edits import edited, why_ask

        try:
            rig, take = self.the_take(context)
        except TalkingEyesError:
            return ""  # execute says it
        return why_ask(rig, take) if edited(rig, take) else ""

    def change(self, context, rig, take) -> None:
        from ..rig.take_list import mute
        from ..rig.takes import remove_take

        danger = self.would_lose(context) if self.edited != "LOSE" else ""
        if danger:
            mute(rig, take)
            self.report({"WARNING"}, rpt_("{danger} It was kept, muted.", danger=danger))
        else:
            remove_take(rig, take)


CLASSES = (RemoveTake,)
