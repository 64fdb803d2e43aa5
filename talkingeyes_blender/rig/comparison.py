"""A second head beside the first, with another take playing on it; and its removal, with nothing left behind."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy
from mathutils import Matrix, Vector

from ..errors import TalkingEyesError
from .find import find_rig
from .head_rig import HeadRig
from .takes import Take, choose_take, clips, refuse_tweak_mode, remove_unused

COMPARISON_PROPERTY = "talkingeyes_comparison"
"""On the objects and the collection that a comparison consists of: the armature of the head that it stands beside."""

_BESIDE = 1.15
"""Widths of the head from the middle of one to the middle of the other."""


def comparisons(scene: bpy.types.Scene) -> list[bpy.types.Collection]:
    """The collections that hold the heads beside others, in one scene."""
    return [c for c in scene.collection.children_recursive if COMPARISON_PROPERTY in c]


def is_comparison(obj: bpy.types.Object) -> bool:
    return COMPARISON_PROPERTY in obj


def compare(scene: bpy.types.Scene, rig: HeadRig, take: Take) -> HeadRig:
    """Duplicate a head beside itself and let ``take`` play on the duplicate; return the duplicate's rig.

    What has shape keys gets a mesh of its own, for shape keys belong to the mesh; all else shares its data. The actions
    are shared, so that nothing of a take exists twice. An earlier comparison of this head is removed.
    """
    refuse_tweak_mode(rig)
    if is_comparison(rig.armature):
        raise TalkingEyesError(f"'{rig.name}' is itself there for comparison.", "Choose the head beside it.")
    end_comparison(scene, rig)
    originals = _family(scene, rig)
    collection = bpy.data.collections.new(f"{rig.name} Comparison")
    collection[COMPARISON_PROPERTY] = rig.armature
    copies: dict[bpy.types.ID, bpy.types.ID] = {}
    try:
        scene.collection.children.link(collection)
        for obj in originals:
            copy = copies[obj] = obj.copy()
            copy[COMPARISON_PROPERTY] = rig.armature
            collection.objects.link(copy)
            if obj.type == "MESH" and obj.data.shape_keys is not None:
                copy.data = obj.data.copy()
                copies[obj.data] = copy.data
                copies[obj.data.shape_keys] = copy.data.shape_keys
        for block in copies.values():
            _point_to(block, copies)
        _move(rig, originals, copies, _offset(rig, originals))
        beside = find_rig(copies[rig.mesh or rig.armature])
        choose_take(beside, take)
        for obj in originals:
            copies[obj].select_set(False)
    except BaseException:
        _remove(collection)
        raise
    return beside


def end_comparison(scene: bpy.types.Scene, rig: HeadRig | None = None) -> int:
    """Remove the heads beside one, or beside any with None; return how many there were."""
    ended = 0
    for collection in comparisons(scene):
        if rig is None or collection[COMPARISON_PROPERTY] in (rig.armature, None):
            _remove(collection)
            ended += 1
    return ended


def _family(scene: bpy.types.Scene, rig: HeadRig) -> list[bpy.types.Object]:
    """The armature, what hangs on it, and what it deforms, in this scene."""
    armature = rig.armature
    deformed = [o for o in scene.objects if any(m.type == "ARMATURE" and m.object == armature for m in o.modifiers)]
    family = dict.fromkeys((armature, *armature.children_recursive, *deformed, *((rig.mesh,) if rig.mesh else ())))
    names = set(scene.objects.keys())
    return [obj for obj in family if obj.name in names and not is_comparison(obj)]


def _point_to(block: bpy.types.ID, copies: dict[bpy.types.ID, bpy.types.ID]) -> None:
    """Let what one of the copies refers to be the copies."""
    for driver in block.animation_data.drivers if block.animation_data is not None else ():
        for variable in driver.driver.variables:
            for target in variable.targets:
                if target.id in copies:
                    target.id = copies[target.id]
    if not isinstance(block, bpy.types.Object):
        return
    if block.parent in copies:
        inverse = block.matrix_parent_inverse.copy()
        block.parent = copies[block.parent]
        block.matrix_parent_inverse = inverse
    bones = block.pose.bones if block.pose is not None else ()
    holders = (*block.modifiers, *block.constraints, *(c for bone in bones for c in bone.constraints))
    for holder in holders:
        for prop in holder.bl_rna.properties:
            if prop.type == "POINTER" and not prop.is_readonly and getattr(holder, prop.identifier, None) in copies:
                setattr(holder, prop.identifier, copies[getattr(holder, prop.identifier)])


def _move(rig: HeadRig, originals: list, copies: dict, offset: Vector) -> None:
    for obj in originals:
        if obj.parent not in copies:
            copy = copies[obj]
            copy.matrix_world = Matrix.Translation(offset) @ obj.matrix_world


def _offset(rig: HeadRig, originals: list[bpy.types.Object]) -> Vector:
    """From a head to its own left, by a little more than its width."""
    left = rig.armature.matrix_world.to_3x3() @ Vector(rig.frame[:, 0])
    left.normalize()
    meshes = [obj for obj in originals if obj.type == "MESH"] or [rig.armature]
    along = [(obj.matrix_world @ Vector(corner)).dot(left) for obj in meshes for corner in obj.bound_box]
    return left * _BESIDE * (max(along) - min(along))


def _remove(collection: bpy.types.Collection) -> None:
    """Remove a comparison: its objects, their own meshes, and actions of ours that nobody else uses."""
    actions = set()
    for obj in list(collection.objects):
        if not is_comparison(obj):
            continue  # somebody has put it there
        owned = obj.data if obj.type == "MESH" and obj.data.users == 1 else None
        for owner in (obj, getattr(owned, "shape_keys", None)):
            if owner is not None and owner.animation_data is not None:
                actions |= {clip.strip.action for clip in clips(owner)}
        bpy.data.objects.remove(obj)
        if owned is not None:
            bpy.data.meshes.remove(owned)
    for action in actions:
        remove_unused(action)
    if not len(collection.objects) and not len(collection.children):
        bpy.data.collections.remove(collection)
    else:
        del collection[COMPARISON_PROPERTY]
