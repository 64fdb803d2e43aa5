"""Shutting the lids by a sum of expressions, for heads whose lids are not known and rigs that have no keys for them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from .face_basis import LandmarkBasis
from .landmarks import EYE_CORNERS, LID_PAIRS

_LID_ERROR, _FACE_ERROR = 0.0003, 0.001
"""Metres: how closely lids must meet, and how still all other points must keep."""
_COEFFICIENTS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Sizes of expression coefficients to try, the least first: a rig's keys run to 1, FLAME's are standard deviations."""
_SHUT = 0.12
"""Lids whose opening has shrunk to this part count as shut: an aspect ratio of .4 is below .05 then."""
_EYE_DISTANCE = 0.0634
"""Metres between the eyes of FLAME's template."""
_STILL_OPEN = 0.4
"""Expressions that leave lids open by more than this part cannot blink."""


def blink_by_expressions(basis: LandmarkBasis) -> np.ndarray | None:
    """(E, 2) coefficients that shut the left and the right lids, or None where the expressions cannot.

    Ridge regression on the points: the lids' points meet, all others stay where they are, and coefficients are the
    smallest that do it. FLAME's own expressions close lids badly, so it may come out as a blink in part.
    """
    count = basis.displacements.shape[2]
    if count == 0:
        return None
    moves = basis.displacements.transpose(0, 2, 1)  # (57, E, 3)
    middles = [basis.points[EYE_CORNERS[side]].mean(0) for side in ("left", "right")]
    size = np.linalg.norm(middles[0] - middles[1]) / _EYE_DISTANCE
    found = []
    for side in ("left", "right"):
        upper, lower = LID_PAIRS[side].T
        opening = basis.points[upper] - basis.points[lower]
        # Where on the eye the lids meet is for the head's own shapes to say.
        still = np.setdiff1d(np.arange(len(moves)), [*upper, *lower])
        # A head in other units than metres has other errors.
        rows = np.concatenate([(moves[upper] - moves[lower]) / _LID_ERROR, moves[still] / _FACE_ERROR]) / size
        goals = np.concatenate([-opening / (_LID_ERROR * size), np.zeros((len(still), 3))])
        rows = rows.transpose(0, 2, 1).reshape(-1, count)
        goal = rows.T @ goals.ravel()
        for coefficient in _COEFFICIENTS:
            solved = np.linalg.solve(rows.T @ rows + np.eye(count) / coefficient**2, goal)
            moved = basis.points + basis.displacements @ solved
            left = np.linalg.norm(moved[upper] - moved[lower], axis=1).sum() / np.linalg.norm(opening, axis=1).sum()
            if left < _SHUT:
                break
        if left > _STILL_OPEN:
            return None
        found.append(solved)
    return np.stack(found, 1)
