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


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the user chose, or the defaults where the add-on runs without being installed as one."""

    python: str = ""
    device: str = "auto"
    weights: str | None = None
    idle_seconds: float = 300.0
    wheels: str = ""
    features_bytes: int = 1 << 30
    """Of speech features that are kept on disk, at most."""


def read(context: bpy.types.Context) -> Choices:
    addon = context.preferences.addons.get(__package__)
    chosen = getattr(addon, "preferences", None)
    if chosen is None:
        return Choices()
    weights = bpy.path.abspath(chosen.weights) if chosen.weights else None
    wheels = bpy.path.abspath(chosen.wheels)
    return Choices(
        bpy.path.abspath(chosen.python), chosen.device, weights, chosen.idle_minutes * 60, wheels,
        chosen.features_megabytes << 20,
    )  # fmt: skip


def data_folder() -> Path:
    """Return the folder for what the add-on keeps between two starts of Blender, made if need be."""
    try:
        return Path(bpy.utils.extension_path_user(__package__, create=True))
    except ValueError:  # not installed as an extension
        folder = Path(tempfile.gettempdir()) / "talkingeyes"
        folder.mkdir(exist_ok=True)
        return folder


def log_folder() -> Path:
    """Return the folder of the worker's log, made if need be."""
    folder = data_folder() / "log"
    folder.mkdir(exist_ok=True)
    return folder
