"""The panel 'Export', and the same under File > Export."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..operators import subject
from ..operators.export import DATA_CLASSES, SCENE_CLASSES
from .sidebar import Tab
from .text import lines, looked_up_once


class ExportPanel(Tab, bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_export"
    bl_order = 100
    bl_parent_id = "TALKINGEYES_PT_speech"
    bl_label = "Export"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return subject.why_no_head(context) is None

    @looked_up_once
    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        reason = subject.why_no_take(context)
        if reason is not None:
            lines(layout, context, reason, "INFO")
        for title, classes in (("Head and Motion", SCENE_CLASSES), ("Motion", DATA_CLASSES)):
            column = layout.column(align=True)
            column.label(text=title)
            for operator in classes:
                column.operator(operator.bl_idname)
            if reason is None:
                for why in dict.fromkeys(filter(None, (operator.disabled_reason(context) for operator in classes))):
                    lines(column, context, why, "INFO")


class ExportMenu(bpy.types.Menu):
    """The take of a talking head to other programs"""

    bl_idname = "TALKINGEYES_MT_export"
    bl_label = "TalkingEyes Take"

    def draw(self, context: bpy.types.Context) -> None:
        for operator in SCENE_CLASSES:
            self.layout.operator(operator.bl_idname)
        self.layout.separator()
        for operator in DATA_CLASSES:
            self.layout.operator(operator.bl_idname)


def draw_menu(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    menu.layout.menu(ExportMenu.bl_idname)


CLASSES = (ExportPanel, ExportMenu)
