"""The mouth rests where there is no sound, and only there."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from talkingeyes_blender.head import arkit
from talkingeyes_blender.inference import silence
from talkingeyes_blender.inference.silence import levels, mouth_expressions, mouth_gain, rest_where_silent

RATE = 16000


def noise(seconds: float, dbfs: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (10 ** (dbfs / 20) * random.standard_normal(round(seconds * RATE))).astype(np.float32)


def none(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


@pytest.mark.parametrize("dbfs", [-10.0, -35.0, -58.0])
def test_levels_are_dbfs(dbfs):
    level = levels(noise(1.0, dbfs))
    assert level.shape == (100,)
    assert np.median(level) == pytest.approx(dbfs, abs=0.3)
    assert np.abs(levels(noise(1.0, dbfs) + 0.25) - level).max() < 0.2, "a constant is no sound"


def test_levels_of_blocks_equal_the_whole(monkeypatch):
    sound = noise(2.345, -20)
    whole = levels(sound)
    monkeypatch.setattr(silence, "_BLOCK", 16000 // 4)
    assert np.allclose(levels(sound), whole)


@pytest.mark.parametrize("sound", [none(1.0), none(1.0) + 0.5, noise(1.0, -66), none(1 / RATE), noise(0.2, -90)])
def test_no_sound_at_all(sound):
    gain = mouth_gain(sound)
    assert gain.shape == (max(1, -(-len(sound) // 640)),) and not gain.any()


@pytest.mark.parametrize("sound", [noise(1.0, -20), noise(0.2, -30), noise(0.01, -20), noise(1.0, -55)])
def test_sound_throughout(sound):
    assert (mouth_gain(sound) == 1).all()


def test_room_noise_is_sound():
    """The step is no speech detector: at -45 dBFS between loud words the networks decide."""
    sound = np.concatenate([noise(1, -15), noise(2, -45), noise(1, -15)])
    assert (mouth_gain(sound) == 1).all()


def test_pauses_fade_in_and_out():
    sound = np.concatenate([none(1.0), noise(1.0, -20), noise(1.0, -75)])
    gain = mouth_gain(sound)
    at = np.arange(len(gain)) / 25
    assert (gain[(at >= 0.93) & (at <= 2.07)] == 1).all(), "the mouth is its own in the sound and just around it"
    assert (gain[(at <= 0.78) | (at >= 2.22)] == 0).all(), "and rests a fifth of a second away from it"
    assert (np.diff(gain[at <= 1]) >= 0).all() and (np.diff(gain[at >= 2]) <= 0).all()
    assert np.abs(np.diff(gain)).max() < 0.6, "it takes about a tenth of a second"


@pytest.mark.parametrize("closure", [0.04, 0.08, 0.15])
def test_the_closure_of_a_stop_is_not_a_pause(closure):
    sound = np.concatenate([noise(0.5, -20), none(closure), noise(0.5, -20)])
    assert (mouth_gain(sound) == 1).all()


def test_a_quiet_recording_keeps_its_quiet_sounds():
    sound = np.concatenate([noise(0.5, -45), noise(0.5, -70), noise(0.5, -100)])
    at = np.arange(38) / 25
    gain = mouth_gain(sound)
    assert (gain[at <= 1.05] == 1).all() and (gain[at >= 1.25] == 0).all()


def test_mouth_expressions_of_the_standin():
    mouth = mouth_expressions(arkit.STANDIN, 41)
    names = {name for name, moves in zip(arkit.EXPRESSIONS, mouth, strict=True) if moves}
    assert {"mouthClose", "jawForward", "mouthPucker", "tongueOut", "cheekPuff"} <= names
    assert not names & {"browInnerUp", "eyeSquintLeft", "eyeBlinkRight", "cheekSquintLeft", "noseSneerLeft"}
    assert mouth_expressions("flame-100-abc", 100).all()


def test_rest_leaves_brows_alone():
    face = np.ones((3, 44), np.float32)
    out = rest_where_silent(face, np.array([0.0, 0.5, 1.0], np.float32), arkit.STANDIN)
    assert np.array_equal(out[:, 41:], [[0] * 3, [0.5] * 3, [1] * 3])
    assert (out[:, arkit.INDEX["browInnerUp"]] == 1).all()
    assert np.array_equal(out[:, arkit.INDEX["mouthFunnel"]], [0, 0.5, 1])
    assert out.dtype == np.float32
