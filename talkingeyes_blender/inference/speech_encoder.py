"""What every speech encoder offers: features at the motion's frame rate, for clips of any length."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import abc
from collections.abc import Callable

import torch
from torch import Tensor, nn

RATE = 16000
"""Samples a second that the encoders take."""

FRAME = 640
"""Samples a motion frame: 16 000 / 25."""


def frame_count(samples: int) -> int:
    """Motion frames that a clip of so many samples has: frame t is the pose at t / 25 s."""
    return max(1, -(-samples // FRAME))


class SpeechEncoder(nn.Module, abc.ABC):
    """Speech to features A (B, T, ``feature_dim``), one a motion frame."""

    feature_dim: int
    window: int
    """Frames that are encoded at a time, at most."""
    margin: int
    """Frames on each side of a window that are encoded with it and then dropped."""
    precision: torch.dtype = torch.float32
    """In which ``encode`` takes products; what comes out is float32."""

    @abc.abstractmethod
    def prepare(self, samples: Tensor) -> Tensor:
        """What depends on the whole clip: (B, T * 640) samples to the (B, rows, ...) input of ``features``.

        Rows are a whole number a frame. Levels are measured here, once, so that windows agree with the whole clip.
        """

    @abc.abstractmethod
    def features(self, prepared: Tensor) -> Tensor:
        """Prepared rows of T frames to (B, T, feature_dim)."""

    def forward(self, samples: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, n) samples at 16 kHz to (B, ceil(n / 640), feature_dim).

        ``present`` (B, T) bool marks the frames that a clip has in a padded batch, its first ones. Each clip is then
        encoded at its own length, since levels are measured over the clip, and padded with zeros: so padding changes
        nothing, whatever the encoder.
        """
        frames = frame_count(samples.shape[1])
        padded = nn.functional.pad(samples, (0, frames * FRAME - samples.shape[1]))
        return self._each_at_its_length(padded, FRAME, present, lambda part: self.features(self.prepare(part)))

    def forward_prepared(self, prepared: Tensor, present: Tensor | None = None) -> Tensor:
        """``features`` of rows (B, T * rows a frame, ...) that ``prepare`` made of whole clips."""
        frames = prepared.shape[1] if present is None else present.shape[1]
        return self._each_at_its_length(prepared, prepared.shape[1] // frames, present, self.features)

    def _each_at_its_length(
        self, inputs: Tensor, unit: int, present: Tensor | None, encode: Callable[[Tensor], Tensor]
    ) -> Tensor:
        if present is None or present.all():
            return encode(inputs)
        lengths = present.sum(1)
        out = inputs.new_zeros(*present.shape, self.feature_dim)
        for length in lengths.unique().tolist():
            if length:
                rows = lengths == length
                out[rows, :length] = encode(inputs[rows, : length * unit]).to(out.dtype)
        return out

    @torch.inference_mode()
    def encode(self, samples: Tensor, tick: Callable[[int], None] | None = None) -> Tensor:
        """(n,) samples to (1, T, feature_dim), in windows, so that memory and cost a second do not grow."""
        with torch.autocast(samples.device.type, self.precision, enabled=self.precision != torch.float32):
            return self._encode(samples, tick).float()

    def _encode(self, samples: Tensor, tick: Callable[[int], None] | None) -> Tensor:
        frames = frame_count(len(samples))
        prepared = self.prepare(nn.functional.pad(samples, (0, frames * FRAME - len(samples)))[None])
        rows = prepared.shape[1] // frames
        if frames <= self.window + 2 * self.margin:
            out = self.features(prepared)
            if tick:
                tick(frames)
            return out
        pieces = []
        count = -(-frames // self.window)  # of about the same length: a short last one would hear little around it
        for number in range(count):
            first, last = frames * number // count, frames * (number + 1) // count
            low, high = max(0, first - self.margin), min(frames, last + self.margin)
            pieces.append(self.features(prepared[:, low * rows : high * rows])[:, first - low : last - low])
            if tick:
                tick(last)
        return torch.cat(pieces, dim=1)
