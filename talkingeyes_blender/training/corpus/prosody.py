"""Loudness, pitch and accents, measured on the sound: what brows and head follow, so that the sound tells of them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
from scipy.fft import irfft, rfft
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.signal import find_peaks

from .phones import SILENCE
from .speech import RATE

HOP = 160
HZ = RATE // HOP
"""Rate of the curves here: 100 a second."""
_LOWEST, _HIGHEST = 65.0, 420.0
PHRASE_GAP = 0.25
"""Seconds of silence that part two phrases."""


@dataclasses.dataclass(frozen=True, eq=False)
class Prosody:
    loudness: np.ndarray
    """(n,) dB about the mean of the speech, at 100 Hz, smoothed over ~120 ms; -60 at least."""
    pitch: np.ndarray
    """(n,) semitones about the median of the voiced speech, at 100 Hz; bridged where unvoiced, 0 in long silences."""
    phrases: tuple[tuple[float, float], ...]
    """Start and end of each phrase in seconds."""
    accents: tuple[tuple[float, float, float], ...]
    """Time in seconds, strength 0 to 1, and rise of pitch there in semitones."""


def find_phrases(segments: list[tuple[float, float, str]]) -> tuple[tuple[float, float], ...]:
    """Runs of sounds with no silence of ``PHRASE_GAP`` inside, from (start, end, visible class)."""
    phrases: list[list[float]] = []
    for start, end, name in segments:
        if name == SILENCE:
            continue
        if phrases and start - phrases[-1][1] < PHRASE_GAP:
            phrases[-1][1] = max(phrases[-1][1], end)
        else:
            phrases.append([start, end])
    return tuple((a, b) for a, b in phrases)


def loudness_db(samples: np.ndarray) -> np.ndarray:
    """RMS of 25 ms windows each 10 ms, in dB of full scale, floor -100."""
    count = -(-len(samples) // HOP)
    padded = np.pad(np.square(samples, dtype=np.float64), (120, 400))
    total = np.concatenate([[0.0], np.cumsum(padded)])
    start = np.arange(count) * HOP
    return 10 * np.log10(np.maximum(total[start + 400] - total[start], 0) / 400 + 1e-10)


def pitch_hz(samples: np.ndarray) -> np.ndarray:
    """F0 in Hz each 10 ms by normalised autocorrelation of 40 ms windows; NaN where unvoiced."""
    count = -(-len(samples) // HOP)
    low = samples[::2].astype(np.float32)  # 8 kHz: what aliases does not move the period
    window = 320
    padded = np.pad(low, (window // 2, window + HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: HOP // 2][:count]
    frames = frames - frames.mean(1, keepdims=True)
    spectrum = np.abs(rfft(frames * np.hanning(window).astype(np.float32), 1024, axis=1)) ** 2
    correlation = irfft(spectrum, axis=1)
    reference = irfft(np.abs(rfft(np.hanning(window), 1024)) ** 2)
    first, last = int(8000 / _HIGHEST), int(8000 / _LOWEST)
    energy = correlation[:, :1]
    score = correlation[:, first:last] / np.maximum(energy, 1e-9) / (reference[first:last] / reference[0])
    # Between a period and its double the shorter is meant.
    score = score * (1.0 - 0.12 * np.log2(np.arange(first, last) / first) / np.log2(last / first))
    best = score.argmax(1)
    value = score[np.arange(len(score)), best]
    level = 10 * np.log10(energy[:, 0] + 1e-9)
    voiced = (value > 0.5) & (level > level.max() - 35)
    return np.where(voiced, 8000.0 / (best + first), np.nan)


def measure(samples: np.ndarray, phrases: tuple[tuple[float, float], ...]) -> Prosody:
    """Prosody of a sequence whose phrases are known."""
    count = -(-len(samples) // HOP)
    speaking = np.zeros(count, bool)
    for start, end in phrases:
        speaking[int(start * HZ) : int(np.ceil(end * HZ))] = True
    level = loudness_db(samples)
    if not speaking.any():
        return Prosody(np.full(count, -60.0), np.zeros(count), phrases, ())
    # Mean over what is within 30 dB of the loudest: pauses inside words do not count.
    loud = speaking & (level > level[speaking].max() - 30)
    loudness = np.maximum(gaussian_filter1d(np.maximum(level, level[loud].mean() - 45), 5.0) - level[loud].mean(), -60)
    f0 = pitch_hz(samples)
    f0[~speaking] = np.nan
    voiced = np.isfinite(f0)
    pitch = np.zeros(count)
    if voiced.sum() > 10:
        semitones = np.clip(12 * np.log2(f0[voiced] / np.median(f0[voiced])), -12, 12)
        bridged = np.interp(np.arange(count), np.flatnonzero(voiced), median_filter(semitones, 7))
        pitch = gaussian_filter1d(bridged, 4.0) * gaussian_filter1d(speaking.astype(float), 12.0)
    return Prosody(loudness, pitch, phrases, _accents(loudness, pitch, speaking))


def _accents(loudness: np.ndarray, pitch: np.ndarray, speaking: np.ndarray) -> tuple[tuple[float, float, float], ...]:
    """Peaks of pitch and loudness together, relative to the phrase around them."""
    weight = gaussian_filter1d(speaking.astype(float), 60.0) + 1e-3
    slow = gaussian_filter1d(pitch * speaking, 60.0) / weight
    rise = pitch - slow
    loud = np.clip(loudness, -25, 12)
    swell = loud - gaussian_filter1d(loud * speaking, 60.0) / weight
    prominence = (rise / 2.5 + swell / 6.0) * speaking
    prominence = gaussian_filter1d(prominence, 6.0)
    peaks, details = find_peaks(prominence, height=0.25, distance=25, prominence=0.25)
    strengths = np.clip((details["peak_heights"] - 0.2) / 1.2, 0.05, 1.0)
    return tuple((p / HZ, float(s), float(rise[p])) for p, s in zip(peaks, strengths, strict=True))
