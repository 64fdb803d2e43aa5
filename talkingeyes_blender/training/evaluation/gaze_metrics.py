"""How gaze behaves, whatever it looks at: fixations, shifts, their directions, and how eye and head work together.

Eyes are (T, 6) and heads (T, 3), axis-angle vectors in radians with FLAME's signs, 25 frames a second.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np

DISPERSION = 1.0
"""Degrees that a fixation may spread over: range of yaw plus range of pitch (Salvucci and Goldberg, 2000)."""
LEAST = 3
"""Frames that a fixation lasts at least: 120 ms."""
SHIFT = 1.0
"""Degrees by which gaze in space turns from one frame to the next, at least, in a shift: 25 degrees a second."""
AIMED = 1.5
"""Degrees from which a shift has a direction that is counted."""


def eye_angles(eyes: np.ndarray) -> np.ndarray:
    """(T, 2) degrees, pitch + down and yaw + left: the mean of both eyes in the head."""
    eyes = np.asarray(eyes, float)
    return np.degrees((eyes[:, 0:2] + eyes[:, 3:5]) / 2)


def gaze_angles(eyes: np.ndarray, head: np.ndarray) -> np.ndarray:
    """(T, 2) degrees, pitch + down and yaw + left, of the mean gaze in space: the eyes carried by the head."""
    eyes = np.asarray(eyes, float)
    ahead = np.array([0.0, 0.0, 1.0])
    direction = _turned(eyes[:, :3], ahead) + _turned(eyes[:, 3:], ahead)
    direction = _turned(np.asarray(head, float), direction / np.linalg.norm(direction, axis=1, keepdims=True))
    x, y, z = direction.T
    return np.degrees(np.stack([np.arctan2(-y, np.hypot(x, z)), np.arctan2(x, z)], axis=1))


def _turned(rotation: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """(T, 3) vectors turned by (T, 3) axis-angle rotations (Rodrigues)."""
    angle = np.linalg.norm(rotation, axis=1, keepdims=True)
    axis = rotation / np.maximum(angle, 1e-12)
    vector = np.broadcast_to(vector, rotation.shape)
    along = (axis * vector).sum(1, keepdims=True)
    return np.cos(angle) * vector + np.sin(angle) * np.cross(axis, vector) + (1 - np.cos(angle)) * along * axis


def fixations(angles: np.ndarray, dispersion: float = DISPERSION, least: int = LEAST) -> list[tuple[int, int]]:
    """First frame and the one after the last of each fixation of (T, 2) degrees, by I-DT (Salvucci and Goldberg, 2000).

    A window of ``least`` frames whose ranges of both angles add up to ``dispersion`` at most is a fixation, and grows
    for as long as they do.
    """
    found, first, count = [], 0, len(angles)
    while first + least <= count:
        low, high = angles[first : first + least].min(0), angles[first : first + least].max(0)
        if (high - low).sum() > dispersion:
            first += 1
            continue
        last = first + least
        while last < count:
            lower, higher = np.minimum(low, angles[last]), np.maximum(high, angles[last])
            if (higher - lower).sum() > dispersion:
                break
            low, high, last = lower, higher, last + 1
        found.append((first, last))
        first = last
    return found


def fixation_ratio(angles: np.ndarray) -> float:
    """N_fix / (N_fix + N_sac) over frames (StyGazeTalk, Section IV-A.1), fixations by I-DT.

    StyGazeTalk says neither whether N counts frames or events nor its dispersion; here frames, 1 degree, 120 ms.
    """
    return sum(last - first for first, last in fixations(angles)) / len(angles)


def compensation_score(eyes: np.ndarray, head: np.ndarray) -> float:
    """How eye and head work together (StyGazeTalk, Section IV-A.2): the mean over frames of

    -|h| where |g| < 20; -cos of the angle between h and e where 25 <= |g| <= 90; else 0, with h and e the velocities of
    the head and of the mean eye, g = e + h. The paper does not name the unit; here degrees a frame at 25 a second, by
    which tracked conversation is of the size that the paper reports (-.34): nearly all frames are of the first kind.
    Vectors are pitch and yaw.
    """
    e = np.diff(eye_angles(eyes), axis=0)
    h = np.diff(np.degrees(np.asarray(head, float)[:, :2]), axis=0)
    if not len(e):
        raise ValueError("a velocity needs two frames")
    size = np.linalg.norm(e + h, axis=1)
    head_speed, eye_speed = np.linalg.norm(h, axis=1), np.linalg.norm(e, axis=1)
    cosine = (e * h).sum(1) / np.maximum(head_speed * eye_speed, 1e-9)
    return float(np.where(size < 20, -head_speed, np.where((size >= 25) & (size <= 90), -cosine, 0.0)).mean())


def similarity(fixation: tuple[float, float], compensation: tuple[float, float]) -> float:
    """SimScore (StyGazeTalk, Section IV-A.3) of (true, made) ratios and scores: 1 less both absolute differences."""
    return 1.0 - (abs(fixation[0] - fixation[1]) + abs(compensation[0] - compensation[1]))


@dataclasses.dataclass(frozen=True, eq=False)
class Shifts:
    """Gaze shifts of one motion."""

    amplitude: np.ndarray
    """(n,) degrees."""
    direction: np.ndarray
    """(n,) degrees, 0 = the viewer's right (the subject's left is 180), 90 = up."""

    def shares(self) -> np.ndarray:
        """(8,) shares of the directions 0, 45 .. 315 degrees among shifts over ``AIMED``."""
        aimed = self.direction[self.amplitude > AIMED]
        counts = np.bincount(np.round(aimed / 45).astype(int) % 8, minlength=8)
        return counts / max(counts.sum(), 1)

    def __add__(self, other: Shifts) -> Shifts:
        return Shifts(
            np.concatenate([self.amplitude, other.amplitude]), np.concatenate([self.direction, other.direction])
        )


def shifts_between(points: np.ndarray) -> Shifts:
    """Shifts from each fixation's place (pitch + down, yaw + left, degrees) to the next one's, (n + 1, 2) to n."""
    step = np.diff(np.asarray(points, float).reshape(-1, 2), axis=0)
    return Shifts(np.hypot(*step.T), np.degrees(np.arctan2(-step[:, 0], -step[:, 1])) % 360)


def gaze_shifts(angles: np.ndarray, least: float = SHIFT) -> Shifts:
    """Shifts in (T, 2) degrees of gaze in space: runs of frames that each turn by ``least`` or more, start to end.

    A run ends too where its direction turns about: there and back are two shifts.
    """
    step = np.diff(np.asarray(angles, float), axis=0)
    fast = np.linalg.norm(step, axis=1) >= least
    moves, first = [], None
    for t in range(len(step) + 1):
        going = t < len(step) and fast[t]
        turned = going and first is not None and (step[t] * step[t - 1]).sum() < 0
        if first is not None and (not going or turned):
            moves.append(angles[t] - angles[first])
            first = None
        if going and first is None:
            first = t
    moves = np.array(moves).reshape(-1, 2)
    return Shifts(np.hypot(*moves.T), np.degrees(np.arctan2(-moves[:, 0], -moves[:, 1])) % 360)


def jensen_shannon(one: np.ndarray, other: np.ndarray) -> float:
    """Jensen-Shannon distance of two distributions: the root of the divergence in bits, 0 to 1 (Lin, 1991)."""
    one, other = (np.asarray(p, float) / np.sum(p) for p in (one, other))
    middle = (one + other) / 2

    def divergence(p: np.ndarray) -> float:
        kept = p > 0
        return float((p[kept] * np.log2(p[kept] / middle[kept])).sum())

    return float(np.sqrt(max((divergence(one) + divergence(other)) / 2, 0.0)))


def blinks_a_minute(blink: np.ndarray, fps: float = 25.0) -> float:
    """How often both lids together (T, 2) come to be more than half shut."""
    shut = np.asarray(blink, float).mean(1) > 0.5
    return float((np.diff(shut.astype(int), prepend=0) == 1).sum() / (len(shut) / fps / 60))
