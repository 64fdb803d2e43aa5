"""Let Takes Turn the Eyes: mute the constraints that keep a control rig's eyes aimed at a bone."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs, subject


class FreeBones(jobs.Explained, bpy.types.Operator):
    """Mute the constraints that aim the eyes at a control, so that takes turn them. Unmute them to aim by hand again"""

    bl_idname = "talkingeyes.free_bones"
    bl_label = "Let Takes Turn the Eyes"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return subject.why_no_head(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.following import free

        try:
            names = free(subject.head_of(context))
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, rpt_("Takes turn {bones} now.", bones=", ".join(names)))
        return {"FINISHED"}


CLASSES = (FreeBones,)
