"""What the operators on one take of the list share."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..errors import TalkingEyesError
from . import jobs, subject

if TYPE_CHECKING:
    from ..rig.head_rig import HeadRig
    from ..rig.takes import Take


class OfTake(jobs.Explained):
    """An operator on one take, by its id; without one, on the selected take."""

    bl_options = {"REGISTER", "UNDO"}

    take: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return jobs.why_busy() or subject.why_no_takes(context)

    def the_take(self, context: bpy.types.Context) -> tuple[HeadRig, Take]:
        """Return the head and its take; raise TalkingEyesError if one of them is gone."""
        rig = subject.head_of(context)
        return rig, subject.take_named(rig, self.take) if self.take else subject.selected_take(context)

    def change(self, context: bpy.types.Context, rig: HeadRig, take: Take) -> None:
        """Do it, and report what is worth it; raise TalkingEyesError if it cannot be done."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.change(context, *self.the_take(context))
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}
