"""A head leaves Blender as USD, Alembic, glTF and FBX, is imported again, and moves as before."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _reimport import ENDINGS, largest_difference, marks, played_vertices, reimported, step_of, world_vertices  # noqa: E402
from _rigs import fresh_scene, go_to, random_motion  # noqa: E402
from _scene import scene_hash  # noqa: E402
from mathutils import Matrix  # noqa: E402

import talkingeyes_blender  # noqa: E402
from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.motion import Motion  # noqa: E402
from talkingeyes_blender.rig import export_bake, export_scene  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.export_sample import times  # noqa: E402

FPS = (30, 1.001)
LIMITS = {"USD": 1e-5, "ALEMBIC": 1e-6, "GLTF": 1e-5, "FBX": 1e-5}
"""Metres."""


@pytest.fixture(scope="module", autouse=True)
def addon():
    talkingeyes_blender.register()
    yield
    talkingeyes_blender.unregister()


@pytest.fixture
def scene():
    scene = fresh_scene()
    scene.render.fps, scene.render.fps_base = FPS
    return scene


def lively(head, frames: int = 20) -> Motion:
    """A motion that swings jaw, eyes, head and expressions."""
    swing = np.sin(np.arange(frames) / 3)[:, None]
    motion = random_motion(head, 1)
    return random_motion(
        head,
        frames,
        expression=swing * np.sign(motion.expression) * 0.8,
        jaw=np.abs(swing) * [0.3, 0.05, 0],
        head=swing * [0.1, 0.3, 0.1],
        eyes=swing * [0.2, 0.4, 0, 0.2, 0.4, 0],
        blink=np.repeat(swing**2, 2, 1),
    )


@pytest.fixture
def rig(scene, head):
    rig = build_head(bpy.context, head, "Ann")
    write_take(rig, random_motion(head, 10), scene=scene, start_frame=11.4, name="Another")
    write_take(rig, lively(head), scene=scene, start_frame=11.4, name="Hello", keep_previous=True)
    return rig


def take_of(rig):
    from talkingeyes_blender.rig.takes import current_take

    return current_take(rig)


def teeth_of(rig) -> bpy.types.Object:
    """A mesh that hangs on the jaw's bone, without a modifier."""
    data = bpy.data.meshes.new("Teeth")
    data.from_pydata([(0, 0, 0), (0.01, 0, 0), (0, 0.01, 0)], [], [(0, 1, 2)])
    teeth = bpy.data.objects.new("Teeth", data)
    bpy.context.scene.collection.objects.link(teeth)
    teeth.parent, teeth.parent_type, teeth.parent_bone = rig.armature, "BONE", rig.bones["jaw"]
    teeth.location = (0.0, 0.02, 0.03)
    return teeth


@pytest.mark.parametrize("format_", ENDINGS)
def test_what_comes_back_moves_as_before(scene, rig, tmp_path, format_):
    path = tmp_path / f"ann{ENDINGS[format_]}"
    rig.armature.matrix_world = Matrix.Translation((0.1, 0.2, 1.5)) @ Matrix.Rotation(0.4, 4, "Z")
    teeth = teeth_of(rig)
    frames, rate = times(scene, take_of(rig), "TAKE", "SCENE")
    assert rate == pytest.approx(30 / 1.001) and frames[0] == 11 and frames[-1] >= take_of(rig).end
    wanted, of_teeth = (played_vertices(scene, mesh, frames) for mesh in (rig.mesh, teeth))
    assert np.ptp(of_teeth, axis=0).max() > 0.003
    bpy.context.view_layer.update()
    rest = marks(rig.mesh)
    scene.frame_set(3)
    before = scene_hash()
    export_scene.export_scene(bpy.context, rig, path, format_, frames, "Hello")
    assert scene_hash() == before and bpy.context.scene == scene
    assert os.listdir(tmp_path) == [path.name]

    meshes = reimported(path, format_, FPS)
    skin = max(meshes, key=lambda mesh: len(mesh.data.vertices))
    small = min(meshes, key=lambda mesh: len(mesh.data.vertices))
    first = 0 if format_ in ("GLTF", "FBX") else 11
    step = step_of(format_, FPS)
    assert largest_difference(skin, wanted, rest, first, step) < LIMITS[format_]
    found = played_vertices(bpy.context.scene, small, first + step * np.arange(len(frames)))
    assert np.abs(found - of_teeth).max() < LIMITS[format_]
    if format_ == "ALEMBIC":
        return
    # Alive: an animator can still turn the jaw and the eyes, and move the keys.
    armature = next(obj for obj in bpy.data.objects if obj.type == "ARMATURE")
    assert {"root", "neck", "jaw", "left_eye", "right_eye"} <= {bone.name for bone in armature.data.bones}
    names = {key.name for key in skin.data.shape_keys.key_blocks}
    assert {"Exp1", "Exp8", "BlinkLeft", "LidFollowRight"} <= names
    for owner in (armature, skin.data.shape_keys):
        owner.animation_data_clear()
    for key in skin.data.shape_keys.key_blocks[1:]:
        key.value = 0.0
    still = world_vertices(skin)
    for bone in ("jaw", "left_eye"):
        armature.pose.bones[bone].rotation_mode = "XYZ"
        armature.pose.bones[bone].rotation_euler = (0.3, 0, 0)
        bpy.context.view_layer.update()
        assert np.abs(world_vertices(skin) - still).max() > 0.002, bone
        still = world_vertices(skin)
    skin.data.shape_keys.key_blocks["Exp2"].value = 1.0
    bpy.context.view_layer.update()
    assert np.abs(world_vertices(skin) - still).max() > 0.001


def test_what_was_edited_by_hand_is_exported(scene, rig, tmp_path):
    """Curves of others beside the take, a constraint, drivers; and what is hidden is exported all the same."""
    neck = rig.armature.pose.bones["neck"]
    limit = neck.constraints.new("LIMIT_ROTATION")
    limit.use_limit_y, limit.min_y, limit.max_y, limit.owner_space = True, -0.05, 0.05, "LOCAL"
    key = rig.shape_keys.key_blocks["Shape1"]
    key.value = 0.7
    key.keyframe_insert("value", frame=11)
    key.value = -0.7
    key.keyframe_insert("value", frame=25)
    rig.armature.hide_viewport = True
    rig.mesh.hide_set(True)
    frames, _ = times(scene, take_of(rig), "TAKE", "SCENE")
    rest = marks(rig.mesh)
    rig.mesh.hide_set(False)
    rig.armature.hide_viewport = False
    wanted = played_vertices(scene, rig.mesh, frames)
    rig.armature.hide_viewport = True
    rig.mesh.hide_set(True)
    scene.frame_set(1)
    before = scene_hash()
    export_scene.export_scene(bpy.context, rig, tmp_path / "ann.glb", "GLTF", frames)
    assert scene_hash() == before and rig.armature.hide_viewport and rig.mesh.hide_get()
    (skin,) = reimported(tmp_path / "ann.glb", "GLTF", FPS)
    assert largest_difference(skin, wanted, rest, 0) < LIMITS["GLTF"]


def test_modifiers_stay_in_alembic_alone(scene, rig, tmp_path):
    rig.mesh.modifiers.new("Smooth", "SUBSURF")
    frames = np.array([12.0, 13.0])
    count = len(rig.mesh.data.vertices)
    for format_, path in (("ALEMBIC", tmp_path / "ann.abc"), ("FBX", tmp_path / "ann.fbx")):
        export_scene.export_scene(bpy.context, rig, path, format_, frames)
    assert len(reimported(tmp_path / "ann.fbx", "FBX", FPS)[0].data.vertices) == count
    assert len(reimported(tmp_path / "ann.abc", "ALEMBIC", FPS)[0].data.vertices) > 3 * count


@pytest.mark.parametrize("format_", ENDINGS)
def test_a_failure_leaves_nothing(scene, rig, tmp_path, format_, monkeypatch):
    path = tmp_path / f"ann{ENDINGS[format_]}"
    path.write_bytes(b"older")
    bpy.context.view_layer.objects.active = rig.armature
    bpy.ops.object.mode_set(mode="POSE")
    scene.frame_set(13)
    before = scene_hash()

    def breaks(name, head):
        with open(name, "wb") as stream:
            stream.write(b"half")
        raise RuntimeError("Error: the disk is full\n")

    chosen = export_scene.FORMATS[format_]
    monkeypatch.setitem(export_scene.FORMATS, format_, dataclasses.replace(chosen, write=breaks))
    frames = np.arange(11.0, 15.0)
    with pytest.raises(TalkingEyesError, match=f"exporter for {chosen.name} failed .*the disk is full"):
        export_scene.export_scene(bpy.context, rig, path, format_, frames)
    monkeypatch.setattr(export_bake, "_key_shapes", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_scene.export_scene(bpy.context, rig, path, format_, frames)
    assert scene_hash() == before and bpy.context.mode == "POSE" and bpy.context.scene == scene
    assert os.listdir(tmp_path) == [path.name] and path.read_bytes() == b"older"
    bpy.ops.object.mode_set(mode="OBJECT")


def test_what_is_wrong_is_said(scene, rig, tmp_path, monkeypatch):
    frames = np.array([1.0, 2.0])
    with pytest.raises(TalkingEyesError, match=r"ann.txt is not named as a glTF file. Its name must end in .glb"):
        export_scene.export_scene(bpy.context, rig, tmp_path / "ann.txt", "GLTF", frames)
    with pytest.raises(TalkingEyesError, match="could not be written"):
        export_scene.export_scene(bpy.context, rig, tmp_path / "gone" / "ann.glb", "GLTF", frames)
    away = dataclasses.replace(export_scene.FORMATS["FBX"], operator="export_scene.gone")
    monkeypatch.setitem(export_scene.FORMATS, "FBX", away)
    assert export_scene.why_missing("FBX") == "This Blender has no exporter for FBX."
    with pytest.raises(TalkingEyesError, match=r"has no exporter for FBX\. Switch on the add-on 'FBX format'"):
        export_scene.export_scene(bpy.context, rig, tmp_path / "ann.fbx", "FBX", frames)
    layer = bpy.context.view_layer.layer_collection.children[0]
    layer.exclude = True
    with pytest.raises(TalkingEyesError, match="is not in this view layer"):
        export_scene.export_scene(bpy.context, rig, tmp_path / "ann.glb", "GLTF", frames)
    assert not os.listdir(tmp_path)


def test_ranges(scene, rig):
    scene.frame_start, scene.frame_end = 5, 9
    scene.use_preview_range = True
    scene.frame_preview_start, scene.frame_preview_end = 6, 7
    take = take_of(rig)
    at_25, rate = times(scene, take)
    assert rate == pytest.approx(25) and len(at_25) == take.frames and at_25[0] == pytest.approx(11.4)
    assert times(scene, take, "SCENE", "SCENE")[0].tolist() == [5, 6, 7, 8, 9]
    assert times(scene, take, "PREVIEW", "SCENE")[0].tolist() == [6, 7]
    assert times(scene, take, "SCENE")[0].tolist() == pytest.approx([5, 6.1988, 7.3976, 8.5964], abs=1e-4)
    with pytest.raises(TalkingEyesError, match="There is no take to export"):
        times(scene, None)
    go_to(scene, 1)
