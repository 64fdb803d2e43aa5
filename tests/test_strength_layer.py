"""Strengths after the fact: what Blender shows is scaled, lips stay shut, keys stay as they are, and all goes back."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _gaze import write_gaze  # noqa: E402
from _heads import tiny_head  # noqa: E402
from _rigs import evaluated_vertices, every_curve, file_dump, foreign_rig, go_to, random_motion  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.head import rotation  # noqa: E402
from talkingeyes_blender.head.landmarks import lip_gap  # noqa: E402
from talkingeyes_blender.head.standin import load_standin  # noqa: E402
from talkingeyes_blender.motion import Motion  # noqa: E402
from talkingeyes_blender.rig import strength_layer as strengths  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402
from talkingeyes_blender.rig.curves import clear, write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402
from talkingeyes_blender.rig.strength_layer import Adjustment, adjust_take, adjustment_of  # noqa: E402


def turn(rig, joint) -> np.ndarray:
    """(3,) axis-angle that Blender shows for a joint, in FLAME's frame."""
    evaluated = rig.armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    bone = evaluated.pose.bones[rig.bones[joint]]
    axes = np.array(bone.bone.matrix_local.to_3x3()).T @ rig.frame
    return rotation.axis_angle_from_matrix(axes.T @ np.array(bone.matrix_basis.to_3x3()) @ axes)


@pytest.mark.parametrize("mode", ["XYZ", "QUATERNION", "AXIS_ANGLE"])
def test_each_part_scales_by_itself_and_goes_back(scene, mode):
    head = tiny_head()
    if mode == "XYZ":
        rig = build_head(bpy.context, head, "Ann")
    else:
        rig = find_rig(foreign_rig(head, mode=mode, twisted=True))
    motion = random_motion(head, 12).replace(head_model=rig.head_model)
    take = write_take(rig, motion, scene=scene, start_frame=1)
    go_to(scene, 12)
    before = file_dump()
    adjust_take(rig, take, Adjustment(face=0.6, head=0.5, gaze=1.4, blinks=0.7))
    assert adjustment_of(rig, take) == Adjustment(0.6, 0.5, 1.4, 0.7)
    for frame in (0, 5, 11):
        go_to(scene, 1 + frame)
        for joint, wanted in (
            ("neck", 0.5 * motion.head[frame]),
            ("jaw", 0.6 * motion.jaw[frame]),
            ("left_eye", 1.4 * motion.eyes[frame, :3]),
        ):
            assert np.abs(turn(rig, joint) - wanted).max() < 0.02 + 0.05 * np.abs(wanted).max()
        keys = rig.shape_keys.key_blocks
        assert keys[rig.expression_keys[0]].value == pytest.approx(0.6 * motion.expression[frame, 0], abs=1e-5)
        if rig.blink_keys[0]:
            assert keys[rig.blink_keys[0]].value == pytest.approx(0.7 * motion.blink[frame, 0], abs=1e-5)
    adjust_take(rig, take, Adjustment())
    go_to(scene, 12)
    assert file_dump() == before
    assert not any(len(curve.modifiers) for action in bpy.data.actions for curve in every_curve(action))


def test_keys_of_the_users_own_stay(scene):
    head = tiny_head()
    rig = build_head(bpy.context, head, "Ann")
    take = write_take(rig, random_motion(head, 12), scene=scene, start_frame=1)
    curve = next(c for a in bpy.data.actions for c in every_curve(a) if "jaw" in c.data_path)
    curve.keyframe_points[4].co.y = 0.321
    adjust_take(rig, take, Adjustment(jaw=1.5))
    curve = next(c for a in bpy.data.actions for c in every_curve(a) if "jaw" in c.data_path)
    assert curve.keyframe_points[4].co.y == pytest.approx(0.321)


def test_a_stronger_face_reaches_past_its_sliders_and_clear_brings_them_back(scene):
    head = load_standin()
    rig = build_head(bpy.context, head, "Ann")
    for key in rig.shape_keys.key_blocks[1:]:
        key.slider_min, key.slider_max = 0, 1
    never = file_dump()
    motion = random_motion(head, 6)
    take = write_take(rig, motion, scene=scene, start_frame=1)
    adjust_take(rig, take, Adjustment(face=2.0))
    go_to(scene, 3)
    for i in (0, 7, 20):
        value = rig.shape_keys.key_blocks[rig.expression_keys[i]].value
        assert value == pytest.approx(2 * motion.expression[2, i], abs=1e-4)
    clear(rig)
    bpy.context.view_layer.update()  # the lids' drivers
    assert file_dump() == never


def test_new_gaze_keeps_its_strength(scene):
    head = tiny_head()
    rig = build_head(bpy.context, head, "Ann")
    motion = random_motion(head, 8)
    take = write_take(rig, motion, scene=scene, start_frame=1)
    adjust_take(rig, take, Adjustment(gaze=0.5))
    write_gaze(rig, motion.eyes[::-1])
    go_to(scene, 3)
    assert np.abs(turn(rig, "left_eye") - 0.5 * motion.eyes[::-1][2, :3]).max() < 0.01


def test_jaw_and_lips_scale_but_shut_lips_stay_shut(scene):
    head = load_standin()
    rig = build_head(bpy.context, head, "Ann")
    names = list(head.expression_names)
    frames = 24
    t = np.arange(frames)
    expression = np.zeros((frames, len(names)))
    jaw = np.zeros((frames, 3))
    jaw[:, 0] = 0.10 + 0.08 * np.sin(t / 4)
    # Lips that meet over an open jaw, from frame 10 to 13.
    wave = np.zeros(frames)
    wave[9:15] = [0.6, 1, 1, 1, 1, 0.6]
    shut = np.array([_closing(head, names, angle) for angle in jaw[:, 0]])
    for i, name in enumerate(names):
        if name == "mouthClose":
            expression[:, i] = wave * shut
    motion = Motion(
        expression=expression, jaw=jaw, head=np.zeros((frames, 3)), eyes=np.zeros((frames, 6)),
        blink=np.zeros((frames, 2)), seed=0, head_model=head.identity,
    )  # fmt: skip
    take = write_take(rig, motion, scene=scene, start_frame=1)

    def gaps() -> np.ndarray:
        result = []
        for frame in range(frames):
            go_to(scene, 1 + frame)
            result.append(np.max(lip_gap(evaluated_vertices(rig.mesh), head.landmarks)))
        return 1000 * np.array(result)

    before = gaps()
    closed = before < 0.5
    assert closed[10:13].all() and before.max() > 5
    adjust_take(rig, take, Adjustment(jaw=1.4, lips=0.6))
    after = gaps()
    assert np.abs(after - before)[closed].max() < 0.05
    assert after.max() > 1.25 * before.max()
    adjust_take(rig, take, Adjustment(jaw=0.5))
    assert np.abs(gaps() - before)[closed].max() < 0.05
    adjust_take(rig, take, Adjustment())
    assert np.abs(gaps() - before).max() < 1e-3


def _closing(head, names, angle) -> float:
    """How much of mouthClose shuts the lips over a jaw that is turned by ``angle``."""
    from talkingeyes_blender.head.skinning import pose_vertices

    amounts = np.linspace(0, 2, 81)
    expression = np.zeros((len(amounts), head.expressions))
    expression[:, names.index("mouthClose")] = amounts
    pose = np.zeros((len(amounts), 5, 3))
    pose[:, 2, 0] = angle
    gaps = [np.max(lip_gap(v, head.landmarks)) for v in pose_vertices(head, expression=expression, pose=pose)]
    return amounts[int(np.argmin(gaps))]


def test_what_cannot_be_is_refused(scene):
    head = tiny_head()
    rig = build_head(bpy.context, head, "Ann")
    take = write_take(rig, random_motion(head, 4), scene=scene, start_frame=1)
    before = file_dump()
    for field in dataclasses.fields(Adjustment):
        with pytest.raises(TalkingEyesError, match="from 0 to 3"):
            adjust_take(rig, take, Adjustment(**{field.name: 3.5}))
    assert file_dump() == before
    clear(rig)
    with pytest.raises(TalkingEyesError, match="no such take"):
        adjust_take(rig, take, Adjustment(jaw=2))
    assert strengths.LARGEST == 3
