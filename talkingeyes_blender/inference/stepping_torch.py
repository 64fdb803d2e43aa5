"""``stepping`` in torch, for devices other than a CPU: the same names, and state that lies still.

Every frame does the same to the same memory: what changes from frame to frame, the number of the frame too, is in
tensors that are overwritten. So a frame can be recorded once (a CUDA graph) and played back, without Python and without
launching its hundred kernels one by one. Run as it is, it is the reference that the recording must equal, and what is
tested on a CPU.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import logging
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import CausalWindowAttention, NearAttention, distance_slopes
from .transformer import CausalLayer, CausalTransformer, periodic_position

log = logging.getLogger(__name__)

_WARM = 3
"""Frames that run as they are before one is recorded: libraries lay out what they need with their first calls."""


def array(tensor: Tensor) -> Tensor:
    """Numbers that do not change."""
    return tensor.detach().float().contiguous()


def state(tensor: Tensor) -> Tensor:
    """A copy of (B, ...) that each frame overwrites with ``[...] =``."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def room(batch: int, frames: int, width: int, device: torch.device) -> Tensor:
    """For (B, frames, width) results."""
    return torch.empty(batch, frames, width, device=device)


def tensor(values: Tensor, device: torch.device) -> Tensor:
    return values


def rows(table: Tensor, numbers: Tensor) -> Tensor:
    return F.embedding(numbers, table)


def squared(x: Tensor) -> Tensor:
    """|x|^2, with the last axis kept."""
    return x.square().sum(-1, keepdim=True)


def not_below_zero(x: Tensor) -> Tensor:
    return x.clamp_min(0)


def log_add(one: Tensor, other: Tensor) -> Tensor:
    return torch.logaddexp(one, other)


def among_largest(x: Tensor, count: int) -> Tensor:
    """The ``count`` largest of each row; -inf for the rest."""
    return x.masked_fill(x < x.topk(count, dim=-1).values[..., -1:], float("-inf"))


class Captured:
    """``step`` recorded as a CUDA graph with its fourth call, and played back from then on.

    Where it cannot be recorded, it runs as it is, and the log says so.
    """

    def __init__(self, step: Callable[[], None]) -> None:
        self._run, self._calls = step, 0

    def __call__(self) -> None:
        if self._calls == _WARM:
            self._run = self._recorded(self._run)
        self._calls += 1
        self._run()

    @staticmethod
    def _recorded(step: Callable[[], None]) -> Callable[[], None]:
        try:
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                step()  # recorded, not done
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            log.warning("frames are decoded without a CUDA graph: %s", str(error).partition("\n")[0])
            return step
        return graph.replay


def captured(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """What does the same as ``step``, from a recording where the device has such."""
    return Captured(step) if device.type == "cuda" else step


class Affine:
    """A linear layer, with what is multiplied into its input and output, and added to that."""

    def __init__(self, linear: nn.Linear, scale_in=1.0, scale_out=1.0, add=0.0) -> None:
        self.weight = (linear.weight.detach().t() * scale_out).contiguous()
        if isinstance(scale_in, Tensor) or scale_in != 1.0:
            self.weight = self.weight * torch.as_tensor(scale_in).to(self.weight).expand(len(self.weight))[:, None]
        self.bias = linear.bias.detach() * scale_out + add

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor) -> Affine:
        """``weight`` (in, out)."""
        made = cls.__new__(cls)
        made.weight, made.bias = array(weight), array(bias)
        return made

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


class CausalSteps:
    """The frames of ``stack`` from the first of a clip on, for ``batch`` clips side by side."""

    def __init__(self, stack: CausalTransformer, batch: int) -> None:
        self._stack = stack
        self._layers = [_LayerSteps(layer, batch) for layer in stack.layers]
        like, window, heads = stack.norm.weight, stack.window, stack.layers[0].attend_self.heads
        self._frame = torch.zeros(1, dtype=torch.long, device=like.device)
        self._at = torch.zeros(1, dtype=torch.long, device=like.device)
        places = torch.arange(window, device=like.device)
        ages = (places[:, None] - places[None]) % window
        slopes = distance_slopes(heads).to(like)[None, :, None]
        self._places = places
        self._penalties = -slopes * torch.div(ages, stack.period, rounding_mode="floor").to(like)[:, None]
        """(window, H, window): the distance penalty on each place of the ring, for each place of the newest."""
        self._positions = None
        if stack.positions:
            self._positions = periodic_position(stack.period, 0, stack.dim, stack.period, like)

    def remember(self, memory: Tensor | None, first: int = 0) -> bool:
        """Lay out keys and values for a stretch (B, slots * m, memory_dim) of the memory, whose frame number ``first``
        is the next one; return whether they lie elsewhere now, so that a recording no longer finds them."""
        self._at.fill_(first)
        if memory is None:
            return False
        moved = [layer.memory.remember(memory) for layer in self._layers]
        return any(moved)

    def __call__(self, x: Tensor) -> Tensor:
        """The next frame, (B, D) to (B, D)."""
        place = self._frame % self._stack.window
        bias = self._penalties.index_select(0, place)[0]
        bias = bias.masked_fill(self._places > self._frame, float("-inf"))  # where the ring is still empty
        if self._positions is not None:
            x = x + self._positions.index_select(0, self._frame % self._stack.period)
        for layer in self._layers:
            x = layer(x, place, bias, self._at)
        self._frame += 1
        self._at += 1
        return self._stack.norm(x)


class _LayerSteps:
    def __init__(self, layer: CausalLayer, batch: int) -> None:
        self._layer = layer
        self._past = _Past(layer.attend_self, batch)
        self.memory = _Memory(layer.attend_memory, batch) if hasattr(layer, "attend_memory") else None
        self._widen, self._narrow = Affine(layer.feed[0]), Affine(layer.feed[3])

    def __call__(self, x: Tensor, place: Tensor, bias: Tensor, at: Tensor) -> Tensor:
        layer = self._layer
        x = x + self._past(layer.norm_self(x), place, bias)
        if self.memory is not None:
            x = x + self.memory(layer.norm_memory(x), at)
        return x + self._narrow(F.gelu(self._widen(layer.norm_feed(x))))


class _Past:
    """CausalWindowAttention with the window as a ring: a new frame takes the place of the oldest."""

    def __init__(self, attention: CausalWindowAttention, batch: int) -> None:
        self._project, self._out = Affine(attention.project), Affine(attention.out)
        heads, dim = attention.heads, attention.out.in_features
        self._shape = (batch, 3, heads, dim // heads)
        ring = self._project.bias.new_zeros(2, batch, heads, attention.window, dim // heads)
        self._keys, self._values = ring

    def __call__(self, x: Tensor, place: Tensor, bias: Tensor) -> Tensor:
        query, key, value = self._project(x).view(self._shape).unbind(1)
        self._keys.index_copy_(2, place, key[:, :, None])
        self._values.index_copy_(2, place, value[:, :, None])
        return self._out(_attend(query, self._keys, self._values, bias))


class _Memory:
    """NearAttention to what was remembered of speech and head."""

    def __init__(self, attention: NearAttention, batch: int) -> None:
        self._attention = attention
        self._query, self._out = Affine(attention.query), Affine(attention.out)
        self._shape = (batch, attention.heads, attention.out.in_features // attention.heads)
        device, slots, radius = attention.place.device, attention.slots, attention.radius
        places = torch.arange(slots * (2 * radius + 1), device=device)
        self._offsets, self._within = places // slots - radius, places % slots
        self._places = attention.place.detach()
        self._frames = torch.zeros(1, dtype=torch.long, device=device)
        self._keys = self._values = None

    def remember(self, memory: Tensor) -> bool:
        keys, values = self._attention.remember(memory)
        batch, heads, length, dim = keys.shape
        moved = self._keys is None or length > self._keys.shape[2]
        if moved:
            # The first stretch of a clip lacks the frames before it that the next will have.
            room = length + 2 * self._attention.radius * self._attention.slots
            self._keys, self._values = keys.new_zeros(2, batch, heads, room, dim)
        self._keys[:, :, :length] = keys
        self._values[:, :, :length] = values
        self._frames.fill_(length // self._attention.slots)
        return moved

    def __call__(self, x: Tensor, at: Tensor) -> Tensor:
        slots, frames = self._attention.slots, self._offsets + at
        outside = (frames < 0) | (frames >= self._frames)
        where = frames.clamp_min(0).minimum(self._frames - 1) * slots + self._within
        bias = self._places.masked_fill(outside, float("-inf"))
        keys, values = self._keys.index_select(2, where), self._values.index_select(2, where)
        return self._out(_attend(self._query(x).view(self._shape), keys, values, bias))


def _attend(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """(B, H, D) queries on (B, H, S, D) keys and values, with a bias (H, S) on the scores: (B, H * D)."""
    scores = torch.matmul(keys, query[..., None])[..., 0] * (1 / math.sqrt(query.shape[-1])) + bias
    return torch.matmul(scores.softmax(-1)[:, :, None], values).flatten(1)
