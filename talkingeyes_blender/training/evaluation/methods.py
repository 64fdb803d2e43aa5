"""What is compared: one interface for ours and for every baseline, and the test clips that they are tried on."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ...errors import TalkingEyesError
from ..dataset import SAMPLES_PER_FRAME, Dataset, frame_count
from .windows import EDGE


@dataclasses.dataclass(frozen=True, eq=False)
class Speech:
    """All that a method may know of a test clip."""

    id: str
    samples: np.ndarray
    """(n,) float32 at 16 kHz."""

    @property
    def frames(self) -> int:
        return frame_count(len(self.samples))

    def rng(self, seed: int, purpose: str) -> np.random.Generator:
        """A source of chance of its own for each clip, seed and purpose."""
        digest = hashlib.blake2b(f"{self.id}|{seed}|{purpose}".encode(), digest_size=8).digest()
        return np.random.default_rng(int.from_bytes(digest, "big"))


@dataclasses.dataclass(frozen=True, eq=False)
class Takes:
    """K motions for one speech."""

    eyes: np.ndarray
    """(K, T, 6)."""
    head: np.ndarray | None = None
    """(K, T, 3), or None for a method that makes gaze alone."""


class Method(Protocol):
    """Speech, and the head where it is given, to motion for each seed."""

    name: str

    def takes(self, speech: Speech, seeds: Sequence[int], head: np.ndarray | None = None) -> Takes:
        """One take a seed. ``head`` (T, 3) is kept where it is given; else a method that needs one makes it."""


@dataclasses.dataclass(frozen=True, eq=False)
class TestClip:
    """A stretch of a test recording: the speech, and what was recorded with it."""

    speech: Speech
    subject: str
    head: np.ndarray
    """(T, 3) about the clip's mean."""
    eyes: np.ndarray
    """(T, 6)."""
    valid: np.ndarray

    __test__ = False  # not a test, whatever pytest thinks of its name


def test_clips(split: Dataset, count: int, frames: int) -> list[TestClip]:
    """Up to ``count`` clips of ``frames`` frames, one a recording, from recordings spread evenly over the split.

    The first second is left out, and so are recordings that are too short, lose the track for more than a tenth of the
    clip, or are known to hold no speech.
    """
    clips: list[TestClip] = []
    order = np.random.default_rng(0).permutation(len(split))
    for index in order:
        if len(clips) >= count:
            break
        sequence = split[int(index)]
        span = slice(EDGE, EDGE + frames)
        if sequence.frames < EDGE + frames or sequence.valid[span].mean() < 0.9:
            continue
        if sequence.speaking is not None and sequence.speaking[span].mean() < 0.2:
            continue
        samples = sequence.samples[EDGE * SAMPLES_PER_FRAME : (EDGE + frames) * SAMPLES_PER_FRAME]
        samples = np.pad(samples, (0, frames * SAMPLES_PER_FRAME - len(samples)))
        head, valid = sequence.head[span], sequence.valid[span]
        clips.append(
            TestClip(
                Speech(sequence.id, samples), sequence.subject, head - head[valid].mean(0), sequence.eyes[span], valid
            )
        )
    if len(clips) < 2:
        raise TalkingEyesError(
            f"The test split has fewer than two recordings of {(frames + EDGE) / 25:.0f} s of speech.",
            "Use a larger dataset, or shorter clips.",
        )
    return clips


test_clips.__test__ = False
