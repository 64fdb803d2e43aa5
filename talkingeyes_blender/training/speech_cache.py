"""Speech features kept on disk: what a frozen front end hears in each recording, worked out once.

wav2vec 2.0's convolutions are frozen in training and are the larger part of its cost. What they make of a recording
depends on its sound and their weights alone, so it is kept by a hash of both, 16 bits a number (92 MB an hour at 512
channels), and read by the crop: memory does not grow with the corpus. Levels are then those of the whole recording, as
when motion is generated. Recordings that are altered at random for each crop cannot be kept.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import TalkingEyesError
from ..files import write_whole
from ..inference.speech_encoder import SpeechEncoder
from ..inference.wav2vec2_encoder import Wav2Vec2Encoder
from .config import FROZEN
from .dataset import SAMPLES_PER_FRAME, Dataset, Sequence, sequence_paths, sound_checksum

log = logging.getLogger(__name__)

FRONT_END = FROZEN[0] + "."
"""The parameters that the kept features depend on."""


class SpeechCache:
    """Rows (T, C) of ``SpeechEncoder.prepare``, one a motion frame, by sequence, in a folder that runs may share."""

    def __init__(self, folder: Path, encoder: SpeechEncoder, frozen: tuple[str, ...]) -> None:
        """
        Raises:
            TalkingEyesError: the encoder's front end is trained, so that what it makes of a sound changes.
        """
        if not isinstance(encoder, Wav2Vec2Encoder) or not set(frozen) & {FROZEN[0], "model"}:
            raise TalkingEyesError(
                "Only a frozen wav2vec 2.0 front end makes features that can be kept.",
                "Name one with --encoder, or leave --cache-features out.",
            )
        digest = hashlib.sha256()
        for name, value in encoder.state_dict().items():
            if name.startswith(FRONT_END):
                digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        self._weights, self._folder = digest.hexdigest()[:16], Path(folder)
        self._encoder = encoder
        self._paths: dict[tuple[Path, str], Path] = {}
        """Asked for at each crop; a sound does not change while it is learned from."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TalkingEyesError(
                f"{folder} cannot be written to ({error.strerror}).", "Choose another folder for the features."
            ) from error

    def fill(self, dataset: Dataset, tick: Callable[[int], None] | None = None) -> None:
        """Work out what is missing of a dataset, recording by recording; a stopped run goes on where it was."""
        for index, name in enumerate(dataset.ids):
            path = self.path(dataset, name)
            if not path.exists():
                self._write(path, self._rows(dataset[index]))
            if tick:
                tick(index + 1)

    def rows(self, dataset: Dataset, name: str) -> np.ndarray:
        """(T, C) float16 of one sequence, mapped from disk."""
        path = self.path(dataset, name)
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise TalkingEyesError(
                f"The speech features of '{name}' could not be read ({error}).", f"Delete {path}; it is made again."
            ) from error

    def path(self, dataset: Dataset, name: str) -> Path:
        """Where a sequence's rows are kept: by the sound's own checksum, which its file carries, and the weights."""
        key = (dataset.folder, name)
        if key not in self._paths:
            try:
                header = sound_checksum(dataset.folder, name)
            except OSError as error:
                flac = sequence_paths(dataset.folder, name)[1]
                raise TalkingEyesError(f"{flac} could not be read ({error.strerror}).", "See check-data.") from error
            self._paths[key] = self._folder / f"{hashlib.sha256(header).hexdigest()[:24]}-{self._weights}.npy"
        return self._paths[key]

    @torch.no_grad()
    def _rows(self, sequence: Sequence) -> np.ndarray:
        samples = torch.from_numpy(sequence.samples)
        wanted = sequence.frames * SAMPLES_PER_FRAME
        samples = torch.nn.functional.pad(samples, (0, max(0, wanted - len(samples))))[:wanted]
        device = next(self._encoder.parameters()).device
        rows = self._encoder.prepare(samples[None].to(device))[0]
        return rows.cpu().numpy().astype(np.float16)

    @staticmethod
    def _write(path: Path, rows: np.ndarray) -> None:
        payload = io.BytesIO()
        np.save(payload, rows, allow_pickle=False)
        try:
            write_whole(path, payload.getvalue())
        except OSError as error:
            raise TalkingEyesError(
                f"The speech features could not be written to {path.parent} ({error.strerror}).",
                "Make room on the disk.",
            ) from error


def hear(encoder: SpeechEncoder, batch: dict[str, Tensor]) -> Tensor:
    """(B, T, S) features of a batch's 'samples', or of its 'prepared' rows where those were kept."""
    if "prepared" in batch:
        return encoder.forward_prepared(batch["prepared"], batch["present"])
    return encoder(batch["samples"], batch["present"])
