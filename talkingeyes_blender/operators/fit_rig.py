"""Fit Rig to Face: joints and lids go to where the face's identity keys have put them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs, subject


class FitRig(jobs.Explained, bpy.types.Operator):
    """Move the head's joints and lid keys to the face as its identity keys (Shape1, ...) have shaped it"""

    bl_idname = "talkingeyes.fit_rig"
    bl_label = "Fit Rig to Face"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return subject.why_no_head(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.frame import unit_of
        from ..rig.identity import fit_to_face

        try:
            rig = subject.head_of(context)
            moved = fit_to_face(context, rig) / unit_of(rig)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report(
            {"INFO"},
            rpt_("The joints of '{name}' moved by up to {millimetres:.1f} mm.", name=rig.name, millimetres=1e3 * moved),
        )
        return {"FINISHED"}


CLASSES = (FitRig,)
