"""Fixations hold still in space while the head turns, shifts keep their size, and pieces make what the whole makes."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from talkingeyes_blender.inference.fixating import ASTRAY, Fixating
from talkingeyes_blender.training.evaluation import gaze_metrics as metrics


def trembling(frames: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eyes and head of a gaze that jumps each second by some ten degrees, and where it jumps to; eyes tremble."""
    rng = np.random.default_rng(seed)
    sides = np.where(np.arange(frames // 25) % 2, -1, 1)[:, None]
    goals = np.repeat(np.radians(sides * rng.uniform(4, 12, (frames // 25, 2))), 25, axis=0)
    at = np.arange(frames) / 25
    head = np.radians(np.stack([3 * np.sin(2 * at), 5 * np.sin(1.3 * at), 0 * at], 1))
    eyes = np.zeros((frames, 6))
    eyes[:, 0:2] = eyes[:, 3:5] = goals - 0.8 * head[:, :2] + np.radians(rng.normal(0, 0.4, (frames, 2)))
    eyes[:, 1] -= 0.02
    eyes[:, 4] += 0.02
    return eyes.astype(np.float32), head.astype(np.float32), goals


def test_gaze_rests_between_its_shifts():
    eyes, head, goals = trembling()
    before = metrics.in_space(eyes, head)
    after = metrics.in_space(Fixating()(eyes, head), head)
    assert metrics.fixation_ratio(before) < 0.7 and metrics.fixation_ratio(after) > 0.9
    jumps = np.abs(np.diff(np.degrees(goals), axis=0)).max(1) > 4
    assert np.array_equal(np.flatnonzero(np.linalg.norm(np.diff(after, axis=0), axis=1) > 3), np.flatnonzero(jumps))
    assert np.linalg.norm(after - before, axis=1).max() < 2.8


def test_the_eyes_turn_against_the_head():
    eyes, head, _ = trembling()
    eyes[:] = 0
    held = Fixating(leave=30.0, follow=0.0)(eyes, head)
    assert np.ptp(metrics.in_space(held, head), axis=0).max() < 0.01
    yaw, turn = metrics.in_head(held)[:, 1], np.degrees(head[:, 1])
    assert np.polyfit(turn, yaw, 1)[0] == pytest.approx(-1, abs=0.03)


def test_slow_wandering_is_held_and_small_jumps_are_not():
    frames = 100
    head = np.zeros((frames, 3), np.float32)
    eyes = np.zeros((frames, 6), np.float32)
    eyes[:, 1] = eyes[:, 4] = np.radians(np.linspace(0, 6, frames))  # 1.5 degrees a second
    assert np.ptp(metrics.in_space(Fixating(follow=0.0)(eyes, head), head), axis=0).max() < 1e-3
    eyes[:, 1] = eyes[:, 4] = np.radians(np.where(np.arange(frames) < 50, 0, 2.5))
    made = metrics.in_space(Fixating()(eyes, head), head)[:, 1]
    assert made[49] == pytest.approx(0, abs=0.01) and made[50] == pytest.approx(2.5, abs=0.01)
    # Far off at last: gaze is taken along, in the end.
    eyes[:, 1] = eyes[:, 4] = np.radians(np.linspace(0, 20, frames))
    off = metrics.in_space(Fixating()(eyes, head), head)[:, 1] - np.degrees(eyes[:, 1])
    assert np.abs(off).max() < ASTRAY + 0.5


def test_vergence_stays_and_eyes_stay_in_their_range():
    eyes, head, _ = trembling()
    made = Fixating()(eyes, head)
    assert np.allclose(made[:, 4] - made[:, 1], 0.04, atol=1e-6) and not made[:, [2, 5]].any()
    head[:, 1] = np.linspace(0, 1.5, len(head))
    made = Fixating(leave=30.0, follow=0.0)(np.zeros_like(eyes), head)
    assert np.degrees(np.linalg.norm(made[:, :3], axis=1)).max() <= 35.01


def test_pieces_and_none():
    eyes, head, _ = trembling()
    whole, step = Fixating()(eyes, head), Fixating()
    pieces = [step(eyes[a : a + 7], head[a : a + 7]) for a in range(0, len(eyes), 7)]
    assert np.array_equal(np.concatenate(pieces), whole)
    assert Fixating(0.0)(eyes, head) is eyes
