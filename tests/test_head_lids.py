"""Landmarks and lids: what they measure at rest, that blinks shut, and that lids never enter the eyeball."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from _heads import EYE, EYE_RADIUS, tiny_head

from talkingeyes_blender.head import landmarks as marks
from talkingeyes_blender.head.landmarks import eye_aspect_ratio, lip_gap
from talkingeyes_blender.head.lids import eyeball, lid_shapes, penetration
from talkingeyes_blender.head.model import LEFT_EYE, RIGHT_EYE, HeadModel
from talkingeyes_blender.head.reading import read_head
from talkingeyes_blender.head.skinning import pose_vertices


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
