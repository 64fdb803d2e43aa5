"""A causal stack, one frame at a time: what its modules compute, without the cost of calling them.

A frame of these networks is some sixty small matrix products. Called as modules, a layer for a single frame costs more
in Python than in arithmetic, and the arithmetic itself waits for the weights: with few rows on the left, a product
is fastest where the weight lies as (in, out). So the weights are laid out once a clip, and the past in a ring whose
shape never changes. A test holds this and ``CausalTransformer`` together within 1e-5.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .attention import CausalWindowAttention, NearAttention, distance_slopes
from .transformer import CausalLayer, CausalTransformer, periodic_position


@contextlib.contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """A single frame is too small to be shared out: more threads would double the CPU time and save nothing."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Affine:
    """A linear layer for few rows: (B, in) to (B, out)."""

    def __init__(self, linear: nn.Linear) -> None:
        self.weight = linear.weight.detach().t().contiguous()
        self.bias = linear.bias.detach()

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


class CausalSteps:
    """The frames of ``stack`` from the first of a clip on, for ``batch`` clips side by side."""

    def __init__(self, stack: CausalTransformer, batch: int) -> None:
        self._stack, self._batch = stack, batch
        self._layers = [_LayerSteps(layer, batch) for layer in stack.layers]
        self._frame = 0
        like, window, heads = stack.norm.weight, stack.window, stack.layers[0].attend_self.heads
        ages = torch.arange(window, device=like.device)
        ages = (ages[:, None] - ages[None]) % window
        slopes = distance_slopes(heads).to(like)[None, :, None]
        penalty = -slopes * torch.div(ages, stack.period, rounding_mode="floor").to(like)[:, None]
        self._penalties = penalty.repeat(1, batch, 1)[:, :, None]
        """(window, B * H, 1, window): the distance penalty on each place of the ring, for each place of the newest."""
        self._positions = None
        if stack.positions:
            self._positions = periodic_position(stack.period, 0, stack.dim, stack.period, like)

    def remember(self, memory: Tensor) -> None:
        """Lay out keys and values for a stretch (B, slots * m, memory_dim) of the memory."""
        for layer in self._layers:
            layer.remember(memory)

    def __call__(self, x: Tensor, start: int = 0) -> Tensor:
        """The next frame, (B, D) to (B, D); it is number ``start`` of the remembered stretch."""
        place = self._frame % self._stack.window
        bias = self._penalties[place]
        if self._frame < self._stack.window - 1:
            bias = bias.narrow(2, 0, self._frame + 1)  # the rest of the ring is still empty
        if self._positions is not None:
            x = x + self._positions[self._frame % self._stack.period]
        for layer in self._layers:
            x = layer(x, place, bias, start)
        self._frame += 1
        return _norm(self._stack.norm, x)


class _LayerSteps:
    def __init__(self, layer: CausalLayer, batch: int) -> None:
        self._layer = layer
        self._past = _Past(layer.attend_self, batch)
        self._memory = _Memory(layer.attend_memory, batch) if hasattr(layer, "attend_memory") else None
        self._widen, self._narrow = Affine(layer.feed[0]), Affine(layer.feed[3])

    def remember(self, memory: Tensor) -> None:
        self._memory.remember(memory)

    def __call__(self, x: Tensor, place: int, bias: Tensor, start: int) -> Tensor:
        layer = self._layer
        x = x + self._past(_norm(layer.norm_self, x), place, bias)
        if self._memory is not None:
            x = x + self._memory(_norm(layer.norm_memory, x), start)
        return x + self._narrow(nn.functional.gelu(self._widen(_norm(layer.norm_feed, x))))


class _Past:
    """CausalWindowAttention with the window as a ring: a new frame takes the place of the oldest."""

    def __init__(self, attention: CausalWindowAttention, batch: int) -> None:
        self._heads, self._batch = attention.heads, batch
        self._project, self._out = Affine(attention.project), Affine(attention.out)
        dim = attention.out.in_features
        self._dim = dim // self._heads
        ring = self._project.bias.new_zeros(2, batch, self._heads, attention.window, self._dim)
        self._ring = ring
        self._keys = ring[0].flatten(0, 1).transpose(1, 2)
        self._values = ring[1].flatten(0, 1)

    def __call__(self, x: Tensor, place: int, bias: Tensor) -> Tensor:
        batch, heads, dim = self._batch, self._heads, self._dim
        projected = self._project(x).view(batch, 3, heads, dim)
        self._ring[:, :, :, place] = projected[:, 1:].transpose(0, 1)
        query, keys, values = projected[:, 0].reshape(batch * heads, 1, dim), self._keys, self._values
        if bias.shape[2] < values.shape[1]:
            keys, values = keys.narrow(2, 0, bias.shape[2]), values.narrow(1, 0, bias.shape[2])
        return self._out(_attend(query, keys, values, bias).view(batch, heads * dim))


class _Memory:
    """NearAttention to what was remembered of speech and head."""

    def __init__(self, attention: NearAttention, batch: int) -> None:
        self._attention, self._batch = attention, batch
        self._query, self._out = Affine(attention.query), Affine(attention.out)
        self._places = attention.place.detach().repeat(batch, 1)[:, None]
        self._keys = self._values = None

    def remember(self, memory: Tensor) -> None:
        keys, values = self._attention.remember(memory)
        self._keys, self._values = keys.flatten(0, 1).transpose(1, 2), values.flatten(0, 1)

    def __call__(self, x: Tensor, start: int) -> Tensor:
        slots, radius, heads = self._attention.slots, self._attention.radius, self._attention.heads
        frames = self._values.shape[1] // slots
        low, high = max(0, start - radius), min(frames, start + 1 + radius)
        bias, keys, values = self._places, self._keys, self._values
        if high - low <= 2 * radius:
            bias = bias.narrow(2, (low - start + radius) * slots, (high - low) * slots)
        keys = keys.narrow(2, low * slots, (high - low) * slots)
        values = values.narrow(1, low * slots, (high - low) * slots)
        query = self._query(x).view(self._batch * heads, 1, -1)
        return self._out(_attend(query, keys, values, bias).view(self._batch, -1))


def _attend(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """(B * H, 1, D) queries on (B * H, D, S) keys and (B * H, S, D) values, with a bias (B * H, 1, S) on the scores."""
    scores = torch.baddbmm(bias, query, keys, alpha=query.shape[-1] ** -0.5)
    return torch.bmm(scores.softmax(-1), values)


def _norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    return torch.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
