"""The rig mapping: a line for each part of the head, what it is on this rig, and a button that moves it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..operators import cast, mapping
from .text import lines, ui_scale

_ICONS = {
    "found": "CHECKMARK",
    "chosen": "PINNED",
    "guessed": "QUESTION",
    "ignored": "REMOVE",
    "missing": "X",
    "lost": "ERROR",
}


_WIDE = 420
"""Pixels of a sidebar, at a scale of 1, from which on the names of shape keys stand beside what they are for."""


class HeadsPanel(bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_heads"
    bl_order = 0
    bl_parent_id = "TALKINGEYES_PT_speech"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "TalkingEyes"
    bl_label = "Heads in This Scene"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return len(cast.listed(context.scene)) > 1

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column(align=True)
        for head, strip, current in cast.listed(context.scene):
            split = column.split(factor=0.55, align=True)
            icon = "RADIOBUT_ON" if current else "RADIOBUT_OFF"
            button = split.operator("talkingeyes.choose_head", text=head.name, icon=icon, depress=current)
            button.head = head.name
            split.label(text=strip or "No strip", icon="SOUND", translate=not strip)


class RigMappingPanel(bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_rig_mapping"
    bl_order = 90
    bl_parent_id = "TALKINGEYES_PT_speech"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "TalkingEyes"
    bl_label = "Rig Mapping"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return mapping.why_none(context) is None and mapping.is_meant(context)

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        table = mapping.table_of(context)
        row = layout.row(align=True)
        row.operator("talkingeyes.load_mapping", text="Load", icon="IMPORT")
        row.operator("talkingeyes.save_mapping", text="Save", icon="EXPORT")
        row.operator("talkingeyes.reset_mapping", text="", icon="LOOP_BACK")
        reason = mapping.why_linked(context)
        if reason is not None:
            lines(layout.box(), context, reason, "ERROR")
        if table.fault:
            lines(layout.box(), context, table.fault, "ERROR")
        counts = (("found", "chosen", "guessed"), "found"), (("missing", "lost"), "missing"), (("ignored",), "ignored")
        text = ",  ".join(f"{table.count(*states)} {word}" for states, word in counts)
        layout.label(text=text)
        layout.prop(context.scene.talkingeyes_mapping, "details")
        groups = dict.fromkeys(line.group for line in table.rows)
        for group in groups:
            _group(layout, context, table, group, reason is None)


def _group(layout: bpy.types.UILayout, context: bpy.types.Context, table, group: str, editable: bool) -> None:
    rows = [line for line in table.rows if line.group == group]
    missing = sum(line.state in ("missing", "lost") for line in rows)
    header, body = layout.panel(f"talkingeyes_mapping_{group}", default_closed=group != "Bones")
    header.label(text=group)
    count = header.row()
    count.alignment = "RIGHT"
    count.label(text=f"{len(rows) - missing} of {len(rows)}", icon="X" if missing else "CHECKMARK")
    if body is None:
        return
    column = body.column(align=True)
    column.enabled = editable
    for line in rows:
        _line(column, context, table, line)


def _line(column: bpy.types.UILayout, context: bpy.types.Context, table, line) -> None:
    state = context.scene.talkingeyes_mapping
    narrow = not line.is_bone and context.region is not None and context.region.width < _WIDE * ui_scale(context)
    whole = column.row(align=True) if narrow else column.split(factor=0.47, align=True)
    left = whole.row(align=True)
    left.active = line.state != "ignored"
    use = left.row(align=True)
    use.enabled = bool(line.name)
    use.prop(state, f"use_{line.part}", text="")
    left.label(text=line.label, icon=_ICONS[line.state])
    right = column.row(align=True) if narrow else whole.row(align=True)
    if narrow:
        right.label(text="", icon="BLANK1")
        right.label(text="", icon="BLANK1")
    armature, mesh = bpy.data.objects.get(table.armature), bpy.data.objects.get(table.mesh)
    if line.is_bone and armature is not None:
        right.prop_search(state, f"name_{line.part}", armature.data, "bones", text="")
    elif mesh is not None:
        right.prop_search(state, f"name_{line.part}", mesh.data.shape_keys, "key_blocks", text="")
    test = right.row(align=True)
    test.enabled = bool(line.name) and line.state not in ("ignored", "lost")
    test.operator("talkingeyes.test_part", text="", icon="PLAY").part = line.part
    if state.details and line.name:
        row = column.row(align=True)
        if line.is_bone:
            row.prop(state, f"nod_{line.part}", text="")
            row.prop(state, f"turn_{line.part}", text="")
        row.prop(state, f"amount_{line.part}", slider=True)
    if line.reason and line.is_bone:
        lines(column, context, f"{line.label} {line.state}: {line.reason}", "BLANK1")


CLASSES = (HeadsPanel, RigMappingPanel)
