"""Intervals of figures that are not means: of clips drawn again and again."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from ..evaluation.intervals import Interval

Clip = TypeVar("Clip")


def bootstrap(clips: Sequence[Clip], figure: Callable[[Sequence[Clip]], float], draws: int = 500) -> Interval:
    """``figure`` of all clips, with the range at 95 % over clips drawn with replacement (Efron, 1979)."""
    if not clips:
        return Interval(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(0)
    drawn = [figure([clips[i] for i in rng.integers(len(clips), size=len(clips))]) for _ in range(draws)]
    drawn = [value for value in drawn if np.isfinite(value)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (float("nan"), float("nan"))
    return Interval(float(figure(clips)), float(low), float(high))


def correlation(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Pearson's r over the frames of all clips of (made, true) curves."""
    sums = np.sum(
        [(len(a), a.sum(), b.sum(), (a * a).sum(), (b * b).sum(), (a * b).sum()) for a, b in pairs], axis=0, dtype=float
    )
    n, a, b, aa, bb, ab = sums
    spread = np.sqrt(max(aa - a * a / n, 0) * max(bb - b * b / n, 0))
    return float((ab - a * b / n) / spread) if spread > 0 else float("nan")
