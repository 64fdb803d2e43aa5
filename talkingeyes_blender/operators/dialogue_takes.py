"""The takes of a dialogue: how one motion over several strips is shared out, and what is locked in those there are."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TalkingEyesError
from ..motion import FPS
from ..translation import rpt_
from . import memory, replacing
from .resample import refuse_locked, take_still_there
from .writing import Piece

if TYPE_CHECKING:
    import bpy

    from ..motion import Motion
    from ..rig.head_rig import HeadRig
    from ..rig.takes import Take
    from ..worker.client import Task

_CHANNELS = ("expression", "jaw", "head", "eyes", "blink")


def layout(told: Mapping[str, Any], apart: bool, frames: int, seconds: float) -> list[tuple[int, int, dict]]:
    """First frame, the one behind the last, and the memory of each take of a dialogue of ``frames`` frames.

    ``told`` is what ``rig.spoken.record`` says of its strips. Takes of their own share the frame at which they meet.
    """
    spoken, rate = told["spoken"], told["frame_rate"]
    if not apart:
        return [(0, frames, {"strip": spoken[0]["strip"], "start": 0.0, "duration": seconds, "mixed": True, **told})]
    firsts = [min(frames - 1, round(each["at"] * FPS)) for each in spoken]
    firsts[0] = 0
    shared = []
    for number, each in enumerate(spoken):
        begin = firsts[number]
        end = firsts[number + 1] + 1 if number + 1 < len(firsts) else frames
        mine = {
            "strip": each["strip"],
            "start": 0.0,
            "duration": (end - begin) / FPS,
            "mixed": True,
            "spoken": [{**each, "at": each["at"] - begin / FPS}],
            "frame_rate": rate,
        }
        shared.append((begin, end, mine))
    return shared


def pieces(
    motion: Motion, start_frame: float, told: Mapping[str, Any], apart: bool, seconds: float, name: str,
    settings: Mapping[str, Any],
) -> list[Piece]:  # fmt: skip
    """What is to be written: a piece a take. ``name`` is the head's, ``settings`` those of the generation."""
    made = []
    for first, last, mine in layout(told, apart, motion.frames, seconds):
        title = (
            rpt_("TalkingEyes {name} {strip} seed {seed}", name=name, strip=mine["strip"], seed=motion.seed)
            if apart
            else None
        )
        start = start_frame + first * told["frame_rate"] / FPS
        made.append(Piece(_cut(motion, first, last), start, {**mine, **settings}, title))
    return made


def with_locks(
    scene: bpy.types.Scene, rig: HeadRig, start_frame: float, told: Mapping[str, Any], apart: bool, seconds: float
) -> list[Take]:
    """The takes of the same dialogue in whose place the new ones would come, if parts of one are locked; else none.

    Raises TalkingEyesError where takes with locked parts would be replaced that are not just that dialogue's.
    """
    from ..rig.takes import takes

    if scene.talkingeyes.keep_takes:
        return []
    end = start_frame + seconds * told["frame_rate"]
    there = [
        take
        for take in sorted(takes(rig), key=lambda take: take.start)
        if take.active and 2 * (min(take.end, end) - max(take.start, start_frame)) > take.end - take.start
    ]
    locked = [take for take in there if take.locked]
    if locked and not _are(there, start_frame, told, apart, seconds):
        raise TalkingEyesError(
            rpt_(
                "The take '{name}' has locked parts, and was made from another sound, or lies elsewhere.",
                name=locked[0].name,
            ),
            rpt_("Unlock them, or switch Keep Earlier Takes on."),
        )
    return there if locked else []


def around(there: Sequence[Take], chosen: Collection[str]) -> dict[str, object]:
    """What a task needs to make the parts anew that no take of a dialogue has locked.

    What is locked in one stays in all, for otherwise it would jump where the takes meet.
    """
    parts = tuple(part for part in chosen if not any(part in take.locked for take in there))
    if not parts:
        raise TalkingEyesError(
            rpt_("All parts that are switched on are locked in the takes that would be replaced."),
            rpt_("Unlock one, or switch Keep Earlier Takes on."),
        )
    motions = [memory.recall(take) for take in there]
    whole = {
        name: np.concatenate([getattr(m, name)[1 if number else 0 :] for number, m in enumerate(motions)])
        for name in _CHANNELS
    }
    return {"task": "resample", "motion": motions[0].replace(**whole), "parts": parts, "pieces": False}


def write_around(
    rig: HeadRig, identities: Sequence[str], task: Task, motion: Motion, strengths: dict[str, float]
) -> list[Take]:
    """Write the parts that the task made into the takes of a dialogue; all is checked before the first write."""
    there = [take_still_there(rig, identity) for identity in identities]
    cuts, first = [], 0
    for take in there:
        refuse_locked(take, task.parts)
        cuts.append(_cut(motion, first, first + take.frames))
        first += take.frames - 1
    if first + 1 != motion.frames:
        raise TalkingEyesError(rpt_("The takes were changed while the motion was made."), rpt_("Generate again."))
    return [
        replacing.write_around(rig, take.id, task, cut, strengths, replace_edited=False)
        for take, cut in zip(there, cuts, strict=True)
    ]


def _are(there: Sequence[Take], start_frame: float, told: Mapping[str, Any], apart: bool, seconds: float) -> bool:
    """Whether takes are those of a dialogue, lying where it lies."""
    frames = sum(take.frames - 1 for take in there) + 1
    expected = layout(told, apart, frames, seconds)
    return len(there) == len(expected) and all(
        take.frames == last - first
        and abs(take.start - start_frame - first * told["frame_rate"] / FPS) < 1e-3
        and all(alike(take.settings.get(name), mine[name]) for name in ("mixed", "spoken", "duration"))
        for take, (first, last, mine) in zip(there, expected, strict=True)
    )


def alike(one: object, other: object) -> bool:
    """Whether two memories are the same but for rounding, and for tuples, which JSON does not know."""
    return json.dumps(_rounded(one)) == json.dumps(_rounded(other))


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, 4) + 0.0 if isinstance(value, float) else value


def _cut(motion: Motion, first: int, last: int) -> Motion:
    return motion.replace(**{name: getattr(motion, name)[first:last] for name in _CHANNELS})
