"""The face decoder: expression and jaw from speech and its own past, Learn2Talk's student (Eqs. 1 and 2)."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from . import stepping
from .transformer import CausalTransformer


@dataclasses.dataclass(frozen=True)
class FaceDecoderConfig:
    speech_dim: int = 256
    expressions: int = 41
    """E, the width of the head model's expression basis; the jaw's 3 are added."""
    styles: int = 1
    """Speakers whose manner the basis B of Eq. 1 spans."""
    dim: int = 128
    layers: int = 1
    heads: int = 4
    hidden: int = 256
    window: int = 250
    """Frames of its own past that the decoder attends to: 10 s."""
    radius: int = 2
    """Frames of speech to each side of a frame that it attends to; 0 is FaceFormer's alignment mask."""
    dropout: float = 0.1
    shut: int = 0
    """Width of the part that says from speech alone whether the lips are shut; 0 has none, as in the papers."""


class FaceDecoder(nn.Module):
    """D_cross-modal of Learn2Talk on FLAME coefficients. Motion is (B, T, E + 3): expression, then jaw in radians."""

    def __init__(self, config: FaceDecoderConfig = FaceDecoderConfig()) -> None:
        super().__init__()
        self.config = c = config
        width = c.expressions + 3
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.embed_past_motion = nn.Linear(width, c.dim)
        self.style = nn.Linear(c.styles, c.dim, bias=False)
        """B of Eq. 1."""
        self.embed_speech = nn.Linear(c.speech_dim, c.dim)
        self.stack = CausalTransformer(
            c.dim, c.layers, c.heads, c.hidden, c.window, dropout=c.dropout, memory_dim=c.dim, radius=c.radius
        )
        self.out = nn.Linear(c.dim, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        if c.shut:
            self.shut = nn.Sequential(nn.Linear(c.speech_dim, c.shut), nn.GELU(), nn.Linear(c.shut, 1))

    def lips_shut(self, speech: Tensor) -> Tensor:
        """Logits (B, T) of the lips being shut, from speech (B, T, S). Ours.

        A regression hedges: where a /p/ is uncertain it leaves the lips ajar, which is right for no sound. Whether they
        are shut is a yes or a no, and is decided as one.
        """
        return self.shut(speech)[..., 0]

    def set_statistics(self, mean: Tensor, scale: Tensor) -> None:
        """Mean and standard deviation (E + 3,) of the training motion, by which motion is normalised inside."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def style_of(self, style: Tensor) -> Tensor:
        """B s / |s|_1 of Eq. 1: (B, styles) to (B, 1, dim)."""
        return self.style(style / style.abs().sum(-1, keepdim=True).clamp_min(1e-8))[:, None]

    def embed(self, motion: Tensor, style: Tensor) -> Tensor:
        """Eq. 1 for the frames before: (B, n, E + 3) and the style's embedding (B, 1, dim) to (B, n, dim)."""
        return self.embed_past_motion((motion - self.mean) / self.scale) + style

    def forward(self, speech: Tensor, style: Tensor, past: Tensor, present: Tensor | None = None) -> Tensor:
        """Eq. 2 with the past given: speech (B, T, S), style (B, styles), motion (B, T, E + 3) to (B, T, E + 3).

        ``present`` (B, T) is False where a sequence is padded.
        """
        remembered = self.stack.remember(self.embed_speech(speech))
        style = self.style_of(style)
        before = torch.cat([style, self.embed(past[:, :-1], style)], dim=1)
        return self.out(self.stack(before, remembered, present=present)) * self.scale + self.mean

    @torch.inference_mode()
    def generate(
        self,
        speech: Tensor,
        style: Tensor | None = None,
        block: int = 500,
        tick: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Eq. 2 frame by frame, with a cache: (B, T, E + 3). ``style`` (B, styles) defaults to the mean speaker."""
        frames, radius = speech.shape[1], self.config.radius
        steps = FaceSteps(self, len(speech), style)
        out = speech.new_empty(len(speech), frames, self.config.expressions + 3)
        for first in range(0, frames, block):
            last = min(frames, first + block)
            low = max(0, first - radius)
            out[:, first:last] = steps(speech[:, low : last + radius], first - low, last - first)
            if tick:
                tick(last)
        return out


class FaceSteps:
    """Eq. 2 for the next frames of ``batch`` clips side by side, from their first frame on."""

    @torch.inference_mode()
    def __init__(self, decoder: FaceDecoder, batch: int, style: Tensor | None = None) -> None:
        if style is None:
            style = decoder.mean.new_ones(batch, decoder.config.styles)
        style = decoder.style_of(style)[:, 0]
        self._decoder, self._batch, self._device = decoder, batch, style.device
        self._kit = kit = stepping.kit_for(style.device)
        self._steps, self._read = kit.CausalSteps(decoder.stack, batch), kit.Affine(decoder.out)
        self._embed = kit.Affine(decoder.embed_past_motion)
        self._style, self._query = kit.state(style), kit.state(style)
        self._normalised = kit.state(decoder.mean.expand(batch, -1))
        self._step = kit.captured(self._frame, self._device)

    def _frame(self) -> None:
        self._normalised[...] = self._read(self._steps(self._query))
        self._query[...] = self._embed(self._normalised) + self._style

    @torch.inference_mode()
    def __call__(self, speech: Tensor, first: int, count: int) -> Tensor:
        """(B, count, E + 3) for frames ``first`` and on of a stretch of speech (B, n, S), of which all is looked at."""
        self.lay_out(speech, first)
        return self.frames(count)

    @torch.inference_mode()
    def lay_out(self, speech: Tensor, first: int) -> None:
        """Take in a stretch of speech (B, n, S) whose frame number ``first`` is the next one, for ``frames``."""
        if self._steps.remember(self._decoder.embed_speech(speech), first):
            self._step = self._kit.captured(self._frame, self._device)

    @torch.inference_mode()
    def frames(self, count: int) -> Tensor:
        """(B, count, E + 3) for the next frames of the stretch."""
        decoder, kit = self._decoder, self._kit
        out = kit.room(self._batch, count, decoder.config.expressions + 3, self._device)
        for t in range(count):
            self._step()
            out[:, t] = self._normalised
        return kit.tensor(out, self._device) * decoder.scale + decoder.mean
