"""Rig FLAME Mesh: armature, weights, expressions and lids round a mesh that has none, from the user's FLAME file."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy
from bpy_extras.io_utils import ImportHelper

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs, subject


class RigMesh(jobs.Explained, bpy.types.Operator, ImportHelper):
    """Build a rig round the selected mesh, from the FLAME file (.pkl or .npz) that it was made with"""

    bl_idname = "talkingeyes.rig_mesh"
    bl_label = "Rig FLAME Mesh"
    bl_options = {"REGISTER", "UNDO"}

    filter_glob: bpy.props.StringProperty(default="*.pkl;*.npz", options={"HIDDEN"})

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return None if subject.bare_mesh(context) is not None else rpt_("No mesh without an armature is selected.")

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..head.reading import read_head
        from ..rig.bare import rig_bare_mesh

        try:
            rig = rig_bare_mesh(context, subject.bare_mesh(context), read_head(self.filepath))
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        context.scene.talkingeyes.rig = rig.mesh
        warnings = rig.report.warnings
        self.report(
            {"WARNING" if warnings else "INFO"}, " ".join((rpt_("'{name}' is the head now.", name=rig.name), *warnings))
        )
        return {"FINISHED"}


CLASSES = (RigMesh,)
