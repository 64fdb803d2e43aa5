"""Everything that the extension adds to Blender, and its removal."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from . import operators, panels, preferences, properties
from .operators import jobs

CLASSES = (*preferences.CLASSES, *properties.CLASSES, *operators.CLASSES, *panels.CLASSES)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    properties.attach()
    bpy.app.handlers.load_pre.append(jobs.drop)


def unregister() -> None:
    bpy.app.handlers.load_pre.remove(jobs.drop)
    jobs.close()
    properties.detach()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
