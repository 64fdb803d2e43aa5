"""What puts a head right on a click: lid keys that it lacks, joints that its face left, eyes that a control holds."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs, subject

if TYPE_CHECKING:
    from ..rig.head_rig import HeadRig


class _Mend(jobs.Explained):
    """An operator that changes the head which is selected, and says what it did, or why it could not."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return subject.why_no_head(context)

    def mend(self, context: bpy.types.Context, rig: HeadRig) -> str:
        """Change the rig; what was done, in a sentence. TalkingEyesError where it cannot be."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            done = self.mend(context, subject.head_of(context))
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, done)
        return {"FINISHED"}


class FitRig(_Mend, bpy.types.Operator):
    """Move the head's joints and lid keys to the face as its identity keys (Shape1, ...) have shaped it"""

    bl_idname = "talkingeyes.fit_rig"
    bl_label = "Fit Rig to Face"

    def mend(self, context: bpy.types.Context, rig: HeadRig) -> str:
        from ..rig.frame import unit_of
        from ..rig.identity import fit_to_face

        moved = 1e3 * fit_to_face(context, rig) / unit_of(rig)
        return rpt_("The joints of '{name}' moved by up to {millimetres:.1f} mm.", name=rig.name, millimetres=moved)


class MakeLids(_Mend, bpy.types.Operator):
    """Add shape keys that shut the eyes and let the lids follow the gaze, made from the mesh's own lids"""

    bl_idname = "talkingeyes.make_lids"
    bl_label = "Make Lid Keys"

    def mend(self, context: bpy.types.Context, rig: HeadRig) -> str:
        from ..rig.lid_keys import make_lid_keys

        return rpt_("'{name}' has the keys {keys} now.", name=rig.name, keys=", ".join(make_lid_keys(rig)))


class FreeBones(_Mend, bpy.types.Operator):
    """Mute the constraints that aim the eyes at a control, so that takes turn them. Unmute them to aim by hand again"""

    bl_idname = "talkingeyes.free_bones"
    bl_label = "Let Takes Turn the Eyes"

    def mend(self, context: bpy.types.Context, rig: HeadRig) -> str:
        from ..rig.following import free

        return rpt_("Takes turn {bones} now.", bones=", ".join(free(rig)))


CLASSES = (FitRig, MakeLids, FreeBones)
