"""Where a clip holds no sound at all, the mouth rests.

Networks are trained on speech, and what they make of digital silence is arbitrary. This step is no speech detector: it
knows sound from none, so room noise, music and breath stay the networks' affair. A frame is silent where the clip is
below -60 dBFS and 40 dB below its own loudest moment; a clip that nowhere reaches -60 dBFS is silent throughout.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from ..head import arkit
from .speech_encoder import RATE, frame_count

FLOOR = -60.0
"""dBFS (RMS over 20 ms, full scale 1) below which there may be silence, and above which there is sound."""

BELOW_LOUDEST = 40.0
"""In a quiet recording silence lies this many dB below the loudest 20 ms, if that is below ``FLOOR``."""

HOLD = 0.08
"""Seconds around sound in which the mouth is the networks' own: the closure of a stop is silent, and is speech."""

RELEASE = 0.12
"""Seconds in which the mouth then comes to rest, or, before sound, leaves it."""

_HOP = RATE // 100
_BLOCK = 60 * RATE


def levels(samples: np.ndarray) -> np.ndarray:
    """(n,) samples to (ceil(n / 160),) dBFS of the 20 ms around each hundredth of a second, without its mean."""
    hops = -(-len(samples) // _HOP)
    total, square = np.zeros(hops + 1), np.zeros(hops + 1)  # the one before the first is silent
    for first in range(0, len(samples), _BLOCK):
        part = samples[first : first + _BLOCK]
        part = np.pad(part, (0, -len(part) % _HOP)).reshape(-1, _HOP)
        at = slice(first // _HOP + 1, first // _HOP + 1 + len(part))
        total[at] = part.sum(axis=1, dtype=np.float64)
        square[at] = np.einsum("ij,ij->i", part, part, dtype=np.float64)
    mean = (total[1:] + total[:-1]) / (2 * _HOP)
    variance = (square[1:] + square[:-1]) / (2 * _HOP) - mean**2
    variance[0] = square[1] / _HOP - (total[1] / _HOP) ** 2
    return 10 * np.log10(np.maximum(variance, 1e-12))


def mouth_gain(samples: np.ndarray) -> np.ndarray:
    """(n,) samples at 16 kHz to (T,) float32 at 25 a second: 1 where there is sound, 0 where there is none."""
    frames = frame_count(len(samples))
    level = levels(samples)
    if level.max() < FLOOR:
        return np.zeros(frames, np.float32)
    sounds = np.flatnonzero(level >= min(FLOOR, level.max() - BELOW_LOUDEST))
    at = np.arange(frames) * (RATE / _HOP / 25.0)
    after = np.searchsorted(sounds, at).clip(0, len(sounds) - 1)
    away = np.minimum(np.abs(sounds[after] - at), np.abs(sounds[np.maximum(after - 1, 0)] - at)) * _HOP / RATE
    linear = np.clip(1 - (away - HOLD) / RELEASE, 0, 1)
    return (linear * linear * (3 - 2 * linear)).astype(np.float32)


def mouth_expressions(head_model: str, expressions: int) -> np.ndarray:
    """(E,) bool: which coefficients move the mouth. Where a basis does not say (FLAME's mixes all), all of them."""
    if head_model == arkit.STANDIN and expressions == len(arkit.EXPRESSIONS):
        return np.array([name.startswith(("mouth", "jaw", "cheekPuff", "tongue")) for name in arkit.EXPRESSIONS])
    return np.ones(expressions, bool)


def rest_where_silent(face: np.ndarray, gain: np.ndarray, head_model: str) -> np.ndarray:
    """(T, E + 3) expression and jaw, brought to the neutral face (zero) by the (T,) gain, the mouth's part alone."""
    moves = np.append(mouth_expressions(head_model, face.shape[1] - 3), [True, True, True])
    return np.where(moves, face * gain[:, None], face)
