"""Open Preferences: where the worker's Python is chosen."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from .. import preferences
from ..translation import rpt_


class OpenPreferences(bpy.types.Operator):
    """Show the preferences of TalkingEyes: Python, device, weights, log"""

    bl_idname = "talkingeyes.open_preferences"
    bl_label = "Preferences"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        if bpy.app.background:
            self.report({"ERROR"}, rpt_("Preferences need a window."))
            return {"CANCELLED"}
        return bpy.ops.preferences.addon_show(module=preferences.TalkingEyesPreferences.bl_idname)


CLASSES = (OpenPreferences,)
