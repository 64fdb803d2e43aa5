"""Import Audio: a sound file becomes the strip that the head speaks."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy
from bpy_extras.io_utils import ImportHelper

from ..errors import TalkingEyesError
from ..translation import rpt_
from .fit_playback import fit


class ImportAudio(bpy.types.Operator, ImportHelper):
    """Add a sound file to the sequencer and choose it as the speech"""

    bl_idname = "talkingeyes.import_audio"
    bl_label = "Import Audio"
    bl_options = {"REGISTER", "UNDO"}

    filter_glob: bpy.props.StringProperty(
        default="*.wav;*.flac;*.ogg;*.oga;*.opus;*.mp3;*.aif;*.aiff;*.aifc;*.au;*.caf", options={"HIDDEN"}
    )
    fit_range: bpy.props.BoolProperty(
        name="Fit Playback",
        description="Set the scene's frame range to the sound, and let playback keep in step with it",
        default=True,
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.strips import add_sound

        scene = context.scene
        try:
            strip = add_sound(scene, self.filepath)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        scene.talkingeyes.strip = strip.name
        if getattr(context.workspace, "sequencer_scene", scene) is None:
            context.workspace.sequencer_scene = scene  # from 5.0 the sequencer shows nothing without it
        if self.fit_range:
            fit(scene, strip)
        self.report({"INFO"}, rpt_("'{name}' is the speech now.", name=strip.name))
        return {"FINISHED"}


CLASSES = (ImportAudio,)
