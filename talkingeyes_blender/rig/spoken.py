"""Which sound strips a take speaks: remembered with the take, and looked up again when it is worked on later."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import bpy

from ..errors import TalkingEyesError
from .curves import frames_per_second
from .strip_mix import mixdown
from .strip_times import Placement, placement
from .strips import StripTiming, find_sound, timing
from .takes import Take

_ENDS = 65_536
"""Bytes at each end of a file by which it is told from others of its size."""
_FPS = 25.0
"""Of the motions of takes that do not say for which frame rate they were written."""


@dataclasses.dataclass(frozen=True)
class Spoken:
    """One strip that a take speaks, as it was then; times in seconds."""

    strip: str
    start: float
    """Where in the file it began to sound."""
    duration: float
    at: float = 0.0
    """Where in the take it begins."""
    retiming: tuple[float, ...] = ()
    file: str = ""
    """What tells the file's content from another; see ``fingerprint``."""


def record(scene: bpy.types.Scene, strips: Sequence, start: float) -> dict[str, Any]:
    """What a take that begins ``start`` seconds after frame 0 remembers of the strips that it speaks, as JSON takes
    it."""
    spoken = []
    for strip in strips:
        heard = placement(scene, strip)
        at = heard.start - start
        told = Spoken(strip.name, heard.offset, heard.duration, at, heard.retiming, fingerprint(strip.sound))
        spoken.append(dataclasses.asdict(told))
    return {"spoken": spoken, "frame_rate": frames_per_second(scene)}


def spoken_by(take: Take) -> list[Spoken]:
    """The strips that a take speaks; none for a take that was written by a script."""
    told = take.settings.get("spoken")
    if told:
        return [Spoken(**{**each, "retiming": tuple(each["retiming"])}) for each in told]
    if {"strip", "start", "duration"} <= set(take.settings):
        return [Spoken(take.settings["strip"], take.settings["start"], take.settings["duration"])]
    return []


def frame_rate_of(take: Take) -> float:
    """The scene's frame rate for which a take was written."""
    return float(take.settings.get("frame_rate") or take.step * _FPS)


def speaks(take: Take, strip: str) -> bool:
    return any(each.strip == strip for each in spoken_by(take))


def heard_again(scene: bpy.types.Scene, settings: Mapping[str, Any]) -> StripTiming:
    """The sound that a take was made from, as its strips sound now: of one strip, or the mix of those of a dialogue."""
    if settings.get("mixed"):
        strips = [find_sound(scene, each["strip"]) for each in settings["spoken"]]
        mix = mixdown(scene, strips, settings["duration"])
        return StripTiming(None, mix.wave, 0.0, mix.duration, mix.start, mix.start_frame)
    return timing(scene, find_sound(scene, settings["strip"]))


def placed(scene: bpy.types.Scene, spoken: Spoken) -> tuple[bpy.types.Strip, Placement]:
    """The strip and when it is heard now; TalkingEyesError if it is gone, or sounds no more."""
    strip = find_sound(scene, spoken.strip)
    return strip, placement(scene, strip)


def fingerprint(sound: bpy.types.Sound) -> str:
    """What tells a sound's content from another: its size, and a hash of both ends of a file on disk.

    '' for a file that is not there. Files are read once, and again when they have changed.
    """
    if sound.packed_file is not None:
        return packed_size(sound)
    path = bpy.path.abspath(sound.filepath, library=sound.library)
    try:
        state = os.stat(path)
        return fingerprint_of_file(path, state.st_size, state.st_mtime_ns)
    except OSError:
        return ""


def packed_size(sound: bpy.types.Sound) -> str:
    """What ``fingerprint`` says of a packed sound."""
    return f"{sound.packed_file.size}"


def same_file(one: str, other: str) -> bool:
    """Whether two fingerprints may be of the same content; of packed and missing files little is known."""
    if not one or not other or one == other:
        return True
    (size, _, ends), (other_size, _, other_ends) = one.partition("-"), other.partition("-")
    return size == other_size and not (ends and other_ends)


@functools.lru_cache(maxsize=256)
def fingerprint_of_file(path: str, size: int, _changed: int) -> str:
    """What ``fingerprint`` says of a file of that size and time of change."""
    with open(path, "rb") as stream:
        content = stream.read(_ENDS)
        if size > _ENDS:
            stream.seek(max(_ENDS, size - _ENDS))
            content += stream.read(_ENDS)
    return f"{size}-{hashlib.blake2b(content, digest_size=8).hexdigest()}"


def of_names(scene: bpy.types.Scene, names: Sequence[str]) -> list:
    """The sound strips of these names; TalkingEyesError if one is gone."""
    if not names:
        raise TalkingEyesError("No sound strip is chosen.", "Select sound strips in the sequencer.")
    return [find_sound(scene, name) for name in names]
