"""Random crops of a dataset as padded batches, decided by a random generator alone."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import TalkingEyesError
from .augment import Augmenter
from .dataset import RECORDED, SAMPLES_PER_FRAME, Dataset, Sequence, sequence_paths, sound_checksum

if TYPE_CHECKING:
    from .speech_cache import SpeechCache

MOTION = ("expression", "jaw", "head", "eyes")

Share = tuple[int, int]
"""Number of a part of a batch, and how many parts there are."""
WHOLE: Share = (0, 1)


class Chance:
    """Random numbers of which each sequence of a batch has its own, so that they do not depend on its neighbours."""

    def __init__(self, seeds: Tensor, salt: int = 0) -> None:
        self._generators = [torch.Generator().manual_seed(seed + salt) for seed in seeds.tolist()]

    def normal(self, *shape: int, like: Tensor) -> Tensor:
        return torch.stack([torch.randn(shape, generator=each) for each in self._generators]).to(like)

    def uniform(self, *shape: int, like: Tensor) -> Tensor:
        """(B, *shape) numbers from 0 to 1 in float32 on the device of ``like``."""
        return torch.stack([torch.rand(shape, generator=each) for each in self._generators]).to(like.device)


def fingerprint(dataset: Dataset) -> str:
    """A hash of what the sequences hold, from the checksums that their files carry: no file is read whole."""
    digest = hashlib.sha256(json.dumps([dataset.head_model, dataset.ids]).encode())
    for name in dataset.ids:
        npz, _ = sequence_paths(dataset.folder, name)
        digest.update(f"{name} {dataset.split_of(dataset.subject(name))}".encode())
        try:
            with zipfile.ZipFile(npz) as archive:
                digest.update(repr([(i.filename, i.CRC, i.file_size) for i in archive.infolist()]).encode())
            digest.update(sound_checksum(dataset.folder, name))
        except (OSError, zipfile.BadZipFile) as error:
            raise TalkingEyesError(f"Sequence '{name}' could not be read ({error}).", "See check-data.") from error
    return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True, eq=False)
class _Kept:
    samples: np.ndarray | None
    motion: dict[str, np.ndarray]
    valid: np.ndarray


class Crops:
    """Crops of ``frames`` frames from one split, each sequence as likely as another, as in the papers' epochs.

    ``recorded``, if not 0, is the share of crops that come from recordings of real voices among made ones.
    The sequences read last are kept in memory up to ``memory`` bytes, whatever the size of the corpus.
    """

    def __init__(
        self, dataset: Dataset, frames: int, *, sound: bool = True, augmenter: Augmenter | None = None,
        memory: float = 4e9, cache: SpeechCache | None = None, recorded: float = 0.0,
    ) -> None:  # fmt: skip
        if not len(dataset):
            raise TalkingEyesError(
                "A split of the dataset holds no sequences.",
                "It needs at least three subjects, or splits in dataset.json.",
            )
        if cache is not None and augmenter is not None:
            raise TalkingEyesError(
                "Speech features can be kept only of recordings that are heard as they are.", "Add --no-augment."
            )
        self.dataset, self.frames, self.augmenter, self.speech = dataset, frames, augmenter, cache
        self.sound = sound and cache is None
        self.subjects = sorted({dataset.subject(name) for name in dataset.ids})
        real = np.array([name.startswith(RECORDED) for name in dataset.ids])
        self._recorded, self._real, self._made = recorded, np.flatnonzero(real), np.flatnonzero(~real)
        self._memory, self._used = memory, 0
        self._cache: collections.OrderedDict[int, _Kept] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self.dataset)

    def draw(self, count: int, rng: np.random.Generator, share: Share = WHOLE) -> dict[str, Tensor]:
        """A batch, or the share of it that one process or one step of accumulation takes.

        'samples' (B, frames * 640) where sound is wanted, or 'prepared' (B, frames, C) where what the encoder's front
        end hears is kept, the motion's channels, 'present' (B, frames), False where a
        sequence is padded, 'valid', False there and where its track was lost, 'subject' (B,), the speaker's place in
        ``subjects``, and 'chance' (B,), a seed of each crop's own. A crop depends on its place in the whole batch
        alone, so a batch is the same however it is shared out.
        """
        if count % share[1]:
            raise TalkingEyesError(
                f"A batch of {count} cannot be parted into {share[1]} (processes times accumulation).",
                "Choose a batch that is a multiple of it.",
            )
        seeds = rng.integers(2**62, size=count).tolist()[share[0] :: share[1]]
        crops = [self._crop(np.random.default_rng(seed)) | {"chance": np.int64(seed)} for seed in seeds]
        return {name: torch.from_numpy(np.stack([crop[name] for crop in crops])) for name in crops[0]}

    def _crop(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        index = self._index(rng)
        kept = self._read(index)
        length = len(kept.valid)
        start = int(rng.integers(max(1, length - self.frames + 1)))
        span = slice(start, start + self.frames)
        crop = {name: _padded(array[span].astype(np.float32), self.frames) for name, array in kept.motion.items()}
        crop["valid"] = _padded(kept.valid[span], self.frames)
        crop["present"] = np.arange(self.frames) < length - start
        crop["subject"] = np.int64(self.subjects.index(self.dataset.subject(self.dataset.ids[index])))
        if self.sound:
            sound = kept.samples[start * SAMPLES_PER_FRAME : (start + self.frames) * SAMPLES_PER_FRAME]
            sound = _padded(sound.astype(np.float32) / 32768, self.frames * SAMPLES_PER_FRAME, hold=False)
            crop["samples"] = self.augmenter(sound, rng).astype(np.float32) if self.augmenter else sound
        if self.speech is not None:
            rows = self.speech.rows(self.dataset, self.dataset.ids[index])[span]
            crop["prepared"] = _padded(rows.astype(np.float32), self.frames)
        return crop

    def _index(self, rng: np.random.Generator) -> int:
        """Number of the sequence that a crop comes from."""
        if not self._recorded or not len(self._real) or not len(self._made):
            return int(rng.integers(len(self.dataset)))
        return int(rng.choice(self._real if rng.random() < self._recorded else self._made))

    def _read(self, index: int) -> _Kept:
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        kept = _keep(self.dataset.read(index, sound=self.sound), self.sound)
        self._cache[index] = kept
        self._used += _size(kept)
        while self._used > self._memory and len(self._cache) > 1:
            self._used -= _size(self._cache.popitem(last=False)[1])
        return kept


def _keep(sequence: Sequence, sound: bool) -> _Kept:
    samples = (sequence.samples * 32767).astype(np.int16) if sound else None
    # A lost track may hold anything, NaN too, and what has no weight in a loss must not be NaN either.
    held = np.maximum.accumulate(np.where(sequence.valid, np.arange(sequence.frames), -1))
    held[held < 0] = np.argmax(sequence.valid)
    motion = {name: getattr(sequence, name)[held] for name in MOTION}
    if not sequence.valid.any():
        motion = {name: np.zeros_like(array) for name, array in motion.items()}
    return _Kept(samples, motion, sequence.valid)


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
