"""Rotations: conversions there and back, and continuity between keys as Blender interpolates them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from talkingeyes_blender.head import rotation as r

_RNG = np.random.default_rng(7)
_VECTORS = np.concatenate([
    _RNG.normal(0, 1, (200, 3)),
    1e-9 * _RNG.normal(0, 1, (20, 3)),
    np.zeros((1, 3)),
    np.pi * (1 - 1e-7) * np.eye(3),
])  # fmt: skip
_VECTORS = _VECTORS[np.linalg.norm(_VECTORS, axis=1) < np.pi]


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    matrix = r.matrix_from_axis_angle([0, 0, np.pi / 2])
    assert np.allclose(matrix @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    assert np.allclose(r.quaternion_from_axis_angle([0, 0, np.pi / 2]), [np.sqrt(0.5), 0, 0, np.sqrt(0.5)])


def test_matrices_are_rotations_that_keep_their_axis() -> None:
    matrices = r.matrix_from_axis_angle(_VECTORS)
    assert np.allclose(matrices @ matrices.transpose(0, 2, 1), np.eye(3), atol=1e-14)
    assert np.allclose(np.linalg.det(matrices), 1)
    assert np.allclose(np.einsum("nab,nb->na", matrices, _VECTORS), _VECTORS, atol=1e-14)
    assert np.allclose(np.trace(matrices, axis1=1, axis2=2), 1 + 2 * np.cos(np.linalg.norm(_VECTORS, axis=1)))


def test_all_ways_round_come_back() -> None:
    assert np.allclose(r.axis_angle_from_matrix(r.matrix_from_axis_angle(_VECTORS)), _VECTORS, atol=1e-7)
    quaternions = r.quaternion_from_axis_angle(_VECTORS)
    assert np.allclose(np.linalg.norm(quaternions, axis=1), 1)
    assert np.allclose(r.axis_angle_from_quaternion(-3 * quaternions), _VECTORS, atol=1e-12)
    assert np.allclose(r.matrix_from_quaternion(quaternions), r.matrix_from_axis_angle(_VECTORS), atol=1e-14)
    assert np.allclose(r.quaternion_from_matrix(r.matrix_from_quaternion(quaternions)), quaternions, atol=1e-9)


def test_any_number_of_leading_axes() -> None:
    batch = _VECTORS[:12].reshape(2, 3, 2, 3)
    assert r.matrix_from_axis_angle(batch).shape == (2, 3, 2, 3, 3)
    assert np.allclose(r.axis_angle_from_matrix(r.matrix_from_axis_angle(batch)), batch)


def test_compose_turns_by_the_inner_first() -> None:
    outer, inner = np.array([0, 0, np.pi / 2]), np.array([np.pi / 2, 0, 0])
    expected = r.matrix_from_axis_angle(outer) @ r.matrix_from_axis_angle(inner)
    assert np.allclose(r.matrix_from_axis_angle(r.compose(outer, inner)), expected)
    assert r.angle_between(inner, r.compose(outer, inner)) == pytest.approx(np.pi / 2)


def test_the_mean_of_a_clip_is_taken_out() -> None:
    mean = np.array([0.3, -0.5, 0.2])
    wobble = 0.1 * np.random.default_rng(0).normal(0, 1, (50, 3))
    symmetric = np.concatenate([wobble, -wobble])
    vectors = r.compose(mean, symmetric)
    assert np.allclose(r.mean_rotation(vectors), mean, atol=1e-9)
    assert np.allclose(r.without_mean(vectors), symmetric, atol=1e-9)
    assert np.linalg.norm(r.mean_rotation(r.without_mean(vectors))) < 1e-9


def test_unwrapped_vectors_pass_half_a_turn_without_a_jump() -> None:
    turns = np.linspace(0, 3 * np.pi, 60)[:, None] * [0, 1, 0]
    wrapped = r.axis_angle_from_matrix(r.matrix_from_axis_angle(turns))
    assert np.abs(np.diff(wrapped, axis=0)).max() > 6
    assert np.allclose(r.unwrap_axis_angle(wrapped), turns, atol=1e-6)


def test_quaternions_stay_in_one_hemisphere() -> None:
    quaternions = r.quaternion_from_axis_angle(np.linspace(0, 1, 40)[:, None] * [0.3, 1, 0.2])
    flipped = quaternions * np.random.default_rng(1).choice([-1, 1], (40, 1))
    continuous = r.continuous_quaternions(flipped)
    assert ((continuous[1:] * continuous[:-1]).sum(1) > 0).all()
    assert np.allclose(np.abs((continuous * quaternions).sum(1)), 1)


def _half_way(vectors: np.ndarray) -> np.ndarray:
    """Axis-angle vectors between each two keys, as Blender makes them of interpolated angles and axes."""
    angles, axes = r.axis_angle_keys(vectors)
    angle, axis = 0.5 * (angles[1:] + angles[:-1]), 0.5 * (axes[1:] + axes[:-1])
    return angle[:, None] * axis / np.linalg.norm(axis, axis=1, keepdims=True)


def test_axis_angle_keys_are_the_rotations_they_split() -> None:
    vectors = np.concatenate([np.zeros((3, 3)), _VECTORS[:50], np.zeros((2, 3))])
    angles, axes = r.axis_angle_keys(vectors)
    lengths = np.linalg.norm(axes, axis=1)
    assert lengths.min() >= 0.001 - 1e-9 and lengths.max() <= 1 + 1e-9
    again = angles[:, None] * axes / lengths[:, None]
    assert np.allclose(r.matrix_from_axis_angle(again), r.matrix_from_axis_angle(vectors), atol=1e-9)
    assert ((axes[1:] * axes[:-1]).sum(1) >= 0).all()


def test_keys_left_and_right_meet_straight_ahead() -> None:
    # Plain axis and angle gave 5.8 degrees of roll half-way between these two.
    half = _half_way(np.radians([[0, 5.7, 0], [0, -5.7, 0]]))
    assert np.allclose(half, 0, atol=1e-12)


def test_a_small_rotation_does_not_tilt_the_way_to_a_large_one() -> None:
    half = _half_way(np.radians([[0, 5, 0], [0.1, 0, 0]]))
    assert np.degrees(r.angle_between(half[0], np.radians([0.05, 2.5, 0]))) < 0.1


def test_between_keys_the_head_stays_on_its_way() -> None:
    rng = np.random.default_rng(2)
    steps = np.cumsum(rng.normal(0, 0.02, (500, 3)), 0)
    vectors = steps - steps.mean(0)
    half = _half_way(vectors)
    straight = 0.5 * (vectors[1:] + vectors[:-1])
    off = r.angle_between(half, straight)
    step = np.linalg.norm(np.diff(vectors, axis=0), axis=1)
    assert (off < 0.5 * step + 1e-9).all()


def test_no_rotation_at_all_has_an_axis() -> None:
    angles, axes = r.axis_angle_keys(np.zeros((4, 3)))
    assert (angles == 0).all() and (np.linalg.norm(axes, axis=1) == 1).all()
