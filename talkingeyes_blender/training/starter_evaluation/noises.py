"""What is no speech must leave the mouth at rest: jaw on noises, as shares of its 95th percentile on speech."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...inference.audio import AudioClip
from ...inference.generator import Generator
from ...inference.speech_encoder import RATE
from .. import sounds
from ..corpus.build import _babble
from ..corpus.voices import available_voices
from .mouth import Viewer

_SEED = 90_001
"""Far from the seeds of training's own noises."""
Sound = Callable[[int, np.random.Generator], np.ndarray]

STEADY: dict[str, Sound] = {
    "white": lambda n, rng: sounds.coloured_noise(n, rng, 0.0),
    "pink": lambda n, rng: sounds.coloured_noise(n, rng, 0.5),
    "brown": lambda n, rng: sounds.coloured_noise(n, rng, 1.0),
    "hum": sounds.hum,
    "room tone": sounds.room_tone,
    "breath": sounds.breath,
    "applause": sounds.applause,
}
TONAL: dict[str, Sound] = {"music": sounds.music, "chirps": sounds.chirps, "plucked strings": sounds.plucked}


def _many_voices(count: int, rng: np.random.Generator) -> np.ndarray:
    return _babble(count, available_voices(), rng)


def table(generator: Generator, viewer: Viewer, loud: float, clips: int = 5, seconds: float = 8.0) -> dict:
    """(mean, 95th percentile) of the jaw by kind of sound, as shares of ``loud`` degrees; clips at several levels."""
    result = {}
    for name, make in {**STEADY, "babble": _many_voices, **TONAL}.items():
        jaws = []
        for index in range(clips):
            rng = np.random.default_rng([_SEED, index])
            sound = make(int(seconds * RATE), rng)
            level = 10 ** (-[6.0, 12.0, 20.0, 30.0, 40.0][index % 5] / 20)
            sound = (level * sound / max(float(np.abs(sound).max()), 1e-6)).astype(np.float32)
            face = generator.face(AudioClip(sound))
            jaws.append(np.maximum(viewer(face[:, :-3], face[:, -3:]).jaw, 0))
        jaw = np.concatenate(jaws) / loud
        result[name] = (float(jaw.mean()), float(np.percentile(jaw, 95)))
    return result
