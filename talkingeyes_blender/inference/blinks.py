"""Blinks by their statistics (TalkingEyes, Section IV-E): a rate for the clip, intervals from it, an envelope each."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..motion import FPS

RATE_MEAN = 40.10
RATE_DEVIATION = 15.42
"""Blinks a minute in the paper's dataset: N(40.10, 15.42). Resting people blink 11 to 19 times."""

RATE_MAX = 90.0
"""The highest mean rate that can be asked for."""

ENVELOPE = np.array([0.5, 0.9, 1.0, 0.9, 0.5], np.float32)
"""Closure over the paper's window of five frames."""

_LEAST = 5.0 / RATE_MEAN
"""Share of the mean below which a drawn rate is drawn again: 5 a minute of 40.10, which strikes one clip in ninety."""

_GAP = 7
"""Fewest frames from one blink's start to the next one's: the lids are open for two frames in between."""

_SHORTEST_MEAN = 1.25 * _GAP
"""Fewest frames that an interval lasts on average, whatever rate was drawn; it strikes rates above 171 a minute."""

_REGULARITY = 3.0
"""Shape of the gamma distribution of what intervals last beyond the least: 1 would be pure chance, infinity a clock."""

_ASYMMETRY = 0.06
"""One eye's flanks may be lower than the other's, through an exponent of up to 1 + this."""


def draw_rate(random: np.random.Generator, mean: float | None = None) -> float:
    """Blinks a minute for one clip, always above 0.

    Drawn from the paper's N(40.10, 15.42), or about another ``mean`` with the same relative deviation; a rate below an
    eighth of the mean (5 of 40.10) is drawn again, which raises the average by 1.2 %.
    """
    mean = RATE_MEAN if mean is None else float(mean)
    while True:
        factor = random.normal(1.0, RATE_DEVIATION / RATE_MEAN)
        if factor >= _LEAST:
            return mean * factor


def make_blinks(frames: int, random: np.random.Generator, mean_rate: float | None = None) -> np.ndarray:
    """Closure of the left, then the right lids over a clip: (frames, 2) float32 in 0..1.

    Args:
        frames: length of the clip at 25 a second.
        random: where the rate, the intervals and the small difference between the eyes come from.
        mean_rate: blinks a minute, on average over clips; None for the paper's, 0 for none.

    Blinks are whole: none is cut by the clip's ends, and none touches the next.
    """
    closure = np.zeros((frames, 2), np.float32)
    for start, envelope in blinks(random, mean_rate):
        if start + len(envelope) > frames:
            break
        closure[start : start + len(envelope)] = envelope
    return closure


def blinks(random: np.random.Generator, mean_rate: float | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """First frame and closure (5, 2) of blink after blink of a clip, without end; none for a rate of 0."""
    if mean_rate is not None and mean_rate <= 0:
        return
    mean = max(60.0 * FPS / draw_rate(random, mean_rate), _SHORTEST_MEAN)
    exponents = 1.0 + np.array([0.0, random.uniform(0.0, _ASYMMETRY)])
    envelope = ENVELOPE[:, None] ** random.permutation(exponents)
    # The process begins long before the clip, so that short clips have as many blinks a second as long ones.
    at = -mean * random.uniform(8.0, 9.0)
    while True:
        at += _GAP + random.gamma(_REGULARITY, (mean - _GAP) / _REGULARITY)
        start = math.floor(at)
        if start >= 0:
            yield start, envelope
