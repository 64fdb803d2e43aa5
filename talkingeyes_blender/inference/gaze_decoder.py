"""The cross-modal decoder: eye gaze from speech, head motion and its own past (TalkingEyes, Eqs. 9 and 10)."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import stepping, stepping_torch
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


_DRAWN_AHEAD = 1 << 18
"""Numbers that are drawn at a time."""

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
        self, speech: Tensor, head: Tensor, eyes: Tensor, codes: Tensor | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Eq. 9 with the past given: features Z-hat (B, T, C), and what they came from, (B, T, dim), for ``logits``.

        Args:
            speech: (B, T, S) speech features.
            head: (B, T, 3) head motion.
            eyes: (B, T, 6) true eye motion; the last frame is not looked at.
            codes: (B, T, C) features of the true codes, where the past is 'code'.
            present: (B, T) bool, False where a sequence is padded.
        """
        remembered = self.stack.remember(self.memory(speech, head))
        start, before = self.start.expand(len(eyes), 1, -1), None
        if self.config.past == "code":
            before = torch.cat([torch.zeros_like(codes[:, :1]), codes[:, :-1]], dim=1)
            codes = codes[:, :-1]
        past = torch.cat([start, self.embed_past(eyes[:, :-1], codes)], dim=1)
        hidden = self.stack(past, remembered, present=present)
        return self.predict(hidden, before), hidden

    def sharpness(self) -> Tensor:
        """By how much a code's log-likelihood falls for each unit of squared distance."""
        return (_SHARPNESS_PACE * self.log_sharpness).exp()

    def logits(self, features: Tensor, hidden: Tensor, vqvae: GazeVQVAE) -> Tensor:
        """Log-likelihood (..., N), up to a constant, of each code: by its scaled squared distance, and by ``jumps``.

        The paper takes the code nearest to the feature; this is what sampled codes and their likelihood loss stand on.
        """
        return self.likelihood(vqvae.distances(features), self.jump(hidden) if self.config.jumps else None)

    def likelihood(self, distances: Tensor, jumps: Tensor | None) -> Tensor:
        """What ``logits`` returns, from the squared distances (..., N) and the part for jumps (..., N)."""
        near = -self.sharpness() * distances
        return near if jumps is None else torch.logaddexp(near.float(), jumps.float())

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
        steps = GazeSteps(self, vqvae, len(speech), sampler)
        out = speech.new_empty(len(speech), frames, self.config.channels)
        for first in range(0, frames, block):
            last, low = min(frames, first + block), max(0, first - radius)
            stretch = slice(low, last + radius)
            out[:, first:last] = steps(speech[:, stretch], head[:, stretch], first - low, last - first)
            if tick:
                tick(last)
        return out


class GazeSteps:
    """Eqs. 9 and 10 for the next frames of ``batch`` clips side by side, from their first frame on."""

    @torch.inference_mode()
    def __init__(self, decoder: GazeDecoder, vqvae: GazeVQVAE, batch: int, sampler: CodeSampler | None = None) -> None:
        codebook, device = vqvae.codebook.detach(), vqvae.codebook.device
        self._decoder, self._batch, self._sampler, self._device = decoder, batch, sampler, device
        self._kit = kit = stepping.kit_for(device)
        self._steps, self._decode = kit.CausalSteps(decoder.stack, batch), vqvae.decode_steps(batch)
        centre = codebook.mean(0)
        self._feature = kit.Affine(decoder.out, scale_out=decoder.code_scale, add=-centre)
        # |f - c|^2 = |f|^2 + (|c|^2 - 2 f c), both taken from the codebook's centre (GazeVQVAE.code_distances).
        centred = codebook - centre
        self._to_codes = kit.Affine.of(-2 * centred.T, centred.square().sum(1))
        self._sharpness = kit.array(-decoder.sharpness())
        self._jump = kit.Affine(decoder.jump) if decoder.config.jumps else None
        self._embed_eyes = kit.Affine(decoder.embed_eyes, scale_in=1 / decoder.eyes_scale)
        self._before = self._embedded = None
        if decoder.config.past == "code":
            # A last row stands for the code before the first frame's.
            self._before = kit.array(F.pad(codebook, (0, 0, 0, 1)))
            self._embedded = kit.array(F.pad(decoder.embed_code(codebook / decoder.code_scale), (0, 0, 0, 1)))
        self._query = kit.state(decoder.start.expand(batch, -1))
        self._code = kit.state(torch.full((batch,), len(codebook), device=device))
        self._made = kit.state(vqvae.mean.expand(batch, -1))
        self._lead = kit.state(torch.zeros(batch, len(codebook), device=device))
        self._step = kit.captured(self._frame, device)

    def _frame(self) -> None:
        """One frame: from the query, the code before and the codes' leads to motion, and to the next query."""
        kit = self._kit
        hidden = self._steps(self._query)
        feature = self._feature(hidden)
        if self._before is not None:
            feature = feature + kit.rows(self._before, self._code)
        distances = kit.not_below_zero(self._to_codes(feature) + kit.squared(feature))
        if self._sampler is None:
            self._code[...] = distances.argmin(-1)
        else:
            logits = distances * self._sharpness
            if self._jump is not None:
                logits = kit.log_add(logits, self._jump(hidden))
            self._code[...] = self._sampler.choose(kit, logits, self._lead)
        self._made[...] = self._decode(self._code)
        self._ask(self._made)

    def _ask(self, frame: Any) -> None:
        """Make the query for the frame that follows ``frame`` (B, 6)."""
        self._query[...] = self._embed_eyes(frame)
        if self._embedded is not None:
            self._query += self._kit.rows(self._embedded, self._code)

    @torch.inference_mode()
    def follow(self, speech: Tensor, head: Tensor, first: int, eyes: Tensor, codes: Tensor) -> Tensor:
        """Take ``eyes`` (B, n, 6), whose ``codes`` (B, n) are given, as the next frames; else as ``__call__``.

        Returns what the codes make of the last of them, (B, 6).
        """
        self.lay_out(speech, head, first)
        for t in range(eyes.shape[1]):
            self._steps(self._query)
            self._code[...] = self._kit.state(codes[:, t])
            self._made[...] = self._decode(self._code)
            self._ask(self._kit.state(eyes[:, t].float()))
        rebuilt = self._kit.room(self._batch, 1, eyes.shape[2], self._device)
        rebuilt[:, 0] = self._made
        return self._kit.tensor(rebuilt, self._device)[:, 0]

    @torch.inference_mode()
    def __call__(self, speech: Tensor, head: Tensor, first: int, count: int) -> Tensor:
        """(B, count, 6) for frames ``first`` and on of a stretch of speech (B, n, S) and head (B, n, 3)."""
        self.lay_out(speech, head, first)
        return self.frames(count)

    @torch.inference_mode()
    def lay_out(self, speech: Tensor, head: Tensor, first: int) -> None:
        """Take in a stretch of speech (B, n, S) and head (B, n, 3) whose frame number ``first`` is the next one."""
        if self._steps.remember(self._decoder.memory(speech, head), first):
            self._step = self._kit.captured(self._frame, self._device)

    @torch.inference_mode()
    def frames(self, count: int) -> Tensor:
        """(B, count, 6) for the next frames of the stretch."""
        out = self._kit.room(self._batch, count, self._decoder.config.channels, self._device)
        for t in range(count):
            if self._sampler is not None:
                self._lead[...] = self._sampler.lead(self._batch, self._lead.shape[-1], self._device)
            self._step()
            out[:, t] = self._made
        return self._kit.tensor(out, self._device)


class CodeSampler:
    """Draws codes by softmax(logits / temperature) among the ``top_k`` likeliest.

    The likeliest code wins after each has been given a Gumbel-distributed lead, which is the same as a draw by
    likelihood. What rounding changes in the logits then matters only where two codes are about level; on the steps of
    a cumulative sum it would, at one of the thousand, each few hundred frames.
    """

    def __init__(self, seeds: int | Sequence[int], temperature: float = 1.0, top_k: int = 0) -> None:
        """``seeds``: one for all clips of a batch, or one for each, which then draws as it would alone."""
        self.temperature, self.top_k = float(temperature), int(top_k)
        seeds = [seeds] if isinstance(seeds, int) else seeds
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self._leads: list = []

    def __call__(self, logits: Tensor) -> Tensor:
        """(B, N) logits to (B,) numbers of codes."""
        lead = self.lead(*logits.shape, logits.device)
        return self.choose(stepping_torch, logits.detach().float(), torch.as_tensor(lead))

    def choose(self, kit: ModuleType, logits: Any, lead: Any) -> Any:
        """Numbers of codes (B,) from logits and leads (B, N), arrays of a kit."""
        if self.temperature == 0:
            return logits.argmax(-1)
        scores = logits if self.temperature == 1 else logits / self.temperature
        if 0 < self.top_k < scores.shape[-1]:
            scores = kit.among_largest(scores, self.top_k)
        return (scores + lead).argmax(-1)

    def lead(self, batch: int, codes: int, device: torch.device) -> Any:
        """The leads (B, N) of the next frame, an array of the device's kit; 0 where none are used."""
        if self.temperature == 0:
            return 0.0
        if not self._leads:
            self._leads = self._draw(batch // len(self._generators), codes, device)
        return self._leads.pop()

    def _draw(self, rows: int, codes: int, device: torch.device) -> list:
        """Leads for some frames to come. Chance is the CPU's, so that a seed means the same on every device."""
        frames = max(1, _DRAWN_AHEAD // (rows * codes))
        drawn = [g.standard_exponential((frames, rows, codes)).astype(np.float32) for g in self._generators]
        leads = -np.log(np.concatenate(drawn, 1))
        if device.type == "cpu":
            return list(leads[:, 0] if leads.shape[1] == 1 else leads)
        return list(torch.from_numpy(leads).to(device).unbind())
