"""A copy of a head with its motion as plain keys on whole frames, in a scene of its own, for Blender's exporters.

Exporters differ in what they know of NLA tracks, drivers and constraints; all of them know keys. The copy is gone
afterwards, and so is every trace of it in the file.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator

import bpy
import numpy as np
from mathutils import Matrix

from ..head import rotation
from . import compat
from .export_sample import Progress, evaluated
from .head_rig import HeadRig

_LINEAR = 1
_KINDS = ("objects", "meshes", "armatures", "actions", "scenes", "shape_keys")
_SAME = 1e-7


@dataclasses.dataclass(frozen=True, eq=False)
class Baked:
    """What to export."""

    scene: bpy.types.Scene
    armature: bpy.types.Object
    """The face itself, where it has no armature."""
    meshes: list[bpy.types.Object]

    @property
    def objects(self) -> list[bpy.types.Object]:
        return [self.armature, *self.meshes]


def head_meshes(rig: HeadRig, scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The meshes of a scene that move with the rig: deformed by its armature, or hanging on it (teeth, hair)."""
    found = []
    for obj in scene.objects:
        deformed = any(m.type == "ARMATURE" and m.object == rig.armature for m in obj.modifiers)
        if obj.type == "MESH" and (deformed or _hangs_on(obj, rig.armature)):
            found.append(obj)
    return found


@contextlib.contextmanager
def baked(
    context: bpy.types.Context,
    rig: HeadRig,
    frames: np.ndarray,
    first: int,
    title: str = "Export",
    keep_modifiers: bool = False,
    progress: Progress | None = None,
) -> Iterator[Baked]:
    """Yield a copy of the rig and its meshes, keyed at whole frames from ``first`` on as it is at scene ``frames``.

    The copies have the originals' names, the scene is called ``title``. Modifiers other than the armature's are left
    off, unless ``keep_modifiers``.
    """
    scene = context.scene
    meshes = [mesh for mesh in head_meshes(rig, scene) if mesh.name in context.view_layer.objects]
    originals = [rig.armature, *(mesh for mesh in meshes if mesh != rig.armature)]
    record = _Record(originals)
    for depsgraph in evaluated(context, [rig.armature, rig.mesh], frames, progress):
        record.take(depsgraph)
    before = {kind: set(getattr(bpy.data, kind)) for kind in _KINDS}
    names = [(block, block.name) for block in _named(originals)]
    try:
        yield _copy(scene, originals, record, first, title, keep_modifiers)
    finally:
        made = [block for kind, old in before.items() for block in getattr(bpy.data, kind) if block not in old]
        keys = [block for block in made if isinstance(block, bpy.types.Key)]  # they go with their meshes
        bpy.data.batch_remove([block for block in made if block not in keys])
        for block, name in names:
            if block.name != name:
                block.name = name


class _Record:
    """Poses and shape key values of objects, frame by frame."""

    def __init__(self, objects: list[bpy.types.Object]) -> None:
        self._armature, *self._hung = objects
        self._meshes = [obj for obj in objects if obj.type == "MESH"]
        self.places: list[np.ndarray] = []
        """World matrices of the armature."""
        self.hung = {}
        """Places of the meshes against the armature, at the first frame."""
        self.bones = {bone.name: [] for bone in _pose_bones(self._armature)}
        self.keys = {mesh.name: [] for mesh in self._meshes if mesh.data.shape_keys is not None}

    def take(self, depsgraph: bpy.types.Depsgraph) -> None:
        armature = self._armature.evaluated_get(depsgraph)
        self.places.append(np.array(armature.matrix_world))
        for bone in _pose_bones(armature):
            local = armature.convert_space(pose_bone=bone, matrix=bone.matrix, from_space="POSE", to_space="LOCAL")
            self.bones[bone.name].append(np.array(local))
        if len(self.places) == 1:
            for obj in self._hung:
                placed = obj.evaluated_get(depsgraph).matrix_world
                self.hung[obj.name] = armature.matrix_world.inverted_safe() @ placed
        for mesh in self._meshes:
            if mesh.name in self.keys:
                blocks = mesh.data.shape_keys.evaluated_get(depsgraph).key_blocks
                self.keys[mesh.name].append([0.0 if block.mute else block.value for block in blocks])


def _copy(
    scene: bpy.types.Scene,
    originals: list[bpy.types.Object],
    record: _Record,
    first: int,
    title: str,
    keep_modifiers: bool,
) -> Baked:
    stage = bpy.data.scenes.new(title)
    count = len(record.places)
    stage.frame_start, stage.frame_end = first, first + count - 1
    stage.render.fps, stage.render.fps_base = scene.render.fps, scene.render.fps_base
    for name in ("system", "scale_length", "length_unit", "system_rotation"):
        setattr(stage.unit_settings, name, getattr(scene.unit_settings, name))
    copies = {original: _copied(original) for original in originals}
    armature, *meshes = copies.values()
    for original, copy in copies.items():
        stage.collection.objects.link(copy)
        copy.hide_viewport = copy.hide_render = False
        for modifier in list(copy.modifiers):
            if modifier.type == "ARMATURE" and modifier.object == originals[0]:
                modifier.object = armature
                modifier.show_viewport = modifier.show_render = True
            elif not keep_modifiers:
                copy.modifiers.remove(modifier)
        if copy == armature:
            continue
        if copy.parent == originals[0] and copy.parent_type in ("OBJECT", "BONE"):
            inverse = copy.matrix_parent_inverse.copy()
            copy.parent, copy.matrix_parent_inverse = armature, inverse
        else:
            copy.parent, copy.parent_type = armature, "OBJECT"
            copy.matrix_parent_inverse.identity()
            copy.matrix_basis = record.hung[original.name]
    armature.parent = None
    if armature.type == "ARMATURE":
        armature.data.pose_position = "POSE"
    frames = np.arange(first, first + count, dtype=np.float64)
    keyed = [copy for original, copy in copies.items() if original.name in record.keys]
    owners = [armature, *(copy.data.shape_keys for copy in keyed)]
    actions = compat.new_actions(f"{title} baked", owners)
    for owner, (action, slot) in zip(owners, actions, strict=True):
        data = owner.animation_data_create()
        data.action = action
        if slot is not None:
            data.action_slot = slot
    _key_armature(compat.Curves(*actions[0]), armature, record, frames)
    for copy, (action, slot), values in zip(keyed, actions[1:], record.keys.values(), strict=True):
        _key_shapes(compat.Curves(action, slot), copy.data.shape_keys, np.array(values), frames)
    # Last, when nothing can fail any more but the export itself: the copies get the names of the originals.
    for block, copy in zip(_named(originals), _named(list(copies.values())), strict=True):
        if block.is_editable:
            name = block.name
            block.name = f"{name[:50]} original"
            copy.name = name
        else:
            copy.name = block.name
    stage.frame_set(first)
    return Baked(stage, armature, meshes)


def _copied(original: bpy.types.Object) -> bpy.types.Object:
    """An object with data of its own, without animation, drivers and constraints."""
    copy = original.copy()
    copy.data = original.data.copy()
    keys = getattr(copy.data, "shape_keys", None)
    for block in (copy, copy.data, *((keys,) if keys is not None else ())):
        block.animation_data_clear()
    copy.constraints.clear()
    for bone in _pose_bones(copy):
        for constraint in list(bone.constraints):
            bone.constraints.remove(constraint)
    return copy


def _named(objects: list[bpy.types.Object]) -> list[bpy.types.ID]:
    return [block for obj in objects for block in (obj, obj.data)]


def _pose_bones(obj: bpy.types.Object) -> Iterable[bpy.types.PoseBone]:
    return obj.pose.bones if obj.pose is not None else ()


def _hangs_on(obj: bpy.types.Object, armature: bpy.types.Object) -> bool:
    while obj is not None:
        if obj == armature:
            return True
        obj = obj.parent
    return False


# ---------------------------------------------------------------------------------------------------------------- keys


def _key_armature(curves: compat.Curves, armature: bpy.types.Object, record: _Record, frames: np.ndarray) -> None:
    places = np.array(record.places)
    moving = np.abs(places - places[0]).max() > _SAME
    armature.rotation_mode = "QUATERNION"
    armature.delta_location = armature.delta_rotation_euler = (0, 0, 0)
    armature.delta_rotation_quaternion, armature.delta_scale = (1, 0, 0, 0), (1, 1, 1)
    armature.matrix_basis = Matrix(places[0].tolist())
    if moving:
        _key_transform(curves, "", "Object", places, frames)
    for bone in _pose_bones(armature):
        bone.rotation_mode = "QUATERNION"
        path = f'pose.bones["{bpy.utils.escape_identifier(bone.name)}"].'
        _key_transform(curves, path, bone.name, np.array(record.bones[bone.name]), frames)


def _key_transform(curves: compat.Curves, path: str, group: str, matrices: np.ndarray, frames: np.ndarray) -> None:
    linear = matrices[:, :3, :3]
    scales = np.linalg.norm(linear, axis=1)
    turns = rotation.continuous_quaternions(rotation.quaternion_from_matrix(linear / scales[:, None]))
    for name, values in (("location", matrices[:, :3, 3]), ("rotation_quaternion", turns), ("scale", scales)):
        for i, column in enumerate(values.T):
            _key(curves, path + name, i, group, column, frames)


def _key_shapes(curves: compat.Curves, keys: bpy.types.Key, values: np.ndarray, frames: np.ndarray) -> None:
    for block, column in zip(keys.key_blocks, values.T, strict=True):
        block.mute = False
        if block == keys.reference_key:
            continue
        low, high = float(column.min()), float(column.max())
        block.slider_min, block.slider_max = min(block.slider_min, low), max(block.slider_max, high)
        block.value = float(column[0])
        if high - low > _SAME:
            _key(curves, f'key_blocks["{bpy.utils.escape_identifier(block.name)}"].value', 0, "Shapes", column, frames)


def _key(curves: compat.Curves, path: str, index: int, group: str, values: np.ndarray, frames: np.ndarray) -> None:
    curve = curves.new(path, index, group)
    curve.keyframe_points.add(len(frames))
    curve.keyframe_points.foreach_set("co", np.stack([frames, values], 1).astype(np.float32).ravel())
    curve.keyframe_points.foreach_set("interpolation", np.full(len(frames), _LINEAR, np.int32))
    curve.update()
