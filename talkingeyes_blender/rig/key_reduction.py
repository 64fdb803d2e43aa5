"""Fewer keys on a take's curves, within bounds that are kept between the keys too, so that they can be edited by hand.

A curve becomes cubic pieces with handles at thirds of each piece, so that a piece is a cubic of time and its two
slopes are a linear fit. Keys stay where the largest error asks for one, and go again where their neighbours do without;
they always have the values that they had. The curves of a rotation share their keys, and what is bounded is the angle
by which the rotation is off, in whatever mode the bone is.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..head import rotation
from ..head.landmarks import INNER_LIP_PAIRS
from . import compat
from .channels import ROTATION_PATHS, bone_path, key_path, rotation_mode_decoder
from .frame import unit_of
from .hand_edits import by_us
from .head_rig import HeadRig
from .landmark_basis import landmark_basis
from .named import part_of
from .points import key_points, mesh_to_armature
from .takes import Clip, Take, clips, owners, refuse_tweak_mode

DEGREES, MILLIMETRES = 0.2, 0.1
"""Bounds that are not seen: a fifth of a degree is 0.04 mm of iris."""
_PARTS = 4
"""Places at which the time between two keys is looked at."""
_MARGIN = 0.97
"""Of the bound, for what lies between those places and for single precision."""
_SHUT = 0.001
"""Metres of the head between lips that count as shut: all curves of the face keep a key at the tightest frame."""
_PEAK = 4.0
"""Turning points that stand out by so many bounds keep their keys."""
_LINEAR, _BEZIER = 1, 2
_FREE, _ALIGNED = 0, 2

Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(values (N, C), the same (N, C)) -> (N,) how far off, as a part of the bound."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pieces:
    """Reduced curves that share their keys."""

    kept: np.ndarray
    """(K,) which of the keys stay, rising."""
    left: np.ndarray
    """(K, C) slope a frame into each key."""
    right: np.ndarray
    """(K, C) slope a frame out of each key."""
    error: float
    """Largest part of the bound that is used."""


@dataclasses.dataclass(frozen=True)
class Reduction:
    """What became of a take's keys."""

    before: int
    after: int
    degrees: float
    """Largest error of a rotation."""
    millimetres: float
    """Largest error of one shape key's skin."""


# ----------------------------------------------------------------------------------------------------------- the fit


def reduce_keys(frames: np.ndarray, dense: np.ndarray, must: Iterable[int], metric: Metric) -> Pieces:
    """Reduce curves with keys at ``frames`` (T,) and values ``dense`` ((T - 1) * 4 + 1, C) at and between them.

    ``must`` are keys that stay. ``metric`` tells errors as parts of the bound, which is kept at all dense places.
    """
    count = len(frames)
    times = _dense_times(frames)
    if count == 1:
        return Pieces(np.zeros(1, int), np.zeros_like(dense), np.zeros_like(dense), 0.0)
    fit = _Fit(times, dense, metric)
    kept = np.unique([0, count - 1, *must])
    while True:  # a key where each piece is worst, until none is too far off: one of a single step is exact
        error = fit.errors(kept)
        worst, at = _worst_of(error, kept)
        wrong = worst > 1
        if not wrong.any():
            break
        new = np.clip(np.round(at[wrong] / _PARTS).astype(int), kept[:-1][wrong] + 1, kept[1:][wrong] - 1)
        kept = np.union1d(kept, new)
    fixed = set(np.unique([0, count - 1, *must]).tolist())
    kept = _thinned(fit, kept, fixed)
    slopes = fit.slopes(kept)
    left, right = _both(slopes, len(kept), dense.shape[1])
    left, right = _smoothed(fit, kept, left, right)
    return Pieces(kept, left, right, float(fit.errors(kept, left, right).max(initial=0)))


class _Fit:
    """Cubic pieces between some of the keys, fitted to dense values by their slopes, all pieces at once."""

    def __init__(self, times: np.ndarray, dense: np.ndarray, metric: Metric) -> None:
        self.times, self.dense, self.metric = times, dense, metric

    def _basis(self, kept: np.ndarray) -> tuple[np.ndarray, ...]:
        ends = kept * _PARTS
        piece = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        piece = np.append(piece, len(ends) - 2)
        start, length = self.times[ends[:-1]], np.diff(self.times[ends])
        u = ((self.times - start[piece]) / length[piece])[:, None]
        first, last = self.dense[ends[:-1]], self.dense[ends[1:]]
        straight = first[piece] * (1 - u) ** 2 * (1 + 2 * u) + last[piece] * u**2 * (3 - 2 * u)
        scale = length[piece, None]
        return ends, piece, straight, scale * u * (1 - u) ** 2, -scale * u**2 * (1 - u)

    def slopes(self, kept: np.ndarray) -> np.ndarray:
        """(K - 1, 2, C) slopes at the start and the end of each piece, by least squares."""
        ends, _, straight, a, b = self._basis(kept)
        rest = self.dense - straight
        aa, ab, bb, ar, br = (np.add.reduceat(x, ends[:-1], axis=0) for x in (a * a, a * b, b * b, a * rest, b * rest))
        determinant = aa * bb - ab * ab
        good = determinant > 1e-9 * np.maximum(aa * bb, 1e-30)
        safe = np.where(good, determinant, 1.0)
        chord = (np.diff(self.dense[ends], axis=0)) / np.diff(self.times[ends])[:, None]
        start = np.where(good, (bb * ar - ab * br) / safe, chord)
        end = np.where(good, (aa * br - ab * ar) / safe, chord)
        return np.stack([start, end], 1)

    def errors(self, kept: np.ndarray, left: np.ndarray | None = None, right: np.ndarray | None = None) -> np.ndarray:
        """(N,) error at all dense places as a part of the bound, with fitted or given slopes."""
        if left is None:
            left, right = _both(self.slopes(kept), len(kept), self.dense.shape[1])
        _, piece, straight, a, b = self._basis(kept)
        return self.metric(straight + a * right[piece] + b * left[piece + 1], self.dense)


def _dense_times(frames: np.ndarray) -> np.ndarray:
    at = np.arange((len(frames) - 1) * _PARTS + 1) / _PARTS
    return np.interp(at, np.arange(len(frames)), frames)


def _both(slopes: np.ndarray, count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(K, C) slopes into and out of each key; at the ends both are the same."""
    left, right = np.zeros((count, width)), np.zeros((count, width))
    if count > 1:
        right[:-1], left[1:] = slopes[:, 0], slopes[:, 1]
        left[0], right[-1] = right[0], left[-1]
    return left, right


def _worst_of(error: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(largest error of each piece, the dense place of it); pieces of one step have none."""
    ends = kept * _PARTS
    worst = np.maximum.reduceat(error, ends[:-1])
    piece = np.repeat(np.arange(len(worst)), np.diff(ends))
    hits = np.flatnonzero(error[:-1] >= worst[piece])
    at = hits[np.searchsorted(piece[hits], np.arange(len(worst)))]
    return np.where(np.diff(kept) > 1, worst, 0.0), at


def _thinned(fit: _Fit, kept: np.ndarray, fixed: set[int]) -> np.ndarray:
    """Without the keys whose neighbours do without them, tried in two halves so that no two neighbours go at once."""
    stale = 0
    turn = 0
    while stale < 2 and len(kept) > 2:
        inner = np.arange(1, len(kept) - 1)
        tried = inner[(inner % 2 == turn) & ~np.isin(kept[inner], list(fixed))]
        turn, stale = 1 - turn, stale + 1
        if not len(tried):
            continue
        without = np.delete(kept, tried)
        error = fit.errors(without)
        ends = without * _PARTS
        worst = np.maximum.reduceat(error, ends[:-1])
        # The piece of ``without`` that each tried key lies in.
        good = worst[np.searchsorted(without, kept[tried]) - 1] <= 1
        if good.any():
            kept, stale = np.delete(kept, tried[good]), 0
    return kept


def _smoothed(fit: _Fit, kept: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slopes, made equal on both sides of the keys where the bound allows it: those bend without a corner."""
    if len(kept) < 3:
        return left, right
    lengths = np.diff(kept).astype(float)
    share = (lengths[1:] / (lengths[1:] + lengths[:-1]))[:, None]
    smooth = np.ones(len(kept), bool)
    mean = left.copy()
    # A longer piece feels its slope more.
    mean[1:-1] = left[1:-1] * (1 - share) + right[1:-1] * share
    while smooth.any():
        a, b = np.where(smooth[:, None], mean, left), np.where(smooth[:, None], mean, right)
        worst = np.maximum.reduceat(fit.errors(kept, a, b), (kept * _PARTS)[:-1])
        wrong = np.flatnonzero(worst > 1)
        touched = np.unique(np.concatenate([wrong, wrong + 1]))
        if not smooth[touched].any():
            return a, b
        smooth[touched] = False
    return left, right


def turning_points(values: np.ndarray, standing_out: float) -> np.ndarray:
    """Keys (of values (T,)) at which a curve turns and from which it goes by more than ``standing_out`` either way.

    Both ends of a plateau count: a lid that stays shut has a key when it is shut and one when it begins to open.
    """
    kept, low, high = [], 0, 0
    direction = 0
    for i, value in enumerate(values.tolist()):
        if direction >= 0 and value > values[high]:
            high = i
        if direction <= 0 and value < values[low]:
            low = i
        if direction >= 0 and value < values[high] - standing_out:
            kept.append(high)
            direction, low = -1, i
        elif direction <= 0 and value > values[low] + standing_out:
            kept.append(low)
            direction, high = 1, i
    found = []
    for i in kept:
        j = i
        while j + 1 < len(values) and abs(values[j + 1] - values[i]) < 1e-6:
            j += 1
        found += [i, j]
    return np.unique(np.array(found, int))


# --------------------------------------------------------------------------------------------------------- on a take


@by_us
def reduce_take(
    rig: HeadRig,
    take: Take,
    degrees: float = DEGREES,
    millimetres: float = MILLIMETRES,
    paths: set[str] | None = None,
) -> Reduction:
    """Reduce the keys of a take's curves (those of data paths ``paths`` alone, if given) within the bounds.

    A rotation is off by at most ``degrees``, and the skin that a shape key moves by at most ``millimetres`` of the
    head. Everything is computed before the first key is changed.
    """
    refuse_tweak_mode(rig)
    mine = [clip for owner in owners(rig) for clip in clips(owner) if clip.record["id"] == take.id]
    if not mine:
        raise TalkingEyesError(f"'{rig.name}' has no such take any more.", "Choose another one.")
    closures = _closures(rig, take, mine)
    planned = [
        (group, _planned(rig, group, degrees, millimetres, closures))
        for clip in mine
        for group in _groups(clip)
        if paths is None or group[0].data_path in paths
    ]
    before = sum(len(curve.keyframe_points) for group, _ in planned for curve in group)
    worst = {True: 0.0, False: 0.0}
    for group, pieces in planned:
        turns = group[0].data_path.rpartition(".")[2] in ROTATION_PATHS
        worst[turns] = max(worst[turns], pieces.error)
        frames, values = _keys(group)
        for i, curve in enumerate(group):
            _write(curve, frames[pieces.kept], values[i][pieces.kept], pieces.left[:, i], pieces.right[:, i])
    for clip in mine:
        clip.owner.update_tag()
    after = sum(len(curve.keyframe_points) for group, _ in planned for curve in group)
    bound = _MARGIN
    return Reduction(before, after, worst[True] * bound * degrees, worst[False] * bound * millimetres)


def _groups(clip: Clip) -> Iterable[list[bpy.types.FCurve]]:
    """A clip's curves; those of one rotation together, by their index."""
    rotations: dict[str, list[bpy.types.FCurve]] = {}
    for curve in compat.Curves(clip.strip.action, compat.slot_of(clip.strip)):
        kinds = _interpolations(curve)
        if not len(kinds) or not np.isin(kinds[:-1], (_LINEAR, _BEZIER)).all():
            continue  # what holds or bounces was made by hand and is few keys already
        if curve.data_path.rpartition(".")[2] in ROTATION_PATHS:
            rotations.setdefault(curve.data_path, []).append(curve)
        else:
            yield [curve]
    for path, group in rotations.items():
        group.sort(key=lambda curve: curve.array_index)
        whole = len(group) == (3 if path.endswith("rotation_euler") else 4)
        yield from [group] if whole else ([curve] for curve in group)


def _keys(group: list[bpy.types.FCurve]) -> tuple[np.ndarray, list[np.ndarray]]:
    """(frames at which any curve of a group has a key (T,), values there of each)."""
    frames = np.unique(np.concatenate([_co(curve)[:, 0] for curve in group]))
    if any((_interpolations(curve)[:-1] != _LINEAR).any() for curve in group):
        # Bezier curves that were made otherwise may need keys where they had none.
        frames = np.union1d(frames, np.arange(np.ceil(frames[0]), frames[-1]))
    return frames, [_sampled(curve, frames) for curve in group]


def _co(curve: bpy.types.FCurve) -> np.ndarray:
    values = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", values)
    return values.reshape(-1, 2).astype(np.float64)


def _interpolations(curve: bpy.types.FCurve) -> np.ndarray:
    kinds = np.empty(len(curve.keyframe_points), np.int32)
    curve.keyframe_points.foreach_get("interpolation", kinds)
    return kinds


def _sampled(curve: bpy.types.FCurve, times: np.ndarray) -> np.ndarray:
    """Values of a curve, without its modifiers, which stay on it."""
    if (_interpolations(curve)[:-1] == _LINEAR).all():
        return np.interp(times, *_co(curve).T)
    on = [modifier for modifier in curve.modifiers if not modifier.mute]
    for modifier in on:
        modifier.mute = True
    try:
        return np.array([curve.evaluate(float(time)) for time in times])
    finally:
        for modifier in on:
            modifier.mute = False


def _planned(
    rig: HeadRig, group: list[bpy.types.FCurve], degrees: float, millimetres: float, closures: np.ndarray
) -> Pieces:
    frames, values = _keys(group)
    times = _dense_times(frames)
    dense = np.stack([_sampled(curve, times) for curve in group], 1)
    path = group[0].data_path
    property_ = path.rpartition(".")[2]
    decode = None
    if property_ in ROTATION_PATHS:
        decode = rotation_mode_decoder(_bone(rig, path), property_)
    if decode is not None and len(group) > 1:
        bound = np.radians(degrees) * _MARGIN
        true = decode(dense)

        def metric(made: np.ndarray, _dense: np.ndarray) -> np.ndarray:
            return _angles(decode(made), true) / bound

        turned = rotation.axis_angle_from_quaternion(true[::_PARTS])
        peaks = [turning_points(column, _PEAK * bound) for column in turned.T]
    else:
        if decode is not None:
            bound = np.radians(degrees) * _MARGIN / 2
        else:
            bound = millimetres * _MARGIN / max(1000 * _size(rig, path), 1e-6)

        def metric(made: np.ndarray, dense: np.ndarray) -> np.ndarray:
            return np.abs(made - dense).max(1) / bound

        peaks = [turning_points(column, _PEAK * bound) for column in values]
    must = np.concatenate([*peaks, _at(frames, closures) if _is_face(rig, path) else peaks[0]])
    return reduce_keys(frames, dense, must.astype(int), metric)


def _angles(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) radians between unit quaternions (N, 4)."""
    sign = np.where((one * other).sum(1, keepdims=True) < 0, -1.0, 1.0)
    return 4 * np.arcsin(np.clip(np.linalg.norm(one * sign - other, axis=1) / 2, 0, 1))


def _bone(rig: HeadRig, path: str) -> bpy.types.PoseBone | None:
    return rig.armature.path_resolve(path.rpartition(".")[0])


def _size(rig: HeadRig, path: str) -> float:
    """How far a unit of a shape key moves skin at most, metres of the head; 1 for what is none."""
    if rig.shape_keys is None or not path.startswith("key_blocks["):
        return 1.0
    try:
        key = rig.shape_keys.path_resolve(path.rpartition(".")[0])
    except ValueError:
        return 1.0  # it is a further mesh's
    scale = abs(np.linalg.det(mesh_to_armature(rig.armature, rig.mesh)[:3, :3])) ** (1 / 3) / unit_of(rig)
    return float(scale * np.linalg.norm(key_points(key) - key_points(key.relative_key), axis=1).max(initial=0))


def _is_face(rig: HeadRig, path: str) -> bool:
    """Whether a curve has to do with how far the lips are apart."""
    jaw = {bone_path(rig.bones["jaw"], p) for p in ROTATION_PATHS} if "jaw" in rig.bones else set()
    keys = {key_path(n) for names in rig.every_named_keys for part, n in names.items() if part_of(part) == "face"}
    keys |= {key_path(name) for name in rig.expression_keys if name is not None}
    keys |= {key_path(name) for column, name in rig.pose_keys.items() if 9 <= column < 18}
    return path in jaw | keys


def _at(frames: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The keys at some frames; none where a curve has no key there."""
    place = np.clip(np.searchsorted(frames, wanted - 1e-3), 0, len(frames) - 1)
    return place[np.abs(frames[place] - wanted) < 2e-3]


def _closures(rig: HeadRig, take: Take, mine: list[Clip]) -> np.ndarray:
    """Frames (of the take's action) at which its lips are shut and tightest."""
    frames = mine[0].record["start"] + take.step * np.arange(take.frames)
    gap = lip_partings(rig, mine, frames)
    if gap is None:
        return np.zeros(0)
    around = np.concatenate([[np.inf], gap, [np.inf]])
    tightest = (gap <= around[:-2]) & (gap <= around[2:]) & (gap < _SHUT)
    return frames[tightest]


def lip_partings(rig: HeadRig, mine: list[Clip], frames: np.ndarray) -> np.ndarray | None:
    """(T,) how far a take's curves, without their modifiers, open the lips beyond rest, metres of the head: the least
    of three places along the lips. None where the face's landmarks are not known."""
    basis = landmark_basis(rig) if rig.expressions and "jaw" in rig.bones else None
    if basis is None:
        return None
    curves = {
        (curve.data_path, curve.array_index): curve
        for clip in mine
        for curve in compat.Curves(clip.strip.action, compat.slot_of(clip.strip))
        if len(curve.keyframe_points)
    }
    expression = np.zeros((len(frames), rig.expressions))
    for i, name in enumerate(rig.expression_keys):
        curve = curves.get((key_path(name), 0)) if name is not None else None
        if curve is not None:
            expression[:, i] = _sampled(curve, frames)
    turns = np.broadcast_to(np.eye(3), (len(frames), 3, 3))
    bone = rig.armature.pose.bones[rig.bones["jaw"]]
    for property_ in ROTATION_PATHS:
        width = 3 if property_ == "rotation_euler" else 4
        group = [curves.get((bone_path(bone.name, property_), i)) for i in range(width)]
        if all(group):
            decode = rotation_mode_decoder(bone, property_)
            local = rotation.matrix_from_quaternion(decode(np.stack([_sampled(c, frames) for c in group], 1)))
            axes = np.array(bone.bone.matrix_local.to_3x3(), np.float64).T @ rig.frame
            turns = axes.T @ local @ axes
    upper, lower = INNER_LIP_PAIRS.T
    chunks = []
    for first in range(0, len(frames), 500):
        part = slice(first, first + 500)
        posed = basis.posed(expression[part], turns[part])
        chunks.append((posed[:, upper] - posed[:, lower])[..., 1])
    rest = np.maximum((basis.points[upper] - basis.points[lower])[:, 1], 0)
    return (np.concatenate(chunks) - rest).max(1) / unit_of(rig)


def _write(
    curve: bpy.types.FCurve, frames: np.ndarray, values: np.ndarray, left: np.ndarray, right: np.ndarray
) -> None:
    """Give a curve these keys, with handles at thirds of the way to the next."""
    count = len(frames)
    points = curve.keyframe_points
    points.clear()
    points.add(count)
    gaps = np.diff(frames) / 3 if count > 1 else np.zeros(0)
    before, after = np.append(gaps[:1], gaps), np.append(gaps, gaps[-1:])
    if count == 1:
        before = after = np.ones(1) / 3
    corner = np.abs(left - right) > 1e-6 * np.maximum(np.abs(left) + np.abs(right), 1e-6)
    kinds = np.where(corner, _FREE, _ALIGNED).astype(np.int32)

    def flat(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack([x, y], 1).astype(np.float32).ravel()

    points.foreach_set("co", flat(frames, values))
    points.foreach_set("interpolation", np.full(count, _BEZIER, np.int32))
    points.foreach_set("handle_left_type", kinds)
    points.foreach_set("handle_right_type", kinds)
    points.foreach_set("handle_left", flat(frames - before, values - left * before))
    points.foreach_set("handle_right", flat(frames + after, values + right * after))
    curve.update()
    # Handles that are sorted out anew by their types are put where they belong once more.
    points.foreach_set("handle_left", flat(frames - before, values - left * before))
    points.foreach_set("handle_right", flat(frames + after, values + right * after))
