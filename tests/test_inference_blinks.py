"""Blinks: the paper's rate, whole envelopes, never touching."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from talkingeyes_blender.inference.blinks import (
    ENVELOPE,
    RATE_DEVIATION,
    RATE_MAX,
    RATE_MEAN,
    draw_rate,
    make_blinks,
)

MINUTE = 1500


def starts(closure: np.ndarray) -> np.ndarray:
    """First frames of the blinks of (T, 2) closures."""
    shut = np.concatenate([[False], (closure > 0).any(axis=1)])
    return np.flatnonzero(shut[1:] & ~shut[:-1])


def clips(count: int, frames: int, rate: float | None = None) -> list[np.ndarray]:
    return [make_blinks(frames, np.random.default_rng(seed), rate) for seed in range(count)]


def test_rates_are_the_papers_and_positive():
    random = np.random.default_rng(0)
    rates = np.array([draw_rate(random) for _ in range(20000)])
    assert rates.min() >= 5.0
    # The normal distribution without what lies below 5: its mean is .4 higher, its deviation .4 lower.
    assert rates.mean() == pytest.approx(RATE_MEAN + 0.46, abs=0.4)
    assert rates.std() == pytest.approx(RATE_DEVIATION - 0.52, abs=0.35)
    scaled = np.array([draw_rate(random, 15.0) for _ in range(20000)])
    assert scaled.mean() / 15.0 == pytest.approx(rates.mean() / RATE_MEAN, rel=0.015)
    assert scaled.std() / 15.0 == pytest.approx(rates.std() / RATE_MEAN, rel=0.03)


@pytest.mark.parametrize("rate", [None, 8.0, 15.0, 40.0, 70.0])
def test_mean_rate_over_many_clips(rate):
    counts = np.array([len(starts(closure)) for closure in clips(600, 2 * MINUTE, rate)]) / 2
    expected = (RATE_MEAN if rate is None else rate) * 1.0115
    # Five standard errors; the deviation between clips is that of the rates, and some from the intervals.
    assert counts.mean() == pytest.approx(expected, abs=5 * counts.std() / np.sqrt(600))
    assert counts.std() / expected == pytest.approx(RATE_DEVIATION / RATE_MEAN, abs=0.09)


def test_short_clips_blink_as_often_as_long_ones():
    frames = 100
    counts = [len(starts(closure)) for closure in clips(4000, frames)]
    whole = frames - len(ENVELOPE) + 1  # places where a whole blink may start
    assert np.mean(counts) / whole * MINUTE == pytest.approx(RATE_MEAN * 1.0115, rel=0.05)


@pytest.mark.parametrize("rate", [None, 5.0, RATE_MAX])
def test_whole_envelopes_that_never_touch(rate):
    for closure in clips(150, 700, rate):
        assert closure.shape == (700, 2) and closure.dtype == np.float32
        assert closure.min() >= 0 and closure.max() <= 1
        at = starts(closure)
        assert (np.diff(at) >= len(ENVELOPE) + 2).all()
        covered = np.zeros(700, bool)
        for start in at:
            blink = closure[start : start + 5]
            assert np.abs(blink - ENVELOPE[:, None]).max() < 0.03
            assert (blink[2] == 1).all(), "the lids shut"
            assert np.abs(blink[:, 0] - blink[:, 1]).max() < 0.03, "both eyes blink together"
            covered[start : start + 5] = True
        assert (closure[~covered] == 0).all()


def test_eyes_differ_a_little_and_not_always_the_same_way():
    differences = [(closure[:, 0] - closure[:, 1]).sum() for closure in clips(40, MINUTE)]
    assert min(differences) < 0 < max(differences)


def test_intervals_vary():
    closure = make_blinks(20 * MINUTE, np.random.default_rng(3), 20.0)
    gaps = np.diff(starts(closure))
    assert 0.35 < gaps.std() / gaps.mean() < 0.75


def test_no_blinks_at_rate_zero():
    assert not make_blinks(10 * MINUTE, np.random.default_rng(0), 0.0).any()


@pytest.mark.parametrize("frames", [1, 4, 5, 6])
def test_clips_shorter_than_a_blink(frames):
    for closure in clips(200, frames, RATE_MAX):
        assert closure.shape == (frames, 2)
        assert frames >= 5 or not closure.any()


def test_the_seed_decides():
    one, same, other = (make_blinks(MINUTE, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
