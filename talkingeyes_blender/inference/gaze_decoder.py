"""The cross-modal decoder: eye gaze from speech, head motion and its own past (TalkingEyes, Eqs. 9 and 10)."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .gaze_vqvae import GazeVQVAE
from .transformer import CausalTransformer


@dataclasses.dataclass(frozen=True)
class GazeDecoderConfig:
    speech_dim: int = 256
    code_dim: int = 64
    dim: int = 256
    layers: int = 4
    heads: int = 4
    hidden: int = 512
    window: int = 250
    """Frames of its own past that the decoder attends to: 10 s."""
    radius: int = 25
    """Frames of speech and head to each side of a frame that it attends to: 1 s."""
    memory: str = "feature"
    """How speech and head are concatenated as keys and values (Eq. 9): 'feature', one slot a frame, or 'time', two."""
    past: str = "motion"
    """What the decoder is told of its past: 'motion', as in Eq. 9, or 'code', which adds the code of the frame before
    and predicts the change of its feature. A fixation is then the null answer, and not a pose to be hit again."""
    jumps: int = 0
    """Codes of the codebook, or 0. With them the likelihood of a code has a second part that the decoder gives each
    code by itself. Distance to one feature can say 'stay here', or 'somewhere about there', but not 'stay, or jump to
    one of these', which is what eyes do."""
    dropout: float = 0.1
    channels: int = 6
    """Width of the motion that is decoded: 6 for the eyes."""


_SHARPNESS_PACE = 10.0
"""The sharpness is learned as a tenth of its logarithm: at the networks' learning rate it would else hardly move."""


class GazeDecoder(nn.Module):
    """D_cross-modal with the embeddings of eye gaze and head motion."""

    def __init__(self, config: GazeDecoderConfig = GazeDecoderConfig()) -> None:
        super().__init__()
        if config.memory not in ("feature", "time"):
            raise ValueError(f"memory is 'feature' or 'time', not {config.memory!r}")
        if config.past not in ("motion", "code"):
            raise ValueError(f"past is 'motion' or 'code', not {config.past!r}")
        self.config = c = config
        by_time = c.memory == "time"
        self.register_buffer("eyes_scale", torch.ones(c.channels))
        self.register_buffer("head_scale", torch.ones(3))
        self.register_buffer("code_scale", torch.ones(()))
        self.embed_eyes = nn.Linear(c.channels, c.dim)
        self.embed_head = nn.Linear(3, c.dim)
        self.embed_speech = nn.Linear(c.speech_dim, c.dim)
        self.start = nn.Parameter(torch.zeros(c.dim))
        """Stands for the frame before the first."""
        self.stack = CausalTransformer(
            c.dim, c.layers, c.heads, c.hidden, c.window, dropout=c.dropout,
            memory_dim=c.dim if by_time else 2 * c.dim, radius=c.radius, slots=2 if by_time else 1, positions=False,
        )  # fmt: skip
        self.out = nn.Linear(c.dim, c.code_dim)
        if c.past == "code":
            self.embed_code = nn.Linear(c.code_dim, c.dim)
            # Untrained, every code is followed by itself.
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)
        if c.jumps:
            self.jump = nn.Linear(c.dim, c.jumps)
            nn.init.zeros_(self.jump.weight)
            nn.init.constant_(self.jump.bias, -math.log(2 * c.jumps))
        self.log_sharpness = nn.Parameter(torch.zeros(()))
        """Scale of the squared distances in the likelihood of a code, learned with it."""

    def set_statistics(self, eyes_scale: Tensor, head_scale: Tensor, vqvae: GazeVQVAE | None = None) -> None:
        """Take the spread of what comes in and goes out, so that the network works with numbers about 1.

        Standard deviations (6,) and (3,) of the training motion normalise the inputs; the spread of ``vqvae``'s codes
        scales the features that are predicted.
        """
        self.eyes_scale.copy_(eyes_scale)
        self.head_scale.copy_(head_scale)
        if vqvae is not None:
            self.code_scale.copy_(vqvae.codebook.detach().std())
            # To begin with, a code's nearest neighbour is e^3 times less likely than the code itself.
            between = vqvae.distances(vqvae.codebook.detach())
            nearest = between.fill_diagonal_(float("inf")).min(-1).values.median()
            self.log_sharpness.data.copy_((3.0 / nearest.clamp_min(1e-12)).log() / _SHARPNESS_PACE)

    def memory(self, speech: Tensor, head: Tensor) -> Tensor:
        """Keys' and values' source: speech (B, T, S) and head (B, T, 3) concatenated by feature or by time."""
        speech, head = self.embed_speech(speech), self.embed_head(head / self.head_scale)
        if self.config.memory == "feature":
            return torch.cat([speech, head], dim=-1)
        return torch.stack([speech, head], dim=2).flatten(1, 2)

    def embed_past(self, eyes: Tensor, codes: Tensor | None = None) -> Tensor:
        """Queries (B, n, dim) from the frames before each: motion (B, n, 6), and features of codes (B, n, C)."""
        embedded = self.embed_eyes(eyes / self.eyes_scale)
        if self.config.past == "code":
            embedded = embedded + self.embed_code(codes / self.code_scale)
        return embedded

    def predict(self, hidden: Tensor, codes: Tensor | None) -> Tensor:
        """Features Z-hat (B, n, C) from the stack's output and the features of the codes before (None at the start)."""
        features = self.out(hidden) * self.code_scale
        return features if self.config.past == "motion" or codes is None else codes + features

    def forward(
        self, speech: Tensor, head: Tensor, eyes: Tensor, codes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Eq. 9 with the past given: features Z-hat (B, T, C), and what they came from, (B, T, dim), for ``logits``.

        Args:
            speech: (B, T, S) speech features.
            head: (B, T, 3) head motion.
            eyes: (B, T, 6) true eye motion; the last frame is not looked at.
            codes: (B, T, C) features of the true codes, where the past is 'code'.
        """
        remembered = self.stack.remember(self.memory(speech, head))
        start, before = self.start.expand(len(eyes), 1, -1), None
        if self.config.past == "code":
            before = torch.cat([torch.zeros_like(codes[:, :1]), codes[:, :-1]], dim=1)
            codes = codes[:, :-1]
        hidden = self.stack(torch.cat([start, self.embed_past(eyes[:, :-1], codes)], dim=1), remembered)
        return self.predict(hidden, before), hidden

    def sharpness(self) -> Tensor:
        """By how much a code's log-likelihood falls for each unit of squared distance."""
        return (_SHARPNESS_PACE * self.log_sharpness).exp()

    def logits(self, features: Tensor, hidden: Tensor, vqvae: GazeVQVAE, norms: Tensor | None = None) -> Tensor:
        """Log-likelihood (..., N), up to a constant, of each code: by its scaled squared distance, and by ``jumps``.

        The paper takes the code nearest to the feature; this is what sampled codes and their likelihood loss stand on.
        """
        near = -self.sharpness() * vqvae.distances(features, norms)
        return torch.logaddexp(near.float(), self.jump(hidden).float()) if self.config.jumps else near

    @torch.inference_mode()
    def generate(
        self,
        speech: Tensor,
        head: Tensor,
        vqvae: GazeVQVAE,
        sampler: CodeSampler | None = None,
        block: int = 500,
        tick: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Eqs. 9 and 10 frame by frame, with caches: eye motion (B, T, 6).

        Args:
            speech: (B, T, S) speech features.
            head: (B, T, 3) head motion.
            sampler: draws the codes by their likelihood; None takes the nearest, as the paper does (Eq. 5).
            block: frames whose keys and values are laid out at a time, which bounds the memory.
            tick: called with the number of frames done, now and then.
        """
        frames, radius = speech.shape[1], self.config.radius
        state, motion_state = self.stack.begin(), vqvae.begin()
        norms = vqvae.code_norms()
        out = speech.new_empty(len(speech), frames, self.config.channels)
        query, code = self.start.expand(len(speech), 1, -1), None
        for first in range(0, frames, block):
            low, high = max(0, first - radius), min(frames, first + block + radius)
            remembered = self.stack.remember(self.memory(speech[:, low:high], head[:, low:high]))
            for t in range(first, min(first + block, frames)):
                hidden = self.stack(query, remembered, t - low, state)
                feature = self.predict(hidden, code)
                if sampler is None:
                    number = vqvae.distances(feature[:, 0], norms).argmin(-1)
                else:
                    number = sampler(self.logits(feature[:, 0], hidden[:, 0], vqvae, norms))
                code = F.embedding(number, vqvae.codebook)[:, None]
                out[:, t : t + 1] = frame = vqvae.decode(code, motion_state)
                query = self.embed_past(frame, code)
            if tick:
                tick(min(first + block, frames))
        return out


class CodeSampler:
    """Draws codes by softmax(logits / temperature) among the ``top_k`` likeliest, from a generator of its own."""

    def __init__(self, seed: int, temperature: float = 1.0, top_k: int = 0) -> None:
        self.temperature, self.top_k = max(float(temperature), 1e-3), int(top_k)
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, logits: Tensor) -> Tensor:
        # Drawn on the CPU in float32, so that a seed means the same on every device.
        scores = logits.detach().float().cpu() / self.temperature
        if 0 < self.top_k < scores.shape[-1]:
            least = scores.topk(self.top_k, dim=-1).values[..., -1:]
            scores = scores.masked_fill(scores < least, float("-inf"))
        drawn = torch.multinomial(scores.softmax(-1), 1, generator=self._generator)
        return drawn[..., 0].to(logits.device)
