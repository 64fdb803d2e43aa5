"""What a rig's expression keys do to the landmarks of its face."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from ..head import landmarks as flame
from ..head.arkit import MOUTH_CLOSE_JAW_DEGREES
from ..head.rotation import matrix_from_axis_angle
from ..head.transfer import LandmarkBasis
from .head_rig import HeadRig
from .points import is_flame, mesh_to_armature, rest_points, transform

_JAW_COLUMN = 9


def knows_landmarks(rig: HeadRig) -> bool:
    """Whether the face's landmarks on the rig's mesh are known."""
    return _indices(rig) is not None


def landmark_basis(rig: HeadRig) -> LandmarkBasis | None:
    """The rig's expressions as its landmarks see them, in FLAME's frame and the rig's unit of length.

    The landmarks are those stored with a mesh of ours, or FLAME's on a mesh with FLAME's vertices; None elsewhere.
    """
    indices = _indices(rig)
    if indices is None:
        return None
    to_armature = mesh_to_armature(rig.armature, rig.mesh)
    turn = rig.frame.T @ to_armature[:3, :3]
    points = transform(to_armature, rest_points(rig.mesh)[indices]) @ rig.frame
    displacements = np.zeros((len(indices), 3, rig.expressions))
    for i, name in enumerate(rig.expression_keys):
        if name is not None:
            displacements[:, :, i] = _displacement(rig, name, indices) @ turn.T
    return LandmarkBasis(points, displacements, _jaw(rig, points, indices, turn))


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
    """(51, 3) what a shape key adds to the landmarks at value 1, in the mesh's frame."""
    key = rig.shape_keys.key_blocks[name]
    # A few points one by one are quicker than all points of a hundred keys.
    moved, still = key.data, key.relative_key.data
    return np.array([moved[i].co - still[i].co for i in indices], np.float64)


def _jaw(rig: HeadRig, points: np.ndarray, indices: list[int], turn: np.ndarray) -> np.ndarray:
    """(51, 3, 4) what the opening jaw does to each landmark: skin weights of its bone and of those that hang on it."""
    bone = rig.armature.data.bones[rig.bones["jaw"]]
    moving = {bone.name, *(child.name for child in bone.children_recursive)}
    deforming = {b.name for b in rig.armature.data.bones if b.use_deform}
    names = {group.index: group.name for group in rig.mesh.vertex_groups}
    share = np.zeros(len(indices))
    for row, i in enumerate(indices):
        weights = {names.get(g.group): g.weight for g in rig.mesh.data.vertices[i].groups}
        total = sum(weight for name, weight in weights.items() if name in deforming)
        share[row] = sum(weight for name, weight in weights.items() if name in moving) / total if total > 0 else 0
    angle = np.radians(MOUTH_CLOSE_JAW_DEGREES)
    rotation = matrix_from_axis_angle([angle, 0, 0])
    joint = np.array(bone.head_local, np.float64) @ rig.frame
    blended = np.eye(3) + share[:, None, None] * (rotation - np.eye(3))
    place = share[:, None] * (joint - rotation @ joint)
    corrective = np.zeros_like(points)
    for column, feature in enumerate((rotation - np.eye(3)).ravel(), _JAW_COLUMN):
        if feature and column in rig.pose_keys:
            corrective += feature * _displacement(rig, rig.pose_keys[column], indices) @ turn.T
    return np.concatenate([blended, (place + np.einsum("kab,kb->ka", blended, corrective))[..., None]], -1)
