"""The small changes to a take: stars, playing along with another."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from .of_take import OfTake


class RateTake(OfTake, bpy.types.Operator):
    """Give the take stars; the same number again takes one away"""

    bl_idname = "talkingeyes.rate_take"
    bl_label = "Rate Take"

    stars: bpy.props.IntProperty(name="Stars", description="0 to 5", default=0, min=0, max=5)

    def change(self, context, rig, take) -> None:
        from ..rig.take_list import rate

        stars = self.stars - 1 if self.stars and self.stars == take.rating else self.stars
        rate(bpy.data.actions[take.name], stars)


class RenameTake(OfTake, bpy.types.Operator):
    """Name the take; its action and its strips follow"""

    bl_idname = "talkingeyes.rename_take"
    bl_label = "Rename Take"

    label: bpy.props.StringProperty(name="Name", description="What the take is called", maxlen=60)

    def change(self, context, rig, take) -> None:
        from ..rig.take_list import rename

        if not self.label.strip():
            raise TalkingEyesError(rpt_("The take needs a name."), rpt_("Type one."))
        rename(bpy.data.actions[take.name], self.label)


class MixTake(OfTake, bpy.types.Operator):
    """Let the take play together with the others at its time, or not any more; influence and fades mix them"""

    bl_idname = "talkingeyes.mix_take"
    bl_label = "Blend Take"

    def change(self, context, rig, take) -> None:
        from ..rig.take_list import influence, is_below, play_along, playing_with, set_influence
        from ..rig.takes import takes

        if take.active and not playing_with(rig, take):
            raise TalkingEyesError(
                rpt_("No other take plays at the time of this one."), rpt_("Blend another one with it.")
            )
        play_along(rig, take, not take.active)
        if take.active:
            return
        # The upper of the two would hide the lower one: half of each shows that both play.
        take = next(other for other in takes(rig) if other.id == take.id)
        upper = playing_with(rig, take)[-1] if is_below(rig, take) else take
        if playing_with(rig, take) and influence(rig, upper) == 1.0:
            set_influence(rig, upper, 0.5)
        context.scene.talkingeyes_takes.selected = upper.id


CLASSES = (RateTake, RenameTake, MixTake)
