"""A motion that is still being made, shown on a head: actions on a track of their own that go away without a trace.

A preview is no take. It lies on a track named ``TRACK`` above our takes and mutes, cuts and replaces nothing. Each of
its actions remembers what the head was like before, so that whoever comes upon one, after an undo or in a file that was
saved for recovery, can take it away.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
from typing import Any

import bpy
import numpy as np

from ..motion import Motion
from . import compat
from .blinks import blink_expressions
from .channels import Channel, Parts, Strengths, motion_channels
from .curves import _sliders, _write
from .head_rig import HeadRig
from .retarget import motion_for_rig
from .takes import _add_strip, _drop_empty, _same, clips, owners, restore_values, values_of

PREVIEW_PROPERTY = "talkingeyes_preview"
"""On an action of a preview: JSON of ``number``, and of what was ``before``: values by path, sliders by key."""
TRACK = "TalkingEyes Preview"

_GAP = 0.01
"""Frames between two strips of a track: where they touch, Blender would show the earlier one."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where and how a motion is shown: the scene frame of its first frame, scene frames a frame, and what of it."""

    start: float
    step: float
    parts: Parts = Parts()
    strengths: Strengths = Strengths()


def show(rig: HeadRig, motion: Motion, first: int, place: Place) -> bool:
    """Let the head play a piece of a motion, which begins with frame ``first`` of the whole; each after the other.

    The last frame of a piece is held until another one follows. False, and nothing done, while the user edits a strip
    of the head's NLA. Raises TalkingEyesError if the motion cannot be brought to the rig.
    """
    if any(owner.animation_data is not None and owner.animation_data.use_tweak_mode for owner in owners(rig)):
        return False
    motion = motion_for_rig(rig, motion)
    frames = place.start + place.step * (first + np.arange(motion.frames))
    parts = place.parts
    shut = blink_expressions(rig) if parts.blinks and not rig.vocabulary and not any(rig.blink_keys) else None
    channels = motion_channels(rig, motion, frames, parts, place.strengths, shut, halvings=0)
    for owner, of_owner in zip(owners(rig), channels.lists, strict=False):
        if of_owner:
            _show(owner, of_owner, frames, _widened(rig, of_owner) if owner == rig.shape_keys else {})
            owner.update_tag()
    return True


def shown() -> bool:
    """Whether a preview is in the file."""
    return any(PREVIEW_PROPERTY in action for action in bpy.data.actions)


def remove() -> bool:
    """Take all previews away, and put back what they moved; whether there were any."""
    actions = {action for action in bpy.data.actions if PREVIEW_PROPERTY in action and action.library is None}
    if not actions:
        return False
    for owner in [*bpy.data.objects, *bpy.data.shape_keys]:
        if owner.animation_data is not None:
            _remove(owner, actions)
    for action in actions:
        bpy.data.actions.remove(action)
    return True


def _show(owner: bpy.types.ID, channels: list[Channel], frames: np.ndarray, sliders: dict[str, list[float]]) -> None:
    data = owner.animation_data or owner.animation_data_create()
    active = data.nla_tracks.active
    track = next((track for track in data.nla_tracks if _records_on(track)), None)
    if track is None:
        ours = [clip.track for clip in clips(owner)]
        below = [t for t in data.nla_tracks if t in ours]
        track = data.nla_tracks.new(prev=below[-1]) if below else data.nla_tracks.new()
        track.name = TRACK
    number = len(track.strips)
    known = set().union(*(record["before"] for record in _records_on(track)))
    before = values_of(owner, {channel.data_path for channel in channels} - known)
    ((action, slot),) = compat.new_actions(f"{TRACK} {owner.name} {number + 1}", [owner])
    action[PREVIEW_PROPERTY] = json.dumps({"number": number, "before": before, "sliders": sliders})
    _write(compat.Curves(action, slot), channels)
    for name, (_, _, low, high) in sliders.items():
        key = owner.key_blocks[name]
        key.slider_min, key.slider_max = low, high
    start, end = float(frames[0]) + (_GAP if number else 0.0), max(float(frames[-1]), float(frames[0]) + 1)
    strip = _add_strip(track, action, slot, start, end, start, end)
    strip.extrapolation = "HOLD_FORWARD"
    if active is not None:
        data.nla_tracks.active = active


def _widened(rig: HeadRig, channels: list[Channel]) -> dict[str, list[float]]:
    """By shape key its slider's range now and as these curves need it, where they need another."""
    keys = rig.shape_keys.key_blocks
    wanted = {name: limits[2:] for name, limits in _sliders(rig, channels).items()}
    now = {name: [keys[name].slider_min, keys[name].slider_max] for name in wanted if name in keys}
    return {name: [*was, *wanted[name]] for name, was in now.items() if was != wanted[name]}


def _records_on(track: bpy.types.NlaTrack) -> list[dict[str, Any]]:
    """What the actions of a preview that a track plays remember."""
    actions = [strip.action for strip in track.strips if strip.action is not None]
    return [json.loads(action[PREVIEW_PROPERTY]) for action in actions if PREVIEW_PROPERTY in action]


def _remove(owner: bpy.types.ID, actions: set[bpy.types.Action]) -> None:
    data = owner.animation_data
    if data.action in actions:  # tweak mode, on one of ours
        data.use_tweak_mode = False
        if data.action in actions:
            data.action = None
    tracks = [track for track in data.nla_tracks if any(strip.action in actions for strip in track.strips)]
    if not tracks:
        return
    records: list[dict[str, Any]] = []
    active = data.nla_tracks.active
    kept = active if active not in tracks else None
    for track in tracks:
        for strip in list(track.strips):
            if strip.action in actions:
                records.append(json.loads(strip.action[PREVIEW_PROPERTY]))
                track.strips.remove(strip)
        if not len(track.strips):  # the user may have put something there
            data.nla_tracks.remove(track)
    if kept is not None:
        data.nla_tracks.active = kept
    for record in sorted(records, key=lambda record: record["number"], reverse=True):
        for name, (low, high, *wide) in record["sliders"].items():
            key = owner.key_blocks.get(name)
            if key is not None and all(map(_same, (key.slider_min, key.slider_max), wide)):
                key.slider_min, key.slider_max = low, high
        restore_values(owner, record["before"])
    _drop_empty(owner)
    owner.update_tag()
