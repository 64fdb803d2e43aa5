"""What the corpus' speech programs are asked for and give back: a voice, its delivery, sounds with their times."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np

RATE = 16000


@dataclasses.dataclass(frozen=True)
class Phone:
    """A sound of speech, in seconds."""

    start: float
    end: float
    name: str


@dataclasses.dataclass(frozen=True, eq=False)
class Utterance:
    samples: np.ndarray
    """(N,) float32 at 16 kHz, peak 0.5."""
    phones: tuple[Phone, ...]


@dataclasses.dataclass(frozen=True)
class Delivery:
    """How one speaker of a sequence talks."""

    speed: float = 1.0
    """1 is the voice's own tempo, 2 twice as fast."""
    pitch: float = 1.0
    """Factor on the voice's own mean F0, where the program lets it be set (not rms, nor those of HTS)."""
    liveliness: float = 1.0
    """Factor on the spread of F0."""
    warp: float = 1.0
    """Factor on all resonances (and F0), by resampling; tempo is kept."""


@dataclasses.dataclass(frozen=True)
class Voice:
    """Somebody who speaks in the corpus, and the program that makes them."""

    program: str
    name: str
    """What the program calls it; for espeak-ng ``language+variant``."""
    language: str
    alphabet: str
    mean_f0: float = 120.0

    @property
    def subject(self) -> str:
        return f"{self.program}:{self.name}"
