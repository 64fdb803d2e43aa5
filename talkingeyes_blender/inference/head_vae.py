"""The conditional VAE of head motion (TalkingEyes, Eq. 8)."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .transformer import LocalTransformer, hold_last_valid


@dataclasses.dataclass(frozen=True)
class HeadVAEConfig:
    speech_dim: int = 256
    latent: int = 64
    """Width of the latent code c."""
    dim: int = 192
    layers: int = 3
    heads: int = 4
    hidden: int = 384
    window: int = 250
    """Frames for which one latent code is drawn: 10 s. A shorter clip has one, as in the paper."""
    overlap: int = 50
    """Frames over which neighbouring windows are blended."""
    knot_every: int = 25
    """Frames between the knots over which the code is spread along the window. Given to all frames alike it would be
    a manner at most, and where the head is when is not in the speech: training then leaves the code unused."""
    radius: int = 125
    dropout: float = 0.1
    prior: str = "normal"
    """Where a latent is drawn from: 'normal' is the paper's N(0, 1), 'fitted' a Gaussian with the mean and covariance
    that the encoder gives its training data. With a KL term of 1e-4 the two differ: heads drawn from N(0, 1) move half
    as far as those of the data. 'fitted' also gives each window of a longer clip a posture of its own, about as far
    from the clip's mean as a window of the data is: windows are decoded about a mean of zero."""
    channels: int = 3
    """Width of the motion: 3 for the head. The paper's baseline VAE (Table III) makes the eyes' 6 in the same way."""


class HeadVAE(nn.Module):
    """E_VAE and D_VAE. Motion is (B, T, 3), axis-angle in radians; T is a window at most, but in ``generate``."""

    def __init__(self, config: HeadVAEConfig = HeadVAEConfig()) -> None:
        super().__init__()
        self.config = c = config
        self.register_buffer("scale", torch.ones(c.channels))
        if c.prior == "fitted":
            self.register_buffer("latent_mean", torch.zeros(c.latent))
            self.register_buffer("latent_factor", torch.eye(c.latent))
            self.register_buffer("posture_factor", torch.zeros(c.channels, c.channels))
        self.encode_in = nn.Linear(c.channels + c.speech_dim, c.dim)
        self.encode_stack = LocalTransformer(c.dim, c.layers, c.heads, c.hidden, c.radius, dropout=c.dropout)
        self.knots = c.window // c.knot_every + 2
        self.encode_out = nn.Linear(self.knots * c.dim, 2 * c.latent)
        self.spread = nn.Linear(c.latent, self.knots * c.dim)
        self.decode_in = nn.Linear(c.dim + c.speech_dim, c.dim)
        self.decode_stack = LocalTransformer(c.dim, c.layers, c.heads, c.hidden, c.radius, dropout=c.dropout)
        self.decode_conv = nn.Conv1d(c.dim, c.dim, 5, padding=2, padding_mode="replicate")
        self.decode_out = nn.Linear(c.dim, c.channels)

    def set_statistics(self, scale: Tensor) -> None:
        """Standard deviation (3,) of the training motion, by which motion is normalised inside."""
        self.scale.copy_(scale)

    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        """(rows, latent) of the prior; chance is the CPU's."""
        latent = torch.randn(rows, self.config.latent, generator=generator).to(self.scale)
        if self.config.prior == "fitted":
            latent = self.latent_mean + latent @ self.latent_factor.T
        return latent

    def draw_posture(self, rows: int, generator: torch.Generator) -> Tensor:
        """(rows, 1, C): a window's mean about the clip's; zero where the prior is the paper's."""
        if self.config.prior != "fitted":
            return self.scale.new_zeros(rows, 1, self.config.channels)
        drawn = torch.randn(rows, 1, self.config.channels, generator=generator).to(self.scale)
        return drawn @ self.posture_factor.T

    def fit_prior(self, mean: Tensor, log_variance: Tensor, posture: Tensor) -> None:
        """Take the Gaussian of the encoder's latents (n, latent) as the prior, after Ghosh et al. (2020).

        ``posture`` (n, C) is how far each window's mean lies from that of its recording.
        """
        spread = mean - mean.mean(0)
        covariance = spread.T @ spread / max(1, len(mean) - 1) + torch.diag(log_variance.exp().mean(0))
        self.latent_mean.copy_(mean.mean(0))
        self.latent_factor.copy_(torch.linalg.cholesky(covariance.double()))
        small = 1e-12 * torch.eye(posture.shape[1])
        self.posture_factor.copy_(torch.linalg.cholesky((posture.T @ posture / len(posture) + small).double()))

    def encode(self, head: Tensor, speech: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """E_VAE: mean and log-variance (B, latent) of a window's code, from its valid frames."""
        x = self.encode_stack(self.encode_in(torch.cat([head / self.scale, speech], dim=-1)), valid)
        hats = self._hats(x.shape[1], x)
        weight = hats.expand(len(x), -1, -1) if valid is None else hats * valid[..., None].to(x.dtype)
        pooled = weight.transpose(1, 2) @ x / weight.sum(1)[..., None].clamp_min(1e-6)
        mean, log_variance = self.encode_out(pooled.flatten(1)).chunk(2, dim=-1)
        return mean, log_variance.clamp(-12, 6)

    def decode(self, latent: Tensor, speech: Tensor, valid: Tensor | None = None) -> Tensor:
        """D_VAE: (B, latent) and (B, T, S) to head motion (B, T, 3), all frames at once."""
        code = self._hats(speech.shape[1], speech) @ self.spread(latent).unflatten(1, (self.knots, -1))
        x = self.decode_stack(self.decode_in(torch.cat([code, speech], dim=-1)), valid)
        if valid is not None:
            x = hold_last_valid(x, valid)
        x = x + self.decode_conv(x.transpose(1, 2)).transpose(1, 2)
        return self.decode_out(x) * self.scale

    def _hats(self, frames: int, like: Tensor) -> Tensor:
        """(frames, knots) weights that interpolate linearly between the knots of a window."""
        if frames > self.config.window:
            raise ValueError(f"{frames} frames do not fit into a window of {self.config.window}")
        at = torch.arange(frames, device=like.device)[:, None] / self.config.knot_every
        return (1 - (at - torch.arange(self.knots, device=like.device)).abs()).clamp_min(0).to(like.dtype)

    def forward(
        self, head: Tensor, speech: Tensor, valid: Tensor | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Eq. 8: reconstruction (B, T, 3), mean and log-variance (B, latent). ``noise`` (B, latent) is N(0, 1)."""
        mean, log_variance = self.encode(head, speech, valid)
        noise = torch.randn_like(mean) if noise is None else noise
        return self.decode(mean + noise * (0.5 * log_variance).exp(), speech, valid), mean, log_variance

    @torch.inference_mode()
    def generate(
        self,
        speech: Tensor,
        generators: torch.Generator | Sequence[torch.Generator],
        tick: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Head motion (B, T, 3) for speech (B, T, S) of any length; ``generators`` are one for all, or one for each.

        One latent is drawn from N(0, 1) for each window of ``window`` frames; neighbours overlap and are blended, so
        that time and memory grow no faster than the clip. A clip within one window gets the paper's computation.
        ``tick`` is called with the number of frames done.
        """
        frames, c = speech.shape[1], self.config
        generators = [generators] if isinstance(generators, torch.Generator) else generators
        rows = len(speech) // len(generators)
        total = speech.new_zeros(len(speech), frames, c.channels)
        weight = speech.new_zeros(frames, 1)
        for first in range(0, max(1, frames - c.overlap), c.window - c.overlap):
            last = min(first + c.window, frames)
            latent = torch.cat([self.draw(rows, each) for each in generators])
            ramp = self._ramp(last - first, rises=first > 0, falls=last < frames, like=speech)
            posture = torch.cat([self.draw_posture(rows, each) for each in generators])
            total[:, first:last] += ramp * (self.decode(latent, speech[:, first:last]) + posture)
            weight[first:last] += ramp
            if tick:
                tick(last)
        return total / weight

    def _ramp(self, frames: int, rises: bool, falls: bool, like: Tensor) -> Tensor:
        ramp = like.new_ones(frames, 1)
        edge = min(self.config.overlap, frames)
        slope = torch.sin(torch.linspace(0, torch.pi / 2, edge + 2, device=like.device)[1:-1])[:, None] ** 2
        if rises:
            ramp[:edge] *= slope
        if falls:
            ramp[frames - edge :] *= slope.flip(0)
        return ramp


class HeadSteps:
    """Head motion while speech goes on coming in: ``generate``'s windows and latents, of which only the past is known.

    Each call decodes the windows that are open anew, with the speech heard so far. What comes out of it differs from
    the call before also where motion was given away already; that difference is carried on and fades, so that the head
    does not jump.
    """

    def __init__(self, vae: HeadVAE, generator: torch.Generator) -> None:
        self._vae, self._generator = vae, generator
        self._open: list[tuple[int, Tensor, Tensor]] = []
        """First frame, latent and posture of the windows that reach the present."""
        self._next = 0
        self._given: Tensor | None = None
        """(1, C): the last frame that was given away."""

    @torch.inference_mode()
    def __call__(self, speech: Tensor, low: int, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Motion (1, count, C) of the frames from ``first`` on, and (1, n, C) of those after, which may yet change.

        ``speech`` (1, m, S) holds the frames from ``low`` on, up to the last one heard.
        """
        c, last = self._vae.config, low + speech.shape[1]
        hop = c.window - c.overlap
        while self._next < last:
            latent, posture = self._vae.draw(1, self._generator), self._vae.draw_posture(1, self._generator)
            self._open.append((self._next, latent, posture))
            self._next += hop
        self._open = [each for each in self._open if each[0] + c.window > first - 1]
        begin = max(0, first - 1)
        total, weight = speech.new_zeros(1, last - begin, c.channels), speech.new_zeros(last - begin, 1)
        for start, latent, posture in self._open:
            end = min(start + c.window, last)
            decoded = self._vae.decode(latent, speech[:, start - low : end - low]) + posture
            ramp = self._vae._ramp(c.window, rises=start > 0, falls=True, like=speech)[: end - start]
            at = max(begin, start)
            total[:, at - begin : end - begin] += (ramp * decoded)[:, at - start :]
            weight[at - begin : end - begin] += ramp[at - start :]
        motion = total / weight
        if self._given is not None:
            left = _FADE ** torch.arange(1, last - first + 1, device=speech.device)[:, None]
            motion = motion[:, 1:] + (self._given - motion[:, 0])[:, None] * left
        self._given = motion[:, count - 1]
        return motion[:, :count], motion[:, count:]

    @property
    def reach(self) -> int:
        """The first frame whose speech may still be needed."""
        return self._open[0][0] if self._open else 0


_FADE = 0.85
"""Share of a correction that is left a frame later: a third of it after a quarter of a second."""
