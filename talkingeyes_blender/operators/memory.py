"""The motion that a take was made from, kept with the take's action: for new gaze under the same head, and for export.

It is the motion as generated, in the weights' own expression basis, before parts, strengths and the rig.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..motion import Motion
from ..translation import rpt_

if TYPE_CHECKING:
    from ..rig.takes import Take

MOTION_PROPERTY = "talkingeyes_motion"
"""On our actions: the bytes of a motion's npz."""


def remember(take: Take, motion: Motion) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, **{field.name: getattr(motion, field.name) for field in dataclasses.fields(motion)})
    action = bpy.data.actions[take.name]
    if MOTION_PROPERTY in action:
        del action[MOTION_PROPERTY]  # Blender cuts bytes that replace other bytes off at their first zero
    action[MOTION_PROPERTY] = stream.getvalue()


def recall(take: Take) -> Motion:
    """Return the motion of a take; raise TalkingEyesError if it was not kept."""
    action = bpy.data.actions.get(take.name)
    kept = action.get(MOTION_PROPERTY) if action is not None else None
    if not isinstance(kept, bytes):
        raise TalkingEyesError(
            rpt_("The take '{name}' does not hold its motion.", name=take.name), rpt_("Generate it again.")
        )
    return Motion.load(io.BytesIO(kept))
