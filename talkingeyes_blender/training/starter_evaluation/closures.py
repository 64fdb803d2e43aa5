"""Are the lips shut where p, b or m is said, and only there? Events, matched within a tolerance.

A bilabial is found where the signal (the gap of the lips, or any that falls when they shut) falls below the threshold
within the tolerance around it. Frames below the threshold that lie near no bilabial and in no pause (both widened by
the tolerance; in pauses lips may do as they like) are false: each stretch of them counts as one false closure for every
tenth of a second begun, so that lips which never open gain nothing.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np

from ...motion import FPS
from ..corpus.articulation import Segment
from ..corpus.phones import CLOSED_LIPS, SILENCE

PAUSE = 0.1
"""Seconds of silence that make a pause."""
ONE = 0.1
"""Seconds that one false closure lasts at most."""


@dataclasses.dataclass(frozen=True)
class Closures:
    """Counts of one clip, which add up over clips."""

    found: int = 0
    bilabials: int = 0
    false: int = 0

    def __add__(self, other: Closures) -> Closures:
        return Closures(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    @property
    def recall(self) -> float:
        return self.found / self.bilabials if self.bilabials else float("nan")

    @property
    def precision(self) -> float:
        return self.found / (self.found + self.false) if self.found else 0.0

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total > 0 else 0.0


def merged(segments: list[Segment], names: frozenset[str]) -> list[tuple[float, float]]:
    """Start and end of the runs of segments of these classes, in seconds."""
    runs: list[list[float]] = []
    for start, end, name in segments:
        if name not in names:
            continue
        if runs and start - runs[-1][1] < 1e-3:
            runs[-1][1] = max(runs[-1][1], end)
        else:
            runs.append([start, end])
    return [(a, b) for a, b in runs]


def pauses_of(segments: list[Segment], duration: float, least: float = PAUSE) -> list[tuple[float, float]]:
    """Stretches of at least so many seconds in which no sound is made, those before and after all speech too."""
    spoken = sorted((start, end) for start, end, name in segments if name != SILENCE)
    edges = [(-1.0, 0.0), *spoken, (duration, duration + 1.0)]
    pauses, reached = [], 0.0
    for start, end in edges:
        if start - reached >= least:
            pauses.append((reached, start))
        reached = max(reached, end)
    return pauses


def score(
    gap: np.ndarray, segments: list[Segment], threshold: float, tolerance: float, passed: frozenset[str] = frozenset()
) -> Closures:
    """Counts for (T,) millimetres of gap and (start, end, visible class) segments, tolerance in seconds.

    Frames at sounds of the classes in ``passed`` are not counted as false.
    """
    bilabials = merged(segments, CLOSED_LIPS)
    pauses = pauses_of(segments, len(gap) / FPS)
    shut = gap < threshold
    times = np.arange(len(gap)) / FPS

    def near(spans: list[tuple[float, float]]) -> np.ndarray:
        inside = np.zeros(len(gap), bool)
        for start, end in spans:
            inside |= (times >= start - tolerance) & (times <= end + tolerance)
        return inside

    found = sum(bool(shut[near([span])].any()) for span in bilabials)
    wrong = np.flatnonzero(shut & ~near(bilabials + pauses + merged(segments, passed)))
    stretches = np.split(wrong, np.flatnonzero(np.diff(wrong) > 1) + 1) if len(wrong) else []
    false = sum(int(np.ceil(len(stretch) / FPS / ONE)) for stretch in stretches)
    return Closures(found, len(bilabials), false)


def best_threshold(
    clips: list[tuple[np.ndarray, list[Segment]]], tolerance: float, candidates: np.ndarray = np.arange(0.2, 6.01, 0.2)
) -> float:
    """The threshold (in millimetres, of the gap) with the best F over clips of (gap, segments)."""
    scores = [sum((score(gap, s, t, tolerance) for gap, s in clips), Closures()).f1 for t in candidates]
    return float(candidates[int(np.argmax(scores))])
