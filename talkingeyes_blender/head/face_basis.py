"""What two heads share whatever their meshes: named points of the face, and what expressions and the jaw do to them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np

from ..errors import TalkingEyesError
from .landmarks import POINTS, cheek_vertices
from .model import JAW, HeadModel

_JAW_COLUMNS = slice(9 * (JAW - 1), 9 * JAW)


@dataclasses.dataclass(frozen=True, eq=False)
class Hinge:
    """What a turn of the jaw does to the points of a face."""

    share: np.ndarray
    """(57,) skin weight of each point to the jaw."""
    joint: np.ndarray
    """(3,) where the jaw turns."""
    correctives: np.ndarray
    """(57, 3, 9) displacement of each point for (R - I).ravel() of the jaw's rotation R in FLAME's frame."""

    def __post_init__(self) -> None:
        for name, shape in {"share": (POINTS,), "joint": (3,), "correctives": (POINTS, 3, 9)}.items():
            object.__setattr__(self, name, _checked(f"jaw's {name}", getattr(self, name), shape))

    def turns(self, rotations: np.ndarray) -> np.ndarray:
        """(T, 57, 3, 3) how the neighbourhood of each point turns with the jaw (T, 3, 3)."""
        return np.eye(3) + self.share[:, None, None] * (rotations - np.eye(3))[:, None]

    def moved(self, points: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """(T, 57, 3) where points (57, 3) or (T, 57, 3) come to, as by ``skinning.pose_vertices``."""
        features = (rotations - np.eye(3)).reshape(-1, 9)
        corrected = points + np.einsum("tf,kaf->tka", features, self.correctives) - self.joint
        return np.einsum("tkab,tkb->tka", self.turns(rotations), corrected) + self.joint


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkBasis:
    """A head's expressions as its 51 'face' landmarks and six points of its cheeks see them, in any unit of length.

    The frame is FLAME's but for a rotation and a shift, which are found from the points.
    """

    points: np.ndarray
    """(57, 3) the points at rest."""
    displacements: np.ndarray
    """(57, 3, E) how a unit of each expression moves them."""
    jaw: Hinge | None = None
    """How the jaw moves them, or None where no jaw is known: closure over an open jaw is then kept only as far as the
    shapes agree."""

    def __post_init__(self) -> None:
        expressions = np.shape(self.displacements)[-1:]
        for name, shape in {"points": (POINTS, 3), "displacements": (POINTS, 3, *expressions)}.items():
            object.__setattr__(self, name, _checked(name, getattr(self, name), shape))
        if np.linalg.norm(self.points - self.points.mean(0)) == 0:
            raise TalkingEyesError("The landmarks of the face all lie in one point.")

    @classmethod
    def from_head(cls, head: HeadModel) -> LandmarkBasis:
        """The basis of a HeadModel, which must name its 'face' landmarks."""
        if "face" not in head.landmarks:
            raise TalkingEyesError(
                f"The head '{head.name}' has no landmarks, so no expression can be carried over.",
                "Add 'landmark_face' (51 vertex indices, iBUG points 17 to 67) to its file.",
            )
        face = head.landmarks["face"]
        chosen = np.concatenate([face, cheek_vertices(head.vertices, face)])
        hinge = Hinge(head.weights[chosen, JAW], head.joints[JAW], head.pose_basis[chosen][:, :, _JAW_COLUMNS])
        return cls(head.vertices[chosen], head.expression_basis[chosen], hinge)

    def turned(self, rotation: np.ndarray, scale: float = 1.0) -> LandmarkBasis:
        """The same head seen in a frame that is turned by ``rotation`` (3, 3) and larger by ``scale``."""
        hinge = self.jaw
        if hinge is not None:
            # The features of the correctives are those of FLAME's frame and stay; what they move turns.
            correctives = scale * np.einsum("ab,kbf->kaf", rotation, hinge.correctives)
            hinge = Hinge(hinge.share, scale * rotation @ hinge.joint, correctives)
        moved = scale * np.einsum("ab,kbe->kae", rotation, self.displacements)
        return LandmarkBasis(scale * self.points @ rotation.T, moved, hinge)

    def posed(self, expression: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """(T, 57, 3) the points under coefficients (T, E) and the jaw's rotations (T, 3, 3)."""
        flat = self.displacements.reshape(3 * POINTS, -1)
        points = self.points + (expression @ flat.T).reshape(-1, POINTS, 3)
        return points if self.jaw is None else self.jaw.moved(points, rotations)


def _checked(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(value, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise TalkingEyesError(f"The landmarks' {name} are not {shape} finite numbers but {array.shape}.")
    return array
