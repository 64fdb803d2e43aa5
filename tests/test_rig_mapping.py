"""The rig mapping: choices kept with the rig, lines of the table, files to share, and the test of a part."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _named_rigs import arkit_shapes, named_face, viseme_shapes  # noqa: E402
from _rigs import file_dump, fresh_scene  # noqa: E402

from talkingeyes_blender import mapping_properties, registration  # noqa: E402
from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.head.model import JOINTS  # noqa: E402
from talkingeyes_blender.operators import mapping  # noqa: E402
from talkingeyes_blender.rig.channels import bone_channels  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402
from talkingeyes_blender.rig.linked import can_override_keys, override_keys  # noqa: E402
from talkingeyes_blender.rig.mapping import TURNS, RigMap, read_map  # noqa: E402
from talkingeyes_blender.rig.mapping_file import apply_mapping, read_mapping, save_mapping  # noqa: E402
from talkingeyes_blender.rig.mapping_rows import change, table  # noqa: E402
from talkingeyes_blender.rig.takes import takes  # noqa: E402
from talkingeyes_blender.rig.vocabulary import PARTS  # noqa: E402
from talkingeyes_blender.rig.wiggle import Wiggle, movement  # noqa: E402

SOME = ("jawOpen", "mouthClose", "mouthPucker", "mouthFunnel", "mouthLeft", "mouthRight", "mouthSmileLeft",
        "eyeBlinkLeft", "eyeBlinkRight")  # fmt: skip


@pytest.fixture
def face():
    fresh_scene()
    shapes = {name: arkit_shapes()[name] for name in SOME}
    return named_face(shapes, joints=("root", "neck", "jaw", "left_eye", "right_eye"))


@pytest.fixture
def addon():
    registration.register()
    yield
    registration.unregister()


def test_table_tells_found_missing_and_ignored(face):
    now = table(face)
    states = {row.part: row.state for row in now.rows}
    assert states["neck"] == states["jawOpen"] == "found" and states["jaw"] == "ignored"
    assert states["mouthDimpleLeft"] == "missing" and not now.fault
    assert now.row("eyeBlinkLeft").name == "eyeBlinkLeft"
    assert now.count("missing") == 52 - len(SOME)


def test_choices_are_kept_with_the_rig_and_taken_back(face):
    change(face, "mouthDimpleLeft", name="mouthPucker")
    change(face, "neck", ignored=True, amount=0.5)
    rig = find_rig(face)
    assert rig.named_keys["mouthDimpleLeft"] == "mouthPucker" and "neck" not in rig.bones
    assert {row.part: row.state for row in table(face).rows}["mouthDimpleLeft"] == "chosen"
    assert rig.amounts == {"neck": 0.5}
    change(face, "mouthDimpleLeft", name=None)
    change(face, "neck", ignored=None, amount=None)
    assert not read_map(rig.armature) and "neck" in find_rig(face).bones
    # What was renamed since is said, not guessed.
    change(face, "mouthLeft", name="mouthPucker")
    face.data.shape_keys.key_blocks["mouthPucker"].name = "Kiss"
    assert table(face).row("mouthLeft").state == "lost" and "no shape key 'mouthPucker'" in table(face).fault


def test_a_rig_without_a_jaw_can_be_given_one():
    fresh_scene()
    plain = {"Smile": arkit_shapes()["mouthSmileLeft"]}
    mesh = named_face(plain, joints=("root", "neck", "jaw"), bone_names={"jaw": "Kiefer"})
    with pytest.raises(TalkingEyesError, match="no jaw bone"):
        find_rig(mesh)
    assert "no jaw bone" in table(mesh).fault and table(mesh).row("jaw").state == "missing"
    change(mesh, "jaw", name="Kiefer")
    assert find_rig(mesh).bones["jaw"] == "Kiefer" and not table(mesh).fault


def test_axes_and_amounts_reach_the_curves(face):
    turn = np.radians([[0.0, 0, 0], [10, 0, 0]])
    change(face, "neck", axes="-Z,X", amount=0.5)
    rig = find_rig(face)
    values = np.stack([c.values for c in bone_channels(rig, "neck", turn, np.arange(2))], 1)[-1]
    bone = rig.armature.pose.bones["neck"]
    assert bone.rotation_mode == "QUATERNION"
    angle = np.radians(5)
    assert values == pytest.approx([np.cos(angle / 2), 0, 0, -np.sin(angle / 2)], abs=1e-6)
    assert len(TURNS) == 24


def test_files_are_shared_and_checked(face, tmp_path):
    change(face, "mouthDimpleLeft", name="mouthPucker")
    change(face, "jaw", ignored=False, axes="X,Z")
    path = tmp_path / "mine.json"
    assert save_mapping(face, path) > len(SOME)
    shapes = {name: arkit_shapes()[name] for name in SOME if name != "mouthFunnel"}
    other = named_face(shapes, joints=("root", "neck", "jaw"), name="Other")
    lost = apply_mapping(other, read_mapping(path))
    assert lost == ("left_eye", "mouthFunnel", "right_eye")
    rig = find_rig(other)
    assert (
        rig.named_keys["mouthDimpleLeft"] == "mouthPucker" and rig.bones["jaw"] == "jaw" and rig.axes == {"jaw": "X,Z"}
    )
    good = json.loads(path.read_text())
    for wrong, message in (
        ("{", "not a JSON"),
        ("[]", "not a rig mapping"),
        (json.dumps({**good, "version": 9}), "version 9"),
        (json.dumps({**good, "bones": []}), "not a table"),
        (json.dumps({**good, "bones": {"tail": "x"}}), "'tail'"),
        (json.dumps({**good, "keys": {"jawOpen": 5}}), "by its name"),
        (json.dumps({**good, "axes": {"jaw": "X,X"}}), "axes"),
        (json.dumps({**good, "amounts": {"jaw": 1e9}}), "amount"),
        (json.dumps({**good, "amounts": {"jaw": "much"}}), "amount"),
    ):
        path.write_text(wrong)
        with pytest.raises(TalkingEyesError, match=message) as caught:
            read_mapping(path)
        assert caught.value.hint
    with pytest.raises(TalkingEyesError, match="could not be read"):
        read_mapping(tmp_path / "none.json")
    with pytest.raises(TalkingEyesError, match="none of the 2"):
        apply_mapping(other, RigMap(bones={"neck": "Kopf"}, keys={"jawOpen": "Auf"}))
    with pytest.raises(TalkingEyesError, match="could not be written"):
        save_mapping(face, tmp_path / "none" / "x.json")
    # A choice that some other program spoilt counts as none.
    other["x"] = 1
    rig.armature["talkingeyes_map"] = '{"ignored": {"jaw": 3}}'
    assert read_map(rig.armature) == RigMap()


@pytest.mark.parametrize("part", ["neck", "left_eye", "jawOpen", "eyeBlinkRight"])
def test_testing_a_part_moves_it_and_puts_it_back(face, part):
    before = file_dump()
    bones = [bone.matrix_basis.copy() for bone in find_rig(face).armature.pose.bones]
    moved, most = movement(face, part)
    assert moved > 50 and most > 0.002
    assert file_dump() == before
    assert [bone.matrix_basis for bone in find_rig(face).armature.pose.bones] == bones


def test_testing_what_is_not_there_says_so(face):
    for part in ("mouthDimpleLeft", "jaw"):
        with pytest.raises(TalkingEyesError):
            Wiggle(face, part)


def test_panel_properties_read_and_write_the_choice(addon, face, tmp_path):
    bpy.context.scene.talkingeyes.rig = face
    state = bpy.context.scene.talkingeyes_mapping
    assert JOINTS[1:] == mapping_properties.JOINTS
    assert set(mapping_properties.PARTS) - {"BlinkLeft", "BlinkRight"} == {*JOINTS[1:], *PARTS}
    assert state.name_jawOpen == "jawOpen" and state.use_jawOpen and not state.use_jaw
    state.use_jaw = True
    assert state.use_jaw and find_rig(face).bones["jaw"] == "jaw"
    state.nod_jaw = "-Y"
    assert find_rig(face).axes["jaw"] == "-Y,Z" and state.turn_jaw == "Z"
    state.nod_jaw = "Z"
    assert find_rig(face).axes["jaw"] == "Z,X"
    state.turn_jaw = "AUTO"
    state.amount_jaw = 0.5
    state.name_mouthDimpleLeft = "mouthPucker"
    rig = find_rig(face)
    assert not rig.axes and rig.amounts == {"jaw": 0.5} and rig.named_keys["mouthDimpleLeft"] == "mouthPucker"
    path = str(tmp_path / "map.json")
    assert bpy.ops.talkingeyes.save_mapping(filepath=path) == {"FINISHED"}
    assert bpy.ops.talkingeyes.reset_mapping() == {"FINISHED"}
    assert not read_map(rig.armature) and not state.use_jaw
    assert bpy.ops.talkingeyes.load_mapping(filepath=path) == {"FINISHED"}
    assert state.use_jaw and state.amount_jaw == 0.5
    assert bpy.ops.talkingeyes.test_part(part="neck") == {"FINISHED"}
    with pytest.raises(RuntimeError, match="not a JSON"):
        (tmp_path / "bad.json").write_text("{")
        bpy.ops.talkingeyes.load_mapping(filepath=str(tmp_path / "bad.json"))
    mapping.forget()


def test_linked_rigs_are_said_so_and_overrides_work(tmp_path):
    scene = fresh_scene()
    mesh = named_face(viseme_shapes(), joints=("root", "neck", "jaw"))
    collection = bpy.data.collections.new("Hero")
    scene.collection.children.link(collection)
    for obj in (mesh, mesh.parent):
        collection.objects.link(obj)
    path = str(tmp_path / "hero.blend")
    bpy.data.libraries.write(path, {collection})
    scene = fresh_scene()
    scene.render.fps = 25
    with bpy.data.libraries.load(path, link=True) as (_, into):
        into.collections = ["Hero"]
    linked = into.collections[0]
    scene.collection.children.link(linked)
    face = linked.objects["Face"]
    with pytest.raises(TalkingEyesError, match="linked from another file") as caught:
        change(face, "neck", ignored=True)
    assert "library override" in caught.value.hint
    from test_rig_named import motion, write

    with pytest.raises(TalkingEyesError, match="linked from another file") as caught:
        write(scene, find_rig(face), motion(jaw=np.radians([12, 0, 0])))
    assert "Override" in caught.value.hint
    assert [linked.override_hierarchy_create(scene, bpy.context.view_layer, do_fully_editable=True) for _ in range(2)]
    faces = [o for o in scene.objects if o.type == "MESH" and o.override_library]
    assert len(faces) == 2
    speech = motion(jaw=np.radians([12, 0, 0]), head=np.radians([0, 10, 0]))
    for face in faces:
        # Blender leaves the shape keys linked; one click mends that, for each character by itself.
        rig = find_rig(face)
        with pytest.raises(TalkingEyesError, match=r"shape keys .* are still linked"):
            write(scene, rig, speech)
        assert can_override_keys(rig) and override_keys(rig) == [face.name]
    write(scene, find_rig(faces[0]), speech)
    saved = str(tmp_path / "shot.blend")
    names = [face.name for face in faces]
    bpy.ops.wm.save_as_mainfile(filepath=saved)
    bpy.ops.wm.open_mainfile(filepath=saved)
    scene = bpy.context.scene
    first, second = (find_rig(bpy.data.objects[name, None]) for name in names)
    scene.frame_set(2)
    angles = [r.armature.pose.bones["neck"].matrix_basis.to_quaternion().angle for r in (first, second)]
    assert angles == pytest.approx([np.radians(10), 0], abs=1e-3)
    values = [r.shape_keys.key_blocks["viseme_aa"].value for r in (first, second)]
    assert values[0] > 0.3 and values[1] == 0
    assert len(takes(first)) == 1 and not takes(second)
    change(first.mesh, "neck", ignored=True)
    assert "neck" not in find_rig(first.mesh).bones and "neck" in find_rig(second.mesh).bones
