"""Choose Take: another of the head's takes plays."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from . import jobs, subject


class ChooseTake(jobs.Explained, bpy.types.Operator):
    """Let this take play; the others at the same time are muted and kept"""

    bl_idname = "talkingeyes.choose_take"
    bl_label = "Choose Take"
    bl_options = {"REGISTER", "UNDO"}

    take: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return jobs.why_busy() or subject.why_no_takes(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.takes import choose_take, refuse_tweak_mode

        try:
            rig = subject.head_of(context)
            refuse_tweak_mode(rig)
            take = subject.take_named(rig, self.take)
            choose_take(rig, take)
            context.scene.talkingeyes_takes.selected = take.id
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (ChooseTake,)
