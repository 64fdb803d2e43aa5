"""Follow Strip: takes go where their speech went."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs, subject


class FollowStrip(jobs.Explained, bpy.types.Operator):
    """Move takes to where their sound strips lie now, and fit them to the scene's frame rate"""

    bl_idname = "talkingeyes.follow_strip"
    bl_label = "Follow Strip"
    bl_options = {"REGISTER", "UNDO"}

    take: bpy.props.StringProperty(
        name="Take", description="Id of the take to move; all takes of the head where it is empty", options={"HIDDEN"}
    )

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return subject.why_no_takes(context)

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        said = why_stale(context, properties.take) if properties.take else None
        return f"{cls.__doc__}. {said}" if said else cls.__doc__

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.follow import follow, stale, stale_takes

        scene = context.scene
        try:
            rig = subject.head_of(context)
            chosen = [subject.take_named(rig, self.take)] if self.take else stale_takes(rig, scene)
            said = follow(rig, chosen, scene)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if not chosen:
            said = list(filter(None, (stale(take, scene) for take in subject.takes_of(context))))
            self.report(
                {"WARNING" if said else "INFO"}, said[0] if said else rpt_("All takes lie where their speech is.")
            )
            return {"CANCELLED"}
        if len(chosen) == 1:
            moved = rpt_("The take lies where the speech is now.")
        else:
            moved = rpt_("{count} takes lie where the speech is now.", count=len(chosen))
        self.report({"WARNING" if said else "INFO"}, " ".join((moved, *said)))
        return {"FINISHED"}


def why_stale(context: bpy.types.Context, identity: str) -> str | None:
    """One sentence if the take does not fit its strips any more, by what is known without the disk."""
    from ..rig.follow import stale

    try:
        return stale(subject.take_named(subject.head_of(context), identity), context.scene, look=False)
    except TalkingEyesError:
        return None


CLASSES = (FollowStrip,)
