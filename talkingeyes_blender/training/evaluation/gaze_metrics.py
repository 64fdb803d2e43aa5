"""Figures of gaze: fixations, shifts between them, and how the eyes make up for the head.

Sources: I-DT (Salvucci and Goldberg, Identifying fixations and saccades in eye-tracking protocols, ETRA 2000);
StyGazeTalk, Section IV-A (fixation ratio, compensation score, similarity). StyGazeTalk names neither the dispersion nor
the units: here a fixation spans one degree (range of yaw plus range of pitch) and three frames, 120 ms, at least.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial.distance import jensenshannon

from ...head.rotation import matrix_from_axis_angle
from ...motion import FPS

DISPERSION = 1.0
"""Degrees."""
SHORTEST = 3
"""Frames."""
DIRECTED = 1.5
"""Degrees from which a shift's direction is counted."""


def in_head(eyes: np.ndarray) -> np.ndarray:
    """Pitch (+ down) and yaw (+ to the subject's left) of the mean of both eyes (T, 6), degrees: (T, 2)."""
    return np.degrees((eyes[:, 0:2] + eyes[:, 3:5]) / 2)


def in_space(eyes: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Pitch and yaw of the mean gaze of eyes (T, 6) in a turning head (T, 3), degrees: (T, 2)."""
    mean = np.concatenate([(eyes[:, 0:2] + eyes[:, 3:5]) / 2, np.zeros((len(eyes), 1))], axis=1)
    ahead = (matrix_from_axis_angle(head) @ matrix_from_axis_angle(mean))[:, :, 2]
    pitch, yaw = -np.arcsin(np.clip(ahead[:, 1], -1, 1)), np.arctan2(ahead[:, 0], ahead[:, 2])
    return np.degrees(np.stack([pitch, yaw], 1))


def fixations(gaze: np.ndarray, dispersion: float = DISPERSION, shortest: int = SHORTEST) -> list[tuple[int, int]]:
    """I-DT: first and one past the last frame of each fixation in (T, 2) degrees."""
    found, start, frames = [], 0, len(gaze)
    while start + shortest <= frames:
        end = start + shortest
        if np.ptp(gaze[start:end], axis=0).sum() > dispersion:
            start += 1
            continue
        low, high = gaze[start:end].min(0), gaze[start:end].max(0)
        while end < frames:
            low, high = np.minimum(low, gaze[end]), np.maximum(high, gaze[end])
            if (high - low).sum() > dispersion:
                break
            end += 1
        found.append((start, end))
        start = end
    return found


def fixation_ratio(gaze: np.ndarray) -> float:
    """Share of frames that belong to a fixation: StyGazeTalk's N_fix / (N_fix + N_sac), counted in frames."""
    return sum(end - start for start, end in fixations(gaze)) / max(1, len(gaze))


@dataclasses.dataclass(frozen=True, eq=False)
class Shifts:
    """From fixation to fixation."""

    amplitude: np.ndarray
    """(n,) degrees between the centres."""
    direction: np.ndarray
    """(n,) degrees, 0 to the subject's right, 90 up."""
    seconds: np.ndarray
    """(m,) length of the fixations."""


def shifts(gaze: np.ndarray) -> Shifts:
    """Shifts between the fixations of (T, 2) degrees."""
    spans = fixations(gaze)
    centres = np.array([gaze[a:b].mean(0) for a, b in spans]).reshape(-1, 2)
    step = np.diff(centres, axis=0)
    direction = np.degrees(np.arctan2(-step[:, 0], -step[:, 1])) % 360  # pitch is + down, yaw + left
    return Shifts(np.hypot(*step.T), direction, np.array([(b - a) / FPS for a, b in spans]))


def direction_shares(amplitude: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Shares of the eight directions 0, 45 .. 315 degrees among shifts of ``DIRECTED`` degrees and more: (8,)."""
    sector = (np.round(direction[amplitude >= DIRECTED] / 45).astype(int)) % 8
    return np.bincount(sector, minlength=8) / max(1, len(sector))


def jensen_shannon(one: np.ndarray, other: np.ndarray) -> float:
    """Jensen-Shannon distance of two distributions (Endres and Schindelin, 2003), in bits, 0 to 1."""
    return float(jensenshannon(one, other, base=2))


def compensation(eyes: np.ndarray, head: np.ndarray) -> float:
    """StyGazeTalk's compensation score of eyes (T, 6) and head (T, 3) in radians.

    From frame to frame: where the net shift of gaze is slower than 20 degrees a second, minus the head's speed; from 25
    to 90, minus the cosine between the velocities of head and eyes; else 0. The paper gives no units: the bounds are
    taken as degrees a second, the head's speed as degrees a frame, so that both cases are about 1 in size.
    """
    eye = np.diff(in_head(eyes), axis=0) * FPS
    turn = np.diff(np.degrees(head[:, :2]), axis=0) * FPS
    net = np.linalg.norm(eye + turn, axis=1)
    speeds = np.linalg.norm(turn, axis=1) * np.linalg.norm(eye, axis=1)
    cosine = np.divide((eye * turn).sum(1), speeds, out=np.zeros(len(speeds)), where=speeds > 1e-9)
    score = np.where(net < 20, -np.linalg.norm(turn, axis=1) / FPS, np.where((net >= 25) & (net <= 90), -cosine, 0.0))
    return float(score.mean()) if len(score) else float("nan")


def similarity(ratio: float, score: float, true_ratio: float, true_score: float) -> float:
    """StyGazeTalk's similarity with the ground truth, of fixation ratio and compensation score: 1 is alike."""
    return 1 - (abs(true_ratio - ratio) + abs(true_score - score))


def blinks_a_minute(closure: np.ndarray) -> float:
    """Blinks of (T, 2) closures a minute: times at which the left lids pass half."""
    shut = closure[:, 0] > 0.45
    return float((shut[1:] & ~shut[:-1]).sum() / (len(closure) / FPS / 60)) if len(closure) else float("nan")
