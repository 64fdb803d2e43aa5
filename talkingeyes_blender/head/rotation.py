"""Rotations in numpy: axis-angle vectors, matrices and quaternions, batched, and continuous from frame to frame."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

# Axis-angle vectors are (..., 3) in radians, matrices (..., 3, 3) act on column vectors, quaternions are (..., 4) in
# Blender's order w, x, y, z. All results are float64.

_TINY = 1e-8


def matrix_from_axis_angle(vector: np.ndarray) -> np.ndarray:
    """Rodrigues' formula: (..., 3) radians to (..., 3, 3). Exact to rounding at small angles too."""
    vector = np.asarray(vector, np.float64)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vector.shape, 3)
    # sin(a)/a and (1 - cos(a))/a^2; np.sinc is finite at 0.
    return np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * (cross @ cross)


def axis_angle_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """(..., 3, 3) to (..., 3) radians, of length 0 to pi."""
    return axis_angle_from_quaternion(quaternion_from_matrix(matrix))


def quaternion_from_axis_angle(vector: np.ndarray) -> np.ndarray:
    """(..., 3) radians to unit quaternions (..., 4). A turn by more than pi keeps its own hemisphere (w < 0)."""
    vector = np.asarray(vector, np.float64)
    angle = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.concatenate([np.cos(angle / 2), 0.5 * np.sinc(angle / (2 * np.pi)) * vector], -1)


def axis_angle_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """(..., 4), normalised or not, to (..., 3) radians, of length 0 to pi."""
    quaternion = np.asarray(quaternion, np.float64)
    quaternion = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    quaternion = np.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    sine = np.linalg.norm(quaternion[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quaternion[..., :1])
    return quaternion[..., 1:] * np.where(sine > _TINY, angle / np.maximum(sine, _TINY), 2.0)


def matrix_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """(..., 4), normalised or not, to (..., 3, 3)."""
    quaternion = np.asarray(quaternion, np.float64)
    w, x, y, z = np.moveaxis(quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True), -1, 0)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return np.stack(rows, -1).reshape(*quaternion.shape[:-1], 3, 3)


def quaternion_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """(..., 3, 3) to unit quaternions (..., 4) with w >= 0."""
    m = np.asarray(matrix, np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    zy, xz, yx = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    sxy, sxz, syz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # Each row is the quaternion times four times one of its components; the row of the largest one loses no digits.
    rows = np.stack(
        [
            np.stack([1 + xx + yy + zz, zy, xz, yx], -1),
            np.stack([zy, 1 + xx - yy - zz, sxy, sxz], -1),
            np.stack([xz, sxy, 1 - xx + yy - zz, syz], -1),
            np.stack([yx, sxz, syz, 1 - xx - yy + zz], -1),
        ],
        -2,
    )
    largest = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), -1)
    quaternion = np.take_along_axis(rows, largest[..., None, None], -2)[..., 0, :]
    quaternion = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    return np.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Axis-angle of the rotation that turns by ``inner`` first, then by ``outer``; both broadcast (..., 3)."""
    return axis_angle_from_matrix(matrix_from_axis_angle(outer) @ matrix_from_axis_angle(inner))


def invert(vector: np.ndarray) -> np.ndarray:
    """Axis-angle of the opposite rotation."""
    return -np.asarray(vector, np.float64)


def angle_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angle in radians, (...), of the rotation from one axis-angle vector (..., 3) to the other."""
    return np.linalg.norm(compose(second, invert(first)), axis=-1)


def mean_rotation(vectors: np.ndarray) -> np.ndarray:
    """The rotation (3,) nearest to all of (T, 3) in the chordal sense: the mean matrix, projected on the rotations."""
    u, _, vt = np.linalg.svd(matrix_from_axis_angle(vectors).mean(0))
    return axis_angle_from_matrix(u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt)


def without_mean(vectors: np.ndarray) -> np.ndarray:
    """(T, 3) rotations relative to their mean: what is left of each after the mean is undone first."""
    return unwrap_axis_angle(compose(invert(mean_rotation(vectors)), vectors))


def continuous_quaternions(quaternions: np.ndarray) -> np.ndarray:
    """(T, 4) with signs chosen so that each key lies in the hemisphere of the one before it.

    Curves interpolate the four numbers one by one: between q and -q, the same rotation, they would pass through 0.
    """
    quaternions = np.array(quaternions, np.float64)
    flips = (quaternions[1:] * quaternions[:-1]).sum(-1) < 0
    quaternions[1:][np.cumsum(flips) % 2 == 1] *= -1
    return quaternions


def unwrap_axis_angle(vectors: np.ndarray) -> np.ndarray:
    """(T, 3) the same rotations, each written as the vector nearest to the one before it.

    A rotation by a about an axis is also one by a + 2 pi k; past half a turn the shortest vector flips its axis.
    """
    vectors = np.array(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=-1)
    if len(vectors) < 2 or lengths.max() < np.pi / 2:
        return vectors
    for t in range(1, len(vectors)):
        if lengths[t] < _TINY:
            before = np.linalg.norm(vectors[t - 1])
            axis = vectors[t - 1] / before if before > _TINY else np.array([1.0, 0.0, 0.0])
        else:
            axis = vectors[t] / lengths[t]
        turns = np.round((vectors[t - 1] @ axis - lengths[t]) / (2 * np.pi))
        vectors[t] = axis * (lengths[t] + 2 * np.pi * turns)
    return vectors


def axis_angle_keys(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split (T, 3) axis-angle vectors into signed angles (T,) and axes (T, 3) fit for Blender's four curves.

    Blender interpolates angle and axis apart and normalises the axis only afterwards. So axes stay in one hemisphere
    (a turn the other way is a negative angle, not a flipped axis), and an axis is the longer the larger its angle:
    half-way between 5 degrees about Y and 0.1 degrees about X the axis is then Y, as it should be, and not a diagonal.
    Lengths lie in 0.001 to 1; a key without a rotation keeps the axis before it.
    """
    vectors = unwrap_axis_angle(vectors)
    angles = np.linalg.norm(vectors, axis=-1)
    turned = angles > _TINY
    if not turned.any():
        return np.zeros(len(vectors)), np.tile([1.0, 0.0, 0.0], (len(vectors), 1))
    # Index of the last key that turns; before the first one, the first.
    last = np.maximum.accumulate(np.where(turned, np.arange(len(vectors)), -1))
    last[last < 0] = np.argmax(turned)
    axes = vectors[last] / angles[last, None]
    signs = np.ones(len(vectors))
    signs[1:] = np.where(np.cumsum((axes[1:] * axes[:-1]).sum(-1) < 0) % 2 == 1, -1.0, 1.0)
    lengths = np.maximum(angles / angles.max(), 1e-3)
    return angles * signs, axes * (signs * lengths)[:, None]


def turn_to(direction: np.ndarray, limit: float) -> np.ndarray:
    """Rotation vectors (T, 2) about X and Y that turn +Z to unit directions (T, 3) without torsion (Listing's law).

    They end at ``limit`` radians: an eye turns no further in the head.
    """
    angle = np.arccos(np.clip(direction[:, 2], -1, 1))
    axis = np.stack([-direction[:, 1], direction[:, 0]], 1)
    axis /= np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-12)
    return axis * np.minimum(angle, limit)[:, None]
