"""Blinks: with large gaze shifts, at the ends of phrases, and now and then.

After a gaze shift of over 33 degrees almost every time (Evinger et al., 1994), less after smaller ones; in
conversation 15 to 25 a minute. The lid takes about 80 ms to close and half as long again to open.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from ...motion import FPS
from .gaze import Shift

ENVELOPE = np.array([0.45, 1.0, 0.80, 0.40, 0.10])
"""Closure in five frames of 40 ms: shut in the second, opening over three."""
_SPACING = 0.4


def blink_times(
    shifts: list[Shift],
    phrases: tuple[tuple[float, float], ...],
    duration: float,
    rng: np.random.Generator,
    rate: float,
) -> list[float]:
    """Times of full closure in seconds, about ``rate`` a minute, at least 0.4 s apart."""
    wanted = rate * duration / 60.0
    count = int(wanted) + (rng.random() < wanted % 1)
    ranked: list[tuple[float, float]] = []
    for shift in shifts:
        if rng.random() < np.clip((shift.amplitude - 6.0) / 27.0, 0.0, 0.97):
            # The largest shifts come first when there are too many.
            ranked.append((2.0 + shift.amplitude / 30.0, shift.start + 0.07))
    for _, end in phrases:
        if rng.random() < 0.55:
            ranked.append((rng.uniform(1.0, 2.4), end + rng.uniform(-0.05, 0.3)))
    ranked += [(rng.random(), rng.uniform(0.1, max(0.2, duration - 0.2))) for _ in range(2 * count + 2)]
    chosen: list[float] = []
    for _, time in sorted(ranked, reverse=True):
        if len(chosen) == count:
            break
        if 0.1 <= time <= duration - 0.2 and all(abs(time - t) >= _SPACING for t in chosen):
            chosen.append(time)
    return sorted(chosen)


def blink_curve(times: list[float], frames: int, rng: np.random.Generator) -> np.ndarray:
    """(T, 2) closure of the left and right lids."""
    curve = np.zeros((frames, 2))
    for time in times:
        depth = rng.uniform(0.92, 1.0)
        first = round(time * FPS) - 1
        for k, value in enumerate(ENVELOPE):
            if 0 <= first + k < frames:
                curve[first + k] = np.maximum(curve[first + k], value * depth * np.array([1.0, rng.uniform(0.97, 1.0)]))
    return curve.astype(np.float32)
