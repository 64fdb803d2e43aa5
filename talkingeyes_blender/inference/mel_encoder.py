"""A compact speech encoder: log-mel spectrum and dilated convolutions. The starter weights use it.

It has no attention: what the lips do is decided within about a second of sound, and a bounded field of view makes
encoding in windows exact. wav2vec 2.0 stands behind the same interface (wav2vec2_encoder).
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .speech_encoder import RATE, SpeechEncoder

_HOP = 160
_WINDOW = 400
_FFT = 512
_ROWS = 4
"""Spectra a motion frame: 10 ms apart."""
_BEFORE = (_WINDOW - _HOP) // 2
"""Samples before a row's own hundredth of a second that its window sees."""
_CREST = 0.5
"""By how much, in powers of ten, the loudest row of speech lies above the 95th percentile, about."""
_QUIETER = 1.5
"""By how much, in powers of ten, the level around an instant may lie below the clip's: a pause is not speech."""
_RELATIVE = (-4.5, 1.0)
_QUIETEST = -5.0
"""Digital silence has no loud frames to measure by; a floor keeps its noise from being raised to speech."""


@dataclasses.dataclass(frozen=True)
class MelEncoderConfig:
    kind: str = "mel"
    dim: int = 192
    bands: int = 64
    dilations: tuple[int, ...] = (1, 2, 4, 8, 1, 2, 4, 8)
    """Dilation of each residual block at the motion's rate."""
    fine_dilations: tuple[int, ...] = (1, 2)
    """Dilation of each residual block at twice the motion's rate, where closures are still sharp."""
    dropout: float = 0.05
    level_seconds: float = 0.0
    """Seconds around each instant over which levels and colour are measured; 0 is the whole clip. Best the length of
    the crops of training, which have no more to measure by."""


def mel_filters(bands: int, low: float = 50.0, high: float = 7600.0) -> Tensor:
    """(bands, FFT bins) triangular filters, evenly spaced on the mel scale (O'Shaughnessy), each of unit sum."""

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    edges = torch.linspace(mel(low), mel(high), bands + 2, dtype=torch.float64)
    edges = 700 * (10 ** (edges / 2595) - 1)
    bins = torch.arange(_FFT // 2 + 1, dtype=torch.float64) * RATE / _FFT
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rise, fall).clamp_min(0)
    # The lowest filters can fall between two bins; they take the nearest one.
    empty = filters.sum(1) == 0
    nearest = (bins[None] - edges[1:-1, None]).abs().argmin(1)
    filters[empty, nearest[empty]] = 1.0
    return (filters / filters.sum(1, keepdim=True)).float()


class ResidualBlock(nn.Module):
    """Depth-wise convolution over time, then a feed-forward on each frame; channels last."""

    def __init__(self, dim: int, dilation: int, dropout: float, kernel: int = 5) -> None:
        super().__init__()
        self.reach = dilation * (kernel - 1) // 2
        self.mix_time = nn.Conv1d(dim, dim, kernel, padding=self.reach, dilation=dilation, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.mix_channels = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.mix_time(x.transpose(1, 2)).transpose(1, 2)
        return x + self.dropout(self.mix_channels(self.norm(mixed)))


class MelEncoder(SpeechEncoder):
    window = 750

    def __init__(self, config: MelEncoderConfig = MelEncoderConfig()) -> None:
        super().__init__()
        self.config = c = config
        self.feature_dim = c.dim
        self.register_buffer("filters", mel_filters(c.bands), persistent=False)
        self.register_buffer("taper", torch.hann_window(_WINDOW), persistent=False)
        self.first = nn.Conv1d(c.bands + 1, c.dim, 5, padding=2)
        self.halve = nn.Conv1d(c.dim, c.dim, 4, stride=2, padding=1)
        self.fine = nn.ModuleList(ResidualBlock(c.dim, d, c.dropout) for d in c.fine_dilations)
        self.halve_again = nn.Conv1d(c.dim, c.dim, 4, stride=2, padding=1)
        self.coarse = nn.ModuleList(ResidualBlock(c.dim, d, c.dropout) for d in c.dilations)
        self.norm = nn.LayerNorm(c.dim)
        fine_reach = sum(block.reach for block in self.fine)
        # One frame more than the field of view: the strided convolutions reach over a frame's edge.
        self.margin = 2 + -(-fine_reach // 2) + sum(block.reach for block in self.coarse)

    def prepare(self, samples: Tensor) -> Tensor:
        """(B, T * 640) samples to (B, 4 T, bands + 1): log-mel relative to its loud frames, and that level.

        Half of each band's mean is taken off, which removes much of a room's or a microphone's colour. Both are those
        of the clip, or of the ``level_seconds`` around each row.
        """
        with torch.autocast(samples.device.type, enabled=False):
            samples = F.pad(samples.float(), (_BEFORE, _WINDOW))
            frames = samples.unfold(1, _WINDOW, _HOP)[:, : (samples.shape[1] - _WINDOW) // 640 * _ROWS]
            spectra = torch.cat([self._log_mel(part) for part in frames.split(3000, dim=1)], dim=1)
            around = int(self.config.level_seconds * RATE) // _HOP
            if 0 < around < spectra.shape[1]:
                return torch.stack([self._levelled_around(clip, around) for clip in spectra])
            return self._levelled(spectra, _loud(spectra.amax(-1))[:, None, None])

    @staticmethod
    def _levelled(spectra: Tensor, level: Tensor, colour: Tensor | None = None) -> Tensor:
        """(..., rows, bands) log-mel and its level to what the first convolution takes.

        ``colour``: the means of its bands, if not those of these rows.
        """
        relative = _relative(spectra, level)
        if colour is None:
            colour = relative.mean(-2, keepdim=True)
        energy = _relative(spectra.amax(-1, keepdim=True), level)
        return torch.cat([(relative - 0.5 * colour) / 0.9, energy / 1.5 + 1.0], dim=-1)

    def _levelled_around(self, spectra: Tensor, around: int) -> Tensor:
        """(rows, bands) log-mel to what the first convolution takes, by what is heard around each row.

        Level and colour are measured over windows of ``around`` rows, a quarter of one apart, and drawn between.
        """
        rows, hop = len(spectra), around // 4
        loudness = spectra.amax(-1)
        least = _loud(loudness) - _QUIETER
        count = -(-rows // hop) + 1
        starts = [min(max(k * hop - around // 2, 0), rows - around) for k in range(count)]
        levels = torch.stack([_loud(loudness[s : s + around]) for s in starts]).maximum(least)
        colours = torch.stack(
            [_relative(spectra[s : s + around], level).mean(0) for s, level in zip(starts, levels, strict=True)]
        )
        result = spectra.new_empty(rows, spectra.shape[1] + 1)
        ramp = torch.arange(hop, device=spectra.device)[:, None] / hop
        for k in range(count - 1):
            part = spectra[k * hop : (k + 1) * hop]
            share = ramp[: len(part)]
            result[k * hop : (k + 1) * hop] = self._levelled(
                part, levels[k].lerp(levels[k + 1], share), torch.lerp(colours[k], colours[k + 1], share)
            )
        return result

    def _log_mel(self, frames: Tensor) -> Tensor:
        power = torch.fft.rfft(frames * self.taper, n=_FFT).abs().square()
        return torch.log10(power @ self.filters.T + 1e-10)

    def features(self, prepared: Tensor) -> Tensor:
        x = F.gelu(self.first(prepared.transpose(1, 2)))
        x = F.gelu(self.halve(x)).transpose(1, 2)
        for block in self.fine:
            x = block(x)
        x = F.gelu(self.halve_again(x.transpose(1, 2))).transpose(1, 2)
        for block in self.coarse:
            x = block(x)
        return self.norm(x)


def _loud(loudness: Tensor) -> Tensor:
    """The level of speech: the 95th percentile over the last axis."""
    return torch.quantile(loudness, 0.95, dim=-1)


def _relative(spectra: Tensor, level: Tensor) -> Tensor:
    return (spectra - level.clamp_min(_QUIETEST)).clamp(*_RELATIVE)


class MelStream:
    """The encoder's features while sound goes on coming in: levels and colour are those of the last seconds heard."""

    def __init__(self, encoder: MelEncoder, history: int) -> None:
        """``history``: frames over which levels are measured."""
        self._encoder, self._history = encoder, history
        self._spectra = encoder.filters.new_empty(0, encoder.config.bands)
        self._tail = encoder.filters.new_zeros(_BEFORE)
        """The last samples of what was heard: the first row that is not whole begins with them."""
        self._whole = 0
        """Rows whose sound was heard to their end, from the clip's first on."""

    @torch.inference_mode()
    def hear(self, samples: Tensor, first: int) -> Tensor:
        """Take in the samples that follow, whole frames; return (1, n, S) for frames ``first`` to the last heard."""
        encoder = self._encoder
        sound = torch.cat([self._tail, samples])
        rows = (len(sound) - _BEFORE) // _HOP
        ended = max(0, (len(sound) - _WINDOW) // _HOP + 1)  # rows that no later sound will change
        windows = F.pad(sound, (0, _WINDOW)).unfold(0, _WINDOW, _HOP)[:rows]
        new = encoder._log_mel(windows)
        spectra = torch.cat([self._spectra, new])
        heard = self._whole + rows
        self._spectra = torch.cat([self._spectra, new[:ended]])[-_ROWS * self._history :]
        self._whole += ended
        self._tail = sound[ended * _HOP :]
        spectra = spectra[-_ROWS * self._history :]
        loudness = spectra.amax(-1)
        # Where speech has only begun, few rows are loud; those few are then what is measured by.
        level = torch.maximum(_loud(loudness), loudness.max() - _CREST)
        low = max(heard // _ROWS - len(spectra) // _ROWS, first - encoder.margin)
        prepared = encoder._levelled(spectra[None], level)[:, -(heard - low * _ROWS) :]
        return encoder.features(prepared)[:, first - low :]
