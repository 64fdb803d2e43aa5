"""A rig built round a bare mesh: the mesh stays what it was, and moves as the head model that it was made from."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _heads import tiny_head  # noqa: E402
from _rigs import Z_UP, dump_animation, evaluated_vertices, random_motion  # noqa: E402
from _scene import describe, scene_hash  # noqa: E402
from mathutils import Matrix  # noqa: E402

from benchmarks import skinning  # noqa: E402
from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.head.landmarks import eye_aspect_ratio  # noqa: E402
from talkingeyes_blender.head.model import JAW, NECK  # noqa: E402
from talkingeyes_blender.head.rotation import matrix_from_axis_angle  # noqa: E402
from talkingeyes_blender.head.skinning import pose_vertices, shaped_vertices  # noqa: E402
from talkingeyes_blender.rig import bare, lid_keys  # noqa: E402
from talkingeyes_blender.rig.bare import place_head, rig_bare_mesh  # noqa: E402
from talkingeyes_blender.rig.curves import clear, write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig, inspect_rig  # noqa: E402
from talkingeyes_blender.rig.head_rig import Family  # noqa: E402

pytestmark = pytest.mark.usefixtures("scene")

TENTH_OF_A_MILLIMETRE = 1e-4


@pytest.fixture(scope="module")
def flame(testdata):
    path = testdata / skinning.FLAME_FILE
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    return skinning.flame_head(path)


def bare_mesh(points: np.ndarray, faces, name: str = "Scan") -> bpy.types.Object:
    data = bpy.data.meshes.new(name)
    data.from_pydata(np.asarray(points).tolist(), [], [[int(i) for i in face if i >= 0] for face in faces])
    mesh = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(mesh)
    bpy.context.view_layer.update()
    return mesh


def world_points(mesh) -> np.ndarray:
    matrix = np.array(mesh.matrix_world)
    return evaluated_vertices(mesh) @ matrix[:3, :3].T + matrix[:3, 3]


# ---------------------------------------------------------------------------------------------------------- fitting


@pytest.mark.parametrize("scale", [1.0, 100.0, 0.37])
def test_place_and_identity_are_told_apart(scale):
    head = tiny_head()
    coefficients = np.random.default_rng(4).normal(0, 2, 3)
    turn = matrix_from_axis_angle([0.4, -2.0, 1.0])
    face = shaped_vertices(head, coefficients)
    found = place_head(scale * face @ turn.T + [3, 2, 1], head)
    assert found.scale == pytest.approx(scale, rel=1e-3) and np.abs(found.rotation - turn).max() < 1e-3
    assert np.abs(found.to_flame(scale * face @ turn.T + [3, 2, 1]) - face).max() < 1e-4
    assert found.misfit < 1e-4


def test_a_face_unlike_its_model_keeps_to_the_axes():
    """Without identity shapes a long chin would pass for a nod."""
    head = dataclasses.replace(tiny_head(), shape_basis=np.zeros((594, 3, 0), np.float32))
    face = head.vertices.copy()
    chin = face[:, 1] < -0.05
    face[chin] += [0, -0.02, 0.012]
    found = place_head(face @ Z_UP.T, head)
    assert np.array_equal(found.rotation, Z_UP) and found.misfit > 0.001


def test_another_order_of_vertices_is_noticed():
    head = tiny_head()
    mixed = np.random.default_rng(0).permutation(len(head.vertices))
    with pytest.raises(TalkingEyesError, match="not in its order or not those of a face"):
        place_head(head.vertices[mixed], head)


# ------------------------------------------------------------------------------------------------- the mesh is kept


def test_the_mesh_keeps_all_that_was_its_own(scene):
    head = tiny_head()
    mesh = bare_mesh(head.vertices @ Z_UP.T, head.faces)
    mesh.location, mesh.rotation_euler, mesh.scale = (1, 2, 3), (0.3, 0.2, 0.1), (2, 2, 2)
    mesh.data.materials.append(bpy.data.materials.new("Paint"))
    mesh.modifiers.new("Smooth", "SUBSURF").levels = 0
    mesh.vertex_groups.new(name="hair").add([1, 2, 3], 0.5, "REPLACE")
    mesh.shape_key_add(name="Rest", from_mix=False)
    smirk = mesh.shape_key_add(name="Smirk", from_mix=False)
    smirk.data[5].co.x += 0.01
    smirk.value = 0.7
    group = bpy.data.objects.new("Group", None)
    scene.collection.objects.link(group)
    group.location = (5, 0, 0)
    mesh.parent = group
    mesh["note"] = "mine"
    bpy.context.view_layer.update()
    before, transform = world_points(mesh), [list(mesh.location), list(mesh.rotation_euler), list(mesh.scale)]
    rig = rig_bare_mesh(bpy.context, mesh, head)
    assert rig.mesh == mesh and np.abs(world_points(mesh) - before).max() < 1e-5
    assert [list(mesh.location), list(mesh.rotation_euler), list(mesh.scale)] == transform
    assert [material.name for material in mesh.data.materials] == ["Paint"]
    # The bones bend the mesh before its own modifiers work on it.
    assert [modifier.type for modifier in mesh.modifiers] == ["ARMATURE", "SUBSURF"]
    keys = mesh.data.shape_keys.key_blocks
    assert [key.name for key in keys[:3]] == ["Rest", "Smirk", "Exp1"]
    assert keys["Smirk"].value == pytest.approx(0.7)
    assert mesh.vertex_groups["hair"].weight(2) == 0.5 and mesh["note"] == "mine"
    assert rig.armature.parent == group and mesh.parent == rig.armature
    assert rig.report.family is Family.OURS and not rig.report.missing and not rig.report.warnings
    # What they hang on carries both.
    group.location.x += 1
    bpy.context.view_layer.update()
    assert np.abs(world_points(mesh) - before - [1, 0, 0]).max() < 1e-5


def test_what_moves_the_mesh_goes_on_to(scene):
    """A mesh that somebody animates keeps its own parent; the armature hangs on it."""
    head = tiny_head()
    mesh = bare_mesh(head.vertices @ Z_UP.T, head.faces)
    for frame, x in ((1, 0.0), (11, 2.0)):
        mesh.location.x = x
        mesh.keyframe_insert("location", frame=frame)
    before = dump_animation(mesh)
    rig = rig_bare_mesh(bpy.context, mesh, head)
    assert dump_animation(mesh) == before and mesh.parent is None and rig.armature.parent == mesh
    motion = random_motion(head, 11)
    write_take(rig, motion, scene=scene, start_frame=1)
    expected = skinning.expected_vertices(head, motion)
    for frame, x in ((1, 0.0), (11, 2.0)):
        scene.frame_set(frame)
        assert np.abs(world_points(mesh) - expected[frame - 1] @ Z_UP.T - [x, 0, 0]).max() < TENTH_OF_A_MILLIMETRE


def test_expressions_of_its_own_are_used(scene):
    head = tiny_head()
    mesh = bare_mesh(head.vertices, head.faces)
    mesh.shape_key_add(name="Basis", from_mix=False)
    mesh.shape_key_add(name="Exp1", from_mix=False)
    rig = rig_bare_mesh(bpy.context, mesh, head)
    assert rig.expression_keys == ("Exp1",) and rig.head_model == ""
    assert rig.blink_keys == ("BlinkLeft", "BlinkRight") and len(rig.pose_keys) == 18


def test_weights_of_its_own_are_used():
    head = tiny_head()
    mesh = bare_mesh(head.vertices, head.faces)
    for joint in ("root", "neck", "jaw", "left_eye", "right_eye"):
        mesh.vertex_groups.new(name=joint).add([0], 0.25, "REPLACE")
    rig = rig_bare_mesh(bpy.context, mesh, dataclasses.replace(head, landmarks={}))
    assert rig.mesh.vertex_groups["jaw"].weight(0) == 0.25


def test_a_failure_leaves_the_mesh_as_it_was(monkeypatch):
    head = tiny_head()
    mesh = bare_mesh(head.vertices, head.faces)
    mesh.modifiers.new("Smooth", "SUBSURF")
    for with_keys in (False, True):
        if with_keys:
            mesh.shape_key_add(name="Rest", from_mix=False)
            mesh.shape_key_add(name="Smirk", from_mix=False)
        bpy.context.view_layer.update()
        before, lines = scene_hash(), list(describe())
        for name in ("add_keys", "deform", "find_rig", "drive_lids"):

            def fail(*_):
                raise MemoryError("full")

            with monkeypatch.context() as patch:
                patch.setattr(lid_keys if name == "drive_lids" else bare, name, fail)
                with pytest.raises(MemoryError):
                    rig_bare_mesh(bpy.context, mesh, head)
            bpy.context.view_layer.update()
            assert scene_hash() == before, [line for line in describe() if line not in lines][:5]


# ------------------------------------------------------------------------------------------------ FLAME's topologies


def test_flames_mesh_is_recognised_without_a_rig(flame):
    mesh = bare_mesh(flame.vertices, flame.faces)
    report = inspect_rig(mesh)
    assert report.family is Family.BARE and report.lacks("armature")
    assert "has FLAME's vertices but no armature" in report.fault and "FLAME file" in report.mend
    with pytest.raises(TalkingEyesError, match="FLAME's vertices"):
        find_rig(mesh)


def with_teeth(head, rows: int = 2) -> tuple[np.ndarray, list[list[int]]]:
    """120 vertices of teeth after FLAME's: an upper and a lower row, or both in one part."""
    lips = head.vertices[head.landmarks["face"][43:51]]
    middle = lips.mean(0) - [0, 0, 0.012]
    x = np.linspace(-0.02, 0.02, 15)
    rows_of = []
    for side in (1, -1):
        for depth in (0.0, -0.004):
            for height in (0.001, 0.009):
                rows_of.append(middle + np.stack([x, np.full(15, side * height), depth - 20 * x**2], 1))
    points = np.concatenate([head.vertices, *rows_of])
    faces = [list(map(int, f[f >= 0])) for f in head.faces]
    start = len(head.vertices)
    for half in (0, 60):
        for a, b in ((0, 15), (30, 45), (0, 30), (15, 45)):
            for k in range(14):
                first, second = start + half + a + k, start + half + b + k
                faces.append([first, first + 1, second + 1, second])
    if rows == 1:
        faces.append([start, start + 60, start + 61])
    return points, faces


@pytest.mark.parametrize("rows", [2, 1], ids=["two-rows", "one-part"])
def test_teeth_go_with_head_and_jaw(flame, rows, scene):
    points, faces = with_teeth(flame, rows)
    assert len(points) == 5143
    mesh = bare_mesh(points @ Z_UP.T, faces)
    rig = rig_bare_mesh(bpy.context, mesh, flame)
    weights = np.zeros((5143, 5))
    for group in mesh.vertex_groups:
        for vertex in range(5023, 5143):
            with_group = [g.weight for g in mesh.data.vertices[vertex].groups if g.group == group.index]
            weights[vertex, group.index] = sum(with_group)
    assert (weights[5023:5083, NECK] == 1).all() and (weights[5083:, JAW] == 1).all()
    motion = random_motion(flame, 5, seed=4)
    write_take(rig, motion, scene=scene, start_frame=1)
    for frame, expected in enumerate(skinning.expected_vertices(flame, motion), 1):
        scene.frame_set(frame)
        shown = evaluated_vertices(mesh)
        assert np.abs(shown[:5023] - expected @ Z_UP.T).max() < TENTH_OF_A_MILLIMETRE


def test_closed_holes_move_with_their_rims(flame, scene):
    """The neck's hole shut by a fan round a vertex of its own, the mouth's by one big face."""
    edges = np.sort(np.concatenate([flame.faces[:, [0, 1]], flame.faces[:, [1, 2]], flame.faces[:, [2, 0]]]), 1)
    once = np.unique(edges, axis=0, return_counts=True)
    border = once[0][once[1] == 1]
    low = border[(flame.vertices[border, 1] < -0.12).all(1)]
    points = np.concatenate([flame.vertices, flame.vertices[np.unique(low)].mean(0)[None]])
    faces = [list(map(int, f[f >= 0])) for f in flame.faces] + [[int(a), int(b), 5023] for a, b in low]
    mesh = bare_mesh(points, faces)
    assert inspect_rig(mesh).family is Family.BARE
    assert inspect_rig(bare_mesh(points[::-1], [])).family is Family.OTHER
    rig = rig_bare_mesh(bpy.context, mesh, flame)
    motion = random_motion(flame, 3, seed=4)
    write_take(rig, motion, scene=scene, start_frame=1)
    scene.frame_set(2)
    shown = evaluated_vertices(mesh)
    assert np.abs(shown[:5023] - skinning.expected_vertices(flame, motion)[1]).max() < TENTH_OF_A_MILLIMETRE
    rim = shown[np.unique(low)]
    assert np.linalg.norm(shown[5023] - rim.mean(0)) < 0.003


def test_a_bare_flame_mesh_speaks_and_is_cleared(flame, scene):
    turn = np.array(Matrix.Rotation(0.2, 3, (0, 1, 0)))
    mesh = bare_mesh(100 * shaped_vertices(flame, np.full(10, 0.5)) @ turn.T, flame.faces)
    mesh.scale = (0.01, 0.01, 0.01)
    rig = rig_bare_mesh(bpy.context, mesh, flame)
    keys = mesh.data.shape_keys.key_blocks
    keys["BlinkLeft"].value = keys["BlinkRight"].value = 1
    bpy.context.view_layer.update()
    assert max(eye_aspect_ratio(evaluated_vertices(mesh), flame.landmarks)) < 0.05
    keys["BlinkLeft"].value = keys["BlinkRight"].value = 0
    write_take(rig, random_motion(flame, 5), scene=scene, start_frame=1)
    assert clear(rig) == 1
    # A file that is not of this mesh is refused, in words.
    other = bare_mesh(flame.vertices, flame.faces, "Other")
    with pytest.raises(TalkingEyesError, match="'Other' has 5,023 vertices, 'tiny' has 594"):
        rig_bare_mesh(bpy.context, other, tiny_head())
    with pytest.raises(TalkingEyesError, match="has an armature already"):
        rig_bare_mesh(bpy.context, mesh, flame)


def test_an_open_mouth_is_told(flame):
    pose = np.zeros((5, 3))
    pose[2, 0] = 0.3
    mesh = bare_mesh(pose_vertices(flame, pose=pose), flame.faces)
    rig = rig_bare_mesh(bpy.context, mesh, flame)
    assert any("The mouth of 'Scan' is open by" in text for text in rig.report.warnings)
