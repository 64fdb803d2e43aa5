"""Generate in the place of a take with locked parts: these stay, and the others are made anew around them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import memory
from .resample import for_rig, refuse_locked, take_still_there

if TYPE_CHECKING:
    from collections.abc import Collection

    import bpy

    from ..motion import Motion
    from ..rig.head_rig import HeadRig
    from ..rig.strips import StripTiming
    from ..rig.takes import Take
    from ..worker.client import Task


def locked_take(scene: bpy.types.Scene, rig: HeadRig, heard: StripTiming) -> Take | None:
    """The take with locked parts in whose place a new one from the strip would come; None where nothing is at stake.

    Raises TalkingEyesError where it was made from another sound, or from other seconds of it.
    """
    from ..rig.curves import frames_per_second
    from ..rig.takes import takes

    if scene.talkingeyes.keep_takes:
        return None
    start, end = heard.start_frame, heard.start_frame + heard.duration * frames_per_second(scene)
    for take in takes(rig):
        shared = min(take.end, end) - max(take.start, start)
        if not take.active or not take.locked or 2 * shared <= take.end - take.start:
            continue
        made = take.settings
        same = (made.get("start"), made.get("duration")) == (heard.offset, heard.duration)
        if not same or abs(take.start - start) > 1e-3:
            raise TalkingEyesError(
                rpt_(
                    "The take '{name}' has locked parts, and was made from another sound, or lies elsewhere.",
                    name=take.name,
                ),
                rpt_("Unlock them, or switch Keep Earlier Takes on."),
            )
        return take
    return None


def parts_to_make(take: Take, chosen: Collection[str]) -> tuple[str, ...]:
    """The chosen parts that are not locked; TalkingEyesError if there is none."""
    parts = tuple(part for part in chosen if part not in take.locked)
    if not parts:
        raise TalkingEyesError(
            rpt_("All parts that are switched on are locked in the take that would be replaced."),
            rpt_("Unlock one, or switch Keep Earlier Takes on."),
        )
    return parts


def around(take: Take, chosen: Collection[str]) -> dict[str, object]:
    """What a task needs to make the other parts of a take anew."""
    return {"task": "resample", "motion": memory.recall(take), "parts": parts_to_make(take, chosen)}


def write_around(
    rig: HeadRig, identity: str, task: Task, motion: Motion, strengths: dict[str, float], replace_edited: bool
) -> Take:
    """Write the parts that the task made into the take that has locked ones."""
    from ..rig.rewrite import rewrite_parts

    take, parts = take_still_there(rig, identity), task.parts
    refuse_locked(take, parts)
    motion = motion.replace(seed=task.seed)
    take = rewrite_parts(
        rig,
        take,
        for_rig(rig, motion, parts),
        parts,
        strengths=dataclasses.replace(take.strengths, **{part: strengths[part] for part in parts}),
        keep_edited=not replace_edited,
        seed=motion.seed,
        gaze_seed=motion.seed if "gaze" in parts else take.gaze_seed,
        settings={**take.settings, **task.settings},
    )
    memory.remember(take, motion)
    return take
