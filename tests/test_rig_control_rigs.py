"""Control rigs as Rigify generates them: what deforms the face only copies what is animated.

The armature here has the names, parents and constraints of those of Rigify's bones that matter; a whole one, generated
in Blender 5.2, was tried by hand (docs/rigs.md).
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _rigs import fresh_scene  # noqa: E402

import talkingeyes_blender  # noqa: E402
from talkingeyes_blender.head.arkit import STANDIN  # noqa: E402
from talkingeyes_blender.motion import Motion  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402
from talkingeyes_blender.rig.following import Following, aims, free  # noqa: E402
from talkingeyes_blender.rig.retarget import motion_for_rig  # noqa: E402

BONES = {
    # name: (parent, head, tail), Z up and facing -Y
    "root": (None, (0, 0, 0), (0, 0.2, 0)),
    "neck": ("root", (0, 0, 1.4), (0, 0, 1.5)),
    "MCH-ROT-head": ("root", (0, 0, 1.5), (0, 0, 1.6)),
    "head": ("MCH-ROT-head", (0, 0, 1.5), (0, 0, 1.7)),
    "ORG-face": ("root", (0, 0, 1.5), (0, 0, 1.55)),
    "jaw_master": ("ORG-face", (0, 0.0, 1.55), (0, -0.1, 1.5)),
    "jaw": ("jaw_master", (0, -0.1, 1.5), (0, -0.12, 1.5)),
    "master_eye.L": ("ORG-face", (0.03, -0.05, 1.6), (0.03, -0.1, 1.6)),
    "master_eye.R": ("ORG-face", (-0.03, -0.05, 1.6), (-0.03, -0.1, 1.6)),
    "MCH-eye.L": ("master_eye.L", (0.03, -0.05, 1.6), (0.03, -0.1, 1.6)),
    "MCH-eye.R": ("master_eye.R", (-0.03, -0.05, 1.6), (-0.03, -0.1, 1.6)),
    "eye.L": ("root", (0.03, -0.6, 1.6), (0.03, -0.62, 1.6)),
    "eye.R": ("root", (-0.03, -0.6, 1.6), (-0.03, -0.62, 1.6)),
    "DEF-jaw": ("root", (0, 0.0, 1.55), (0, -0.1, 1.5)),
    "DEF-head": ("root", (0, 0, 1.5), (0, 0, 1.7)),
    "DEF-eye.L": ("MCH-eye.L", (0.03, -0.05, 1.6), (0.03, -0.1, 1.6)),
    "DEF-eye.R": ("MCH-eye.R", (-0.03, -0.05, 1.6), (-0.03, -0.1, 1.6)),
}
COPIES = {"ORG-face": "head", "DEF-head": "head", "DEF-jaw": "jaw_master"}
DEFORMING = ("DEF-jaw", "DEF-head", "DEF-eye.L", "DEF-eye.R")


@pytest.fixture
def face():
    """A triangle that the deforming bones move."""
    scene = fresh_scene()
    scene.render.fps = 25
    armature = bpy.data.objects.new("rig", bpy.data.armatures.new("rig"))
    scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    for name, (parent, head, tail) in BONES.items():
        bone = armature.data.edit_bones.new(name)
        bone.head, bone.tail, bone.use_deform = head, tail, name in DEFORMING
        bone.parent = armature.data.edit_bones.get(parent) if parent else None
    bpy.ops.object.mode_set(mode="OBJECT")
    for name, to in COPIES.items():
        # In its rest pose nothing moves: it goes along from there, as a child would.
        constraint = armature.pose.bones[name].constraints.new("ARMATURE")
        target = constraint.targets.new()
        target.target, target.subtarget = armature, to
    for side in "LR":
        aim = armature.pose.bones[f"MCH-eye.{side}"].constraints.new("DAMPED_TRACK")
        aim.target, aim.subtarget = armature, f"eye.{side}"
    mesh = bpy.data.objects.new("Face", bpy.data.meshes.new("Face"))
    mesh.data.from_pydata([(0, -0.1, 1.5), (0.01, -0.1, 1.5), (0, -0.1, 1.51)], [], [(0, 1, 2)])
    scene.collection.objects.link(mesh)
    mesh.modifiers.new("Armature", "ARMATURE").object = armature
    for name in DEFORMING:
        mesh.vertex_groups.new(name=name).add([0, 1, 2], 0.25, "ADD")
    bpy.context.view_layer.objects.active = mesh
    return mesh


def motion() -> Motion:
    values = {"jaw": np.zeros((9, 3)), "head": np.zeros((9, 3)), "eyes": np.zeros((9, 6))}
    values["jaw"][2, 0] = values["head"][4, 0] = values["eyes"][6, [0, 3]] = math.radians(10)
    return Motion(expression=np.zeros((9, 41)), blink=np.zeros((9, 2)), seed=0, head_model=STANDIN, **values)


def turned(armature, name: str, frame: int) -> float:
    """Degrees by which a bone's direction differs from its rest."""
    bpy.context.scene.frame_set(frame)
    bone = armature.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones[name]
    return math.degrees((bone.tail - bone.head).angle(bone.bone.tail_local - bone.bone.head_local))


def test_the_bones_that_do_it_are_taken(face):
    rig = find_rig(face)
    assert rig.bones == {
        "root": "root", "neck": "head", "jaw": "jaw_master", "left_eye": "MCH-eye.L", "right_eye": "MCH-eye.R",
    }  # fmt: skip
    assert "Rigify" in str(rig.report.guessed[0])
    # What only copies hangs on the head, and moves the mesh: neither is an obstacle. That the eyes are aimed is.
    assert [word for word in rig.report.obstacles if "does not hang" in word or "moves no vertex" in word] == []
    assert [aim.subtarget for _, aim in aims(rig)] == ["eye.L", "eye.R"]
    assert sum("aims the bone" in word and "Mute it" in word for word in rig.report.obstacles) == 2


def test_a_take_moves_what_deforms_the_face(face):
    rig = find_rig(face)
    write_take(rig, motion_for_rig(rig, motion()), scene=bpy.context.scene, start_frame=1)
    assert turned(rig.armature, "DEF-jaw", 3) == pytest.approx(10, abs=0.1)
    assert turned(rig.armature, "DEF-head", 5) == pytest.approx(10, abs=0.1)
    assert turned(rig.armature, "DEF-eye.L", 7) == pytest.approx(0, abs=0.1)  # aimed
    assert free(rig) == ["MCH-eye.L", "MCH-eye.R"]
    assert turned(rig.armature, "DEF-eye.L", 7) == pytest.approx(10, abs=0.1)
    assert not aims(find_rig(face)) and not find_rig(face).report.obstacles


def test_a_bone_that_nothing_links_to_the_head_is_told(face):
    rig = find_rig(face)
    rig.armature.pose.bones["ORG-face"].constraints[0].mute = True
    words = find_rig(face).report.obstacles
    assert sum("does not hang on 'head'" in word for word in words) == 3
    following = Following(rig.armature)
    assert following.goes_with("DEF-jaw", "jaw_master") and not following.goes_with("DEF-jaw", "head")
    assert not following.goes_with("no such bone", "head")


def test_eyeballs_of_their_own_are_moved(face):
    for side in "LR":
        face.vertex_groups.remove(face.vertex_groups[f"DEF-eye.{side}"])
    assert sum("moves no vertex" in word for word in find_rig(face).report.obstacles) == 2
    for side in "LR":
        ball = bpy.data.objects.new(f"Eye {side}", bpy.data.meshes.new("Eye"))
        bpy.context.scene.collection.objects.link(ball)
        if side == "L":
            ball.parent, ball.parent_type, ball.parent_bone = find_rig(face).armature, "BONE", "DEF-eye.L"
        else:
            ball.modifiers.new("Armature", "ARMATURE").object = find_rig(face).armature
            ball.vertex_groups.new(name="DEF-eye.R")
    assert not any("moves no vertex" in word for word in find_rig(face).report.obstacles)


def test_the_eyes_are_freed_by_a_click(face):
    talkingeyes_blender.register()
    try:
        assert bpy.ops.talkingeyes.free_bones() == {"FINISHED"}
        assert all(c.mute for side in "LR" for c in find_rig(face).armature.pose.bones[f"MCH-eye.{side}"].constraints)
        with pytest.raises(RuntimeError, match="takes turn them already"):
            bpy.ops.talkingeyes.free_bones()
    finally:
        talkingeyes_blender.unregister()
