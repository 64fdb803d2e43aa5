"""Attention that looks at a bounded window, so that decoding costs the same for each frame however long the clip.

One code path serves training (the whole sequence at once), chunked and frame-by-frame decoding: the cache holds what
earlier calls have seen, and an empty cache is the start of the clip. That the three agree is tested, not assumed.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def distance_slopes(heads: int) -> Tensor:
    """Slopes of the distance penalty, 2^-2 to 2^-8 over four heads as in FaceFormer; geometric for other numbers."""
    exponents = torch.linspace(2.0, 8.0, heads) if heads > 1 else torch.tensor([4.0])
    return 2.0**-exponents


class KeyValueCache:
    """Keys and values of the last ``window - 1`` frames, in a buffer that is laid out once.

    The buffer is twice the window: frames are appended, and when it is full the newest are moved to its front, so
    that the cost of a frame does not depend on how many came before.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self._keys: Tensor | None = None
        self._values: Tensor | None = None
        self._end = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add (B, H, n, D) keys and values; return those of the last frames that the n new ones may look at."""
        new = keys.shape[2]
        kept = min(self._end, self.window - 1)
        if self._keys is None or self._end + new > self._keys.shape[2]:
            self._move_to_front(keys, kept, new)
        start = self._end - min(self._end, self.window - 1)
        self._keys[:, :, self._end : self._end + new] = keys
        self._values[:, :, self._end : self._end + new] = values
        self._end += new
        return self._keys[:, :, start : self._end], self._values[:, :, start : self._end]

    def _move_to_front(self, like: Tensor, kept: int, new: int) -> None:
        batch, heads, _, dim = like.shape
        capacity = max(2 * self.window, kept + new)
        old = (self._keys, self._values, self._end)
        self._keys = like.new_empty(batch, heads, capacity, dim)
        self._values = like.new_empty(batch, heads, capacity, dim)
        if kept:
            self._keys[:, :, :kept] = old[0][:, :, old[2] - kept : old[2]]
            self._values[:, :, :kept] = old[1][:, :, old[2] - kept : old[2]]
        self._end = kept


def _split(x: Tensor, heads: int) -> Tensor:
    batch, length, dim = x.shape
    return x.view(batch, length, heads, dim // heads).transpose(1, 2)


def _join(x: Tensor) -> Tensor:
    batch, heads, length, dim = x.shape
    return x.transpose(1, 2).reshape(batch, length, heads * dim)


def _attend_one(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """Attention of a single frame: (B, H, 1, D) to (B, 1, H * D), with a bias (H, 1, S) on the scores.

    The same as scaled_dot_product_attention, which costs several times as much for one frame with a bias.
    """
    batch, heads, _, dim = query.shape
    keys, values = keys.flatten(0, 1), values.flatten(0, 1)
    bias = bias if batch == 1 else bias.repeat(batch, 1, 1)
    scores = torch.baddbmm(bias, query.reshape(batch * heads, 1, dim), keys.transpose(1, 2), alpha=dim**-0.5)
    return torch.bmm(scores.softmax(-1), values).view(batch, 1, heads * dim)


class CausalWindowAttention(nn.Module):
    """Self-attention of each frame to itself and the ``window - 1`` frames before it.

    The penalty ``-slope * floor(distance / period)`` on the scores is FaceFormer's, which makes near frames weigh
    more; it depends on distances alone, so there is no table of positions that ends.
    """

    def __init__(self, dim: int, heads: int, window: int, period: int) -> None:
        super().__init__()
        self.heads, self.window, self.period = heads, window, period
        self.project = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        slopes = distance_slopes(heads)
        self.register_buffer("slopes", slopes, persistent=False)
        steps = torch.arange(window - 1, -1, -1).div(period, rounding_mode="floor")
        self.register_buffer("bias_of_one", -slopes[:, None, None] * steps, persistent=False)
        """(H, 1, window): the penalty as a frame at the window's end sees it; its end serves shorter pasts."""

    def forward(self, x: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """(B, n, D) to (B, n, D); with a cache, the n frames follow those that it holds."""
        query, key, value = (_split(part, self.heads) for part in self.project(x).chunk(3, dim=-1))
        if cache is not None:
            key, value = cache.append(key, value)
        new, seen = query.shape[2], key.shape[2]
        if new == 1:
            bias = self.bias_of_one[..., self.window - seen :].to(query.dtype)
            return self.out(_attend_one(query, key, value, bias))
        at = torch.arange(seen - new, seen, device=x.device)
        distance = at[:, None] - torch.arange(seen, device=x.device)[None]
        bias = -self.slopes[:, None, None] * torch.div(distance, self.period, rounding_mode="floor")
        bias = bias.masked_fill((distance < 0) | (distance >= self.window), float("-inf")).to(query.dtype)
        return self.out(_join(F.scaled_dot_product_attention(query, key, value, attn_mask=bias)))


class LocalAttention(nn.Module):
    """Self-attention to frames at most ``radius`` away on both sides, with the same distance penalty."""

    def __init__(self, dim: int, heads: int, radius: int, period: int) -> None:
        super().__init__()
        self.heads, self.radius, self.period = heads, radius, period
        self.project = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.register_buffer("slopes", distance_slopes(heads), persistent=False)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """(B, T, D) to (B, T, D); frames where ``valid`` (B, T) is False are not looked at."""
        query, key, value = (_split(part, self.heads) for part in self.project(x).chunk(3, dim=-1))
        at = torch.arange(x.shape[1], device=x.device)
        distance = (at[:, None] - at[None]).abs()
        bias = -self.slopes[:, None, None] * torch.div(distance, self.period, rounding_mode="floor")
        bias = bias.masked_fill(distance > self.radius, float("-inf"))[None].to(query.dtype)
        if valid is not None:
            # A frame always sees itself, so that a padded row stays finite.
            hidden = ~valid[:, None, None, :] & (distance > 0)[None, None]
            bias = bias.masked_fill(hidden, float("-inf"))
        return self.out(_join(F.scaled_dot_product_attention(query, key, value, attn_mask=bias)))


class NearAttention(nn.Module):
    """Cross-attention of frame t to the memory slots of frames t - radius to t + radius.

    ``slots`` memory slots belong to a frame: one where modalities are joined along features, two where they are
    joined along time (Eq. 9 of TalkingEyes leaves it open). With radius 0 and one slot this is FaceFormer's alignment
    mask, which is exactly a linear layer.
    """

    def __init__(self, dim: int, memory_dim: int, heads: int, radius: int, slots: int = 1) -> None:
        super().__init__()
        self.heads, self.radius, self.slots = heads, radius, slots
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(memory_dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.place = nn.Parameter(torch.zeros(heads, slots * (2 * radius + 1)))
        """Learned score of each place in the window, so that heads can tell before from after."""

    def remember(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, slots * m, D/H) of (B, slots * m, memory_dim) memory, computed once for a stretch."""
        key, value = (_split(part, self.heads) for part in self.key_value(memory).chunk(2, dim=-1))
        return key.contiguous(), value.contiguous()

    def forward(
        self, x: Tensor, remembered: tuple[Tensor, Tensor], start: int = 0, present: Tensor | None = None
    ) -> Tensor:
        """(B, n, D) queries whose first frame is number ``start`` of the remembered frames.

        Frames where ``present`` (B, m) is False are padding, which is not attended to; training alone needs it.
        """
        keys, values = remembered
        new, frames = x.shape[1], keys.shape[2] // self.slots
        low, high = max(0, start - self.radius), min(frames, start + new + self.radius)
        span = slice(low * self.slots, high * self.slots)
        if new == 1:
            first = (low - start + self.radius) * self.slots
            bias = self.place[:, None, first : first + span.stop - span.start].to(x.dtype)
            return self.out(_attend_one(_split(self.query(x), self.heads), keys[:, :, span], values[:, :, span], bias))
        at = torch.arange(start, start + new, device=x.device)
        offset = torch.arange(low, high, device=x.device)[None] - at[:, None] + self.radius
        outside = (offset < 0) | (offset > 2 * self.radius)
        column = (offset.clamp(0, 2 * self.radius)[..., None] * self.slots) + torch.arange(self.slots, device=x.device)
        bias = self.place[:, column.flatten(1)]
        bias = bias.masked_fill(outside.repeat_interleave(self.slots, 1)[None], float("-inf")).to(x.dtype)
        if present is not None:
            absent = (~present[:, low:high]).repeat_interleave(self.slots, 1)[:, None, None]
            # A large number and not infinity: a frame far in the padding sees padding alone, and must not be NaN.
            bias = bias[None] + absent.to(x.dtype) * -1e4
        query = _split(self.query(x), self.heads)
        mixed = F.scaled_dot_product_attention(query, keys[:, :, span], values[:, :, span], attn_mask=bias)
        return self.out(_join(mixed))
