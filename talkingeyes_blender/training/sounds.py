"""Sounds that are not speech, made from noise and sines: what a microphone hears besides a voice.

All return float32 arrays of ``count`` samples at 16 kHz, of unit RMS where not silent (silence stays zero).
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

RATE = 16000


def _unit(sound: np.ndarray) -> np.ndarray:
    rms = np.sqrt(np.mean(np.square(sound, dtype=np.float64)))
    return (sound / rms if rms > 1e-9 else np.zeros_like(sound)).astype(np.float32)


def shaped_noise(count: int, gain, rng: np.random.Generator) -> np.ndarray:
    """White noise under the spectrum ``gain(frequencies in Hz)``."""
    size = next_fast_len(count, real=True)
    spectrum = rfft(rng.standard_normal(size).astype(np.float32))
    spectrum *= np.asarray(gain(np.fft.rfftfreq(size, 1 / RATE)), np.float32)
    return _unit(irfft(spectrum, size)[:count])


def coloured_noise(count: int, rng: np.random.Generator, slope: float | None = None) -> np.ndarray:
    """Noise whose amplitude falls as 1 / f ** slope: 0 white, 0.5 pink, 1 brown."""
    slope = rng.uniform(0.0, 1.2) if slope is None else slope
    return shaped_noise(count, lambda f: (f + 30.0) ** -slope, rng)


def room_tone(count: int, rng: np.random.Generator) -> np.ndarray:
    """A quiet room: brownish noise, sometimes mains hum with its harmonics."""
    sound = coloured_noise(count, rng, rng.uniform(0.4, 1.1))
    if rng.random() < 0.3:
        time = np.arange(count) / RATE
        mains = rng.choice([50.0, 60.0])
        hum = sum(
            rng.uniform(0.1, 1.0) / k * np.sin(2 * np.pi * (k * mains * time + rng.random())) for k in range(1, 6)
        )
        sound = sound + rng.uniform(0.1, 1.0) * _unit(hum)
    return _unit(sound)


def breath(count: int, rng: np.random.Generator) -> np.ndarray:
    """Breaths: noise through three broad resonances, swelling and falling, with rests between."""
    centres = rng.uniform([400, 1200, 2600], [1000, 2200, 5000])
    widths = rng.uniform(200, 900, 3)
    weights = rng.uniform(0.3, 1.0, 3)

    def resonances(f: np.ndarray) -> np.ndarray:
        return 1e-3 + sum(w * np.exp(-(((f - c) / s) ** 2)) for w, c, s in zip(weights, centres, widths, strict=True))

    envelope = np.zeros(count, np.float32)
    at = int(rng.uniform(0.0, 0.3) * RATE)
    while at < count:
        length = int(rng.uniform(0.25, 1.1) * RATE)
        swell = np.sin(np.pi * np.linspace(0, 1, length)) ** rng.uniform(0.5, 2.0) * rng.uniform(0.4, 1.0)
        envelope[at : at + length] = swell[: count - at]
        at += length + int(rng.uniform(0.2, 1.6) * RATE)
    return _unit(shaped_noise(count, resonances, rng) * envelope)


def music(count: int, rng: np.random.Generator) -> np.ndarray:
    """Notes and chords of decaying or held harmonics: plucked, struck or bowed by chance."""
    sound = np.zeros(count, np.float32)
    decay, roll_off, attack = rng.uniform(0.5, 8.0), rng.uniform(0.4, 2.0), rng.uniform(0.002, 0.08)
    vibrato = rng.uniform(0.0, 0.006) if rng.random() < 0.4 else 0.0
    at = 0
    while at < count:
        seconds = rng.uniform(0.12, 1.2)
        length = min(int(1.5 * seconds * RATE), count - at)
        time = np.arange(length) / RATE
        envelope = np.minimum(1.0, time / attack) * np.exp(-decay * time)
        # A note that is cut off would click; real ones are damped.
        envelope[-min(length, 320) :] *= np.linspace(1, 0, min(length, 320))
        for _ in range(rng.integers(1, 4)):
            pitch = 55.0 * 2.0 ** (rng.integers(0, 52) / 12.0)
            phase = 2 * np.pi * pitch * (time + vibrato * np.sin(2 * np.pi * 5.0 * time) / 5.0)
            for k in range(1, min(10, int(7500 / pitch) + 1)):
                sound[at : at + length] += (k**-roll_off * np.sin(k * phase + rng.uniform(0, 6.28)) * envelope).astype(
                    np.float32
                )
        at += int(seconds * RATE)
        if rng.random() < 0.15:
            at += int(rng.uniform(0.0, 1.0) * RATE)
    return _unit(sound)


def plucked(count: int, rng: np.random.Generator) -> np.ndarray:
    """Strings: a burst of noise in a loop that loses its high part first (Karplus and Strong, 1983), in the frequency
    domain, where the loop is harmonics whose decay rises with their number."""
    sound = np.zeros(count, np.float32)
    root, loss = rng.uniform(60, 260), np.exp(rng.uniform(np.log(0.3), np.log(4.0)))
    at = int(rng.uniform(0.0, 0.3) * min(RATE, count))
    while at < count:
        length = min(int(rng.uniform(0.4, 2.5) * RATE), count - at)
        time = np.arange(length, dtype=np.float32) / RATE
        for step in rng.choice([0, 3, 4, 5, 7, 8, 12, 16, 19, 24], rng.integers(1, 4), replace=False):
            pitch = root * 2.0 ** (step / 12.0)
            harmonics = np.arange(1, min(16, int(7000 / pitch)) + 1, dtype=np.float32)[:, None]
            # Where the string is plucked decides which harmonics are missing.
            heights = np.abs(np.sin(np.pi * harmonics * rng.uniform(0.08, 0.45))) / harmonics
            phases = rng.uniform(0, 6.28, (len(harmonics), 1)).astype(np.float32)
            waves = np.sin(2 * np.pi * pitch * harmonics * time + phases)
            sound[at : at + length] += (heights * np.exp(-loss * (1 + 0.25 * harmonics) * time) * waves).sum(0)
        sound[at : at + length] *= np.minimum(1.0, (length - np.arange(length)) / 160.0)
        at += int(np.exp(rng.uniform(np.log(0.09), np.log(0.9))) * RATE)
    return _unit(sound)


def hum(count: int, rng: np.random.Generator) -> np.ndarray:
    """Motors, fans and mains: steady harmonics with a slow beat, in noise."""
    time = np.arange(count) / RATE
    pitch = np.exp(rng.uniform(np.log(40), np.log(400)))
    wobble = rng.uniform(0, 0.004) * np.sin(2 * np.pi * rng.uniform(0.2, 6.0) * time)
    roll_off = rng.uniform(0.3, 1.5)
    sound = sum(
        rng.uniform(0.2, 1.0) * k**-roll_off * np.sin(2 * np.pi * k * pitch * (time + wobble) + rng.uniform(0, 6.28))
        for k in range(1, min(24, int(7000 / pitch)) + 1)
    )
    return _unit(_unit(sound) + np.float32(rng.uniform(0.02, 1.0)) * coloured_noise(count, rng))


def clicks(count: int, rng: np.random.Generator) -> np.ndarray:
    """Knocks, keys and clatter: short decaying bursts of sine and noise."""
    sound = np.zeros(count + 4000, np.float32)
    for start in rng.integers(0, count, rng.integers(3, 3 + max(3, count // 2000))):
        length = int(rng.integers(100, 4000))
        time = np.arange(length)
        ring = np.sin(2 * np.pi * rng.uniform(100, 5000) * time / RATE)
        ring += rng.standard_normal(length) * rng.uniform(0, 1)
        ring *= rng.uniform(0.1, 1.0) * np.exp(-8.0 * time / length)
        sound[start : start + length] += ring.astype(np.float32)
    return _unit(sound[:count])


def chirps(count: int, rng: np.random.Generator) -> np.ndarray:
    """Birds and devices: short gliding tones."""
    sound = np.zeros(count, np.float32)
    at = int(rng.uniform(0, 0.5) * min(RATE, count))
    while at < count:
        length = min(int(rng.uniform(0.04, 0.6) * RATE), count - at)
        ends = np.exp(rng.uniform(np.log(300), np.log(6500), 2))
        pitch = np.geomspace(*ends, length) if length > 1 else ends[:1]
        tone = np.sin(2 * np.pi * np.cumsum(pitch) / RATE) * np.hanning(length) * rng.uniform(0.3, 1.0)
        sound[at : at + length] += tone.astype(np.float32)
        at += length + int(rng.exponential(0.25) * RATE)
    return _unit(sound)


def applause(count: int, rng: np.random.Generator) -> np.ndarray:
    """Many hands or rain: noise in dense random bursts."""
    density = rng.uniform(20, 300) / RATE
    impulses = (rng.random(count) < density) * rng.exponential(1.0, count)
    tail = np.exp(-np.arange(400) / rng.uniform(30, 150)) * rng.standard_normal(400)
    size = next_fast_len(count + 400, real=True)
    return _unit(irfft(rfft(impulses.astype(np.float32), size) * rfft(tail.astype(np.float32), size), size)[:count])


def slow_gain(count: int, rng: np.random.Generator, low_db: float = -24.0) -> np.ndarray:
    """A level that wanders between ``low_db`` and 0 dB."""
    knots = int(rng.integers(2, 30))
    levels = 10.0 ** (rng.uniform(low_db, 0.0, knots) / 20.0)
    return np.interp(np.arange(count), np.linspace(0, count, knots), levels).astype(np.float32)


_KINDS = (
    (0.15, coloured_noise), (0.11, room_tone), (0.15, breath), (0.18, music), (0.12, plucked), (0.07, clicks),
    (0.10, chirps), (0.06, applause), (0.06, hum),
)  # fmt: skip


def non_speech(count: int, rng: np.random.Generator) -> np.ndarray:
    """One of the above by chance, half of the time over noise, peak 0.5."""
    weights = np.array([weight for weight, _ in _KINDS])
    sound = _KINDS[rng.choice(len(_KINDS), p=weights / weights.sum())][1](count, rng)
    if rng.random() < 0.4:
        sound = sound * slow_gain(count, rng)
    if rng.random() < 0.5:
        sound = sound + coloured_noise(count, rng) * np.float32(10 ** (-rng.uniform(5, 45) / 20))
    return (0.5 * sound / max(float(np.abs(sound).max()), 1e-6)).astype(np.float32)
