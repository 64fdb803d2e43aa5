"""Exported heads imported again into an empty scene, and what is left of them there."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from _rigs import evaluated_vertices, fresh_scene, go_to
from mathutils.kdtree import KDTree

from talkingeyes_blender.rig.points import coordinates

ENDINGS = {"USD": ".usdc", "ALEMBIC": ".abc", "GLTF": ".glb", "FBX": ".fbx"}


def step_of(format_: str, fps: tuple[int, float]) -> float:
    """Frames between two keys after an import: FBX's importer counts 30 a second where it should count 29.97."""
    return fps[1] if format_ == "FBX" else 1.0


def world_vertices(mesh: bpy.types.Object) -> np.ndarray:
    """(V, 3) of a mesh as evaluated now, in the world."""
    evaluated_vertices_ = evaluated_vertices(mesh)
    matrix = np.array(mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world)
    return evaluated_vertices_ @ matrix[:3, :3].T + matrix[:3, 3]


def played_vertices(scene: bpy.types.Scene, mesh: bpy.types.Object, frames: np.ndarray) -> np.ndarray:
    """(T, V, 3) in the world at scene frames."""
    found = []
    for frame in frames:
        go_to(scene, float(frame))
        found.append(world_vertices(mesh))
    return np.array(found)


def reimported(path: Path, format_: str, fps: tuple[int, float]) -> list[bpy.types.Object]:
    """The meshes that are in an exported file, in a fresh scene of so many frames a second."""
    scene = fresh_scene()
    scene.render.fps, scene.render.fps_base = fps
    if format_ == "USD":
        bpy.ops.wm.usd_import(filepath=str(path))
    elif format_ == "ALEMBIC":
        bpy.ops.wm.alembic_import(filepath=str(path), as_background_job=False)
    elif format_ == "GLTF":
        # The importer takes a second for fps * fps_base frames.
        scene.render.fps_base = 1 / fps[1]
        bpy.ops.import_scene.gltf(filepath=str(path))
        scene.render.fps_base = fps[1]
    else:
        bpy.ops.import_scene.fbx(filepath=str(path), anim_offset=0.0)
    meshes = [obj for obj in bpy.data.objects if obj.type == "MESH" and obj.name != "Icosphere"]
    for mesh in meshes:
        # The importers leave the sliders at 0 to 1, and Blender then shows no value outside.
        for key in mesh.data.shape_keys.key_blocks if mesh.data.shape_keys is not None else ():
            key.slider_min, key.slider_max = -10, 10
    return meshes


def marks(mesh: bpy.types.Object) -> np.ndarray:
    """(V, K, 3) the vertices of a mesh without any key in the world, and what each key adds, by which to tell them."""
    keys = mesh.data.shape_keys
    if keys is None:
        return np.array([vertex.co for vertex in mesh.data.vertices])[:, None] @ np.array(mesh.matrix_world)[:3, :3].T
    matrix = np.array(mesh.matrix_world)
    base = coordinates(keys.reference_key.data)
    found = [base @ matrix[:3, :3].T + matrix[:3, 3]]
    for key in sorted(keys.key_blocks, key=lambda key: key.name):
        if key != keys.reference_key:
            found.append((coordinates(key.data) - base) @ matrix[:3, :3].T)
    return np.stack(found, 1)


def places_of(mesh: bpy.types.Object, rest: np.ndarray) -> np.ndarray:
    """(N,) for each vertex of an imported mesh the vertex that it was, of an original with the ``marks`` ``rest``.

    glTF has a vertex of its own for each corner whose normal differs.
    """
    if len(mesh.data.vertices) == len(rest):
        return np.arange(len(rest))
    tree = KDTree(len(rest))
    for i, point in enumerate(rest[:, 0]):
        tree.insert(point, i)
    tree.balance()
    places = []
    for mark in marks(mesh):
        near = [i for _, i, _ in tree.find_range(mark[0], 2e-6)]
        assert near
        places.append(min(near, key=lambda i: np.abs(rest[i] - mark).sum()))
    return np.array(places)


def largest_difference(
    mesh: bpy.types.Object, wanted: np.ndarray, rest: np.ndarray, first: int, step: float = 1.0
) -> float:
    """Metres at most between an imported mesh from frame ``first`` on and ``wanted`` (T, V, 3)."""
    places = places_of(mesh, rest)
    found = played_vertices(bpy.context.scene, mesh, first + step * np.arange(len(wanted)))
    return float(np.linalg.norm(found - wanted[:, places], axis=-1).max())
