"""What a voice goes through before a model hears it: rooms, microphones, noise, other voices, levels.

Works on the waveform only and never shifts it in time, so that labels stay true. Random sounds come from banks that
are made once: a clip of four seconds costs a few milliseconds.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from .sounds import RATE, coloured_noise, music, non_speech, slow_gain

_EQ_KNOTS = np.log(np.array([50.0, 150.0, 500.0, 1500.0, 3500.0, 8000.0]))


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Chances and ranges; levels are decibels below the clip's own RMS."""

    equalise: float = 0.75
    equalise_db: float = 4.5
    low_pass: float = 0.2
    high_pass: float = 0.15
    reverb: float = 0.5
    reverb_seconds: tuple[float, float] = (0.06, 0.6)
    noise: float = 0.85
    noise_db: tuple[float, float] = (4.0, 45.0)
    babble: float = 0.15
    music: float = 0.10
    interference_db: tuple[float, float] = (8.0, 28.0)
    clip: float = 0.08
    quantise: float = 0.05
    gain_db: tuple[float, float] = (-25.0, 6.0)
    bank_seconds: float = 4.0
    noise_bank: int = 160
    non_speech_bank: int = 240
    music_bank: int = 60
    room_bank: int = 96


class Augmenter:
    """Banks of disturbing sounds, and the function that lays them over a clip.

    ``voices`` are clips of speech (float32, 16 kHz) from which babble is mixed; without them there is none. The same
    ``seed`` makes the same banks; every call draws from the generator it is given.
    """

    def __init__(self, seed: int, voices: Sequence[np.ndarray] = (), config: AugmentConfig | None = None) -> None:
        self.config = config = config or AugmentConfig()
        rng = np.random.default_rng([seed, 0xA06])
        size = int(config.bank_seconds * RATE)
        self._noise = [coloured_noise(size, rng) for _ in range(config.noise_bank)]
        self._non_speech = [non_speech(size, rng) for _ in range(config.non_speech_bank)]
        self._music = [music(size, rng) for _ in range(config.music_bank)]
        self._rooms = [_room(rng, config.reverb_seconds) for _ in range(config.room_bank)]
        self._babble = [_babble(size, voices, rng) for _ in range(40)] if len(voices) >= 4 else []

    def non_speech(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count,) float32, peak about 0.5: a sound at which the mouth stays at rest."""
        return _draw(self._non_speech, count, rng)

    def __call__(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(N,) float32 in, (N,) float32 out, same timing."""
        config = self.config
        samples = self._filtered(np.asarray(samples, np.float32), rng)
        count = len(samples)
        level = float(np.sqrt(np.mean(np.square(samples)))) + 1e-4
        if rng.random() < config.noise:
            noise = _draw(self._noise, count, rng) * np.float32(level * _decibels(rng, config.noise_db))
            samples = samples + (noise * slow_gain(count, rng) if rng.random() < 0.3 else noise)
        for chance, bank in ((config.babble, self._babble), (config.music, self._music)):
            if bank and rng.random() < chance:
                samples = samples + _draw(bank, count, rng) * np.float32(level * _decibels(rng, config.interference_db))
        if rng.random() < config.clip:
            limit = max(float(np.abs(samples).max()), 1e-6) * rng.uniform(0.2, 0.7)
            samples = np.clip(samples, -limit, limit)
        if rng.random() < config.quantise:
            step = max(float(np.abs(samples).max()), 1e-6) / 2.0 ** rng.uniform(5, 8)
            samples = np.round(samples / step) * step
        return (samples * 10.0 ** (rng.uniform(*config.gain_db) / 20.0)).astype(np.float32)

    def _filtered(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Equaliser, low and high pass and a room, in one multiplication of spectra."""
        config = self.config
        room = self._rooms[rng.integers(len(self._rooms))] if rng.random() < config.reverb else None
        count = len(samples)
        size = next_fast_len(count + (len(room) if room is not None else 4096), real=True)
        frequency = np.fft.rfftfreq(size, 1 / RATE).astype(np.float32)
        gain = np.ones_like(frequency)
        if rng.random() < config.equalise:
            curve = rng.normal(0.0, config.equalise_db, len(_EQ_KNOTS))
            gain *= 10.0 ** (np.interp(np.log(frequency + 1.0), _EQ_KNOTS, curve).astype(np.float32) / 20.0)
        if rng.random() < config.low_pass:
            gain /= 1.0 + (frequency / rng.uniform(2800, 5000)) ** 8
        if rng.random() < config.high_pass:
            gain *= 1.0 - 1.0 / (1.0 + (frequency / rng.uniform(100, 350)) ** 6)
        spectrum = rfft(samples, size) * gain
        if room is not None:
            spectrum *= rfft(room, size)
        return irfft(spectrum, size)[:count].astype(np.float32)


def _decibels(rng: np.random.Generator, below: tuple[float, float]) -> float:
    return float(10.0 ** (-rng.uniform(*below) / 20.0))


def _draw(bank: list[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """A bank's sound from a random place, repeated as long as needed."""
    sound = bank[rng.integers(len(bank))]
    start = int(rng.integers(len(sound)))
    return np.resize(np.concatenate([sound[start:], sound[:start]]), count)


def _room(rng: np.random.Generator, seconds: tuple[float, float]) -> np.ndarray:
    """Impulse response: the direct sound at 0, then decaying noise after a short gap."""
    length = int(RATE * rng.uniform(*seconds))
    tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail[: rng.integers(1, 200)] = 0.0
    tail *= rng.uniform(0.1, 0.9) / np.sqrt(np.sum(tail**2) + 1e-12)
    tail[0] = 1.0
    return tail.astype(np.float32)


def _babble(count: int, voices: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    mix = np.zeros(count, np.float32)
    for _ in range(rng.integers(1, 6)):
        voice = np.asarray(voices[rng.integers(len(voices))], np.float32)
        voice = np.roll(np.resize(voice, count), rng.integers(count))
        mix += voice / (voice.std() + 1e-4)
    return mix / (mix.std() + 1e-6)
