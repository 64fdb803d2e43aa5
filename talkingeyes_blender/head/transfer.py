"""Carrying expressions over from one head's basis to another's, by what they do to named points of the face.

Expression coefficients mean nothing outside of their own basis. What two heads share is the points of `face_basis`:
for each of the source's expressions we look once for the coefficients of the target that move its points alike, by
ridge regression. That is linear and leaves errors of a millimetre, too much for lips that should touch; so
`closure` corrects each frame afterwards, over the jaw as it then is.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np

from ..errors import TalkingEyesError
from .arkit import MOUTH_CLOSE_JAW_DEGREES
from .closure import Closure
from .face_basis import Hinge, LandmarkBasis
from .landmarks import BROWS, CHEEKS, COUNT, EYES, INNER_LIP, INNER_LIP_PAIRS, LID_PAIRS, MOUTH_CORNERS, NOSE, OUTER_LIP
from .landmarks import POINTS as POINT_COUNT
from .rotation import matrix_from_axis_angle

__all__ = ["Hinge", "LandmarkBasis", "Transfer", "solve_transfer"]

# How far a point may be off, in metres on a head of the source's size. Lips and their corners carry speech and are
# seen first; lids come next; a brow's or a cheek's place differs between two faces at rest by more than this anyhow,
# and the nose says little. Only their ratios matter to the result; as weights they are one over the square.
_TOLERANCES = (
    (NOSE, 0.0021), (CHEEKS, 0.0020), (BROWS, 0.0015), (EYES, 0.00115), (OUTER_LIP, 0.0010), (INNER_LIP, 0.00075),
    (MOUTH_CORNERS, 0.0006),
)  # fmt: skip
_GAP = 0.00008
"""Tolerance of the lips' parting over an open jaw: mouthClose and its like exist for it."""
_REST_GAP = 0.0005
"""The same over a shut jaw, and of the lids': there the points' own places say nearly as much."""
_ACROSS = 2.0
"""Lips that miss each other sideways or in depth do not close either; but that may be off by so many times more."""
_RIDGE = 3e-4
"""Weight of the coefficients' size, against the square of what the target's strongest mode does to the points: modes
weaker than 2 % of it fade out. A basis' weak modes are its noise, and would be asked for in standard deviations by the
dozen to mend the last tenth of a millimetre. In proportion, so that it serves keys of any scale."""
_SHUTS = 0.5
"""An expression that shuts more than this part of an opening is one that shuts."""
_STILL = 2e-5
"""An expression that moves no point by more than this (metres) cannot be carried over by points."""
LIMIT = 3.0
"""The largest coefficient that one whole expression of the source may ask for. FLAME's are standard deviations, and
beyond three its faces leave what was ever scanned; keys of other rigs run to 1 and stay below by themselves."""


@dataclasses.dataclass(frozen=True, eq=False)
class Transfer:
    """What carries expression coefficients over, solved once for two heads."""

    matrix: np.ndarray
    """(Et, Es): a column for each expression of the source."""
    reached: np.ndarray
    """(Es,) share of each source expression's motion of the points that the target makes, 0 to 1; 0 for one that moves
    none (a tongue)."""
    visible: np.ndarray
    """(Es,) whether a source expression moves any of the points."""
    scale: float
    """Size of the target over the source's."""
    closure: Closure

    def apply(self, expression: np.ndarray, jaw: np.ndarray | None = None) -> np.ndarray:
        """(T, Es) or (Es,) coefficients of the source to (T, Et) or (Et,) of the target, float32.

        ``jaw`` (T, 3) or (3,) is the axis-angle rotation that both heads' jaws make meanwhile. With it lips and lids
        are set right frame by frame: what is shut on the source is shut on the target. Without it the result is linear.
        """
        expression = np.asarray(expression, np.float64)
        if expression.ndim not in (1, 2) or expression.shape[-1] != self.matrix.shape[1]:
            raise TalkingEyesError(
                f"The expression has the shape {expression.shape}; the transfer takes {self.matrix.shape[1]} values."
            )
        carried = expression @ self.matrix.T
        if jaw is not None:
            jaw = np.asarray(jaw, np.float64)
            if jaw.shape != (*expression.shape[:-1], 3):
                raise TalkingEyesError(f"The jaw has the shape {jaw.shape}, the expression {expression.shape}.")
            rotations = matrix_from_axis_angle(np.atleast_2d(jaw))
            carried = self.closure.corrected(np.atleast_2d(expression), np.atleast_2d(carried), rotations)
            carried = carried.reshape(*expression.shape[:-1], len(self.matrix))
        return carried.astype(np.float32)


def solve_transfer(source: LandmarkBasis, target: LandmarkBasis, limit: float | None = LIMIT) -> Transfer:
    """Find the target's coefficients for each of the source's expressions, by ridge regression on the points.

    ``source`` must be in the frame of a HeadModel (+Y up); ``target`` may lie in any: the two sets of landmarks are
    aligned by rotation and scale first (Umeyama 1991). ``limit`` is the largest coefficient that one whole expression
    may ask for; None sets none.
    """
    if not target.displacements.shape[2]:
        raise TalkingEyesError("The target head has no expressions.", "Choose a head or a rig with expression keys.")
    rotation, scale = _alignment(source.points[:COUNT], target.points[:COUNT])
    source, target = source.turned(np.eye(3), scale), target.turned(rotation.T)
    weights = np.repeat(_weights(scale), 3)[:, None]
    flat_source, flat_target = (basis.displacements.reshape(3 * POINT_COUNT, -1) for basis in (source, target))
    rows, goals = [weights * flat_target], [weights * flat_source]
    # The gaps' weights are for their goals, and must not make the coefficients smaller.
    strongest = np.linalg.norm(rows[0], 2)
    if strongest == 0:
        raise TalkingEyesError("The target's expressions move none of the face's landmarks.", "Check the landmarks.")
    for gap_rows, gap_goals in _gap_rows(source, target, scale):
        rows.append(gap_rows)
        goals.append(gap_goals)
    ridge = _RIDGE * strongest**2
    matrix = _ridge(np.concatenate(rows), np.concatenate(goals), ridge, limit)
    visible = np.linalg.norm(source.displacements, axis=1).max(0) > _STILL * scale
    matrix[:, ~visible] = 0
    stiffness = (weights * flat_target).T @ (weights * flat_target) + ridge * np.eye(len(matrix))
    closure = Closure(source, target, stiffness, scale, limit)
    reached = np.where(visible, _reached(closure, matrix), 0)
    return Transfer(matrix, reached, visible, scale, closure)


def _reached(closure: Closure, matrix: np.ndarray) -> np.ndarray:
    """(Es,) share of each of the source's expressions that the target makes, as it would be written.

    It is the part of its motion of the points. But of one that shuts lids, or lips over an open jaw, it is the part of
    the opening that it shuts: that is what it is there for, and the way to it differs from face to face.
    """
    source, target = closure.source, closure.target
    units = np.eye(matrix.shape[1])
    still = np.broadcast_to(np.eye(3), (len(units), 3, 3))
    carried = closure.corrected(units, matrix.T, still)
    made = carried @ target.displacements.reshape(3 * POINT_COUNT, -1).T
    asked = source.displacements.reshape(3 * POINT_COUNT, -1).T
    missed = np.linalg.norm(made - asked, axis=1) / np.maximum(np.linalg.norm(asked, axis=1), 1e-12)
    reached = 1 - missed
    for pairs in LID_PAIRS.values():
        shut, shut_target = (1 - _opening(basis.posed(e, still), pairs) / _opening(basis.points, pairs)
                             for basis, e in ((source, units), (target, carried)))  # fmt: skip
        reached = np.where(shut > _SHUTS, shut_target / np.maximum(shut, _SHUTS), reached)
    if source.jaw is not None and target.jaw is not None:
        turn = np.broadcast_to(matrix_from_axis_angle(np.radians([MOUTH_CLOSE_JAW_DEGREES, 0, 0])), still.shape)
        carried = closure.corrected(units, matrix.T, turn)
        shut, shut_target = (_undone(basis, basis.posed(e, turn), basis.posed(0 * e, turn))
                             for basis, e in ((source, units), (target, carried)))  # fmt: skip
        reached = np.where(shut > _SHUTS, shut_target / np.maximum(shut, _SHUTS), reached)
    return np.clip(reached, 0, 1)


def _opening(posed: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(...,) mean parting upwards, metres, of pairs of the points (..., 57, 3)."""
    return (posed[..., pairs[:, 0], 1] - posed[..., pairs[:, 1], 1]).mean(-1)


def _undone(basis: LandmarkBasis, posed: np.ndarray, opened: np.ndarray) -> np.ndarray:
    """(T,) the share of the lips' opening by the jaw that expressions undo."""
    rest = _opening(basis.points, INNER_LIP_PAIRS)
    wide = _opening(opened, INNER_LIP_PAIRS) - rest
    return 1 - (_opening(posed, INNER_LIP_PAIRS) - rest) / np.maximum(wide, 1e-9)


def _weights(scale: float) -> np.ndarray:
    tolerance = np.zeros(POINT_COUNT)
    for points, metres in _TOLERANCES:
        tolerance[points] = metres
    return 1 / (scale * tolerance)


def _alignment(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Rotation (3, 3) and scale that bring the source's points nearest to the target's, places apart."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, values, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    return (u * signs) @ vt, float((values * signs).sum() / (a**2).sum())


def _gap_rows(source: LandmarkBasis, target: LandmarkBasis, scale: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weighted rows and goals for how expressions open and close lips and lids; both heads in one frame, +Y up."""
    lids = np.concatenate([LID_PAIRS["left"], LID_PAIRS["right"]])
    lid_rows, lid_goals = (_partings(basis, lids)[1] for basis in (target, source))
    rows, goals = (_partings(basis, INNER_LIP_PAIRS)[1] for basis in (target, source))
    found = [(lid_rows / _REST_GAP, lid_goals / _REST_GAP)]
    if source.jaw is not None and target.jaw is not None:
        turn = matrix_from_axis_angle(np.radians([[MOUTH_CLOSE_JAW_DEGREES, 0, 0]]))
        opened_source, jaw_goals = _partings(source, INNER_LIP_PAIRS, turn)
        opened_target, jaw_rows = _partings(target, INNER_LIP_PAIRS, turn)
        # A jaw is carried over as a rotation, whatever the face's proportions: what undoes half of the parting that
        # the source's jaw makes has to undo half of the target's, be it larger, smaller or further back.
        pairs = len(INNER_LIP_PAIRS)
        undone = np.maximum(-jaw_goals[:pairs] / np.maximum(opened_source[:pairs, None], 1e-9), 0)
        difference = np.tile(undone, (3, 1)) * (opened_source - opened_target)[:, None]
        found.append((jaw_rows / _GAP, (jaw_goals + difference) / _GAP))
        goals = goals + difference
    found.append((rows / _REST_GAP, goals / _REST_GAP))
    return [(rows / scale, goals / scale) for rows, goals in found]


def _partings(basis: LandmarkBasis, pairs: np.ndarray, jaw: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """How far the jaw (1, 3, 3) parts each pair (3 P,), and what each expression adds to that (3 P, E).

    First upwards; then, of less weight, across and in depth.
    """
    displacements = basis.displacements
    opened = np.zeros((len(pairs), 3))
    if jaw is not None:
        moved = basis.jaw.moved(basis.points, jaw)[0] - basis.points
        opened = moved[pairs[:, 0]] - moved[pairs[:, 1]]
        displacements = np.einsum("kab,kbe->kae", basis.jaw.turns(jaw)[0], displacements)
    directions = np.array([[0, 1.0, 0], [1 / _ACROSS, 0, 0], [0, 0, 1 / _ACROSS]])
    parted = displacements[pairs[:, 0]] - displacements[pairs[:, 1]]
    return (directions @ opened.T).ravel(), np.einsum("da,pae->dpe", directions, parted).reshape(3 * len(pairs), -1)


def _ridge(rows: np.ndarray, goals: np.ndarray, ridge: float, limit: float | None) -> np.ndarray:
    """(Et, Es) least squares with a ridge. A coefficient beyond ``limit`` stays there and the others make up for it."""
    system = rows.T @ rows + ridge * np.eye(rows.shape[1])
    wanted = rows.T @ goals
    matrix = np.linalg.solve(system, wanted)
    for column in np.flatnonzero(np.abs(matrix).max(0) > (np.inf if limit is None else limit)):
        solved, held = matrix[:, column], np.zeros(len(system), bool)
        while (beyond := ~held & (np.abs(solved) > limit)).any():
            held |= beyond
            solved[held] = np.clip(solved[held], -limit, limit)
            free = ~held
            rest = wanted[free, column] - system[np.ix_(free, held)] @ solved[held]
            solved[free] = np.linalg.solve(system[np.ix_(free, free)], rest)
    return matrix
