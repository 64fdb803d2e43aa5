"""Windows of speech with their motion: what the correlation network is trained on and tried on."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator

import numpy as np

from ...errors import TalkingEyesError
from ..dataset import SAMPLES_PER_FRAME, Dataset, Sequence

EDGE = 25
"""Frames at a recording's ends that no window holds. A recording begins in silence with the eyes at rest, and ends so:
a network that sees ends need not look at what is between them."""


class Decoupled:
    """A split in which each sequence has the head and the eyes of another: motion that owes nothing to the speech.

    The correlation network must find nothing in it. Only what ``Recordings`` asks of a dataset is offered.
    """

    def __init__(self, dataset: Dataset, seed: int = 0) -> None:
        if len(dataset) < 2:
            raise TalkingEyesError("A split of one sequence cannot be decoupled.", "Use a larger dataset.")
        self._dataset = dataset
        order = np.random.default_rng(seed).permutation(len(dataset))
        self._other = np.empty(len(dataset), int)
        self._other[order] = np.roll(order, 1)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sequence:
        own, other = self._dataset[index], self._dataset[int(self._other[index])]
        frames = min(own.frames, other.frames)
        cut = {
            name: getattr(own, name)[:frames]
            for name in ("expression", "jaw", "blink", "speaking")
            if getattr(own, name) is not None
        }
        return dataclasses.replace(
            own,
            **cut,
            head=other.head[:frames],
            eyes=other.eyes[:frames],
            valid=own.valid[:frames] & other.valid[:frames],
            samples=own.samples[: frames * SAMPLES_PER_FRAME],
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """One sequence, as little of it as is needed."""

    id: str
    samples: np.ndarray
    """(n,) int16."""
    motion: np.ndarray
    """(T, D) of the channel that is looked at."""
    starts: np.ndarray
    """First frames of the windows that are valid throughout and hold no end of the recording."""


class Recordings:
    """The sequences of a split, read when needed; those read last stay in memory up to ``memory`` bytes."""

    def __init__(self, dataset: Dataset | Decoupled, channel: str, frames: int, *, memory: float = 1.5e9) -> None:
        self.dataset, self.channel, self.frames = dataset, channel, frames
        self._memory, self._used = memory, 0
        self._kept: collections.OrderedDict[int, Recording] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Recording:
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        sequence = self.dataset[index]
        kept = Recording(
            sequence.id,
            (np.clip(sequence.samples, -1, 1) * 32767).astype(np.int16),
            getattr(sequence, self.channel),
            _usable_starts(sequence, self.frames),
        )
        self._kept[index] = kept
        self._used += kept.samples.nbytes + kept.motion.nbytes
        while self._used > self._memory and len(self._kept) > 1:
            gone = self._kept.popitem(last=False)[1]
            self._used -= gone.samples.nbytes + gone.motion.nbytes
        return kept

    def window(self, recording: Recording, start: int) -> tuple[np.ndarray, np.ndarray]:
        """(frames * 640,) float32 samples and (frames, D) motion from frame ``start`` on."""
        first, last = start * SAMPLES_PER_FRAME, (start + self.frames) * SAMPLES_PER_FRAME
        sound = recording.samples[first:last].astype(np.float32) / 32768
        sound = np.pad(sound, (0, last - first - len(sound)))
        return sound, recording.motion[start : start + self.frames].astype(np.float32)

    def apart(self, gap: int) -> Iterator[tuple[int, list[int]]]:
        """Recording by recording, its number and window starts ``gap`` frames apart: the same each time."""
        for index in range(len(self)):
            starts, chosen = self[index].starts, []
            for start in starts:
                if not chosen or start >= chosen[-1] + gap:
                    chosen.append(int(start))
            yield index, chosen


def _usable_starts(sequence: Sequence, frames: int) -> np.ndarray:
    whole = np.concatenate([[0], np.cumsum(~sequence.valid)])
    starts = np.arange(EDGE, sequence.frames - EDGE - frames + 1)
    if not len(starts):
        return starts
    return starts[whole[starts + frames] == whole[starts]]
