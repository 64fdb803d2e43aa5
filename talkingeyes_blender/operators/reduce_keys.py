"""Reduce Keys: a take's curves with few keys, so that they can be edited."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs, subject

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..rig.head_rig import HeadRig
    from ..rig.key_reduction import Reduction
    from ..rig.takes import Take


class ReduceKeys(jobs.Explained, bpy.types.Operator):
    """Give the curves of the take that plays few keys with handles, so that they can be edited. No rotation and no
    shape key is off by more than you allow; shut lips, blinks and jumps of the eyes keep their extremes"""

    bl_idname = "talkingeyes.reduce_keys"
    bl_label = "Reduce Keys"
    bl_options = {"REGISTER", "UNDO"}

    degrees: bpy.props.FloatProperty(
        name="Degrees", description="How far a rotation may be off", default=0.2, min=0.01, max=10.0
    )
    millimetres: bpy.props.FloatProperty(
        name="Millimetres",
        description="How far a shape key's skin may be off, on a head of a person's size",
        default=0.1,
        min=0.001,
        max=10.0,
    )

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return jobs.why_busy() or subject.why_no_take(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.hand_edits import edited, seal_take
        from ..rig.key_reduction import reduce_take

        try:
            rig, take = subject.head_of(context), subject.take_of(context)
            by_hand = edited(rig, take)
            done = reduce_take(rig, take, self.degrees, self.millimetres)
            if not by_hand:
                seal_take(rig, take)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, told(done))
        return {"FINISHED"}


def reduce_new(
    scene: bpy.types.Scene, rig: HeadRig, take: Take, paths: Collection[str] | None = None
) -> tuple[str, ...]:
    """Reduce the keys of what was just written, where the user wants that; a sentence about it, or none.

    ``paths`` are the data paths of what was written; None stands for all.
    """
    if not scene.talkingeyes.reduce_keys:
        return ()
    from ..rig.hand_edits import seal_take
    from ..rig.key_reduction import reduce_take

    done = reduce_take(rig, take, paths=paths)
    seal_take(rig, take, paths)
    return (told(done),)


def told(done: Reduction) -> str:
    """A sentence about a ``Reduction``."""
    return rpt_(
        "{before:,} keys became {after:,}; rotations are off by at most {degrees:.2f} degrees,"
        " a shape key's skin by {millimetres:.2f} mm.",
        before=done.before,
        after=done.after,
        degrees=done.degrees,
        millimetres=done.millimetres,
    )


CLASSES = (ReduceKeys,)
