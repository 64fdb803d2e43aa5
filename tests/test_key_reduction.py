"""Fewer keys: the true error by Blender's own evaluation at frames and between, and what must stay to the digit."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _gaze import write_gaze  # noqa: E402
from _heads import tiny_head  # noqa: E402
from _rigs import every_curve, file_dump, foreign_rig, go_to  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.motion import Motion  # noqa: E402
from talkingeyes_blender.rig import key_reduction as reduction  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402
from talkingeyes_blender.rig.takes import takes  # noqa: E402

MODES = ("XYZ", "ZYX", "QUATERNION", "AXIS_ANGLE")


def lively_motion(model, frames: int = 90, seed: int = 2) -> Motion:
    """Smooth face and head, eyes that jump, and lids that shut and stay shut for three frames."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / 25

    def waves(width: int, size: float) -> np.ndarray:
        rate, phase = rng.uniform(0.5, 4, (5, width)), rng.uniform(0, 7, (5, width))
        return size * np.sin(2 * np.pi * rate * t[:, None, None] + phase).mean(1)

    jumps = rng.normal(0, 0.2, (frames // 12 + 1, 6))
    jumps[:, [2, 5]] = 0
    blink = np.zeros((frames, 2))
    for at in (10, 47, 80):
        blink[at : at + 6] = np.array([0.4, 1, 1, 1, 0.6, 0.2])[:, None]
    return Motion(
        expression=waves(model.expressions, 0.8),
        jaw=np.abs(waves(3, 0.2)) * [1, 0.1, 0.1],
        head=waves(3, 0.3),
        eyes=np.repeat(jumps, 12, 0)[:frames] + rng.normal(0, 0.002, (frames, 6)),
        blink=blink,
        seed=seed,
        head_model=model.identity,
    )


def sampled(rig, bones, scene, frames):
    """What Blender shows: rotations (N, B, 3, 3) of bones, values of shape keys by name (N,)."""
    turns, values = [], {key.name: [] for key in rig.shape_keys.key_blocks}
    for frame in frames:
        go_to(scene, frame)
        evaluated = rig.armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
        turns.append([np.array(evaluated.pose.bones[bone].matrix_basis.to_3x3()) for bone in bones])
        for key in rig.shape_keys.key_blocks:
            values[key.name].append(key.value)
    return np.array(turns), {name: np.array(column) for name, column in values.items()}


def degrees(a, b):
    """(...) between rotations (..., 3, 3); by the sine form, which tells small angles apart."""
    return np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(a - b, axis=(-2, -1)) / np.sqrt(8), 0, 1)))


@pytest.mark.parametrize("mode", MODES)
def test_the_true_error_is_within_the_bounds(scene, mode):
    head = tiny_head()
    if mode == "XYZ":
        rig = build_head(bpy.context, head, "Ann")
    else:
        rig = find_rig(foreign_rig(head, mode=mode, twisted=True))
    motion = lively_motion(head).replace(head_model=rig.head_model)
    take = write_take(rig, motion, scene=scene, start_frame=3.25)
    bones = [rig.bones[joint] for joint in ("neck", "jaw", "left_eye", "right_eye")]
    frames = take.start + np.arange(0, take.frames - 1, 0.37)
    turns, values = sampled(rig, bones, scene, frames)
    count = sum(len(c.keyframe_points) for c in every_curve(bpy.data.actions[take.name]))
    done = reduction.reduce_take(rig, take, degrees=0.3, millimetres=0.2)
    left = sum(len(c.keyframe_points) for a in bpy.data.actions for c in every_curve(a))
    assert done.before >= count and done.after == left
    assert done.after < 0.6 * done.before
    turns_after, values_after = sampled(rig, bones, scene, frames)
    error = degrees(turns, turns_after)
    assert error.max() < 0.3 and error.max() == pytest.approx(done.degrees, rel=0.35)
    assert error.max() > 0.1, "the bound is used"
    worst = 0.0
    for name, before in values.items():
        key = rig.shape_keys.key_blocks[name]
        if "Follow" in name:
            continue
        moved = [np.linalg.norm(np.subtract(a.co, b.co)) for a, b in zip(key.data, key.relative_key.data, strict=True)]
        worst = max(worst, 1000 * max(moved) * np.abs(before - values_after[name]).max())
    assert 0.05 < worst < 0.2


def test_blinks_saccades_and_closures_keep_their_extremes(scene):
    head = tiny_head()
    rig = build_head(bpy.context, head, "Ann")
    motion = lively_motion(head)
    take = write_take(rig, motion, scene=scene, start_frame=1)
    gap = reduction.lip_partings(rig, _clips(rig), 1 + np.arange(take.frames, dtype=float))
    shut = reduction._closures(rig, take, _clips(rig)).astype(int) - 1
    reduction.reduce_take(rig, take, degrees=0.5, millimetres=0.5)
    blink = rig.shape_keys.key_blocks["BlinkLeft"]
    for frame, value in enumerate(motion.blink[:, 0]):
        go_to(scene, frame + 1)
        if value == 1:
            assert blink.value == pytest.approx(1, abs=2e-3)
    keyed = next(c for a in bpy.data.actions for c in every_curve(a) if "BlinkLeft" in c.data_path)
    frames = [round(p.co.x) - 1 for p in keyed.keyframe_points]
    assert {11, 13, 48, 50, 81, 83} <= set(frames)
    after = reduction.lip_partings(rig, _clips(rig), 1 + np.arange(take.frames, dtype=float))
    assert len(shut) and np.abs(after - gap)[shut].max() < 1e-6


def _clips(rig):
    from talkingeyes_blender.rig.takes import clips, owners

    return [clip for owner in owners(rig) for clip in clips(owner)]


def test_what_is_reduced_or_scaled_does_not_count_as_edited_by_hand(scene):
    from talkingeyes_blender.rig.hand_edits import edited_paths, is_sealed, seal_take
    from talkingeyes_blender.rig.strength_layer import Adjustment, adjust_take

    head = tiny_head()
    rig = build_head(bpy.context, head, "Ann")
    take = write_take(rig, lively_motion(head), scene=scene, start_frame=1)
    seal_take(rig, take)
    curve = next(c for a in bpy.data.actions for c in every_curve(a) if "BlinkLeft" in c.data_path)
    curve.keyframe_points[20].co.y += 0.1
    reduction.reduce_take(rig, take)
    adjust_take(rig, take, Adjustment(face=0.5, jaw=1.5, blinks=0.8))
    assert is_sealed(rig, take)
    assert [path for path in edited_paths(rig, take) if "BlinkLeft" not in path] == []
    assert any("BlinkLeft" in path for path in edited_paths(rig, take))


def test_what_is_reduced_already_stays(scene):
    head = tiny_head()
    rig = build_head(bpy.context, head, "Ann")
    take = write_take(rig, lively_motion(head), scene=scene, start_frame=1)
    first = reduction.reduce_take(rig, take)
    again = reduction.reduce_take(rig, take)
    assert again.after <= 1.1 * first.after


def test_a_key_of_the_users_own_that_holds_is_left_alone(scene):
    head = tiny_head()
    rig = build_head(bpy.context, head, "Ann")
    take = write_take(rig, lively_motion(head), scene=scene, start_frame=1)
    curve = next(c for a in bpy.data.actions for c in every_curve(a) if "BlinkLeft" in c.data_path)
    curve.keyframe_points[20].interpolation = "CONSTANT"
    before = [tuple(p.co) for p in curve.keyframe_points]
    reduction.reduce_take(rig, take)
    curve = next(c for a in bpy.data.actions for c in every_curve(a) if "BlinkLeft" in c.data_path)
    assert [tuple(p.co) for p in curve.keyframe_points] == before


def test_new_gaze_can_be_reduced_alone(scene):
    head = tiny_head()
    rig = build_head(bpy.context, head, "Ann")
    motion = lively_motion(head)
    take = write_take(rig, motion, scene=scene, start_frame=1)
    reduction.reduce_take(rig, take)
    take = write_gaze(rig, motion.eyes[::-1])
    from talkingeyes_blender.rig.channels import gaze_paths

    done = reduction.reduce_take(rig, take, paths=set.union(*gaze_paths(rig)))
    assert done.before >= 6 * take.frames and done.after < done.before


def test_short_takes_and_lost_takes(scene):
    head = tiny_head()
    rig = build_head(bpy.context, head, "Ann")
    for frames in (1, 2, 3):
        motion = lively_motion(head, 90)
        cut = {n: getattr(motion, n)[:frames] for n in ("expression", "jaw", "head", "eyes", "blink")}
        take = write_take(rig, motion.replace(**cut), scene=scene, start_frame=1)
        before = file_dump()["animation"]
        done = reduction.reduce_take(rig, take)
        assert done.after <= done.before and before
    from talkingeyes_blender.rig.curves import clear

    clear(rig)
    assert takes(rig) == []
    with pytest.raises(TalkingEyesError, match="no such take"):
        reduction.reduce_take(rig, take)


def test_both_ends_of_a_plateau_are_turning_points():
    values = np.array([0, 0, 0.5, 1, 1, 1, 0.3, 0, 0, 0.02, 0])
    assert reduction.turning_points(values, 0.1).tolist() == [0, 1, 3, 5]
