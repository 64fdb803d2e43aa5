"""Carrying expressions over: what is asked of a basis that can, of one that cannot, and that shut lips stay shut."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from _heads import tiny_head

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head.arkit import EXPRESSIONS, INDEX
from talkingeyes_blender.head.face_basis import Hinge, LandmarkBasis
from talkingeyes_blender.head.landmarks import EYES, MOUTH_CORNERS, OUTER_LIP, cheek_vertices, lip_gap
from talkingeyes_blender.head.model import JAW, HeadModel, basis_identity
from talkingeyes_blender.head.reading import read_head
from talkingeyes_blender.head.rotation import matrix_from_axis_angle
from talkingeyes_blender.head.skinning import pose_vertices
from talkingeyes_blender.head.standin import load_standin
from talkingeyes_blender.head.transfer import solve_transfer
from talkingeyes_blender.head.transfer_report import Grade, transfer_report


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
    larger = goal.turned(turn, scale)
    hinge = dataclasses.replace(larger.jaw, joint=larger.jaw.joint + shift)
    turned = LandmarkBasis(larger.points + shift, larger.displacements, hinge)
    transfer = solve_transfer(LandmarkBasis.from_head(head), turned)
    assert transfer.scale == pytest.approx(scale * plain.scale, rel=1e-6)
    assert np.allclose(transfer.matrix, plain.matrix, atol=1e-5)
    assert np.allclose(transfer.reached, plain.reached, atol=1e-4)
    rng = np.random.default_rng(0)
    expression, angles = rng.uniform(0, 1, (9, 8)), rng.uniform(0, 0.3, (9, 3))
    assert np.allclose(transfer.apply(expression, angles), plain.apply(expression, angles), atol=1e-3)


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
    source, target = np.zeros((57, 3, 1)), np.zeros((57, 3, 1))
    source[43:51, 2] = 0.004
    source[0:8, 2] = -0.004
    target[43:51, 2] = target[0:8, 2] = 0.004
    transfer = solve_transfer(LandmarkBasis(points, source), LandmarkBasis(points, target))
    assert transfer.matrix[0, 0] > 0.3


def test_points_are_where_skinning_puts_them() -> None:
    head, rng = tiny_head(), np.random.default_rng(2)
    basis = LandmarkBasis.from_head(head)
    pose, expression = np.zeros((6, 5, 3)), rng.normal(0, 1, (6, 8))
    pose[:, JAW] = rng.normal(0, 0.3, (6, 3))
    posed = basis.posed(expression, matrix_from_axis_angle(pose[:, JAW]))
    expected = pose_vertices(head, expression=expression, pose=pose)
    assert np.allclose(posed[:, :51], expected[:, head.landmarks["face"]], atol=1e-9)
    cheeks = cheek_vertices(head.vertices, head.landmarks["face"])
    assert np.allclose(posed[:, 51:], expected[:, cheeks], atol=1e-9)


@pytest.mark.parametrize("name", ["stand-in", "flame"])
def test_cheeks_lie_between_eyes_and_mouth(name: str, request: pytest.FixtureRequest) -> None:
    if name == "flame":
        head = read_head(request.getfixturevalue("testdata") / "flame2023-open-without-shapedirs.npz")
    else:
        head = load_standin()
    face = head.vertices[head.landmarks["face"]]
    chosen = cheek_vertices(head.vertices, head.landmarks["face"])
    points = head.vertices[chosen].reshape(2, 3, 3)
    assert (points[0, :, 0] < 0).all() and (points[1, :, 0] > 0).all()
    assert np.allclose(points[0] * [-1, 1, 1], points[1], atol=0.005), "one cheek is like the other"
    assert (points[..., 1] < face[EYES, 1].min()).all() and (points[..., 1] > face[OUTER_LIP, 1].min()).all()
    assert (np.abs(points[:, :2, 0]) > np.abs(face[MOUTH_CORNERS[:2], 0]).max()).all()
    assert (points[..., 2] > face[MOUTH_CORNERS, 2].min() - 0.03).all(), "on the skin, not behind it"
    assert head.weights[chosen, 3:].max() < 1e-4


def test_bad_input_is_named() -> None:
    head = tiny_head()
    good = LandmarkBasis.from_head(head)
    with pytest.raises(TalkingEyesError, match="no landmarks"):
        LandmarkBasis.from_head(dataclasses.replace(head, landmarks={}))
    with pytest.raises(TalkingEyesError, match="points"):
        LandmarkBasis(np.zeros((68, 3)), good.displacements)
    with pytest.raises(TalkingEyesError, match="displacements"):
        LandmarkBasis(good.points, np.full((57, 3, 4), np.nan))
    with pytest.raises(TalkingEyesError, match="jaw"):
        Hinge(np.zeros(51), good.jaw.joint, good.jaw.correctives)
    with pytest.raises(TalkingEyesError, match="one point"):
        LandmarkBasis(np.ones((57, 3)), good.displacements)
    with pytest.raises(TalkingEyesError, match="no expressions"):
        solve_transfer(good, LandmarkBasis(good.points, np.zeros((57, 3, 0))))
    with pytest.raises(TalkingEyesError, match="move none"):
        solve_transfer(good, LandmarkBasis(good.points, np.zeros((57, 3, 4))))
    with pytest.raises(TalkingEyesError, match="takes 8 values"):
        solve_transfer(good, good).apply(np.zeros((3, 7)))
    with pytest.raises(TalkingEyesError, match="jaw"):
        solve_transfer(good, good).apply(np.zeros((3, 8)), np.zeros((2, 3)))
    with pytest.raises(TalkingEyesError, match="2 names for the 8"):
        transfer_report(solve_transfer(good, good), ("a", "b"))


# ---------------------------------------------------------------------------------------------- frame by frame


def speaking(head: HeadModel, frames: int = 80, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and jaw in which the source's lips shut now and then, over a jaw that is open by up to 14 degrees:
    mouthClose goes with the jaw, while the other shapes act too."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)
    jaw_angles = np.zeros((frames, 3))
    jaw_angles[:, 0] = np.radians(7 * (1 - np.cos(time / 6)))
    shut = (np.sin(time / 9) > 0.6).astype(float)
    expression = np.stack([0.25 * (1 - np.cos(time / rng.uniform(5, 15))) for _ in range(head.expressions)], 1)
    expression[:, 0] = shut * np.degrees(jaw_angles[:, 0]) / 10
    expression[:, 1] *= 1 - shut
    return expression, jaw_angles


def opening(basis: LandmarkBasis, expression: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(T, 3) how far the pairs of inner lips part upwards beyond their rest, millimetres."""
    from talkingeyes_blender.head.landmarks import INNER_LIP_PAIRS

    moved = basis.posed(expression, matrix_from_axis_angle(angles)) - basis.points
    return 1e3 * (moved[:, INNER_LIP_PAIRS[:, 0], 1] - moved[:, INNER_LIP_PAIRS[:, 1], 1])


def test_what_is_shut_stays_shut_over_any_jaw() -> None:
    head = tiny_head()
    target = mixed(head, expressions=40)
    source, goal = LandmarkBasis.from_head(head), LandmarkBasis.from_head(target)
    transfer = solve_transfer(source, goal)
    expression, angles = speaking(head)
    # Lips that are pressed through each other need not be.
    wanted = np.maximum(transfer.scale * opening(source, expression, angles), -0.5)
    shut = np.abs(wanted).max(1) < 1
    assert shut.sum() > 8 and np.degrees(angles[shut, 0]).max() > 10
    linear = opening(goal, transfer.apply(expression), angles)
    corrected = opening(goal, transfer.apply(expression, angles), angles)
    assert np.abs(corrected - wanted)[shut].max() < 0.3 < np.abs(linear - wanted)[shut].max()
    assert np.abs(corrected - wanted).mean() < 0.7 * np.abs(linear - wanted).mean()
    assert np.abs(transfer.apply(expression, angles)).max() <= 3


def test_frames_alone_give_what_they_give_together() -> None:
    head = tiny_head()
    transfer = solve_transfer(LandmarkBasis.from_head(head), LandmarkBasis.from_head(mixed(head)))
    expression, angles = speaking(head, frames=1203)
    whole = transfer.apply(expression, angles)
    assert whole.shape == (1203, 100) and whole.dtype == np.float32
    for frame in (0, 499, 500, 1202):
        assert np.allclose(transfer.apply(expression[frame], angles[frame]), whole[frame], atol=1e-5)
    assert transfer.apply(expression[:0], angles[:0]).shape == (0, 100)


def test_a_still_face_stays_still() -> None:
    head = tiny_head()
    transfer = solve_transfer(LandmarkBasis.from_head(head), LandmarkBasis.from_head(mixed(head)))
    assert np.abs(transfer.apply(np.zeros((2, 8)), np.zeros((2, 3)))).max() < 1e-6


def test_the_correction_is_smooth_in_time() -> None:
    head = tiny_head()
    target = LandmarkBasis.from_head(mixed(head))
    transfer = solve_transfer(LandmarkBasis.from_head(head), target)
    # A jaw that opens evenly, with and without mouthClose: no step may be larger than a few of the mean one.
    angles = np.zeros((200, 3))
    angles[:, 0] = np.linspace(0, 0.25, 200)
    for share in (0, 0.5, 1):
        expression = np.zeros((200, 8))
        expression[:, 0] = share * np.degrees(angles[:, 0]) / 10
        points = transfer.apply(expression, angles) @ target.displacements.reshape(57 * 3, -1).T
        steps = np.linalg.norm(np.diff(points, axis=0).reshape(199, 57, 3), axis=-1).max(1)
        assert steps.max() < 0.0005 and np.abs(np.diff(points, 2, axis=0)).max() < 0.00015


def test_lids_that_an_expression_shuts_are_shut() -> None:
    from talkingeyes_blender.head.landmarks import eye_aspect_ratio

    source = load_standin()
    # A mixture of the stand-in's own expressions on a head of other proportions.
    mixture = np.linalg.qr(np.random.default_rng(1).normal(0, 1, (41, 41)))[0]
    other = dataclasses.replace(
        source,
        vertices=source.vertices * [1.05, 1.12, 1.0],
        expression_basis=(source.expression_basis @ mixture).astype(np.float32),
        expression_names=(),
    )
    transfer = solve_transfer(LandmarkBasis.from_head(source), LandmarkBasis.from_head(other))
    blink = np.zeros((3, 41))
    blink[:, INDEX["eyeBlinkLeft"]] = blink[:, INDEX["eyeBlinkRight"]] = [0, 0.5, 1]
    lids = {"face": np.arange(51)}

    def ratios(head: HeadModel, coefficients: np.ndarray) -> np.ndarray:
        posed = pose_vertices(head, expression=coefficients)[:, head.landmarks["face"]]
        return np.array(eye_aspect_ratio(posed, lids))

    wanted = ratios(source, blink) / ratios(source, 0 * blink)
    made = ratios(other, transfer.apply(blink, np.zeros((3, 3)))) / ratios(other, 0 * blink)
    assert np.abs(made - wanted).max() < 0.05 and made[:, 2].max() < 0.15


# ---------------------------------------------------------------------------------------------- in words


def test_the_report_says_what_a_head_cannot_do() -> None:
    source = load_standin()
    # What rounds the lips, and what comes near to it, is missing; so is the nose.
    kept = ("eyeBlink", "mouthClose", "mouthSmile", "mouthLowerDown", "mouthUpperUp", "brow")
    weak = source.expression_basis * [float(name.startswith(kept)) for name in EXPRESSIONS]
    target = dataclasses.replace(source, expression_basis=weak)
    report = transfer_report(
        solve_transfer(LandmarkBasis.from_head(source), LandmarkBasis.from_head(target)), EXPRESSIONS
    )
    grades = {shape.name: shape.grade for shape in report.shapes}
    assert grades["mouthSmileLeft"] is grades["mouthClose"] is grades["eyeBlinkLeft"] is Grade.WHOLE
    assert grades["tongueOut"] is Grade.UNSEEN and grades["mouthPucker"] is Grade.HARDLY
    text = "\n".join(report.sentences(30))
    pucker = next(shape for shape in report.shapes if shape.name == "mouthPucker")
    assert f"this head cannot pucker: {100 * pucker.reached:.0f} % reached" in text
    assert text.count("wrinkle its nose") == 1 and "on the left" not in text.split("wrinkle its nose")[1].split(":")[0]
    assert "smile" not in text and "tongue" not in text
    unseen = report.of(Grade.UNSEEN)
    assert [s.words for s in unseen] == ["this head is not asked to put out its tongue: the landmarks do not show it"]
    assert 0.3 < report.reached < 0.7


def test_a_head_that_can_all_has_nothing_to_say_and_one_that_cannot_is_brief() -> None:
    source = LandmarkBasis.from_head(load_standin())
    assert transfer_report(solve_transfer(source, source), EXPRESSIONS).sentences() == ()
    few = LandmarkBasis(source.points, source.displacements[:, :, :2], source.jaw)
    report = transfer_report(solve_transfer(source, few))
    said = report.sentences(3)
    assert len(said) == 4 and said[0].startswith("this head cannot make 'expression ")
    assert said[3].startswith("and ") and said[3].endswith("of the motion are hardly seen on this head")
