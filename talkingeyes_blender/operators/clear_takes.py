"""Clear All Takes: what the add-on wrote to the head goes away, and nothing else."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from ..translation import n_, rpt_
from . import asking, jobs, subject


class ClearTakes(asking.AsksAboutEdits, jobs.Explained, bpy.types.Operator):
    """Remove the motion that TalkingEyes wrote to the head; other animation stays. Asks first about edits by hand"""

    bl_idname = "talkingeyes.clear"
    bl_label = "Clear All Takes"
    bl_options = {"REGISTER", "UNDO"}
    keep_text = n_("Remove the Others, Keep It Muted")
    lose_text = n_("Remove All with the Edits")

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        from ..rig.takes import takes

        try:
            rig = subject.head_of(context)
        except TalkingEyesError as error:
            return error.message
        return jobs.why_busy() or (None if takes(rig) else rpt_("'{name}' has no take.", name=rig.name))

    def would_lose(self, context: bpy.types.Context) -> str:
        from ..rig.hand_edits import edited, why_ask
        from ..rig.takes import takes

        try:
            rig = subject.head_of(context)
        except TalkingEyesError:
            return ""  # execute says it
        touched = [take for take in takes(rig) if edited(rig, take)]
        if len(touched) > 1:
            return rpt_("{count} takes of '{name}' may have been edited by hand.", count=len(touched), name=rig.name)
        return why_ask(rig, touched[0]) if touched else ""

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.take_list import clear_but_edited
        from ..rig.takes import clear

        try:
            rig = subject.head_of(context)
            danger = self.would_lose(context) if self.edited != "LOSE" else ""
            count, kept = clear_but_edited(rig) if danger else (clear(rig), 0)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if count == 1:
            said = rpt_("One take was removed from '{name}'.", name=rig.name)
        else:
            said = rpt_("{count} takes were removed from '{name}'.", count=count, name=rig.name)
        if kept:
            self.report({"WARNING"}, rpt_("{said} {danger} What was edited was kept, muted.", said=said, danger=danger))
        else:
            self.report({"INFO"}, said)
        return {"FINISHED"}


CLASSES = (ClearTakes,)
