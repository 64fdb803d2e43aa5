"""How sure a figure is: bootstrap intervals over clips, the area under a ROC curve, the sign of a preference."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np

_DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure with the range that it lies in at the confidence of 95 %."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def plain(self) -> list[float]:
        return [self.value, self.low, self.high]


def bootstrap_mean(values: np.ndarray, *, level: float = 0.95, seed: int = 0) -> Interval:
    """The mean of one value a clip, with its percentile bootstrap interval over the clips (Efron, 1979)."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).integers(len(values), size=(_DRAWS, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def area_under_curve(positive: np.ndarray, negative: np.ndarray) -> float:
    """AUC: how often a positive's score lies above a negative's, ties counting half (Mann and Whitney, 1947)."""
    positive, negative = np.asarray(positive, float), np.sort(np.asarray(negative, float))
    below = np.searchsorted(negative, positive, "left")
    ties = np.searchsorted(negative, positive, "right") - below
    return float((below + 0.5 * ties).sum() / (len(positive) * len(negative)))


def bootstrap_auc(
    positive: np.ndarray, negative: np.ndarray, groups_positive: np.ndarray, groups_negative: np.ndarray,
    *, level: float = 0.95, seed: int = 0,
) -> Interval:  # fmt: skip
    """AUC with a bootstrap interval in which whole groups (recordings) are drawn: clips of one are not independent."""
    positive, negative = np.asarray(positive, float), np.asarray(negative, float)
    names = np.unique(np.concatenate([groups_positive, groups_negative]))
    of_positive = {n: positive[np.asarray(groups_positive) == n] for n in names}
    of_negative = {n: negative[np.asarray(groups_negative) == n] for n in names}
    rng, areas = np.random.default_rng(seed), []
    for _ in range(_DRAWS // 2):
        drawn = names[rng.integers(len(names), size=len(names))]
        some = np.concatenate([of_positive[n] for n in drawn])
        others = np.concatenate([of_negative[n] for n in drawn])
        if len(some) and len(others):
            areas.append(area_under_curve(some, others))
    low, high = np.quantile(areas, [(1 - level) / 2, (1 + level) / 2])
    return Interval(area_under_curve(positive, negative), float(low), float(high))


def spread(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation over seeds; the deviation of a single one is not a number."""
    array = np.asarray(values, float)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else float("nan")
