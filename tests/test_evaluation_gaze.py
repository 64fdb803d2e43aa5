"""Figures of gaze on motion whose answer is known."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from talkingeyes_blender.training.evaluation import gaze_metrics as g


def _eyes(angles: np.ndarray) -> np.ndarray:
    """(T, 2) degrees to both eyes without torsion."""
    turned = np.zeros((len(angles), 6))
    turned[:, 0:2] = turned[:, 3:5] = np.radians(angles)
    return turned


def _held(*places: tuple[float, float, int]) -> np.ndarray:
    return np.concatenate([np.tile([pitch, yaw], (count, 1)) for pitch, yaw, count in places])


def test_two_holds_are_two_fixations_and_short_ones_none():
    angles = _held((0, 0, 10), (0, 5, 2), (0, 9, 6))
    assert g.fixations(angles) == [(0, 10), (12, 18)]
    assert g.fixation_ratio(angles) == pytest.approx(16 / 18)


def test_a_fixation_ends_where_both_ranges_add_up_to_more_than_its_dispersion():
    angles = np.stack([np.arange(12) * 0.1, np.arange(12) * 0.1], axis=1)
    assert g.fixations(angles)[0] == (0, 6)  # 5 steps of .2 are 1 degree


def test_a_smooth_turn_faster_than_the_dispersion_holds_no_fixation():
    angles = np.stack([np.zeros(20), np.arange(20.0)], axis=1)
    assert g.fixation_ratio(angles) == 0


def test_gaze_in_space_is_still_while_the_eyes_make_up_for_the_head():
    yaw = 10 * np.sin(np.linspace(0, 6, 50))
    head = np.zeros((50, 3))
    head[:, 1] = np.radians(yaw)
    eyes = _eyes(np.stack([np.zeros(50), -yaw], axis=1))
    assert np.abs(g.gaze_angles(eyes, head)).max() < 1e-6
    assert g.gaze_angles(np.zeros((50, 6)), head)[:, 1] == pytest.approx(yaw)
    assert g.gaze_angles(_eyes(_held((7, 0, 50))), np.zeros((50, 3)))[:, 0] == pytest.approx(np.full(50, 7.0))


def test_shifts_have_the_amplitude_and_direction_of_what_was_put_in():
    # + yaw is the subject's left, which is the viewer's right turned about; + pitch is down.
    angles = _held((0, 0, 8), (0, -6, 8), (-4, -6, 8), (-4, 2, 8))
    shifts = g.gaze_shifts(angles)
    assert shifts.amplitude == pytest.approx([6, 4, 8])
    assert shifts.direction == pytest.approx([0, 90, 180])
    assert shifts.shares() == pytest.approx([1 / 3, 0, 1 / 3, 0, 1 / 3, 0, 0, 0])
    assert g.shifts_between([[0, 0], [0, -6], [-4, -6]]).amplitude == pytest.approx([6, 4])


def test_there_and_back_without_a_rest_are_two_shifts():
    assert g.gaze_shifts(_held((0, 0, 5), (0, 9, 1), (0, 0, 5))).amplitude == pytest.approx([9, 9])


def test_compensation_of_a_slow_head_is_its_speed_and_of_a_large_shift_the_cosine():
    head = np.zeros((11, 3))
    head[:, 1] = np.radians(0.5 * np.arange(11))
    eyes = _eyes(np.stack([np.zeros(11), -0.5 * np.arange(11)], axis=1))
    assert g.compensation_score(eyes, head) == pytest.approx(-0.5)
    fast_head, fast_eyes = np.zeros((2, 3)), _eyes(np.array([[0.0, 0], [0, 25]]))
    fast_head[1, 1] = np.radians(10)
    assert g.compensation_score(fast_eyes, fast_head) == pytest.approx(-1)
    assert g.compensation_score(_eyes(np.array([[0.0, 0], [0, 12]])), fast_head) == pytest.approx(0)  # 22 degrees


def test_similarity_of_the_truth_with_itself_is_one():
    assert g.similarity((0.6113, 0.6113), (-0.3366, -0.3366)) == 1
    assert g.similarity((0.6113, 0.7417), (-0.3366, -0.2890)) == pytest.approx(0.8220, abs=1e-4)  # their Table IV


def test_jensen_shannon_is_a_distance_between_zero_and_one():
    even = np.ones(8) / 8
    assert g.jensen_shannon(even, even) == 0
    assert g.jensen_shannon(np.eye(8)[0], np.eye(8)[1]) == pytest.approx(1)


def test_blinks_are_counted_once_each():
    blink = np.zeros((1500, 2))
    for at in (100, 400, 1499):
        blink[at : at + 4] = 1
    assert g.blinks_a_minute(blink) == pytest.approx(3)
