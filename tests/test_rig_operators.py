"""The operators round a rig: Rig FLAME Mesh, Fit Rig to Face, Make Lid Keys."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _heads import tiny_head, write_head  # noqa: E402
from _rigs import Z_UP, foreign_rig, fresh_scene  # noqa: E402
from _scene import scene_hash  # noqa: E402

import talkingeyes_blender  # noqa: E402
from talkingeyes_blender.operators import subject  # noqa: E402
from talkingeyes_blender.operators.mend_head import FitRig  # noqa: E402
from talkingeyes_blender.operators.rig_mesh import RigMesh  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def addon():
    talkingeyes_blender.register()
    yield
    talkingeyes_blender.unregister()


@pytest.fixture(autouse=True)
def scene():
    return fresh_scene()


@pytest.fixture
def head_file(tmp_path):
    path = tmp_path / "head.npz"
    write_head(path, tiny_head())
    return path


def select(obj) -> None:
    bpy.context.view_layer.objects.active = obj


def scan(count: int | None = None):
    head = tiny_head()
    data = bpy.data.meshes.new("Scan")
    points = (head.vertices @ Z_UP.T)[:count]
    data.from_pydata(points.tolist(), [], [[int(i) for i in f if i >= 0] for f in head.faces if f.max() < len(points)])
    mesh = bpy.data.objects.new("Scan", data)
    bpy.context.scene.collection.objects.link(mesh)
    select(mesh)
    return mesh


def test_a_bare_mesh_is_rigged_and_chosen(scene, head_file):
    assert RigMesh.disabled_reason(bpy.context) == "No mesh without an armature is selected."
    mesh = scan()
    assert bpy.ops.talkingeyes.rig_mesh(filepath=str(head_file)) == {"FINISHED"}
    assert scene.talkingeyes.rig == mesh and subject.why_no_head(bpy.context) is None
    assert find_rig(mesh).head_model == tiny_head().identity
    assert not bpy.ops.talkingeyes.rig_mesh.poll()


def test_a_mesh_that_does_not_fit_stays_as_it_was(head_file, tmp_path):
    scan(400)
    bpy.context.view_layer.update()
    before = scene_hash()
    with pytest.raises(RuntimeError, match="The mesh 'Scan' has 400 vertices"):
        bpy.ops.talkingeyes.rig_mesh(filepath=str(head_file))
    with pytest.raises(RuntimeError, match=r"gone.npz could not be read"):
        bpy.ops.talkingeyes.rig_mesh(filepath=str(tmp_path / "gone.npz"))
    assert scene_hash() == before


def test_a_selected_flame_mesh_is_explained():
    data = bpy.data.meshes.new("Scan")
    data.from_pydata(np.zeros((5023, 3)).tolist(), [], [])
    mesh = bpy.data.objects.new("Scan", data)
    bpy.context.scene.collection.objects.link(mesh)
    select(mesh)
    assert "has FLAME's vertices but no armature" in subject.why_no_head(bpy.context)
    assert RigMesh.disabled_reason(bpy.context) is None


def test_fitting_and_lids_by_click():
    head = tiny_head()
    mesh = foreign_rig(head)
    select(mesh)
    with pytest.raises(RuntimeError, match="is not known"):
        bpy.ops.talkingeyes.make_lids()
    text = json.dumps({name: np.asarray(values).tolist() for name, values in head.landmarks.items()})
    mesh.data["talkingeyes_landmarks"] = text
    assert bpy.ops.talkingeyes.make_lids() == {"FINISHED"}
    assert find_rig(mesh).blink_keys == ("BlinkLeft", "BlinkRight")
    with pytest.raises(RuntimeError, match="has keys for its lids already"):
        bpy.ops.talkingeyes.make_lids()
    with pytest.raises(RuntimeError, match="Where the joints of 'Foreign' lie"):
        bpy.ops.talkingeyes.fit_rig()
    select(None)
    assert FitRig.disabled_reason(bpy.context) == "No head is chosen."


def test_fit_moves_the_joints_of_the_stand_in():
    bpy.ops.talkingeyes.add_standin()
    mesh = bpy.context.scene.talkingeyes.rig
    mesh.data.shape_keys.key_blocks["Shape2"].value = 3.0
    bpy.context.view_layer.update()
    assert any("Fit the rig to the face" in text for text in find_rig(mesh).report.warnings)
    assert bpy.ops.talkingeyes.fit_rig() == {"FINISHED"}
    assert not find_rig(mesh).report.warnings


def test_the_lids_settings_are_offered():
    bpy.ops.talkingeyes.add_standin()
    mesh = bpy.context.scene.talkingeyes.rig
    offered = {text: (owner, name) for owner, name, text in subject.lid_settings(bpy.context)}
    assert set(offered) == {"Lids Follow", "By Expressions"}
    owner, name = offered["Lids Follow"]
    assert owner == mesh.parent and owner[name] == 1.0
    owner, name = offered["By Expressions"]
    assert owner == mesh and owner[name] is False
