"""The strip that a job's speech came from, found again when the job is done: renamed and moved perhaps, but the same.

A strip has no identity that outlives an undo. What makes it the one that was heard is what is heard of it: the sound,
from where in it, for how long.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_

if TYPE_CHECKING:
    from ..rig.strip_times import Placement
    from ..rig.strips import StripTiming
    from ..worker.client import Task


SAME_SECONDS = 1e-4
"""A strip that has only been moved plays the same but for rounding."""


def plays_the_same(heard: StripTiming | Placement, offset: float, duration: float | None) -> bool:
    """Whether a strip still plays that stretch of its sound, wherever it lies."""
    if duration is None:
        return False
    return max(abs(heard.offset - offset), abs(heard.duration - duration)) < SAME_SECONDS


def find(scene: bpy.types.Scene, name: str, task: Task) -> tuple[bpy.types.Strip, StripTiming]:
    """Return the strip that ``task`` was made from and its timing now; raise TalkingEyesError if it is not there."""
    from ..rig.strip_times import placement
    from ..rig.strips import find_sound, list_sounds, timing

    same, named = [], False
    for strip in list_sounds(scene):
        named |= strip.name == name
        try:
            if not plays_the_same(placement(scene, strip), task.start, task.duration):
                continue  # asked first: to hear a retimed strip takes a mixdown
            heard = timing(scene, strip)
        except TalkingEyesError:
            continue  # nothing that could have been heard
        source = heard.packed if heard.path is None else str(heard.path)
        if source == task.audio:
            same.append((strip, heard))
    chosen = [found for found in same if found[0].name == name] or same
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise TalkingEyesError(
            rpt_(
                "The strip '{name}' was renamed while the motion was made, and {count} strips play the same.",
                name=name,
                count=len(chosen),
            ),
            rpt_("Generate again."),
        )
    if named:
        raise TalkingEyesError(
            rpt_("The strip '{name}' was changed while the motion was made.", name=name), rpt_("Generate again.")
        )
    find_sound(scene, name)  # which raises, and says which strips there are
    raise AssertionError("unreachable")
