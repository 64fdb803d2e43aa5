"""The gaze VQ-VAE: a discrete latent space of eye motion, one code a frame (TalkingEyes, Eqs. 5 to 7)."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import stepping
from .transformer import CausalState, CausalTransformer, LocalTransformer, hold_last_valid


@dataclasses.dataclass(frozen=True)
class GazeVQVAEConfig:
    codes: int = 1024
    """N, the size of the codebook (paper, Section V-A)."""
    code_dim: int = 64
    """C, the width of a code."""
    dim: int = 256
    layers: int = 4
    heads: int = 4
    hidden: int = 512
    encoder_radius: int = 12
    """Frames to each side that E_VQ looks at."""
    decoder_window: int = 25
    """Frames that D_VQ looks at, itself included. D_VQ is causal and without InstanceNorm, so that the frames fed
    back while decoding are the very frames of the final decode (Eq. 10)."""
    dropout: float = 0.0
    channels: int = 6
    """Width of the motion: 6 for the eyes. The paper's ablation (Table V) also puts the head's 3 through such codes."""


class GazeVQVAE(nn.Module):
    """E_VQ, the codebook Z and D_VQ. Motion is (B, T, 6): left, then right eye, axis-angle in radians."""

    def __init__(self, config: GazeVQVAEConfig = GazeVQVAEConfig()) -> None:
        super().__init__()
        self.config = config
        c = config
        self.register_buffer("mean", torch.zeros(c.channels))
        self.register_buffer("scale", torch.ones(c.channels))
        self.encode_in = nn.Sequential(nn.Linear(c.channels, c.dim), nn.LeakyReLU(0.2))
        self.encode_conv = nn.Conv1d(c.dim, c.dim, 5, padding=2, padding_mode="replicate")
        self.encode_stack = LocalTransformer(c.dim, c.layers, c.heads, c.hidden, c.encoder_radius, dropout=c.dropout)
        self.encode_out = nn.Linear(c.dim, c.code_dim)
        self.codebook = nn.Parameter(torch.empty(c.codes, c.code_dim).uniform_(-1 / c.codes, 1 / c.codes))
        self.decode_in = nn.Sequential(nn.Linear(c.code_dim, c.dim), nn.LeakyReLU(0.2))
        self.decode_stack = CausalTransformer(
            c.dim, c.layers, c.heads, c.hidden, c.decoder_window, dropout=c.dropout, positions=False
        )
        self.decode_out = nn.Linear(c.dim, c.channels)

    def set_statistics(self, mean: Tensor, scale: Tensor) -> None:
        """Mean (6,) and standard deviation (6,) of the training motion, by which motion is normalised inside."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def encode(self, eyes: Tensor, valid: Tensor | None = None) -> Tensor:
        """E_VQ: (B, T, 6) to features Z-hat (B, T, C). Frames where ``valid`` is False are not looked at."""
        x = self.encode_in((eyes - self.mean) / self.scale)
        if valid is not None:
            x = hold_last_valid(x, valid)
        x = x + self.encode_conv(x.transpose(1, 2)).transpose(1, 2)
        return self.encode_out(self.encode_stack(x, valid))

    def code_distances(self) -> Callable[[Tensor], Tensor]:
        """``distances``, with what depends on the codebook alone worked out once.

        Both sides are taken from the codebook's centre: a trained one lies far from zero, and the difference of large
        squares would leave few digits of the small distances.
        """
        centre = self.codebook.mean(0)
        codes = (self.codebook - centre).T.contiguous()
        norms = codes.square().sum(0)

        def distances(features: Tensor) -> Tensor:
            features = features - centre
            square = features.square().sum(-1, keepdim=True) + norms
            return (square - 2 * features @ codes).clamp_min(0)

        return distances

    def distances(self, features: Tensor) -> Tensor:
        """Squared distance of features (..., C) to each code: (..., N)."""
        return self.code_distances()(features)

    def nearest(self, features: Tensor) -> Tensor:
        """Eq. 5: the number of the nearest code, (...)."""
        return self.distances(features).argmin(-1)

    def quantise(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Z_q (..., C) with the straight-through gradient, and the code numbers (...)."""
        codes = self.nearest(features)
        chosen = F.embedding(codes, self.codebook)
        return features + (chosen - features).detach(), codes

    def decode(self, quantised: Tensor, state: CausalState | None = None) -> Tensor:
        """D_VQ (Eq. 6): (B, n, C) to eye motion (B, n, 6); with a state, the frames that follow those it has seen."""
        x = self.decode_stack(self.decode_in(quantised), state=state)
        return self.decode_out(x) * self.scale + self.mean

    def begin(self) -> CausalState:
        return self.decode_stack.begin()

    def decode_steps(self, batch: int) -> Callable:
        """D_VQ for generation: give it the code numbers (B,) of frame after frame, get each frame's motion (B, 6).

        Both are arrays of the device's ``stepping.kit_for``.
        """
        kit = stepping.kit_for(self.codebook.device)
        steps = kit.CausalSteps(self.decode_stack, batch)
        out = kit.Affine(self.decode_out, scale_out=self.scale, add=self.mean)
        embedded = kit.array(self.decode_in(self.codebook))
        return lambda codes: out(steps(kit.rows(embedded, codes)))

    def forward(self, eyes: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Eq. 6: reconstruction (B, T, 6), features Z-hat (B, T, C), code numbers (B, T)."""
        features = self.encode(eyes, valid)
        quantised, codes = self.quantise(features)
        return self.decode(quantised), features, codes
