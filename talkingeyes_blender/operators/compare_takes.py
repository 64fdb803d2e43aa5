"""Compare: another take plays on a duplicate of the head, side by side; and the end of it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..translation import rpt_
from . import jobs, subject
from .of_take import OfTake


class CompareTake(OfTake, bpy.types.Operator):
    """Put a duplicate of the head beside it and let this take play there; if it plays on the head, the next best"""

    bl_idname = "talkingeyes.compare_take"
    bl_label = "Compare Side by Side"

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        reason = super().disabled_reason(context)
        if reason is None and len(subject.takes_of(context)) < 2:
            return rpt_("There is only one take; generate another to compare it with.")
        return reason

    def change(self, context, rig, take) -> None:
        from ..rig.comparison import compare

        if take.active:
            others = [other for other in subject.takes_of(context) if not other.active]
            best = sorted(others, key=lambda other: (other.rating, other.number))
            take = best[-1] if best else take
        compare(context.scene, rig, take)
        shown = take.label or rpt_("Take {number}", number=take.number)
        self.report(
            {"INFO"},
            rpt_("'{take}' plays on the head beside '{head}'.", take=shown, head=rig.name),
        )


class EndComparison(jobs.Explained, bpy.types.Operator):
    """Remove the duplicates that were put beside heads to compare takes"""

    bl_idname = "talkingeyes.end_comparison"
    bl_label = "End Comparison"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        from ..rig.comparison import comparisons

        return jobs.why_busy() or (None if comparisons(context.scene) else rpt_("No heads are being compared."))

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.comparison import end_comparison

        end_comparison(context.scene)
        return {"FINISHED"}


CLASSES = (CompareTake, EndComparison)
