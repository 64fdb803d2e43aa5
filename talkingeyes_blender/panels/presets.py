"""The menu of characters, above the parts and their strengths."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from .. import characters
from ..operators import presets


class CharacterMenu(bpy.types.Menu):
    """Characters: sets of parts, strengths, gaze and blinks"""

    bl_idname = "TALKINGEYES_MT_characters"
    bl_label = "Character"

    def draw(self, context: bpy.types.Context) -> None:
        own = characters.own_names(presets.folder())
        for name in characters.BUILT_IN:
            self.layout.operator("talkingeyes.apply_preset", text=name).name = name
        if own:
            self.layout.separator()
        for name in own:
            self.layout.operator("talkingeyes.apply_preset", text=name, translate=False).name = name


def draw_characters(panel: bpy.types.Panel, context: bpy.types.Context) -> None:
    """The menu with the buttons beside it."""
    settings = context.scene.talkingeyes
    row = panel.layout.row(align=True)
    row.menu(CharacterMenu.bl_idname, text=settings.preset or "Character", translate=not settings.preset)
    row.operator("talkingeyes.save_preset", text="", icon="ADD")
    row.operator("talkingeyes.remove_preset", text="", icon="REMOVE")


CLASSES = (CharacterMenu,)
