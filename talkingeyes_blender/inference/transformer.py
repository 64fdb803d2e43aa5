"""Transformer stacks from the attentions of this package: causal with a cache, and local without."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .attention import CausalWindowAttention, KeyValueCache, LocalAttention, NearAttention


def periodic_position(frames: int, offset: int, dim: int, period: int, like: Tensor) -> Tensor:
    """(frames, dim) sinusoid that repeats every ``period`` frames (FaceFormer), for frames from number ``offset``."""
    at = (torch.arange(offset, offset + frames, device=like.device) % period).to(torch.float32)
    rates = torch.exp(torch.arange(0, dim, 2, device=like.device) * (-math.log(10000.0) / dim))
    angle = at[:, None] * rates
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :dim].to(like.dtype)


def _feed_forward(dim: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))


class CausalLayer(nn.Module):
    """Pre-norm layer: causal self-attention, cross-attention to a memory where there is one, feed-forward."""

    def __init__(
        self, dim: int, heads: int, hidden: int, window: int, period: int, dropout: float,
        memory_dim: int = 0, radius: int = 0, slots: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm_self = nn.LayerNorm(dim)
        self.attend_self = CausalWindowAttention(dim, heads, window, period)
        if memory_dim:
            self.norm_memory = nn.LayerNorm(dim)
            self.attend_memory = NearAttention(dim, memory_dim, heads, radius, slots)
        self.norm_feed = nn.LayerNorm(dim)
        self.feed = _feed_forward(dim, hidden, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, cache: KeyValueCache | None, remembered=None, start: int = 0, present: Tensor | None = None
    ) -> Tensor:
        x = x + self.dropout(self.attend_self(self.norm_self(x), cache))
        if remembered is not None:
            x = x + self.dropout(self.attend_memory(self.norm_memory(x), remembered, start, present))
        return x + self.dropout(self.feed(self.norm_feed(x)))


class CausalState:
    """What a causal stack carries from call to call: its caches and how many frames it has seen."""

    def __init__(self, layers: int, window: int) -> None:
        self.caches = [KeyValueCache(window) for _ in range(layers)]
        self.frames = 0


class CausalTransformer(nn.Module):
    """A stack of CausalLayer, exact whole, in chunks or frame by frame.

    ``positions`` adds FaceFormer's periodic position. Gaze goes without: a saccade has no business with the phase of
    a second, and a fixation must decode to the same pose in each.
    """

    def __init__(
        self, dim: int, layers: int, heads: int, hidden: int, window: int, period: int = 25, dropout: float = 0.1,
        memory_dim: int = 0, radius: int = 0, slots: int = 1, positions: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim, self.window, self.period, self.positions = dim, window, period, positions
        self.layers = nn.ModuleList(
            CausalLayer(dim, heads, hidden, window, period, dropout, memory_dim, radius, slots) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)

    def begin(self) -> CausalState:
        return CausalState(len(self.layers), self.window)

    def remember(self, memory: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of each layer for a stretch of memory (B, slots * m, memory_dim)."""
        return [layer.attend_memory.remember(memory) for layer in self.layers]

    def forward(
        self, x: Tensor, remembered=None, start: int = 0, state: CausalState | None = None,
        present: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """(B, n, D) to (B, n, D).

        ``remembered`` comes from ``remember``; the first of the n frames is number ``start`` of it. With a ``state``
        the n frames follow those that it has seen; without one they are the start of the clip. ``present`` (B, m) marks
        the remembered frames that are no padding.
        """
        if self.positions:
            x = x + periodic_position(x.shape[1], state.frames if state else 0, self.dim, self.period, x)
        for number, layer in enumerate(self.layers):
            cache = state.caches[number] if state else None
            x = layer(x, cache, remembered[number] if remembered is not None else None, start, present)
        if state:
            state.frames += x.shape[1]
        return self.norm(x)


class LocalLayer(nn.Module):
    """Pre-norm layer with attention to both sides, within a radius."""

    def __init__(self, dim: int, heads: int, hidden: int, radius: int, period: int, dropout: float) -> None:
        super().__init__()
        self.norm_self = nn.LayerNorm(dim)
        self.attend_self = LocalAttention(dim, heads, radius, period)
        self.norm_feed = nn.LayerNorm(dim)
        self.feed = _feed_forward(dim, hidden, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        x = x + self.dropout(self.attend_self(self.norm_self(x), valid))
        return x + self.dropout(self.feed(self.norm_feed(x)))


class LocalTransformer(nn.Module):
    """A stack of LocalLayer: sees the past and the future, for encoders and one-shot decoders."""

    def __init__(
        self, dim: int, layers: int, heads: int, hidden: int, radius: int, period: int = 25, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(LocalLayer(dim, heads, hidden, radius, period, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, valid)
        return self.norm(x)


def hold_last_valid(x: Tensor, valid: Tensor) -> Tensor:
    """Repeat the last valid frame into the padding, as replicate padding would at the end of the clip."""
    last = (valid * torch.arange(1, valid.shape[1] + 1, device=x.device)).argmax(1)
    held = x[torch.arange(len(x), device=x.device), last][:, None]
    return torch.where(valid[..., None], x, held)
