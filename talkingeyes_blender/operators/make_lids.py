"""Make Lid Keys: shape keys that shut the lids and let them follow the gaze, on a head that has none."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs, subject


class MakeLids(jobs.Explained, bpy.types.Operator):
    """Add shape keys that shut the eyes and let the lids follow the gaze, made from the mesh's own lids"""

    bl_idname = "talkingeyes.make_lids"
    bl_label = "Make Lid Keys"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return subject.why_no_head(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.lid_keys import make_lid_keys

        try:
            rig = subject.head_of(context)
            names = make_lid_keys(rig)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, rpt_("'{name}' has the keys {keys} now.", name=rig.name, keys=", ".join(names)))
        return {"FINISHED"}


CLASSES = (MakeLids,)
