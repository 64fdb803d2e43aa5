"""Motions become takes: brought to the rig, written all or none, remembered, and their keys reduced if that is wanted.

Whatever makes takes writes them here: Generate, Generate Takes, Generate Dialogue and Recover Last Motion.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import bpy

from ..translation import rpt_
from . import memory, reduce_keys

if TYPE_CHECKING:
    from ..motion import Motion
    from ..rig.head_rig import HeadRig
    from ..rig.steps import Steps
    from ..rig.takes import Take


@dataclasses.dataclass(frozen=True)
class Piece:
    """A motion, where it begins, and what its take shall remember of what it speaks."""

    motion: Motion
    start_frame: float
    settings: Mapping[str, Any]
    name: str | None = None


def write(
    scene: bpy.types.Scene,
    rig: HeadRig,
    piece: Piece,
    strengths: Mapping[str, float],
    *,
    keep_previous: bool,
    replace_edited: bool = False,
    weights: Mapping[str, str] | None = None,
) -> Steps[Take]:
    """Write one motion as a take. ``strengths`` are those of the parts that are written."""
    from ..rig.channels import Parts, Strengths
    from ..rig.curves import write_take_in_steps
    from ..rig.retarget import motion_for_rig

    fitting = motion_for_rig(rig, piece.motion)
    yield
    take = yield from write_take_in_steps(
        rig,
        fitting,
        scene=scene,
        start_frame=piece.start_frame,
        parts=Parts(**{part.name: part.name in strengths for part in dataclasses.fields(Parts)}),
        strengths=Strengths(**strengths),
        seed=piece.motion.seed,
        name=piece.name,
        keep_previous=keep_previous,
        replace_edited=replace_edited,
        settings=piece.settings,
        weights=weights,
    )
    yield
    memory.remember(take, piece.motion)
    yield
    fewer = reduce_keys.reduce_new(scene, rig, take)
    return dataclasses.replace(take, warnings=(*fewer, *take.warnings))


def write_all(
    scene: bpy.types.Scene,
    rig: HeadRig,
    pieces: Sequence[Piece],
    strengths: Mapping[str, float],
    *,
    keep_previous: bool,
    weights: Mapping[str, str] | None = None,
) -> Steps[list[Take]]:
    """Write several motions as takes, all of them or none.

    Without ``keep_previous`` takes that made room for them go away, but for those that were edited by hand.
    """
    from ..rig.hand_edits import edited
    from ..rig.takes import all_or_none, remove_take, takes

    if len(pieces) == 1:
        return [(yield from write(scene, rig, pieces[0], strengths, keep_previous=keep_previous, weights=weights))]
    playing = [take.id for take in takes(rig) if take.active]
    with all_or_none(rig):
        written = []
        for piece in pieces:
            written.append((yield from write(scene, rig, piece, strengths, keep_previous=True, weights=weights)))
    for take in [] if keep_previous else takes(rig):
        if take.id in playing and not take.active:
            if edited(rig, take):
                kept = rpt_(
                    "The earlier take '{name}' may have been edited by hand; it was kept, muted.", name=take.name
                )
                written[-1] = dataclasses.replace(written[-1], warnings=(*written[-1].warnings, kept))
            else:
                remove_take(rig, take)
    return written


def done(scene: bpy.types.Scene, seed: int) -> None:
    """What the panel shows after something was written."""
    scene.talkingeyes.gaze_seed = seed
    scene.talkingeyes_takes.selected = ""
    scene.sync_mode = "AUDIO_SYNC"
