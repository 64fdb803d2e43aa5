"""Where named points of a face lie on a mesh in Blender, at rest."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy
import numpy as np

from ..head import landmarks as flame
from . import naming

_MOST_ADDED = 0.2
"""Vertices that a FLAME mesh may have beyond FLAME's, as a part of these."""


def basis_points(mesh: bpy.types.Object) -> np.ndarray:
    """(V, 3) vertices of a mesh without any shape key, in the mesh's own frame."""
    keys = mesh.data.shape_keys
    return coordinates(keys.reference_key.data if keys is not None else mesh.data.vertices)


def rest_points(mesh: bpy.types.Object) -> np.ndarray:
    """(V, 3) vertices of a mesh whose face is at rest, in the mesh's own frame: with the identity keys that the user
    has set (Shape1, Shape2, ...), without expressions."""
    keys = mesh.data.shape_keys
    points = basis_points(mesh)
    for name in naming.match_identity(key.name for key in keys.key_blocks).values() if keys is not None else ():
        key = keys.key_blocks[name]
        if key.value and not key.mute:
            points += key.value * (coordinates(key.data) - coordinates(key.relative_key.data))
    return points


def key_points(key: bpy.types.ShapeKey) -> np.ndarray:
    """(V, 3) vertices of a shape key at value 1, in the mesh's own frame."""
    return coordinates(key.data)


def mesh_to_armature(armature: bpy.types.Object, mesh: bpy.types.Object) -> np.ndarray:
    """(4, 4) from the mesh's frame to the armature's."""
    return np.array(armature.matrix_world.inverted_safe() @ mesh.matrix_world, np.float64)


def transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(..., 3) points through a (4, 4) matrix."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def is_flame(mesh: bpy.types.Object) -> bool:
    """Whether a mesh has FLAME's vertices, perhaps with teeth or with what closes its holes after them; its faces may
    have been changed. Other numbers than the usual ones count if the eyeballs lie where FLAME has them."""
    count = len(mesh.data.vertices)
    if count in (flame.FLAME_VERTICES, flame.FLAME_WITH_TEETH):
        return True
    if not flame.FLAME_VERTICES < count <= (1 + _MOST_ADDED) * flame.FLAME_VERTICES:
        return False
    points = basis_points(mesh)
    for side, pupil in zip(("left", "right"), flame.FLAME_PUPILS, strict=True):
        ball = points[flame.FLAME_EYEBALLS[side]]
        system = np.concatenate([2 * ball, np.ones((len(ball), 1))], 1)
        centre = np.linalg.lstsq(system, (ball**2).sum(1), rcond=None)[0][:3]
        distances = np.linalg.norm(ball - centre, axis=1)
        if distances.min() < 0.75 * distances.max() or np.linalg.norm(points[pupil] - centre) < 0.75 * distances.max():
            return False
    return True


def flame_eyes(armature: bpy.types.Object, mesh: bpy.types.Object) -> tuple[np.ndarray, np.ndarray] | None:
    """(eyeballs' centres, pupils), each (2, 3), left and right, of a FLAME mesh in the armature's frame, or None."""
    if not is_flame(mesh):
        return None
    points = transform(mesh_to_armature(armature, mesh), rest_points(mesh))
    centres = np.stack([points[flame.FLAME_EYEBALLS[side]].mean(0) for side in ("left", "right")])
    return centres, points[flame.FLAME_PUPILS]


def coordinates(items) -> np.ndarray:
    """(N, 3) float64 of a collection of vertices or shape key points."""
    values = np.empty(3 * len(items), np.float32)
    items.foreach_get("co", values)
    return values.reshape(-1, 3).astype(np.float64)
