"""What rigs that we build are made of: armature, skin weights, shape keys."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import bpy
import numpy as np
from mathutils import Vector

from ..errors import TalkingEyesError
from ..head.model import JOINTS, PARENTS
from .points import basis_points

BONE_LENGTH = 0.01
"""Metres. Bones point up the face, as in the rigs of FLAME's makers, so that their local axes are FLAME's axes."""
COEFFICIENT_RANGE, CORRECTIVE_RANGE, BLINK_RANGE = (-10.0, 10.0), (-2.0, 2.0), (0.0, 1.0)
LID_FOLLOW_RANGE = (-0.8, 1.4)
"""Smallest and largest value of the lid-follow keys; negative follows up."""


@contextlib.contextmanager
def editing(context: bpy.types.Context, armature: bpy.types.Object) -> Iterator[bpy.types.ArmatureEditBones]:
    """The armature's bones at rest, to be changed. Mode, selection and what is hidden are as before afterwards."""
    layer = context.view_layer
    active = layer.objects.active
    mode = active.mode if active is not None else "OBJECT"
    if mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    selected = list(context.selected_objects)
    # Blender edits only what is visible in this view layer.
    visitor = armature.name not in layer.objects or not armature.visible_get()
    hidden = armature.hide_viewport
    linked = False
    try:
        if visitor:
            armature.hide_viewport = False
            if armature.name not in context.scene.collection.objects:
                context.scene.collection.objects.link(armature)
                linked = True
        was_hidden = armature.hide_get()
        armature.hide_set(False)
        for obj in selected:
            obj.select_set(False)
        armature.select_set(True)
        layer.objects.active = armature
        bpy.ops.object.mode_set(mode="EDIT")
        try:
            yield armature.data.edit_bones
        finally:
            bpy.ops.object.mode_set(mode="OBJECT")
            armature.select_set(False)
            armature.hide_set(was_hidden)
    except RuntimeError as error:
        raise TalkingEyesError(
            f"The bones of '{armature.name}' cannot be edited here ({str(error).strip().rstrip('.')}).",
            "Make the armature visible and local to this file.",
        ) from error
    finally:
        if linked:
            context.scene.collection.objects.unlink(armature)
        armature.hide_viewport = hidden
        for obj in selected:
            obj.select_set(True)
        layer.objects.active = active
        if mode != "OBJECT":
            bpy.ops.object.mode_set(mode=mode)


def add_armature(
    context: bpy.types.Context,
    collection: bpy.types.Collection,
    name: str,
    joints: np.ndarray,
    axes: np.ndarray,
    scale: float = 1.0,
) -> bpy.types.Object:
    """An armature of five bones at ``joints`` (5, 3), whose local axes are the columns of ``axes`` (3, 3)."""
    data = bpy.data.armatures.new(name)
    armature = bpy.data.objects.new(name, data)
    collection.objects.link(armature)
    data.display_type = "STICK"
    armature.show_in_front = True
    with editing(context, armature) as edit_bones:
        bones = []
        for joint, place, parent in zip(JOINTS, joints, PARENTS, strict=True):
            bone = edit_bones.new(joint)
            bone.head, bone.tail = place, place + scale * BONE_LENGTH * axes[:, 1]
            bone.align_roll(Vector(axes[:, 2]))
            bone.parent = bones[parent] if parent >= 0 else None
            bones.append(bone)
    for bone in armature.pose.bones:
        # Three Euler curves are what one reads and edits in the Graph Editor.
        bone.rotation_mode = "XYZ"
    return armature


def add_weights(mesh: bpy.types.Object, weights: np.ndarray) -> None:
    """Vertex groups for (V, 5) skin weights."""
    for joint, column in zip(JOINTS, weights.T, strict=True):
        group = mesh.vertex_groups.new(name=joint)
        # Vertices that share a weight (an eyeball's are all 1) go in one call.
        values, of_value = np.unique(column, return_inverse=True)
        order = np.argsort(of_value, kind="stable")
        for value, vertices in zip(values, np.split(order, np.cumsum(np.bincount(of_value))[:-1]), strict=True):
            if value > 0:
                group.add(vertices.tolist(), float(value), "REPLACE")


def deform(mesh: bpy.types.Object, armature: bpy.types.Object) -> None:
    """Let an armature deform a mesh, before whatever else its modifiers do."""
    modifier = mesh.modifiers.new("Armature", "ARMATURE")
    modifier.object = armature
    mesh.modifiers.move(len(mesh.modifiers) - 1, 0)


def add_keys(
    mesh: bpy.types.Object, keys: Iterable[tuple[str, np.ndarray, tuple[float, float]]]
) -> list[bpy.types.ShapeKey]:
    """Shape keys for (name, displacement (V, 3) in the mesh's frame, slider's range); makes a Basis where none is."""
    if mesh.data.shape_keys is None:
        mesh.shape_key_add(name="Basis", from_mix=False)
    active = mesh.active_shape_key_index
    rest = basis_points(mesh)
    made = []
    for name, displacement, limits in keys:
        key = mesh.shape_key_add(name=name, from_mix=False)
        set_key(key, rest + displacement)
        key.slider_min, key.slider_max = limits
        key.value = 0.0  # Blender 5.0 adds keys at 1
        made.append(key)
    mesh.active_shape_key_index = active
    return made


def set_key(key: bpy.types.ShapeKey, points: np.ndarray) -> None:
    """Give a shape key its vertices (V, 3)."""
    key.data.foreach_set("co", points.astype(np.float32).ravel())
