"""Figures of gaze on motion whose figures are known."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from talkingeyes_blender.training.evaluation import gaze_metrics as metrics


def test_fixations_and_shifts_of_a_known_path():
    gaze = np.concatenate([np.tile([0.0, 0.0], (10, 1)), [[0.0, -4.0]], np.tile([0.0, -8.0], (15, 1)),
                           np.tile([-6.0, -8.0], (5, 1))])  # fmt: skip
    assert metrics.fixations(gaze) == [(0, 10), (11, 26), (26, 31)]
    assert metrics.fixation_ratio(gaze) == pytest.approx(30 / 31)
    shifts = metrics.shifts(gaze)
    assert np.allclose(shifts.amplitude, [8, 6]) and np.allclose(shifts.direction, [0, 90])  # right, then up
    assert np.allclose(shifts.seconds, [0.4, 0.6, 0.2])
    shares = metrics.direction_shares(shifts.amplitude, shifts.direction)
    assert shares[0] == shares[2] == 0.5


def test_a_slow_drift_is_no_fixation_and_noise_within_a_degree_is():
    drift = np.stack([np.arange(40) * 0.6, np.zeros(40)], 1)
    assert metrics.fixation_ratio(drift) == 0
    still = np.random.default_rng(0).uniform(-0.24, 0.24, (40, 2))
    assert metrics.fixation_ratio(still) == 1


def test_gaze_in_space_adds_the_head():
    eyes, head = np.zeros((1, 6)), np.zeros((1, 3))
    eyes[:, [1, 4]], head[:, 1] = np.radians(10), np.radians(5)
    assert np.allclose(metrics.in_space(eyes, head), [[0, 15]]) and np.allclose(metrics.in_head(eyes), [[0, 10]])
    eyes[:], head[:] = 0, [[np.radians(7), 0, 0]]
    assert np.allclose(metrics.in_space(eyes, head), [[7, 0]])


def test_compensation_of_a_head_that_is_made_up_for_and_of_one_that_is_not():
    turn = np.zeros((100, 3))
    turn[:, 1] = np.radians(np.arange(100) * 0.5)  # 12.5 degrees a second
    eyes = np.zeros((100, 6))
    eyes[:, [1, 4]] = -turn[:, [1]]
    assert metrics.compensation(eyes, turn) == pytest.approx(-0.5)
    eyes[:, [1, 4]] = np.radians(np.arange(100) * 1.0)[:, None]  # together: 37.5 degrees a second
    assert metrics.compensation(eyes, turn) == pytest.approx(-1)
    eyes[:, [1, 4]] = np.radians(-np.arange(100) * 2.0)[:, None]  # against one another, by far too much
    assert metrics.compensation(eyes, turn) == pytest.approx(1)
    assert metrics.similarity(0.6, -0.3, 0.6, -0.3) == 1


def test_distance_of_distributions_and_blinks():
    one, other = np.array([0.5, 0.5, 0, 0]), np.array([0, 0, 0.5, 0.5])
    assert metrics.jensen_shannon(one, one) == 0 and metrics.jensen_shannon(one, other) == pytest.approx(1)
    closure = np.zeros((250, 2))
    closure[[20, 21, 100, 200]] = 1
    assert metrics.blinks_a_minute(closure) == pytest.approx(18)
