"""Landmarks and lids: what they measure at rest, that blinks shut, and that lids never enter the eyeball."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from _heads import EYE, EYE_RADIUS, tiny_head

from benchmarks.flame_bases import bases, carried_shapes
from benchmarks.lids import identities, measure, variations
from talkingeyes_blender.head import landmarks as marks
from talkingeyes_blender.head.blink_expressions import blink_by_expressions
from talkingeyes_blender.head.face_basis import LandmarkBasis
from talkingeyes_blender.head.landmarks import eye_aspect_ratio, lip_gap
from talkingeyes_blender.head.lids import eyeball, lid_shapes, penetration
from talkingeyes_blender.head.model import LEFT_EYE, RIGHT_EYE, HeadModel
from talkingeyes_blender.head.reading import read_head
from talkingeyes_blender.head.skinning import pose_vertices
from talkingeyes_blender.head.standin import load_standin


@pytest.fixture(scope="module", params=["tiny", "flame"])
def head(request: pytest.FixtureRequest) -> HeadModel:
    if request.param == "tiny":
        return tiny_head()
    return read_head(request.getfixturevalue("testdata") / "flame2023-open-without-shapedirs.npz")


def test_the_groups_cover_the_51_points_once() -> None:
    groups = [marks.RIGHT_BROW, marks.LEFT_BROW, marks.NOSE, marks.RIGHT_EYE, marks.LEFT_EYE]
    groups += [marks.OUTER_LIP, marks.INNER_LIP]
    assert np.array_equal(np.concatenate(groups), np.arange(marks.COUNT))
    assert np.array_equal(np.concatenate([marks.BROWS, marks.NOSE, marks.EYES]), np.arange(31))
    assert len(set(marks.FLAME_FACE.tolist())) == marks.COUNT


def test_measures_by_hand() -> None:
    vertices = np.zeros((51, 3))
    face = {"face": np.arange(51)}
    vertices[marks.EYE_CORNERS["left"]] = [[0.02, 0, 0], [0.05, 0, 0]]
    for (upper, lower), height in zip(marks.LID_PAIRS["left"], (0.006, 0.003), strict=True):
        vertices[upper] = [0.03, height, 0]
        vertices[lower] = [0.03, -height, 0]
    vertices[marks.EYE_CORNERS["right"]] = [[-0.05, 0, 0], [-0.02, 0, 0]]
    left, right = eye_aspect_ratio(vertices, face)
    assert left == pytest.approx((0.012 + 0.006) / (2 * 0.03)) and right == 0
    for (upper, lower), gap in zip(marks.INNER_LIP_PAIRS, (0.001, 0.002, 0.006), strict=True):
        vertices[upper, 1], vertices[lower, 1] = gap, 0
    assert lip_gap(vertices, face) == pytest.approx(0.003)
    assert lip_gap(np.stack([vertices] * 4), face).shape == (4,)
    assert eye_aspect_ratio(np.stack([vertices] * 4), face)[0].shape == (4,)


def test_landmarks_lie_where_their_names_say(head: HeadModel) -> None:
    points = head.vertices[head.landmarks["face"]]
    for right, left in ((marks.RIGHT_BROW, marks.LEFT_BROW), (marks.RIGHT_EYE, marks.LEFT_EYE)):
        assert (points[right, 0] < 0).all() and (points[left, 0] > 0).all()
    assert points[marks.BROWS, 1].min() > points[marks.EYES, 1].max()
    assert points[marks.EYES, 1].min() > points[marks.OUTER_LIP, 1].max()
    tip = points[marks.NOSE[:4], 1].argmin()
    assert marks.NOSE[tip] == marks.NOSE_TIP
    for pairs in marks.LID_PAIRS.values():
        assert (points[pairs[:, 0], 1] > points[pairs[:, 1], 1]).all()
    # FLAME's lips rest one over the other, by a millimetre: only the skin's weights tell which is which.
    jaw = head.weights[head.landmarks["face"], 2]
    assert (jaw[marks.INNER_LIP_PAIRS[:, 0]] < 0.3).all() and (jaw[marks.INNER_LIP_PAIRS[:, 1]] > 0.7).all()
    assert (points[marks.MOUTH_CORNERS, 0] * [-1, 1, -1, 1] > 0.015).all()


def test_an_eyeball_is_fitted() -> None:
    centre, radius, indices = eyeball(tiny_head(), LEFT_EYE)
    assert np.allclose(centre, EYE, atol=1e-9) and radius == pytest.approx(EYE_RADIUS) and len(indices) == 86


def test_flame_at_rest_measures_as_documented(testdata) -> None:
    head = read_head(testdata / "flame2023-open-without-shapedirs.npz")
    left, right = eye_aspect_ratio(head.vertices, head.landmarks)
    assert left == pytest.approx(0.396, abs=5e-4) and right == pytest.approx(0.390, abs=5e-4)
    assert eyeball(head, LEFT_EYE)[1] == pytest.approx(0.0131, abs=1e-4)


def test_a_blink_shuts_and_no_lid_enters_the_eyeball(head: HeadModel) -> None:
    rest = eye_aspect_ratio(head.vertices, head.landmarks)
    before = rest
    for blink in np.linspace(0, 1, 9)[1:]:
        posed = pose_vertices(head, lids=[blink, blink])
        now = eye_aspect_ratio(posed, head.landmarks)
        # At the end the upper lid passes the lower one's margin, and landmarks with it.
        assert now[0] < max(before[0], 0.05) and now[1] < max(before[1], 0.05)
        assert penetration(head, posed, LEFT_EYE) <= 0 and penetration(head, posed, RIGHT_EYE) <= 0
        before = now
    assert max(before) < 0.05 and min(rest) > 0.35


def test_half_a_blink_is_about_half_open(head: HeadModel) -> None:
    rest, half = (eye_aspect_ratio(pose_vertices(head, lids=[b, b]), head.landmarks)[0] for b in (0, 0.5))
    assert 0.4 * rest < half < 0.65 * rest


def test_lids_follow_down_and_up_without_shutting(head: HeadModel) -> None:
    rest = head.vertices[head.landmarks["face"]]
    opening = eye_aspect_ratio(head.vertices, head.landmarks)[0]
    for value in (-0.8, 0.5, 1.0, 1.4):
        posed = pose_vertices(head, lid_follow=[value, value])
        moved = posed[head.landmarks["face"]] - rest
        upper, lower = moved[marks.LID_PAIRS["left"][:, 0], 1], moved[marks.LID_PAIRS["left"][:, 1], 1]
        assert (upper * value < 0).all() and (lower * value < 0).all() and (np.abs(upper) > np.abs(lower)).all()
        assert 0.4 * opening < eye_aspect_ratio(posed, head.landmarks)[0] < 1.4 * opening
        assert max(penetration(head, posed, joint) for joint in (LEFT_EYE, RIGHT_EYE)) <= 0


def test_a_blink_while_looking_down_still_shuts(head: HeadModel) -> None:
    # On a rig the lids follow only as far as they are not shut.
    for blink in (0.25, 0.5, 0.75, 1.0):
        posed = pose_vertices(head, lids=[blink] * 2, lid_follow=[1.4 * (1 - blink)] * 2)
        assert penetration(head, posed, LEFT_EYE) <= 0
        face = posed[head.landmarks["face"]]
        upper, lower = face[marks.LID_PAIRS["left"][:, 0], 1], face[marks.LID_PAIRS["left"][:, 1], 1]
        assert (upper - lower > -0.0015).all()
    assert max(eye_aspect_ratio(posed, head.landmarks)) < 0.05


def test_each_side_moves_alone_and_little_else(head: HeadModel) -> None:
    for basis in (head.lids, head.lid_follow):
        for side, joint in ((0, LEFT_EYE), (1, RIGHT_EYE)):
            moved = np.linalg.norm(basis[:, :, side], axis=1) > 1e-6
            sign = 1 if side == 0 else -1
            assert moved.any() and (head.vertices[moved, 0] * sign > 0).all()
            assert not moved[head.weights[:, 3:].max(1) > 0.5].any(), "eyeballs stay"
            centre, radius, _ = eyeball(head, joint)
            assert np.linalg.norm(head.vertices[moved] - centre, axis=1).max() < 3 * radius
    corners = head.landmarks["face"][np.concatenate(list(marks.EYE_CORNERS.values()))]
    assert np.linalg.norm(head.lids[corners], axis=1).max() < 0.001


def test_the_motion_of_the_skin_has_no_steps(head: HeadModel) -> None:
    ball = head.weights[:, 3:].max(1) > 0.5
    faces = head.faces[~ball[head.faces[:, :3]].any(1)]
    edges = faces[:, :2]
    centre, radius, _ = eyeball(head, LEFT_EYE)
    # In front: the lining behind the lids is pulled, and nobody sees it.
    front = (np.linalg.norm(head.vertices - centre, axis=1) > 1.02 * radius)[edges].all(1)
    edges = edges[front]
    length = np.linalg.norm(head.vertices[edges[:, 0]] - head.vertices[edges[:, 1]], axis=1)
    step = np.linalg.norm(head.lids[edges[:, 0], :, 0] - head.lids[edges[:, 1], :, 0], axis=1)
    assert (step <= 0.0035 + 1.5 * length).all()


def test_lids_of_a_symmetric_head_are_symmetric() -> None:
    head = tiny_head()
    mirror = np.linalg.norm(head.vertices[:, None] - head.vertices[None] * [-1, 1, 1], axis=2).argmin(1)
    assert np.allclose(head.vertices[mirror] * [-1, 1, 1], head.vertices, atol=1e-9)
    assert np.allclose(head.lids[mirror][:, :, 1] * [[-1, 1, 1]], head.lids[:, :, 0], atol=2e-5)


def test_the_order_of_the_margin_does_not_matter() -> None:
    head = tiny_head()
    rolled = {**head.landmarks, "left_lids": np.roll(head.landmarks["left_lids"][::-1], 5)}
    again = lid_shapes(dataclasses.replace(head, landmarks=rolled))
    assert np.allclose(again[0], head.lids, atol=1e-9) and np.allclose(again[1], head.lid_follow, atol=1e-9)


def test_lids_of_other_faces_shut_and_keep_out_of_the_eye(testdata) -> None:
    flame = read_head(testdata / "flame2023-open-without-shapedirs.npz")
    standin = load_standin()
    lids, follow = lid_shapes(standin)
    faces = {"stand-in": dataclasses.replace(standin, lids=lids, lid_follow=follow), **dict(variations(flame, 3))}
    for name, face in faces.items():
        measured = measure(face)
        assert measured.rest > 0.3 and measured.shut < 0.05, name
        assert max(measured.blink_depth, measured.follow_depth) < 0.002, f"{name}: millimetres in the eyeball"


def test_the_bundled_lids_shut_on_every_identity() -> None:
    for name, face in identities(load_standin()):
        measured = measure(face)
        assert measured.shut < 0.05 and max(measured.blink_depth, measured.follow_depth) < 0, name


def test_what_hangs_before_the_eye_is_no_lid() -> None:
    head = tiny_head()
    before = penetration(head, head.vertices, LEFT_EYE)
    # A catchlight: a small triangle that floats over the cornea.
    light = EYE + np.array([[0.001, 0, 0], [0, 0.001, 0], [-0.001, 0, 0]]) + [0, 0, EYE_RADIUS + 0.0001]
    count = len(head.vertices)
    with_light = dataclasses.replace(
        head,
        vertices=np.concatenate([head.vertices, light]),
        faces=np.concatenate([head.faces, [[count, count + 1, count + 2, -1]]]).astype(np.int32),
        weights=np.concatenate([head.weights, np.tile([0.0, 1, 0, 0, 0], (3, 1))]),
    )
    assert penetration(with_light, with_light.vertices, LEFT_EYE) == pytest.approx(before, abs=1e-12)
    entered = head.vertices.copy()
    entered[head.landmarks["left_lids"]] = EYE
    assert penetration(head, entered, LEFT_EYE) > 0.005 and penetration(head, entered, RIGHT_EYE) <= 0


@pytest.mark.parametrize("basis", ["principal", "principal, noisy"])
def test_a_blink_as_expressions_on_flame(testdata, basis: str) -> None:
    flame = read_head(testdata / "flame2023-open-without-shapedirs.npz")
    head = bases(flame, carried_shapes(load_standin(), flame))[basis]
    solved = blink_by_expressions(LandmarkBasis.from_head(head))
    rest = np.array(eye_aspect_ratio(head.vertices, head.landmarks))
    for side in (0, 1):
        shut = np.array(eye_aspect_ratio(pose_vertices(head, expression=solved[:, side]), head.landmarks))
        assert shut[side] < 0.08 and shut[1 - side] > 0.8 * rest[1 - side], "not as well as lid keys do"
    both = pose_vertices(head, expression=solved.sum(1))
    assert max(eye_aspect_ratio(both, head.landmarks)) < 0.08
    lips = head.landmarks["face"][marks.OUTER_LIP]
    assert np.linalg.norm(both[lips] - head.vertices[lips], axis=1).max() < 0.002, "nothing else moves much"


def test_expressions_that_cannot_blink_are_told() -> None:
    head = tiny_head()
    basis = LandmarkBasis.from_head(head)
    still = basis.displacements.copy()
    still[marks.EYES] = 0
    assert blink_by_expressions(dataclasses.replace(basis, displacements=still)) is None
    assert blink_by_expressions(dataclasses.replace(basis, displacements=still[:, :, :0])) is None
