"""Build Rig from FLAME File: the user's own FLAME model, ready to speak."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy
from bpy_extras.io_utils import ImportHelper

from ..errors import TalkingEyesError
from ..translation import rpt_
from .add_standin import add_head


class BuildFlame(bpy.types.Operator, ImportHelper):
    """Build mesh, shape keys and armature from a FLAME model's .pkl or .npz file, at the 3D cursor"""

    bl_idname = "talkingeyes.build_flame"
    bl_label = "Build Rig from FLAME File"
    bl_options = {"REGISTER", "UNDO"}

    filter_glob: bpy.props.StringProperty(default="*.pkl;*.npz", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..head.reading import read_head

        try:
            head = read_head(self.filepath)
            rig = add_head(context, head)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        said = " ".join((rpt_("'{name}' is the head now.", name=rig.name), *head.warnings))
        self.report({"WARNING" if head.warnings else "INFO"}, said)
        return {"FINISHED"}


CLASSES = (BuildFlame,)
