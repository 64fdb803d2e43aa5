"""The takes of the chosen head: a list, and what can be done with the one that is selected."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from ..operators import subject
from ..translation import rpt_
from .text import lines, looked_up_once

LOOK_PAUSE = 0.5
"""Seconds between looks for edits by hand at two takes of the list."""
_DRAW_AGAIN_SECONDS = 0.1


class Tab:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "TalkingEyes"


class TakesList(bpy.types.UIList):
    """Shows those of the file's actions that are takes of the chosen head, the newest first."""

    bl_idname = "TALKINGEYES_UL_takes"

    def filter_items(self, context: bpy.types.Context, data, propname: str) -> tuple[list[int], list[int]]:
        actions = getattr(data, propname)
        try:
            number = {take.name: take.number for take in subject.takes_of(context)}
        except TalkingEyesError:
            number = {}
        wanted = self.filter_name.lower()
        flags, ranks = [], []
        for action in actions:
            shown = action.name in number and wanted in action.talkingeyes_label.lower()
            flags.append(self.bitflag_filter_item if shown else 0)
            ranks.append(-number.get(action.name, 0))
        order = sorted(range(len(ranks)), key=ranks.__getitem__)
        places = [0] * len(order)
        for place, old in enumerate(order):
            places[old] = place
        return flags, places

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flags=0) -> None:
        from ..rig.follow import stale
        from ..rig.hand_edits import seems_edited
        from ..rig.take_records import read_record

        record = read_record(item)
        try:
            rig = subject.head_of(context)
            take = subject.take_named(rig, record["id"])
        except (TalkingEyesError, TypeError):
            return
        row = layout.row(align=True)
        row.operator(
            "talkingeyes.choose_take", text="", icon="RADIOBUT_ON" if take.active else "RADIOBUT_OFF", emboss=False
        ).take = take.id
        split = row.split(factor=0.5)
        split.prop(item, "talkingeyes_label", text="", emboss=False)
        right = split.row(align=True)
        right.active = take.active
        seeds = str(take.seed) if take.gaze_seed == take.seed else f"{take.seed}, {take.gaze_seed}"
        right.label(text=rpt_("seed {seeds}", seeds=seeds), translate=False)
        if take.rating:
            right.label(text=str(take.rating), icon="SOLO_ON")
        if seems_edited(rig, take, LOOK_PAUSE):
            right.label(text="", icon="GREASEPENCIL")
        if stale(take, context.scene, look=False) is not None:
            row.operator("talkingeyes.follow_strip", text="", icon="ERROR", emboss=False).take = take.id
        row.operator("talkingeyes.remove_take", text="", icon="X", emboss=False).take = take.id


class TakesPanel(Tab, bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_takes"
    bl_order = 10
    bl_parent_id = "TALKINGEYES_PT_speech"
    bl_label = "Takes"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return subject.why_no_head(context) is None

    @looked_up_once
    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.talkingeyes_takes
        if subject.why_no_takes(context) is None:
            layout.template_list(TakesList.bl_idname, "", bpy.data, "actions", settings, "index", rows=4)
            _selected(layout, context)
            _look_on()
        row = layout.row(align=True)
        row.operator("talkingeyes.generate_takes", icon="DUPLICATE")
        row.prop(settings, "batch", text="")
        layout.prop(context.scene.talkingeyes, "keep_takes")


def _selected(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    from ..rig.comparison import comparisons
    from ..rig.follow import stale
    from ..rig.hand_edits import seems_edited

    settings = context.scene.talkingeyes_takes
    rig, take = subject.head_of(context), subject.selected_take(context)
    row = layout.row(align=True)
    row.label(text="Rating")
    for stars in range(1, 6):
        icon = "SOLO_ON" if stars <= take.rating else "SOLO_OFF"
        button = row.operator("talkingeyes.rate_take", text="", icon=icon, emboss=False)
        button.take, button.stars = take.id, stars
    column = layout.column(align=True)
    column.scale_y = 0.8
    for text in described(take):
        lines(column, context, text, "NONE")
    if seems_edited(rig, take, LOOK_PAUSE):
        lines(column, context, rpt_("Edited by hand: it is not overwritten or removed unasked."), "GREASEPENCIL")
    old = stale(take, context.scene, look=False)
    if old is not None:
        lines(column, context, old, "ERROR")
        layout.operator("talkingeyes.follow_strip", icon="TRACKING").take = take.id
    header, body = layout.panel("talkingeyes_take_tools", default_closed=True)
    header.label(text="Blend, Compare, Bake")
    if body is None:
        return
    column = body.column(align=True)
    column.prop(settings, "influence", slider=True)
    row = column.row(align=True)
    row.active = settings.influence == 1.0
    row.prop(settings, "fade_in")
    row.prop(settings, "fade_out")
    column = body.column(align=True)
    column.operator(
        "talkingeyes.mix_take", text="Mix with the Other Takes", icon="NLA", depress=take.active and _mixed(rig, take)
    ).take = take.id
    row = column.row(align=True)
    row.operator("talkingeyes.compare_take", icon="MOD_MIRROR").take = take.id
    if comparisons(context.scene):
        row.operator("talkingeyes.end_comparison", text="", icon="X")
    column.operator_menu_enum("talkingeyes.bake_take", "into", icon="KEYFRAME_HLT")


def _look_on() -> None:
    """Have the panel drawn again soon where a look for edits by hand is not finished."""
    from ..rig.hand_edits import is_looking

    if is_looking() and not bpy.app.timers.is_registered(_draw_again):
        bpy.app.timers.register(_draw_again, first_interval=_DRAW_AGAIN_SECONDS)


def _draw_again() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def described(take) -> list[str]:
    """What a take was made with, in a line or two."""
    gaze = "" if take.gaze_seed == take.seed else rpt_(", gaze {gaze_seed}", gaze_seed=take.gaze_seed)
    parts = [part for part in ("face", "head", "gaze", "blinks") if getattr(take.parts, part, False)]
    said = [rpt_("Seed {seed}{gaze}: {parts}.", seed=take.seed, gaze=gaze, parts=", ".join(parts))]
    if take.weights.get("name"):
        said.append(
            rpt_("Weights: {name} ({version})", name=take.weights["name"], version=take.weights.get("version", "")[:6])
        )
    return said


def _mixed(rig, take) -> bool:
    from ..rig.take_list import playing_with

    return bool(playing_with(rig, take))


CLASSES = (TakesList, TakesPanel)
