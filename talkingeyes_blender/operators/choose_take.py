"""Choose Take: another of the head's takes plays."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from .of_take import OfTake


class ChooseTake(OfTake, bpy.types.Operator):
    """Let this take play; the others at the same time are muted and kept"""

    bl_idname = "talkingeyes.choose_take"
    bl_label = "Choose Take"

    def change(self, context, rig, take) -> None:
        from ..rig.takes import choose_take, refuse_tweak_mode

        refuse_tweak_mode(rig)
        choose_take(rig, take)
        context.scene.talkingeyes_takes.selected = take.id


CLASSES = (ChooseTake,)
