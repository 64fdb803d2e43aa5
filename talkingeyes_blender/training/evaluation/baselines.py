"""The baselines that need no training (TalkingEyes, Section V-B.2): Mean, Random and Similar Sample."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...errors import TalkingEyesError
from ...inference.mel_encoder import MelEncoder, MelEncoderConfig
from ..batches import statistics
from ..dataset import SAMPLES_PER_FRAME, Dataset
from .methods import Speech, Takes


class Mean:
    """The mean eye rotation of the training data, for every frame of any speech."""

    name = "Mean"

    def __init__(self, train: Dataset) -> None:
        self._mean = statistics(train, "eyes", sequences=len(train))[0].numpy()

    def takes(self, speech: Speech, seeds: Sequence[int], head: np.ndarray | None = None) -> Takes:
        return Takes(np.broadcast_to(self._mean, (len(seeds), speech.frames, 6)).copy())


class Random:
    """The gaze of a training recording drawn at random, from a random frame on."""

    name = "Random"

    def __init__(self, train: Dataset) -> None:
        self._train = train

    def takes(self, speech: Speech, seeds: Sequence[int], head: np.ndarray | None = None) -> Takes:
        made = []
        for seed in seeds:
            rng = speech.rng(seed, "random")
            made.append(_long_stretch(self._train, speech.frames, rng))
        return Takes(np.stack(made))


class SimilarSample:
    """The gaze that was recorded with the training speech that sounds most alike.

    The paper names neither the features nor what varies (its diversity is .062). Here speech is described by its
    log-mel spectrum at four frames a second, windows of the speech's length are compared by the mean squared
    difference, and a seed draws one of the ``nearest`` best recordings, each at its best place.
    """

    name = "Similar Sample"

    def __init__(self, train: Dataset, nearest: int = 3) -> None:
        self._train, self._nearest = train, nearest
        self._ears = MelEncoder(MelEncoderConfig(dim=8, bands=20, dilations=(1,), fine_dilations=(1,)))
        self._heard = [self._describe(train[i].samples) for i in range(len(train))]

    @torch.inference_mode()
    def _describe(self, samples: np.ndarray) -> np.ndarray:
        """(n, bands + 1) at 25/6 Hz."""
        whole = len(samples) // (6 * SAMPLES_PER_FRAME) * 6 * SAMPLES_PER_FRAME
        if not whole:
            return np.zeros((0, 21), np.float32)
        rows = self._ears.prepare(torch.from_numpy(np.asarray(samples[:whole], np.float32))[None])[0]
        return rows.unflatten(0, (-1, 24)).mean(1).numpy()

    def takes(self, speech: Speech, seeds: Sequence[int], head: np.ndarray | None = None) -> Takes:
        wanted = self._describe(speech.samples)
        best: list[tuple[float, int, int]] = []
        for index, heard in enumerate(self._heard):
            if not len(wanted) or len(heard) < len(wanted):
                continue
            windows = np.lib.stride_tricks.sliding_window_view(heard, len(wanted), axis=0)
            difference = np.square(windows.transpose(0, 2, 1) - wanted).mean((1, 2))
            best.append((float(difference.min()), index, int(difference.argmin())))
        best.sort()
        made: list[np.ndarray] = []
        stretches: dict[int, np.ndarray | None] = {}
        for seed in seeds:
            rank = int(speech.rng(seed, "similar").integers(max(1, min(self._nearest, len(best)))))
            for candidate in [rank, *range(len(best))]:
                if candidate not in stretches:
                    stretches[candidate] = self._stretch(best[candidate], speech.frames)
                if stretches[candidate] is not None:
                    made.append(stretches[candidate])
                    break
            else:
                raise TalkingEyesError(
                    f"No training recording is as long as the speech '{speech.id}'.", "Choose shorter clips."
                )
        return Takes(np.stack(made))

    def _stretch(self, found: tuple[float, int, int], frames: int) -> np.ndarray | None:
        _, index, step = found
        sequence = self._train[index]
        start = max(0, min(6 * step, sequence.frames - frames))
        if sequence.frames < frames or not sequence.valid[start : start + frames].all():
            return None
        return sequence.eyes[start : start + frames]


def _long_stretch(train: Dataset, frames: int, rng: np.random.Generator) -> np.ndarray:
    for _ in range(200):
        sequence = train[int(rng.integers(len(train)))]
        if sequence.frames >= frames:
            start = int(rng.integers(sequence.frames - frames + 1))
            if sequence.valid[start : start + frames].all():
                return sequence.eyes[start : start + frames]
    raise TalkingEyesError(f"Hardly any training recording has {frames} valid frames.", "Choose shorter clips.")
