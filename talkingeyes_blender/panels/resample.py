"""Resample: what is drawn anew, in which frames, and what is locked."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..operators import subject
from ..operators.resample import NAMES, Resample
from .sidebar import Tab
from .text import lines, looked_up_once


class ResamplePanel(Tab, bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_resample"
    bl_order = 20
    bl_parent_id = "TALKINGEYES_PT_speech"
    bl_label = "Resample"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return subject.why_no_take(context) is None

    @looked_up_once
    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.talkingeyes
        take = subject.take_of(context)
        layout.use_property_decorate = False
        column = layout.column()
        column.use_property_split = True
        column.prop(settings, "resample_parts")
        column.prop(settings, "resample_range")
        if settings.resample_range == "FRAMES":
            frames = column.column(align=True)
            frames.prop(settings, "resample_first", text="From")
            frames.prop(settings, "resample_last", text="To")
        row = layout.row(align=True)
        row.prop(settings, "gaze_seed", text="Seed")
        row.prop(settings, "next_gaze_seed", text="", icon="FORWARD")
        layout.operator("talkingeyes.resample", icon="FILE_REFRESH")
        reason = Resample.disabled_reason(context)
        if reason is not None and not context.window_manager.talkingeyes.running:
            lines(layout.box(), context, reason, "ERROR")
        layout.label(text="Locked parts stay as they are:")
        row = layout.row(align=True)
        for part, name in NAMES.items():
            locked = part in take.locked
            each = row.operator(
                "talkingeyes.lock_part",
                text=name,
                icon="LOCKED" if locked else "UNLOCKED",
                depress=locked,
            )
            each.part, each.take = part, take.id


CLASSES = (ResamplePanel,)
