"""Disturbing the waveform keeps its length and its timing."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

import numpy as np
import pytest

from talkingeyes_blender.training import sounds
from talkingeyes_blender.training.augment import AugmentConfig, Augmenter

SMALL = AugmentConfig(bank_seconds=1.0, noise_bank=6, non_speech_bank=8, music_bank=3, room_bank=6)


def burst(count: int = 64000, at: int = 30000) -> np.ndarray:
    samples = np.zeros(count, np.float32)
    samples[at : at + 2000] = np.random.default_rng(0).normal(0, 0.2, 2000)
    return samples


@pytest.fixture(scope="module")
def augmenter():
    return Augmenter(0, [burst(16000, 4000)] * 4, SMALL)


def test_same_length_finite_and_repeatable(augmenter):
    for count in (1, 640, 12345, 64000):
        samples = burst(count, 0) if count > 2000 else np.full(count, 0.1, np.float32)
        first = augmenter(samples, np.random.default_rng(5))
        assert first.shape == (count,) and first.dtype == np.float32 and np.isfinite(first).all()
        assert np.array_equal(first, augmenter(samples, np.random.default_rng(5)))
        assert np.array_equal(first, Augmenter(0, [burst(16000, 4000)] * 4, SMALL)(samples, np.random.default_rng(5)))
    one, two = (augmenter(burst(), np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.array_equal(one, two)


def test_nothing_is_shifted_in_time(augmenter):
    clean = burst()
    rng = np.random.default_rng(3)
    for _ in range(30):
        dirty = augmenter(clean, rng)
        lags = range(-200, 201, 20)
        match = [abs(np.dot(clean[1000:-1000], np.roll(dirty, -lag)[1000:-1000])) for lag in lags]
        assert abs(list(lags)[int(np.argmax(match))]) <= 20


def test_silence_stays_quiet(augmenter):
    rng = np.random.default_rng(4)
    assert max(np.abs(augmenter(np.zeros(16000, np.float32), rng)).max() for _ in range(10)) < 0.01


def test_it_is_cheap(augmenter):
    rng = np.random.default_rng(6)
    clean, taken = burst(), []
    for _ in range(15):
        start = time.process_time()
        augmenter(clean, rng)
        taken.append(time.process_time() - start)
    # About 8 ms on one slow core; the bound leaves room for a busy machine.
    assert np.median(taken) < 0.030


@pytest.mark.parametrize("make", [make for _, make in sounds._KINDS])
@pytest.mark.parametrize("count", [4000, 50001])
def test_sounds_have_unit_level(make, count):
    sound = make(count, np.random.default_rng(7))
    assert sound.shape == (count,) and sound.dtype == np.float32
    assert np.sqrt(np.mean(sound.astype(float) ** 2)) == pytest.approx(1, abs=1e-3)


def test_noise_has_its_colour():
    rng = np.random.default_rng(8)
    power = {}
    for slope in (0.0, 1.0):
        spectrum = np.abs(np.fft.rfft(sounds.coloured_noise(64000, rng, slope))) ** 2
        power[slope] = spectrum[4000:8000].mean() / spectrum[16000:28000].mean()
    assert power[0.0] == pytest.approx(1, abs=0.1) and 8 < power[1.0] < 20
    quiet = sounds.non_speech(8000, rng)
    assert np.abs(quiet).max() == pytest.approx(0.5, abs=1e-3)
