"""Writing motions to a rig as takes: all of it or nothing, in bulk, and nobody else's curves touched."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..motion import Motion
from . import compat
from .blinks import blink_expressions
from .channels import Channel, Channels, Parts, Strengths, motion_channels_in_steps
from .hand_edits import edited, seal
from .head_rig import HeadRig
from .linked import fault_of
from .obstacles import dead_curves
from .steps import Steps, finish
from .take_records import FORMAT
from .takes import (
    TAKE_PROPERTY,
    Take,
    choose_take,
    clear,
    clips,
    current_take,
    is_ours,
    owners,
    place,
    read_record,
    refuse_tweak_mode,
    remove_unused,
    restore_values,
    revert,
    snapshot,
    takes,
    values_of,
)

__all__ = ["Parts", "Strengths", "Take", "choose_take", "clear", "current_take", "takes", "write_take"]

log = logging.getLogger(__name__)

_LINEAR, _AUTO_CLAMPED = 1, 4
_FEWER = 0.001
_KEYS_A_STEP = 15_000


def frames_per_second(scene: bpy.types.Scene) -> float:
    """The scene's true frame rate: 29.97 for 30 / 1.001."""
    return scene.render.fps / scene.render.fps_base


def write_take(rig: HeadRig, motion: Motion, **how: Any) -> Take:
    """``write_take_in_steps``, with its arguments, at once."""
    return finish(write_take_in_steps(rig, motion, **how))


def write_take_in_steps(
    rig: HeadRig,
    motion: Motion,
    *,
    scene: bpy.types.Scene,
    start_frame: float | None = None,
    start_seconds: float | None = None,
    parts: Parts = Parts(),
    strengths: Strengths = Strengths(),
    seed: int | None = None,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    keep_previous: bool = False,
    replace_edited: bool = False,
    weights: Mapping[str, str] | None = None,
) -> Steps[Take]:
    """Write a motion to a rig as a new take and return it.

    The expressions must be in the rig's basis (``retarget.motion_for_rig``). The motion begins at scene frame
    ``start_frame``, or ``start_seconds`` after frame 0, or where the scene begins. ``settings``, JSON-like, are
    remembered with the take, and so are the name and version of the ``weights``. A take of ours at the same time is
    replaced, or kept muted with ``keep_previous``; one that was edited by hand is kept but for ``replace_edited``.

    Everything is checked and computed before the first write; if a write fails, the scene is left as it was.
    """
    motion.checked()
    _check(rig, motion, parts)
    per_second = frames_per_second(scene)
    if start_frame is None:
        start_frame = scene.frame_start if start_seconds is None else start_seconds * per_second
    step = per_second / motion.fps
    frames = start_frame + step * np.arange(motion.frames)
    shut = blink_expressions(rig) if parts.blinks and not rig.vocabulary and not any(rig.blink_keys) else None
    channels = yield from motion_channels_in_steps(rig, motion, frames, parts, strengths, shut)
    if not any(channels.lists):
        raise TalkingEyesError(
            f"Nothing of the motion can be written to '{rig.name}'.", "Switch on a part that this rig can move."
        )
    mended = set(dead_curves(rig))
    known = [text for text in rig.report.warnings if text not in mended]
    warnings = (*known, *_warnings(rig, motion, parts, shut, channels, frames[0], frames[-1]))
    end = max(float(frames[-1]), float(frames[0]) + 1)
    in_the_way = [take for take in takes(rig) if take.active and take.start < end and frames[0] < take.end]
    keep = set() if keep_previous or replace_edited else {take.id for take in in_the_way if edited(rig, take)}
    if keep:
        warnings += ("The earlier take may have been edited by hand; it was kept, muted.",)
    record = {
        "format": FORMAT,
        "id": uuid.uuid4().hex,
        "number": max((take.number for take in takes(rig)), default=0) + 1,
        "seed": motion.seed if seed is None else int(seed),
        "gaze_seed": motion.seed if seed is None else int(seed),
        "start": float(frames[0]),
        "step": float(step),
        "frames": motion.frames,
        "head_model": motion.head_model,
        "parts": dataclasses.asdict(parts),
        "strengths": dataclasses.asdict(strengths),
        "settings": dict(settings or {}),
        "weights": dict(weights or {}),
        "before": _before(rig, channels),
        "sliders": _sliders(rig, channels.keys),
    }
    text = json.dumps(record)
    title = name or f"TalkingEyes {rig.name} seed {record['seed']}"
    previous = [clip.strip.action for owner in owners(rig) for clip in clips(owner)]
    with _undo_on_failure() as undo:
        made = compat.new_actions(title, owners(rig))
        for action in {action for action, _ in made}:
            undo(_remove_action, action.name)
            action[TAKE_PROPERTY] = text
        for owner, (action, slot), of_owner in zip(owners(rig), made, channels.lists, strict=False):
            yield from _write_in_steps(compat.Curves(action, slot), of_owner)
            if owner == rig.shape_keys:
                _set_sliders(owner, record["sliders"], undo)
        yield
        for action in {action for action, _ in made}:
            seal(action, [slot for written, slot in made if written == action])
        held = [(action, action.use_fake_user) for action in dict.fromkeys(previous)]
        for action, _ in held:
            # Keeps the actions of strips that make room until the new take is in its place.
            action.use_fake_user = True
            undo(setattr, action, "use_fake_user", dict(held)[action])
        yield
        for owner, (action, slot) in zip(owners(rig), made, strict=True):
            undo(revert, owner, snapshot(owner))
            place(owner, action, slot, float(frames[0]), float(frames[-1]), keep_previous, keep)
    for action, fake in held:
        action.use_fake_user = fake
        remove_unused(action)
    _let_go(rig, channels, record["before"])
    for owner in owners(rig):
        owner.update_tag()
    written = next(take for take in takes(rig) if take.id == record["id"])
    log.info("take '%s': %d curves, %d frames", written.name, sum(map(len, channels.lists)), motion.frames)
    return dataclasses.replace(written, warnings=warnings)


# ----------------------------------------------------------------------------------------------------------- writing


def _write(curves: compat.Curves, channels: Iterable[Channel]) -> None:
    finish(_write_in_steps(curves, channels))


def _write_in_steps(curves: compat.Curves, channels: Iterable[Channel]) -> Steps[None]:
    """Add a curve for each channel, with straight lines between its keys."""
    ones: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    written = 0
    for channel in channels:
        count = len(channel.frames)
        if count not in ones:
            ones[count] = np.full(count, _LINEAR, np.int32), np.full(count, _AUTO_CLAMPED, np.int32)
        linear, clamped = ones[count]
        curve = curves.new(channel.data_path, channel.index, channel.group)
        points = curve.keyframe_points
        points.add(count)
        points.foreach_set("co", np.stack([channel.frames, channel.values], 1).astype(np.float32).ravel())
        points.foreach_set("interpolation", linear)
        # Sensible handles, for the user who turns a curve into a Bezier one.
        points.foreach_set("handle_left_type", clamped)
        points.foreach_set("handle_right_type", clamped)
        curve.update()
        written += count
        if written > _KEYS_A_STEP:
            written = 0
            yield


def _sliders(rig: HeadRig, channels: Iterable[Channel]) -> dict[str, list[float]]:
    """By shape key [lowest and highest value before any take of ours, the same as it has to be now]: every slider must
    reach its curve's values, since Blender clamps what lies outside."""
    keys, sliders = rig.shape_keys, {}
    if keys is None:
        return sliders
    for clip in sorted(clips(keys), key=lambda c: c.record["number"]):
        for name, (*was, _, _) in clip.record.get("sliders", {}).items():
            key = keys.key_blocks.get(name)
            if key is not None:
                sliders.setdefault(name, [*was, key.slider_min, key.slider_max])
    for channel in channels:
        key = keys.path_resolve(channel.data_path.removesuffix(".value"))
        low, high = float(channel.values.min()), float(channel.values.max())
        # A little wider: single precision may round a value out of its own range.
        low = max(low - _FEWER, -10.0) if low < key.slider_min else key.slider_min
        high = min(high + _FEWER, 10.0) if high > key.slider_max else key.slider_max
        if (low, high) != (key.slider_min, key.slider_max):
            was = sliders.get(key.name, [key.slider_min, key.slider_max])[:2]
            sliders[key.name] = [*was, low, high]
    return sliders


def _set_sliders(keys: bpy.types.Key, sliders: Mapping[str, list[float]], undo: Callable) -> None:
    for name, (_, _, low, high) in sliders.items():
        key = keys.key_blocks[name]
        undo(setattr, key, "slider_min", key.slider_min)
        undo(setattr, key, "slider_max", key.slider_max)
        key.slider_min, key.slider_max = low, high


@contextlib.contextmanager
def _undo_on_failure():
    """Yield a function that notes a call to make, last noted first, if the block raises."""
    with contextlib.ExitStack() as stack:
        yield stack.callback
        stack.pop_all()


def _remove_action(name: str) -> None:
    action = bpy.data.actions.get(name)
    if action is not None:
        bpy.data.actions.remove(action)


def _before(rig: HeadRig, channels: Channels) -> list[dict[str, Any]]:
    """What the take is going to move, as it was before any take of ours: one dictionary for each owner."""
    before = []
    for owner, of_owner in zip(owners(rig), channels.lists, strict=False):
        values = values_of(owner, {channel.data_path for channel in of_owner})
        for clip in sorted(clips(owner), key=lambda c: c.record["number"], reverse=True):
            older = clip.record["before"]
            values.update(older[len(before)] if len(before) < len(older) else {})
        before.append(values)
    return before


def _let_go(rig: HeadRig, channels: Channels, before: list[dict[str, Any]]) -> None:
    """Put what earlier takes moved, and no take that plays moves any more, back to where it was: after another choice
    of bones or keys it would stay where the last frame left it."""
    for owner, of_owner, values in zip(owners(rig), channels.lists, before, strict=False):
        still = {channel.data_path for channel in of_owner}
        for clip in clips(owner):
            if clip.plays and not still >= values.keys():
                still |= {curve.data_path for curve in compat.Curves(clip.strip.action, compat.slot_of(clip.strip))}
        restore_values(owner, {path: value for path, value in values.items() if path not in still})


# ---------------------------------------------------------------------------------------------------------- checking


def _check(rig: HeadRig, motion: Motion, parts: Parts) -> None:
    refuse_tweak_mode(rig)
    fault = fault_of(rig)
    if fault is not None:
        raise fault
    if motion.head_model != rig.head_model and parts.face and rig.expressions:
        raise TalkingEyesError(
            f"The motion's expressions belong to the head model '{motion.head_model}', the rig's keys to "
            + (f"'{rig.head_model}'." if rig.head_model else "one that the file does not name."),
            "Carry the motion over to the rig first.",
        )


def _warnings(
    rig: HeadRig,
    motion: Motion,
    parts: Parts,
    shut: np.ndarray | None,
    channels: Channels,
    start: float,
    end: float,
) -> Iterable[str]:
    """Why parts of the take, which lies between two scene frames, might not be seen."""
    used = motion.expression.any(0).nonzero()[0]
    if parts.face and rig.expressions and len(used) and used[-1] >= rig.expressions:
        yield f"The motion has {used[-1] + 1} expressions, the rig {rig.expressions}; the last ones are left out."
    if (
        parts.blinks
        and not any(rig.blink_keys)
        and shut is None
        and not any("eyeBlinkLeft" in k for k in rig.every_named_keys)
    ):
        yield "The rig has no keys that shut its lids, so it will not blink. Make lid keys to let it."
    for owner, of_owner in zip(owners(rig), channels.lists, strict=False):
        data = owner.animation_data
        if data is None:
            continue
        paths = {channel.data_path for channel in of_owner}
        if not data.use_nla:
            yield f"The NLA of '{owner.name}' is switched off, so the take will not play."
        if any(track.is_solo for track in data.nla_tracks if not any(read_record(s.action) for s in track.strips)):
            yield f"Another NLA track of '{owner.name}' is set to solo, so the take will not play."
        hidden = sorted({curve.data_path for curve in compat.active_curves(data)} & paths)
        if hidden and read_record(data.action) is None:
            yield (
                f"The action '{data.action.name}' animates {_some(hidden)} too, and hides the take there. "
                "It was left as it is; push it down to an NLA track, or delete those curves, to see the take."
            )
        covering = _covering(owner, paths, start, end)
        if covering:
            yield f"The NLA track '{covering}' lies above the take and moves the same; mute it to see the take."
        driven = sorted({curve.data_path for curve in data.drivers} & paths)
        if driven:
            yield f"A driver sets {_some(driven)}, and hides the take there. It was left as it is."


def _covering(owner: bpy.types.ID, paths: set[str], start: float, end: float) -> str | None:
    """Name of a track of others' that lies above ours and replaces some of ``paths`` in the time of the take."""
    tracks = list(owner.animation_data.nla_tracks)
    ours = next((i for i, track in enumerate(tracks) if is_ours(track)), len(tracks))
    for track in tracks[ours + 1 :]:
        for strip in track.strips if not track.mute else ():
            within = strip.frame_start < end and strip.frame_end > start
            if not within or strip.mute or strip.blend_type != "REPLACE" or strip.action is None:
                continue
            curves = compat.Curves(strip.action, compat.slot_of(strip))
            if read_record(strip.action) is None and {curve.data_path for curve in curves} & paths:
                return track.name
    return None


def _some(paths: list[str]) -> str:
    names = list(dict.fromkeys(path.split('"')[1] for path in paths))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
