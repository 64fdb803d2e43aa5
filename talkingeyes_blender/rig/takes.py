"""Takes: actions of ours on NLA tracks of ours; which there are, where they lie, and how they go away again."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import bpy

from ..errors import TalkingEyesError
from . import compat
from .channels import Parts, Strengths
from .head_rig import HeadRig
from .take_records import TAKE_PROPERTY, fields_of, read_record

__all__ = ["TAKE_PROPERTY", "Clip", "Take", "choose_take", "clear", "clips", "owners", "read_record", "takes"]

TRACK = "TalkingEyes"

_GAP = 0.01
"""Frames between two strips of a track: where they touch, Blender would show the earlier one."""
_EMPTY_STRIP = 1.0
"""Frames that a strip is long at least; Blender holds none without a length."""


@dataclasses.dataclass(frozen=True)
class Take:
    """A motion that was written to a rig, as its action remembers it."""

    id: str
    name: str
    """Name of the action, which is also the strip's."""
    seed: int
    start: float
    """Scene frame at which the motion begins, wherever its strip has been moved to."""
    step: float
    """Scene frames between two frames of the motion."""
    frames: int
    number: int
    """Takes of a rig are numbered as they are made."""
    head_model: str
    parts: Parts
    strengths: Strengths
    gaze_seed: int
    """Seed of the eyes: another than ``seed`` after a resample."""
    settings: Mapping[str, Any]
    """Whatever the writer wanted to remember."""
    label: str = ""
    """What the user calls it; empty where he has given it no name."""
    rating: int = 0
    """Stars, 0 to 5."""
    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Name and version of the weights that made it; empty where that is not known."""
    format: int = 1
    """Of its record: see take_records.FORMAT."""
    locked: frozenset[str] = frozenset()
    """Parts that are not to be made anew."""
    active: bool = True
    """Whether the take plays, or is kept aside, muted."""
    warnings: tuple[str, ...] = ()
    """Sentences for the user, of the writing just done; not stored."""

    @property
    def end(self) -> float:
        """Scene frame of the motion's last frame."""
        return self.start + (self.frames - 1) * self.step


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """One strip of ours in the NLA of one data-block."""

    owner: bpy.types.ID
    track: bpy.types.NlaTrack
    strip: bpy.types.NlaStrip
    record: dict[str, Any]
    """What TAKE_PROPERTY holds."""

    @property
    def plays(self) -> bool:
        return not (self.track.mute or self.strip.mute)

    def overlap(self, start: float, end: float) -> float:
        """How many frames of this strip lie between two scene frames; not above 0 if none does."""
        return min(self.strip.frame_end, end) - max(self.strip.frame_start, start)


def owners(rig: HeadRig) -> list[bpy.types.ID]:
    """The data-blocks whose animation a take consists of: the armature object, the mesh's shape keys, then those of
    further meshes of the face."""
    more = (part.mesh.data.shape_keys for part in rig.more)
    return [owner for owner in (rig.armature, rig.shape_keys, *more) if owner is not None]


def clips(owner: bpy.types.ID) -> Iterator[Clip]:
    """Our strips in the NLA of a data-block."""
    data = owner.animation_data
    for track in data.nla_tracks if data is not None else ():
        for strip in track.strips:
            record = read_record(strip.action)
            if record is not None:
                yield Clip(owner, track, strip, record)


def takes(rig: HeadRig) -> list[Take]:
    """All takes of a rig, in the order in which they were made."""
    found: dict[str, Take] = {}
    for owner in owners(rig):
        for clip in clips(owner):
            found.setdefault(clip.record["id"], _take(clip))
    return sorted(found.values(), key=lambda take: take.number)


def current_take(rig: HeadRig, frame: float | None = None) -> Take | None:
    """The take that plays at scene frame ``frame``, else the newest that plays at all; None without a take."""
    playing = [take for take in takes(rig) if take.active]
    if frame is not None:
        here = [take for take in playing if take.start - take.step <= frame <= take.end + take.step]
        if here:
            return here[-1]
    return playing[-1] if playing else None


def choose_take(rig: HeadRig, take: Take) -> None:
    """Let ``take`` play and mute the takes that lie at the same time."""
    for owner in owners(rig):
        for clip in list(clips(owner)):
            if clip.record["id"] == take.id:
                clip.track.mute = clip.strip.mute = False
            elif clip.overlap(take.start, take.end) > 0:
                clip.strip.mute = True
        owner.update_tag()


def remove_take(rig: HeadRig, take: Take) -> None:
    """Remove one take; if it played, the newest other one that lies at the same time plays instead.

    The last one goes as by ``clear``.
    """
    refuse_tweak_mode(rig)
    others = takes(rig)
    take = next((other for other in others if other.id == take.id), take)  # it may play by now, or not any more
    others = [other for other in others if other.id != take.id]
    if not others:
        clear(rig)
        return
    removed: dict[str, Any] = {}
    for owner in owners(rig):
        for clip in list(clips(owner)):
            if clip.record["id"] == take.id:
                removed = clip.record
                drop(clip)
    if removed and removed["number"] < others[0].number:
        _hand_down(rig, removed, others[0])
    at_the_same_time = [other for other in others if other.start <= take.end and take.start <= other.end]
    if take.active and at_the_same_time and not any(other.active for other in at_the_same_time):
        choose_take(rig, at_the_same_time[-1])
    for owner in owners(rig):
        owner.update_tag()


def _hand_down(rig: HeadRig, removed: Mapping[str, Any], heir: Take) -> None:
    """Let the take that is now the oldest remember the rig as it was before any of ours."""
    for action in {clip.strip.action for owner in owners(rig) for clip in clips(owner) if clip.record["id"] == heir.id}:
        record = read_record(action)
        pairs = zip(record["before"], removed["before"], strict=False)
        record["before"] = [newer | older for newer, older in pairs]
        record["sliders"] = record.get("sliders", {}) | removed.get("sliders", {})
        action[TAKE_PROPERTY] = json.dumps(record)


def clear(rig: HeadRig) -> int:
    """Remove all our takes from a rig, put what they moved back to where it was, and return how many there were.

    Tracks and actions of others stay; so does the action of a take that somebody uses elsewhere.
    """
    refuse_tweak_mode(rig)
    removed: dict[str, dict[str, Any]] = {}
    for owner in owners(rig):
        mine = list(clips(owner))
        removed.update((clip.record["id"], clip.record) for clip in mine)
        for clip in mine:
            drop(clip)
        data = owner.animation_data
        if data is not None and read_record(data.action) is not None:
            action, data.action = data.action, None
            remove_unused(action)
        _drop_empty(owner)
    # The oldest take remembers the rig as it was before any of ours.
    for record in sorted(removed.values(), key=lambda r: r["number"], reverse=True):
        for owner, values in zip(owners(rig), record["before"], strict=False):
            restore_values(owner, values)
        _restore_sliders(rig, record.get("sliders", {}))
    for owner in owners(rig):
        owner.update_tag()
    return len(removed)


def drop(clip: Clip, and_action: bool = True, and_track: bool = True) -> None:
    """Remove a strip, its track if nothing else is on it, and its action if nobody else uses it."""
    action, owner, track = clip.strip.action, clip.owner, clip.track
    track.strips.remove(clip.strip)
    if and_track and not len(track.strips) and track.name.startswith(TRACK):
        owner.animation_data.nla_tracks.remove(track)
    if and_action:
        remove_unused(action)


def remove_unused(action: bpy.types.Action | None) -> None:
    if action is not None and action.users == 0:
        bpy.data.actions.remove(action)


def refuse_tweak_mode(rig: HeadRig) -> None:
    """Raise TalkingEyesError while the user edits a strip: Blender's NLA must not change below them."""
    for owner in owners(rig):
        if owner.animation_data is not None and owner.animation_data.use_tweak_mode:
            raise TalkingEyesError(
                f"An NLA strip of '{rig.name}' is being edited (tweak mode).",
                "Press Tab in the NLA editor to leave it, then try again.",
            )


# ----------------------------------------------------------------------------------------------- placing a new take


def place(
    owner: bpy.types.ID,
    action: bpy.types.Action,
    slot: bpy.types.ActionSlot | None,
    start: float,
    end: float,
    keep_previous: bool,
    keep: Collection[str] = (),
) -> None:
    """Put a take's action into the NLA of ``owner``, where its frames ``start`` to ``end`` are scene frames.

    Takes that follow one another share a track. One that lies mostly under the new one goes away, or is muted on a
    track of its own with ``keep_previous`` or if its id is in ``keep``; one that only reaches into it is cut to make
    room.
    """
    end = max(end, start + _EMPTY_STRIP)
    data = owner.animation_data or owner.animation_data_create()
    active = _active_of_others(data)
    around = start - _GAP, end + _GAP
    # The track that takes share stays where it is, so that layers above it go on to lie above it.
    shared = next((track for track in data.nla_tracks if is_ours(track)), None)
    for clip in [clip for clip in clips(owner) if clip.plays and clip.overlap(*around) > 0]:
        strip = clip.strip
        its_own = clip.track != shared
        if clip.overlap(*around) < (strip.frame_end - strip.frame_start) / 2:
            _cut(strip, *around)
        elif keep_previous or clip.record["id"] in keep:
            aside = data.nla_tracks.new()
            aside.name = f"{TRACK} {strip.action.name}"
            bounds = (strip.frame_start, strip.frame_end, strip.action_frame_start, strip.action_frame_end)
            muted = _add_strip(aside, strip.action, compat.slot_of(strip), *bounds)
            muted.mute = True
            drop(clip, and_action=False, and_track=its_own)
        else:
            drop(clip, and_track=its_own)
    track = shared
    strip = _add_strip(track, action, slot, start, end, start, end) if track is not None else None
    if strip is None:
        track = data.nla_tracks.new()
        track.name = TRACK
        strip = _add_strip(track, action, slot, start, end, start, end)
    # Before and after a take the face holds still, unless another track has something to say there.
    alone = all(t == track or t.mute or not len(t.strips) for t in data.nla_tracks)
    strip.extrapolation = "HOLD" if alone else "NOTHING"
    if active is not None:
        data.nla_tracks.active = _of_others(data)[active]


def _add_strip(track, action, slot, start: float, end: float, action_start: float, action_end: float):
    """A strip that plays an action's frames at scene frames; None where the track has no room for it."""
    # Blender places strips at whole frames and sorts them then; the exact place is set afterwards.
    strip = None
    for frame in dict.fromkeys((math.floor(start), math.ceil(start))):
        if any(other.frame_start <= frame < other.frame_end for other in track.strips):
            continue  # asked first, since Blender prints its refusal
        try:
            strip = track.strips.new(action.name, frame, action)
            break
        except RuntimeError:
            continue
    if strip is None:
        return None
    compat.set_strip_action(strip, action, slot)
    strip.use_sync_length = False
    strip.scale = strip.repeat = 1.0
    strip.action_frame_start, strip.action_frame_end = action_start, action_end
    strip.frame_start_raw, strip.frame_end_raw = start, end
    return strip


def _cut(strip: bpy.types.NlaStrip, start: float, end: float) -> None:
    """Shorten a strip so that it does not reach into ``start`` to ``end``."""
    shift = strip.frame_start - strip.action_frame_start
    strip.use_sync_length = False
    if strip.frame_start < start:
        strip.action_frame_end = start - shift
        strip.frame_end_raw = start
    else:
        last = strip.frame_end
        strip.action_frame_start = end - shift
        strip.frame_start_raw, strip.frame_end_raw = end, last


def _of_others(data: bpy.types.AnimData) -> list[bpy.types.NlaTrack]:
    return [t for t in data.nla_tracks if not any(read_record(strip.action) is not None for strip in t.strips)]


def _active_of_others(data: bpy.types.AnimData) -> int | None:
    """Place among the tracks of others of the one that is active; None where that is ours, or none is."""
    tracks, active = _of_others(data), data.nla_tracks.active
    return tracks.index(active) if active is not None and active in tracks else None


def is_ours(track: bpy.types.NlaTrack) -> bool:
    """Whether new takes go to a track."""
    return track.name == TRACK and not track.mute and all(read_record(s.action) is not None for s in track.strips)


# ------------------------------------------------------------------------------------------------- as it was before

_STRIP_VALUES = ("name", "mute", "extrapolation", "blend_type", "use_auto_blend", "blend_in", "blend_out", "influence")


def snapshot(owner: bpy.types.ID) -> list[tuple]:
    """Our strips on a data-block, for ``revert``."""
    return [
        (clip.track.name, clip.track.mute, clip.strip.action, compat.slot_of(clip.strip),
         (clip.strip.frame_start, clip.strip.frame_end, clip.strip.action_frame_start, clip.strip.action_frame_end),
         {name: getattr(clip.strip, name) for name in _STRIP_VALUES})
        for clip in clips(owner)
    ]  # fmt: skip


def revert(owner: bpy.types.ID, strips: list[tuple]) -> None:
    """Bring our strips on a data-block back to a snapshot. Their actions must still be there."""
    active = _active_of_others(owner.animation_data) if owner.animation_data is not None else None
    for clip in list(clips(owner)):
        drop(clip, and_action=False)
    tracks: dict[str, bpy.types.NlaTrack] = {}
    for name, mute, action, slot, bounds, values in strips:
        if name not in tracks:
            tracks[name] = owner.animation_data.nla_tracks.new()
            tracks[name].name, tracks[name].mute = name, mute
        strip = _add_strip(tracks[name], action, slot, *bounds)
        for key, value in values.items():
            setattr(strip, key, value)
    if active is not None:
        owner.animation_data.nla_tracks.active = _of_others(owner.animation_data)[active]
    _drop_empty(owner)


@contextlib.contextmanager
def all_or_none(rig: HeadRig) -> Iterator[None]:
    """Bring our strips on a rig back to what they were, and remove what was added, if the block raises.

    The block must not remove takes.
    """
    before = [(owner, snapshot(owner)) for owner in owners(rig)]
    keys = rig.shape_keys.key_blocks if rig.shape_keys is not None else ()
    sliders = [(key, key.slider_min, key.slider_max) for key in keys]
    try:
        yield
    except BaseException:
        known = {strip[2] for _, strips in before for strip in strips}
        new = {clip.strip.action for owner, _ in before for clip in clips(owner)} - known
        for owner, strips in before:
            revert(owner, strips)
        for action in new:
            remove_unused(action)
        for key, low, high in sliders:
            key.slider_min, key.slider_max = low, high
        raise


def values_of(owner: bpy.types.ID, data_paths: set[str]) -> dict[str, Any]:
    """The present values of properties, as JSON takes them."""
    values = {}
    for path in data_paths:
        value = owner.path_resolve(path)
        values[path] = list(value) if hasattr(value, "__len__") else value
    return values


def restore_values(owner: bpy.types.ID, values: Mapping[str, Any]) -> None:
    """Set properties to what ``values_of`` returned; those that are gone are passed over."""
    for path, value in values.items():
        holder, _, name = path.rpartition(".")
        try:
            setattr(owner.path_resolve(holder), name, value)
        except ValueError:
            continue


def _restore_sliders(rig: HeadRig, sliders: Mapping[str, list[float]]) -> None:
    """Give sliders that a take has widened their range again, but for those that the user has changed since."""
    for name, (low, high, *wide) in sliders.items():
        key = rig.shape_keys.key_blocks.get(name) if rig.shape_keys is not None else None
        if key is not None and all(map(_same, (key.slider_min, key.slider_max), wide)):
            key.slider_min, key.slider_max = low, high


def _same(a: float, b: float) -> bool:
    return abs(a - b) < 1e-5


def _drop_empty(owner: bpy.types.ID) -> None:
    """Remove animation data that holds nothing, as on a data-block that was never animated."""
    data = owner.animation_data
    if data is not None and data.action is None and not len(data.nla_tracks) and not len(data.drivers):
        owner.animation_data_clear()


def _take(clip: Clip) -> Take:
    record, strip = clip.record, clip.strip
    return Take(
        name=strip.action.name,
        start=record["start"] + strip.frame_start - strip.action_frame_start,
        active=clip.plays,
        **fields_of(record),
    )
