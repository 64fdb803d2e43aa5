"""The baseline VAE: eye gaze from speech and head by a conditional VAE (TalkingEyes, Section V-B.2)."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from ...inference.head_vae import HeadVAE, HeadVAEConfig


@dataclasses.dataclass(frozen=True)
class GazeVAEConfig:
    """Sizes; they default to the head VAE's, whose design the baseline shares ("similar to ... Sect. IV-D")."""

    speech_dim: int = 256
    latent: int = 64
    dim: int = 192
    layers: int = 3
    hidden: int = 384
    knot_every: int = 25

    def vae(self) -> HeadVAEConfig:
        return HeadVAEConfig(
            speech_dim=self.speech_dim + 3, latent=self.latent, dim=self.dim, layers=self.layers, hidden=self.hidden,
            knot_every=self.knot_every, channels=6,
        )  # fmt: skip


class GazeVAE(nn.Module):
    """The head's VAE with the eyes' six numbers and, as its condition, speech and head concatenated."""

    def __init__(self, config: GazeVAEConfig = GazeVAEConfig()) -> None:
        super().__init__()
        self.config = config
        self.vae = HeadVAE(config.vae())
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("head_scale", torch.ones(3))

    def set_statistics(self, mean: Tensor, scale: Tensor, head_scale: Tensor) -> None:
        """Mean and deviation (6,) of the training eyes, deviation (3,) of the head."""
        self.mean.copy_(mean)
        self.vae.set_statistics(scale)
        self.head_scale.copy_(head_scale)

    def condition(self, speech: Tensor, head: Tensor) -> Tensor:
        """(B, T, S) and (B, T, 3) to (B, T, S + 3)."""
        return torch.cat([speech, (head / self.head_scale).to(speech)], dim=-1)

    def forward(
        self, eyes: Tensor, speech: Tensor, head: Tensor, valid: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction (B, T, 6), mean and log-variance (B, latent) of the code."""
        made, mean, log_variance = self.vae(eyes - self.mean, self.condition(speech, head), valid, noise)
        return made + self.mean, mean, log_variance

    def generate(self, speech: Tensor, head: Tensor, generator: torch.Generator) -> Tensor:
        """Eye motion (B, T, 6) with codes from N(0, 1)."""
        return self.vae.generate(self.condition(speech, head), generator) + self.mean
