"""Rigs and meshes that are broken, and the words that a user reads: all of them, to the letter."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _heads import tiny_head  # noqa: E402
from _rigs import MPI_NAMES, Z_UP, file_dump, foreign_rig, fresh_scene, random_motion  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.rig.bare import rig_bare_mesh  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig, inspect_rig  # noqa: E402
from talkingeyes_blender.rig.lid_keys import make_lid_keys  # noqa: E402

HEAD = tiny_head()
SELECT = "Select a head's mesh or its armature, or add the stand-in head."


@pytest.fixture(autouse=True)
def scene():
    return fresh_scene()


def foreign(**options) -> bpy.types.Object:
    mesh = foreign_rig(HEAD, **options)
    mesh["talkingeyes_head_model"] = HEAD.identity
    return mesh


def bare(points=None, name: str = "Scan") -> bpy.types.Object:
    data = bpy.data.meshes.new(name)
    points = HEAD.vertices if points is None else points
    data.from_pydata(points.tolist(), [], [[int(i) for i in f if i >= 0] for f in HEAD.faces if f.max() < len(points)])
    mesh = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(mesh)
    bpy.context.view_layer.update()
    return mesh


# ------------------------------------------------------------------------------------- what cannot be written to at all


def nothing():
    find_rig(None)


def a_lamp():
    find_rig(bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT")))


def a_mesh_without_armature():
    find_rig(bare(np.zeros((8, 3)), "Cube"))


def a_flame_mesh_without_armature():
    find_rig(bare(np.zeros((5023, 3))))


def an_armature_without_jaw():
    find_rig(foreign(names={joint: joint for joint in ("root", "neck", "left_eye", "right_eye")}))


def an_armature_without_bones():
    armature = bpy.data.objects.new("Empty Rig", bpy.data.armatures.new("Empty Rig"))
    bpy.context.scene.collection.objects.link(armature)
    find_rig(armature)


def a_chosen_bone_that_is_gone():
    find_rig(foreign(), {"jaw": "mouth"})


def a_chosen_key_that_is_gone():
    find_rig(foreign(), keys={"BlinkLeft": "wink"})


def a_scale_of_nothing():
    mesh = foreign()
    mesh.parent.scale.y = 0
    bpy.context.view_layer.update()
    find_rig(mesh)


def a_mesh_mirrored_against_its_armature():
    mesh = foreign()
    mesh.scale.x = -1
    bpy.context.view_layer.update()
    find_rig(mesh)


def absolute_keys():
    mesh = foreign()
    mesh.data.shape_keys.use_relative = False
    find_rig(mesh)


def a_motion_that_is_no_number():
    motion = random_motion(HEAD, 3)
    write_take(find_rig(foreign()), motion.replace(jaw=np.full((3, 3), np.nan)), scene=bpy.context.scene)


def a_motion_of_another_head_model():
    write_take(find_rig(foreign()), random_motion(HEAD, 3, head_model="flame-100-abc"), scene=bpy.context.scene)


def a_strip_that_is_being_edited():
    rig = find_rig(foreign())
    write_take(rig, random_motion(HEAD, 3), scene=bpy.context.scene)
    data = rig.armature.animation_data
    data.nla_tracks[0].strips[0].select = True
    data.nla_tracks.active = data.nla_tracks[0]
    data.use_tweak_mode = True
    if not data.use_tweak_mode:
        pytest.skip("this Blender enters tweak mode only in its editor")
    write_take(rig, random_motion(HEAD, 3), scene=bpy.context.scene)


def a_mesh_of_other_vertices():
    rig_bare_mesh(bpy.context, bare(HEAD.vertices[:500]), HEAD)


def a_mesh_in_another_order():
    rig_bare_mesh(bpy.context, bare(HEAD.vertices[::-1].copy()), HEAD)


def a_mesh_of_no_numbers():
    mesh = bare()
    mesh.data.vertices[7].co.x = float("nan")
    rig_bare_mesh(bpy.context, mesh, HEAD)


def a_mesh_that_has_an_armature():
    rig_bare_mesh(bpy.context, foreign(), HEAD)


def a_mesh_with_a_group_of_a_bones_name():
    mesh = bare()
    mesh.vertex_groups.new(name="jaw")
    rig_bare_mesh(bpy.context, mesh, HEAD)


def lids_where_none_are_known():
    make_lid_keys(find_rig(foreign()))


FAULTS = [
    (nothing, "No head is selected.", SELECT),
    (a_lamp, "'Lamp' is a light, neither a mesh nor an armature.", SELECT),
    (
        a_mesh_without_armature,
        "The mesh 'Cube' has no armature, so nothing can turn its jaw or eyes.",
        "Select a head that has an armature, or build one from a FLAME file.",
    ),
    (
        a_flame_mesh_without_armature,
        "The mesh 'Scan' has FLAME's vertices but no armature, so nothing can turn its jaw or eyes.",
        "Build a rig round it: this takes the FLAME file (.pkl or .npz) that it was made with, since weights and "
        "expressions are in there.",
    ),
    (
        an_armature_without_jaw,
        "The armature 'Foreign Rig' has no jaw bone (its bones: root, neck, left_eye, right_eye).",
        "Name the bone that opens the mouth 'jaw' or choose it under Rig Mapping, or select the head's own armature.",
    ),
    (
        an_armature_without_bones,
        "The armature 'Empty Rig' has no jaw bone (its bones: none).",
        "Name the bone that opens the mouth 'jaw' or choose it under Rig Mapping, or select the head's own armature.",
    ),
    (
        a_chosen_bone_that_is_gone,
        "The armature 'Foreign Rig' has no bone 'mouth', which was chosen as jaw.",
        "Choose another one, or leave the choice empty.",
    ),
    (
        a_chosen_key_that_is_gone,
        "The mesh 'Foreign' has no shape key 'wink', which was chosen as BlinkLeft.",
        "Choose another one, or leave the choice empty.",
    ),
    (a_scale_of_nothing, "'Foreign Rig' is scaled to nothing along an axis.", "Give it a scale above 0."),
    (
        a_mesh_mirrored_against_its_armature,
        "The mesh 'Foreign' is mirrored against its armature 'Foreign Rig' (a negative scale).",
        "Apply the scale of both (Object > Apply > Scale).",
    ),
    (
        absolute_keys,
        "The shape keys of 'Foreign' are absolute, so they cannot be mixed.",
        "Switch on 'Relative' below the list of shape keys.",
    ),
    (a_motion_that_is_no_number, "The motion's channel 'jaw' holds values that are not numbers.", None),
    (
        a_motion_of_another_head_model,
        f"The motion's expressions belong to the head model 'flame-100-abc', the rig's keys to '{HEAD.identity}'.",
        "Carry the motion over to the rig first.",
    ),
    (
        a_strip_that_is_being_edited,
        "An NLA strip of 'Foreign' is being edited (tweak mode).",
        "Press Tab in the NLA editor to leave it, then try again.",
    ),
    (
        a_mesh_of_other_vertices,
        "The mesh 'Scan' has 500 vertices, 'tiny' has 594.",
        "Choose the file that this mesh was made from; a mesh that was remeshed, cut or merged cannot be rigged this "
        "way.",
    ),
    (
        a_mesh_in_another_order,
        "The mesh has as many vertices as 'tiny', but they are not in its order or not those of a face.",
        "Import it again with its vertices in their order (OBJ or PLY), without merging or splitting any.",
    ),
    (a_mesh_of_no_numbers, "The mesh 'Scan' has vertices at no place (not a number).", "Import it again."),
    (a_mesh_that_has_an_armature, "The mesh 'Foreign' has an armature already.", "Choose it as the head."),
    (
        a_mesh_with_a_group_of_a_bones_name,
        "The mesh 'Scan' has a vertex group 'jaw' of its own, which the bone's weights would overwrite.",
        "Rename the group.",
    ),
    (
        lids_where_none_are_known,
        "Where the eyes and lids of 'Foreign' are is not known, so no lid keys can be made.",
        "Lid keys need a mesh with FLAME's vertices, or a head that was built from a file with landmarks.",
    ),
]


@pytest.mark.parametrize(("broken", "message", "hint"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_faults_are_one_sentence_and_what_to_do(broken, message, hint):
    with pytest.raises(TalkingEyesError) as caught:
        broken()
    assert caught.value.message == message
    assert hint is None or caught.value.hint == hint
    assert message.endswith(".") and "\n" not in message


def test_linked_data_is_refused(tmp_path: Path):
    mesh = foreign()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    names = mesh.name, mesh.parent.name
    scene = fresh_scene()
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, into):
        into.objects = list(names)
    for name in names:
        scene.collection.objects.link(bpy.data.objects[name])
    rig = find_rig(bpy.data.objects["Foreign"])
    before = file_dump()
    with pytest.raises(TalkingEyesError) as caught:
        write_take(rig, random_motion(HEAD, 3), scene=scene)
    assert caught.value.message == "'Foreign Rig' is linked from another file and cannot be animated here."
    assert "Make a library override of it" in caught.value.hint
    assert file_dump() == before


# --------------------------------------------------------------------------- what is written, and may not be seen whole


def mute_keys(mesh):
    for name in ("Exp2", "Exp3"):
        mesh.data.shape_keys.key_blocks[name].mute = True


def pin_a_key(mesh):
    mesh.active_shape_key_index, mesh.show_only_shape_key = 3, True


def rest_position(mesh):
    mesh.parent.data.pose_position = "REST"


def switch_off_the_modifier(mesh):
    mesh.modifiers[0].show_viewport = mesh.modifiers[0].show_render = False


def constrain_the_neck(mesh):
    mesh.parent.pose.bones["neck"].constraints.new("LIMIT_ROTATION").name = "Stay"


def take_the_jaws_weights(mesh):
    mesh.vertex_groups.remove(mesh.vertex_groups["jaw"])


def stop_inheriting(mesh):
    mesh.parent.data.bones["jaw"].use_inherit_rotation = False


def mirror_the_armature(mesh):
    mesh.parent.scale.x = -1
    bpy.context.view_layer.update()


def remove_a_key(mesh):
    mesh.shape_key_remove(mesh.data.shape_keys.key_blocks["Exp4"])


OBSTACLES = [
    (mute_keys, "Muted shape keys do not move: Exp2, Exp3. Switch them on in the list of shape keys."),
    (pin_a_key, "'Foreign' shows its active shape key alone (the pin), so the face does not move. Unpin it."),
    (
        rest_position,
        "The armature 'Foreign Rig' is in its rest position, so no bone moves. Switch it to Pose Position.",
    ),
    (
        switch_off_the_modifier,
        "The armature modifier of 'Foreign' is switched off, so its bones do not move it. Switch it on.",
    ),
    (
        constrain_the_neck,
        "The bone 'neck' has the constraint 'Stay', which may hide its part of the take. It was left as it is; mute it "
        "if the bone does not move.",
    ),
    (
        take_the_jaws_weights,
        "The bone 'jaw' moves no vertex of 'Foreign' (there is no vertex group 'jaw'). Give it weights, or choose "
        "another bone.",
    ),
    (stop_inheriting, "The bone 'jaw' does not inherit rotation, so it does not turn with the head. Switch that on."),
    (
        mirror_the_armature,
        "'Foreign Rig' has a negative scale, so its left is seen on the right. Apply the scale.",
    ),
    (remove_a_key, "1 number is missing between Exp1 and Exp8, and will not move."),
]


@pytest.mark.parametrize(("spoil", "sentence"), OBSTACLES, ids=[spoil.__name__ for spoil, _ in OBSTACLES])
def test_what_may_not_be_seen_is_told(scene, spoil, sentence):
    mesh = foreign()
    assert sentence not in find_rig(mesh).report.warnings
    spoil(mesh)
    rig = find_rig(mesh)
    assert sentence in rig.report.warnings
    take = write_take(rig, random_motion(HEAD, 3), scene=scene)
    assert sentence in take.warnings


def test_a_changed_rotation_mode_is_told(scene):
    rig = find_rig(foreign())
    write_take(rig, random_motion(HEAD, 3), scene=scene)
    assert not any("rotation mode" in text for text in find_rig(rig.mesh).report.warnings)
    rig.armature.pose.bones["jaw"].rotation_mode = "AXIS_ANGLE"
    assert (
        "The rotation mode of the bone 'jaw' was changed to AXIS_ANGLE since the take 'TalkingEyes Foreign seed 0' was "
        "written, so the take does not turn it. Change it back, or generate again."
    ) in find_rig(rig.mesh).report.warnings
    take = write_take(find_rig(rig.mesh), random_motion(HEAD, 3), scene=scene)
    assert not any("rotation mode" in text for text in (*take.warnings, *find_rig(rig.mesh).report.warnings))


def test_locked_bones_and_odd_modes_are_no_fault(scene):
    """Locks hold the user's hand, not curves; all eight rotation modes are written."""
    for mode in ("QUATERNION", "AXIS_ANGLE", "XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"):
        scene = fresh_scene()
        scene.render.fps = 25
        mesh = foreign(mode=mode)
        for bone in mesh.parent.pose.bones:
            bone.lock_rotation = (True, True, True)
        rig = find_rig(mesh)
        motion = random_motion(HEAD, 3)
        write_take(rig, motion, scene=scene, start_frame=1)
        scene.frame_set(2)
        turned = rig.armature.pose.bones["neck"].matrix_basis.to_quaternion().angle
        assert turned == pytest.approx(np.linalg.norm(motion.head[1]), abs=1e-4)


# ------------------------------------------------------------------------------------------------- several of a kind


def test_of_two_armatures_the_one_with_the_jaw():
    mesh = foreign()
    body = bpy.data.objects.new("Body", bpy.data.armatures.new("Body"))
    bpy.context.scene.collection.objects.link(body)
    mesh.modifiers.new("Body", "ARMATURE").object = body
    mesh.modifiers.move(1, 0)
    rig = find_rig(mesh)
    assert rig.armature.name == "Foreign Rig"
    guess = next(guess for guess in rig.report.guessed if guess.part == "armature")
    assert guess.reason == "the mesh has 'Body' too, but no jaw is in there"
    other = foreign(seed=1).parent
    mesh.modifiers["Body"].object = other
    rig = find_rig(mesh)
    guess = next(guess for guess in rig.report.guessed if guess.part == "armature")
    assert guess.reason == "the mesh has 'Foreign Rig' too, and all of them have a jaw; this one comes first"
    assert rig.armature == other


def test_of_two_faces_the_one_with_more_expressions():
    mesh = foreign()
    twin = bpy.data.objects.new("Twin", mesh.data.copy())
    bpy.context.scene.collection.objects.link(twin)
    twin.modifiers.new("Armature", "ARMATURE").object = mesh.parent
    twin.shape_key_remove(twin.data.shape_keys.key_blocks["Exp8"])
    rig = find_rig(mesh.parent)
    guess = next(guess for guess in rig.report.guessed if guess.part == "mesh")
    assert (guess.name, guess.reason) == ("Foreign", "'Twin' has expression keys too; select the mesh that is meant")
    assert find_rig(twin).mesh == twin and not [g for g in find_rig(twin).report.guessed if g.part == "mesh"]


def test_a_jaw_that_hangs_elsewhere_is_told():
    mesh = foreign()
    bpy.context.view_layer.objects.active = mesh.parent
    bpy.ops.object.mode_set(mode="EDIT")
    mesh.parent.data.edit_bones["jaw"].parent = mesh.parent.data.edit_bones["root"]
    bpy.ops.object.mode_set(mode="OBJECT")
    assert find_rig(mesh).report.obstacles[-1] == (
        "The bone 'jaw' does not hang on 'neck', so it stays behind when the head turns. Make it a child of that bone."
    )


def test_a_report_says_why_there_is_no_rig():
    report = inspect_rig(bare(np.zeros((8, 3)), "Cube"))
    assert report.fault == "The mesh 'Cube' has no armature, so nothing can turn its jaw or eyes."
    assert report.mend and not report.found
    whole = inspect_rig(foreign())
    assert not whole.fault and {found.part: found.name for found in whole.found}["jaw"] == "jaw"


def test_names_are_guessed_with_a_reason():
    names = {**MPI_NAMES, "jaw": "flame_jaw", "neck": "mixamorig:Neck", "left_eye": "left_eye.001"}
    rig = find_rig(foreign(names=names))
    assert rig.bones == names
    assert {guess.part: guess.reason for guess in rig.report.guessed} == {
        "neck": "'mixamorig:Neck' reads like 'neck' in a namespace",
        "jaw": "'flame_jaw' reads like 'jaw' behind a prefix",
        "left_eye": "'left_eye.001' is the copy of a name, and the armature has none without the number",
    }
    assert "jaw bone: flame_jaw ('flame_jaw' reads like 'jaw' behind a prefix)" in map(str, rig.report.guessed)


def test_parts_of_a_report_cannot_be_changed():
    report = find_rig(foreign()).report
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.fault = "x"
    assert np.allclose(find_rig(bpy.data.objects["Foreign"]).frame, Z_UP)
