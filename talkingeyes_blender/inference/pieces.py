"""One take given away piece by piece while the rest is made, for a preview.

What is computed is what ``Generator.generate`` computes: speech and head of the whole clip come first, since levels are
those of all of it, and then face and gaze, which are causal, are decoded side by side instead of one after the other.
So a piece is the very motion that the whole take will hold there, but for the rounding of sums in steps that go over
all frames at once.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..motion import FPS, Motion
from .closing import decide_lips
from .face_decoder import FaceSteps
from .fixating import Fixating
from .gaze_decoder import CodeSampler, GazeSteps
from .silence import rest_where_silent

if TYPE_CHECKING:
    from .bundle import Bundle

OnPiece = Callable[[int, Motion], None]
"""Told the first frame of a piece and its motion; it may raise Cancelled."""

FIRST = 50
"""Frames of the first piece: 2 s are enough to begin with, while more are made."""


@dataclasses.dataclass(frozen=True, eq=False)
class Ready:
    """What of a take is known for all frames before its face and gaze are decoded."""

    face_features: Tensor
    gaze_features: Tensor
    """(1, T, S)."""
    face: np.ndarray | None
    """(T, E + 3) where it is remembered from an earlier take."""
    head: Tensor
    """(1, T, 3)."""
    gain: np.ndarray
    """(T,) of the mouth, see ``silence``."""
    blink: np.ndarray
    seed: int


@torch.inference_mode()
def decode(
    bundle: Bundle,
    ready: Ready,
    sampler: CodeSampler | None,
    fixate: float,
    block: int,
    on_piece: OnPiece,
    tick: Callable[[int], None],
) -> tuple[Tensor | None, Tensor]:
    """Face (1, T, E + 3), None where ``ready`` has it, and eyes (1, T, 6), as the decoders' ``generate`` makes them.

    ``block``: frames that are laid out at a time; the sums are those of ``generate`` with the same number.
    """
    frames = ready.head.shape[1]
    face = None if ready.face is not None else _Decoded(FaceSteps(bundle.face_decoder, 1), ready.face_features)
    gaze = _Decoded(GazeSteps(bundle.gaze_decoder, bundle.gaze_vqvae, 1, sampler), ready.gaze_features, ready.head)
    radii = bundle.face_decoder.config.radius, bundle.gaze_decoder.config.radius
    fixating, heads = Fixating(fixate), ready.head[0].float().cpu().numpy()
    for first in range(0, frames, block):
        last = min(frames, first + block)
        for decoded, radius in zip((face, gaze), radii, strict=True):
            if decoded is not None:
                decoded.lay_out(first, last, radius)
        middle = min(last, FIRST) if first == 0 else last
        for begin, end in dict.fromkeys(((first, middle), (middle, last))):
            if begin == end:
                continue
            expression = ready.face[begin:end] if face is None else _face(bundle, ready, face.next(end - begin), begin)
            eyes = gaze.next(end - begin)[0].float().cpu().numpy()
            piece = Motion(
                expression=expression[:, :-3], jaw=expression[:, -3:], head=heads[begin:end],
                eyes=fixating(eyes, heads[begin:end]), blink=ready.blink[begin:end], seed=ready.seed,
                head_model=bundle.head_model, fps=FPS,
            )  # fmt: skip
            on_piece(begin, piece.checked())
            tick(end)
    return None if face is None else face.whole(), gaze.whole()


class _Decoded:
    """One decoder's steps over a clip, and what they have made so far."""

    def __init__(self, steps: FaceSteps | GazeSteps, *inputs: Tensor) -> None:
        self._steps, self._inputs = steps, inputs
        self._made: list[Tensor] = []

    def lay_out(self, first: int, last: int, radius: int) -> None:
        low = max(0, first - radius)
        self._steps.lay_out(*(each[:, low : last + radius] for each in self._inputs), first - low)

    def next(self, frames: int) -> Tensor:
        self._made.append(self._steps.frames(frames))
        return self._made[-1]

    def whole(self) -> Tensor:
        return torch.cat(self._made, 1)


def _face(bundle: Bundle, ready: Ready, made: Tensor, first: int) -> np.ndarray:
    """(n, E + 3) of the frames from ``first`` on, as they are written."""
    last = first + made.shape[1]
    decided = decide_lips(bundle, made[0].float().cpu().numpy(), ready.face_features[:, first:last])
    return rest_where_silent(decided, ready.gain[first:last], bundle.head_model)
