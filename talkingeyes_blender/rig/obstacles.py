"""What in a file keeps a head from moving as a take says, in words that tell the user what to do."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator

import bpy
import numpy as np

from ..errors import TalkingEyesError
from . import compat
from .channels import ROTATION_PATHS, bone_path, rotation_path
from .following import Following, aims
from .head_rig import LAYER_CONSTRAINT, HeadRig
from .points import mesh_to_armature
from .takes import clips

_FLAT = 1e-6
_HANGING = ("jaw", "left_eye", "right_eye")


def refuse_broken(armature: bpy.types.Object, mesh: bpy.types.Object | None) -> None:
    """Raise TalkingEyesError for a rig on which nothing could be measured or moved."""
    for obj in (armature, mesh):
        if obj is not None and abs(np.linalg.det(np.array(obj.matrix_world, np.float64)[:3, :3])) < _FLAT**3:
            raise TalkingEyesError(f"'{obj.name}' is scaled to nothing along an axis.", "Give it a scale above 0.")
    if mesh is None:
        return
    if np.linalg.det(mesh_to_armature(armature, mesh)[:3, :3]) < 0:
        raise TalkingEyesError(
            f"The mesh '{mesh.name}' is mirrored against its armature '{armature.name}' (a negative scale).",
            "Apply the scale of both (Object > Apply > Scale).",
        )
    keys = mesh.data.shape_keys
    if keys is not None and not keys.use_relative:
        raise TalkingEyesError(
            f"The shape keys of '{mesh.name}' are absolute, so they cannot be mixed.",
            "Switch on 'Relative' below the list of shape keys.",
        )


def obstacles(rig: HeadRig) -> Iterator[str]:
    """Sentences about what hides or bends a rig's motion; cheap enough to be asked at every redraw."""
    following = Following(rig.armature)
    if rig.has_bones:
        yield from _of_armature(rig, following)
    if rig.mesh is not None:
        yield from _of_mesh(rig, following)


def _of_armature(rig: HeadRig, following: Following) -> Iterator[str]:
    armature, data = rig.armature, rig.armature.data
    if data.pose_position == "REST":
        yield f"The armature '{armature.name}' is in its rest position, so no bone moves. Switch it to Pose Position."
    if np.linalg.det(np.array(armature.matrix_world, np.float64)[:3, :3]) < 0:
        yield f"'{armature.name}' has a negative scale, so its left is seen on the right. Apply the scale."
    yield from dead_curves(rig)
    neck = rig.bones.get("neck")
    for joint in _HANGING:
        name = rig.bones.get(joint)
        if name is None:
            continue
        if neck is not None and not following.goes_with(name, neck):
            yield (
                f"The bone '{name}' does not hang on '{neck}', so it stays behind when the head turns. "
                "Make it a child of that bone."
            )
        elif not data.bones[name].use_inherit_rotation:
            yield f"The bone '{name}' does not inherit rotation, so it does not turn with the head. Switch that on."
    aimed = dict(aims(rig))
    for name, aim in aimed.items():
        at = f" at '{aim.subtarget}'" if aim.subtarget else ""
        yield (
            f"The constraint '{aim.name}' aims the bone '{name}'{at}, whatever the take says. Mute it to let takes "
            "turn the bone."
        )
    for name in dict.fromkeys(rig.bones.values()):
        if name in aimed:
            continue
        limits = [
            c.name
            for c in armature.pose.bones[name].constraints
            if not c.mute and c.influence > 0 and not c.name.startswith(LAYER_CONSTRAINT)
        ]
        if limits and name != rig.bones.get("root"):
            yield (
                f"The bone '{name}' has the constraint '{limits[0]}', which may hide its part of the take. "
                "It was left as it is; mute it if the bone does not move."
            )


def dead_curves(rig: HeadRig) -> Iterator[str]:
    """Takes whose curves turn a bone in another rotation mode than it is in now."""
    if not rig.has_bones:
        return
    bones = rig.armature.pose.bones
    paths = {}
    for name in dict.fromkeys(rig.bones.values()):
        path, _ = rotation_path(bones[name])
        every = {bone_path(name, other): other for other in ROTATION_PATHS if other != path}
        paths.update(dict.fromkeys(every, name))
    for clip in clips(rig.armature):
        if not clip.plays:
            continue
        curves = compat.Curves(clip.strip.action, compat.slot_of(clip.strip))
        dead = {paths[curve.data_path] for curve in curves if curve.data_path in paths}
        for name in sorted(dead):
            yield (
                f"The rotation mode of the bone '{name}' was changed to {bones[name].rotation_mode} since the take "
                f"'{clip.strip.action.name}' was written, so the take does not turn it. Change it back, or generate "
                "again."
            )


def _of_mesh(rig: HeadRig, following: Following) -> Iterator[str]:
    mesh = rig.mesh
    modifiers = [m for m in mesh.modifiers if m.type == "ARMATURE" and m.object == rig.armature]
    if modifiers and not any(m.show_viewport and m.show_render for m in modifiers):
        yield f"The armature modifier of '{mesh.name}' is switched off, so its bones do not move it. Switch it on."
    if any(m.use_vertex_groups for m in modifiers):
        groups = {group.name for group in mesh.vertex_groups}
        for joint, name in rig.bones.items():
            if joint != "root" and not _moves(following, name, groups) and not _moves_another(rig, following, name):
                yield (
                    f"The bone '{name}' moves no vertex of '{mesh.name}' (there is no vertex group '{name}'). "
                    "Give it weights, or choose another bone."
                )
    keys = rig.shape_keys
    if keys is None:
        return
    if mesh.show_only_shape_key and mesh.active_shape_key_index > 0:
        yield f"'{mesh.name}' shows its active shape key alone (the pin), so the face does not move. Unpin it."
    used = dict.fromkeys([*rig.expression_keys, *rig.pose_keys.values(), *rig.blink_keys, *rig.named_keys.values()])
    muted = [name for name in used if name is not None and keys.key_blocks[name].mute]
    if muted:
        more = f" and {len(muted) - 3} more" if len(muted) > 3 else ""
        yield f"Muted shape keys do not move: {', '.join(muted[:3])}{more}. Switch them on in the list of shape keys."


def _moves(following: Following, name: str, bones: set[str]) -> bool:
    return name in bones or any(following.goes_with(bone, name) for bone in bones)


def _moves_another(rig: HeadRig, following: Following, name: str) -> bool:
    """Whether a bone moves another object of the character's: eyeballs often lie in meshes of their own."""
    for obj in bpy.data.objects:
        if obj.parent == rig.armature and obj.parent_type == "BONE" and _moves(following, name, {obj.parent_bone}):
            return True
        hangs = obj != rig.mesh and any(m.type == "ARMATURE" and m.object == rig.armature for m in obj.modifiers)
        if hangs and _moves(following, name, {group.name for group in obj.vertex_groups}):
            return True
    return False
