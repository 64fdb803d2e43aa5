"""What somebody has changed by hand in the curves of a take, so that it is not lost unasked.

With each action of a take lies a fingerprint of every curve as it was written. A curve that has another one now, that
is gone or that was added is the user's work.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Collection, Iterator
from typing import Concatenate, ParamSpec, TypeVar

import bpy
import numpy as np

from . import compat
from .head_rig import HeadRig
from .takes import Clip, Take, clips, owners

P = ParamSpec("P")
R = TypeVar("R")

WRITTEN_PROPERTY = "talkingeyes_written"
"""On our actions: JSON, fingerprint by slot and curve, as the curves were written."""

_BEZIER = 2
_COMPUTED_HANDLES = (1, 3, 4)
"""Vector, automatic and clamped: Blender works out where they end. (0 is free, 2 aligned.)"""
_REMEMBERED_SECONDS = 1.0

_SLICE_SECONDS = 0.005
"""How long drawing looks at a time: a take of minutes is looked through over many draws."""
_GIVEN_UP_SECONDS = 2.0

_seen: dict[tuple[int, str], tuple[float, bool]] = {}
"""By rig and take: until when it holds, and whether there are edits."""
_looked = -1e9
"""When a take was looked through last."""


def is_strength(modifier: bpy.types.FModifier) -> bool:
    """Whether a curve's modifier is one of those that set a take's strengths (``strength_layer``)."""
    same = modifier.type == "ENVELOPE" and modifier.reference_value == 0
    return same and (modifier.default_min, modifier.default_max) == (-1, 1)


def seal(
    action: bpy.types.Action, slots: Collection[bpy.types.ActionSlot | None], paths: Collection[str] | None = None
) -> None:
    """Note that the curves of an action, or those with one of the data ``paths``, are as we wrote them."""
    now = _fingerprints(action, slots)
    if paths is not None:
        kept = {key: mark for key, mark in _written(action).items() if _path(key) not in paths}
        now = kept | {key: mark for key, mark in now.items() if _path(key) in paths}
    action[WRITTEN_PROPERTY] = json.dumps(now)


def seal_take(rig: HeadRig, take: Take, paths: Collection[str] | None = None) -> None:
    """``seal`` all actions of a take, after we have changed its curves ourselves."""
    for action, of_action in _actions(rig, take).items():
        seal(action, of_action, paths)


def is_sealed(rig: HeadRig, take: Take) -> bool:
    """Whether it is known what was written; takes of the first versions did not note it."""
    return all(WRITTEN_PROPERTY in clip.strip.action for clip in _clips(rig, take))


def edited_paths(rig: HeadRig, take: Take) -> set[str]:
    """Data paths of the curves of a take that somebody has changed, removed or added since they were written."""
    changed = set()
    for action, of_action in _actions(rig, take).items():
        if WRITTEN_PROPERTY in action:
            before, now = _written(action), _fingerprints(action, of_action)
            changed |= {_path(key) for key in before.keys() | now.keys() if before.get(key) != now.get(key)}
    return changed


def edited(rig: HeadRig, take: Take, paths: Collection[str] | None = None) -> bool:
    """Whether a take (or its curves with one of the data ``paths``) may hold work done by hand.

    So it may where nothing says what was written: in takes that the first versions made.
    """
    if not is_sealed(rig, take):
        return True
    changed = edited_paths(rig, take)
    return bool(changed if paths is None else changed & set(paths))


def by_us(change: Callable[Concatenate[HeadRig, Take, P], R]) -> Callable[Concatenate[HeadRig, Take, P], R]:
    """Decorate a function (rig, take, ...) that changes a take's curves: that is no edit by hand, and hides none."""

    @functools.wraps(change)
    def changed(rig: HeadRig, take: Take, *arguments: P.args, **options: P.kwargs) -> R:
        before = edited_paths(rig, take) if is_sealed(rig, take) else None
        result = change(rig, take, *arguments, **options)
        for action, of_action in _actions(rig, take).items() if before is not None else ():
            known = {_path(key) for key in _written(action).keys() | _fingerprints(action, of_action).keys()}
            seal(action, of_action, known - before)
        return result

    return changed


@dataclasses.dataclass
class _Look:
    """What was seen of a take so far. It holds nothing of Blender's, which may be gone by the next slice."""

    key: tuple[int, str]
    marks: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    """By action: fingerprints."""
    count: int = 0
    seconds: float = 0.0
    touched: float = 0.0

    def go_on(self, rig: HeadRig, take: Take, budget: float) -> bool | None:
        """Look at more curves for so many seconds; whether there are edits, once all were looked at."""
        began = self.touched = time.perf_counter()
        if not is_sealed(rig, take):
            return False
        actions = _actions(rig, take)
        curves = [(action.name, *curve) for action, slots in actions.items() for curve in _curves(action, slots)]
        for name, key, curve in itertools.islice(curves, self.count, None):
            self.marks.setdefault(name, {})[key] = _fingerprint(curve)
            self.count += 1
            if time.perf_counter() - began > budget:
                break
        self.seconds += time.perf_counter() - began
        if self.count < len(curves):
            return None
        if sum(map(len, self.marks.values())) != len(curves):
            self.marks, self.count = {}, 0  # curves came or went while we looked
            return None
        return any(_written(action) != self.marks.get(action.name, {}) for action in actions)


_look: _Look | None = None


def seems_edited(rig: HeadRig, take: Take, pause: float = 0.0, budget: float = _SLICE_SECONDS) -> bool:
    """The same for drawing: it may lag behind by seconds, since each call looks for ``budget`` seconds only.

    Between two looks, at whatever takes, so many seconds ``pause``: a list of many is not looked through at once.
    """
    global _look, _looked
    key, now = (rig.armature.session_uid, take.id), time.perf_counter()
    if _look is not None and _look.key != key and now > _look.touched + _GIVEN_UP_SECONDS:
        _look = None  # its take is no longer drawn
    told = _seen.get(key)
    if _look is None and (told is None or now > told[0]) and now >= _looked + pause:
        _look = _Look(key)
    if _look is not None and _look.key == key:
        answer = _look.go_on(rig, take, budget)
        if answer is not None:
            _looked = time.perf_counter()
            told = _seen[key] = (now + max(_REMEMBERED_SECONDS, 50 * _look.seconds), answer)
            _look = None
    return told is not None and told[1]


def is_looking() -> bool:
    """Whether a look is not finished, so that it is worth while to draw again soon."""
    return _look is not None


def why_ask(rig: HeadRig, take: Take) -> str:
    """One sentence for the user: what would be lost."""
    if not is_sealed(rig, take):
        return f"'{take.name}' was made by an earlier version, which did not note whether it was edited by hand."
    count = len(edited_paths(rig, take))
    return (
        f"{count} curve{'s' if count != 1 else ''} of '{take.name}' {'were' if count != 1 else 'was'} edited by hand."
    )


def _clips(rig: HeadRig, take: Take) -> Iterator[Clip]:
    for owner in owners(rig):
        yield from (clip for clip in clips(owner) if clip.record["id"] == take.id)


def _actions(rig: HeadRig, take: Take) -> dict[bpy.types.Action, list[bpy.types.ActionSlot | None]]:
    """The actions of a take, each with its slots."""
    slots: dict[bpy.types.Action, list] = {}
    for clip in _clips(rig, take):
        slots.setdefault(clip.strip.action, []).append(compat.slot_of(clip.strip))
    return slots


def _written(action: bpy.types.Action) -> dict[str, str]:
    try:
        written = json.loads(action.get(WRITTEN_PROPERTY, "{}"))
    except (TypeError, ValueError):
        return {}
    return written if isinstance(written, dict) else {}


def _path(key: str) -> str:
    """The data path in 'armature|pose.bones["jaw"].rotation_quaternion|0'."""
    return key.partition("|")[2].rpartition("|")[0]


def _fingerprints(action: bpy.types.Action, slots: Collection[bpy.types.ActionSlot | None]) -> dict[str, str]:
    return {key: _fingerprint(curve) for key, curve in _curves(action, slots)}


def _curves(
    action: bpy.types.Action, slots: Collection[bpy.types.ActionSlot | None]
) -> Iterator[tuple[str, bpy.types.FCurve]]:
    """The curves of some slots, each with what it is called in fingerprints."""
    for slot in slots:
        kind = slot.target_id_type if slot is not None else action.id_root
        for curve in compat.Curves(action, slot):
            yield f"{kind}|{curve.data_path}|{curve.array_index}", curve


def _fingerprint(curve: bpy.types.FCurve) -> str:
    points, digest = curve.keyframe_points, hashlib.blake2b(digest_size=6)
    count = len(points)
    values, kinds = np.empty(2 * count, np.float32), np.empty(count, np.int32)
    points.foreach_get("co", values)
    points.foreach_get("interpolation", kinds)
    digest.update(values.tobytes() + kinds.tobytes())
    if (kinds == _BEZIER).any():
        for side in ("left", "right"):
            types, ends = np.empty(count, np.int32), np.empty(2 * count, np.float32)
            points.foreach_get(f"handle_{side}_type", types)
            points.foreach_get(f"handle_{side}", ends)
            ends = ends.reshape(-1, 2)
            ends[np.isin(types, _COMPUTED_HANDLES) | (kinds != _BEZIER)] = 0
            digest.update(types.tobytes() + ends.tobytes())
    modifiers = [(modifier.type, modifier.mute) for modifier in curve.modifiers if not is_strength(modifier)]
    digest.update(repr((curve.mute, curve.extrapolation, modifiers)).encode())
    return digest.hexdigest()
