"""Another face on the same rig: joints, lids and lips go where the identity keys put them; lid keys on any head."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _heads import tiny_head  # noqa: E402
from _rigs import (  # noqa: E402
    Z_UP,
    dump_animation,
    evaluated_vertices,
    file_dump,
    foreign_rig,
    fresh_scene,
    go_to,
    largest_error,
    random_motion,
)
from _scene import scene_hash  # noqa: E402

from benchmarks import skinning  # noqa: E402
from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.head.landmarks import eye_aspect_ratio, lip_gap  # noqa: E402
from talkingeyes_blender.head.lids import penetration  # noqa: E402
from talkingeyes_blender.head.model import LEFT_EYE, RIGHT_EYE  # noqa: E402
from talkingeyes_blender.head.skinning import pose_vertices, shaped_joints, shaped_vertices  # noqa: E402
from talkingeyes_blender.head.standin import load_standin  # noqa: E402
from talkingeyes_blender.rig import lid_keys  # noqa: E402
from talkingeyes_blender.rig.build import build_head, to_blender  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402
from talkingeyes_blender.rig.identity import fit_to_face  # noqa: E402
from talkingeyes_blender.rig.landmark_basis import landmark_basis  # noqa: E402
from talkingeyes_blender.rig.lid_keys import make_lid_keys  # noqa: E402

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture(params=["tiny", "stand-in", "flame"])
def head(request):
    if request.param == "flame":
        path = request.getfixturevalue("testdata") / skinning.FLAME_FILE
        if not path.is_file():
            pytest.skip(f"{path} is absent")
        return skinning.flame_head(path)
    return tiny_head() if request.param == "tiny" else load_standin()


def set_identity(rig, coefficients):
    for i, value in enumerate(coefficients):
        rig.shape_keys.key_blocks[f"Shape{i + 1}"].value = value
    bpy.context.view_layer.update()
    return find_rig(rig.mesh)


def identity_of(head, size: float = 1.5, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, head.shape_basis.shape[2])


def fitted(head, coefficients):
    rig = set_identity(build_head(bpy.context, head), coefficients)
    fit_to_face(bpy.context, rig)
    return find_rig(rig.mesh)


# ---------------------------------------------------------------------------------------------------------- identity


def test_joints_move_with_the_face(head):
    coefficients = identity_of(head)
    rig = set_identity(build_head(bpy.context, head), coefficients)
    assert any("Fit the rig to the face" in text for text in rig.report.warnings)
    wanted = to_blender(shaped_joints(head, coefficients))
    before = np.array([bone.head_local for bone in rig.armature.data.bones])
    moved = fit_to_face(bpy.context, rig)
    assert moved == pytest.approx(np.linalg.norm(wanted - before, axis=1).max(), abs=1e-6) and moved > 1e-5
    assert np.allclose([bone.head_local for bone in rig.armature.data.bones], wanted, atol=1e-6)
    rig = find_rig(rig.mesh)
    assert not rig.report.warnings and np.allclose(rig.frame, Z_UP, atol=1e-6)
    assert fit_to_face(bpy.context, rig) == 0
    # Back at the mean face everything is where it was.
    rig = set_identity(rig, 0 * coefficients)
    fit_to_face(bpy.context, rig)
    assert np.allclose([bone.head_local for bone in rig.armature.data.bones], before, atol=1e-6)


def test_a_fitted_face_shuts_its_eyes_and_moves_as_our_skinning_says(scene, head):
    coefficients = identity_of(head)
    rig = fitted(head, coefficients)
    shaped = skinning._with_keys_of(rig, dataclasses.replace(head, vertices=shaped_vertices(head, coefficients)))
    shut = shaped.vertices + shaped.lids.sum(2)
    # The small head's few faces are too coarse to tell what shuts.
    assert max(eye_aspect_ratio(shut, head.landmarks)) < (0.2 if head.name == "tiny" else 0.05)
    for joint in (LEFT_EYE, RIGHT_EYE):
        assert penetration(shaped, shut, joint) < 1e-4
    motion = random_motion(head, 8, seed=3)
    write_take(rig, motion, scene=scene, start_frame=1)
    assert largest_error(scene, rig, shaped, motion, 1 + np.arange(8)) < 1e-4


def test_without_a_fit_the_eyes_would_turn_about_the_old_joints(scene, head):
    """What the fit is for: the same face, not fitted, is more than our skinning allows off."""
    coefficients = identity_of(head, 3.0)
    rig = set_identity(build_head(bpy.context, head), coefficients)
    shaped = skinning._with_keys_of(rig, dataclasses.replace(head, vertices=shaped_vertices(head, coefficients)))
    motion = random_motion(head, 8, seed=3)
    write_take(rig, motion, scene=scene, start_frame=1)
    assert largest_error(scene, rig, shaped, motion, 1 + np.arange(8)) > 1e-4


def test_landmarks_of_a_transfer_are_the_faces_own():
    head = tiny_head()
    coefficients = identity_of(head)
    rig = fitted(head, coefficients)
    expected = shaped_vertices(head, coefficients)[head.landmarks["face"]]
    assert np.abs(landmark_basis(rig).points[: len(expected)] - expected).max() < 1e-6
    # A muted key counts for nothing, as in Blender.
    rig.shape_keys.key_blocks["Shape1"].mute = True
    coefficients[0] = 0
    expected = shaped_vertices(head, coefficients)[head.landmarks["face"]]
    assert np.abs(landmark_basis(rig).points[: len(expected)] - expected).max() < 1e-6


def test_lips_that_are_shut_stay_shut_on_another_face(scene):
    head = tiny_head()
    coefficients = identity_of(head)
    rig = fitted(head, coefficients)
    expression = np.zeros((1, head.expressions))
    jaw = np.array([[np.radians(10), 0, 0]])
    expression[0, 0] = 1
    motion = random_motion(head, 1, expression=expression, jaw=jaw, head=np.zeros((1, 3)), blink=np.zeros((1, 2)))
    write_take(rig, motion, scene=scene, start_frame=1)
    go_to(scene, 1)
    pose = np.zeros((5, 3))
    pose[2] = jaw
    ours = pose_vertices(head, coefficients, expression[0], pose)
    shown = evaluated_vertices(rig.mesh) @ Z_UP
    assert lip_gap(shown, head.landmarks) == pytest.approx(lip_gap(ours, head.landmarks), abs=1e-5)


def test_fit_leaves_the_rest_alone(scene):
    head = tiny_head()
    rig = build_head(bpy.context, head)
    armature = rig.armature
    motion = random_motion(head, 5)
    write_take(rig, motion, scene=scene, start_frame=1)
    armature.pose.bones["neck"].constraints.new("LIMIT_ROTATION").mute = True
    cube = bpy.data.objects.new("Cube", bpy.data.meshes.new("Cube"))
    scene.collection.objects.link(cube)
    bpy.context.view_layer.objects.active = cube
    cube.select_set(True)
    rig.mesh.select_set(False)
    armature.hide_set(True)
    directions = [np.array(bone.matrix_local.to_3x3()) for bone in armature.data.bones]
    rig = set_identity(rig, identity_of(head))
    before = file_dump()
    fit_to_face(bpy.context, rig)
    assert file_dump() == before
    assert [dump_animation(owner) for owner in (armature, rig.shape_keys)]
    assert np.allclose(directions, [np.array(bone.matrix_local.to_3x3()) for bone in armature.data.bones], atol=1e-6)
    assert armature.hide_get() and bpy.context.view_layer.objects.active == cube
    assert bpy.context.selected_objects == [cube]
    assert len(armature.pose.bones["neck"].constraints) == 1


def test_a_foreign_rig_is_fitted_with_its_file():
    head = tiny_head()
    mesh = foreign_rig(head, twisted=True)
    with pytest.raises(TalkingEyesError, match="Where the joints of 'Foreign' lie in its face is not known"):
        fit_to_face(bpy.context, find_rig(mesh))
    for i, value in enumerate(coefficients := identity_of(head)):
        key = mesh.shape_key_add(name=f"Shape{i + 1}", from_mix=False)
        points = (head.vertices + head.shape_basis[:, :, i]) @ Z_UP.T
        key.data.foreach_set("co", points.astype(np.float32).ravel())
        key.slider_min, key.slider_max, key.value = -10, 10, value
    bpy.context.view_layer.update()
    rig = find_rig(mesh)
    assert rig.identity_keys == {1: "Shape1", 2: "Shape2", 3: "Shape3"}
    directions = [np.array(bone.matrix_local.to_3x3()) for bone in rig.armature.data.bones]
    fit_to_face(bpy.context, rig, head)
    wanted = to_blender(shaped_joints(head, coefficients))
    assert np.allclose([bone.head_local for bone in rig.armature.data.bones], wanted, atol=1e-6)
    assert np.allclose(
        directions, [np.array(bone.matrix_local.to_3x3()) for bone in rig.armature.data.bones], atol=1e-5
    )
    with pytest.raises(TalkingEyesError, match="vertices"):
        fit_to_face(bpy.context, rig, load_standin())


# -------------------------------------------------------------------------------------------------------- lid keys


def foreign_with_landmarks(head, **options):
    mesh = foreign_rig(head, **options)
    mesh["talkingeyes_head_model"] = head.identity
    text = json.dumps({name: np.asarray(values).tolist() for name, values in head.landmarks.items()})
    mesh.data["talkingeyes_landmarks"] = text
    return mesh


@pytest.mark.parametrize("twisted", [False, True], ids=["bones-up", "bones-anyhow"])
@pytest.mark.parametrize("mode", ["QUATERNION", "YZX", "AXIS_ANGLE"])
def test_lid_keys_on_a_rig_of_others_shut_and_follow(scene, twisted, mode):
    head = tiny_head()
    mesh = foreign_with_landmarks(head, axes=np.eye(3), twisted=twisted, mode=mode, seed=7)
    rig = find_rig(mesh)
    assert rig.report.lacks("lids")
    assert make_lid_keys(rig) == lid_keys.NAMES
    rig = find_rig(mesh)
    assert rig.blink_keys == ("BlinkLeft", "BlinkRight") and not rig.report.lacks("lids")
    for curve in rig.shape_keys.animation_data.drivers:
        assert curve.driver.is_simple_expression and curve.driver.is_valid and len(curve.driver.expression) < 256
    motion = random_motion(head, 10, seed=2)
    write_take(rig, motion, scene=scene, start_frame=1)
    assert largest_error(scene, rig, head, motion, 1 + np.arange(10), np.eye(3)) < 1e-4
    # The setting: lids that stay where they are.
    rig.armature["talkingeyes_lids_follow"] = 0.0
    rig.armature.update_tag()
    still = dataclasses.replace(head, lid_follow=np.zeros_like(head.lid_follow))
    assert largest_error(scene, rig, still, motion, 1 + np.arange(10), np.eye(3)) < 1e-4


def test_lid_keys_are_shut_on_flames_mesh(testdata):
    path = testdata / skinning.FLAME_FILE
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    head = skinning.flame_head(path)
    mesh = foreign_rig(head, twisted=True)
    make_lid_keys(find_rig(mesh))
    keys = mesh.data.shape_keys.key_blocks
    rest = np.array(evaluated_vertices(mesh))
    open_ = max(eye_aspect_ratio(rest, head.landmarks))
    keys["BlinkLeft"].value = keys["BlinkRight"].value = 1
    bpy.context.view_layer.update()
    assert open_ > 0.3 and max(eye_aspect_ratio(evaluated_vertices(mesh), head.landmarks)) < 0.05


def test_blinks_by_expressions_are_the_other_way(scene):
    """With the setting on the mesh, its lid keys keep still and expressions that shut the eyes do it."""
    head = load_standin()
    rig = build_head(bpy.context, head)
    assert rig.mesh["talkingeyes_blink_by_expressions"] is False
    rig.mesh["talkingeyes_blink_by_expressions"] = True
    rig = find_rig(rig.mesh)
    assert rig.blink_keys == (None, None)
    still = {"expression": np.zeros((2, head.expressions)), "jaw": np.zeros((2, 3)), "head": np.zeros((2, 3))}
    motion = random_motion(head, 2, **still, eyes=np.zeros((2, 6)), blink=np.array([[0, 0], [1, 1]]))
    take = write_take(rig, motion, scene=scene, start_frame=1)
    curves = {c.data_path for a in bpy.data.actions for c in skinning_curves(a)}
    assert not any("Blink" in path for path in curves) and not any("will not blink" in text for text in take.warnings)
    ratios = []
    for frame in (1, 2):
        go_to(scene, frame)
        ratios.append(max(eye_aspect_ratio(evaluated_vertices(rig.mesh), head.landmarks)))
    assert ratios[1] < 0.2 * ratios[0]


def skinning_curves(action):
    from _rigs import every_curve

    return every_curve(action)


def test_lid_keys_are_refused_in_words():
    head = tiny_head()
    with pytest.raises(TalkingEyesError, match="has keys for its lids already"):
        make_lid_keys(build_head(bpy.context, head))
    fresh_scene()
    mesh = foreign_rig(head)
    before = file_dump()
    with pytest.raises(TalkingEyesError, match="Where the eyes and lids of 'Foreign' are is not known"):
        make_lid_keys(find_rig(mesh))
    assert file_dump() == before
    fresh_scene()
    mesh = foreign_with_landmarks(head, names={j: j for j in ("root", "neck", "jaw", "left_eye")})
    with pytest.raises(TalkingEyesError, match="no bone for the right eye"):
        make_lid_keys(find_rig(mesh))


def test_a_failure_takes_the_lid_keys_away_again(monkeypatch):
    mesh = foreign_with_landmarks(tiny_head())
    bpy.context.view_layer.update()
    before = scene_hash()

    def fail(*_):
        raise MemoryError("full")

    for name in ("drive_lids", "_rotation"):
        with monkeypatch.context() as patch:
            patch.setattr(lid_keys, name, fail)
            with pytest.raises(MemoryError):
                make_lid_keys(find_rig(mesh))
        bpy.context.view_layer.update()
        assert scene_hash() == before
