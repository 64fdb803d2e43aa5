"""Another seed for a part of a motion, and for some of its frames: what it takes to join new frames to kept ones.

Outside of the frames nothing changes, to the bit. Inside, each part is joined in the way in which it moves:

Gaze goes on from the kept past, which the decoder is given as its own. At the end the eyes go over to where the kept
motion looks in the last frames, so that it leaves from there as it always did. They get there as eyes do, by a saccade:
one that the new gaze makes anyway and that lands elsewhere, one behind shut lids, or else one of its own. Among some
drawings and moments the one is taken that needs the smallest, but not one that had looked where the kept gaze looks.

The head is the kept head, turned by a share of the way to the new one that rises from 0 and falls back to it.

Blinks are whole: a kept one that reaches into the frames stays, a new one that would touch it, or reach out, is left
out.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import TalkingEyesError
from ..head.rotation import compose, invert, matrix_from_axis_angle
from ..motion import FPS, Motion
from .blinks import ENVELOPE
from .fixating import LANDED, OCULAR_LIMIT, Fixating
from .gaze_decoder import CodeSampler, GazeDecoder, GazeSteps
from .gaze_vqvae import GazeVQVAE

PARTS = ("face", "head", "gaze", "blinks")
"""Chance has a hand in all but the face, which follows from the speech."""

CANDIDATES = 8
"""Heads and gazes that are drawn where they have to be joined at an end."""

SHORTEST = 5
"""Frames that a range holds at least: 0.2 s, the time of a glance or a blink."""

_FADE = 30
"""Frames over which the head goes over."""
_FADE_SPEED = np.radians(1.0)
"""The most that going over adds to the head's speed, radians a frame: 25 degrees a second."""

_LANDING = 20
"""Frames before the end within which gaze goes over at the latest."""
_PAUSE = 4
"""Frames between two saccades: 160 ms, about the least that people need for the next."""
_LEVEL = np.radians(0.5)
"""Distance up to which no saccade is needed."""
_SHUT = 0.5
"""Closure above which lids hide where eyes go."""
_OPEN = 0.05
"""Closure up to which lids count as open."""


def checked_parts(parts: Collection[str], frames: Sequence[int] | None) -> frozenset[str]:
    """The parts as a set; TalkingEyesError if there is none, an unknown one, or the face of some frames."""
    unknown = sorted(set(parts) - set(PARTS))
    if unknown or not parts:
        what = f"The part '{unknown[0]}' is not known." if unknown else "No part was named to resample."
        raise TalkingEyesError(what, f"Choose among {', '.join(PARTS)}.")
    if "face" in parts and frames is not None:
        raise TalkingEyesError(
            "The face of some frames cannot be resampled.", "It follows from the speech alone: choose other parts."
        )
    return frozenset(parts)


def checked_range(frames: Sequence[int] | None, total: int) -> tuple[int, int]:
    """(first, one behind the last) of a motion of ``total`` frames, None for all; TalkingEyesError if it has not got
    these frames or they are too few."""
    if frames is None:
        return 0, total
    first, last = (int(frame) for frame in frames)
    if not 0 <= first < last <= total:
        raise TalkingEyesError(
            f"The motion has no frames {first} to {last - 1}.", f"Choose among its frames 0 to {total - 1}."
        )
    if last - first < min(SHORTEST, total):
        raise TalkingEyesError(
            f"{last - first} frames are too few to resample.", f"Choose at least {SHORTEST}, {SHORTEST / FPS:g} s."
        )
    return first, last


# -- blinks


def join_blinks(kept: np.ndarray, drawn: np.ndarray, first: int, last: int) -> np.ndarray:
    """Closure (T, 2): ``drawn`` in the frames from ``first`` up to ``last``, ``kept`` elsewhere, each blink whole."""
    out = kept.copy()
    begins = _leaves(kept, first, 1)
    ends = _leaves(kept, last, -1)
    if begins >= ends:
        return out
    out[begins:ends] = 0
    gap = 2  # open frames between two blinks, as in ``blinks``
    low = begins + gap if first > 0 else begins
    high = ends - gap if last < len(kept) else ends
    for start in _starts(drawn):
        end = start + len(ENVELOPE)
        if low <= start and end <= high:
            out[start:end] = drawn[start:end]
    return out


def _leaves(closure: np.ndarray, frame: int, step: int) -> int:
    """Where the blink that reaches over the border before ``frame`` is over, in the direction ``step``."""
    shut = closure.max(1) > _OPEN
    if not 0 < frame < len(shut) or not (shut[frame - 1] and shut[frame]):
        return frame
    while 0 < frame < len(shut) and shut[frame if step > 0 else frame - 1]:
        frame += step
    return frame


def _starts(closure: np.ndarray) -> list[int]:
    """First frames of the blinks that ``make_blinks`` drew; two never touch."""
    shut = np.concatenate([[False], closure.max(1) > 0])
    return np.flatnonzero(shut[1:] & ~shut[:-1]).tolist()


# -- the head


def join_head(kept: np.ndarray, drawn: np.ndarray, first: int, last: int) -> np.ndarray:
    """Head (T, 3) that goes over from ``kept`` (T, 3) to the best of ``drawn`` (K, last - first, 3) and back."""
    count, total = last - first, len(kept)
    old = kept[first:last].astype(np.float64)
    turns = np.stack([compose(each, invert(old)) for each in drawn.astype(np.float64)])
    angles = np.linalg.norm(turns, axis=-1)
    at_start, at_end = first > 0, last < total
    fade = max(1, min(_FADE, count // (at_start + at_end) if at_start or at_end else count))
    near = np.zeros(len(drawn))
    if at_start:
        near = np.maximum(near, angles[:, :fade].max(1))
    if at_end:
        near = np.maximum(near, angles[:, count - fade :].max(1))
    best = int(near.argmin())
    share = np.ones(count)
    slope = _smooth(np.arange(1, fade + 1) / (fade + 1))
    if at_start:
        share[:fade] *= slope
    if at_end:
        share[count - fade :] *= slope[::-1]
    # The steepest of the slope is 1.5 of its mean.
    share *= min(1.0, _FADE_SPEED * (fade + 1) / max(1.5 * near[best], 1e-9))
    out = kept.copy()
    out[first:last] = compose(turns[best] * share[:, None], old)
    return out


def _smooth(x: np.ndarray) -> np.ndarray:
    return x * x * (3 - 2 * x)


# -- gaze


@torch.inference_mode()
def draw_gaze(
    decoder: GazeDecoder,
    vqvae: GazeVQVAE,
    speech: Tensor,
    head: Tensor,
    eyes: np.ndarray,
    first: int,
    last: int,
    sampler: CodeSampler | None,
    takes: int,
    block: int,
    tick: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Eyes (K, last - first, 6) that go on from the kept ``eyes`` (T, 6) before ``first``, in ``takes`` drawings.

    ``speech`` (1, T, S) and ``head`` (1, T, 3) are the whole clip's. The decoder sees as much of the past as it ever
    does. ``tick`` is called with the number of ``frames_to_draw`` that are done.
    """
    begin = first - reach(decoder, first)
    steps = GazeSteps(decoder, vqvae, takes, sampler)
    rebuilt = None
    if first > 0:
        low = max(0, begin - 2 * vqvae.config.encoder_radius)
        past = torch.from_numpy(eyes[low:first]).to(speech)[None]
        codes = vqvae.nearest(vqvae.encode(past))[:, begin - low :]
        past = past[:, begin - low :]
        for at, count, stretch in _blocks(begin, first, decoder.config.radius, block):
            part = slice(at - begin, at - begin + count)
            rebuilt = steps.follow(
                speech[:, stretch].expand(takes, -1, -1), head[:, stretch].expand(takes, -1, -1), at - stretch.start,
                past[:, part].expand(takes, -1, -1), codes[:, part].expand(takes, -1),
            )  # fmt: skip
            if tick:
                tick(at + count - begin)
    out = []
    for at, count, stretch in _blocks(first, last, decoder.config.radius, block):
        out.append(
            steps(
                speech[:, stretch].expand(takes, -1, -1), head[:, stretch].expand(takes, -1, -1), at - stretch.start,
                count,
            )
        )  # fmt: skip
        if tick:
            tick(at + count - begin)
    drawn = torch.cat(out, 1).float().cpu().numpy()
    return drawn if rebuilt is None else _without_offset(drawn, rebuilt.float().cpu().numpy(), eyes[first - 1])


def frames_to_draw(decoder: GazeDecoder, first: int, last: int) -> int:
    """Frames that ``draw_gaze`` goes through."""
    return reach(decoder, first) + last - first


def reach(decoder: GazeDecoder, first: int) -> int:
    """Frames before ``first`` that have a say in it."""
    return min(first, decoder.config.layers * decoder.config.window)


def _blocks(first: int, last: int, radius: int, block: int):
    """(frame, frames from there, stretch of memory that they need) for stretches of at most ``block`` frames."""
    for at in range(first, last, block):
        count = min(block, last - at)
        yield at, count, slice(max(0, at - radius), at + count + radius)


def _without_offset(drawn: np.ndarray, rebuilt: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Move ``drawn`` by what codes make of the frame before it and what that is, up to the first saccade.

    Codes give a pose to some tenths of a degree only, and less well where a hand has been at work.
    """
    before = np.concatenate([rebuilt[:, None], drawn[:, :-1]], 1)
    moving = np.degrees(_apart(drawn, before)) > LANDED
    for each, jumps, was in zip(drawn, moving, rebuilt, strict=True):
        until = int(jumps.argmax()) if jumps.any() else len(each)
        each[:until] += last - was
    return drawn


def fixate(drawn: np.ndarray, head: np.ndarray, eyes: np.ndarray, first: int, leave: float) -> np.ndarray:
    """``Fixating`` for each of ``drawn`` (K, n, 6), going on from where the kept ``eyes`` (T, 6) look."""
    out = []
    for each in drawn:
        step = Fixating(leave)
        if first > 0:
            step(eyes[first - 1 : first], head[first - 1 : first])
        out.append(step(each, head[first : first + len(each)]))
    return np.stack(out)


def join_gaze(kept: Motion, drawn: np.ndarray, made: Motion, first: int) -> np.ndarray:
    """Eyes (T, 6) with the best of ``drawn`` (K, n, 6) from frame ``first`` on, going over to the kept at their end.

    Where the head of the motion ``made`` is not the kept one, the eyes turn on to what they looked at.
    """
    count = drawn.shape[1]
    last = first + count
    out = kept.eyes.copy()
    if last == kept.frames:
        out[first:] = drawn[0]
        return out
    inside = slice(first, last)
    there = look_there(kept.eyes[inside], kept.head[inside], made.head[inside])
    cost = _costs(drawn, there, kept.eyes[last], made.blink[inside].max(1))
    take, at = np.unravel_index(int(cost.argmin()), cost.shape)
    at = int(at) + 1
    new = drawn[take].astype(np.float64)
    distance = float(_apart(new[at - 1], there[at]))
    steps = min(at, _saccade_frames(distance) if distance > _LEVEL else _PAUSE)
    new[at:] = there[at:]
    for frame in range(at - steps + 1, at):
        share = _minimum_jerk((frame - (at - steps)) / steps)
        new[frame] += share * (there[at] - new[frame])
    out[inside] = new
    return out


def _costs(drawn: np.ndarray, there: np.ndarray, after: np.ndarray, closure: np.ndarray) -> np.ndarray:
    """(K, n - 1): how little it would become eyes to go over between two frames, in degrees of a saccade."""
    count = drawn.shape[1]
    distance = np.degrees(_apart(drawn[:, :-1], there[1:]))
    arrival = np.arange(1, count)
    cost = distance + 0.15 * (count - arrival)
    window = min(_LANDING, max(2, count // 2))
    cost = np.where((arrival < count - window) | (arrival > count - 1 - (count > 2)), np.inf, cost)
    hidden = (closure[1:] > _SHUT) & (closure[:-1] > _SHUT)
    jump = distance > np.degrees(_LEVEL)
    own = np.degrees(_apart(drawn[:, 1:], drawn[:, :-1])) > LANDED
    kept = np.degrees(_apart(np.concatenate([there[1:], after[None]]), there)) > LANDED
    cost -= np.where(jump & hidden, 4.0, 0.0)
    cost -= np.where(jump & own, np.minimum(2.0, distance), 0.0)
    soon_before = np.stack([_any_before(each, _PAUSE - 1) for each in own])
    cost += np.where(jump & soon_before, 4.0, 0.0)
    cost += np.where(jump & _any_after(kept, _PAUSE)[1:], 4.0, 0.0)
    # Not into the middle of a kept saccade.
    cost += np.where(kept[1:], 6.0, 0.0)
    # Who resamples wants to see something else: eyes that rest where they did join best of all.
    other = np.maximum.accumulate(np.degrees(_apart(drawn, there)), axis=1)[:, :-1]
    cost += _SAME * np.exp(-other)
    return cost


_SAME = 20.0
"""Degrees of a saccade that a gaze costs which is the kept one."""


def _any_before(moves: np.ndarray, frames: int) -> np.ndarray:
    out = np.zeros_like(moves)
    for back in range(1, frames + 1):
        out[back:] |= moves[:-back]
    return out


def _any_after(moves: np.ndarray, frames: int) -> np.ndarray:
    return _any_before(moves[::-1], frames - 1)[::-1] | moves


def look_there(eyes: np.ndarray, old_head: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Eyes (n, 6) that look from under ``head`` (n, 3) at what ``eyes`` looked at from under ``old_head``."""
    turned = (head != old_head).any(1)
    if not turned.any():
        return eyes.astype(np.float64)
    middle, apart = (eyes[:, 0:3] + eyes[:, 3:6]) / 2, (eyes[:, 0:3] - eyes[:, 3:6]) / 2
    inside = matrix_from_axis_angle(middle)[:, :, 2]
    space = np.einsum("tij,tj->ti", matrix_from_axis_angle(old_head), inside)
    back = np.einsum("tji,tj->ti", matrix_from_axis_angle(head), space)
    axis = np.stack([-back[:, 1], back[:, 0], np.zeros(len(back))], 1)
    axis /= np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-12)
    angle = np.arccos(np.clip(back[:, 2], -1, 1))
    # What the kept middle has of torsion, it keeps; Listing's axis for the rest.
    flat = np.stack([-inside[:, 1], inside[:, 0], np.zeros(len(inside))], 1)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    was = flat * np.arccos(np.clip(inside[:, 2], -1, 1))[:, None]
    middle = middle + axis * np.minimum(angle, OCULAR_LIMIT)[:, None] - was
    there = np.concatenate([middle + apart, middle - apart], axis=1)
    return np.where(turned[:, None], there, eyes)


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Radians between two gazes (..., 6), by the eyes' mean."""
    difference = one - other
    return np.linalg.norm((difference[..., 0:3] + difference[..., 3:6]) / 2, axis=-1)


def _saccade_frames(distance: float) -> int:
    """Frames from the start to the landing of a saccade of so many radians: 25 ms and 2.4 ms a degree."""
    return max(1, round((0.025 + 0.0024 * np.degrees(distance)) * FPS))


def _minimum_jerk(x: float) -> float:
    """Share of the way after a share of the time (Flash and Hogan 1985): a saccade's bell of velocity."""
    return x * x * x * (10 - 15 * x + 6 * x * x)
