"""Bake Take: what plays becomes keyframes of the user's own."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..translation import rpt_
from .of_take import OfTake


class BakeTake(OfTake, bpy.types.Operator):
    """Write what plays at the time of the selected take, blended as it is seen, as keyframes into an action of yours"""

    bl_idname = "talkingeyes.bake_take"
    bl_label = "Bake to Keyframes"

    into: bpy.props.EnumProperty(
        name="Into",
        description="Where the keyframes go",
        items=(
            ("NEW", "A New Action", "An action of its own, which is yours: the add-on does not touch it again"),
            (
                "ACTIVE",
                "The Active Action",
                "The action that is active now; keys of the same channels in the take's time make room",
            ),
        ),
        default="NEW",
    )

    def change(self, context, rig, take) -> None:
        from ..rig.bake import bake

        baked = bake(rig, take, self.into == "ACTIVE")
        when = rpt_("frames {start:.0f} to {end:.0f}", start=baked.start, end=baked.end)
        said = rpt_(
            "{curves} curves were baked into '{name}', {when}; what they come from is muted.",
            curves=baked.curves,
            name=baked.action.name,
            when=when,
        )
        self.report({"INFO"}, said)


CLASSES = (BakeTake,)
