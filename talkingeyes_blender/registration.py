"""Everything that the extension adds to Blender, and its removal."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from . import operators, panels, properties
from .operators import cast, jobs, preview, set_up
from .panels.export import draw_menu

HANDLERS = (
    (bpy.app.handlers.load_pre, jobs.drop),
    (bpy.app.handlers.save_pre, jobs.finish_writing),
    (bpy.app.handlers.undo_pre, jobs.stop_writing),
    (bpy.app.handlers.redo_pre, jobs.stop_writing),
    (bpy.app.handlers.load_post, jobs.forget_written),
    (bpy.app.handlers.save_post, jobs.forget_written),
    (bpy.app.handlers.load_post, preview.take_away),
    (bpy.app.handlers.save_pre, preview.take_away),
    (bpy.app.handlers.undo_pre, preview.take_away),
    (bpy.app.handlers.undo_post, preview.take_away),
    (bpy.app.handlers.redo_pre, preview.take_away),
    (bpy.app.handlers.redo_post, preview.take_away),
    (bpy.app.handlers.undo_post, jobs.forget),
    (bpy.app.handlers.redo_post, jobs.forget),
    (bpy.app.handlers.depsgraph_update_post, cast.selection_changed),
)
CLASSES = (*properties.CLASSES, *operators.CLASSES, *panels.CLASSES)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    properties.attach()
    for handlers, handler in HANDLERS:
        handlers.append(handler)
    bpy.types.TOPBAR_MT_file_export.append(draw_menu)


def unregister() -> None:
    bpy.types.TOPBAR_MT_file_export.remove(draw_menu)
    for handlers, handler in HANDLERS:
        handlers.remove(handler)
    preview.take_away()
    jobs.close()
    set_up.close()
    properties.detach()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
