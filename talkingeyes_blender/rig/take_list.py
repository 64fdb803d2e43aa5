"""What one does with takes that are there: name, rate, mute, play together, and fade them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator

import bpy

from .hand_edits import edited
from .head_rig import HeadRig
from .take_records import MOST_STARS, read_record, write_record
from .takes import Clip, Take, choose_take, clips, owners, refuse_tweak_mode, remove_take, restore_values, takes

_BLENDER_NAME = 63
"""Bytes of the longest name of a data-block in Blender 4.2."""


def clips_of(rig: HeadRig, take: Take) -> list[Clip]:
    """The strips of one take: the armature's and the shape keys'."""
    return [clip for owner in owners(rig) for clip in clips(owner) if clip.record["id"] == take.id]


def title(record: dict) -> str:
    """What a user reads for a take."""
    return record["label"] or f"Take {record['number']}"


# --------------------------------------------------------------------------------------------------- name and rating


def rename(action: bpy.types.Action, label: str) -> None:
    """Call the take of an action ``label``: its record says so, and its actions' and strips' names follow."""
    label = label.strip()
    record = read_record(action)
    if not label or record is None or label == title(record):
        return
    mine = _actions_of(record["id"])
    for number, other in enumerate(sorted(mine, key=lambda a: a.name)):
        write_record(other, {**read_record(other), "label": label})
        ending = "" if number == 0 else " keys"
        room = _BLENDER_NAME - len(ending)
        other.name = label.encode()[:room].decode(errors="ignore") + ending
    for strip in _strips_of(mine):
        strip.name = strip.action.name


def rate(action: bpy.types.Action, stars: int) -> None:
    """Give the take of an action 0 to 5 stars."""
    record = read_record(action)
    for other in _actions_of(record["id"]) if record is not None else ():
        write_record(other, {**read_record(other), "rating": min(max(int(stars), 0), MOST_STARS)})


def _actions_of(identity: str) -> list[bpy.types.Action]:
    found = ((action, read_record(action)) for action in bpy.data.actions)
    return [action for action, record in found if record is not None and record["id"] == identity]


def _strips_of(actions: list[bpy.types.Action]) -> Iterator[bpy.types.NlaStrip]:
    users = bpy.data.user_map(subset=actions)
    for user in {user for action in actions for user in users.get(action, ())}:
        data = getattr(user, "animation_data", None)
        for track in data.nla_tracks if data is not None else ():
            yield from (strip for strip in track.strips if strip.action in actions)


# ------------------------------------------------------------------------------------------------ playing and fading


def mute(rig: HeadRig, take: Take) -> None:
    """Keep a take aside; if no other plays at its time then, the newest other one there does."""
    refuse_tweak_mode(rig)
    for clip in clips_of(rig, take):
        clip.strip.mute = True
    there = [t for t in takes(rig) if t.id != take.id and t.start <= take.end and take.start <= t.end]
    if there and not any(other.active for other in there):
        choose_take(rig, there[-1])
    for owner in owners(rig):
        owner.update_tag()


def play_along(rig: HeadRig, take: Take, on: bool) -> None:
    """Let a take play together with those that play, or not any more; its influence says how much it shows."""
    refuse_tweak_mode(rig)
    for clip in clips_of(rig, take):
        if on:
            clip.track.mute = False
        clip.strip.mute = not on
    for owner in owners(rig):
        owner.update_tag()


def playing_with(rig: HeadRig, take: Take) -> list[Take]:
    """The other takes that play at the time of one, lowest in the NLA first."""
    order = [clip.record["id"] for clip in clips(owners(rig)[0])]
    others = [t for t in takes(rig) if t.active and t.id != take.id and t.start < take.end and take.start < t.end]
    return sorted(others, key=lambda other: order.index(other.id) if other.id in order else -1)


def is_below(rig: HeadRig, take: Take) -> bool:
    """Whether a take lies below the others that play at its time, so that it is they whose influence mixes them."""
    order = [clip.record["id"] for clip in clips(owners(rig)[0])]
    others = [order.index(other.id) for other in playing_with(rig, take) if other.id in order]
    return bool(others) and take.id in order and order.index(take.id) < max(others)


def influence(rig: HeadRig, take: Take) -> float:
    """How much of a take shows, 0 to 1, where its influence is not animated."""
    for clip in clips_of(rig, take):
        return clip.strip.influence if clip.strip.use_animated_influence else 1.0
    return 1.0


def set_influence(rig: HeadRig, take: Take, value: float) -> None:
    """Let ``value`` of a take show. An influence that somebody has animated with several keys is left as it is."""
    value = min(max(float(value), 0.0), 1.0)
    for clip in clips_of(rig, take):
        strip = clip.strip
        if strip.use_animated_influence and any(len(curve.keyframe_points) > 1 for curve in strip.fcurves):
            continue
        if value == 1.0:
            # Blender heeds fades only where the influence is its own affair.
            strip.use_animated_influence = False
            strip.influence = 1.0
            continue
        strip.use_animated_influence = True
        strip.influence = value
        for curve in strip.fcurves:
            if curve.data_path == "influence" and len(curve.keyframe_points):
                curve.keyframe_points[0].co[1] = value  # which Blender has set to what was there before
                curve.update()
    for owner in owners(rig):
        owner.update_tag()


def fades(rig: HeadRig, take: Take) -> tuple[float, float]:
    """Frames over which a take fades in and out."""
    for clip in clips_of(rig, take):
        return clip.strip.blend_in, clip.strip.blend_out
    return 0.0, 0.0


def set_fades(rig: HeadRig, take: Take, into: float | None = None, out: float | None = None) -> None:
    for clip in clips_of(rig, take):
        strip = clip.strip
        strip.use_auto_blend = False
        length = strip.frame_end - strip.frame_start
        if into is not None:
            strip.blend_in = min(max(into, 0.0), length - strip.blend_out)
        if out is not None:
            strip.blend_out = min(max(out, 0.0), length - strip.blend_in)
    for owner in owners(rig):
        owner.update_tag()


# ---------------------------------------------------------------------------------------------------------- clearing


def clear_but_edited(rig: HeadRig) -> tuple[int, int]:
    """Remove the takes that nobody has edited, mute those that somebody has; return how many were each."""
    refuse_tweak_mode(rig)
    all_takes = takes(rig)
    kept = [take for take in all_takes if edited(rig, take)]
    kept_ids = {take.id for take in kept}
    for take in all_takes:
        if take.id not in kept_ids:
            remove_take(rig, take)
    for take in kept:
        for clip in clips_of(rig, take):
            clip.strip.mute = True
    for number, owner in enumerate(owners(rig)):
        for clip in sorted(clips(owner), key=lambda c: c.record["number"], reverse=True):
            restore_values(owner, clip.record["before"][number] if number < len(clip.record["before"]) else {})
        owner.update_tag()
    return len(all_takes) - len(kept), len(kept)
