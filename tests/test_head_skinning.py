"""Posing: FLAME's signs on FLAME's own mesh and on ours, the parts of the formula by hand, and torch against numpy."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
from _heads import tiny_head

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head.landmarks import INNER_LIP_PAIRS, NOSE_TIP, lip_gap
from talkingeyes_blender.head.model import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT, HeadModel
from talkingeyes_blender.head.reading import read_head
from talkingeyes_blender.head.rotation import matrix_from_axis_angle
from talkingeyes_blender.head.skinning import (
    joint_transforms,
    pose_features,
    pose_vertices,
    posed_joints,
    shaped_joints,
    shaped_vertices,
)
from talkingeyes_blender.head.standin import load_standin

X, Y, Z = range(3)


@pytest.fixture(scope="module", params=["tiny", "flame"])
def head(request: pytest.FixtureRequest) -> HeadModel:
    if request.param == "tiny":
        # Without correctives, which are random there: signs are those of the joints.
        made = tiny_head()
        return dataclasses.replace(made, pose_basis=np.zeros_like(made.pose_basis))
    folder = request.getfixturevalue("testdata")
    return read_head(folder / "flame2023-open-without-shapedirs.npz")


def turned(joint: int, axis: int, degrees: float) -> np.ndarray:
    pose = np.zeros((5, 3))
    pose[joint, axis] = np.radians(degrees)
    return pose


def moved(head: HeadModel, joint: int, axis: int, degrees: float, vertex: int) -> np.ndarray:
    return pose_vertices(head, pose=turned(joint, axis, degrees))[vertex] - head.vertices[vertex]


def test_at_rest_nothing_moves(head: HeadModel) -> None:
    assert np.allclose(pose_vertices(head), head.vertices, atol=1e-12)
    assert np.allclose(pose_vertices(head, pose=np.zeros((5, 3))), head.vertices, atol=1e-12)


def test_jaw_plus_x_opens(head: HeadModel) -> None:
    lower, upper = head.landmarks["face"][INNER_LIP_PAIRS[1, 1]], head.landmarks["face"][INNER_LIP_PAIRS[1, 0]]
    assert moved(head, JAW, X, 10, lower)[Y] < -0.008
    assert abs(moved(head, JAW, X, 10, upper)[Y]) < 0.003
    gap = lip_gap(pose_vertices(head, pose=turned(JAW, X, 10)), head.landmarks)
    assert gap > lip_gap(head.vertices, head.landmarks) + 0.008


def test_jaw_plus_y_goes_to_the_subjects_left(head: HeadModel) -> None:
    assert moved(head, JAW, Y, 10, head.landmarks["face"][INNER_LIP_PAIRS[1, 1]])[X] > 0.005


@pytest.mark.parametrize(("joint", "side"), [(LEFT_EYE, 0), (RIGHT_EYE, 1)])
def test_eye_signs(head: HeadModel, joint: int, side: int) -> None:
    pupil, other = head.landmarks["pupils"][[side, 1 - side]]
    assert moved(head, joint, X, 20, pupil)[Y] < -0.003, "+x looks down"
    assert moved(head, joint, X, -20, pupil)[Y] > 0.003, "-x looks up"
    assert moved(head, joint, Y, 20, pupil)[X] > 0.003, "+y looks to the subject's left"
    assert moved(head, joint, Y, -20, pupil)[X] < -0.003, "-y looks to the subject's right"
    assert np.linalg.norm(moved(head, joint, Y, 20, other)) < 1e-6, "the other eye stays"


def test_a_pupil_moves_as_its_radius_says(head: HeadModel) -> None:
    pupil = head.landmarks["pupils"][0]
    arm = head.vertices[pupil] - head.joints[LEFT_EYE]
    expected = matrix_from_axis_angle([0.4, 0, 0]) @ arm + head.joints[LEFT_EYE]
    posed = pose_vertices(head, pose=turned(LEFT_EYE, X, np.degrees(0.4)))[pupil]
    assert np.allclose(posed, expected, atol=1e-6)


@pytest.mark.parametrize("joint", [ROOT, NECK])
def test_head_signs(head: HeadModel, joint: int) -> None:
    nose = head.landmarks["face"][NOSE_TIP]
    assert moved(head, joint, X, 15, nose)[Y] < -0.01, "+x nods down"
    assert moved(head, joint, Y, 15, nose)[X] > 0.01, "+y turns to the subject's left"
    crown = int(head.vertices[:, Y].argmax())
    assert moved(head, joint, Z, 15, crown)[X] < -0.01, "+z tilts to the subject's right"


def test_eyes_and_jaw_go_with_the_neck(head: HeadModel) -> None:
    pose = turned(NECK, Y, 30)
    matrix = matrix_from_axis_angle(pose[NECK])
    neck = head.joints[NECK]
    expected = (head.joints[[JAW, LEFT_EYE, RIGHT_EYE]] - neck) @ matrix.T + neck
    assert np.allclose(posed_joints(head, pose=pose)[[JAW, LEFT_EYE, RIGHT_EYE]], expected)
    assert np.allclose(posed_joints(head, pose=pose)[[ROOT, NECK]], head.joints[[ROOT, NECK]])


def test_the_root_turns_everything_rigidly(head: HeadModel) -> None:
    pose = turned(ROOT, Z, 40)
    matrix = matrix_from_axis_angle(pose[ROOT])
    expected = (head.vertices - head.joints[ROOT]) @ matrix.T + head.joints[ROOT]
    assert np.allclose(pose_vertices(head, pose=pose), expected, atol=1e-9)


def test_one_vertex_by_hand() -> None:
    head, rng = tiny_head(), np.random.default_rng(3)
    vertex = int(head.landmarks["face"][INNER_LIP_PAIRS[0, 1]])
    pose, expression, shape = rng.normal(0, 0.3, (5, 3)), rng.normal(0, 1, 8), rng.normal(0, 1, 3)
    shaped = head.vertices + head.shape_basis.astype(float) @ shape
    joints = head.joint_regressor @ shaped
    rotations = [matrix_from_axis_angle(p) for p in pose]
    features = np.concatenate([(m - np.eye(3)).ravel() for m in rotations[1:]])
    point = shaped[vertex] + head.expression_basis[vertex].astype(float) @ expression
    point = point + head.pose_basis[vertex].astype(float) @ features
    transforms = [np.eye(4)] * 5
    for joint, parent in enumerate((-1, 0, 1, 1, 1)):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if joint else 0)
        transforms[joint] = local if joint == 0 else transforms[parent] @ local
    posed = np.zeros(3)
    for joint, transform in enumerate(transforms):
        posed += head.weights[vertex, joint] * (transform[:3, :3] @ (point - joints[joint]) + transform[:3, 3])
    assert np.allclose(pose_vertices(head, shape, expression, pose)[vertex], posed, atol=1e-12)


@functools.cache
def one_joint_each() -> HeadModel:
    """A head whose vertices hang on one joint each, in turn, and on which nothing else acts."""
    head = tiny_head()
    weights = np.eye(5)[np.arange(len(head.vertices)) % 5]
    return dataclasses.replace(head, weights=weights, pose_basis=np.zeros_like(head.pose_basis))


QUARTER_TURNS = {
    (X, 1): lambda x, y, z: (x, -z, y), (X, -1): lambda x, y, z: (x, z, -y),
    (Y, 1): lambda x, y, z: (z, y, -x), (Y, -1): lambda x, y, z: (-z, y, x),
    (Z, 1): lambda x, y, z: (-y, x, z), (Z, -1): lambda x, y, z: (y, -x, z),
}  # fmt: skip
"""What a quarter turn by the right hand about each axis, there and back, does to a vector."""


@pytest.mark.parametrize("joint", [ROOT, NECK, JAW, LEFT_EYE, RIGHT_EYE])
@pytest.mark.parametrize(("axis", "sign"), QUARTER_TURNS)
@pytest.mark.parametrize("with_torch", [False, True], ids=["numpy", "torch"])
def test_a_quarter_turn_of_each_joint_by_hand(joint: int, axis: int, sign: int, with_torch: bool) -> None:
    head = one_joint_each()
    pose = turned(joint, axis, sign * 90)
    if with_torch:
        torch = pytest.importorskip("torch")
        from talkingeyes_blender.head.skinning_torch import TorchHead

        posed = TorchHead(head, dtype=torch.float64)(pose=torch.tensor(pose)).numpy()
    else:
        posed = pose_vertices(head, pose=pose)
    carried = {ROOT: range(5), NECK: range(1, 5)}.get(joint, [joint])
    for vertex in range(20):
        point = head.vertices[vertex]
        if vertex % 5 in carried:
            place = head.joints[joint]
            point = place + QUARTER_TURNS[axis, sign](*(point - place))
        assert np.allclose(posed[vertex], point, atol=1e-12), f"vertex of joint {vertex % 5}"


@pytest.mark.parametrize("name", ["stand-in", "flame"])
def test_torch_equals_numpy_on_whole_heads(name: str, request: pytest.FixtureRequest) -> None:
    torch = pytest.importorskip("torch")
    from talkingeyes_blender.head.skinning_torch import TorchHead

    if name == "flame":
        head = read_head(request.getfixturevalue("testdata") / "flame2023-open-without-shapedirs.npz")
    else:
        head = load_standin()
    rng = np.random.default_rng(6)
    inputs = {"expression": rng.uniform(0, 1, (3, head.expressions)), "pose": rng.normal(0, 0.4, (3, 5, 3)),
              "lids": rng.random((3, 2)), "lid_follow": rng.random((3, 2))}  # fmt: skip
    expected = pose_vertices(head, **inputs)
    double = TorchHead(head, dtype=torch.float64)(**{k: torch.tensor(v) for k, v in inputs.items()})
    assert np.abs(double.numpy() - expected).max() < 1e-9
    single = TorchHead(head)(**{k: torch.tensor(v, dtype=torch.float32) for k, v in inputs.items()})
    assert np.abs(single.numpy() - expected).max() < 2e-6, "metres"


def test_identity_moves_joints_and_expression_does_not() -> None:
    head = tiny_head()
    shape = np.array([3.0, 0, 0])
    assert np.allclose(shaped_joints(head, shape), head.joint_regressor @ shaped_vertices(head, shape))
    assert np.abs(shaped_joints(head, shape) - head.joints).max() > 1e-4
    pose = turned(JAW, X, 20)
    expression = np.eye(8)[4]
    # The jaw turns about the neutral joint: an expressive vertex differs by its displacement, turned with its weights.
    difference = pose_vertices(head, expression=expression, pose=pose) - pose_vertices(head, pose=pose)
    blended = np.einsum("vj,jab->vab", head.weights, joint_transforms(head, pose=pose)[..., :3])
    assert np.allclose(difference, np.einsum("vab,vb->va", blended, head.expression_basis[:, :, 4]), atol=1e-12)


def test_correctives_are_the_rotation_less_the_identity() -> None:
    pose = turned(JAW, X, 90)
    features = pose_features(matrix_from_axis_angle(pose))
    assert np.allclose(features[9:18], [0, 0, 0, 0, -1, -1, 0, 1, -1])
    assert np.allclose(np.delete(features, np.s_[9:18]), 0)


def test_lids_add_to_the_rest_shape() -> None:
    head = tiny_head()
    pose = turned(NECK, Y, 20)
    shut = pose_vertices(head, pose=pose, lids=[1, 0], lid_follow=[0, 0.5])
    added = head.lids[:, :, 0] + 0.5 * head.lid_follow[:, :, 1].astype(float)
    # Joints stay where they are, though the tiny head regresses its neck from all vertices.
    blended = np.einsum("vj,jab->vab", head.weights, joint_transforms(head, pose=pose)[..., :3])
    expected = pose_vertices(head, pose=pose) + np.einsum("vab,vb->va", blended, added)
    assert np.allclose(shut, expected, atol=1e-12) and np.abs(added).max() > 0.002
    assert np.allclose(pose_vertices(dataclasses.replace(head, lids=None), lids=[1, 1]), head.vertices)


def test_a_batch_equals_its_frames() -> None:
    head, rng = tiny_head(), np.random.default_rng(4)
    expression, pose = rng.normal(0, 1, (6, 8)), rng.normal(0, 0.3, (6, 5, 3))
    lids, follow = rng.random((6, 2)), rng.random((6, 2))
    shape = rng.normal(0, 1, 3)
    batch = pose_vertices(head, shape, expression, pose, lids, follow)
    assert batch.shape == (6, len(head.vertices), 3)
    for t in range(6):
        one = pose_vertices(head, shape, expression[t], pose[t], lids[t], follow[t])
        assert np.allclose(batch[t], one, atol=1e-12)
    assert np.allclose(pose_vertices(head, expression=expression[0], pose=pose)[3],
                       pose_vertices(head, expression=expression[0], pose=pose[3]))  # fmt: skip
    assert posed_joints(head, pose=pose).shape == (6, 5, 3)


@pytest.mark.parametrize(
    "inputs",
    [
        {"expression": np.zeros(7)},
        {"expression": np.zeros((4, 9))},
        {"pose": np.zeros((4, 3))},
        {"pose": np.zeros(15)},
        {"lids": np.zeros(3)},
        {"shape": np.zeros(1)},
        {"expression": np.zeros((4, 8)), "pose": np.zeros((5, 5, 3))},
    ],
)
def test_inputs_of_a_wrong_shape_are_named(inputs: dict) -> None:
    with pytest.raises(TalkingEyesError, match=r"shape|differ"):
        pose_vertices(tiny_head(), **inputs)


def test_torch_equals_numpy_and_has_gradients() -> None:
    torch = pytest.importorskip("torch")
    from talkingeyes_blender.head.skinning_torch import TorchHead

    torch.set_num_threads(1)
    head, rng = tiny_head(), np.random.default_rng(5)
    inputs = {
        "expression": rng.normal(0, 1, (7, 8)),
        "pose": rng.normal(0, 0.4, (7, 5, 3)),
        "lids": rng.random((7, 2)),
        "lid_follow": rng.random((7, 2)),
    }
    inputs["pose"][0] = 0
    shape = rng.normal(0, 1, 3)
    tensors = {k: torch.tensor(v, requires_grad=True) for k, v in inputs.items()}
    torch_shape = torch.tensor(shape, requires_grad=True)
    twin = TorchHead(head, dtype=torch.float64)
    made = twin(**tensors, shape=torch_shape)
    assert np.abs(made.detach().numpy() - pose_vertices(head, shape, **inputs)).max() < 1e-6
    (made**2).sum().backward()
    for name, tensor in {**tensors, "shape": torch_shape}.items():
        assert torch.isfinite(tensor.grad).all() and tensor.grad.abs().max() > 1e-6, name
    lips = head.landmarks["face"]
    part = TorchHead(head, lips, torch.float64)(**tensors, shape=torch_shape)
    assert torch.allclose(part, made[:, lips], atol=1e-12)
    assert not twin.state_dict() and not list(twin.parameters())
    single = TorchHead(head)(torch.tensor(inputs["expression"][0], dtype=torch.float32))
    assert np.abs(single.numpy() - pose_vertices(head, expression=inputs["expression"][0])).max() < 1e-6


def test_torch_rotation_has_the_right_gradient_at_rest() -> None:
    torch = pytest.importorskip("torch")
    from talkingeyes_blender.head.skinning_torch import rotation_matrix

    for vector in (np.zeros(3), np.array([1e-5, 2e-5, 0]), np.array([0.3, -0.2, 2.0])):
        assert torch.autograd.gradcheck(rotation_matrix, torch.tensor(vector, requires_grad=True))
        assert np.allclose(rotation_matrix(torch.tensor(vector)).numpy(), matrix_from_axis_angle(vector), atol=1e-12)


def test_flame_by_measured_numbers(testdata: Path) -> None:
    head = read_head(testdata / "flame2023-open-without-shapedirs.npz")
    expected = [[-0.002, -0.146, -0.082], [0.001, -0.009, -0.054], [-0.001, -0.016, -0.058],
                [0.0317, 0.0229, 0.0244], [-0.0316, 0.0229, 0.0235]]  # fmt: skip
    assert np.allclose(head.joints, expected, atol=6e-4)
    # The eyes have no correctives (0.2 micrometres of rounding in the file), neck and jaw have.
    per_joint = np.linalg.norm(head.pose_basis, axis=1).reshape(-1, 4, 9).max((0, 2))
    assert (per_joint[2:] == 0).all() and per_joint[0] == pytest.approx(0.0055, abs=3e-4)
    assert per_joint[1] == pytest.approx(0.0086, abs=3e-4)
