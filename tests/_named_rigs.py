"""Faces with named keys for tests, made from the stand-in: ARKit's 52, visemes, with and without bones."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import functools
from collections.abc import Callable, Collection

import bpy
import numpy as np
from _rigs import Z_UP

from talkingeyes_blender.head.arkit import BONES, EXPRESSIONS, INDEX, MOUTH_CLOSE_JAW_DEGREES
from talkingeyes_blender.head.model import JOINTS, PARENTS, HeadModel
from talkingeyes_blender.head.rotation import matrix_from_axis_angle
from talkingeyes_blender.head.skinning import pose_vertices
from talkingeyes_blender.head.standin import load_standin
from talkingeyes_blender.head.visemes import VISEMES, posture
from talkingeyes_blender.rig.looks import apply_looks

OPENING = 22.0
"""Degrees of the jaw at jawOpen 1 on these faces: another number than the one that is taken where none is known."""
_TURNS = {
    "Down": (25, 0), "Up": (-25, 0), "In": (0, -30), "Out": (0, 30),
}  # fmt: skip


@functools.lru_cache(1)
def standin() -> HeadModel:
    return load_standin()


def _posed(joint: int | None = None, turn=(0, 0, 0), expression=None, **more) -> np.ndarray:
    pose = np.zeros((5, 3))
    if joint is not None:
        pose[joint] = np.radians(turn)
    return pose_vertices(standin(), expression=expression, pose=pose, **more)


@functools.lru_cache(1)
def arkit_shapes() -> dict[str, np.ndarray]:
    """(V, 3) displacements of all 52, in FLAME's frame."""
    head = standin()
    shapes = {name: head.expression_basis[:, :, i].astype(float) for i, name in enumerate(EXPRESSIONS)}
    # Everybody's mouthClose undoes all of their jawOpen: the stand-in's undoes 10 degrees.
    opened = _posed(2, (OPENING, 0, 0))
    shapes["jawOpen"] = opened - head.vertices
    close = np.zeros(len(EXPRESSIONS))
    close[INDEX["mouthClose"]] = OPENING / MOUTH_CLOSE_JAW_DEGREES
    shapes["mouthClose"] = _posed(2, (OPENING, 0, 0), close) - opened
    shapes["jawLeft"] = _posed(2, (0, 8, 0)) - head.vertices
    shapes["jawRight"] = _posed(2, (0, -8, 0)) - head.vertices
    for side, joint in (("Left", 3), ("Right", 4)):
        for way, (down, aside) in _TURNS.items():
            aside = aside if side == "Left" else -aside
            shapes[f"eyeLook{way}{side}"] = _posed(joint, (down, aside, 0)) - head.vertices
    for i, side in enumerate(("Left", "Right")):
        shapes[f"eyeBlink{side}"] = head.lids[:, :, i].astype(float)
    assert set(shapes) == {*EXPRESSIONS, *BONES}
    return shapes


@functools.lru_cache(2)
def viseme_shapes(opening: bool = True) -> dict[str, np.ndarray]:
    """(V, 3) displacements by viseme_..., with the jaw's opening or of the lips alone."""
    head = standin()
    shapes = {}
    for name in VISEMES:
        degrees, values = posture(name)
        shapes[f"viseme_{name}"] = _posed(2, (degrees * opening, 0, 0), values) - head.vertices
    return shapes


def named_face(
    shapes: dict[str, np.ndarray],
    spelling: Callable[[str], str] = str,
    joints: Collection[str] = (),
    bone_names: dict[str, str] | None = None,
    apart: Collection[str] = (),
    name: str = "Face",
) -> bpy.types.Object:
    """The stand-in as somebody else's character: keys ``shapes`` under names of ``spelling``, bones for ``joints``.

    ``apart`` names materials (teeth, ...) that become meshes of their own with the keys that move them. Returns the
    mesh with the skin.
    """
    head, scene = standin(), bpy.context.scene
    armature = _armature(head, joints, bone_names or {}, name) if joints else None
    materials = [material.name for material in head.materials]
    of_face = np.array([materials[i] for i in head.face_material])
    groups = [~np.isin(of_face, list(apart)), *(of_face == part for part in apart)]
    made = []
    parent = armature
    if armature is None and len(groups) > 1:
        parent = bpy.data.objects.new(f"{name} Root", None)
        scene.collection.objects.link(parent)
    for label, faces in zip((name, *(f"{name} {part}" for part in apart)), groups, strict=True):
        chosen = head.faces[faces]
        used = np.unique(chosen[chosen >= 0])
        place = np.full(len(head.vertices), -1)
        place[used] = np.arange(len(used))
        data = bpy.data.meshes.new(label)
        rest = head.vertices[used] @ Z_UP.T
        data.from_pydata(rest.tolist(), [], [[int(place[i]) for i in face if i >= 0] for face in chosen.tolist()])
        data.polygons.foreach_set("use_smooth", np.ones(len(data.polygons), bool))
        if label == name and len(groups) == 1:
            apply_looks(data, head)
        mesh = bpy.data.objects.new(label, data)
        scene.collection.objects.link(mesh)
        mesh.parent = parent
        mesh.shape_key_add(name="Basis", from_mix=False)
        for part, shape in shapes.items():
            moved = shape[used] @ Z_UP.T
            if label == name or np.abs(moved).max() > 1e-5:
                key = mesh.shape_key_add(name=spelling(part), from_mix=False)
                key.data.foreach_set("co", (rest + moved).astype(np.float32).ravel())
                key.value = 0.0
        if armature is not None:
            mesh.modifiers.new("Armature", "ARMATURE").object = armature
            _weigh(mesh, head.weights[used], joints, bone_names or {})
        made.append(mesh)
    bpy.context.view_layer.update()
    return made[0]


def _armature(head: HeadModel, joints: Collection[str], names: dict[str, str], label: str) -> bpy.types.Object:
    armature = bpy.data.objects.new(f"{label} Rig", bpy.data.armatures.new(f"{label} Rig"))
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    bones = {}
    for joint, parent, place in zip(JOINTS, PARENTS, head.joints @ Z_UP.T, strict=True):
        if joint in joints:
            bone = armature.data.edit_bones.new(names.get(joint, joint))
            # Bones lie as their maker liked: a jaw along the chin, eyes along the gaze.
            direction = np.array([0, -1.0, -0.2]) if joint != "neck" else np.array([0, 0, 1.0])
            bone.head, bone.tail = place, place + 0.05 * direction
            bone.parent = bones.get(JOINTS[parent]) if parent >= 0 else None
            bones[joint] = bone
    bpy.ops.object.mode_set(mode="OBJECT")
    return armature


def _weigh(mesh: bpy.types.Object, weights: np.ndarray, joints: Collection[str], names: dict[str, str]) -> None:
    # What a missing bone would move goes with its parent.
    share = weights.copy()
    for i in reversed(range(1, len(JOINTS))):
        if JOINTS[i] not in joints:
            share[:, PARENTS[i]] += share[:, i]
            share[:, i] = 0
    for joint, column in zip(JOINTS, share.T, strict=True):
        if joint in joints:
            group = mesh.vertex_groups.new(name=names.get(joint, joint))
            for i in np.flatnonzero(column > 0):
                group.add([int(i)], float(column[i]), "REPLACE")


def turn(degrees) -> np.ndarray:
    return matrix_from_axis_angle(np.radians(degrees))
