"""Parts that are added to the stand-in's skin, and the few mesh operations that they are made with."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np

from .model import JOINTS
from .standin_body import Body
from .standin_character import MATERIAL, MIRROR

RIDE_WIDTH = 4.0
"""Standard deviation (mm) of the patch of skin whose motion a riding part takes on."""

TRIANGLE = -1
"""Last corner of a face that has only three."""


@dataclasses.dataclass
class Part:
    """A piece of mesh in mm with its weights and motions."""

    name: str
    points: np.ndarray
    """(n, 3)"""
    faces: np.ndarray
    """(f, 4); TRIANGLE in the last column of a triangle."""
    face_material: np.ndarray
    """(f,)"""
    weights: np.ndarray
    """(n, 5)"""
    motions: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """(n, 3) by name; a name that is missing moves nothing."""
    tint: np.ndarray | None = None
    """(n, 3) factor on the material's colour, or None for one."""
    pose_basis: np.ndarray | None = None
    """(n, 3, 36) or None for zeros."""

    def mirrored(self, name: str) -> Part:
        """The same part on the other side; its motions are those of the other side too (and it has no correctives)."""
        motions = {_other_side(key): motion * MIRROR for key, motion in self.motions.items()}
        weights = self.weights[:, [0, 1, 2, 4, 3]]
        return Part(name, self.points * MIRROR, flip(self.faces), self.face_material, weights, motions, self.tint)


def _other_side(name: str) -> str:
    swap = {"Left": "Right", "Right": "Left", "left": "right", "right": "left"}
    for word, other in swap.items():
        if name.endswith(word):
            return name.removesuffix(word) + other
    return name


def one_joint(count: int, joint: str) -> np.ndarray:
    """(count, 5) weights of points that move with one joint alone."""
    weights = np.zeros((count, 5))
    weights[:, JOINTS.index(joint)] = 1
    return weights


def materials(count: int, name: str) -> np.ndarray:
    return np.full(count, MATERIAL[name])


def flip(faces: np.ndarray) -> np.ndarray:
    """Faces wound the other way round; triangles stay marked in the last column."""
    out = faces[:, ::-1].copy()
    triangles = faces[:, 3] == TRIANGLE
    out[triangles] = np.concatenate([faces[triangles][:, 2::-1], faces[triangles][:, 3:]], 1)
    return out


def sheet(points: np.ndarray, around: bool = False, along: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A grid of points (a, b, 3) as vertices (a * b, 3) and quads; ``along`` closes a, ``around`` closes b."""
    a, b = points.shape[:2]
    rows = np.arange(a if along else a - 1)[:, None]
    columns = np.arange(b if around else b - 1)[None, :]
    next_row, next_column = (rows + 1) % a, (columns + 1) % b
    corners = [rows * b + columns, rows * b + next_column, next_row * b + next_column, next_row * b + columns]
    return points.reshape(-1, 3), np.stack(np.broadcast_arrays(*corners), -1).reshape(-1, 4)


def ride(body: Body, points: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """(n, m) shares that ``points`` take of the motions of the body's vertices ``among`` (m,); rows sum to 1."""
    skin = body.points[among]
    squared = (points**2).sum(1)[:, None] + (skin**2).sum(1)[None] - 2 * points @ skin.T
    squared -= squared.min(1, keepdims=True)  # the nearest vertex counts in full, however far the point is
    shares = np.exp(-squared / (2 * RIDE_WIDTH**2))
    return shares / shares.sum(1, keepdims=True)


def riding_motions(body: Body, points: np.ndarray, among: np.ndarray) -> dict[str, np.ndarray]:
    """Motions of points that lie on the skin and go with it, by name; those that move nothing are left out."""
    shares = ride(body, points, among)
    moved = {name: shares @ motion[among] for name, motion in body.motions.items()}
    return {name: motion for name, motion in moved.items() if np.abs(motion).max() > 1e-3}
