"""One method on the test clips: diversity, correlation and discrepancy of head and eyes, clip by clip."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from . import metrics
from .correlation import CorrelationNetwork, correlation
from .intervals import Interval, bootstrap_mean
from .methods import Method, Takes, TestClip

FIGURES = ("diversity", "correlation", "discrepancy", "deviation")
"""Div., Corr. and L2 of the paper's tables, and how far the motion moves in radians."""
CHANNELS = ("head", "eyes")


@dataclasses.dataclass(frozen=True)
class Scores:
    """Figures of one method: ``values['eyes']['diversity']`` has one value a clip. What was not made is absent."""

    name: str
    values: dict[str, dict[str, list[float]]]

    def mean(self, channel: str, figure: str) -> float:
        return float(np.mean(self.values[channel][figure])) if self.has(channel, figure) else float("nan")

    def interval(self, channel: str, figure: str) -> Interval:
        """The mean with its bootstrap interval over clips."""
        return bootstrap_mean(np.array(self.values[channel][figure]))

    def has(self, channel: str, figure: str) -> bool:
        return bool(self.values.get(channel, {}).get(figure))

    def plain(self) -> dict:
        return {"name": self.name, "values": self.values}


def score(
    method: Method,
    clips: Sequence[TestClip],
    correlations: Mapping[str, CorrelationNetwork],
    takes: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Run ``method`` on every clip for seeds 0, 1 ... and measure what it makes."""
    values: dict[str, dict[str, list[float]]] = {}
    for number, clip in enumerate(clips):
        made = method.takes(clip.speech, range(takes))
        _measure(values, clip, made, correlations)
        if progress:
            progress(number + 1, len(clips))
    return Scores(method.name, values)


def score_recorded(clips: Sequence[TestClip], correlations: Mapping[str, CorrelationNetwork]) -> Scores:
    """The recorded motion itself, for reference: its correlation is what a perfect method would have."""
    values: dict[str, dict[str, list[float]]] = {}
    for clip in clips:
        _measure(values, clip, Takes(clip.eyes[None], clip.head[None]), correlations)
    return Scores("Recorded", values)


def _measure(
    values: dict[str, dict[str, list[float]]],
    clip: TestClip,
    made: Takes,
    correlations: Mapping[str, CorrelationNetwork],
) -> None:
    for channel in CHANNELS:
        motion = getattr(made, channel)
        if motion is None:
            continue
        found = {
            "discrepancy": metrics.discrepancy(motion, getattr(clip, channel), clip.valid),
            "deviation": metrics.deviation(motion),
        }
        if len(motion) > 1:
            found["diversity"] = metrics.diversity(motion)
        if channel in correlations:
            found["correlation"] = correlation(correlations[channel], clip.speech.samples, motion)
        for figure, value in found.items():
            values.setdefault(channel, {}).setdefault(figure, []).append(value)
