"""Character presets: choose one, save the settings as one's own, delete it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import bpy

from .. import characters, preferences
from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs


def folder() -> Path:
    """Where the user's presets are."""
    return preferences.data_folder() / "presets"


class ApplyPreset(jobs.Explained, bpy.types.Operator):
    """Set parts, strengths, gaze and blinks for a character; the next Generate uses them"""

    bl_idname = "talkingeyes.apply_preset"
    bl_label = "Character"
    bl_options = {"REGISTER", "UNDO"}

    name: bpy.props.StringProperty(name="Preset", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.talkingeyes
        try:
            values = {k: _checked(settings, self.name, k, v) for k, v in characters.read(folder(), self.name).items()}
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for key, value in values.items():
            setattr(settings, key, value)
        settings.preset = self.name
        return {"FINISHED"}


class SavePreset(jobs.Explained, bpy.types.Operator):
    """Keep parts, strengths, gaze and blinks as they are set now as a character of your own"""

    bl_idname = "talkingeyes.save_preset"
    bl_label = "Save Character"

    name: bpy.props.StringProperty(name="Name", description="What the character is called", options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.talkingeyes
        try:
            characters.save(folder(), self.name, {field: getattr(settings, field) for field in characters.FIELDS})
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        settings.preset = self.name.strip()
        self.report({"INFO"}, rpt_("The character '{preset}' was saved.", preset=settings.preset))
        return {"FINISHED"}


class RemovePreset(jobs.Explained, bpy.types.Operator):
    """Delete the character that is shown, if it is one of your own"""

    bl_idname = "talkingeyes.remove_preset"
    bl_label = "Delete Character"

    name: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        shown = context.scene.talkingeyes.preset
        if shown in characters.own_names(folder()):
            return None
        return (
            rpt_("'{shown}' comes with the add-on.", shown=shown)
            if shown in characters.BUILT_IN
            else rpt_("No own character is shown.")
        )

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.talkingeyes
        name = self.name or settings.preset
        try:
            characters.remove(folder(), name)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if settings.preset == name:
            settings.preset = ""
        return {"FINISHED"}


def _checked(settings: bpy.types.PropertyGroup, preset: str, key: str, value: object) -> object:
    """A value that the setting takes; TalkingEyesError for one of another kind."""
    property_ = settings.bl_rna.properties[key]
    if property_.type == "ENUM":
        good = value in {item.identifier for item in property_.enum_items}
    elif property_.type == "BOOLEAN":
        good = isinstance(value, bool)
    else:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        good = number and property_.hard_min <= value <= property_.hard_max
    if not good:
        raise TalkingEyesError(
            rpt_(
                "The preset '{preset}' says {value!r} for '{name}', which that cannot be.",
                preset=preset,
                value=value,
                name=property_.name,
            ),
            rpt_("Save it again."),
        )
    return value


CLASSES = (ApplyPreset, SavePreset, RemovePreset)
