"""Rigs as other programs make them are found, whatever their names, axes and bone rolls."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _heads import tiny_head  # noqa: E402
from _rigs import MPI_NAMES, SMPLX_NAMES, Z_UP, foreign_rig, fresh_scene, largest_error, random_motion  # noqa: E402
from mathutils import Matrix  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.head.rotation import matrix_from_axis_angle  # noqa: E402
from talkingeyes_blender.rig import naming  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402
from talkingeyes_blender.rig.head_rig import MAP_PROPERTY, Family  # noqa: E402
from talkingeyes_blender.rig.mapping import RigMap, read_map, store_map  # noqa: E402

Y_UP = np.eye(3)
FACING_X = Z_UP @ np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])


@pytest.fixture(autouse=True)
def scene():
    return fresh_scene()


@pytest.mark.parametrize("axes", [Z_UP, Y_UP, FACING_X], ids=["z-up", "y-up", "facing-x"])
@pytest.mark.parametrize("twisted", [False, True], ids=["bones-up", "bones-anyhow"])
@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_any_axes_any_bone_roll_any_mode(scene, axes, twisted, mode):
    head = tiny_head()
    mesh = foreign_rig(head, axes, twisted=twisted, mode=mode, seed=4)
    mesh["talkingeyes_head_model"] = head.identity
    rig = find_rig(mesh)
    assert np.allclose(rig.frame, axes)
    motion = random_motion(head, 12, seed=2, blink=np.zeros((12, 2)))
    scene.render.fps = 25
    write_take(rig, motion, scene=scene, start_frame=1)
    assert largest_error(scene, rig, head, motion, 1 + np.arange(12), axes, lids=False) < 1e-4


@pytest.mark.parametrize(
    ("names", "key_name", "first", "family"),
    [
        (MPI_NAMES, "Exp{}", 1, Family.MPI),
        (SMPLX_NAMES, "Exp{:03d}", 0, Family.SMPLX),
        (MPI_NAMES, "Expression_{}", 1, Family.MPI),
        (MPI_NAMES, "Exp{:03d}", 0, Family.SMPLX),
        ({**MPI_NAMES, "jaw": "Jaw.001"}, "bs1.Exp{}", 1, Family.OTHER),
    ],
    ids=["mpi", "smplx", "words", "smplx-head", "fbx"],
)
def test_families_of_names(names, key_name, first, family):
    mesh = foreign_rig(tiny_head(), names=names, key_name=key_name, first=first)
    rig = find_rig(mesh)
    assert rig.bones == names
    assert rig.expression_keys == tuple(key_name.format(i + first) for i in range(8))
    # The mesh is found from the armature too, and a rig that names no head model says so.
    assert find_rig(rig.armature).mesh == mesh
    assert rig.head_model == "" and rig.report.lacks("head model")
    assert sorted(rig.pose_keys) == list(range(18))
    assert rig.report.family is family


def test_names_of_bones():
    bones, guessed = naming.match_bones(["Root", "mixamorig:Neck", "Jaw_Master", "eye.L", "Eye_R", "spine"])
    assert bones == {
        "root": "Root", "neck": "mixamorig:Neck", "jaw": "Jaw_Master", "left_eye": "eye.L", "right_eye": "Eye_R",
    }  # fmt: skip
    assert set(guessed) == {"root", "neck", "jaw", "left_eye", "right_eye"}
    both, _ = naming.match_bones(["head", "neck", "jaw"])
    assert both["neck"] == "neck"


def test_bones_among_many():
    """Copies, namespaces and prefixes are taken where nothing better is there, and the report can say why."""
    bones, reasons = naming.match_bones(["jaw.001", "jaw.002", "flame:neck", "rig_left_eye", "upper_jaw", "eye_r"])
    assert bones == {"neck": "flame:neck", "jaw": "jaw.001", "left_eye": "rig_left_eye", "right_eye": "eye_r"}
    assert "'jaw.002' might be meant as well" in reasons["jaw"]
    assert "in a namespace" in reasons["neck"] and "behind a prefix" in reasons["left_eye"]
    bones, reasons = naming.match_bones(["DEF-jaw", "ik_neck", "jaw", "jaw.001"])
    assert bones == {"jaw": "jaw"} and not reasons
    assert naming.match_bones(["upper_jaw", "ik_jaw", "lid_left_eye"]) == ({}, {})


def test_keys_with_copies_and_namespaces():
    names = ["head:Exp1", "Exp2.001", "Exp2", "blendShape1.Exp3", "face_Exp4"]
    assert naming.match_expressions(names) == ("head:Exp1", "Exp2", "blendShape1.Exp3", "face_Exp4")
    assert naming.match_blinks(["bs.eyeBlinkLeft", "BlinkRight.001"]) == ("bs.eyeBlinkLeft", "BlinkRight.001")
    assert naming.match_identity(["Shape1", "Shape010", "Shapes", "Key"]) == {1: "Shape1", 10: "Shape010"}


def test_a_users_choice_is_kept_with_the_armature():
    head = tiny_head()
    mesh = foreign_rig(head, names={**MPI_NAMES, "jaw": "mouth_opener"}, key_name="frown {}")
    choice = RigMap({"jaw": "mouth_opener"}, {"Exp3": "frown 3", "Exp1": "frown 1", "BlinkLeft": "frown 8"})
    store_map(mesh.parent, choice)
    assert read_map(mesh.parent) == choice
    for obj in (mesh, mesh.parent):
        rig = find_rig(obj)
        assert rig.bones["jaw"] == "mouth_opener" and "jaw" not in {guess.part for guess in rig.report.guessed}
        assert rig.expression_keys == ("frown 1", None, "frown 3") and rig.blink_keys == ("frown 8", None)
    # What is asked for now beats what is stored.
    assert find_rig(mesh, keys={"Exp1": "frown 2"}).expression_keys[0] == "frown 2"
    with pytest.raises(ValueError, match="'nose'"):
        RigMap({"nose": "x"})
    store_map(mesh.parent, RigMap())
    assert read_map(mesh.parent) == RigMap() and MAP_PROPERTY not in mesh.parent
    for damaged in ("{", "[1]", '{"bones": {"nose": "x"}}', '{"bones": 3}'):
        mesh.parent[MAP_PROPERTY] = damaged
        assert read_map(mesh.parent) == RigMap()


def test_names_of_keys():
    others = ["Basis", "Exponent", "Export1", "exp3"]
    assert naming.match_expressions([*others, "Exp2", "Exp1"]) == ("Exp1", "Exp2")
    assert naming.match_expressions(["Exp1", "Exp3"]) == ("Exp1", None, "Exp3")
    assert naming.match_expressions(["Exp000", "Exp001"]) == ("Exp000", "Exp001")
    assert naming.match_expressions(["Key 1"]) == ()
    # The correctives of a whole body are not FLAME's.
    assert naming.match_pose_correctives([f"Pose{i:03d}" for i in range(486)]) == {}
    assert naming.match_pose_correctives(["Pose1", "Pose10"]) == {0: "Pose1", 9: "Pose10"}
    assert naming.match_pose_correctives(["Pose000", "Pose009"]) == {0: "Pose000", 9: "Pose009"}
    assert naming.match_blinks(["eyeBlinkLeft", "Blink.R"]) == ("eyeBlinkLeft", "Blink.R")
    assert naming.match_blinks(["Exp1"]) == (None, None)


def test_rotation_applied_by_the_user_is_noticed(scene):
    head = tiny_head()
    rig = build_head(bpy.context, head)
    turn = matrix_from_axis_angle([0.3, -0.4, 0.9])
    matrix = Matrix(turn.tolist()).to_4x4()
    rig.armature.data.transform(matrix)
    rig.mesh.data.transform(matrix, shape_keys=True)
    rig = find_rig(rig.mesh)
    assert np.allclose(rig.frame, turn @ Z_UP, atol=1e-5)
    motion = random_motion(head, 5, seed=1)
    scene.render.fps = 25
    write_take(rig, motion, scene=scene, start_frame=1)
    assert largest_error(scene, rig, head, motion, 1 + np.arange(5), turn @ Z_UP) < 1e-4


def test_chosen_bones_beat_names():
    head = tiny_head()
    mesh = foreign_rig(head, names={**MPI_NAMES, "jaw": "mouth_opener", "left_eye": "ball"})
    with pytest.raises(TalkingEyesError, match="no jaw bone"):
        find_rig(mesh)
    rig = find_rig(mesh, {"jaw": "mouth_opener", "left_eye": "ball"})
    assert rig.bones["jaw"] == "mouth_opener" and rig.bones["left_eye"] == "ball"
    with pytest.raises(TalkingEyesError, match="no bone 'gone'"):
        find_rig(mesh, {"jaw": "gone"})


def test_nothing_selected_and_wrong_things():
    with pytest.raises(TalkingEyesError, match="No head is selected"):
        find_rig(None)
    camera = bpy.data.objects.new("Cam", bpy.data.cameras.new("Cam"))
    with pytest.raises(TalkingEyesError, match="'Cam' is a camera"):
        find_rig(camera)
    bare = bpy.data.objects.new("Scan", bpy.data.meshes.new("Scan"))
    with pytest.raises(TalkingEyesError, match="'Scan' has no armature") as caught:
        find_rig(bare)
    assert "FLAME" in caught.value.hint


def test_rig_without_jaw_names_its_bones():
    names = {joint: bone for joint, bone in MPI_NAMES.items() if joint != "jaw"}
    mesh = foreign_rig(tiny_head(), names=names)
    with pytest.raises(TalkingEyesError, match=r"no jaw bone \(its bones: root, neck") as caught:
        find_rig(mesh)
    assert "'jaw'" in caught.value.hint


def test_missing_parts_are_told(scene):
    names = {joint: joint for joint in ("root", "jaw", "left_eye")}
    mesh = foreign_rig(tiny_head(expressions=0), names=names)
    rig = find_rig(mesh)
    assert {str(part) for part in rig.report.missing} >= {"neck bone", "right eye bone", "expression keys", "lid keys"}
    text = " ".join(rig.report.warnings)
    assert "will not move" in text and "no expression keys" in text and "Z up" in text
    head = tiny_head(expressions=0)
    take = write_take(rig, random_motion(head, 5, head_model=""), scene=scene, start_frame=1)
    assert set(take.warnings) >= set(rig.report.warnings)


def test_gap_in_the_numbers_is_told(scene):
    head = tiny_head()
    mesh = foreign_rig(head)
    mesh.shape_key_remove(mesh.data.shape_keys.key_blocks["Exp4"])
    rig = find_rig(mesh)
    assert rig.expression_keys[3] is None and rig.expressions == 8
    assert any("1 number is missing" in text for text in rig.report.warnings)


def test_face_among_other_meshes():
    head = tiny_head()
    mesh = foreign_rig(head)
    hair = bpy.data.objects.new("Hair", bpy.data.meshes.new("Hair"))
    hair.data.from_pydata([(0, 0, i) for i in range(2000)], [], [])
    bpy.context.scene.collection.objects.link(hair)
    hair.modifiers.new("Armature", "ARMATURE").object = mesh.parent
    assert find_rig(hair).mesh == mesh
    assert find_rig(mesh.parent).mesh == mesh


def test_of_a_body_the_skull_is_turned_and_not_the_neck_below(scene):
    names = {"root": "root", "neck": "neck", "jaw": "jaw", "left_eye": "left_eye", "right_eye": "right_eye"}
    mesh = foreign_rig(tiny_head(), names=names)
    armature = find_rig(mesh).armature
    assert find_rig(mesh).bones["neck"] == "neck"
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    bones = armature.data.edit_bones
    head = bones.new("mixamorig:Head")
    head.head, head.tail, head.parent = bones["neck"].tail, bones["neck"].tail + bones["neck"].vector, bones["neck"]
    for name in ("jaw", "left_eye", "right_eye"):
        bones[name].parent = head
    bpy.ops.object.mode_set(mode="OBJECT")
    rig = find_rig(mesh)
    assert rig.bones["neck"] == "mixamorig:Head"
    assert any("where the skull turns, 'neck' lies below" in str(guess) for guess in rig.report.guessed)
    # What the user chose counts, and so does what takes of an earlier version turn.
    assert find_rig(mesh, bones={"neck": "neck"}).bones["neck"] == "neck"
    head = tiny_head()
    write_take(find_rig(mesh, bones={"neck": "neck"}), random_motion(head, 5, head_model=""), scene=scene)
    assert find_rig(mesh).bones["neck"] == "neck"
