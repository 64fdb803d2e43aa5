"""Writing parts of a motion into a take that is there: the other curves, and keys at other times, stay as they are."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..motion import Motion
from . import compat
from .blinks import blink_expressions
from .channels import (
    BONE_PATHS,
    ROTATION_PATHS,
    Channel,
    Parts,
    Strengths,
    bone_path,
    gaze_paths,
    key_path,
    motion_channels_in_steps,
)
from .curves import _remove_action, _set_sliders, _sliders, _undo_on_failure, _write_in_steps
from .hand_edits import edited, edited_paths, is_sealed, seal
from .head_rig import HeadRig
from .key_reduction import sampled
from .named import part_of
from .steps import Steps, finish
from .strength_layer import adjust_again
from .takes import (
    TAKE_PROPERTY,
    TRACK,
    Clip,
    Take,
    _active_of_others,
    _add_strip,
    _of_others,
    clips,
    owners,
    refuse_tweak_mode,
    revert,
    snapshot,
    takes,
)

PARTS = ("face", "head", "gaze", "blinks")

_EPSILON = 1e-3
"""Scene frames within which two keys are at the same time."""
_ARRAYS = {
    "co": (2, np.float32),
    "handle_left": (2, np.float32),
    "handle_right": (2, np.float32),
    "interpolation": (1, np.int32),
    "handle_left_type": (1, np.int32),
    "handle_right_type": (1, np.int32),
    "easing": (1, np.int32),
    "type": (1, np.int32),
}
_LINEAR, _AUTO_CLAMPED = 1, 4


def rewrite_parts(
    rig: HeadRig,
    take: Take,
    motion: Motion,
    parts: Collection[str],
    frames: tuple[int, int] | None = None,
    **how: Any,
) -> Take:
    """``rewrite_parts_in_steps``, with its arguments, at once."""
    return finish(rewrite_parts_in_steps(rig, take, motion, parts, frames, **how))


def rewrite_parts_in_steps(
    rig: HeadRig,
    take: Take,
    motion: Motion,
    parts: Collection[str],
    frames: tuple[int, int] | None = None,
    *,
    strengths: Strengths | None = None,
    keep_edited: bool = False,
    story: Mapping[str, Any] | None = None,
    **record_changes: Any,
) -> Steps[Take]:
    """Write ``parts`` of a motion, whose expressions are in the rig's basis, over those of ``take``.

    With ``frames`` (first, one behind the last) no key outside of them changes; a part that the take did not have is
    written whole. ``strengths`` are the take's if not given. ``record_changes`` go to what its actions remember, and
    ``story`` to the end of the list 'resampled' there. All or nothing.

    With ``keep_edited`` a take whose curves of these parts may have been edited by hand is kept, muted, and another one
    takes its place.
    """
    refuse_tweak_mode(rig)
    motion.checked()
    parts = frozenset(parts)
    if motion.frames != take.frames:
        raise TalkingEyesError(
            f"The motion has {motion.frames} frames, the take '{take.name}' {take.frames}.", "Generate the take again."
        )
    mine = [next((c for c in clips(owner) if c.record["id"] == take.id), None) for owner in owners(rig)]
    if any(clip is None for clip in mine):
        raise TalkingEyesError(f"A strip of the take '{take.name}' is gone.", "Generate the take again.")
    record = {**mine[0].record, **record_changes}
    had = {part for part in PARTS if getattr(take.parts, part)}
    if story is not None:
        record["resampled"] = [*record.get("resampled", ()), dict(story)]
    if strengths is not None:
        record["strengths"] = dataclasses.asdict(strengths)
    record["parts"] = {part: part in had | parts for part in PARTS}
    by_expressions = parts & {"face", "blinks"} and "blinks" in had | parts and not any(rig.blink_keys)
    by_expressions = by_expressions and not rig.vocabulary
    shut = blink_expressions(rig) if by_expressions else None
    channels = yield from motion_channels_in_steps(
        rig,
        motion,
        record["start"] + take.step * np.arange(take.frames),
        # Lids that expressions shut share these curves with the face.
        Parts(**{part: part in parts or (shut is not None and part in had & {"face", "blinks"}) for part in PARTS}),
        strengths or take.strengths,
        shut,
    )
    wanted = paths_of(rig, parts, shut)
    chosen = [
        [channel for channel in of_owner if channel.data_path in paths]
        for of_owner, paths in zip(channels.lists, wanted, strict=True)
    ]
    span = None
    if frames is not None and parts <= had and frames != (0, take.frames):
        # All that lies between the last kept key and the first kept one again.
        first, last = frames
        span = tuple(record["start"] + take.step * edge for edge in (first - 1, last))
    record["sliders"] = _sliders(rig, chosen[1])
    aside = keep_edited and edited(rig, take, set.union(*wanted))
    if aside:
        record["id"], record["number"] = uuid.uuid4().hex, max(each.number for each in takes(rig)) + 1
    # A curve that somebody edited outside of the frames is still edited.
    own = set.union(*wanted) - (edited_paths(rig, take) if span is not None else set())
    sealed = is_sealed(rig, take)
    copies: dict[bpy.types.Action, bpy.types.Action] = {}
    written: dict[bpy.types.Action, list] = {}
    with _undo_on_failure() as undo:
        for clip, of_owner, paths in zip(mine, chosen, wanted, strict=False):
            action, slot = clip.strip.action, compat.slot_of(clip.strip)
            if action not in copies:
                # The action is changed in a copy, which then takes its place: a failure leaves the original alone.
                copies[action] = action.copy()
                undo(_remove_action, copies[action].name)
                copies[action][TAKE_PROPERTY] = json.dumps(record)
            copy = copies[action]
            copy_slot = copy.slots[slot.identifier] if slot is not None else None
            written.setdefault(copy, []).append(copy_slot)
            yield
            yield from _rewrite(compat.Curves(copy, copy_slot), of_owner, paths, span)
            if clip.owner == rig.shape_keys:
                _set_sliders(clip.owner, record["sliders"], undo)
        yield
        for copy, slots in written.items() if sealed else ():
            seal(copy, slots, own)
        yield
        if aside:
            for owner in owners(rig):
                undo(revert, owner, snapshot(owner))
            for clip in mine:
                _put_aside(clip, copies[clip.strip.action])
    for action, copy in copies.items() if not aside else ():
        name, fake = action.name, action.use_fake_user
        action.user_remap(copy)
        bpy.data.actions.remove(action)
        copy.name, copy.use_fake_user = name, fake
    for owner in owners(rig):
        owner.update_tag()
    result = next(t for t in takes(rig) if t.id == record["id"])
    adjust_again(rig, result)
    return result


def _put_aside(clip: Clip, action: bpy.types.Action) -> None:
    """Let a strip play another action, and keep the one that it played on a track of its own, muted."""
    strip, old, slot = clip.strip, clip.strip.action, compat.slot_of(clip.strip)
    bounds = (strip.frame_start, strip.frame_end, strip.action_frame_start, strip.action_frame_end)
    new_slot = action.slots[slot.identifier] if slot is not None else None
    data = clip.owner.animation_data
    active = _active_of_others(data)
    track = data.nla_tracks.new(prev=clip.track)
    track.name = f"{TRACK} {old.name}"
    kept = _add_strip(track, old, slot, *bounds)
    kept.mute = True
    compat.set_strip_action(strip, action, new_slot)
    strip.name = action.name
    strip.action_frame_start, strip.action_frame_end = bounds[2:]
    strip.frame_start_raw, strip.frame_end_raw = bounds[:2]
    if active is not None:
        data.nla_tracks.active = _of_others(data)[active]


def lock_part(rig: HeadRig, take: Take, part: str, locked: bool) -> None:
    """Lock a part of a take, or unlock it: one that is locked is not made anew. The take's actions remember it."""
    parts = take.locked | {part} if locked else take.locked - {part}
    changes = {"locked": [name for name in PARTS if name in parts]}
    for action in {clip.strip.action for owner in owners(rig) for clip in clips(owner) if clip.record["id"] == take.id}:
        action[TAKE_PROPERTY] = json.dumps({**json.loads(action[TAKE_PROPERTY]), **changes})


def paths_of(rig: HeadRig, parts: Collection[str], shut: np.ndarray | None = None) -> tuple[set[str], ...]:
    """By owner of a take (the armature, the shape keys, further ones) the data paths that parts are written to, in any
    rotation mode.

    ``shut`` (E, 2) is what shuts the lids where the rig has no keys for it.
    """
    bones: set[str] = set()
    keys: set[str] = set()
    for part, joint, columns in (("head", "neck", range(9)), ("face", "jaw", range(9, 18))):
        if part in parts:
            if joint in rig.bones:
                bones |= {bone_path(rig.bones[joint], path) for path in ROTATION_PATHS}
            keys |= {key_path(name) for column, name in rig.pose_keys.items() if column in columns}
    if "gaze" in parts:
        for paths, more in zip((bones, keys), gaze_paths(rig), strict=False):
            paths |= more
    if "face" in parts:
        keys |= {key_path(name) for name in rig.expression_keys if name is not None}
    if "blinks" in parts:
        keys |= {key_path(name) for name in rig.blink_keys if name is not None}
        if shut is not None:
            used = zip(rig.expression_keys, shut.any(1), strict=False)
            keys |= {key_path(name) for name, use in used if use and name is not None}
    if not rig.vocabulary:
        return bones, keys
    first, *more = ({key_path(n) for k, n in names.items() if part_of(k) in parts} for names in rig.every_named_keys)
    return bones, keys | first, *more


def _rewrite(
    curves: compat.Curves, channels: list[Channel], paths: set[str], span: tuple[float, float] | None
) -> Steps[None]:
    there = {(curve.data_path, curve.array_index): curve for curve in curves if curve.data_path in paths}
    fresh = []
    for channel in channels:
        curve = there.get((channel.data_path, channel.index))
        # Angle and axis are scaled and signed by the whole clip: half of them would not fit the other half.
        whole = span is None or channel.data_path.endswith(BONE_PATHS["AXIS_ANGLE"][0])
        if curve is None or whole:
            fresh.append(channel)
        else:
            there.pop((channel.data_path, channel.index))
            _splice(curve, channel, *span)
    if span is None or fresh:
        written = {(channel.data_path, channel.index) for channel in fresh}
        for place, curve in there.items():
            if span is None or place in written:
                curves.remove(curve)
    yield from _write_in_steps(curves, fresh)


def _splice(curve: bpy.types.FCurve, channel: Channel, low: float, high: float) -> None:
    """Put the channel's keys between ``low`` and ``high`` in the place of the curve's; what is there of a key at just
    these times, or must be so that the curve does not change outside, stays."""
    points = curve.keyframe_points
    times = _get(points, "co")[:, 0]
    # A curve whose keys were thinned out may have none at the border.
    for border in (low, high):
        inside = len(times) and times[0] < border < times[-1]
        if inside and np.abs(times - border).min() > _EPSILON:
            points.insert(border, float(sampled(curve, np.array([border]))[0]), options={"FAST"})
    kept = {name: _get(points, name) for name in _ARRAYS}
    times = kept["co"][:, 0]
    outside = (times <= low + _EPSILON) | (times >= high - _EPSILON)
    new = (channel.frames > low + _EPSILON) & (channel.frames < high - _EPSILON)
    co = np.stack([channel.frames[new], channel.values[new]], 1).astype(np.float32)
    ours = {
        "co": co, "handle_left": co, "handle_right": co,
        "interpolation": _LINEAR, "handle_left_type": _AUTO_CLAMPED, "handle_right_type": _AUTO_CLAMPED,
        "easing": 0, "type": 0,
    }  # fmt: skip
    order = np.argsort(np.concatenate([times[outside], co[:, 0]]), kind="stable")
    joined = {}
    for name, (width, kind) in _ARRAYS.items():
        value = ours[name]
        if not isinstance(value, np.ndarray):
            value = np.full((len(co), width), value, kind)
        joined[name] = np.concatenate([kept[name][outside], value])[order]
    more = len(order) - len(points)
    if more > 0:
        points.add(more)
    for _ in range(-more):
        points.remove(points[-1], fast=True)
    for name, values in joined.items():
        points.foreach_set(name, values.ravel())
    curve.update()


def _get(points: bpy.types.FCurveKeyframePoints, name: str) -> np.ndarray:
    width, kind = _ARRAYS[name]
    values = np.empty(len(points) * width, kind)
    points.foreach_get(name, values)
    return values.reshape(-1, width)
