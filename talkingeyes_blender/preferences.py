"""What holds for every file: the worker's Python, the device, the weights, the log."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import bpy

DEVICES = (
    ("auto", "Automatic", "A graphics card if the worker's Python can use one, else the processor"),
    ("cpu", "CPU", "The processor"),
    ("cuda", "CUDA", "An NVIDIA (or, with ROCm, an AMD) graphics card"),
    ("mps", "Metal", "The graphics part of an Apple processor"),
)


class TalkingEyesPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    python: bpy.props.StringProperty(
        name="Python",
        description="A Python, or an environment's folder, with torch, scipy, soundfile and safetensors."
        " Empty: TALKINGEYES_PYTHON, Blender's own, or the first on the search path that has them",
        subtype="FILE_PATH",
    )
    device: bpy.props.EnumProperty(name="Device", description="Where the models run", items=DEVICES, default="auto")
    weights: bpy.props.StringProperty(
        name="Weights",
        description="Folder of a weight bundle of your own. Empty: the bundle that comes with the add-on",
        subtype="DIR_PATH",
    )
    idle_minutes: bpy.props.FloatProperty(
        name="Keep Models Loaded",
        description="Minutes without a generation after which the worker ends and gives its memory back",
        default=5.0,
        min=0.1,
        soft_max=60.0,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        for name in ("python", "device", "weights", "idle_minutes"):
            layout.prop(self, name)
        row = layout.row()
        row.alignment = "RIGHT"
        row.operator("wm.path_open", text="Open the Worker's Log Folder", icon="TEXT").filepath = str(log_folder())


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the user chose, or the defaults where the add-on runs without being installed as one."""

    python: str = ""
    device: str = "auto"
    weights: str | None = None
    idle_seconds: float = 300.0


def read(context: bpy.types.Context) -> Choices:
    addon = context.preferences.addons.get(__package__)
    chosen = getattr(addon, "preferences", None)
    if chosen is None:
        return Choices()
    weights = bpy.path.abspath(chosen.weights) if chosen.weights else None
    return Choices(bpy.path.abspath(chosen.python), chosen.device, weights, chosen.idle_minutes * 60)


def log_folder() -> Path:
    """Return the folder of the worker's log, made if need be."""
    try:
        return Path(bpy.utils.extension_path_user(__package__, path="log", create=True))
    except ValueError:  # not installed as an extension
        folder = Path(tempfile.gettempdir()) / "talkingeyes-log"
        folder.mkdir(exist_ok=True)
        return folder


CLASSES = (TalkingEyesPreferences,)
