"""What lies over a written take: its strengths, the look-at, and fewer keys."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..operators import subject
from .sidebar import Tab
from .text import looked_up_once


class AdjustPanel(Tab, bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_adjust"
    bl_order = 30
    bl_parent_id = "TALKINGEYES_PT_speech"
    bl_options = {"DEFAULT_CLOSED"}
    bl_label = "Adjust Take"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return subject.why_no_take(context) is None

    @looked_up_once
    def draw(self, context: bpy.types.Context) -> None:
        layout, strengths = self.layout, context.scene.talkingeyes.take
        layout.use_property_split, layout.use_property_decorate = True, False
        column = layout.column(align=True)
        for name in ("face", "head", "gaze", "blinks"):
            column.prop(strengths, name, slider=True)
        column.separator()
        for name in ("jaw", "lips"):
            column.prop(strengths, name, slider=True)
        layout.operator("talkingeyes.reset_strengths", icon="LOOP_BACK")
        layout.operator("talkingeyes.reduce_keys", icon="IPO_BEZIER")
        row = layout.row()
        row.use_property_split = False
        row.prop(context.scene.talkingeyes, "reduce_keys")


class LookAtPanel(Tab, bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_look_at"
    bl_order = 40
    bl_parent_id = "TALKINGEYES_PT_speech"
    bl_options = {"DEFAULT_CLOSED"}
    bl_label = "Look At"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return subject.why_no_head(context) is None

    @looked_up_once
    def draw(self, context: bpy.types.Context) -> None:
        from ..rig import gaze_layer

        layout, rig = self.layout, subject.head_of(context)
        there = gaze_layer.target_constraint(rig)
        if there is None:
            layout.operator("talkingeyes.add_look_at", icon="CON_TRACKTO")
            if gaze_layer.has_layer(rig):
                layout.operator("talkingeyes.remove_look_at", icon="X")
            return
        row = layout.row(align=True)
        row.prop(there, "target", text="")
        row.operator("talkingeyes.remove_look_at", text="", icon="TRASH")
        layout.use_property_split = True
        for first, last, title in ((0, 3, ""), (3, 8, "Offsets in Degrees")):
            column = layout.column(align=True)
            if title:
                column.label(text=title)
            for setting in gaze_layer.SETTINGS[first:last]:
                if setting.name in rig.armature:
                    column.prop(rig.armature, f'["{setting.name}"]', text=setting.label)


CLASSES = (AdjustPanel, LookAtPanel)
