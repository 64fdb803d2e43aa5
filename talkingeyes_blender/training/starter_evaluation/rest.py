"""Sounds that nobody says: noise, hum, breath, music. The jaw and the lips should stay at rest.

Each is made anew from seeds that no training uses; hum, babble and plucked strings by other means than the training's.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from scipy.signal import lfilter

from ...inference.audio import AudioClip
from ...inference.generator import Generator
from .. import sounds
from ..corpus import voices
from ..corpus.texts import draw_text
from ..corpus.voices import available_voices, is_held_out
from . import figures
from .mouth import Viewer

RATE = sounds.RATE
SECONDS = 10.0
LEVEL = -26.0
"""dBFS RMS, that of speech in a normal recording."""
NOISE = ("white", "pink", "brown", "hum", "room tone", "breath", "applause", "babble")
MUSIC = ("music", "chirps", "plucked strings")


def hum(count: int, rng: np.random.Generator) -> np.ndarray:
    """Mains and its harmonics, buzzing, over a little noise."""
    time = np.arange(count) / RATE
    mains = float(rng.choice([50.0, 60.0]))
    tone = sum(rng.uniform(0.2, 1.0) / k * np.sin(2 * np.pi * (k * mains * time + rng.random())) for k in range(1, 12))
    return tone + 0.01 * rng.standard_normal(count)


def plucked(count: int, rng: np.random.Generator) -> np.ndarray:
    """Strings plucked one after another (Karplus and Strong, 1983: a burst of noise in an averaging loop)."""
    sound = np.zeros(count)
    at = 0
    while at < count:
        length = min(int(rng.uniform(0.6, 2.0) * RATE), count - at)
        period = int(RATE / (82.0 * 2.0 ** (rng.integers(0, 36) / 12.0)))
        burst = np.zeros(length)
        burst[: min(period, length)] = rng.uniform(-1, 1, min(period, length))
        loop = np.zeros(period + 2)
        loop[0], loop[period], loop[period + 1] = 1.0, -0.498, -0.498
        sound[at : at + length] += lfilter([1.0], loop, burst)
        at += int(rng.uniform(0.15, 0.8) * RATE)
    return sound


def babble(count: int, rng: np.random.Generator) -> np.ndarray:
    """Eight held-out voices at once; white noise if none is installed."""
    held = [voice for voice, _ in available_voices() if is_held_out(voice)]
    mix = np.zeros(count)
    for number in range(8 if held else 0):
        voice = held[int(rng.integers(len(held)))]
        delivery = voices.Delivery(pitch=float(rng.uniform(0.8, 1.3)), warp=float(rng.uniform(0.85, 1.18)))
        spoken = voices.speak(voice, [draw_text(voice.language, rng) for _ in range(4)], delivery)
        if spoken:
            words = np.concatenate([utterance.samples for utterance in spoken])
            mix += np.roll(np.resize(words / np.sqrt(np.mean(words**2)), count), int(rng.integers(count)) + number)
    return mix if mix.any() else rng.standard_normal(count)


_MAKERS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "white": lambda n, rng: sounds.coloured_noise(n, rng, 0.0),
    "pink": lambda n, rng: sounds.coloured_noise(n, rng, 0.5),
    "brown": lambda n, rng: sounds.coloured_noise(n, rng, 1.0),
    "hum": hum, "room tone": sounds.room_tone, "breath": sounds.breath, "applause": sounds.applause,
    "babble": babble, "music": sounds.music, "chirps": sounds.chirps, "plucked strings": plucked,
}  # fmt: skip


def make(kind: str, index: int) -> AudioClip:
    """One sound of a kind, the same each time."""
    rng = np.random.default_rng([0x5EED, zlib.crc32(kind.encode()), index])
    sound = np.asarray(_MAKERS[kind](int(SECONDS * RATE), rng), np.float64)
    level = -45.0 if kind == "room tone" else LEVEL
    sound *= 10 ** (level / 20) / max(np.sqrt(np.mean(sound**2)), 1e-9)
    return AudioClip(np.clip(sound, -1, 1).astype(np.float32))


def table(generator: Generator, viewer: Viewer, full: float, draws: int = 3) -> dict:
    """By kind: the jaw's mean and 95th percentile as shares of ``full`` degrees, and the gap of the lips in mm.

    ``full`` is the 95th percentile of the jaw on speech. Two groups, 'noise' and 'music', have the mean over theirs.
    """
    result: dict[str, dict] = {}
    for kind in (*NOISE, *MUSIC):
        jaws, gaps = [], []
        for index in range(draws):
            face = generator.face(make(kind, index))
            mouth = viewer(face[:, :-3], face[:, -3:])
            jaws.append(np.maximum(mouth.jaw, 0) / full)
            gaps.append(mouth.gap)
        result[kind] = {
            "jaw, mean": figures.bootstrap(jaws, lambda some: float(np.mean(np.concatenate(some)))),
            "jaw, 95 %": figures.bootstrap(jaws, lambda some: float(np.percentile(np.concatenate(some), 95))),
            "gap, mm": figures.bootstrap(gaps, lambda some: float(np.mean(np.concatenate(some)))),
        }
    for name, kinds in (("noise", [k for k in NOISE if k != "babble"]), ("music", MUSIC)):
        values = [result[kind]["jaw, mean"].value for kind in kinds]
        result[f"worst of {name}"] = {"jaw, mean": max(values), "kind": kinds[int(np.argmax(values))]}
    return result
