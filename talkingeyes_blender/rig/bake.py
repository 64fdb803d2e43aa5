"""Bake: what takes play, mixed as the NLA mixes them, becomes ordinary keyframes that belong to the user.

The mix is worked out from the strips themselves, so that no frame has to be evaluated, and so that what other people's
tracks add is not written in.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses

import bpy
import numpy as np

from ..errors import TalkingEyesError
from . import compat
from .head_rig import HeadRig
from .take_list import clips_of
from .take_records import read_record, write_record
from .takes import Clip, Take, clips, owners, refuse_tweak_mode

_LINEAR, _AUTO_CLAMPED = 1, 4
_SAME = 1e-4
"""Frames closer than this are one."""


@dataclasses.dataclass(frozen=True)
class Baked:
    """What a bake came to."""

    action: bpy.types.Action
    curves: int
    start: float
    end: float


@dataclasses.dataclass
class _Keys:
    """The keys that one curve shall have."""

    data_path: str
    index: int
    group: str
    frames: np.ndarray
    values: np.ndarray
    source: bpy.types.FCurve | None = None
    """The only curve that it comes from, whose interpolation and handles it has too."""
    shift: float = 0.0


def bake(rig: HeadRig, take: Take, into_active: bool = False) -> Baked:
    """Write what is seen of ``take``, and of our takes that play with it, as keyframes into an action of the user's.

    A muted take is baked alone; else the bake reaches as far as all takes that it overlaps. The action is new: the
    active one of an owner that has none, else on an NLA track of its own above ours. With ``into_active`` the keys go
    to the active actions instead, where keys of the same channels in that time make room. The takes baked are muted
    afterwards. All or nothing.

    Raises:
        TalkingEyesError: nothing active to bake into, or a strip that plays in a way that cannot be worked out.
    """
    refuse_tweak_mode(rig)
    mine = clips_of(rig, take)
    if not mine:
        raise TalkingEyesError(f"The take '{take.name}' has no strip any more.", "Generate it again.")
    start, end = mine[0].strip.frame_start, mine[0].strip.frame_end
    if take.active:
        together, start, end = _playing_together(rig, start, end)
    else:
        together = {owner: [clip for clip in mine if clip.owner == owner] for owner in owners(rig)}
    planned = {owner: _mixed(there, start, end, alone=not take.active) for owner, there in together.items()}
    planned = {owner: keys for owner, keys in planned.items() if keys}
    if into_active:
        for owner in planned:
            data = owner.animation_data
            if data.action is None or read_record(data.action) is not None or not data.action.is_editable:
                raise TalkingEyesError(
                    f"'{owner.name}' has no active action of its own to bake into.", "Bake into a new action."
                )
    made: list[bpy.types.Action] = []
    with contextlib.ExitStack() as undo:
        if into_active:
            actions = _working_copies(planned, undo)
        else:
            actions = _new_actions(f"{take.label or take.name} baked", list(planned), made, undo)
        for owner, keys in planned.items():
            _write(compat.Curves(*actions[owner]), keys, start, end)
        undo.pop_all()
    if into_active:
        _take_over(actions)
    else:
        for owner, (action, slot) in actions.items():
            _give(owner, action, slot, start, end, mine[0].strip.extrapolation)
    baked_keys = {keys.data_path for of_owner in planned.values() for keys in of_owner}
    _release_sliders(rig, baked_keys)
    for there in together.values():
        for clip in there:
            clip.strip.mute = True
    for owner in owners(rig):
        owner.update_tag()
    action = next(iter(planned)).animation_data.action if into_active else made[0]
    return Baked(action, sum(map(len, planned.values())), start, end)


# ------------------------------------------------------------------------------------------------------------ mixing


def _playing_together(rig: HeadRig, start: float, end: float) -> tuple[dict[bpy.types.ID, list[Clip]], float, float]:
    """Our strips that play between two scene frames, and where the earliest begins and the last ends."""
    while True:
        there = {owner: [c for c in clips(owner) if c.plays and c.overlap(start, end) > 0] for owner in owners(rig)}
        strips = [clip.strip for of_owner in there.values() for clip in of_owner]
        reach = min(strip.frame_start for strip in strips), max(strip.frame_end for strip in strips)
        if reach == (start, end):
            return there, start, end
        start, end = reach


def _mixed(there: list[Clip], start: float, end: float, alone: bool) -> list[_Keys]:
    """The keys of all curves that clips, lowest first, have between two scene frames."""
    for clip in there:
        _check(clip.strip)
    curves: dict[tuple[str, int], list[tuple[Clip, bpy.types.FCurve]]] = {}
    for clip in there:
        for curve in compat.Curves(clip.strip.action, compat.slot_of(clip.strip)):
            if not curve.mute and len(curve.keyframe_points):
                curves.setdefault((curve.data_path, curve.array_index), []).append((clip, curve))
    return [_curve(path, index, sources, start, end, alone) for (path, index), sources in curves.items()]


def _check(strip: bpy.types.NlaStrip) -> None:
    if strip.use_animated_time or strip.blend_type not in ("REPLACE", "ADD", "SUBTRACT", "MULTIPLY"):
        what = "its time is animated" if strip.use_animated_time else f"its blending is '{strip.blend_type.title()}'"
        raise TalkingEyesError(
            f"The strip '{strip.name}' cannot be baked: {what}.", "Set its blending to Replace and its time to normal."
        )


def _curve(
    path: str, index: int, sources: list[tuple[Clip, bpy.types.FCurve]], start: float, end: float, alone: bool
) -> _Keys:
    group = sources[-1][1].group
    name = group.name if group is not None else ""
    clip, curve = sources[-1]
    if len(sources) == 1 and (alone or _is_whole(clip.strip)) and _is_plain(clip.strip) and not len(curve.modifiers):
        frames, values = _points(curve)
        shift = clip.strip.frame_start - clip.strip.action_frame_start
        within = (frames + shift >= start - _SAME) & (frames + shift <= end + _SAME)
        if within.all():
            return _Keys(path, index, name, frames + shift, values, curve, shift)
    times = [np.array([start, end])]
    for clip, curve in sources:
        times += [_scene_frames(clip.strip, _points(curve)[0]), _corners(clip.strip)]
        if _fades(clip.strip):
            # What fades bends between its keys: scene frames at least are exact.
            times.append(np.arange(np.ceil(clip.strip.frame_start), clip.strip.frame_end))
    frames = np.unique(np.concatenate(times))
    frames = frames[(frames >= start - _SAME) & (frames <= end + _SAME)]
    frames = frames[np.append(True, np.diff(frames) > _SAME)]
    values = np.array([_value(path, index, sources, float(frame), alone) for frame in frames])
    return _Keys(path, index, name, frames, values)


def _value(path: str, index: int, sources, frame: float, alone: bool) -> float:
    """What the NLA makes of the curves at a scene frame; below the lowest lies the property's default."""
    value = 1.0 if path.endswith("rotation_quaternion") and index == 0 else 0.0
    tracks: dict[bpy.types.NlaTrack, list[tuple[Clip, bpy.types.FCurve]]] = {}
    for clip, curve in sources:
        tracks.setdefault(clip.track, []).append((clip, curve))
    for of_track in tracks.values():
        clip, curve = next((pair for pair in reversed(of_track) if _speaks(pair[0].strip, frame)), (None, None))
        if clip is None:
            continue
        strip = clip.strip
        share = 1.0 if alone else _influence(strip, min(max(frame, strip.frame_start), strip.frame_end))
        own = curve.evaluate(_action_frame(strip, frame))
        if strip.blend_type == "ADD":
            value += share * own
        elif strip.blend_type == "SUBTRACT":
            value -= share * own
        elif strip.blend_type == "MULTIPLY":
            value = share * value * own + (1 - share) * value
        else:
            value = share * own + (1 - share) * value
    return value


def _speaks(strip: bpy.types.NlaStrip, frame: float) -> bool:
    """Whether a strip has something to say at a scene frame, be it that it holds its first or last pose."""
    before, after = frame < strip.frame_start - _SAME, frame > strip.frame_end + _SAME
    return not before and not after if strip.extrapolation == "NOTHING" else not before or strip.extrapolation == "HOLD"


def _influence(strip: bpy.types.NlaStrip, frame: float) -> float:
    if strip.use_animated_influence:
        for curve in strip.fcurves:
            if curve.data_path == "influence" and len(curve.keyframe_points):
                return min(max(curve.evaluate(frame), 0.0), 1.0)
        return strip.influence
    if strip.blend_in > 0 and frame <= strip.frame_start + strip.blend_in:
        return abs(frame - strip.frame_start) / strip.blend_in
    if strip.blend_out > 0 and frame >= strip.frame_end - strip.blend_out:
        return abs(strip.frame_end - frame) / strip.blend_out
    return 1.0


def _fades(strip: bpy.types.NlaStrip) -> bool:
    """Whether a strip shows more at one time than at another."""
    if strip.use_animated_influence:
        return any(len(curve.keyframe_points) > 1 for curve in strip.fcurves)
    return strip.blend_in > 0 or strip.blend_out > 0


def _is_whole(strip: bpy.types.NlaStrip) -> bool:
    """Whether all of a strip shows, all the time."""
    fading = strip.use_animated_influence or strip.blend_in > 0 or strip.blend_out > 0
    return not fading and strip.blend_type == "REPLACE"


def _is_plain(strip: bpy.types.NlaStrip) -> bool:
    """Whether a strip plays its action once, forwards, as fast as it is."""
    return strip.scale == 1.0 and strip.repeat == 1.0 and not strip.use_reverse


def _action_frame(strip: bpy.types.NlaStrip, frame: float) -> float:
    length = strip.action_frame_end - strip.action_frame_start
    into = min(max(frame, strip.frame_start), strip.frame_end) - strip.frame_start
    into /= strip.scale
    if strip.repeat != 1.0 and length > 0:
        into = into % length if into < length * strip.repeat - _SAME else length
    return strip.action_frame_end - into if strip.use_reverse else strip.action_frame_start + into


def _scene_frames(strip: bpy.types.NlaStrip, frames: np.ndarray) -> np.ndarray:
    """The scene frames at which a strip plays frames of its action, in each of its repeats."""
    length = strip.action_frame_end - strip.action_frame_start
    frames = frames[(frames >= strip.action_frame_start - _SAME) & (frames <= strip.action_frame_end + _SAME)]
    into = strip.action_frame_end - frames if strip.use_reverse else frames - strip.action_frame_start
    repeats = np.arange(max(1, int(np.ceil(strip.repeat))))
    return np.concatenate([strip.frame_start + strip.scale * (into + length * n) for n in repeats])


def _corners(strip: bpy.types.NlaStrip) -> np.ndarray:
    """The scene frames at which a strip begins, ends, or is faded in or out; the keys of an animated influence."""
    corners = [strip.frame_start, strip.frame_end]
    corners += [strip.frame_start + strip.blend_in, strip.frame_end - strip.blend_out]
    for curve in strip.fcurves if strip.use_animated_influence else ():
        corners += [point.co[0] for point in curve.keyframe_points]
    return np.array(corners)


def _points(curve: bpy.types.FCurve) -> tuple[np.ndarray, np.ndarray]:
    values = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", values)
    values = values.reshape(-1, 2).astype(float)
    return values[:, 0], values[:, 1]


# ----------------------------------------------------------------------------------------------------------- writing


def _new_actions(name: str, of: list[bpy.types.ID], made: list, undo: contextlib.ExitStack) -> dict:
    actions = dict(zip(of, compat.new_actions(name, of), strict=True))
    for action, _ in actions.values():
        if action not in made:
            made.append(action)
            undo.callback(bpy.data.actions.remove, action)
    return actions


def _working_copies(planned: dict, undo: contextlib.ExitStack) -> dict:
    """A copy of the active action of each owner, with the slot that the owner uses."""
    copies: dict[bpy.types.Action, bpy.types.Action] = {}
    actions = {}
    for owner in planned:
        action = owner.animation_data.action
        if action not in copies:
            copies[action] = action.copy()
            undo.callback(bpy.data.actions.remove, copies[action])
        slot = owner.animation_data.action_slot if compat.HAS_SLOTS else None
        actions[owner] = (copies[action], copies[action].slots[slot.identifier] if slot is not None else None)
    return actions


def _take_over(actions: dict) -> None:
    """Put the copies in the place of what they are copies of, wherever that is used."""
    done: dict[bpy.types.Action, bpy.types.Action] = {}
    for owner, (copy, _) in actions.items():
        done.setdefault(owner.animation_data.action, copy)
    for action, copy in done.items():
        name, fake = action.name, action.use_fake_user
        action.user_remap(copy)
        bpy.data.actions.remove(action)
        copy.name, copy.use_fake_user = name, fake


def _write(curves: compat.Curves, planned: list[_Keys], start: float, end: float) -> None:
    there = {(curve.data_path, curve.array_index): curve for curve in curves}
    for keys in planned:
        curve = there.get((keys.data_path, keys.index))
        if curve is None:
            curve = curves.new(keys.data_path, keys.index, keys.group)
        for place in reversed(range(len(curve.keyframe_points))):
            if start - _SAME <= curve.keyframe_points[place].co[0] <= end + _SAME:
                curve.keyframe_points.remove(curve.keyframe_points[place], fast=True)
        kept, count = len(curve.keyframe_points), len(keys.frames)
        old = _numbers(curve) if kept else None
        curve.keyframe_points.add(count)
        new = {
            "co": np.stack([keys.frames, keys.values], 1).astype(np.float32),
            "interpolation": np.full(count, _LINEAR, np.int32),
            "handle_left_type": np.full(count, _AUTO_CLAMPED, np.int32),
            "handle_right_type": np.full(count, _AUTO_CLAMPED, np.int32),
        }
        new["handle_left"] = new["handle_right"] = new["co"]
        if keys.source is not None:
            new = _numbers(keys.source)
            for name in ("co", "handle_left", "handle_right"):
                new[name] = new[name] + np.array([keys.shift, 0.0], np.float32)
        if old is not None:
            order = np.argsort(np.concatenate([old["co"][:, 0], new["co"][:, 0]]), kind="stable")
            new = {name: np.concatenate([old[name], values])[order] for name, values in new.items()}
        for name in ("co", "interpolation", "handle_left_type", "handle_right_type", "handle_left", "handle_right"):
            curve.keyframe_points.foreach_set(name, np.ascontiguousarray(new[name]).ravel())
        curve.update()


def _numbers(curve: bpy.types.FCurve) -> dict[str, np.ndarray]:
    """All that is said of a curve's keys here, by name."""
    count, numbers = len(curve.keyframe_points), {}
    for name in ("co", "handle_left", "handle_right"):
        values = np.empty(2 * count, np.float32)
        curve.keyframe_points.foreach_get(name, values)
        numbers[name] = values.reshape(-1, 2)
    for name in ("interpolation", "handle_left_type", "handle_right_type"):
        numbers[name] = np.empty(count, np.int32)
        curve.keyframe_points.foreach_get(name, numbers[name])
    return numbers


def _give(owner: bpy.types.ID, action: bpy.types.Action, slot, start: float, end: float, extrapolation: str) -> None:
    """Let a new action play: as the active one where there is none, else on a track of its own."""
    data = owner.animation_data
    if data.action is None:
        data.action = action
        if compat.HAS_SLOTS:
            data.action_slot = slot
        return
    track = data.nla_tracks.new()
    track.name = action.name
    strip = track.strips.new(action.name, int(np.floor(start)), action)
    compat.set_strip_action(strip, action, slot)
    strip.use_sync_length = False
    strip.action_frame_start, strip.action_frame_end = start, end
    strip.frame_start_raw, strip.frame_end_raw = start, end
    strip.extrapolation = extrapolation


def _release_sliders(rig: HeadRig, paths: set[str]) -> None:
    """Let the sliders that the baked keys need stay wide when the takes go away."""
    for action in {clip.strip.action for owner in owners(rig) for clip in clips(owner)}:
        record = read_record(action)
        sliders = {n: v for n, v in record["sliders"].items() if f'key_blocks["{n}"].value' not in paths}
        if sliders != record["sliders"]:
            write_record(action, {**record, "sliders": sliders})
