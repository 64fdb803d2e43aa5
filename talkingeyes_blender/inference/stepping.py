"""A causal stack, one frame at a time: what its modules compute, without the cost of calling them.

A frame of these networks is some sixty small matrix products. Called as modules, a layer for a single frame costs more
in Python than in arithmetic, and so does each of torch's operations: on a CPU, numpy's take a third of the time, and
its products of one row read weights nearly twice as fast. So the weights are laid out once a clip as (in, out), what
surrounds a product is folded into them, and the past lies in a ring. On other devices ``stepping_torch`` does the same
with torch; the two offer the same names, and a decoder's frame is written once over either (a "kit").

A single clip has no batch axis here: (D,), not (1, D). Tests hold this and ``CausalTransformer`` together within 1e-5.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import torch
from scipy.special import erf
from torch import Tensor, nn

from .attention import CausalWindowAttention, NearAttention, distance_slopes
from .transformer import CausalLayer, CausalTransformer, periodic_position


def kit_for(device: torch.device) -> ModuleType:
    """This module on a CPU, ``stepping_torch`` elsewhere."""
    if device.type == "cpu":
        return sys.modules[__name__]
    from . import stepping_torch

    return stepping_torch


@contextlib.contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """A single frame is too small to be shared out: more threads would double the CPU time and save nothing.

    numpy's products have one thread from the import of this package on, if it comes before numpy's.
    """
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# -- what a kit offers for single numbers and arrays


def array(tensor: Tensor) -> np.ndarray:
    """Numbers that do not change."""
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())


def state(tensor: Tensor) -> np.ndarray:
    """A copy of (B, ...) that each frame overwrites with ``[...] =``."""
    whole = tensor.detach().cpu().numpy()
    return np.array(whole[0] if len(whole) == 1 else whole)


def room(batch: int, frames: int, width: int, device: torch.device) -> np.ndarray:
    """For (B, frames, width) results."""
    return np.empty((batch, frames, width), np.float32)


def tensor(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values)


def rows(table: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return table[int(numbers)] if numbers.ndim == 0 else table[numbers]


def squared(x: np.ndarray) -> np.ndarray:
    """|x|^2, with the last axis kept."""
    return x.dot(x) if x.ndim == 1 else np.add.reduce(x * x, -1, keepdims=True)


def not_below_zero(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, _ZERO)


def log_add(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """log(exp(one) + exp(other)); numpy's own goes number by number."""
    apart = np.abs(one - other)
    np.negative(apart, apart)
    np.exp(apart, apart)
    apart += _ONE
    np.log(apart, apart)
    apart += np.maximum(one, other)
    return apart


def among_largest(x: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` largest of each row; -inf for the rest."""
    least = np.partition(x, -count, -1)[..., -count, None]
    return np.where(x < least, -np.inf, x)


def captured(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """``step`` itself; a kit for a graphics card records what it does and plays that back."""
    return step


_ZERO, _ONE, _HALF_ROOT = np.float32(0), np.float32(1), math.sqrt(0.5)


class Affine:
    """A linear layer for few rows, with what is multiplied into its input and output, and added to that."""

    def __init__(self, linear: nn.Linear, scale_in=1.0, scale_out=1.0, add=0.0) -> None:
        weight, bias = linear.weight.detach().double().t(), linear.bias.detach().double()
        scale_in = torch.as_tensor(scale_in).double()
        self._set(weight * scale_in.expand(len(weight))[:, None] * scale_out, bias * scale_out + add)

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor) -> Affine:
        """``weight`` (in, out)."""
        made = cls.__new__(cls)
        made._set(weight, bias)
        return made

    def _set(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = array(weight.contiguous()), array(bias)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        out = x.dot(self.weight)
        out += self.bias
        return out


class _NormAffine:
    """A layer norm and the linear layer that follows it: ((x - mean) / s * g + h) W + b.

    Taking off the mean is a product too, so that all but the division by s is folded into W.
    """

    def __init__(self, norm: nn.LayerNorm, linear: nn.Linear, scale: Tensor | float = 1.0, factor: float = 1.0) -> None:
        """``scale``: of the outputs, before the bias and all is multiplied by ``factor``."""
        weight = linear.weight.detach().double().t() * scale * factor
        bias = linear.bias.detach().double() * scale * factor + norm.bias.detach().double() @ weight
        weight = norm.weight.detach().double()[:, None] * weight
        self._weight, self._bias, self._size = array(weight - weight.mean(0)), array(bias), _Size(norm)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        out = x.dot(self._weight)
        out *= self._size(x)
        out += self._bias
        return out


class _Size:
    """1 / s of a layer norm."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        self._dim, self._eps = norm.normalized_shape[0], norm.eps
        self._mean = np.full(self._dim, 1 / self._dim, np.float32)

    def mean(self, x: np.ndarray):
        return x.dot(self._mean)[..., None]

    def __call__(self, x: np.ndarray):
        mean = x.dot(self._mean)
        if x.ndim == 1:
            mean = float(mean)
            return np.float32(1 / math.sqrt(max(float(x.dot(x)) / self._dim - mean * mean, 0.0) + self._eps))
        variance = np.add.reduce(x * x, -1) / np.float32(self._dim) - mean * mean
        return (1 / np.sqrt(np.maximum(variance, _ZERO) + np.float32(self._eps)))[:, None]


# -- stacks


class CausalSteps:
    """The frames of ``stack`` from the first of a clip on, for ``batch`` clips side by side."""

    def __init__(self, stack: CausalTransformer, batch: int) -> None:
        self._window, self._period, self._frame, self._at = stack.window, stack.period, 0, 0
        self._layers = [_LayerSteps(layer, batch) for layer in stack.layers]
        # The penalty of age a, for a place of the ring that lies j behind the newest: twice around, so that what
        # each frame needs is a slice.
        heads = stack.layers[0].attend_self.heads
        ages = -np.arange(2 * stack.window) % stack.window
        slopes = array(distance_slopes(heads))[:, None, None]
        self._penalties = np.tile((-slopes * (ages // stack.period)).astype(np.float32), (batch, 1, 1))
        self._positions = None
        if stack.positions:
            self._positions = array(periodic_position(stack.period, 0, stack.dim, stack.period, torch.zeros(1)))
        self._norm, self._gain, self._shift = _Size(stack.norm), array(stack.norm.weight), array(stack.norm.bias)

    def remember(self, memory: Tensor | None, first: int = 0) -> bool:
        """Lay out keys and values for a stretch (B, slots * m, memory_dim) of the memory, whose frame number ``first``
        is the next one; return whether that matters to what was ``captured``."""
        self._at = first
        if memory is not None:
            for layer in self._layers:
                layer.memory.remember(memory)
        return False

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The next frame, (B, D) to (B, D)."""
        place = self._frame % self._window
        seen = min(self._frame + 1, self._window)
        bias = self._penalties[:, :, self._window - place : self._window - place + seen]
        x = x + self._positions[self._frame % self._period] if self._positions is not None else x.copy()
        for layer in self._layers:
            layer(x, place, seen, bias, self._at)
        self._frame += 1
        self._at += 1
        x -= self._norm.mean(x)
        x *= self._norm(x)
        x *= self._gain
        x += self._shift
        return x


class _LayerSteps:
    def __init__(self, layer: CausalLayer, batch: int) -> None:
        self._past = _Past(layer.norm_self, layer.attend_self, batch)
        self.memory = None
        if hasattr(layer, "attend_memory"):
            self.memory = _Memory(layer.norm_memory, layer.attend_memory, batch)
        # gelu(h) = h (1 + erf(h / sqrt 2)) / 2, and the square roots go into the weights.
        self._widen = _NormAffine(layer.norm_feed, layer.feed[0], factor=_HALF_ROOT)
        self._narrow = Affine(layer.feed[3], scale_in=_HALF_ROOT)

    def __call__(self, x: np.ndarray, place: int, seen: int, bias: np.ndarray, at: int) -> None:
        """Adds to ``x``."""
        x += self._past(x, place, seen, bias)
        if self.memory is not None:
            x += self.memory(x, at)
        hidden = self._widen(x)
        bent = erf(hidden)
        bent += _ONE
        bent *= hidden
        x += self._narrow(bent)


class _Past:
    """CausalWindowAttention with the window as a ring: a new frame takes the place of the oldest."""

    def __init__(self, norm: nn.LayerNorm, attention: CausalWindowAttention, batch: int) -> None:
        heads, dim = attention.heads, attention.out.in_features
        self._shape, self._joined = (batch * heads, 1, dim // heads), (batch, dim)[batch == 1 :]
        self._parts = (batch, 3, heads, dim // heads)
        scale = torch.ones(3 * dim, dtype=torch.float64)
        scale[:dim] = (dim // heads) ** -0.5
        self._project, self._out = _NormAffine(norm, attention.project, scale), Affine(attention.out)
        self._keys = np.zeros((batch * heads, dim // heads, attention.window), np.float32)
        self._values = np.zeros((batch * heads, attention.window, dim // heads), np.float32)

    def __call__(self, x: np.ndarray, place: int, seen: int, bias: np.ndarray) -> np.ndarray:
        parts = self._project(x).reshape(self._parts)
        self._keys[:, :, place] = parts[:, 1].reshape(-1, self._shape[2])
        self._values[:, place] = parts[:, 2].reshape(-1, self._shape[2])
        query = parts[:, 0].reshape(self._shape)
        mixed = _attend(query, self._keys[:, :, :seen], self._values[:, :seen], bias)
        return self._out(mixed.reshape(self._joined))


class _Memory:
    """NearAttention to what was remembered of speech and head."""

    def __init__(self, norm: nn.LayerNorm, attention: NearAttention, batch: int) -> None:
        heads, dim = attention.heads, attention.out.in_features
        self._attention, self._radius, self._slots = attention, attention.radius, attention.slots
        self._shape, self._joined = (batch * heads, 1, dim // heads), (batch, dim)[batch == 1 :]
        self._query, self._out = _NormAffine(norm, attention.query, (dim // heads) ** -0.5), Affine(attention.out)
        self._places = np.tile(array(attention.place)[:, None], (batch, 1, 1))
        self._keys = self._values = np.zeros((0, 0, 0), np.float32)

    def remember(self, memory: Tensor) -> None:
        keys, values = self._attention.remember(memory)
        self._keys = np.ascontiguousarray(array(keys.flatten(0, 1)).transpose(0, 2, 1))
        self._values = array(values.flatten(0, 1))

    def __call__(self, x: np.ndarray, at: int) -> np.ndarray:
        slots, radius, keys, values = self._slots, self._radius, self._keys, self._values
        low, high = max(0, at - radius), min(values.shape[1] // slots, at + 1 + radius)
        bias = self._places[:, :, (low - at + radius) * slots : (high - at + radius) * slots]
        low, high = low * slots, high * slots
        mixed = _attend(self._query(x).reshape(self._shape), keys[:, :, low:high], values[:, low:high], bias)
        return self._out(mixed.reshape(self._joined))


_ones = functools.cache(lambda count: np.ones(count, np.float32))


def _attend(query: np.ndarray, keys: np.ndarray, values: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(B * H, 1, D) queries on (B * H, D, S) keys and (B * H, S, D) values, with a bias (B * H, 1, S) on the scores."""
    scores = query @ keys
    scores += bias
    scores -= np.maximum.reduce(scores, -1, keepdims=True)
    np.exp(scores, scores)
    mixed = scores @ values
    mixed /= scores.dot(_ones(scores.shape[2]))[..., None]
    return mixed
