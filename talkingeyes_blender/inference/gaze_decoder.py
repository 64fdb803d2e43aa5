"""The cross-modal decoder: eye gaze from speech, head motion and its own past (TalkingEyes, Eqs. 9 and 10)."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .gaze_vqvae import GazeVQVAE
from .transformer import CausalState, CausalTransformer


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
    dropout: float = 0.1


class GazeDecoder(nn.Module):
    """D_cross-modal with the embeddings of eye gaze and head motion."""

    def __init__(self, config: GazeDecoderConfig = GazeDecoderConfig()) -> None:
        super().__init__()
        if config.memory not in ("feature", "time"):
            raise ValueError(f"memory is 'feature' or 'time', not {config.memory!r}")
        self.config = c = config
        by_time = c.memory == "time"
        self.register_buffer("eyes_scale", torch.ones(6))
        self.register_buffer("head_scale", torch.ones(3))
        self.embed_eyes = nn.Linear(6, c.dim)
        self.embed_head = nn.Linear(3, c.dim)
        self.embed_speech = nn.Linear(c.speech_dim, c.dim)
        self.start = nn.Parameter(torch.zeros(c.dim))
        """Stands for the frame before the first."""
        self.stack = CausalTransformer(
            c.dim, c.layers, c.heads, c.hidden, c.window, dropout=c.dropout,
            memory_dim=c.dim if by_time else 2 * c.dim, radius=c.radius, slots=2 if by_time else 1, positions=False,
        )  # fmt: skip
        self.out = nn.Linear(c.dim, c.code_dim)
        self.log_sharpness = nn.Parameter(torch.zeros(()))
        """Scale of the squared distances in the likelihood of a code, learned with it."""

    def set_statistics(self, eyes_scale: Tensor, head_scale: Tensor) -> None:
        """Standard deviations (6,) and (3,) of the training motion, by which the inputs are normalised."""
        self.eyes_scale.copy_(eyes_scale)
        self.head_scale.copy_(head_scale)

    def memory(self, speech: Tensor, head: Tensor) -> Tensor:
        """Keys' and values' source: speech (B, T, S) and head (B, T, 3) concatenated by feature or by time."""
        speech, head = self.embed_speech(speech), self.embed_head(head / self.head_scale)
        if self.config.memory == "feature":
            return torch.cat([speech, head], dim=-1)
        return torch.stack([speech, head], dim=2).flatten(1, 2)

    def embed_past(self, past: Tensor, begins: bool = True) -> Tensor:
        """Queries (B, n, dim) from the frames before: (B, n, 6), or (B, n - 1, 6) where the clip begins."""
        embedded = self.embed_eyes(past / self.eyes_scale)
        if begins:
            embedded = torch.cat([self.start.expand(len(past), 1, -1), embedded], dim=1)
        return embedded

    def forward(self, speech: Tensor, head: Tensor, eyes: Tensor) -> Tensor:
        """Eq. 9 with the past given: features Z-hat (B, T, C) from speech, head and true eyes (B, T, 6)."""
        remembered = self.stack.remember(self.memory(speech, head))
        return self.out(self.stack(self.embed_past(eyes[:, :-1]), remembered))

    def logits(self, features: Tensor, vqvae: GazeVQVAE, norms: Tensor | None = None) -> Tensor:
        """Log-likelihood, up to a constant, of each code: minus its scaled squared distance. (..., N).

        The paper takes the nearest code alone; this is what sampled codes and their likelihood loss stand on.
        """
        return -self.log_sharpness.exp() * vqvae.distances(features, norms)

    @torch.inference_mode()
    def generate(
        self,
        speech: Tensor,
        head: Tensor,
        vqvae: GazeVQVAE,
        choose: Callable[[Tensor], Tensor],
        block: int = 500,
        tick: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Eqs. 9 and 10 frame by frame, with caches: eye motion (B, T, 6).

        Args:
            speech: (B, T, S) speech features.
            head: (B, T, 3) head motion.
            choose: from the log-likelihoods (B, N) to code numbers (B,): see ``nearest_code`` and ``CodeSampler``.
            block: frames whose keys and values are laid out at a time, which bounds the memory.
            tick: called with the number of frames done, now and then.
        """
        frames, radius = speech.shape[1], self.config.radius
        state, motion_state = self.stack.begin(), vqvae.begin()
        norms = vqvae.code_norms()
        out = speech.new_empty(len(speech), frames, 6)
        query = self.start.expand(len(speech), 1, -1)
        for first in range(0, frames, block):
            low, high = max(0, first - radius), min(frames, first + block + radius)
            remembered = self.stack.remember(self.memory(speech[:, low:high], head[:, low:high]))
            for t in range(first, min(first + block, frames)):
                frame = self.step(query, remembered, t - low, vqvae, choose, state, motion_state, norms)
                out[:, t : t + 1] = frame
                query = self.embed_eyes(frame / self.eyes_scale)
            if tick:
                tick(min(first + block, frames))
        return out

    def step(
        self, query: Tensor, remembered, start: int, vqvae: GazeVQVAE, choose, state: CausalState,
        motion_state: CausalState, norms: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """One frame: feature, code, decoded motion (B, 1, 6)."""
        feature = self.out(self.stack(query, remembered, start, state))
        code = choose(self.logits(feature[:, 0], vqvae, norms))
        return vqvae.decode(F.embedding(code, vqvae.codebook)[:, None], motion_state)


def nearest_code(logits: Tensor) -> Tensor:
    """The paper's choice (Eq. 5): the code with the least distance."""
    return logits.argmax(-1)


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
