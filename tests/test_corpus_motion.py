"""Gaze, head and blinks of the corpus against the laws and the data they were made from."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from talkingeyes_blender.training.corpus import blinks, gaze, head_motion
from talkingeyes_blender.training.corpus.prosody import Prosody, find_phrases, measure, pitch_hz

DURATION = 26.0


def phrases_of(rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Phrases of 1 to 4 s with pauses of 0.3 to 1.5 s, and a stretch of listening."""
    if rng.random() < 0.15:
        return ()
    phrases, at = [], rng.uniform(0.3, 1.2)
    listening = int(rng.integers(0, 5))
    while at < DURATION - 6:
        if len(phrases) == listening:
            at += 6.0
        phrases.append((at, min(at + rng.uniform(1.0, 4.0), DURATION - 0.5)))
        at = phrases[-1][1] + rng.uniform(0.3, 1.5)
    return tuple(phrases)


@pytest.fixture(scope="module")
def conversations():
    """(phrases, shifts, path) of 110 turns."""
    rng = np.random.default_rng(0)
    turns = []
    for _ in range(110):
        phrases = phrases_of(rng)
        shifts = gaze.gaze_shifts(phrases, DURATION, gaze.Manner.draw(rng), rng)
        turns.append((phrases, shifts, gaze.gaze_path(shifts, DURATION, rng)))
    return turns


def vectors(turns, speaking: bool) -> np.ndarray:
    """(n, 2) shifts in the data's frame: azimuth + to the viewer's right, elevation + up."""
    found = []
    for phrases, shifts, _ in turns:
        before = (0.0, 0.0)
        for shift in shifts:
            if any(a - 0.4 <= shift.start <= b + 0.3 for a, b in phrases) == speaking:
                found.append((before[1] - shift.target[1], before[0] - shift.target[0]))
            before = shift.target
    return np.array(found)


def directions(shifts: np.ndarray) -> np.ndarray:
    large = shifts[np.hypot(*shifts.T) > 1.5]
    octant = np.round(np.degrees(np.arctan2(large[:, 1], large[:, 0])) / 45).astype(int) % 8
    return np.bincount(octant, minlength=8) / len(large)


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon, in bits."""
    m = (p + q) / 2
    return sum(0.5 * np.sum(x * np.log2((x + 1e-12) / (m + 1e-12))) for x in (p, q))


@pytest.mark.parametrize("speaking", [True, False])
def test_shifts_are_distributed_as_in_the_data(conversations, speaking, testdata):
    archive = np.load(testdata / "conversation-scanpaths.npz")
    keys = ("participant", "state", "segment")
    same = np.all([archive[k][1:] == archive[k][:-1] for k in keys], axis=0) & (archive["state"][1:] == (not speaking))
    real = np.stack([np.diff(archive["azimuth_deg"]), np.diff(archive["elevation_deg"])], 1)[same]
    made = vectors(conversations, speaking)
    for statistic in (np.median, np.mean, lambda x: np.percentile(x, 95)):
        truth = statistic(np.hypot(*real.T))
        # Some 3000 and 1500 shifts: their 95th percentile alone is uncertain by about 10 %.
        assert abs(statistic(np.hypot(*made.T)) - truth) < 0.2 * truth
    assert divergence(directions(made), directions(real)) < 0.03


def test_speakers_look_away_at_a_phrase_and_back_at_its_end(conversations):
    starts, ends, listening, talking = [], [], [], []
    for phrases, _, path in conversations:
        on = gaze.is_on_partner(path)
        time = np.arange(len(path)) / gaze.HZ
        for start, end in phrases:
            starts.append(on[int((start + 0.3) * gaze.HZ)])
            ends.append(on[int((end - 0.1) * gaze.HZ)])
            talking.append(on[(time > start) & (time < end)])
        for left, right in zip([e for _, e in phrases], [s for s, _ in phrases[1:]], strict=False):
            if right - left > 3:
                listening.append(on[(time > left + 0.5) & (time < right - 0.5)])
    assert np.mean(starts) < 0.4 < 0.5 < np.mean(ends)
    assert 0.33 < np.concatenate(talking).mean() < 0.50
    assert 0.62 < np.concatenate(listening).mean() < 0.88


def test_saccades_keep_the_main_sequence_and_fixations_stand(conversations):
    for _, shifts, path in conversations[:10]:
        speed = np.linalg.norm(np.diff(path, axis=0), axis=1) * gaze.HZ
        assert all(abs(s.duration - (0.025 + 0.0024 * s.amplitude)) < 1e-9 for s in shifts)
        assert all(b.start >= a.start + a.duration for a, b in itertools.pairwise(shifts))
        still = np.ones(len(speed), bool)
        for s in shifts:
            still[int(s.start * gaze.HZ) - 2 : int((s.start + s.duration) * gaze.HZ) + 3] = False
        assert speed[still].max() < 8
        big = [s for s in shifts if s.amplitude > 10]
        for s in big:
            first = round(s.start * gaze.HZ)
            during = speed[first : first + round(s.duration * gaze.HZ)]
            # A bell: the peak of minimum jerk is 1.875 times the mean.
            assert during.max() == pytest.approx(1.875 * s.amplitude / s.duration, rel=0.15)


def silent(count: int = 400) -> Prosody:
    return Prosody(np.full(count, -60.0), np.zeros(count), (), ())


def recomposed(head: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """Direction of gaze in space."""
    return Rotation.from_rotvec(head).apply(Rotation.from_rotvec(eye).apply([0.0, 0.0, 1.0]))


def test_eyes_hold_the_gaze_while_the_head_moves():
    rng = np.random.default_rng(1)
    n = 6 * gaze.HZ
    head = np.cumsum(rng.normal(0, 0.15, (n, 3)), axis=0)
    head, eyes = head_motion.head_and_eyes(np.tile([4.0, -9.0], (n, 1)), head, np.array([1.0, 2.0]), 0.0, 150)
    assert np.ptp(head, axis=0).max() > np.radians(1)
    assert np.allclose(head.mean(0), 0, atol=1e-6)
    looked = recomposed(head, eyes[:, :3])
    assert np.degrees(np.arccos(np.clip(looked @ looked[0], -1, 1))).max() < 0.05
    # FLAME's signs: pitch + is down, yaw + to the subject's left, which is +X.
    assert looked[0, 1] < 0 and looked[0, 0] < 0
    assert np.array_equal(eyes[:, :3], eyes[:, 3:])


def test_vergence_and_ocular_limit():
    n = 2 * gaze.HZ
    ahead = np.zeros((n, 3))
    _, eyes = head_motion.head_and_eyes(np.zeros((n, 2)), ahead, np.zeros(2), 2.0, 50)
    # The left eye turns to the subject's right, the right eye to the left.
    assert np.allclose(np.degrees(eyes[:, 1]), -1, atol=1e-4) and np.allclose(np.degrees(eyes[:, 4]), 1, atol=1e-4)
    _, eyes = head_motion.head_and_eyes(np.tile([0.0, 50.0], (n, 1)), ahead, np.zeros(2), 0.0, 50)
    assert np.degrees(eyes[:, 1]).max() == pytest.approx(head_motion.OCULAR_LIMIT, abs=1e-3)


def head_of(path, prosody, **habits):
    manner = dict(dead_zone=10.0, share=0.6, nod=0.0, pitch_follow=0.0, sway=0.0, posture=0.0) | habits
    rng = np.random.default_rng(2)
    return head_motion.head_path(path, prosody, len(path) / gaze.HZ, head_motion.Manner(**manner), rng)


def test_head_joins_large_shifts_only_and_late():
    n = 4 * gaze.HZ
    for size, share in ((8.0, 0.0), (25.0, 0.36)):
        path = np.zeros((n, 2))
        path[gaze.HZ :, 1] = size
        yaw = head_of(path, silent())[:, 1]
        assert yaw[-1] == pytest.approx(share * size, abs=0.05 * size + 0.01)
        if share:
            half = np.argmax(yaw > yaw[-1] / 2) / gaze.HZ
            assert 1.1 < half < 1.6


def test_head_nods_on_accents_and_rises_with_pitch():
    n = 4 * gaze.HZ
    count = 400
    accent = Prosody(np.zeros(count), np.zeros(count), ((0.5, 3.5),), ((2.0, 1.0, 2.0),))
    pitch = head_of(np.zeros((n, 2)), accent, nod=4.0)[:, 0]
    assert 1.9 < np.argmax(pitch) / gaze.HZ < 2.2 and 2.0 < pitch.max() < 5.0
    rising = np.where(np.arange(count) > 200, 4.0, 0.0)
    voice = Prosody(np.zeros(count), rising, ((0.5, 3.5),), ())
    pitch = head_of(np.zeros((n, 2)), voice, pitch_follow=0.5)[:, 0]
    assert pitch[3 * gaze.HZ] - pitch[gaze.HZ] < -1.3


def test_blinks():
    rng = np.random.default_rng(3)
    shifts = [gaze.Shift(5.0, 0.1, 34.0, (0.0, 30.0)), gaze.Shift(9.0, 0.03, 1.0, (0.0, 29.0))]
    with_large, with_small, rates = 0, 0, []
    for _ in range(300):
        times = blinks.blink_times(shifts, ((1.0, 3.0), (6.0, 12.0)), 20.0, rng, 20.0)
        rates.append(len(times) * 3)
        assert np.all(np.diff(times) >= 0.4)
        with_large += any(abs(t - 5.07) < 0.05 for t in times)
        with_small += any(abs(t - 9.07) < 0.05 for t in times)
    assert with_large > 270 and with_small < 60
    assert np.mean(rates) == pytest.approx(20, abs=1)
    curve = blinks.blink_curve([1.0], 50, rng)
    assert curve.shape == (50, 2) and (curve[:, 0] > 0).sum() == 5 and curve[25].min() > 0.85
    closing, opening = np.diff(curve[23:26, 0]).max(), -np.diff(curve[25:31, 0]).min()
    assert closing > 1.2 * opening
    assert not blinks.blink_curve([], 50, rng).any()


def voice(seconds: float, f0) -> np.ndarray:
    time = np.arange(int(seconds * 16000)) / 16000
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(f0, time.shape)) / 16000
    return (sum(np.sin(k * phase) / k for k in range(1, 12)) * 0.1).astype(np.float32)


@pytest.mark.parametrize("f0", [85.0, 140.0, 220.0, 330.0])
def test_pitch_is_found(f0):
    found = pitch_hz(voice(1.0, f0))[10:-10]
    assert np.isfinite(found).mean() > 0.95 and np.nanmedian(found) == pytest.approx(f0, rel=0.03)
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    assert np.isnan(pitch_hz(noise)).mean() > 0.8


def test_accents_are_found_where_pitch_and_loudness_rise():
    time = np.arange(48000) / 16000
    bump = np.exp(-0.5 * ((time - 1.5) / 0.08) ** 2)
    samples = voice(3.0, 120 * 2 ** (4 * bump / 12)) * (1 + bump).astype(np.float32)
    samples[: 16000 // 2] = 0
    prosody = measure(samples, ((0.5, 3.0),))
    strongest = max(prosody.accents, key=lambda accent: accent[1])
    assert strongest[0] == pytest.approx(1.5, abs=0.06) and strongest[1] > 0.6 and strongest[2] > 1
    assert prosody.pitch[:30].max() == pytest.approx(0, abs=0.2)
    assert measure(np.zeros(16000, np.float32), ()).accents == ()


def test_phrases():
    segments = [(0.0, 0.5, "silence"), (0.5, 0.7, "a"), (0.7, 0.8, "silence"), (0.8, 1.0, "i"), (1.0, 1.6, "silence"),
                (1.6, 2.0, "u")]  # fmt: skip
    assert find_phrases(segments) == ((0.5, 1.0), (1.6, 2.0))
    assert find_phrases([]) == ()
