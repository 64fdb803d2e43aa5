"""Override Shape Keys: let takes move the face of a library override, whose shape keys Blender leaves linked."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs, subject


def why_linked(context: bpy.types.Context) -> str | None:
    """Why the chosen head cannot be animated in this file, with what to do; None where it can."""
    from ..rig.linked import fault_of

    try:
        fault = fault_of(subject.head_of(context))
    except TalkingEyesError:
        return None
    return str(fault) if fault is not None else None


class OverrideKeys(jobs.Explained, bpy.types.Operator):
    """Make a library override of the face's meshes too, so that their shape keys can be animated in this file"""

    bl_idname = "talkingeyes.override_keys"
    bl_label = "Override Shape Keys"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        reason = subject.why_no_head(context)
        if reason is None and not cls.needed(context):
            return why_linked(context) or rpt_("The head's shape keys are not linked.")
        return reason

    @classmethod
    def needed(cls, context: bpy.types.Context) -> bool:
        """Return whether this would mend the chosen head."""
        from ..rig.linked import can_override_keys

        return subject.why_no_head(context) is None and can_override_keys(subject.head_of(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.linked import override_keys

        try:
            names = override_keys(subject.head_of(context))
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, rpt_("The shape keys of {names} can be animated now.", names=", ".join(names)))
        return {"FINISHED"}


CLASSES = (OverrideKeys,)
