"""Clear: what the add-on wrote to the head goes away, and nothing else."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from . import jobs, subject


class ClearTakes(jobs.Explained, bpy.types.Operator):
    """Remove the motion that TalkingEyes wrote to the head; other animation stays"""

    bl_idname = "talkingeyes.clear"
    bl_label = "Clear"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        from ..rig.takes import takes

        try:
            rig = subject.head_of(context)
        except TalkingEyesError as error:
            return error.message
        return jobs.why_busy() or (None if takes(rig) else f"'{rig.name}' has no take.")

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.takes import clear

        try:
            rig = subject.head_of(context)
            count = clear(rig)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{count} take{'s were' if count > 1 else ' was'} removed from '{rig.name}'.")
        return {"FINISHED"}


CLASSES = (ClearTakes,)
