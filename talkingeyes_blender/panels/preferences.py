"""The add-on's page in Blender's preferences."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from .. import preferences
from .set_up import draw_set_up


class TalkingEyesPreferences(bpy.types.AddonPreferences):
    bl_idname = preferences.__package__

    python: bpy.props.StringProperty(
        name="Python",
        description="A Python, or an environment's folder, with torch, scipy, soundfile and safetensors."
        " Empty: TALKINGEYES_PYTHON, Blender's own, or the first on the search path that has them",
        subtype="FILE_PATH",
    )
    device: bpy.props.EnumProperty(
        name="Device", description="Where the models run", items=preferences.DEVICES, default="auto"
    )
    weights: bpy.props.StringProperty(
        name="Weights",
        description="Folder of a weight bundle of your own. Empty: the bundle that comes with the add-on",
        subtype="DIR_PATH",
    )
    wheels: bpy.props.StringProperty(
        name="Package Folder",
        description="For Set Up without a network: a folder with the packages (wheels) of torch, numpy, scipy,"
        " soundfile, safetensors and what they need",
        subtype="DIR_PATH",
    )
    idle_minutes: bpy.props.FloatProperty(
        name="Keep Models Loaded",
        description="Minutes without a generation after which the worker ends and gives its memory back",
        default=5.0,
        min=0.1,
        soft_max=60.0,
    )
    features_megabytes: bpy.props.IntProperty(
        name="Keep Heard Speech (MB)",
        description="Disk space for what the models heard in a sound, so that they need not listen to it again after"
        " a restart. What was used longest ago goes first. 0 keeps nothing and empties the folder with the next job",
        default=1024,
        min=0,
        soft_max=16384,
        max=1 << 20,
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        draw_set_up(layout, context)
        for name in ("python", "device", "weights", "wheels", "idle_minutes", "features_megabytes"):
            layout.prop(self, name)
        row = layout.row()
        row.alignment = "RIGHT"
        opening = row.operator("wm.path_open", text="Open the Worker's Log Folder", icon="TEXT")
        opening.filepath = str(preferences.log_folder())


CLASSES = (TalkingEyesPreferences,)
