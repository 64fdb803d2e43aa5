"""From a Motion to the values of F-curves: which property gets which numbers at which frames."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Callable

import bpy
import numpy as np
from mathutils import Euler, Quaternion

from ..head import rotation
from ..head.arkit_values import LOOKS, look_values
from ..motion import Motion
from .frame import unit_of
from .head_rig import HeadRig
from .named_channels import named_values
from .points import key_points, mesh_to_armature
from .steps import Steps, finish
from .vocabulary import whole

BONE_PATHS = {"QUATERNION": ("rotation_quaternion", 4), "AXIS_ANGLE": ("rotation_axis_angle", 4)}
_EULER_PATH = ("rotation_euler", 3)
ROTATION_PATHS = (*(path for path, _ in BONE_PATHS.values()), _EULER_PATH[0])
_NECK_COLUMN, _JAW_COLUMN, _EYES_COLUMN = 0, 9, 18
_COEFFICIENT_LIMIT = 10.0
"""Blender's own limit of a shape key's slider."""
_ASTRAY = 0.00005
"""Metres by which, half-way between two keys, skin may be off the turn that leads from one to the other."""
_REACH = {"root": 0.3, "neck": 0.2, "jaw": 0.13, "left_eye": 0.014, "right_eye": 0.014}
"""Metres from a joint of FLAME's to the furthest skin that it moves: the shorter, the less an angle counts."""
_HALVINGS = 4
_JUMP = 1.5
"""Radians from key to key at which Euler angles may have changed to the other way of writing a rotation."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """Which parts of a motion are written."""

    face: bool = True
    """Expression and jaw."""
    head: bool = True
    gaze: bool = True
    blinks: bool = True


@dataclasses.dataclass(frozen=True)
class Strengths:
    """Factors on the parts of a motion; 1 is as generated."""

    face: float = 1.0
    head: float = 1.0
    gaze: float = 1.0
    blinks: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Channel:
    """The keys of one F-curve."""

    data_path: str
    index: int
    group: str
    frames: np.ndarray
    """(N,) float64, rising."""
    values: np.ndarray
    """(N,) float64."""


@dataclasses.dataclass(frozen=True, eq=False)
class Channels:
    """All curves of a take: on the armature object, on the mesh's shape keys, and on those of further meshes."""

    bones: list[Channel]
    keys: list[Channel]
    more: list[list[Channel]] = dataclasses.field(default_factory=list)

    @property
    def lists(self) -> list[list[Channel]]:
        """In the order of ``takes.owners``."""
        return [self.bones, self.keys, *self.more]


def motion_channels(
    rig: HeadRig,
    motion: Motion,
    frames: np.ndarray,
    parts: Parts,
    strengths: Strengths,
    blink_expressions: np.ndarray | None = None,
    halvings: int = _HALVINGS,
) -> Channels:
    """``motion_channels_in_steps`` at once."""
    return finish(motion_channels_in_steps(rig, motion, frames, parts, strengths, blink_expressions, halvings))


def motion_channels_in_steps(
    rig: HeadRig,
    motion: Motion,
    frames: np.ndarray,
    parts: Parts,
    strengths: Strengths,
    blink_expressions: np.ndarray | None = None,
    halvings: int = _HALVINGS,
) -> Steps[Channels]:
    """Curves for ``motion``, whose expressions are in the rig's basis, at scene frames ``frames`` (T,).

    ``blink_expressions`` (E, 2) stands for the lid keys on a rig that has none: what shuts the left and right lids.
    ``halvings``: how often the middle between two keys of a turn may be keyed too; 0 is for a rough look.
    """
    if rig.vocabulary:
        return (yield from _named_channels(rig, motion, frames, parts, strengths, halvings))
    bones: list[Channel] = []
    keys: list[Channel] = []
    blink = np.clip(motion.blink.astype(np.float64) * strengths.blinks, 0, 1)
    if parts.face:
        jaw = motion.jaw.astype(np.float64) * strengths.face
        bones += bone_channels(rig, "jaw", jaw, frames, halvings)
        yield
        keys += _corrective_channels(rig, _JAW_COLUMN, jaw, frames, halvings)
        yield
    if parts.head:
        head = motion.head.astype(np.float64) * strengths.head
        bones += bone_channels(rig, "neck", head, frames, halvings)
        keys += _corrective_channels(rig, _NECK_COLUMN, head, frames, halvings)
        yield
    if parts.gaze:
        gaze = gaze_channels(rig, motion.eyes.astype(np.float64) * strengths.gaze, frames, halvings)
        bones += gaze.bones
        keys += gaze.keys
        yield
    lids = [key for key in rig.blink_keys if key is not None]
    expression = motion.expression.astype(np.float64) * (strengths.face if parts.face else 0.0)
    used = np.full(expression.shape[1], parts.face)
    if parts.blinks and not lids and blink_expressions is not None:
        expression = expression + blink @ blink_expressions.T
        used |= blink_expressions.any(1)
    for name, values, use in zip(rig.expression_keys, expression.T, used, strict=False):
        if name is not None and use:
            keys.append(key_channel(name, np.clip(values, -_COEFFICIENT_LIMIT, _COEFFICIENT_LIMIT), frames))
    if parts.blinks:
        keys += [key_channel(k, v, frames) for k, v in zip(rig.blink_keys, blink.T, strict=True) if k is not None]
    return Channels(bones, keys)


def gaze_channels(rig: HeadRig, eyes: np.ndarray, frames: np.ndarray, halvings: int = _HALVINGS) -> Channels:
    """Curves for the eyes alone, (T, 6) left then right; the lids follow through the rig's drivers."""
    bones, keys = [], []
    for side, joint in enumerate(("left_eye", "right_eye")):
        turn = eyes[:, 3 * side : 3 * side + 3]
        bones += bone_channels(rig, joint, turn, frames, halvings)
        keys += _corrective_channels(rig, _EYES_COLUMN + 9 * side, turn, frames, halvings)
    if rig.vocabulary:
        named, more = _key_channels(rig, look_values(eyes), frames)
        return Channels(bones, keys + named, more)
    return Channels(bones, keys)


def _named_channels(
    rig: HeadRig, motion: Motion, frames: np.ndarray, parts: Parts, strengths: Strengths, halvings: int
) -> Steps[Channels]:
    """Curves for a face of named keys; whatever is a bone turns."""
    jaw, values = named_values(rig, motion, parts, strengths)
    yield
    bones: list[Channel] = []
    if parts.face:
        bones += bone_channels(rig, "jaw", jaw, frames, halvings)
    if parts.head:
        bones += bone_channels(rig, "neck", motion.head.astype(np.float64) * strengths.head, frames, halvings)
    if parts.gaze:
        eyes = motion.eyes.astype(np.float64) * strengths.gaze
        bones += bone_channels(rig, "left_eye", eyes[:, :3], frames, halvings)
        bones += bone_channels(rig, "right_eye", eyes[:, 3:], frames, halvings)
    yield
    return Channels(bones, *_key_channels(rig, values, frames))


def _key_channels(
    rig: HeadRig, values: dict[str, np.ndarray], frames: np.ndarray
) -> tuple[list[Channel], list[list[Channel]]]:
    """Curves on the face's named keys and on those of its further meshes, for (T,) values by part."""
    lists = []
    for mesh, names in ((rig.mesh, rig.named_keys), *((part.mesh, part.keys) for part in rig.more)):
        summed: dict[str, np.ndarray] = {}
        for part, name in names.items():
            part = whole(part)
            if part in values:
                # One key may stand for two parts (a blink of both eyes), and two for one (its halves).
                value = values[part] * rig.amounts.get(part, 1.0)
                summed[name] = np.maximum(summed[name], value) if name in summed else value
        blocks = mesh.data.shape_keys.key_blocks
        lists.append([key_channel(n, _reachable(blocks[n], v, mesh == rig.mesh), frames) for n, v in summed.items()])
    return lists[0], lists[1:]


def _reachable(key: bpy.types.ShapeKey, values: np.ndarray, widened: bool) -> np.ndarray:
    """Values that a key's slider can take; the main mesh's sliders are widened by the take."""
    if widened:
        return np.clip(values, -_COEFFICIENT_LIMIT, _COEFFICIENT_LIMIT)
    return np.clip(values, key.slider_min, key.slider_max)


def gaze_paths(rig: HeadRig) -> tuple[set[str], ...]:
    """By owner of a take (the armature, the shape keys, further ones) the data paths that turning the eyes writes."""
    bones = {
        bone_path(rig.bones[joint], path)
        for joint in ("left_eye", "right_eye")
        if joint in rig.bones
        for path, _ in (*BONE_PATHS.values(), _EULER_PATH)
    }
    keys = {key_path(name) for column, name in rig.pose_keys.items() if column >= _EYES_COLUMN}
    named = [{key_path(names[part]) for part in LOOKS if part in names} for names in rig.every_named_keys]
    return (bones, keys.union(*named[:1]), *named[1:])


def bone_channels(
    rig: HeadRig, joint: str, vectors: np.ndarray, frames: np.ndarray, halvings: int = _HALVINGS
) -> list[Channel]:
    """Curves that turn a joint's bone by (T, 3) axis-angle vectors in FLAME's frame, in the bone's own rotation mode.

    A bone's rotation is relative to its rest pose: M^-1 (C R C^-1) M with its rest matrix M and the rig's frame C,
    which turns the axis of R by M^-1 C and leaves its angle. Returns nothing for a joint that the rig lacks.
    """
    name = rig.bones.get(joint)
    if name is None:
        return []
    bone = rig.armature.pose.bones[name]
    to_local = _to_local(rig, joint, bone) * rig.amounts.get(joint, 1.0)
    path, _ = rotation_path(bone)
    tolerance = _ASTRAY / _REACH[joint]
    frames, values = _with_keys_between(
        bone.rotation_mode, np.asarray(frames, np.float64), vectors @ to_local.T, tolerance, halvings
    )
    return [Channel(bone_path(name, path), i, name, frames, column) for i, column in enumerate(values.T)]


def _to_local(rig: HeadRig, joint: str, bone: bpy.types.PoseBone) -> np.ndarray:
    """(3, 3) from FLAME's frame to a bone's own: as the bone lies, or by the axes that were chosen for it."""
    if joint not in rig.axes:
        return np.array(bone.bone.matrix_local.to_3x3(), np.float64).T @ rig.frame
    nod, turn = (
        np.eye(3)["XYZ".index(name[-1])] * (-1 if name[0] == "-" else 1) for name in rig.axes[joint].split(",")
    )
    return np.stack([nod, turn, np.cross(nod, turn)], 1)


def key_channel(name: str, values: np.ndarray, frames: np.ndarray) -> Channel:
    return Channel(key_path(name), 0, "TalkingEyes", np.asarray(frames, np.float64), values)


def bone_path(bone: str, property_: str) -> str:
    return f'pose.bones["{bpy.utils.escape_identifier(bone)}"].{property_}'


def key_path(name: str) -> str:
    return f'key_blocks["{bpy.utils.escape_identifier(name)}"].value'


def rotation_path(bone: bpy.types.PoseBone) -> tuple[str, int]:
    """(property that holds the bone's rotation in its mode, how many numbers it has)."""
    return BONE_PATHS.get(bone.rotation_mode, _EULER_PATH)


def rotation_mode_decoder(bone: bpy.types.PoseBone, path: str) -> Callable[[np.ndarray], np.ndarray]:
    """What turns the numbers of a bone's rotation property (N, 3 or 4) into unit quaternions (N, 4)."""
    modes = {property_: mode for mode, (property_, _) in BONE_PATHS.items()}
    mode = modes.get(path) or (bone.rotation_mode if bone.rotation_mode not in BONE_PATHS else "XYZ")
    return lambda values: _decode(mode, values)


def _corrective_channels(
    rig: HeadRig, column: int, vectors: np.ndarray, frames: np.ndarray, halvings: int
) -> list[Channel]:
    """Pose correctives of one joint, whose nine columns begin at ``column``: (R - I) row by row."""
    wanted = [(i, rig.pose_keys[column + i]) for i in range(9) if column + i in rig.pose_keys]
    if not wanted:
        return []
    frames = np.asarray(frames, np.float64)
    sizes = _sizes(rig, wanted) if halvings else None  # which reads the keys' shapes
    for _ in range(halvings):
        features = _features(vectors)
        middle = _middle(vectors)
        error = np.abs((features[1:] + features[:-1]) / 2 - _features(middle)) @ sizes
        wrong = np.flatnonzero(error > _ASTRAY)
        if not len(wrong):
            break
        frames, vectors = _inserted(frames, vectors, wrong, middle)
    features = _features(vectors)
    return [key_channel(name, features[:, i], frames) for i, name in wanted]


def _sizes(rig: HeadRig, wanted: list[tuple[int, str]]) -> np.ndarray:
    """(9,) how far each corrective of a joint moves skin at most, metres of the head a unit."""
    scale = abs(np.linalg.det(mesh_to_armature(rig.armature, rig.mesh)[:3, :3])) ** (1 / 3) / unit_of(rig)
    sizes = np.zeros(9)
    bases: dict[str, np.ndarray] = {}
    for i, name in wanted:
        key = rig.shape_keys.key_blocks[name]
        basis = key.relative_key
        if basis.name not in bases:
            bases[basis.name] = key_points(basis)
        sizes[i] = scale * np.linalg.norm(key_points(key) - bases[basis.name], axis=1).max()
    return sizes


def _features(vectors: np.ndarray) -> np.ndarray:
    """(T, 9) what drives a joint's correctives at rotations (T, 3)."""
    return (rotation.matrix_from_axis_angle(vectors) - np.eye(3)).reshape(-1, 9)


def _middle(vectors: np.ndarray) -> np.ndarray:
    """(T - 1, 3) the rotations half-way from each of (T, 3) to the next."""
    ends = rotation.continuous_quaternions(rotation.quaternion_from_axis_angle(vectors))
    return rotation.axis_angle_from_quaternion(ends[1:] + ends[:-1])


def _inserted(
    frames: np.ndarray, vectors: np.ndarray, after: np.ndarray, middle: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Frames and vectors with the ``middle`` (T - 1, 3) keyed too behind the keys ``after``."""
    vectors = np.insert(vectors, after + 1, middle[after], 0)
    return np.insert(frames, after + 1, (frames[after] + frames[after + 1]) / 2), vectors


def _with_keys_between(
    mode: str, frames: np.ndarray, vectors: np.ndarray, tolerance: float, halvings: int
) -> tuple[np.ndarray, np.ndarray]:
    """(frames (N,), values (N, 3 or 4)) of curves in rotation mode ``mode`` for vectors (T, 3).

    Curves interpolate each number by itself. Where that leaves the shortest turn between two keys by more than
    ``tolerance`` radians (a jump of the eyes in Euler angles, or from one axis to another in axis and angle), the
    turn's middle is keyed too, since a scene may show any moment between two keys.
    """
    for _ in range(halvings):
        values = _encode(mode, vectors)
        if len(values) < 2:
            break
        between = _decode(mode, (values[1:] + values[:-1]) / 2)
        turn = _middle(vectors)
        middle = rotation.quaternion_from_axis_angle(turn)
        # The sine form tells small angles apart, which the cosine of near 1 does not.
        sign = np.where((between * middle).sum(1, keepdims=True) < 0, -1.0, 1.0)
        error = 4 * np.arcsin(np.clip(np.linalg.norm(between * sign - middle, axis=1) / 2, 0, 1))
        wrong = np.flatnonzero(error > tolerance)
        if not len(wrong):
            break
        frames, vectors = _inserted(frames, vectors, wrong, turn)
    else:
        values = _encode(mode, vectors)
    return frames, values


def _encode(mode: str, vectors: np.ndarray) -> np.ndarray:
    """(T, 3) axis-angle vectors as the numbers of a rotation mode, (T, 3 or 4), continuous from key to key."""
    if mode == "AXIS_ANGLE":
        angles, axes = rotation.axis_angle_keys(vectors)
        return np.concatenate([angles[:, None], axes], 1)
    quaternions = rotation.continuous_quaternions(rotation.quaternion_from_axis_angle(vectors))
    if mode == "QUATERNION":
        return quaternions
    values = _euler(mode, rotation.matrix_from_quaternion(quaternions))
    if len(values) < 2 or np.abs(np.diff(values, axis=0)).max() < _JUMP:
        return values
    # A turn through the pole of its order: of the two ways to write each rotation the one nearest to the last is taken.
    before = Euler((0.0, 0.0, 0.0), mode)
    for i, quaternion in enumerate(quaternions.tolist()):
        before = Quaternion(quaternion).to_euler(mode, before)
        values[i] = before
    return values


def _euler(mode: str, matrices: np.ndarray) -> np.ndarray:
    """(T, 3) angles about X, Y, Z of matrices (T, 3, 3) in a Blender order, whose first letter turns first.

    The middle angle lies within a quarter turn of 0; each column is unwrapped.
    """
    first, middle, last = ("XYZ".index(axis) for axis in mode)
    sign = 1.0 if (middle - first) % 3 == 1 else -1.0
    m = matrices
    values = np.empty((len(m), 3))
    values[:, first] = np.arctan2(sign * m[:, last, middle], m[:, last, last])
    values[:, middle] = np.arcsin(np.clip(-sign * m[:, last, first], -1, 1))
    values[:, last] = np.arctan2(sign * m[:, middle, first], m[:, first, first])
    return np.unwrap(values, axis=0)


def _decode(mode: str, values: np.ndarray) -> np.ndarray:
    """The numbers of a rotation mode as Blender evaluates them: unit quaternions (N, 4)."""
    if mode == "QUATERNION":
        return values / np.linalg.norm(values, axis=1, keepdims=True)
    if mode == "AXIS_ANGLE":
        length = np.linalg.norm(values[:, 1:], axis=1, keepdims=True)
        return rotation.quaternion_from_axis_angle(values[:, :1] * values[:, 1:] / np.maximum(length, 1e-30))
    # The order's first axis turns first, so that its matrix stands last in the product.
    turns = np.eye(3) * values[:, :, None]
    first, middle, last = (rotation.matrix_from_axis_angle(turns[:, "XYZ".index(axis)]) for axis in mode)
    return rotation.quaternion_from_matrix(last @ middle @ first)
