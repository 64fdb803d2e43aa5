"""How strongly a take's parts, its jaw and its lips move, after the fact: modifiers on its curves that scale them.

The keys stay as they are, also those that the user has set. An Envelope modifier with the reference 0 and the range -1
to 1 multiplies a curve by the height of its control points. Where a take shuts its lips, jaw and lips are not scaled
apart, so that what the two make together stays shut.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator

import bpy
import numpy as np

from ..errors import TalkingEyesError
from . import compat
from .channels import ROTATION_PATHS, bone_path, key_path
from .hand_edits import by_us
from .head_rig import HeadRig
from .key_reduction import lip_partings
from .landmark_basis import landmark_basis
from .takes import TAKE_PROPERTY, Clip, Take, clips, owners, refuse_tweak_mode

STRENGTHS_PROPERTY = "talkingeyes_strengths"
"""On our actions: JSON, the factors that are on their curves as modifiers."""
LARGEST = 3.0
_SHUT, _OPEN = 0.0005, 0.004
"""Metres of the head between the lips up to which they count as shut, and from which on jaw and lips scale wholly."""
_MOUTH = slice(31, 51)
"""Of the face's landmarks, those of the mouth."""
_JOINTS = {"neck": ("head", 0), "jaw": ("jaw", 9), "left_eye": ("gaze", 18), "right_eye": ("gaze", 27)}
"""By joint: what its turns count for, and the first column of its pose correctives."""
_EVEN = 0.01
"""How far straight lines between control points may miss the factor."""
_WIDER = 0.001


@dataclasses.dataclass(frozen=True)
class Adjustment:
    """Factors on what a take has; 1 is as written."""

    face: float = 1.0
    head: float = 1.0
    gaze: float = 1.0
    blinks: float = 1.0
    jaw: float = 1.0
    """On top of the face, but where the lips are shut."""
    lips: float = 1.0
    """On top of the face, but where the lips are shut."""


def adjustment_of(rig: HeadRig, take: Take) -> Adjustment:
    """The factors on a take's curves."""
    mine = _clips(rig, take)
    return _read(mine[0].strip.action) if mine else Adjustment()


def adjustment_shown(armature: bpy.types.Object, frame: float) -> Adjustment:
    """The factors of the take that plays at a scene frame, as ``current_take`` chooses it, without finding the rig:
    for sliders, which ask at every redraw."""
    playing = sorted((clip for clip in clips(armature) if clip.plays), key=lambda clip: clip.record["number"])
    here = [clip for clip in playing if clip.strip.frame_start - 1 <= frame <= clip.strip.frame_end + 1]
    chosen = here or playing
    return _read(chosen[-1].strip.action) if chosen else Adjustment()


def _read(action: bpy.types.Action) -> Adjustment:
    text = action.get(STRENGTHS_PROPERTY)
    if not isinstance(text, str):
        return Adjustment()
    known = {field.name for field in dataclasses.fields(Adjustment)}
    return Adjustment(**{name: float(value) for name, value in json.loads(text).items() if name in known})


@by_us
def adjust_take(rig: HeadRig, take: Take, adjustment: Adjustment) -> tuple[str, ...]:
    """Set the factors on a take's curves; all 1 takes the modifiers off again. Returns sentences for the user."""
    for field in dataclasses.fields(Adjustment):
        value = getattr(adjustment, field.name)
        if not 0 <= value <= LARGEST:
            raise TalkingEyesError(
                f"The strength of the {field.name} would be {value:g}.", f"Give a number from 0 to {LARGEST:g}."
            )
    refuse_tweak_mode(rig)
    mine = _clips(rig, take)
    if not mine:
        raise TalkingEyesError(f"'{rig.name}' has no such take any more.", "Choose another one.")
    warnings = []
    if adjustment.blinks != 1 and not any(rig.blink_keys):
        warnings.append("The head has no lid keys; its blinks belong to the face and scale with that.")
    frames = mine[0].record["start"] + take.step * np.arange(take.frames)
    shut = np.zeros(len(frames))
    if adjustment.jaw != 1 or adjustment.lips != 1:
        gap = lip_partings(rig, mine, frames)
        if gap is None:
            warnings.append("Where the head's lips are is not known, so they may not stay shut.")
        else:
            shut = 1 - _smooth((gap - _SHUT) / (_OPEN - _SHUT))
    knots = _knots(shut)
    parts = _parts(rig)
    widened: dict[str, tuple[float, float]] = {}
    for clip in mine:
        for curve in compat.Curves(clip.strip.action, compat.slot_of(clip.strip)):
            part, power = parts.get((curve.data_path, curve.array_index), ("", 1))
            _unscale(curve)
            if not part:
                continue
            factors = np.full(len(knots), getattr(adjustment, "face" if part in ("jaw", "lips") else part))
            if part in ("jaw", "lips"):
                factors *= 1 + (getattr(adjustment, part) - 1) * (1 - shut[knots])
            if (factors == 1).all():
                continue
            _scale(curve, frames[knots], factors**power)
            if clip.owner == rig.shape_keys and part != "blinks":
                widened[curve.data_path] = _range(curve, float((factors**power).max()))
    _widen(rig, mine, widened)
    plain = adjustment == Adjustment()
    for action in {clip.strip.action for clip in mine}:
        if not plain:
            action[STRENGTHS_PROPERTY] = json.dumps(dataclasses.asdict(adjustment))
        elif STRENGTHS_PROPERTY in action:
            del action[STRENGTHS_PROPERTY]
    for clip in mine:
        clip.owner.update_tag()
    return tuple(warnings)


def adjust_again(rig: HeadRig, take: Take) -> None:
    """Put the factors of a take on curves that were written anew."""
    adjustment = adjustment_of(rig, take)
    if adjustment != Adjustment():
        adjust_take(rig, take, adjustment)


def _clips(rig: HeadRig, take: Take) -> list[Clip]:
    return [clip for owner in owners(rig) for clip in clips(owner) if clip.record["id"] == take.id]


def _parts(rig: HeadRig) -> dict[tuple[str, int], tuple[str, int]]:
    """(part, power of its factor that scales a curve) by data path and index."""
    parts: dict[tuple[str, int], tuple[str, int]] = {}
    for joint, (part, column) in _JOINTS.items():
        for index, property_ in _scaled_numbers():
            if joint in rig.bones:
                parts[bone_path(rig.bones[joint], property_), index] = part, 1
        for i in range(9):
            if column + i in rig.pose_keys:
                # On the diagonal of a rotation less 1 stand squares of its angle.
                parts[key_path(rig.pose_keys[column + i]), 0] = part, 2 if i % 4 == 0 else 1
    mouth = _mouth_expressions(rig)
    for i, name in enumerate(rig.expression_keys):
        if name is not None:
            parts[key_path(name), 0] = "lips" if mouth[i] else "face", 1
    for name in rig.blink_keys:
        if name is not None:
            parts[key_path(name), 0] = "blinks", 1
    return parts


def _scaled_numbers() -> Iterator[tuple[int, str]]:
    """Which numbers of a rotation scale it: all angles, a quaternion's x, y and z (the half angle's tangent then
    scales, which is the angle to within a hundredth below 30 degrees), the angle beside an axis."""
    for property_, indices in zip(ROTATION_PATHS, ((1, 2, 3), (0,), (0, 1, 2)), strict=True):
        yield from ((index, property_) for index in indices)


def _mouth_expressions(rig: HeadRig) -> np.ndarray:
    """(E,) whether an expression moves the mouth more than the rest of the face."""
    basis = landmark_basis(rig) if rig.expressions else None
    if basis is None:
        return np.array([n is not None and ("mouth" in n.lower() or "lip" in n.lower()) for n in rig.expression_keys])
    energy = (basis.displacements**2).sum(1)
    return energy[_MOUTH].sum(0) > 0.5 * energy.sum(0)


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _knots(values: np.ndarray) -> np.ndarray:
    """Few of the places of (T,) values between which straight lines are near enough to them."""
    places = np.arange(len(values))
    kept = np.unique([0, len(values) - 1])
    while True:
        error = np.abs(np.interp(places, kept, values[kept]) - values)
        wrong = [a + int(error[a : b + 1].argmax()) for a, b in itertools.pairwise(kept)]
        new = [i for i in wrong if error[i] > _EVEN]
        if not new:
            return kept[:1] if np.ptp(values) == 0 else kept
        kept = np.union1d(kept, new)


def _ours(modifier: bpy.types.FModifier) -> bool:
    same = modifier.type == "ENVELOPE" and modifier.reference_value == 0
    return same and (modifier.default_min, modifier.default_max) == (-1, 1)


def _unscale(curve: bpy.types.FCurve) -> None:
    for modifier in [modifier for modifier in curve.modifiers if _ours(modifier)]:
        curve.modifiers.remove(modifier)


def _scale(curve: bpy.types.FCurve, frames: np.ndarray, factors: np.ndarray) -> None:
    modifier = curve.modifiers.new("ENVELOPE")
    modifier.reference_value, modifier.default_min, modifier.default_max = 0.0, -1.0, 1.0
    for frame in frames.tolist():
        modifier.control_points.add(frame)
    # In bulk: a single point's min, when set, is updated as if it were a whole modifier, which can crash Blender.
    modifier.control_points.foreach_set("min", (-factors).astype(np.float32))
    modifier.control_points.foreach_set("max", factors.astype(np.float32))


def _range(curve: bpy.types.FCurve, factor: float) -> tuple[float, float]:
    values = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", values)
    return factor * float(values[1::2].min()), factor * float(values[1::2].max())


def _widen(rig: HeadRig, mine: list[Clip], ranges: dict[str, tuple[float, float]]) -> None:
    """Let sliders reach what the curves ask for now; the take remembers what they were, as when it was written."""
    sliders = {}
    for path, (low, high) in ranges.items():
        key = rig.shape_keys.path_resolve(path.removesuffix(".value"))
        was = key.slider_min, key.slider_max
        low = max(low - _WIDER, -10.0) if low < was[0] else was[0]
        high = min(high + _WIDER, 10.0) if high > was[1] else was[1]
        if (low, high) != was:
            key.slider_min, key.slider_max = low, high
            sliders[key.name] = [*was, key.slider_min, key.slider_max]
    if not sliders:
        return
    for action in {clip.strip.action for clip in mine}:
        record = next(clip.record for clip in mine if clip.strip.action == action)
        known = record.setdefault("sliders", {})
        for name, (*was, low, high) in sliders.items():
            known[name] = [*known.get(name, was)[:2], low, high]
        action[TAKE_PROPERTY] = json.dumps(record)
