"""Carrying expressions over: what is asked of a basis that can, of one that cannot, and that shut lips stay shut."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from _heads import tiny_head

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head.landmarks import INNER_LIP_PAIRS, lip_gap
from talkingeyes_blender.head.model import JAW, HeadModel, basis_identity
from talkingeyes_blender.head.rotation import matrix_from_axis_angle
from talkingeyes_blender.head.skinning import pose_vertices
from talkingeyes_blender.head.transfer import LandmarkBasis, jaw_transforms, solve_transfer


def mixed(head: HeadModel, expressions: int = 100, seed: int = 5) -> HeadModel:
    """Another face with a basis like FLAME's: a random orthogonal mixture of smooth deformations, falling in size."""
    rng = np.random.default_rng(seed)
    skin = np.flatnonzero(head.weights[:, 3:].max(1) < 0.5)
    points = head.vertices * [1.08, 0.94, 1.03]
    deformations = np.zeros((len(points), 3, expressions))
    for k in range(expressions):
        # Bumps of 1 to 5 cm, every other one on a landmark, on the jaw's side of the lips or on the other one.
        centre = points[rng.choice(head.landmarks["face"] if k % 2 else skin)]
        bump = np.exp(-(((points[skin] - centre) / rng.uniform(0.01, 0.05)) ** 2).sum(1))
        side = head.weights[skin, JAW]
        bump *= side if rng.random() < 0.5 else 1 - side
        deformations[skin, :, k] = bump[:, None] * rng.normal(0, 1, 3)
    flat = deformations.reshape(-1, expressions)
    mixture = np.linalg.qr(rng.normal(0, 1, (expressions, expressions)))[0]
    u, values, vt = np.linalg.svd(flat / np.linalg.norm(flat, axis=0) @ mixture, full_matrices=False)
    basis = (u * values * np.linspace(1, 0.2, expressions)) @ vt
    basis = (0.008 * basis / np.abs(basis).max()).reshape(deformations.shape).astype(np.float32)
    return dataclasses.replace(
        head, name="mixed", vertices=points, expression_basis=basis, identity=basis_identity(basis),
        lids=None, lid_follow=None,
    )  # fmt: skip


def without_correctives(head: HeadModel) -> HeadModel:
    return dataclasses.replace(head, pose_basis=np.zeros_like(head.pose_basis))


def jaw(degrees: float) -> np.ndarray:
    pose = np.zeros((5, 3))
    pose[JAW, 0] = np.radians(degrees)
    return pose


def gap(head: HeadModel, expression: np.ndarray | None = None, degrees: float = 0.0) -> float:
    return float(lip_gap(pose_vertices(head, expression=expression, pose=jaw(degrees)), head.landmarks))


def test_a_head_to_itself_is_the_identity() -> None:
    source = LandmarkBasis.from_head(tiny_head())
    transfer = solve_transfer(source, source)
    assert transfer.scale == pytest.approx(1)
    assert np.allclose(transfer.matrix, np.eye(8), atol=0.05) and (transfer.reached > 0.97).all()
    expression = np.random.default_rng(0).normal(0, 1, (20, 8))
    assert np.allclose(transfer.apply(expression), expression, atol=0.25)


def test_a_mixture_of_the_same_shapes_is_undone() -> None:
    head = tiny_head()
    mixture = np.linalg.qr(np.random.default_rng(1).normal(0, 1, (8, 8)))[0]
    other = dataclasses.replace(head, expression_basis=(head.expression_basis @ mixture).astype(np.float32))
    transfer = solve_transfer(LandmarkBasis.from_head(head), LandmarkBasis.from_head(other))
    expression = np.random.default_rng(0).uniform(0, 1, (10, 8))
    ours = pose_vertices(head, expression=expression)
    theirs = pose_vertices(other, expression=transfer.apply(expression))
    moved = np.abs(ours - head.vertices).max()
    assert np.abs(ours - theirs)[:, head.landmarks["face"]].max() < 0.03 * moved
    assert (transfer.reached > 0.97).all()


def test_shut_lips_stay_shut_on_a_basis_like_flames() -> None:
    head = tiny_head()
    target = mixed(head)
    transfer = solve_transfer(LandmarkBasis.from_head(head), LandmarkBasis.from_head(target))
    close = np.eye(8)[0]
    assert gap(head, degrees=10) > 0.015 and gap(head, close, 10) < 0.001, "the source shuts its mouth"
    open_gap = gap(target, degrees=10)
    assert open_gap > 0.015
    assert gap(target, transfer.apply(close), 10) < gap(target) + 0.0005, "no wider than its lips at rest"
    # And half of it leaves half, on the source and on the target.
    half = gap(target, transfer.apply(0.5 * close), 10) / open_gap
    assert half == pytest.approx(gap(head, 0.5 * close, 10) / gap(head, degrees=10), abs=0.08)
    assert gap(target, transfer.apply(0.5 * close), 5) < gap(target) + 0.001, "shut at half of both"
    opened = gap(target, transfer.apply(np.eye(8)[1]))
    assert opened == pytest.approx(gap(head, np.eye(8)[1]), rel=0.25)
    assert (transfer.reached[:2] > 0.5).all() and (np.abs(transfer.matrix) <= 3 + 1e-9).all()
    assert transfer.apply(close).dtype == np.float32


def test_weights_for_closure_matter() -> None:
    # The same target without knowledge of the jaw does worse: its gap at 10 degrees is not asked for.
    head = without_correctives(tiny_head())
    target = without_correctives(mixed(head, expressions=24))
    source, goal = LandmarkBasis.from_head(head), LandmarkBasis.from_head(target)
    close = np.eye(8)[0]
    told = solve_transfer(source, goal).apply(close)
    untold = solve_transfer(source, dataclasses.replace(goal, jaw=None)).apply(close)
    assert gap(target, told, 10) < gap(target, untold, 10)


def test_a_jaw_that_opens_wider_is_shut_as_well() -> None:
    head = without_correctives(tiny_head())
    target = without_correctives(mixed(head))
    # The jaw's joint lies further back: the same 10 degrees open the mouth by more, on a face of the same size.
    regressor = target.joint_regressor.copy()
    system = np.concatenate([target.vertices.T, np.ones((1, len(target.vertices)))])
    place = target.joints[JAW] + [0, 0.0, -0.035]
    regressor[JAW] = np.linalg.lstsq(system, np.append(place, 1), rcond=None)[0]
    target = dataclasses.replace(target, joint_regressor=regressor)
    open_gap = gap(target, degrees=10)
    assert open_gap > 1.2 * gap(head, degrees=10)
    transfer = solve_transfer(LandmarkBasis.from_head(head), LandmarkBasis.from_head(target))
    assert gap(target, transfer.apply(np.eye(8)[0]), 10) < gap(target) + 0.0008


@pytest.mark.parametrize("scale", [0.01, 1.3, 100.0])
def test_any_size_and_any_frame(scale: float) -> None:
    head = tiny_head()
    goal = LandmarkBasis.from_head(mixed(head))
    plain = solve_transfer(LandmarkBasis.from_head(head), goal)
    turn = matrix_from_axis_angle([np.pi / 2, 0.3, -0.2])
    shift = np.array([3.0, -2.0, 1.0])
    affine = np.einsum("ab,kbc,dc->kad", turn, goal.jaw[:, :, :3], turn)
    offset = scale * goal.jaw[:, :, 3] @ turn.T + shift - np.einsum("kab,b->ka", affine, shift)
    turned = LandmarkBasis(
        scale * goal.points @ turn.T + shift,
        scale * np.einsum("ab,kbe->kae", turn, goal.displacements),
        np.concatenate([affine, offset[..., None]], -1),
    )
    transfer = solve_transfer(LandmarkBasis.from_head(head), turned)
    assert transfer.scale == pytest.approx(scale * plain.scale, rel=1e-6)
    assert np.allclose(transfer.matrix, plain.matrix, atol=1e-5)
    assert np.allclose(transfer.reached, plain.reached, atol=1e-5)


def test_what_the_target_cannot_do_is_told() -> None:
    head = tiny_head()
    lips_only = head.expression_basis.copy()
    lips_only[:, :, 2:] = 0
    target = dataclasses.replace(head, expression_basis=lips_only)
    transfer = solve_transfer(LandmarkBasis.from_head(head), LandmarkBasis.from_head(target))
    assert (transfer.reached[:2] > 0.95).all() and (transfer.reached[2:] < 0.4).all()
    assert ((transfer.reached >= 0) & (transfer.reached <= 1)).all()
    assert (transfer.matrix[2:] == 0).all(), "keys that do nothing stay at 0"


def test_an_expression_that_moves_no_landmark_is_left_out() -> None:
    head = tiny_head()
    basis = head.expression_basis.copy()
    basis[:, :, 5] = 0
    source = LandmarkBasis.from_head(dataclasses.replace(head, expression_basis=basis))
    transfer = solve_transfer(source, LandmarkBasis.from_head(head))
    assert transfer.reached[5] == 0 and (transfer.matrix[:, 5] == 0).all()


def test_coefficients_keep_to_their_limit() -> None:
    head = tiny_head()
    weak = dataclasses.replace(head, expression_basis=0.1 * head.expression_basis)
    source, target = LandmarkBasis.from_head(head), LandmarkBasis.from_head(weak)
    free = solve_transfer(source, target, limit=None)
    assert np.abs(free.matrix).max() > 8 and (free.reached > 0.97).all()
    kept = solve_transfer(source, target)
    assert np.abs(kept.matrix).max() <= 3 and (kept.reached > 0.15).all()


def test_points_of_the_lips_count_more_than_the_brows() -> None:
    # One key that can follow either the lips or the brows, which the source moves apart.
    head = tiny_head()
    points = LandmarkBasis.from_head(head).points
    source, target = np.zeros((51, 3, 1)), np.zeros((51, 3, 1))
    source[43:51, 2] = 0.004
    source[0:8, 2] = -0.004
    target[43:51, 2] = target[0:8, 2] = 0.004
    transfer = solve_transfer(LandmarkBasis(points, source), LandmarkBasis(points, target))
    assert transfer.matrix[0, 0] > 0.3


def test_the_jaw_of_a_head_is_where_skinning_puts_it() -> None:
    head = tiny_head()
    basis = LandmarkBasis.from_head(head)
    moved = np.einsum("kab,kb->ka", basis.jaw[:, :, :3], basis.points) + basis.jaw[:, :, 3]
    assert np.allclose(moved, pose_vertices(head, pose=jaw(10))[head.landmarks["face"]])
    lower, upper = INNER_LIP_PAIRS[1, 1], INNER_LIP_PAIRS[1, 0]
    assert np.allclose(basis.jaw[lower, :, :3], matrix_from_axis_angle(jaw(10)[JAW]), atol=0.1)
    assert np.allclose(basis.jaw[upper, :, :3], np.eye(3), atol=0.1)


def test_the_jaw_of_a_rig_from_its_weights() -> None:
    head = without_correctives(tiny_head())
    weights = head.weights[head.landmarks["face"], JAW]
    made = jaw_transforms(weights, head.joints[JAW], [2.0, 0, 0])
    assert np.allclose(made, LandmarkBasis.from_head(head).jaw, atol=1e-12) and np.ptp(weights) > 0.9


def test_bad_input_is_named() -> None:
    head = tiny_head()
    good = LandmarkBasis.from_head(head)
    with pytest.raises(TalkingEyesError, match="no landmarks"):
        LandmarkBasis.from_head(dataclasses.replace(head, landmarks={}))
    with pytest.raises(TalkingEyesError, match="points"):
        LandmarkBasis(np.zeros((68, 3)), good.displacements)
    with pytest.raises(TalkingEyesError, match="displacements"):
        LandmarkBasis(good.points, np.full((51, 3, 4), np.nan))
    with pytest.raises(TalkingEyesError, match="jaw"):
        LandmarkBasis(good.points, good.displacements, np.zeros((51, 3, 3)))
    with pytest.raises(TalkingEyesError, match="one point"):
        LandmarkBasis(np.ones((51, 3)), good.displacements)
    with pytest.raises(TalkingEyesError, match="no expressions"):
        solve_transfer(good, LandmarkBasis(good.points, np.zeros((51, 3, 0))))
    with pytest.raises(TalkingEyesError, match="move none"):
        solve_transfer(good, LandmarkBasis(good.points, np.zeros((51, 3, 4))))
    with pytest.raises(TalkingEyesError, match="takes 8 values"):
        solve_transfer(good, good).apply(np.zeros((3, 7)))
