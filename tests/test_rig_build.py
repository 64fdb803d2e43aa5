"""A head built in Blender is the head model, vertex by vertex, posed in any way."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _heads import tiny_head  # noqa: E402
from _rigs import Z_UP, evaluated_vertices, file_dump, fresh_scene, largest_error, random_motion  # noqa: E402

from talkingeyes_blender.head import landmarks  # noqa: E402
from talkingeyes_blender.head.model import basis_identity  # noqa: E402
from talkingeyes_blender.head.reading import read_head  # noqa: E402
from talkingeyes_blender.head.rotation import matrix_from_axis_angle  # noqa: E402
from talkingeyes_blender.head.standin import STANDIN_FILE, load_standin  # noqa: E402
from talkingeyes_blender.rig import build, looks  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.stage import add_stage, prepare_render  # noqa: E402

TENTH_OF_A_MILLIMETRE = 1e-4


@pytest.fixture(autouse=True)
def scene():
    return fresh_scene()


@pytest.fixture(scope="module")
def flame_head(testdata):
    """FLAME's own mesh, weights, joints and correctives, with an expression basis made here (its own is not free)."""
    path = testdata / "flame2023-open-without-shapedirs.npz"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    head = read_head(path)
    basis = np.random.default_rng(3).normal(0, 0.001, (len(head.vertices), 3, 100)).astype(np.float32)
    return dataclasses.replace(head, expression_basis=basis, identity=basis_identity(basis))


def pose_and_compare(scene, head, mode: str) -> float:
    rig = build_head(bpy.context, head)
    for bone in rig.armature.pose.bones:
        bone.rotation_mode = mode
    motion = random_motion(head, frames=50, seed=5)
    scene.render.fps = 25
    write_take(rig, motion, scene=scene, start_frame=1)
    return largest_error(scene, rig, head, motion, 1 + np.arange(50))


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "ZYX", "AXIS_ANGLE"])
def test_tiny_head_moves_as_our_skinning_says(scene, mode):
    assert pose_and_compare(scene, tiny_head(), mode) < TENTH_OF_A_MILLIMETRE


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_stand_in_moves_as_our_skinning_says(scene, mode):
    if not STANDIN_FILE.is_file():
        pytest.skip("the stand-in has not been built")
    assert pose_and_compare(scene, load_standin(), mode) < TENTH_OF_A_MILLIMETRE


def test_flame_head_moves_as_our_skinning_says(scene, flame_head):
    assert pose_and_compare(scene, flame_head, "AXIS_ANGLE") < TENTH_OF_A_MILLIMETRE


def test_identity_keys_reshape_the_head():
    head = tiny_head()
    rig = build_head(bpy.context, head)
    coefficients = np.array([0.7, -1.5, 2.0])
    for i, value in enumerate(coefficients):
        rig.shape_keys.key_blocks[f"Shape{i + 1}"].value = value
    expected = (head.vertices + head.shape_basis @ coefficients) @ Z_UP.T
    assert np.abs(evaluated_vertices(rig.mesh) - expected).max() < 1e-6


def test_keys_bones_and_names_follow_the_layout():
    head = tiny_head()
    rig = build_head(bpy.context, head, "Ann")
    assert [bone.name for bone in rig.armature.data.bones] == ["root", "neck", "jaw", "left_eye", "right_eye"]
    for bone, joint in zip(rig.armature.data.bones, head.joints, strict=True):
        assert np.allclose(bone.head_local, Z_UP @ joint, atol=1e-6)
        # The local axes of a bone are FLAME's axes.
        assert np.allclose(np.array(bone.matrix_local.to_3x3()), Z_UP, atol=1e-6)
    names = [key.name for key in rig.shape_keys.key_blocks]
    assert names[:4] == ["Basis", "Shape1", "Shape2", "Shape3"]
    assert [n for n in names if n.startswith("Exp")] == [f"Exp{i}" for i in range(1, 9)]
    # The eyes' correctives are zero, as FLAME's are, and get no key.
    assert [n for n in names if n.startswith("Pose")] == [f"Pose{i}" for i in range(1, 19)]
    assert names[-4:] == ["BlinkLeft", "BlinkRight", "LidFollowLeft", "LidFollowRight"]
    assert rig.mesh["talkingeyes_head_model"] == rig.armature["talkingeyes_head_model"] == head.identity
    assert rig.mesh.name == "Ann" and rig.mesh.parent == rig.armature
    assert [c.name for c in bpy.context.scene.collection.children] == ["Ann"]
    assert all(polygon.use_smooth for polygon in rig.mesh.data.polygons)


def test_rig_is_the_one_that_is_found():
    head = tiny_head()
    rig = build_head(bpy.context, head)
    assert np.allclose(rig.frame, Z_UP, atol=1e-6)
    assert rig.expressions == 8 and rig.head_model == head.identity
    assert rig.blink_keys == ("BlinkLeft", "BlinkRight")
    assert sorted(rig.pose_keys) == list(range(18))
    assert not rig.report.missing and not rig.report.warnings and not rig.report.guessed
    for name, indices in head.landmarks.items():
        assert np.array_equal(rig.landmarks[name], indices)


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_lids_follow_the_eye_by_a_driver_that_needs_no_permission(mode):
    rig = build_head(bpy.context, tiny_head())
    driver = next(c.driver for c in rig.shape_keys.animation_data.drivers if "LidFollowLeft" in c.data_path)
    assert driver.is_simple_expression
    keys, bone = rig.shape_keys.key_blocks, rig.armature.pose.bones["left_eye"]
    bone.rotation_mode = mode

    def follow(down: float, left: float, blink: float = 0.0, share: float = 1.0) -> float:
        matrix = matrix_from_axis_angle([0, left, 0]) @ matrix_from_axis_angle([down, 0, 0])
        place = bone.matrix_basis.to_4x4()
        for row in range(3):
            for column in range(3):
                place[row][column] = matrix[row, column]
        bone.matrix_basis = place
        keys["BlinkLeft"].value = blink
        rig.armature["talkingeyes_lids_follow"] = share
        rig.armature.update_tag()
        bpy.context.view_layer.update()
        return keys["LidFollowLeft"].value

    degrees = np.radians(1)
    assert follow(10 * degrees, 0) == pytest.approx(0.4, abs=1e-4)
    assert follow(10 * degrees, 30 * degrees) == pytest.approx(0.4, abs=1e-4)
    assert follow(-10 * degrees, -20 * degrees) == pytest.approx(-0.4, abs=1e-4)
    assert follow(10 * degrees, 0, blink=0.25) == pytest.approx(0.3, abs=1e-4)
    assert follow(10 * degrees, 0, share=0.5) == pytest.approx(0.2, abs=1e-4)
    assert follow(60 * degrees, 0) == pytest.approx(1.4, abs=1e-4)
    assert follow(-60 * degrees, 0) == pytest.approx(-0.8, abs=1e-4)
    assert keys["LidFollowRight"].value == pytest.approx(0, abs=1e-4)


def test_materials_and_tint():
    head = tiny_head()
    tint = np.random.default_rng(0).uniform(0.5, 1, (len(head.vertices), 3))
    head = dataclasses.replace(head, vertex_tint=tint)
    mesh = build_head(bpy.context, head).mesh.data
    assert [material.name for material in mesh.materials] == ["skin", "lips", "sclera", "pupil"]
    indices = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("material_index", indices)
    assert np.array_equal(indices, head.face_material)
    values = np.empty(4 * len(mesh.vertices), np.float32)
    mesh.color_attributes[looks.TINT].data.foreach_get("color", values)
    assert np.allclose(values.reshape(-1, 4)[:, :3], tint, atol=1e-6)
    material = mesh.materials[0]
    assert tuple(material.diffuse_color)[:3] == pytest.approx(head.materials[0].color)
    shader = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
    # The head is hollow behind its mouth: from behind the skin is dark, from the front its colour times the tint.
    mix = shader.inputs["Base Color"].links[0].from_node
    assert mix.type == "MIX" and mix.inputs[0].links[0].from_socket.name == "Backfacing"
    sources = [link.from_node for socket in mix.inputs for link in socket.links if link.from_node.type == "MIX"]
    assert [node.blend_type for node in sources] == ["MULTIPLY"]
    # Workbench sees colour times tint on each corner.
    color = mesh.color_attributes.active_color
    polygon = mesh.polygons[7]
    for loop in polygon.loop_indices:
        expected = np.array(head.materials[polygon.material_index].color) * tint[mesh.loops[loop].vertex_index]
        assert np.allclose(color.data[loop].color[:3], expected, atol=1e-6)


def test_two_heads_do_not_mix(scene):
    head = tiny_head()
    first, second = build_head(bpy.context, head), build_head(bpy.context, head)
    assert first.mesh != second.mesh and first.armature != second.armature
    motions = [random_motion(head, 10, seed) for seed in (1, 2)]
    scene.render.fps = 25
    for rig, motion in zip((first, second), motions, strict=True):
        write_take(rig, motion, scene=scene, start_frame=1)
    for rig, motion in zip((first, second), motions, strict=True):
        assert largest_error(scene, rig, head, motion, 1 + np.arange(10)) < TENTH_OF_A_MILLIMETRE


def test_a_failed_build_leaves_nothing(monkeypatch):
    build_head(bpy.context, tiny_head())
    before = file_dump()

    def fail(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(build, "drive_lids", fail)
    with pytest.raises(RuntimeError, match="no"):
        build_head(bpy.context, tiny_head())
    assert file_dump() == before


def test_stage_shows_the_face_whichever_way_the_rig_is_turned(scene):
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Matrix, Vector

    head = tiny_head()
    rig = build_head(bpy.context, head)
    rig.armature.matrix_world = (
        Matrix.Translation((3, -2, 1)) @ Matrix.Rotation(1.1, 4, (1, 2, 3)) @ Matrix.Scale(10, 4)
    )
    bpy.context.view_layer.update()
    for _ in range(2):
        add_stage(scene, rig)
        bpy.context.view_layer.update()
        assert len([c for c in scene.collection.children if c.name.startswith("TalkingEyes")]) == 1
        assert len(bpy.data.lights) == 3 and len(bpy.data.cameras) == 1
        face = head.vertices[head.landmarks["face"]] @ Z_UP.T
        seen = np.array([world_to_camera_view(scene, scene.camera, rig.mesh.matrix_world @ Vector(p)) for p in face])
        assert (seen[:, :2] > 0.1).all() and (seen[:, :2] < 0.9).all()
        pupils = head.vertices[head.landmarks["pupils"]] @ Z_UP.T
        left, right = (world_to_camera_view(scene, scene.camera, rig.mesh.matrix_world @ Vector(p)) for p in pupils)
        # The subject's left is the viewer's right, both eyes level, above the middle.
        assert left.x > 0.5 > right.x and abs(left.y - right.y) < 0.01 and left.y > 0.5
        eye_distance = left.x - right.x
        assert 0.1 < eye_distance < 0.35


def test_render_settings_name_engines_that_exist(scene):
    for engine in ("WORKBENCH", "EEVEE", "CYCLES"):
        if engine == "CYCLES" and not hasattr(scene, "cycles"):
            continue
        prepare_render(scene, engine, (320, 240), 4)
        assert engine in scene.render.engine
    assert (scene.render.resolution_x, scene.render.resolution_y) == (320, 240)


def test_flame_mesh_is_recognised_without_anything_stored(flame_head):
    rig = build_head(bpy.context, flame_head)
    del rig.armature.data["talkingeyes_joints"]
    del rig.mesh.data["talkingeyes_landmarks"]
    from talkingeyes_blender.rig.find import find_rig
    from talkingeyes_blender.rig.landmark_basis import landmark_basis

    again = find_rig(rig.mesh)
    assert np.allclose(again.frame, Z_UP)
    expected = flame_head.vertices[landmarks.FLAME_FACE]
    assert np.abs(landmark_basis(again).points[: len(expected)] - expected).max() < 1e-6
