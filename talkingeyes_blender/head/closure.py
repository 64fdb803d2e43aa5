"""Closure first: lips and lids that the source shuts are shut on the target, frame by frame, over the jaw as it is.

A linear map cannot promise it. The jaw turns, and on another face the same angle opens by more or less; each of the
shapes that act at once leaves an error of its own; and lips that miss each other by a millimetre are seen to miss. So
after the linear map the smallest change of coefficients is found, for each frame, that brings the partings of lips and
lids and the corners of the mouth to where the source has them: "small" is what moves the face's other points little
beside their tolerances. A parting may be off by the more, the wider it is (by hardly anything where it is shut),
so that correction comes and goes smoothly and leaves wide-open mouths to the linear map.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np

from .face_basis import LandmarkBasis
from .landmarks import INNER_LIP_PAIRS, LID_PAIRS, MOUTH_CORNERS

SHUT = 0.00002
"""Metres, on a head of the source's size: how far off a shut parting may be."""
_OF_PARTING = 0.08
"""What is added to that for each metre of parting."""
_ACROSS = 3.0
"""A parting's tolerance sideways and in depth, against upwards."""
_CORNER = 0.0007
"""Metres: tolerance of the corners of the mouth, which the jaw pulls along by more on one head than on another."""
_OPEN_AT_REST = 0.001
"""Lips that part by more than this at rest (metres) are not shut there; shut is then where the points meet."""
_LIPS_THROUGH = 0.0005
"""How far lips may be pressed through each other on the source before it counts no more on the target, metres."""
_GIVEN_UP = 10.0
"""A row that is still off by more than so many tolerances is beyond the target; its tolerance grows with it. Without
that a basis of ten coefficients that cannot shut a mouth opens eyes and tears at corners in trying."""
_SWEEPS = 200
_CHUNK = 500
"""Frames at a time: an hour's would not fit into memory."""
_LIDS = np.concatenate([LID_PAIRS["left"], LID_PAIRS["right"]])


@dataclasses.dataclass(frozen=True, eq=False)
class Closure:
    """Corrects carried coefficients. Both heads in one frame (+Y up) and of the target's size."""

    source: LandmarkBasis
    target: LandmarkBasis
    stiffness: np.ndarray
    """(Et, Et) what a change of coefficients costs: its effect on the points by their tolerances, and its size."""
    scale: float
    limit: float | None = None
    """The largest coefficient of a frame."""

    def corrected(self, expression: np.ndarray, carried: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """(T, Et) coefficients for the source's (T, Es), those carried over linearly (T, Et) and the jaw (T, 3, 3)."""
        parts = [slice(first, first + _CHUNK) for first in range(0, len(carried), _CHUNK)]
        return np.concatenate([self._corrected(expression[p], carried[p], rotations[p]) for p in parts] or [carried])

    def _corrected(self, expression: np.ndarray, carried: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        jaw = self.source.jaw is not None and self.target.jaw is not None
        if not jaw:
            rotations = np.broadcast_to(np.eye(3), rotations.shape)
        goal, tolerance = self._goals(self.source.posed(expression, rotations))
        bound = np.inf if self.limit is None else self.limit
        carried = np.clip(carried, -bound, bound)
        jacobian = self._jacobian(rotations)
        whole = np.linalg.inv(self.stiffness)
        eased = np.einsum("ef,trf->tre", whole, jacobian)
        missing = goal - self._measured(self.target.posed(carried, rotations))
        result = self._solved(carried, jacobian, eased, missing, tolerance)
        # What cannot be had is not to be paid for with the rest of the face: wherever much is still missing, ask less.
        left = np.abs(missing - np.einsum("tre,te->tr", jacobian, result - carried))
        return self._solved(carried, jacobian, eased, missing, np.hypot(tolerance, left / _GIVEN_UP))

    def _solved(
        self, carried: np.ndarray, rows: np.ndarray, eased: np.ndarray, missing: np.ndarray, tolerance: np.ndarray
    ) -> np.ndarray:
        """(T, Et) coefficients nearest to ``carried`` that make up for what is ``missing`` (T, R), within the bound.

        ``rows`` (T, R, Et) are what coefficients do, ``eased`` the same times the inverse of the stiffness.
        """
        system = np.einsum("tre,tse->trs", eased, rows)
        each = np.arange(tolerance.shape[1])
        system[:, each, each] += tolerance**2
        result = carried + np.einsum("tre,tr->te", eased, np.linalg.solve(system, missing[..., None])[..., 0])
        bound = np.inf if self.limit is None else self.limit
        beyond = np.flatnonzero(np.abs(result).max(1, initial=0) > bound)
        if len(beyond):
            weighted, missed = rows[beyond] / tolerance[beyond, :, None], missing[beyond] / tolerance[beyond]
            system = self.stiffness + np.einsum("tre,trf->tef", weighted, weighted)
            wanted = np.einsum("tre,tr->te", weighted, missed) + np.einsum("tef,tf->te", system, carried[beyond])
            result[beyond] = _within(system, wanted, result[beyond], bound)
        return result

    # Rows: 9 of the lips' pairs (up, across, depth each), 4 of the lids' (up), 12 of the mouth's corners.

    def _goals(self, posed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T, 25) what the rows should measure on the target, and how exactly, for the source's points (T, 57, 3)."""
        frames, unit = len(posed), self.scale
        lips = _partings(posed, INNER_LIP_PAIRS) - _shut(self.source.points, unit)
        lips[..., 1] = np.maximum(lips[..., 1], -_LIPS_THROUGH * unit)
        parted = np.maximum(lips[..., 1], 0)
        lip_tolerance = np.stack([parted * _OF_PARTING + SHUT * unit] * 3, -1) * [_ACROSS, 1, _ACROSS]
        lip_goals = lips + _shut(self.target.points, unit)
        # Lids shut wherever they are at rest: an eye that is half open opens half on a wider eye too.
        opening, rest, wide = (_partings(p, _LIDS)[..., 1] for p in (posed, self.source.points, self.target.points))
        lid_goals = wide * opening / rest
        lid_tolerance = np.abs(lid_goals) * _OF_PARTING + SHUT * unit
        corners = (posed - self.source.points)[:, MOUTH_CORNERS] + self.target.points[MOUTH_CORNERS]
        goals = [lip_goals.reshape(frames, -1), lid_goals, corners.reshape(frames, -1)]
        tolerances = [lip_tolerance.reshape(frames, -1), lid_tolerance, np.full((frames, 12), _CORNER * unit)]
        return np.concatenate(goals, 1), np.concatenate(tolerances, 1)

    def _measured(self, posed: np.ndarray) -> np.ndarray:
        frames = len(posed)
        lips, lids = _partings(posed, INNER_LIP_PAIRS), _partings(posed, _LIDS)[..., 1]
        return np.concatenate([lips.reshape(frames, -1), lids, posed[:, MOUTH_CORNERS].reshape(frames, -1)], 1)

    def _jacobian(self, rotations: np.ndarray) -> np.ndarray:
        """(T, 25, Et) what a coefficient of the target does to the rows, under the jaw (T, 3, 3)."""
        frames, basis = len(rotations), self.target.displacements
        used = np.unique(np.concatenate([INNER_LIP_PAIRS.ravel(), MOUTH_CORNERS]))
        turns = np.broadcast_to(np.eye(3), (frames, len(used), 3, 3))
        if self.target.jaw is not None:
            turns = self.target.jaw.turns(rotations)[:, used]
        moved = np.einsum("tkab,kbe->tkae", turns, basis[used])
        place = {int(point): i for i, point in enumerate(used)}
        upper, lower = ([place[int(p)] for p in side] for side in INNER_LIP_PAIRS.T)
        lips = (moved[:, upper] - moved[:, lower]).reshape(frames, 9, -1)
        lids = np.broadcast_to((basis[_LIDS[:, 0]] - basis[_LIDS[:, 1]])[:, 1], (frames, 4, basis.shape[2]))
        corners = moved[:, [place[int(p)] for p in MOUTH_CORNERS]].reshape(frames, 12, -1)
        return np.concatenate([lips, lids, corners], 1)


def _within(system: np.ndarray, wanted: np.ndarray, start: np.ndarray, bound: float) -> np.ndarray:
    """(T, E) the minimum of x A x / 2 - b x for A (T, E, E) and b (T, E) with all of x within the bound.

    Coordinate descent, all frames at once: each coefficient in turn goes to its own best place within the bound.
    """
    x = np.clip(start, -bound, bound)
    curvature = np.einsum("tee->te", system)
    slope = np.einsum("tef,tf->te", system, x) - wanted
    for _ in range(_SWEEPS):
        largest = 0.0
        for i in range(x.shape[1]):
            step = np.clip(x[:, i] - slope[:, i] / curvature[:, i], -bound, bound) - x[:, i]
            x[:, i] += step
            slope += system[:, i] * step[:, None]
            largest = max(largest, np.abs(step).max())
        if largest < 1e-4 * bound:
            break
    return x


def _partings(points: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(..., P, 3) from the lower to the upper point of each pair."""
    return points[..., pairs[:, 0], :] - points[..., pairs[:, 1], :]


def _shut(points: np.ndarray, unit: float) -> np.ndarray:
    """(3, 3) the partings of the lips' pairs when they are shut."""
    rest = _partings(points, INNER_LIP_PAIRS)
    rest[:, 1] = np.where(rest[:, 1] > _OPEN_AT_REST * unit, 0, rest[:, 1])
    return rest
