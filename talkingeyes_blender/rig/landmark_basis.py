"""What a rig's expression keys do to the landmarks of its face."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from ..head import landmarks as flame
from ..head.face_basis import Hinge, LandmarkBasis
from .head_rig import HeadRig
from .points import is_flame, mesh_to_armature, rest_points, transform

_JAW_COLUMNS = range(9, 18)


def knows_landmarks(rig: HeadRig) -> bool:
    """Whether the face's landmarks on the rig's mesh are known."""
    return _indices(rig) is not None


def landmark_basis(rig: HeadRig) -> LandmarkBasis | None:
    """The rig's expressions as its landmarks see them, in FLAME's frame and the rig's unit of length.

    The landmarks are those stored with a mesh of ours, or FLAME's on a mesh with FLAME's vertices; None elsewhere.
    """
    face = _indices(rig)
    if face is None:
        return None
    to_armature = mesh_to_armature(rig.armature, rig.mesh)
    turn = rig.frame.T @ to_armature[:3, :3]
    rest = transform(to_armature, rest_points(rig.mesh)) @ rig.frame
    indices = [*face, *flame.cheek_vertices(rest, np.array(face)).tolist()]
    displacements = np.zeros((len(indices), 3, rig.expressions))
    for i, name in enumerate(rig.expression_keys):
        if name is not None:
            displacements[:, :, i] = _displacement(rig, name, indices) @ turn.T
    return LandmarkBasis(rest[indices], displacements, _hinge(rig, indices, turn) if "jaw" in rig.bones else None)


def _indices(rig: HeadRig) -> list[int] | None:
    if rig.mesh is None:
        return None
    indices = rig.landmarks.get("face")
    if indices is None and is_flame(rig.mesh):
        indices = flame.FLAME_FACE
    if (
        indices is None
        or len(indices) != flame.COUNT
        or not 0 <= min(indices) <= max(indices) < len(rig.mesh.data.vertices)
    ):
        return None
    return np.asarray(indices).tolist()


def _displacement(rig: HeadRig, name: str, indices: list[int]) -> np.ndarray:
    """(N, 3) what a shape key adds to vertices at value 1, in the mesh's frame."""
    key = rig.shape_keys.key_blocks[name]
    # A few points one by one are quicker than all points of a hundred keys.
    moved, still = key.data, key.relative_key.data
    return np.array([moved[i].co - still[i].co for i in indices], np.float64)


def _hinge(rig: HeadRig, indices: list[int], turn: np.ndarray) -> Hinge:
    """What the jaw does to vertices: skin weights of its bone and of those that hang on it, and its correctives."""
    bone = rig.armature.data.bones[rig.bones["jaw"]]
    moving = {bone.name, *(child.name for child in bone.children_recursive)}
    deforming = {b.name for b in rig.armature.data.bones if b.use_deform}
    names = {group.index: group.name for group in rig.mesh.vertex_groups}
    share = np.zeros(len(indices))
    for row, i in enumerate(indices):
        weights = {names.get(g.group): g.weight for g in rig.mesh.data.vertices[i].groups}
        total = sum(weight for name, weight in weights.items() if name in deforming)
        share[row] = sum(weight for name, weight in weights.items() if name in moving) / total if total > 0 else 0
    correctives = np.zeros((len(indices), 3, len(_JAW_COLUMNS)))
    for i, column in enumerate(_JAW_COLUMNS):
        if column in rig.pose_keys:
            correctives[:, :, i] = _displacement(rig, rig.pose_keys[column], indices) @ turn.T
    return Hinge(share, np.array(bone.head_local, np.float64) @ rig.frame, correctives)
