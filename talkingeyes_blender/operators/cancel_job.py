"""Cancel: the running generation is given up."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..translation import rpt_
from . import jobs


class CancelJob(jobs.Explained, bpy.types.Operator):
    """Give up the running generation; nothing is changed"""

    bl_idname = "talkingeyes.cancel_job"
    bl_label = "Cancel"

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return None if jobs.running() is not None else rpt_("Nothing is running.")

    def execute(self, context: bpy.types.Context) -> set[str]:
        jobs.cancel()
        return {"FINISHED"}


CLASSES = (CancelJob,)
