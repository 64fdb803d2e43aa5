"""HeadModel: a FLAME-format head as arrays, whichever file it came from."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np

JOINTS = ("root", "neck", "jaw", "left_eye", "right_eye")
ROOT, NECK, JAW, LEFT_EYE, RIGHT_EYE = range(5)
PARENTS = (-1, 0, 1, 1, 1)


@dataclasses.dataclass(frozen=True)
class Material:
    """How one part of the surface looks: linear RGB, roughness, subsurface weight, emission strength."""

    name: str
    color: tuple[float, float, float]
    roughness: float = 0.55
    subsurface: float = 0.0
    emission: float = 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class HeadModel:
    """A linear blend-skinned head in FLAME's layout.

    Its frame is FLAME's too: metres, +X the subject's left, +Y up, +Z out of the face. V vertices, F faces,
    S identity shapes, E expressions; five joints in the order of ``JOINTS``.
    """

    name: str
    vertices: np.ndarray
    """(V, 3) float64, the template."""
    faces: np.ndarray
    """(F, 4) int32; -1 in the last column of a triangle."""
    shape_basis: np.ndarray
    """(V, 3, S) float32, metres a unit."""
    expression_basis: np.ndarray
    """(V, 3, E) float32, metres a unit."""
    pose_basis: np.ndarray
    """(V, 3, 36) float32: correctives for (R - I).ravel() of neck, jaw, left eye, right eye."""
    weights: np.ndarray
    """(V, 5) float64, skin weights; rows sum to 1."""
    joint_regressor: np.ndarray
    """(5, V) float64: joints = regressor @ vertices."""
    identity: str
    """What the expression coefficients mean: the stand-in's constant, or a hash of the basis."""
    expression_names: tuple[str, ...] = ()
    """What each expression means (ARKit's names), or empty where the file does not say."""
    shape_names: tuple[str, ...] = ()
    landmarks: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """Vertex indices by name: 'face' the (51,) iBUG points 17 to 67, 'pupils' (2,) left and right,
    'left_lids' / 'right_lids' (K,) the margin of the lids; a head without them has fewer keys."""
    lids: np.ndarray | None = None
    """(V, 3, 2) displacement of shut left and right lids (blink 1), or None: see head.lids."""
    lid_follow: np.ndarray | None = None
    """(V, 3, 2) displacement of the left and right lids when that eye looks down by LID_FOLLOW_DEGREES, or None."""
    face_material: np.ndarray | None = None
    """(F,) int32 index into ``materials``."""
    materials: tuple[Material, ...] = ()
    vertex_tint: np.ndarray | None = None
    """(V, 3) factor on the material's colour."""
    warnings: tuple[str, ...] = ()
    """Sentences for the user: what of this head will not move, or not as expected, and what to do about it."""

    @property
    def expressions(self) -> int:
        return self.expression_basis.shape[2]

    @functools.cached_property
    def joints(self) -> np.ndarray:
        """(5, 3) joint positions of the template, metres."""
        return self.joint_regressor @ self.vertices


LID_FOLLOW_DEGREES = 25.0


def basis_identity(expression_basis: np.ndarray) -> str:
    """Name an expression basis by its content, so that coefficients of one are never taken for another's."""
    digest = hashlib.sha256(np.ascontiguousarray(expression_basis, np.float32).tobytes()).hexdigest()
    return f"flame-{expression_basis.shape[2]}-{digest[:12]}"
