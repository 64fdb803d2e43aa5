"""Carrying expressions over from one head's basis to another's, by what they do to the face's landmarks.

Expression coefficients mean nothing outside of their own basis. What two heads share is 51 named points: for each of
the source's expressions we look for the coefficients of the target that move its points alike. Closed lips come
first: a mouth that the source shuts over an open jaw has to be shut on the target too.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np

from ..errors import TalkingEyesError
from .arkit import MOUTH_CLOSE_JAW_DEGREES
from .landmarks import BROWS, COUNT, EYES, INNER_LIP, INNER_LIP_PAIRS, LID_PAIRS, MOUTH_CORNERS, NOSE, OUTER_LIP
from .model import JAW, HeadModel
from .rotation import matrix_from_axis_angle
from .skinning import joint_transforms, pose_vertices

_JAW = np.radians(MOUTH_CLOSE_JAW_DEGREES)
_GAP_WEIGHT = 20.0
"""Weight of the lips' gap over an open jaw, against 1 for a brow's place."""
_ACROSS_WEIGHT = 0.5
_REST_GAP_WEIGHT = 3.0
_LID_GAP_WEIGHT = 3.0
_RIDGE = 3e-4
"""Weight of the coefficients' size, against the square of what the target's strongest mode does to the landmarks: modes
weaker than 2 % of it fade out. On FLAME's scale that is a misfit of about 0.3 mm, all points together."""
_STILL = 2e-5
"""An expression that moves no landmark by more than this (metres) cannot be carried over by landmarks."""


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkBasis:
    """A head's expressions as its 51 'face' landmarks see them, in any frame and unit of length."""

    points: np.ndarray
    """(51, 3) the landmarks at rest."""
    displacements: np.ndarray
    """(51, 3, E) how a unit of each expression moves them."""
    jaw: np.ndarray | None = None
    """(51, 3, 4) what happens to the neighbourhood of each landmark when the jaw opens by MOUTH_CLOSE_JAW_DEGREES, or
    None where no jaw is known: closure over an open jaw is then kept only as far as the shapes agree."""

    def __post_init__(self) -> None:
        expected = {"points": (COUNT, 3), "displacements": (COUNT, 3, np.shape(self.displacements)[-1])}
        if self.jaw is not None:
            expected["jaw"] = (COUNT, 3, 4)
        for name, shape in expected.items():
            array = np.asarray(getattr(self, name), np.float64)
            if array.shape != shape or not np.isfinite(array).all():
                raise TalkingEyesError(f"The landmarks' {name} are not {shape} finite numbers but {array.shape}.")
            object.__setattr__(self, name, array)
        if np.linalg.norm(self.points - self.points.mean(0)) == 0:
            raise TalkingEyesError("The landmarks of the face all lie in one point.")

    @classmethod
    def from_head(cls, head: HeadModel) -> LandmarkBasis:
        """The basis of a HeadModel, which must name its 'face' landmarks."""
        if "face" not in head.landmarks:
            raise TalkingEyesError(f"The head '{head.name}' has no landmarks, so no expression can be carried over.")
        face = head.landmarks["face"]
        points = head.vertices[face]
        pose = np.zeros((5, 3))
        pose[JAW, 0] = _JAW
        jaw = np.einsum("kj,jab->kab", head.weights[face], joint_transforms(head, pose=pose))
        # Pose correctives are not in the transforms: the landmark itself comes to where the whole skinning puts it.
        jaw[:, :, 3] = pose_vertices(head, pose=pose)[face] - np.einsum("kab,kb->ka", jaw[:, :, :3], points)
        return cls(points, head.expression_basis[face].astype(np.float64), jaw)


def jaw_transforms(weights: np.ndarray, joint: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """``LandmarkBasis.jaw`` (51, 3, 4) of a rig, from the landmarks' skin weights (51,) to the jaw, its joint (3,) and
    the axis (3,) about which it opens by the right hand (FLAME's +X, the subject's left)."""
    axis = np.asarray(axis, np.float64)
    turn = matrix_from_axis_angle(_JAW * axis / np.linalg.norm(axis))
    moving = np.concatenate([turn, (joint - turn @ joint)[:, None]], 1)
    return np.eye(3, 4) + np.asarray(weights, np.float64)[:, None, None] * (moving - np.eye(3, 4))


@dataclasses.dataclass(frozen=True, eq=False)
class Transfer:
    """A linear map of expression coefficients, solved once for two heads."""

    matrix: np.ndarray
    """(Et, Es): a column for each expression of the source."""
    reached: np.ndarray
    """(Es,) share of each source expression's landmark motion that the target makes, 0 to 1; 0 for one that moves no
    landmark (a tongue)."""
    scale: float
    """Size of the target over the source's."""

    def apply(self, expression: np.ndarray) -> np.ndarray:
        """(T, Es) or (Es,) coefficients of the source to (T, Et) or (Et,) of the target, float32."""
        expression = np.asarray(expression)
        if expression.ndim not in (1, 2) or expression.shape[-1] != self.matrix.shape[1]:
            raise TalkingEyesError(
                f"The expression has the shape {expression.shape}; the transfer takes {self.matrix.shape[1]} values."
            )
        return (expression @ self.matrix.T).astype(np.float32)


def solve_transfer(source: LandmarkBasis, target: LandmarkBasis, limit: float | None = 3.0) -> Transfer:
    """Find the target's coefficients for each of the source's expressions, by ridge regression on the landmarks.

    ``source`` must be in the frame of a HeadModel (+Y up); ``target`` may lie in any: the two sets of points are
    aligned by rotation and scale first (Umeyama 1991). ``limit`` is the largest coefficient that one whole expression
    may ask for (FLAME's are standard deviations); None sets none.
    """
    if not target.displacements.shape[2]:
        raise TalkingEyesError("The target head has no expressions.", "Choose a head or a rig with expression keys.")
    rotation, scale = _alignment(source.points, target.points)
    up = rotation @ np.array([0.0, 1.0, 0.0])
    wanted = scale * np.einsum("ab,kbe->kae", rotation, source.displacements)
    turned = LandmarkBasis(scale * source.points @ rotation.T, wanted, _turned(source.jaw, rotation, scale))
    weights = np.repeat(_weights(), 3)[:, None]
    rows = [weights * target.displacements.reshape(3 * COUNT, -1)]
    goals = [weights * wanted.reshape(3 * COUNT, -1)]
    for gap_rows, gap_goals in _gap_rows(turned, target, up):
        rows.append(gap_rows)
        goals.append(gap_goals)
    # The gaps' weights are for their goals, and must not make the coefficients smaller.
    strongest = np.linalg.norm(rows[0], 2)
    if strongest == 0:
        raise TalkingEyesError("The target's expressions move none of the face's landmarks.", "Check the landmarks.")
    matrix = _ridge(np.concatenate(rows), np.concatenate(goals), _RIDGE * strongest**2, limit)
    moved = np.linalg.norm(wanted.reshape(3 * COUNT, -1), axis=0)
    missed = np.linalg.norm((target.displacements @ matrix - wanted).reshape(3 * COUNT, -1), axis=0)
    still = np.linalg.norm(source.displacements, axis=1).max(0) <= _STILL
    matrix[:, still] = 0
    reached = np.where(still, 0, np.clip(1 - missed / np.maximum(moved, 1e-12), 0, 1))
    return Transfer(matrix, reached, scale)


def _weights() -> np.ndarray:
    weights = np.ones(COUNT)
    weights[BROWS] = 1.0
    weights[NOSE] = 0.7
    weights[EYES] = 1.3
    weights[OUTER_LIP] = 1.5
    weights[INNER_LIP] = 2.0
    weights[MOUTH_CORNERS] *= 1.5
    return weights


def _alignment(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Rotation (3, 3) and scale that bring the source's points nearest to the target's, places apart."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, values, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    return (u * signs) @ vt, float((values * signs).sum() / (a**2).sum())


def _turned(jaw: np.ndarray | None, rotation: np.ndarray, scale: float) -> np.ndarray | None:
    if jaw is None:
        return None
    return np.concatenate([rotation @ jaw[:, :, :3] @ rotation.T, scale * (rotation @ jaw[:, :, 3:])], -1)


def _gap_rows(source: LandmarkBasis, target: LandmarkBasis, up: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weighted rows and goals for how expressions open and close lips and lids; both heads in the target's frame."""
    lids = np.concatenate([LID_PAIRS["left"], LID_PAIRS["right"]])
    lid_rows, lid_goals = (_LID_GAP_WEIGHT * _partings(basis, lids, up)[1] for basis in (target, source))
    rows, goals = (_partings(basis, INNER_LIP_PAIRS, up)[1] for basis in (target, source))
    found = [(lid_rows, lid_goals)]
    if source.jaw is not None and target.jaw is not None:
        opened_source, jaw_goals = _partings(source, INNER_LIP_PAIRS, up, jaw=True)
        opened_target, jaw_rows = _partings(target, INNER_LIP_PAIRS, up, jaw=True)
        # A jaw is carried over as a rotation, whatever the face's proportions: what undoes half of the parting that
        # the source's jaw makes has to undo half of the target's, be it larger, smaller or further back.
        pairs = len(INNER_LIP_PAIRS)
        undone = np.maximum(-jaw_goals[:pairs] / np.maximum(opened_source[:pairs, None], 1e-9), 0)
        difference = np.tile(undone, (3, 1)) * (opened_source - opened_target)[:, None]
        found.append((_GAP_WEIGHT * jaw_rows, _GAP_WEIGHT * (jaw_goals + difference)))
        goals = goals + difference
    return [*found, (_REST_GAP_WEIGHT * rows, _REST_GAP_WEIGHT * goals)]


def _partings(
    basis: LandmarkBasis, pairs: np.ndarray, up: np.ndarray, jaw: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """How far the jaw parts each pair (3 P,), and what each expression adds to that (3 P, E).

    First along ``up``; then, of less weight, in the two directions across, for lips that miss each other do not close.
    """
    displacements = basis.displacements
    opened = np.zeros((len(pairs), 3))
    if jaw:
        moved = np.einsum("kab,kb->ka", basis.jaw[:, :, :3], basis.points) + basis.jaw[:, :, 3] - basis.points
        opened = moved[pairs[:, 0]] - moved[pairs[:, 1]]
        displacements = np.einsum("kab,kbe->kae", basis.jaw[:, :, :3], displacements)
    across = np.linalg.svd(up[None])[2][1:]
    directions = np.concatenate([up[None], _ACROSS_WEIGHT * across])
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
