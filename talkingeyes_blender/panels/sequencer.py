"""The tab 'TalkingEyes' in the sidebar of the sequencer, and what the 3D View's tab says about strips."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..operators import dialogue, subject
from ..rig import compat
from ..translation import rpt_
from .sidebar import Tab
from .text import lines, looked_up_once


class StripPanel(bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_strip"
    bl_label = "TalkingEyes"
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "TalkingEyes"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.space_data.view_type != "PREVIEW"

    @looked_up_once
    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        reason = dialogue.why_no_active_strip(context)
        if reason is not None:
            lines(layout, context, reason, "INFO")
            return
        strip = dialogue.active_strip(context)
        layout.label(text=strip.name, icon="SOUND")
        _heard(layout, context, strip)
        layout.prop(context.scene.talkingeyes, "rig", text="", icon="USER", placeholder="Head")
        reason = subject.why_no_head(context)
        if reason is not None:
            lines(layout, context, reason, "ERROR")
        job = context.window_manager.talkingeyes
        if job.running:
            row = layout.row(align=True)
            row.progress(factor=job.fraction, type="BAR", text=f"{job.phase}  {100 * job.fraction:.0f} %")
            row.operator("talkingeyes.cancel_job", text="", icon="X")
        else:
            column = layout.column(align=True)
            row = column.row(align=True)
            row.scale_y = 1.4
            row.operator("talkingeyes.generate_strip", icon="PLAY")
            _dialogue(column, context)
            if job.note:
                lines(layout.box(), context, job.note, job.note_icon)
        if reason is None:
            _takes(layout, context, strip)


class DialoguePanel(Tab, bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_dialogue"
    bl_order = 70
    bl_parent_id = "TALKINGEYES_PT_speech"
    bl_label = "Dialogue"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return dialogue.why_no_dialogue(context) is None

    @looked_up_once
    def draw(self, context: bpy.types.Context) -> None:
        from ..rig.follow import stale_takes

        layout = self.layout
        strips = dialogue.chosen_strips(context)
        column = layout.column(align=True)
        for strip in strips[:6]:
            column.label(text=strip.name, icon="SOUND")
        if len(strips) > 6:
            column.label(text=rpt_("and {count} more", count=len(strips) - 6))
        left_out = len(compat.sound_strips(context.scene)) - len(strips)
        if left_out:
            lines(column, context, rpt_("{count} not selected or muted.", count=left_out), "INFO")
        _dialogue(layout.column(align=True), context)
        if subject.why_no_head(context) is None and stale_takes(subject.head_of(context), context.scene, look=False):
            layout.operator("talkingeyes.follow_strip", icon="TRACKING").take = ""


def _heard(layout: bpy.types.UILayout, context: bpy.types.Context, strip: bpy.types.Strip) -> None:
    """Say what of the strip is heard, and what is unusual about it."""
    from ..errors import TalkingEyesError
    from ..rig.strip_times import placement, why_muted

    scene = context.scene
    column = layout.column(align=True)
    try:
        heard = placement(scene, strip)
    except TalkingEyesError as error:
        lines(column, context, error.message, "ERROR")
        return
    if heard.retiming:
        column.label(text=rpt_("{duration:.1f} s, retimed: spoken as it sounds", duration=heard.duration))
    else:
        column.label(
            text=rpt_("{duration:.1f} s, from {offset:.1f} s of the file", duration=heard.duration, offset=heard.offset)
        )
    muted = why_muted(scene, strip)
    if muted is not None:
        lines(column, context, rpt_("{muted} The head can speak it all the same.", muted=muted), "MUTE_IPO_ON")


def _dialogue(column: bpy.types.UILayout, context: bpy.types.Context) -> None:
    if dialogue.why_no_dialogue(context) is None:
        column.operator("talkingeyes.generate_dialogue", icon="SEQ_SEQUENCER").apart = False
        column.operator("talkingeyes.generate_dialogue", text="One Take a Strip", icon="NLA").apart = True


def _takes(layout: bpy.types.UILayout, context: bpy.types.Context, strip: bpy.types.Strip) -> None:
    """The head's takes of this strip, which of them plays, and whether they still fit."""
    from ..rig.follow import stale
    from ..rig.spoken import speaks

    takes = [take for take in subject.takes_of(context) if speaks(take, strip.name)]
    if not takes:
        layout.label(text="No take of this strip yet.", icon="INFO")
        return
    layout.label(text="Takes of This Strip")
    for take in takes:
        old = stale(take, context.scene, look=False)
        row = layout.row(align=True)
        icon = "RADIOBUT_ON" if take.active else "RADIOBUT_OFF"
        text = rpt_("{number}: seed {seed}", number=take.number, seed=take.seed)
        row.operator("talkingeyes.choose_take", text=text, icon=icon, depress=take.active).take = take.id
        if old is not None:
            row.operator("talkingeyes.follow_strip", text="", icon="TRACKING").take = take.id
            lines(layout, context, old, "ERROR")


CLASSES = (StripPanel, DialoguePanel)
