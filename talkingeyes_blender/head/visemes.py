"""Visemes from a motion of the stand-in: the mixture of mouth shapes that is nearest to each frame's mouth.

Each viseme stands for a posture of the stand-in (``POSTURES``). A frame's mouth and the postures are compared by the
lips' landmarks; the mixture is the non-negative least squares whose weights sum to 1 at most (the rest is the mouth at
rest), with a small cost for each unit so that it stays sparse. How far the mouth opens is a matter of its own: it is
taken from the parting of the lips, so that lips which the motion shuts are shut, whatever the shapes' sizes.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from .arkit import EXPRESSIONS, INDEX, VISEME_NAMES
from .face_basis import LandmarkBasis
from .landmarks import INNER_LIP, INNER_LIP_PAIRS, MOUTH_CORNERS, OUTER_LIP
from .rotation import matrix_from_axis_angle

# Degrees of the jaw and values of the stand-in's shapes at a viseme's height, by the names of the 15 of Oculus.
_SMILE, _STRETCH, _LOWER, _UPPER = "mouthSmile", "mouthStretch", "mouthLowerDown", "mouthUpperUp"
POSTURES: dict[str, tuple[float, dict[str, float]]] = {
    "sil": (0.0, {}),
    "PP": (1.0, {"mouthClose": 0.1, "mouthPress": 0.5, "mouthRollLower": 0.3, "mouthRollUpper": 0.3}),
    "FF": (2.0, {"mouthRollLower": 0.6, _UPPER: 0.25, _STRETCH: 0.1}),
    "TH": (4.0, {_LOWER: 0.2, _UPPER: 0.1, _STRETCH: 0.15, "tongueOut": 0.3}),
    "DD": (3.5, {_LOWER: 0.2, _UPPER: 0.05, _STRETCH: 0.15}),
    "kk": (5.0, {_LOWER: 0.12, _STRETCH: 0.08}),
    "CH": (1.5, {"mouthFunnel": 0.65, "mouthPucker": 0.25, _LOWER: 0.2, _UPPER: 0.18}),
    "SS": (1.0, {_STRETCH: 0.35, _SMILE: 0.15, _LOWER: 0.35, _UPPER: 0.18}),
    "nn": (3.5, {_LOWER: 0.15, _STRETCH: 0.1}),
    "RR": (4.0, {"mouthFunnel": 0.45, "mouthPucker": 0.2, _LOWER: 0.1}),
    "aa": (14.0, {_LOWER: 0.55, _UPPER: 0.15, _STRETCH: 0.15}),
    "E": (8.0, {_STRETCH: 0.3, _SMILE: 0.2, _LOWER: 0.45, _UPPER: 0.15}),
    "I": (3.5, {_STRETCH: 0.5, _SMILE: 0.3, _LOWER: 0.25, _UPPER: 0.12}),
    "O": (8.0, {"mouthPucker": 0.65, "mouthFunnel": 0.3, _LOWER: 0.1}),
    "U": (3.0, {"mouthPucker": 1.0, "mouthFunnel": 0.1}),
}
VISEMES = VISEME_NAMES
_SIDED = ("mouthPress", _SMILE, _STRETCH, _LOWER, _UPPER)
_POINTS = np.concatenate([OUTER_LIP, INNER_LIP])
_CORNER_WEIGHT = 1.5
_COST = 0.004
"""What a unit of viseme costs beside the squared misfit, as a part of the strongest posture's square."""
_SHUT, _APART = 0.0004, 0.0022
"""Metres on the stand-in: parting of the lips below which they count as shut, and above which nothing is shut."""
_PRESS_DEGREES = 2.0
"""Lips that are shut over a jaw that is open by this much are pressed: a p, b or m."""
_STEPS = 400
_CHUNK = 2000
_TABLE_DEGREES = np.linspace(0, 40, 81)


@dataclasses.dataclass(frozen=True, eq=False)
class VisemeMotion:
    """A mouth in visemes."""

    weights: dict[str, np.ndarray]
    """(T,) from 0 to 1 by viseme."""
    opening: np.ndarray
    """(T,) radians by which a jaw bone has to open besides; all 0 where the visemes open enough by themselves."""

    def turns(self, jaw: np.ndarray) -> np.ndarray:
        """(T, 3) the turns ``jaw`` of a jaw that opens by ``opening``: whatever else it does goes by that share."""
        share = np.clip(self.opening / np.maximum(np.abs(jaw[:, 0]), 1e-3), 0, 1)
        return np.stack([self.opening, jaw[:, 1] * share, jaw[:, 2] * share], 1)


def posture(name: str) -> tuple[float, np.ndarray]:
    """(degrees of the jaw, (41,) coefficients of the stand-in) at a viseme's height."""
    degrees, shapes = POSTURES[name]
    values = np.zeros(len(EXPRESSIONS))
    for shape, value in shapes.items():
        for key in (f"{shape}Left", f"{shape}Right") if shape in _SIDED else (shape,):
            values[INDEX[key]] = value
    return degrees, values


def fit_visemes(
    basis: LandmarkBasis, expression: np.ndarray, jaw: np.ndarray, opens: Mapping[str, float]
) -> VisemeMotion:
    """The visemes of a motion of the stand-in, whose landmarks are ``basis``: expression (T, 41), jaw (T, 3).

    ``opens`` names the visemes that the rig has, and says by how many degrees each opens the rig's mouth by itself: 0
    for a shape of the lips alone, on a rig whose jaw is a bone.
    """
    names = [name for name in VISEMES if name in opens and name != "sil"]
    degrees = np.array([max(0.0, float(opens[name])) for name in names])
    with_jaw = bool((degrees > 0).any())
    shapes = np.array([posture(name)[1] for name in names]).reshape(-1, expression.shape[1])
    turns = np.array([[np.radians(posture(name)[0]), 0, 0] for name in names]).reshape(-1, 3)
    rows = _seen(basis, shapes, turns * with_jaw)
    weights, openings = [], []
    for first in range(0, len(expression), _CHUNK):
        part = slice(first, first + _CHUNK)
        wanted, parting = (
            _seen(basis, expression[part], jaw[part] * with_jaw),
            _parting(basis, expression[part], jaw[part]),
        )
        mixed = _mixture(rows, wanted)
        open_ = np.clip((parting - _SHUT) / (_APART - _SHUT), 0, 1)
        open_ = open_ * open_ * (3 - 2 * open_)
        pressed = (1 - open_) * np.clip(np.degrees(jaw[part, 0]) / _PRESS_DEGREES, 0, 1)
        for i, name in enumerate(names):
            if name == "PP":
                mixed[:, i] = np.maximum(mixed[:, i], pressed)
            elif name != "FF":
                mixed[:, i] *= open_
        mixed /= np.maximum(mixed.sum(1, keepdims=True), 1)
        weights.append(mixed)
        # As far as the lips part, but never further than the jaw itself is open.
        wide = np.minimum(_degrees_of(basis, parting), np.degrees(jaw[part, 0])) * (parting > 0)
        openings.append(np.radians(np.maximum(wide * open_ - mixed @ degrees, 0)))
    mixed = np.concatenate(weights) if weights else np.zeros((0, len(names)))
    found = dict(zip(names, mixed.T, strict=True))
    if "sil" in opens:
        found["sil"] = np.clip(1 - mixed.sum(1), 0, 1)
    return VisemeMotion(found, np.concatenate(openings) if openings else np.zeros(0))


def _seen(basis: LandmarkBasis, expression: np.ndarray, jaw: np.ndarray) -> np.ndarray:
    """(T, F) where the lips' points are, against rest, weighted."""
    moved = basis.posed(expression, matrix_from_axis_angle(jaw)) - basis.points
    weight = np.ones(len(basis.points))
    weight[MOUTH_CORNERS] = _CORNER_WEIGHT
    return (moved * weight[:, None])[:, _POINTS].reshape(len(expression), 3 * len(_POINTS))


def _parting(basis: LandmarkBasis, expression: np.ndarray, jaw: np.ndarray) -> np.ndarray:
    """(T,) how far the inner lips part more than at rest, metres."""
    posed = basis.posed(expression, matrix_from_axis_angle(jaw))
    upper, lower = INNER_LIP_PAIRS.T
    rest = (basis.points[upper] - basis.points[lower])[:, 1]
    return ((posed[:, upper] - posed[:, lower])[..., 1] - rest).mean(1)


def _degrees_of(basis: LandmarkBasis, parting: np.ndarray) -> np.ndarray:
    """(T,) degrees by which the jaw alone would part the lips so far."""
    turns = np.radians(_TABLE_DEGREES)[:, None] * np.array([1.0, 0, 0])
    table = _parting(basis, np.zeros((len(turns), basis.displacements.shape[2])), turns)
    return np.interp(parting, np.maximum.accumulate(table), _TABLE_DEGREES)


def _mixture(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(T, N) the non-negative weights, of sum 1 at most, that bring ``rows`` (N, F) nearest to ``wanted`` (T, F).

    Accelerated projected gradient (Beck and Teboulle 2009), all frames at once; the projection is Duchi's (2008).
    """
    if not len(rows):
        return np.zeros((len(wanted), 0))
    system = rows @ rows.T
    size = max(np.linalg.eigvalsh(system)[-1], 1e-30)
    aims = wanted @ rows.T - _COST * np.diag(system).max()
    weights = ahead = np.zeros((len(wanted), len(rows)))
    pace = 1.0
    for _ in range(_STEPS):
        before = weights
        weights = np.maximum(ahead - (ahead @ system - aims) / size, 0)
        over = weights.sum(1) > 1
        if over.any():
            weights[over] = _on_simplex(weights[over])
        quicker = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead = weights + (pace - 1) / quicker * (weights - before)
        pace = quicker
        if np.abs(weights - before).max(initial=0.0) < 1e-5:
            break
    return weights


def _on_simplex(weights: np.ndarray) -> np.ndarray:
    """The nearest weights (T, N) that are not negative and sum to 1."""
    falling = -np.sort(-weights, axis=1)
    excess = (np.cumsum(falling, 1) - 1) / np.arange(1, weights.shape[1] + 1)
    last = (falling > excess).sum(1) - 1
    return np.maximum(weights - excess[np.arange(len(weights)), last][:, None], 0)
