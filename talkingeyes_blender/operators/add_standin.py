"""Add Stand-in Head: the bundled character, ready to speak."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..translation import rpt_

if TYPE_CHECKING:
    from ..head.model import HeadModel
    from ..rig.head_rig import HeadRig


class AddStandin(bpy.types.Operator):
    """Add the bundled stylised head with its rig, at the 3D cursor"""

    bl_idname = "talkingeyes.add_standin"
    bl_label = "Add Stand-in Head"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..head.standin import load_standin

        try:
            rig = add_head(context, load_standin())
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, rpt_("'{name}' is the head now.", name=rig.name))
        return {"FINISHED"}


def add_head(context: bpy.types.Context, head: HeadModel) -> HeadRig:
    """Build a head at the 3D cursor, choose it, and show it in the 3D View that asked for it."""
    from ..rig.build import build_head

    rig = build_head(context, head)
    rig.armature.location = context.scene.cursor.location
    _step_out(context, rig)
    context.scene.talkingeyes.rig = rig.mesh
    if context.area is not None and context.area.type == "VIEW_3D" and context.region is not None:
        with context.temp_override(region=next(r for r in context.area.regions if r.type == "WINDOW")):
            bpy.ops.view3d.view_axis(type="FRONT")
            bpy.ops.view3d.view_selected()
    return rig


ROOM = 2.5
"""Metres: what is larger may well have a head in it."""


def _step_out(context: bpy.types.Context, rig: HeadRig) -> None:
    """Move a head that is hidden in something to the front of it: the start-up cube stands where heads are added."""
    context.view_layer.update()
    low, high = _box(rig.mesh)
    for obj in context.visible_objects:
        if obj.type == "MESH" and obj != rig.mesh:
            floor, roof = _box(obj)
            if (floor <= low).all() and (high <= roof).all() and (roof - floor).max() <= ROOM:
                rig.armature.location.y += floor[1] - high[1]


def _box(obj: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest corner of an object's box in the world."""
    matrix = np.array(obj.matrix_world)
    corners = np.array(obj.bound_box) @ matrix[:3, :3].T + matrix[:3, 3]
    return corners.min(0), corners.max(0)


CLASSES = (AddStandin,)
