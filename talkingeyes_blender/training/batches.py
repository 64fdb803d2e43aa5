"""Random crops of a dataset as padded batches, decided by a random generator alone."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections
import dataclasses

import numpy as np
import torch
from torch import Tensor

from ..errors import TalkingEyesError
from .augment import Augmenter
from .dataset import SAMPLES_PER_FRAME, Dataset, Sequence

MOTION = ("expression", "jaw", "head", "eyes")


@dataclasses.dataclass(frozen=True, eq=False)
class _Kept:
    samples: np.ndarray | None
    motion: dict[str, np.ndarray]
    valid: np.ndarray


class Crops:
    """Crops of ``frames`` frames from one split, sequences drawn by their length.

    The sequences read last are kept in memory up to ``memory`` bytes, whatever the size of the corpus.
    """

    def __init__(
        self, dataset: Dataset, frames: int, *, sound: bool = True, augmenter: Augmenter | None = None,
        memory: float = 2e9,
    ) -> None:  # fmt: skip
        if not len(dataset):
            raise TalkingEyesError(
                "A split of the dataset holds no sequences.",
                "It needs at least three subjects, or splits in dataset.json.",
            )
        self.dataset, self.frames, self.sound, self.augmenter = dataset, frames, sound, augmenter
        self._memory, self._used = memory, 0
        self._cache: collections.OrderedDict[int, _Kept] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self.dataset)

    def draw(self, count: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """A batch: 'samples' (B, frames * 640) where sound is wanted, the motion's channels and 'valid' (B, frames)."""
        crops = [self._crop(rng) for _ in range(count)]
        return {name: torch.from_numpy(np.stack([crop[name] for crop in crops])) for name in crops[0]}

    def _crop(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        kept = self._read(int(rng.integers(len(self.dataset))))
        length = len(kept.valid)
        start = int(rng.integers(max(1, length - self.frames + 1)))
        span = slice(start, start + self.frames)
        crop = {name: _padded(array[span].astype(np.float32), self.frames) for name, array in kept.motion.items()}
        crop["valid"] = _padded(kept.valid[span], self.frames)
        if self.sound:
            sound = kept.samples[start * SAMPLES_PER_FRAME : (start + self.frames) * SAMPLES_PER_FRAME]
            sound = _padded(sound.astype(np.float32) / 32768, self.frames * SAMPLES_PER_FRAME, hold=False)
            crop["samples"] = self.augmenter(sound, rng).astype(np.float32) if self.augmenter else sound
        return crop

    def _read(self, index: int) -> _Kept:
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        kept = _keep(self.dataset[index], self.sound)
        self._cache[index] = kept
        self._used += _size(kept)
        while self._used > self._memory and len(self._cache) > 1:
            self._used -= _size(self._cache.popitem(last=False)[1])
        return kept


def _keep(sequence: Sequence, sound: bool) -> _Kept:
    samples = (sequence.samples * 32767).astype(np.int16) if sound else None
    return _Kept(samples, {name: getattr(sequence, name) for name in MOTION}, sequence.valid)


def _size(kept: _Kept) -> int:
    samples = 0 if kept.samples is None else kept.samples.nbytes
    return samples + sum(array.nbytes for array in kept.motion.values())


def _padded(array: np.ndarray, length: int, hold: bool = True) -> np.ndarray:
    """Bring the first axis to ``length``: with the last value (motion), or with zeros (sound, masks)."""
    missing = length - len(array)
    if missing <= 0:
        return array
    if hold and array.dtype != bool:
        return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])


def statistics(dataset: Dataset, channel: str, sequences: int = 300) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (D,) of a channel over evenly chosen sequences of a dataset.

    The deviation has a floor of a thousandth of the largest, so that a coefficient that never moves does no harm.
    """
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(sequences, len(dataset))).astype(int))
    total, square, count = 0.0, 0.0, 0
    for index in chosen:
        sequence = dataset[int(index)]
        values = getattr(sequence, channel)[sequence.valid].astype(np.float64)
        total, square, count = total + values.sum(0), square + np.square(values).sum(0), count + len(values)
    if not count:
        raise TalkingEyesError("The dataset has no valid frames.", "Look at it with check-data.")
    mean = total / count
    deviation = np.sqrt(np.maximum(square / count - mean**2, 0))
    if not deviation.max() > 0:
        raise TalkingEyesError(f"The channel '{channel}' never moves in this dataset.", "There is nothing to learn.")
    deviation = np.maximum(deviation, deviation.max() * 1e-3)
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(deviation, dtype=torch.float32)
