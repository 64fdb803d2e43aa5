"""A take's strengths as sliders that act on what was written already, and the way back to 1."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs, subject

log = logging.getLogger(__name__)

LARGEST = 3.0
STRENGTHS = {
    "face": "How strongly expression and jaw of the written take move; 1 is as written",
    "head": "How strongly the head of the written take turns; 1 is as written",
    "gaze": "How far the eyes of the written take turn; 1 is as written",
    "blinks": "How far the lids of the written take shut; 1 is as written",
    "jaw": "How far the jaw of the written take opens; where the lips are shut it stays as written",
    "lips": "How strongly the mouth's shapes of the written take act; where the lips are shut they stay as written",
}


def _getter(name: str) -> Callable[[TakeStrengths], float]:
    def get(_self: TakeStrengths) -> float:
        from ..rig.strength_layer import adjustment_shown

        scene = bpy.context.scene
        chosen = scene.talkingeyes.rig or bpy.context.view_layer.objects.active
        armature = chosen.find_armature() if chosen is not None and chosen.type == "MESH" else chosen
        return 1.0 if armature is None else getattr(adjustment_shown(armature, scene.frame_current), name)

    return get


def _setter(name: str) -> Callable[[TakeStrengths, float], None]:
    def set_(_self: TakeStrengths, value: float) -> None:
        from ..rig.strength_layer import adjust_take, adjustment_of

        try:
            rig, take = subject.head_of(bpy.context), subject.take_of(bpy.context)
            adjust_take(rig, take, dataclasses.replace(adjustment_of(rig, take), **{name: value}))
        except TalkingEyesError as error:
            log.warning("%s", error)

    return set_


def _slider(name: str) -> bpy.types.FloatProperty:
    return bpy.props.FloatProperty(
        name=name.capitalize(),
        description=STRENGTHS[name],
        min=0.0,
        max=LARGEST,
        soft_max=2.0,
        subtype="FACTOR",
        options={"SKIP_SAVE"},
        get=_getter(name),
        set=_setter(name),
    )


class TakeStrengths(bpy.types.PropertyGroup):
    """``scene.talkingeyes.take``: strengths of the take that plays; the take itself keeps them."""

    face: _slider("face")
    head: _slider("head")
    gaze: _slider("gaze")
    blinks: _slider("blinks")
    jaw: _slider("jaw")
    lips: _slider("lips")


class ResetStrengths(jobs.Explained, bpy.types.Operator):
    """Bring the take back to the strengths with which it was written"""

    bl_idname = "talkingeyes.reset_strengths"
    bl_label = "Reset Strengths"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        from ..rig.strength_layer import Adjustment, adjustment_of

        reason = subject.why_no_take(context)
        if reason is None and adjustment_of(subject.head_of(context), subject.take_of(context)) == Adjustment():
            return rpt_("The take is as it was written.")
        return reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.strength_layer import Adjustment, adjust_take

        try:
            adjust_take(subject.head_of(context), subject.take_of(context), Adjustment())
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


GROUPS = (TakeStrengths,)
CLASSES = (ResetStrengths,)
