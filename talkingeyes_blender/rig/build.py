"""Building a head in Blender from a HeadModel: mesh, shape keys, armature, materials, lids that follow the gaze."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import math

import bpy
import numpy as np

from ..head.model import JOINTS, LID_FOLLOW_DEGREES, PARENTS, HeadModel
from .find import find_rig
from .head_rig import (
    FLAME_TO_BLENDER,
    HEAD_MODEL_PROPERTY,
    JOINTS_PROPERTY,
    LANDMARKS_PROPERTY,
    LIDS_FOLLOW_PROPERTY,
    HeadRig,
)
from .looks import apply_looks

BONE_LENGTH = 0.01
"""Metres. Bones point up, as in the rigs of FLAME's makers, so that their local axes are FLAME's axes."""
_EXPRESSION_RANGE, _POSE_RANGE = (-10.0, 10.0), (-2.0, 2.0)
LID_FOLLOW_RANGE = (-0.8, 1.4)
"""Smallest and largest value of the lid-follow keys; negative follows up."""
_DATA = ("objects", "meshes", "armatures", "collections", "materials", "shape_keys")


def build_head(context: bpy.types.Context, head: HeadModel, name: str | None = None) -> HeadRig:
    """Make a head in a collection of its own in the context's scene, and return its rig.

    The mesh is Z-up and faces -Y; its vertices are the head's in the head's order. If anything fails, what was made is
    taken away again.
    """
    name = name or head.name or "Head"
    existing = {kind: set(getattr(bpy.data, kind)) for kind in _DATA if kind != "shape_keys"}
    try:
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        collection = bpy.data.collections.new(name)
        context.scene.collection.children.link(collection)
        armature = _add_armature(context, collection, head, name)
        mesh = _add_mesh(collection, head, name)
        _bind(mesh, armature, head)
        _add_shape_keys(mesh, head)
        _drive_lids(mesh, armature)
        mesh.data[LANDMARKS_PROPERTY] = json.dumps({k: np.asarray(v).tolist() for k, v in head.landmarks.items()})
        for obj in (mesh, armature):
            obj[HEAD_MODEL_PROPERTY] = head.identity
        for obj in context.selected_objects:
            obj.select_set(False)
        mesh.select_set(True)
        context.view_layer.objects.active = mesh
        context.view_layer.update()
        return find_rig(mesh)
    except BaseException:
        bpy.data.batch_remove([x for kind, before in existing.items() for x in set(getattr(bpy.data, kind)) - before])
        raise


def to_blender(points: np.ndarray) -> np.ndarray:
    """(..., 3) from FLAME's frame to ours in Blender: (x, y, z) to (x, -z, y)."""
    return points @ FLAME_TO_BLENDER.T


def _add_armature(context, collection: bpy.types.Collection, head: HeadModel, name: str) -> bpy.types.Object:
    data = bpy.data.armatures.new(f"{name} Rig")
    armature = bpy.data.objects.new(f"{name} Rig", data)
    collection.objects.link(armature)
    data.display_type = "STICK"
    armature.show_in_front = True
    for obj in context.selected_objects:
        obj.select_set(False)
    armature.select_set(True)
    context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    bones = []
    for joint, place, parent in zip(JOINTS, to_blender(head.joints), PARENTS, strict=True):
        bone = data.edit_bones.new(joint)
        bone.head, bone.tail, bone.roll = place, place + np.array([0.0, 0.0, BONE_LENGTH]), 0.0
        bone.parent = bones[parent] if parent >= 0 else None
        bones.append(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    for bone in armature.pose.bones:
        # Three Euler curves are what one reads and edits in the Graph Editor.
        bone.rotation_mode = "XYZ"
    data[JOINTS_PROPERTY] = head.joints.ravel().tolist()
    armature[LIDS_FOLLOW_PROPERTY] = 1.0
    armature.id_properties_ui(LIDS_FOLLOW_PROPERTY).update(
        min=0.0, max=1.0, default=1.0, description="How far the lids follow the eyes up and down"
    )
    return armature


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


def _bind(mesh: bpy.types.Object, armature: bpy.types.Object, head: HeadModel) -> None:
    """Skin weights, armature modifier and parent: linear blend skinning as in head.skinning."""
    for joint, weights in zip(JOINTS, head.weights.T, strict=True):
        group = mesh.vertex_groups.new(name=joint)
        # Vertices that share a weight (an eyeball's are all 1) go in one call.
        values, of_value = np.unique(weights, return_inverse=True)
        order = np.argsort(of_value, kind="stable")
        for value, vertices in zip(values, np.split(order, np.cumsum(np.bincount(of_value))[:-1]), strict=True):
            if value > 0:
                group.add(vertices.tolist(), float(value), "REPLACE")
    modifier = mesh.modifiers.new("Armature", "ARMATURE")
    modifier.object = armature
    mesh.parent = armature


def _add_shape_keys(mesh: bpy.types.Object, head: HeadModel) -> None:
    rest = to_blender(head.vertices)
    mesh.shape_key_add(name="Basis", from_mix=False)

    def add(name: str, displacement: np.ndarray, limits: tuple[float, float]) -> None:
        key = mesh.shape_key_add(name=name, from_mix=False)
        key.data.foreach_set("co", (rest + to_blender(displacement)).astype(np.float32).ravel())
        key.slider_min, key.slider_max = limits
        key.value = 0.0  # Blender 5.0 adds keys at 1

    for i in range(head.shape_basis.shape[2]):
        add(f"Shape{i + 1}", head.shape_basis[:, :, i], _EXPRESSION_RANGE)
    for i in range(head.expressions):
        add(f"Exp{i + 1}", head.expression_basis[:, :, i], _EXPRESSION_RANGE)
    for i in np.flatnonzero(head.pose_basis.any((0, 1))):
        add(f"Pose{i + 1}", head.pose_basis[:, :, i], _POSE_RANGE)
    for basis, name, limits in ((head.lids, "Blink", (0.0, 1.0)), (head.lid_follow, "LidFollow", LID_FOLLOW_RANGE)):
        for i, side in enumerate(("Left", "Right") if basis is not None else ()):
            add(f"{name}{side}", basis[:, :, i], limits)
    mesh.active_shape_key_index = 0


def _drive_lids(mesh: bpy.types.Object, armature: bpy.types.Object) -> None:
    """Let LidFollowLeft and LidFollowRight follow how far each eye looks down, less as that lid shuts.

    The bone's rotation is read as Y of X of Z (Blender's order 'ZXY'), whatever mode it is in: its X is then the
    elevation of the gaze. The expression is of the kind that Blender evaluates itself, so that it works in files whose
    scripts are not trusted.
    """
    keys = mesh.data.shape_keys
    for side in ("Left", "Right"):
        key = keys.key_blocks.get(f"LidFollow{side}")
        if key is None:
            continue
        driver = key.driver_add("value").driver
        driver.type = "SCRIPTED"
        _variable(driver, "follow", "OBJECT", armature, f'["{LIDS_FOLLOW_PROPERTY}"]')
        shut = "0"
        if f"Blink{side}" in keys.key_blocks:
            _variable(driver, "blink", "KEY", keys, f'key_blocks["Blink{side}"].value')
            shut = "blink"
        down = driver.variables.new()
        down.name, down.type = "down", "TRANSFORMS"
        target = down.targets[0]
        target.id, target.bone_target = armature, f"{side.lower()}_eye"
        target.transform_type, target.transform_space, target.rotation_mode = "ROT_X", "LOCAL_SPACE", "ZXY"
        low, high = LID_FOLLOW_RANGE
        per_radian = 1 / math.radians(LID_FOLLOW_DEGREES)
        driver.expression = f"follow * clamp({per_radian:.6f} * down * (1 - {shut}), {low}, {high})"


def _variable(driver: bpy.types.Driver, name: str, kind: str, owner: bpy.types.ID, path: str) -> None:
    variable = driver.variables.new()
    variable.name, variable.type = name, "SINGLE_PROP"
    target = variable.targets[0]
    target.id_type, target.id, target.data_path = kind, owner, path
