"""The figures of TalkingEyes' Tables III and V to VII and of Learn2Talk's face tables, each a pure function.

Motion is (T, D) or, for takes of one clip, (K, T, D); rotations are axis-angle vectors in radians, points millimetres.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """L2 distance of two motions (T, D): the norm of a frame's difference, mean over frames, in the motion's unit.

    The paper does not say how a motion's frames are put together; by this reading the deviation of its data comes out
    as that of tracked eyes, and by the norm of the whole sequence it would not.
    """
    return float(np.linalg.norm(np.asarray(one, float) - np.asarray(other, float), axis=-1).mean())


def diversity(takes: np.ndarray) -> float:
    """Div. (TalkingEyes, Section V-B.3): mean L2 distance over all pairs of the K takes (K, T, D) of one speech."""
    takes = np.asarray(takes, float)
    if len(takes) < 2:
        raise ValueError("diversity needs two takes or more")
    pairs = [distance(takes[i], takes[j]) for i in range(len(takes)) for j in range(i)]
    return float(np.mean(pairs))


def discrepancy(takes: np.ndarray, true: np.ndarray, valid: np.ndarray | None = None) -> float:
    """L2 (TalkingEyes, Section V-B.3): mean L2 distance of the takes (K, T, D) from the recorded motion (T, D).

    Frames where ``valid`` (T,) is False are left out.
    """
    kept = np.ones(len(true), bool) if valid is None else np.asarray(valid, bool)
    return float(np.mean([distance(take[kept], true[kept]) for take in takes]))


def deviation(takes: np.ndarray) -> float:
    """How far motion moves: the standard deviation over time of (K, T, D), root mean square over D, mean over takes.

    Ours: it tells a stationary eye (Table VI, without L_reg) from one that moves alike in each take; the diversity of
    both is 0.
    """
    return float(np.sqrt(np.asarray(takes, float).var(axis=1).mean(-1)).mean())


def lip_vertex_error(made: np.ndarray, true: np.ndarray, *, squared: bool = False) -> float:
    """LVE (MeshTalk; CodeTalker, Section 4): the largest distance of a frame's lip points, mean over frames.

    ``made`` and ``true`` are (T, V, 3). ``squared`` takes the squared distance, as CodeTalker's published figures do.
    """
    square = np.square(np.asarray(made, float) - np.asarray(true, float)).sum(-1)
    largest = square.max(-1)
    return float((largest if squared else np.sqrt(largest)).mean())


def upper_face_deviation(made: np.ndarray, true: np.ndarray, rest: np.ndarray) -> float:
    """FDD (CodeTalker, Eq. 10): how much more the true upper face varies over time than the made one.

    The signed mean over points of std(|true - rest|) - std(|made - rest|); above 0 the made face is too calm.
    ``made`` and ``true`` are (T, V, 3), ``rest`` (V, 3).
    """

    def dynamics(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(np.asarray(points, float) - rest, axis=-1).std(axis=0)

    return float((dynamics(true) - dynamics(made)).mean())


@dataclasses.dataclass(frozen=True)
class Closure:
    """How many frames with shut lips were hit; add them up over clips before reading the rates."""

    hit_true: int
    true: int
    hit_made: int
    made: int

    def __add__(self, other: Closure) -> Closure:
        return Closure(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    @property
    def recall(self) -> float:
        return self.hit_true / self.true if self.true else float("nan")

    @property
    def precision(self) -> float:
        return self.hit_made / self.made if self.made else float("nan")

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total > 0 else float("nan")


def lip_closure(made_gap: np.ndarray, true_gap: np.ndarray, *, shut: float = 1.0, tolerance: int = 1) -> Closure:
    """Lip closure (ours): which frames have shut lips, ``tolerance`` frames early or late being right.

    ``made_gap`` and ``true_gap`` (T,) are distances of the inner lips in millimetres; ``shut`` is where they count as
    shut. Recall counts the true frames, precision the made ones.
    """
    made, true = np.asarray(made_gap) < shut, np.asarray(true_gap) < shut

    def widened(mask: np.ndarray) -> np.ndarray:
        return np.convolve(mask, np.ones(2 * tolerance + 1), "same") > 0

    return Closure(
        int((true & widened(made)).sum()), int(true.sum()), int((made & widened(true)).sum()), int(made.sum())
    )
