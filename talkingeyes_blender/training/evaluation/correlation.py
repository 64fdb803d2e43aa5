"""The audio-motion correlation (TalkingEyes, Section V-B.3): a network that tells which motion belongs to which speech.

It is trained to classify pairs of speech and motion as belonging together or not; the correlation of a pair is the
cosine similarity of the two features that it computes. The paper gives no more than that. Here the features of a window
are kept for each fifth of a second and laid end to end, so that the cosine asks what moves when; they are not negative,
so that the cosine is between 0 and 1 and can itself be the probability that the classification is trained by.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...inference.mel_encoder import MelEncoder, MelEncoderConfig, ResidualBlock

CHANNELS = {"head": 3, "eyes": 6}


@dataclasses.dataclass(frozen=True)
class CorrelationConfig:
    """Sizes of the network."""

    channel: str = "eyes"
    """'head' or 'eyes'."""
    frames: int = 125
    """Length of a window: 5 s, about one turn of gaze away from the partner and back."""
    dim: int = 64
    features: int = 16
    """Width of the feature of each step of ``pool`` frames."""
    pool: int = 5
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    bands: int = 40
    dropout: float = 0.1


class CorrelationNetwork(nn.Module):
    """Two towers: speech (B, frames * 640) and motion (B, frames, D) to features of unit length."""

    def __init__(self, config: CorrelationConfig = CorrelationConfig()) -> None:
        super().__init__()
        self.config = c = config
        width = CHANNELS[c.channel]
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.speech = MelEncoder(
            MelEncoderConfig(
                dim=c.dim, bands=c.bands, dilations=tuple(c.dilations), fine_dilations=(1,), dropout=c.dropout
            )
        )
        self.motion_in = nn.Linear(2 * width, c.dim)
        self.motion_blocks = nn.ModuleList(ResidualBlock(c.dim, d, c.dropout) for d in c.dilations)
        self.motion_norm = nn.LayerNorm(c.dim)
        self.speech_out = nn.Linear(c.dim, c.features)
        self.motion_out = nn.Linear(c.dim, c.features)

    def set_statistics(self, mean: Tensor, scale: Tensor) -> None:
        """Mean and standard deviation (D,) of the training motion, by which motion is normalised inside."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def speech_features(self, samples: Tensor) -> Tensor:
        """(B, frames * 640) samples to (B, F) of unit length. The encoder takes the window's level off."""
        return self._ends(self.speech_out(self.speech(samples)))

    def motion_features(self, motion: Tensor) -> Tensor:
        """(B, frames, D) radians to (B, F) of unit length."""
        x = (motion - self.mean) / self.scale
        speed = F.pad(x.diff(dim=1), (0, 0, 1, 0)) * 4  # steps are small beside positions
        x = self.motion_in(torch.cat([x, speed], dim=-1))
        for block in self.motion_blocks:
            x = block(x)
        return self._ends(self.motion_out(self.motion_norm(x)))

    def _ends(self, x: Tensor) -> Tensor:
        x = F.avg_pool1d(F.softplus(x.float()).transpose(1, 2), self.config.pool)
        return F.normalize(x.flatten(1), dim=-1)

    def forward(self, samples: Tensor, motion: Tensor) -> Tensor:
        """The cosine (B,) of each pair, 0 to 1."""
        return (self.speech_features(samples) * self.motion_features(motion)).sum(-1)


@torch.inference_mode()
def correlation(network: CorrelationNetwork, samples: np.ndarray, takes: np.ndarray, hop: int = 25) -> float:
    """Corr. of takes (K, T, D) with their speech (n,): the mean cosine over windows ``hop`` frames apart.

    Raises:
        ValueError: the clip is shorter than the network's window.
    """
    frames = network.config.frames
    length = takes.shape[1]
    if length < frames:
        raise ValueError(f"{length} frames are fewer than the correlation network's window of {frames}")
    device = network.mean.device
    starts = range(0, length - frames + 1, hop)
    padded = np.pad(np.asarray(samples, np.float32), (0, max(0, length * 640 - len(samples))))
    speech = torch.from_numpy(np.stack([padded[s * 640 : (s + frames) * 640] for s in starts])).to(device)
    features = network.speech_features(speech)
    values = []
    for take in takes:
        windows = np.stack([take[s : s + frames] for s in starts]).astype(np.float32)
        values.append((features * network.motion_features(torch.from_numpy(windows).to(device))).sum(-1).mean())
    return float(torch.stack(values).mean())
