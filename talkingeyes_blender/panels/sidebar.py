"""The tab 'TalkingEyes' in the sidebar of the 3D View."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..operators import kept, subject
from ..operators.fit_playback import fits
from ..operators.generate import Generate
from ..operators.override_keys import OverrideKeys
from ..operators.recover import words
from .presets import draw_characters
from .set_up import draw_first_run
from .takes import CLASSES as TAKES
from .text import lines, looked_up_once


class Tab:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "TalkingEyes"


class SpeechPanel(Tab, bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_speech"
    bl_label = "TalkingEyes"

    @looked_up_once
    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        draw_first_run(layout, context)
        _choose_strip(layout, context)
        _choose_head(layout, context)
        layout.separator()
        if context.window_manager.talkingeyes.running:
            _job(layout, context)
        else:
            _actions(layout, context)
            _note(layout, context)


class PartsPanel(Tab, bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_parts"
    bl_order = 50
    bl_parent_id = "TALKINGEYES_PT_speech"
    bl_label = "Parts"

    def draw(self, context: bpy.types.Context) -> None:
        draw_characters(self, context)
        settings = context.scene.talkingeyes
        column = self.layout.column(align=True)
        for part in ("face", "head", "gaze", "blinks"):
            split = column.split(factor=0.4, align=True)
            split.prop(settings, f"write_{part}", toggle=True)
            strength = split.row(align=True)
            strength.active = getattr(settings, f"write_{part}")
            strength.prop(settings, f"strength_{part}", text="", slider=True)


class RigPanel(Tab, bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_rig"
    bl_order = 80
    bl_parent_id = "TALKINGEYES_PT_speech"
    bl_label = "Found on the Head"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return subject.why_no_head(context) is None

    @looked_up_once
    def draw(self, context: bpy.types.Context) -> None:
        from ..rig.following import aims
        from ..rig.lid_keys import has_lid_landmarks

        rig = subject.head_of(context)
        report = rig.report
        column = self.layout.column()
        for icon, texts in (
            ("CHECKMARK", report.found),
            ("QUESTION", report.guessed),
            ("X", report.missing),
            ("REMOVE", report.ignored),
            ("ERROR", report.warnings),
        ):
            for text in texts:
                lines(column, context, str(text), icon)
        if report.lacks("lids") and has_lid_landmarks(rig):
            self.layout.operator("talkingeyes.make_lids")
        if aims(rig):
            self.layout.operator("talkingeyes.free_bones", icon="CON_TRACKTO")
        if any(found.part == "identity" for found in report.found):
            self.layout.operator("talkingeyes.fit_rig")


class EyesPanel(Tab, bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_eyes"
    bl_order = 60
    bl_parent_id = "TALKINGEYES_PT_speech"
    bl_label = "Gaze and Blinks"
    bl_options = {"DEFAULT_CLOSED"}

    @looked_up_once
    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.talkingeyes
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.prop(settings, "gaze_choice")
        if settings.gaze_choice == "sample":
            layout.prop(settings, "gaze_temperature")
        layout.prop(settings, "blink_preset", text="Blinks")
        if settings.blink_preset == "CUSTOM":
            layout.prop(settings, "blink_rate", text="A Minute")
        if subject.why_no_head(context) is None:
            for owner, name, text in subject.lid_settings(context):
                layout.prop(owner, f'["{name}"]', text=text)


class WorkerPanel(Tab, bpy.types.Panel):
    bl_idname = "TALKINGEYES_PT_worker"
    bl_order = 110
    bl_parent_id = "TALKINGEYES_PT_speech"
    bl_label = "Device"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.prop(context.scene.talkingeyes, "device", text="")
        layout.operator("talkingeyes.open_preferences", icon="PREFERENCES")


def _choose_strip(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    row = layout.row(align=True)
    row.prop(context.scene.talkingeyes, "strip", text="", icon="SOUND", placeholder="Sound Strip")
    row.operator("talkingeyes.import_audio", text="", icon="FILEBROWSER")
    reason = subject.why_no_strip(context)
    if reason is not None:
        box = _warning(layout, context, reason)
        box.operator("talkingeyes.import_audio", icon="SOUND")


def _choose_head(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    row = layout.row(align=True)
    row.prop(context.scene.talkingeyes, "rig", text="", icon="USER", placeholder="Head")
    row.operator("talkingeyes.add_standin", text="", icon="ADD")
    row.operator("talkingeyes.build_flame", text="", icon="FILEBROWSER")
    reason = subject.why_no_head(context)
    if reason is not None:
        box = _warning(layout, context, reason)
        if subject.bare_head(context) is not None:
            box.operator("talkingeyes.rig_mesh", icon="OUTLINER_OB_ARMATURE")
        box.operator("talkingeyes.add_standin", icon="ADD")
        box.operator("talkingeyes.build_flame", icon="FILEBROWSER")


def _actions(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    settings = context.scene.talkingeyes
    row = layout.row()
    row.scale_y = 1.8
    row.operator("talkingeyes.generate", icon="PLAY")
    reason = Generate.disabled_reason(context)
    if reason is not None and reason not in (subject.why_no_strip(context), subject.why_no_head(context)):
        box = _warning(layout, context, reason)
        if OverrideKeys.needed(context):
            box.operator("talkingeyes.override_keys", icon="LIBRARY_DATA_OVERRIDE")
    layout.prop(settings, "preview")
    layout.prop(settings, "seed")
    if subject.why_no_takes(context) is None:
        column = layout.column(align=True)
        column.operator("talkingeyes.resample_gaze", icon="HIDE_OFF")
        row = column.row(align=True)
        row.prop(settings, "gaze_seed")
        row.prop(settings, "next_gaze_seed", text="", icon="FORWARD")
        layout.operator("talkingeyes.clear", icon="TRASH")
    if subject.why_no_strip(context) is None and not fits(context.scene, subject.strip_of(context)):
        layout.operator("talkingeyes.fit_playback", icon="TIME")


def _job(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    job = context.window_manager.talkingeyes
    row = layout.row(align=True)
    row.scale_y = 1.8
    row.progress(factor=job.fraction, type="BAR", text=f"{job.phase}  {100 * job.fraction:.0f} %")
    row.operator("talkingeyes.cancel_job", text="", icon="X")
    layout.label(text=job.left or "Blender stays usable meanwhile")


def _note(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    job = context.window_manager.talkingeyes
    if job.note:
        box = layout.box()
        lines(box, context, job.note, job.note_icon)
        if job.note_mend:
            box.operator(job.note_mend)
    lost = kept.lost()
    if lost is not None:
        box = layout.box()
        lines(box, context, words(lost), "FILE_REFRESH")
        row = box.row(align=True)
        row.operator("talkingeyes.recover")
        row.operator("talkingeyes.discard_motion", text="", icon="X")


def _warning(layout: bpy.types.UILayout, context: bpy.types.Context, text: str) -> bpy.types.UILayout:
    box = layout.box()
    lines(box, context, text, "ERROR")
    return box


CLASSES = (SpeechPanel, *TAKES, PartsPanel, EyesPanel, RigPanel, WorkerPanel)
