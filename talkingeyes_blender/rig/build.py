"""Building a head in Blender from a HeadModel: mesh, shape keys, armature, materials, lids that follow the gaze."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import bpy
import numpy as np

from ..head.model import HeadModel
from .find import find_rig
from .head_rig import (
    FLAME_TO_BLENDER,
    HEAD_MODEL_PROPERTY,
    JOINTS_PROPERTY,
    LANDMARKS_PROPERTY,
    HeadRig,
)
from .identity import store_identity, store_regressor
from .lid_keys import drive_lids
from .looks import apply_looks
from .parts import (
    BLINK_RANGE,
    COEFFICIENT_RANGE,
    CORRECTIVE_RANGE,
    LID_FOLLOW_RANGE,
    add_armature,
    add_keys,
    add_weights,
    deform,
)

_DATA = ("objects", "meshes", "armatures", "collections", "materials")


def build_head(context: bpy.types.Context, head: HeadModel, name: str | None = None) -> HeadRig:
    """Make a head in a collection of its own in the context's scene, and return its rig.

    The mesh is Z-up and faces -Y; its vertices are the head's in the head's order. If anything fails, what was made is
    taken away again.
    """
    name = name or head.name or "Head"
    existing = {kind: set(getattr(bpy.data, kind)) for kind in _DATA}
    try:
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        collection = bpy.data.collections.new(name)
        context.scene.collection.children.link(collection)
        armature = add_armature(context, collection, f"{name} Rig", to_blender(head.joints), FLAME_TO_BLENDER)
        mesh = _add_mesh(collection, head, name)
        add_weights(mesh, head.weights)
        deform(mesh, armature)
        mesh.parent = armature
        add_keys(mesh, _keys(head))
        mark(armature, mesh, head, head.joints)
        for obj in context.selected_objects:
            obj.select_set(False)
        mesh.select_set(True)
        context.view_layer.objects.active = mesh
        context.view_layer.update()
        drive_lids(find_rig(mesh))
        context.view_layer.update()
        return find_rig(mesh)
    except BaseException:
        bpy.data.batch_remove([x for kind, before in existing.items() for x in set(getattr(bpy.data, kind)) - before])
        raise


def to_blender(points: np.ndarray) -> np.ndarray:
    """(..., 3) from FLAME's frame to ours in Blender: (x, y, z) to (x, -z, y)."""
    return points @ FLAME_TO_BLENDER.T


def mark(armature: bpy.types.Object, mesh: bpy.types.Object, head: HeadModel, joints: np.ndarray) -> None:
    """Store with a rig what its parts cannot say: the head model, its joints (5, 3) in FLAME's frame, landmarks."""
    armature.data[JOINTS_PROPERTY] = joints.ravel().tolist()
    mesh.data[LANDMARKS_PROPERTY] = json.dumps({k: np.asarray(v).tolist() for k, v in head.landmarks.items()})
    store_regressor(mesh, head)
    store_identity(mesh)
    for obj in (mesh, armature):
        obj[HEAD_MODEL_PROPERTY] = head.identity


def _add_mesh(collection: bpy.types.Collection, head: HeadModel, name: str) -> bpy.types.Object:
    data = bpy.data.meshes.new(name)
    faces = [face if face[3] >= 0 else face[:3] for face in head.faces.tolist()]
    data.from_pydata(to_blender(head.vertices).tolist(), [], faces)
    data.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    apply_looks(data, head)
    data.update()
    mesh = bpy.data.objects.new(name, data)
    collection.objects.link(mesh)
    return mesh


def _keys(head: HeadModel) -> list[tuple[str, np.ndarray, tuple[float, float]]]:
    """Name, displacement in Blender's frame and range of each shape key but the basis."""
    keys = [
        (f"{prefix}{i + 1}", to_blender(basis[:, :, i]), limits)
        for prefix, basis, limits in (
            ("Shape", head.shape_basis, COEFFICIENT_RANGE),
            ("Exp", head.expression_basis, COEFFICIENT_RANGE),
            ("Pose", head.pose_basis, CORRECTIVE_RANGE),
        )
        for i in range(basis.shape[2])
        if prefix != "Pose" or basis[:, :, i].any()
    ]
    for basis, name, limits in ((head.lids, "Blink", BLINK_RANGE), (head.lid_follow, "LidFollow", LID_FOLLOW_RANGE)):
        for i, side in enumerate(("Left", "Right") if basis is not None else ()):
            keys.append((f"{name}{side}", to_blender(basis[:, :, i]), limits))
    return keys
