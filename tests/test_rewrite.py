"""Parts of a take written anew: other curves and other times stay, to the bit."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _gaze import write_gaze  # noqa: E402
from _heads import tiny_head  # noqa: E402
from _rigs import action_dump, foreign_rig, go_to, largest_error, random_motion  # noqa: E402
from _scene import scene_hash  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.rig import compat, curves, hand_edits, rewrite, takes  # noqa: E402
from talkingeyes_blender.rig.channels import Channel, Parts, Strengths  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402

PARTS = {"face": ("expression", "jaw"), "head": ("head",), "gaze": ("eyes",), "blinks": ("blink",)}
FRAMES = 40


def mixed(one, other, parts, frames=(0, FRAMES)):
    """``one`` with the parts of ``other`` in some frames."""
    changes = {}
    for name in (name for part in parts for name in PARTS[part]):
        changes[name] = getattr(one, name).copy()
        changes[name][slice(*frames)] = getattr(other, name)[slice(*frames)]
    return one.replace(**changes)


def keys(rig) -> dict[tuple[str, int], np.ndarray]:
    """(N, 2) keys by data path and index."""
    found = {}
    for owner in takes.owners(rig):
        for clip in takes.clips(owner):
            for curve in compat.Curves(clip.strip.action, compat.slot_of(clip.strip)):
                co = np.empty(2 * len(curve.keyframe_points), np.float32)
                curve.keyframe_points.foreach_get("co", co)
                found[curve.data_path, curve.array_index] = co.reshape(-1, 2)
    return found


@pytest.mark.parametrize("parts", [("gaze",), ("head", "gaze"), ("blinks",), ("face",), tuple(PARTS)])
def test_parts_are_written_and_others_kept(scene, head, rig, parts):
    one, other = random_motion(head, FRAMES, 1), random_motion(head, FRAMES, 2)
    take = curves.write_take(rig, one, scene=scene, start_frame=10)
    before = keys(rig)
    result = rewrite.rewrite_parts(rig, take, mixed(one, other, parts), parts, gaze_seed=9, story={"seed": 9})
    after = keys(rig)
    changed = {path for path, index in before if not np.array_equal(before[path, index], after[path, index])}
    assert changed and changed <= set.union(*rewrite.paths_of(rig, parts))
    assert before.keys() == after.keys()
    assert (result.id, result.gaze_seed, result.start) == (take.id, 9, 10)
    assert largest_error(scene, rig, head, mixed(one, other, parts), 10 + np.arange(FRAMES)) < 1e-5


@pytest.mark.parametrize("frames", [(10, 25), (0, 12), (30, 40)])
@pytest.mark.parametrize("parts", [("gaze",), ("head", "gaze"), ("blinks",)])
@pytest.mark.parametrize("fps", [25, 24])
def test_keys_outside_of_the_frames_are_kept(scene, head, rig, parts, frames, fps):
    scene.render.fps = fps
    one, other = random_motion(head, FRAMES, 1), random_motion(head, FRAMES, 2)
    take = curves.write_take(rig, one, scene=scene, start_frame=10)
    before = keys(rig)
    new = mixed(one, other, parts, frames)
    rewrite.rewrite_parts(rig, take, new, parts, frames)
    after = keys(rig)
    low, high = (10 + take.step * edge for edge in (frames[0] - 1, frames[1]))
    for place, old in before.items():
        outside = (old[:, 0] <= low + 1e-3) | (old[:, 0] >= high - 1e-3)
        now = after[place]
        there = (now[:, 0] <= low + 1e-3) | (now[:, 0] >= high - 1e-3)
        np.testing.assert_array_equal(old[outside], now[there])
        assert (np.diff(now[:, 0]) > 0).all()
    assert largest_error(scene, rig, head, new, 10 + take.step * np.arange(FRAMES)) < 1e-5
    fresh = curves.write_take(rig, new, scene=scene, start_frame=10)
    assert fresh.id != take.id
    for place, written in keys(rig).items():
        np.testing.assert_allclose(written, after[place], atol=1e-5)


def test_hand_made_changes_outside_are_kept(scene, head, rig):
    one, other = random_motion(head, FRAMES, 1), random_motion(head, FRAMES, 2)
    take = curves.write_take(rig, one, scene=scene, start_frame=1)
    clip = next(takes.clips(rig.armature))
    curve = next(c for c in compat.Curves(clip.strip.action, compat.slot_of(clip.strip)) if "left_eye" in c.data_path)
    for number in (3, 35):
        point = next(p for p in curve.keyframe_points if abs(p.co.x - number) < 1e-3)
        point.interpolation, point.handle_left_type, point.handle_right_type = "BEZIER", "FREE", "FREE"
        point.co.y, point.handle_right = 0.625, (number + 0.75, 0.5)
    path, index = curve.data_path, curve.array_index
    rewrite.rewrite_parts(rig, take, mixed(one, other, ("gaze",), (10, 25)), ("gaze",), (10, 25))
    clip = next(takes.clips(rig.armature))
    curve = next(
        c
        for c in compat.Curves(clip.strip.action, compat.slot_of(clip.strip))
        if (c.data_path, c.array_index) == (path, index)
    )
    for number in (3, 35):
        point = next(p for p in curve.keyframe_points if abs(p.co.x - number) < 1e-3)
        assert (point.interpolation, point.co.y) == ("BEZIER", 0.625)
        assert tuple(point.handle_right) == (number + 0.75, 0.5)


def test_a_curve_with_few_keys_stays_as_it_is_outside(scene, head, rig):
    one, other = random_motion(head, FRAMES, 1), random_motion(head, FRAMES, 2)
    take = curves.write_take(rig, one, scene=scene, start_frame=1)
    clip = next(takes.clips(rig.armature))
    curve = next(c for c in compat.Curves(clip.strip.action, compat.slot_of(clip.strip)) if "neck" in c.data_path)
    for point in list(curve.keyframe_points)[1:-1][::-1]:
        curve.keyframe_points.remove(point)
    path, index = curve.data_path, curve.array_index
    before = [curve.evaluate(t) for t in range(1, 41)]
    rewrite.rewrite_parts(rig, take, mixed(one, other, ("head",), (10, 25)), ("head",), (10, 25))
    clip = next(takes.clips(rig.armature))
    curve = next(
        c
        for c in compat.Curves(clip.strip.action, compat.slot_of(clip.strip))
        if (c.data_path, c.array_index) == (path, index)
    )
    after = [curve.evaluate(t) for t in range(1, 41)]
    np.testing.assert_allclose(after[:10], before[:10], atol=1e-6)
    np.testing.assert_allclose(after[25:], before[25:], atol=1e-6)
    assert np.abs(np.subtract(after, before))[10:25].max() > 0.01


def test_a_curve_with_handles_stays_as_it_is_outside(scene):
    """As Reduce Keys leaves them: keys at the borders divide the curve where it has none."""
    owner = bpy.data.objects.new("owner", None)
    ((action, slot),) = compat.new_actions("action", [owner])
    curve = compat.Curves(action, slot).new("location", 0, "group")
    for frame, value in ((1, 0), (20, 1), (40, -1), (60, 0)):
        point = curve.keyframe_points.insert(frame, value)
        point.interpolation, point.handle_left_type, point.handle_right_type = "BEZIER", "ALIGNED", "ALIGNED"
        point.handle_left, point.handle_right = (frame - 6, value - 0.3), (frame + 6, value + 0.3)
    curve.update()
    times = np.arange(1, 60.01, 0.25)
    before = np.array([curve.evaluate(t) for t in times])
    rewrite._splice(curve, Channel("location", 0, "group", np.arange(1, 61.0), np.full(60, 5.0)), 14, 33)
    after = np.array([curve.evaluate(t) for t in times])
    outside = (times <= 14) | (times >= 33)
    np.testing.assert_allclose(after[outside], before[outside], atol=1e-5)
    assert (after[(times >= 15) & (times <= 32)] == 5).all()


@pytest.mark.parametrize("mode", ["QUATERNION", "AXIS_ANGLE", "ZXY"])
def test_rotation_modes(scene, head, rig, mode):
    for bone in rig.armature.pose.bones:
        bone.rotation_mode = mode
    one, other = random_motion(head, FRAMES, 1), random_motion(head, FRAMES, 2)
    take = curves.write_take(rig, one, scene=scene, start_frame=1)
    new = mixed(one, other, ("head", "gaze"), (10, 25))
    rewrite.rewrite_parts(rig, take, new, ("head", "gaze"), (10, 25))
    assert largest_error(scene, rig, head, new, 1 + np.arange(FRAMES)) < 1e-5
    go_to(scene, 10.5)


def test_blinks_by_expressions(scene):
    mesh = foreign_rig(tiny_head())
    rig = find_rig(mesh)
    head = tiny_head()
    one, other = random_motion(head, FRAMES, 1), random_motion(head, FRAMES, 2)
    one, other = (m.replace(head_model=rig.head_model) for m in (one, other))
    take = curves.write_take(rig, one, scene=scene, start_frame=1)
    new = mixed(one, other, ("blinks",), (10, 25))
    rewrite.rewrite_parts(rig, take, new, ("blinks",), (10, 25))
    after = keys(rig)
    curves.write_take(rig, new, scene=scene, start_frame=1)
    for place, written in keys(rig).items():
        np.testing.assert_allclose(written, after[place], atol=1e-5)


def test_a_part_that_was_not_there_is_written_whole(scene, head, rig):
    one = random_motion(head, FRAMES, 1)
    parts = Parts(face=True, head=True, gaze=False, blinks=True)
    take = curves.write_take(rig, one, scene=scene, start_frame=1, parts=parts)
    take = rewrite.rewrite_parts(rig, take, one, ("gaze",), (10, 25))
    assert take.parts.gaze
    assert largest_error(scene, rig, head, one, 1 + np.arange(FRAMES)) < 1e-5


def test_strengths(scene, head, rig):
    one = random_motion(head, FRAMES, 1)
    take = curves.write_take(rig, one, scene=scene, start_frame=1, strengths=Strengths(gaze=0.5, head=2.0))
    half = keys(rig)
    same = rewrite.rewrite_parts(rig, take, one, ("gaze", "head"))
    assert all(np.array_equal(half[place], co) for place, co in keys(rig).items())
    full = rewrite.rewrite_parts(rig, same, one, ("gaze", "head"), strengths=Strengths())
    assert full.strengths == Strengths()
    assert largest_error(scene, rig, head, one, 1 + np.arange(FRAMES)) < 1e-5


def move_key(rig, what: str, number: int = 3) -> None:
    clip = next(takes.clips(rig.armature))
    curve = next(c for c in compat.Curves(clip.strip.action, compat.slot_of(clip.strip)) if what in c.data_path)
    curve.keyframe_points[number].co.y += 0.25


def test_a_take_that_was_edited_is_kept_aside(scene, head, rig):
    one, other = random_motion(head, FRAMES, 1), random_motion(head, FRAMES, 2)
    take = curves.write_take(rig, one, scene=scene, start_frame=10)
    move_key(rig, "left_eye")
    mine = action_dump(bpy.data.actions[take.name])
    new = mixed(one, other, ("head",))
    same = rewrite.rewrite_parts(rig, take, new, ("head",), keep_edited=True)
    assert same.id == take.id, "the head's curves are as they were written"
    mine = action_dump(bpy.data.actions[take.name])
    new = mixed(one, other, ("head", "gaze"))
    fresh = rewrite.rewrite_parts(rig, same, new, ("gaze",), keep_edited=True)
    both = takes.takes(rig)
    assert [(t.id, t.active, t.number) for t in both] == [(take.id, False, 1), (fresh.id, True, 2)]
    assert (fresh.start, fresh.end) == (take.start, take.end)
    assert action_dump(bpy.data.actions[both[0].name]) == mine
    assert largest_error(scene, rig, head, new, 10 + np.arange(FRAMES)) < 1e-5
    takes.choose_take(rig, both[0])
    again = rewrite.rewrite_parts(rig, takes.takes(rig)[0], new, ("gaze",))
    assert again.id == take.id and len(takes.takes(rig)) == 2, "and lost where that is asked for"
    takes.clear(rig)
    assert not bpy.data.actions


def test_edits_outside_of_the_frames_stay_edits(scene, head, rig):
    one, other = random_motion(head, FRAMES, 1), random_motion(head, FRAMES, 2)
    take = curves.write_take(rig, one, scene=scene, start_frame=1)
    assert not hand_edits.edited(rig, take)
    take = rewrite.rewrite_parts(rig, take, mixed(one, other, ("gaze",), (10, 25)), ("gaze",), (10, 25))
    assert not hand_edits.edited(rig, take), "what we write is no edit"
    move_key(rig, "left_eye")
    take = rewrite.rewrite_parts(rig, take, mixed(one, other, ("gaze",), (10, 25)), ("gaze",), (10, 25))
    assert hand_edits.edited(rig, take)
    assert len(hand_edits.edited_paths(rig, take)) == 1
    take = rewrite.rewrite_parts(rig, take, one, ("gaze",))
    assert not hand_edits.edited(rig, take)


@pytest.mark.parametrize("step", ["seal", "_put_aside"])
def test_a_failure_on_the_way_aside_changes_nothing(scene, head, rig, monkeypatch, step):
    one = random_motion(head, FRAMES, 1)
    take = curves.write_take(rig, one, scene=scene, start_frame=1)
    move_key(rig, "left_eye")
    before, calls, real = scene_hash(), [], getattr(rewrite, step)

    def fail(*arguments):
        calls.append(step)
        if len(calls) == 2 or step == "seal":
            raise RuntimeError("full")
        real(*arguments)

    monkeypatch.setattr(rewrite, step, fail)
    with pytest.raises(RuntimeError, match="full"):
        rewrite.rewrite_parts(rig, take, one, ("gaze",), keep_edited=True)
    assert scene_hash() == before


def test_a_failure_changes_nothing(scene, head, rig, monkeypatch):
    one = random_motion(head, FRAMES, 1)
    take = curves.write_take(rig, one, scene=scene, start_frame=1)
    before = scene_hash()
    with pytest.raises(TalkingEyesError, match="The motion has 5 frames, the take"):
        rewrite.rewrite_parts(rig, take, random_motion(head, 5), ("gaze",))

    def fail(*arguments):
        raise RuntimeError("full")

    monkeypatch.setattr(rewrite, "_splice", fail)
    with pytest.raises(RuntimeError, match="full"):
        rewrite.rewrite_parts(rig, take, one, ("gaze",), (10, 25))
    assert scene_hash() == before


def test_locks_are_remembered(scene, head, rig):
    one = random_motion(head, FRAMES, 1)
    take = curves.write_take(rig, one, scene=scene, start_frame=1)
    assert take.locked == frozenset()
    rewrite.lock_part(rig, take, "gaze", True)
    rewrite.lock_part(rig, takes.takes(rig)[0], "head", True)
    take = takes.takes(rig)[0]
    assert take.locked == {"gaze", "head"}
    take = write_gaze(rig, one.eyes, take=take)
    assert take.locked == {"gaze", "head"}, "what is written later keeps them"
    rewrite.lock_part(rig, take, "gaze", False)
    assert takes.takes(rig)[0].locked == {"head"}
    assert action_dump(bpy.data.actions[take.name])
