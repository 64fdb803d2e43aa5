"""The compact encoder with full convolutions and attention: what the starter's face is made from.

Where lips shut is told by how formants bend within tens of milliseconds, which full convolutions at twice the motion's
rate hear better than depth-wise ones, and by how the speaker sounds elsewhere, which attention hears. At equal sound
heard it finds bilabials that ``MelEncoder`` takes for other stops.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .mel_encoder import MelEncoder, MelEncoderConfig, band_frequencies, mel_of, mel_step
from .transformer import LocalTransformer


@dataclasses.dataclass(frozen=True)
class MelTransformerConfig(MelEncoderConfig):
    kind: str = "mel-transformer"
    dilations: tuple[int, ...] = (1, 2)
    fine_dilations: tuple[int, ...] = (1, 2, 4)
    layers: int = 3
    heads: int = 4
    hidden: int = 576
    radius: int = 25
    """Frames to each side that a layer attends to: with three of them three seconds of each side are heard."""
    dropout: float = 0.1
    """Of the attention's layers; the convolutions have none."""
    masked: float = 0.5
    """Chance in training that a clip has some of its bands hidden (SpecAugment, Park et al. 2019)."""
    masked_bands: int = 7
    warped: float = 0.0
    """Share by which formants are moved up or down in training at most, a clip by its own factor, as a longer or a
    shorter vocal tract would (Jaitly and Hinton 2013): voices that were never heard have their own."""


class ConvolutionBlock(nn.Module):
    """Convolution over time and channels, added to what came in; channels last."""

    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__()
        self.reach = dilation
        self.norm = nn.LayerNorm(dim)
        self.mix = nn.Conv1d(dim, dim, 3, padding=dilation, dilation=dilation)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(F.gelu(self.mix(self.norm(x).transpose(1, 2)).transpose(1, 2)))


class MelTransformerEncoder(MelEncoder):
    """``MelEncoder`` with other blocks; what is measured of the sound, and how, is the same."""

    _NEAR = 15

    def __init__(self, config: MelTransformerConfig = MelTransformerConfig()) -> None:
        super().__init__(dataclasses.replace(config, dilations=(), fine_dilations=()))
        self.config = c = config
        self.fine = nn.ModuleList(ConvolutionBlock(c.dim, d) for d in c.fine_dilations)
        self.coarse = nn.ModuleList(ConvolutionBlock(c.dim, d) for d in c.dilations)
        self.near = nn.Conv1d(c.dim, c.dim, self._NEAR, padding=self._NEAR // 2, groups=c.dim // 8)
        self.stack = LocalTransformer(c.dim, c.layers, c.heads, c.hidden, c.radius, dropout=c.dropout)
        self.norm = nn.Identity()  # the stack ends with one
        reach = -(-sum(block.reach for block in self.fine) // 2) + sum(block.reach for block in self.coarse)
        self.margin = 2 + reach + self._NEAR // 2 + c.layers * c.radius

    def features(self, prepared: Tensor) -> Tensor:
        if self.training and self.config.warped:
            prepared = self._warped(prepared)
        if self.training and self.config.masked:
            prepared = self._masked(prepared)
        x = super().features(prepared)
        x = x + self.near(x.transpose(1, 2)).transpose(1, 2)
        return self.stack(x)

    def _warped(self, prepared: Tensor) -> Tensor:
        """Each clip's spectra with frequencies times a factor of its own; the level is left."""
        bands, reach = self.config.bands, math.log1p(self.config.warped)
        factor = torch.empty(len(prepared), 1).uniform_(-reach, reach).exp()
        centres = band_frequencies(bands)
        places = torch.arange(bands) + (mel_of(centres * factor) - mel_of(centres)) / mel_step(bands)
        places = places.clamp(0, bands - 1)
        # Linear interpolation as a matrix a clip: row j holds what band j is made of.
        mix = (1 - (places[..., None] - torch.arange(bands)).abs()).clamp_min(0).to(prepared)
        with torch.autocast(prepared.device.type, enabled=False):
            moved = prepared[..., :bands].float() @ mix.float().transpose(1, 2)
        return torch.cat([moved.to(prepared.dtype), prepared[..., bands:]], dim=-1)

    def _masked(self, prepared: Tensor) -> Tensor:
        """Each clip with the mean in place of some neighbouring bands, or as it is."""
        c, clips = self.config, len(prepared)
        first = torch.randint(0, c.bands, (clips, 1))
        width = torch.randint(1, c.masked_bands + 1, (clips, 1)) * (torch.rand(clips, 1) < c.masked)
        band = torch.arange(prepared.shape[2])
        hidden = (band >= first) & (band < first + width) & (band < c.bands)
        mean = prepared[..., : c.bands].mean((1, 2), keepdim=True)
        return torch.where(hidden[:, None].to(prepared.device), mean, prepared)
