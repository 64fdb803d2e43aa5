"""How the head moves while one talks and looks, and what is left for the eyes.

The head nods on accents and follows pitch and loudness (Munhall et al., 2004), shifts its posture as phrases begin and
drifts between; it takes part in gaze shifts only beyond a range of about 10 to 15 degrees (Freedman and Sparks, 1997;
Stahl, 1999), late and slowly, while the vestibulo-ocular reflex holds the gaze: the eyes turn back as it arrives.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, lfilter, sosfiltfilt

from ...head.rotation import matrix_from_axis_angle, turn_to
from ...motion import FPS
from .gaze import HZ
from .prosody import HZ as PROSODY_HZ
from .prosody import Prosody

OCULAR_LIMIT = 35.0
"""Degrees that an eye turns in the head at most."""


@dataclasses.dataclass(frozen=True)
class Manner:
    """A person's habits; degrees."""

    dead_zone: float
    share: float
    """Of what a gaze shift exceeds the dead zone by, the part that the head makes."""
    nod: float
    pitch_follow: float
    """Degrees that the head rises for a rise of F0 of one semitone."""
    sway: float
    posture: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Manner:
        return cls(
            dead_zone=rng.uniform(6, 12), share=rng.uniform(0.5, 0.8), nod=rng.uniform(2.5, 5.5),
            pitch_follow=rng.uniform(0.3, 0.8), sway=rng.uniform(1.0, 2.0), posture=rng.uniform(0.9, 1.7),
        )  # fmt: skip


def _lag(signal: np.ndarray, hertz: float) -> np.ndarray:
    """Critically damped second order (w / (s + w))^2 by two first-order lags; starts settled."""
    pole = np.exp(-2 * np.pi * hertz / HZ)
    b, a = [1 - pole], [1, -pole]
    start = signal[:1]
    once, _ = lfilter(b, a, signal, axis=0, zi=start * pole)
    twice, _ = lfilter(b, a, once, axis=0, zi=start * pole)
    return twice


def _wander(n: int, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Band-limited noise of unit sd."""
    sos = butter(2, [low, high], "bandpass", fs=HZ, output="sos")
    pad = 4 * HZ
    noise = sosfiltfilt(sos, rng.standard_normal(n + 2 * pad))
    return noise[pad:-pad] / noise.std()


def head_path(
    gaze: np.ndarray, prosody: Prosody, duration: float, manner: Manner, rng: np.random.Generator
) -> np.ndarray:
    """(n, 3) degrees at 200 Hz: pitch + down, yaw + left, roll about +Z; ``gaze`` is (n, 2) at 200 Hz."""
    n = len(gaze)
    time = np.arange(n) / HZ
    pitch = np.interp(time, np.arange(len(prosody.pitch)) / PROSODY_HZ, prosody.pitch)
    loudness = np.interp(time, np.arange(len(prosody.loudness)) / PROSODY_HZ, prosody.loudness)
    activity = np.zeros(n)
    for start, end in prosody.phrases:
        activity[(time >= start - 0.1) & (time <= end)] = 1.0
    activity = gaussian_filter1d(activity, 0.15 * HZ)
    head = np.zeros((n, 3))

    # Orienting.
    size = np.hypot(gaze[:, 0], gaze[:, 1])
    beyond = np.clip(1.0 - manner.dead_zone / np.maximum(size, 1e-6), 0, 1)
    orient = gaze * (manner.share * beyond)[:, None] * np.array([0.6, 1.0])
    head[:, :2] += _lag(orient, 1.3)

    # Accents: a nod down on the stressed syllable, its onset ~120 ms before; the stronger, the deeper.
    nods = np.zeros(n)
    for at, strength, _ in prosody.accents:
        width = 0.10 + 0.05 * rng.random()
        u = (time - at - 0.03) / width
        nods += manner.nod * strength * np.exp(-0.5 * u * u) * (1.0 - 0.35 * np.exp(-0.5 * ((u + 2.2) / 1.2) ** 2))
    head[:, 0] += nods
    rising = gaussian_filter1d(np.clip(pitch, -6, 6), 0.10 * HZ)
    head[:, 0] -= manner.pitch_follow * rising
    swell = gaussian_filter1d(np.clip(loudness, -20, 10), 0.15 * HZ) / 10.0

    # Sway, stronger in speech and with the voice.
    vigour = manner.sway * (0.25 + 0.75 * activity) * np.clip(1.0 + 0.3 * swell * activity, 0.5, 1.4)
    for axis, spread in enumerate((0.6, 1.1, 1.0)):
        head[:, axis] += vigour * spread * _wander(n, 0.25, 1.4, rng)
    head[:, 0] += 0.15 * np.sin(2 * np.pi * rng.uniform(0.2, 0.3) * time + rng.uniform(0, 6.28))

    head += _posture(prosody.phrases, n, manner, rng)
    head[:, 0] += _listening_nods(prosody.phrases, duration, n, rng)
    return head


def _posture(phrases: tuple[tuple[float, float], ...], n: int, manner: Manner, rng: np.random.Generator) -> np.ndarray:
    """Steps at the starts of phrases (most) and at their ends (some), slowed by the neck."""
    target = np.zeros((n, 3))
    spread = manner.posture * np.array([2.0, 2.6, 2.2])
    posture = rng.normal(0, spread)
    target[:] = posture
    for start, end in phrases:
        for at, chance in ((start - 0.1, 0.65), (end + 0.1, 0.35)):
            if rng.random() < chance:
                posture = 0.3 * posture + rng.normal(0, spread)
                target[max(0, int(at * HZ)) :] = posture
    return _lag(target, 0.7)


def _listening_nods(
    phrases: tuple[tuple[float, float], ...], duration: float, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Bursts of two to four nods while the other talks, some four a minute of listening."""
    nods = np.zeros(n)
    edges = [0.0, *(t for phrase in phrases for t in phrase), duration]
    for left, right in zip(edges[::2], edges[1::2], strict=True):
        at = left + 1.0 + rng.exponential(8.0)
        while at < right - 1.5:
            count, hertz = int(rng.integers(2, 5)), rng.uniform(1.6, 2.6)
            length = count / hertz
            first, last = int(at * HZ), min(n, int((at + length) * HZ))
            u = np.arange(last - first) / HZ
            nods[first:last] += rng.uniform(1.5, 4.0) * 0.5 * (1 - np.cos(2 * np.pi * hertz * u)) * np.exp(-0.8 * u)
            at += length + 2.0 + rng.exponential(9.0)
    return gaussian_filter1d(nods, 0.03 * HZ)


# -- rotations -------------------------------------------------------------------------------------


def head_and_eyes(
    gaze: np.ndarray, head: np.ndarray, partner: np.ndarray, vergence: float, frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sample at 25 fps: ``head`` (T, 3) about its mean and ``eyes`` (T, 6) in the head, axis-angle in radians.

    ``gaze`` (n, 2) and ``head`` (n, 3) are degrees at 200 Hz, ``partner`` (2,) the partner's direction in degrees,
    ``vergence`` the angle between the eyes' axes on the partner in degrees. The gaze is held in space while the head
    moves; eyes turn without torsion (Listing) and at most 35 degrees, where gaze waits for the head.
    """
    at = np.minimum(np.arange(frames) * int(HZ / FPS), len(gaze) - 1)
    turned = np.radians(head[at])
    turned -= turned.mean(0)
    direction = _directions(np.radians(gaze[at] + partner))
    inside = np.einsum("tji,tj->ti", matrix_from_axis_angle(turned), direction)
    eye = turn_to(inside, np.radians(OCULAR_LIMIT))
    # Looks away go past the partner, into the distance.
    away = np.clip(np.hypot(*gaze[at].T) / 15.0, 0, 1)
    half = np.radians(vergence * (1.0 - 0.35 * away)) / 2
    eyes = np.zeros((frames, 6))
    eyes[:, 0:2] = eyes[:, 3:5] = eye
    eyes[:, 1] -= half
    eyes[:, 4] += half
    return turned.astype(np.float32), eyes.astype(np.float32)


def _directions(rotation: np.ndarray) -> np.ndarray:
    """(T, 2) pitch and yaw parts of a rotation without torsion to the (T, 3) direction it turns +Z to."""
    angle = np.linalg.norm(rotation, axis=1)
    sinc = np.sinc(angle / np.pi)
    return np.stack([rotation[:, 1] * sinc, -rotation[:, 0] * sinc, np.cos(angle)], 1)
