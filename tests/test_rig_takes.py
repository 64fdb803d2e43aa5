"""Takes: in time at any frame rate, between keys too, all or nothing, and nobody else's animation touched."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _gaze import write_gaze  # noqa: E402
from _heads import tiny_head  # noqa: E402
from _rigs import (  # noqa: E402
    action_dump,
    curve_dump,
    dump_animation,
    every_curve,
    file_dump,
    foreign_rig,
    fresh_scene,
    go_to,
    largest_error,
    random_motion,
)

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.head import rotation  # noqa: E402
from talkingeyes_blender.motion import Motion  # noqa: E402
from talkingeyes_blender.rig import compat, curves, takes  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402
from talkingeyes_blender.rig.curves import (  # noqa: E402
    Parts,
    Strengths,
    choose_take,
    clear,
    current_take,
    write_take,
)
from talkingeyes_blender.rig.find import find_rig  # noqa: E402

pytestmark = pytest.mark.usefixtures("scene")

RATES = {24: (24, 1.0), 25: (25, 1.0), 29.97: (30, 1.001), 30: (30, 1.0), 60: (60, 1.0)}


def pose_rotation(rig, joint: str) -> np.ndarray:
    """(3, 3) how far a joint is turned in FLAME's frame, as Blender evaluates it."""
    bone = rig.armature.pose.bones[rig.bones[joint]]
    evaluated = rig.armature.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones[bone.name]
    to_local = np.array(bone.bone.matrix_local.to_3x3()).T @ rig.frame
    return to_local.T @ np.array(evaluated.matrix_basis.to_3x3()) @ to_local


def slerp(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    step = rotation.compose(b, rotation.invert(a))
    return rotation.matrix_from_axis_angle(rotation.compose(share * step, a))


def degrees_apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.linalg.norm(rotation.axis_angle_from_matrix(a @ b.T))))


def smooth_motion(head, frames: int = 40, seed: int = 3) -> Motion:
    """Like real motion: slow head, jaw and face, eyes that rest and jump by up to 30 degrees from frame to frame."""
    rng = np.random.default_rng(seed)
    time_ = np.arange(frames)[:, None] / 25
    waves = {
        name: sum(
            rng.normal(0, size, width) * np.sin(time_ * rng.uniform(2, 12, width) + rng.uniform(0, 6, width))
            for _ in range(3)
        )
        for name, width, size in (("expression", head.expressions, 0.3), ("jaw", 3, 0.05), ("head", 3, 0.08))
    }
    jumps = np.cumsum(rng.uniform(size=frames) < 0.2)
    eyes = (rng.normal(0, 0.2, (frames, 3)) * [1, 1, 0.1])[jumps]
    return random_motion(head, frames, seed, **waves, eyes=np.concatenate([eyes, eyes], 1))


# ------------------------------------------------------------------------------------------------------------ in time


@pytest.mark.parametrize("rate", RATES)
def test_scene_frames_show_the_motion_of_their_moment(scene, head, rig, rate):
    scene.render.fps, scene.render.fps_base = RATES[rate]
    motion = smooth_motion(head)
    take = write_take(rig, motion, scene=scene, start_seconds=1.28)
    per_second = scene.render.fps / scene.render.fps_base
    assert take.start == pytest.approx(1.28 * per_second)
    keys = rig.shape_keys.key_blocks
    checked = 0
    for frame in range(int(np.ceil(take.start)), int(take.end)):
        scene.frame_set(frame)
        moment = (frame / per_second - 1.28) * 25
        before = min(int(moment), motion.frames - 2)
        share = moment - before
        value = (1 - share) * motion.expression[before, 2] + share * motion.expression[before + 1, 2]
        assert keys["Exp3"].value == pytest.approx(value, abs=2e-4)
        for joint, vectors in (("jaw", motion.jaw), ("neck", motion.head), ("left_eye", motion.eyes[:, :3])):
            expected = slerp(vectors[before].astype(float), vectors[before + 1].astype(float), share)
            assert degrees_apart(pose_rotation(rig, joint), expected) < 0.35
        checked += 1
    assert checked >= 35


@pytest.mark.parametrize("rate", [24, 29.97])
def test_every_vertex_is_right_at_the_motions_own_moments(scene, head, rig, rate):
    scene.render.fps, scene.render.fps_base = RATES[rate]
    motion = random_motion(head, 10)
    take = write_take(rig, motion, scene=scene, start_frame=7.3)
    assert largest_error(scene, rig, head, motion, take.start + take.step * np.arange(10)) < 1e-4


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "YZX", "AXIS_ANGLE"])
@pytest.mark.parametrize("twisted", [False, True], ids=["bones-up", "bones-anyhow"])
def test_half_way_between_keys_is_half_the_turn(scene, head, mode, twisted):
    rig = find_rig(foreign_rig(head, mode=mode, twisted=twisted))
    yaw = np.radians(5.7)
    eyes = np.array([
        [0, yaw, 0], [0, -yaw, 0], [0, yaw, 0], [0, 0, 0], [0.2, 0, 0], [0, 0.2, 0], [0, 0, 0], [-0.1, 0.3, 0.05],
        [0.3, -0.3, 0], [1e-9, 0, 0], [0, 1e-9, 0], [0.35, 0.5, 0], [-0.35, -0.5, 0], [0, 0, 0], [0, 0, 0],
    ])  # fmt: skip
    frames = len(eyes)
    motion = random_motion(
        head, frames, eyes=np.concatenate([eyes, eyes], 1), expression=np.zeros((frames, 0)), head_model=""
    )
    take = write_take(rig, motion, scene=scene, start_frame=1, parts=Parts(face=False))
    for i in range(frames - 1):
        for share in (0.0, 0.25, 0.5, 0.75):
            go_to(scene, take.start + i + share)
            apart = degrees_apart(pose_rotation(rig, "left_eye"), slerp(eyes[i], eyes[i + 1], share))
            # A quaternion is read off its chord, which lags a turn by 70 degrees half a degree at its quarters.
            assert apart < (0.02 if share == 0 else 0.8 if mode == "QUATERNION" else 0.3), (i, share, apart)


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
@pytest.mark.parametrize("shortest", [False, True], ids=["growing", "shortest-vectors"])
def test_turns_beyond_half_a_circle_stay_continuous(scene, head, mode, shortest):
    rig = find_rig(foreign_rig(head, mode=mode))
    turn = np.zeros((30, 3))
    turn[:, 1] = np.linspace(0, 6.0, 30)
    if shortest:
        # The same turn as other programs write it: past half a circle the axis flips.
        turn[:, 1] = (turn[:, 1] + np.pi) % (2 * np.pi) - np.pi
    motion = random_motion(head, 30, head=turn, expression=np.zeros((30, 0)), head_model="")
    take = write_take(rig, motion, scene=scene, start_frame=1, parts=Parts(face=False))
    if mode != "XYZ":
        # About one axis nothing has to be mended between the keys, if only signs and axes run on.
        neck = [c for c in every_curve(bpy.data.actions[take.name]) if '"neck"' in c.data_path]
        assert {len(curve.keyframe_points) for curve in neck} == {30}
    for i in range(29):
        for share in (0.25, 0.5):
            go_to(scene, 1 + i + share)
            assert degrees_apart(pose_rotation(rig, "neck"), slerp(turn[i], turn[i + 1], share)) < 0.3


def test_values_beyond_the_sliders_are_shown_whole(scene, head):
    mesh = foreign_rig(head)
    mesh["talkingeyes_head_model"] = head.identity
    for key in mesh.data.shape_keys.key_blocks:
        key.slider_min, key.slider_max = 0.0, 1.0
    rig = find_rig(mesh)
    expression = np.zeros((3, 8))
    expression[:, 2], expression[:, 4] = [-2.5, 0, 4], [0, 30, -30]
    motion = random_motion(head, 3, expression=expression, blink=np.zeros((3, 2)))
    write_take(rig, motion, scene=scene, start_frame=1)
    keys = rig.shape_keys.key_blocks
    for frame, wide, far in ((1, -2.5, 0), (2, 0, 10), (3, 4, -10)):
        scene.frame_set(frame)
        assert keys["Exp3"].value == pytest.approx(wide, abs=1e-5)
        assert keys["Exp5"].value == pytest.approx(far, abs=1e-5)
    clipped = motion.replace(expression=np.clip(expression, -10, 10))
    assert largest_error(scene, rig, head, clipped, (1, 2, 3), lids=False) < 1e-4


def test_a_minute_is_written_quickly(scene):
    head = tiny_head(expressions=100)
    rig = build_head(bpy.context, head)
    motion = random_motion(head, 1500)
    # Smooth, as motion is: noise from frame to frame would call for keys between the frames.
    kernel = np.hanning(15) / np.hanning(15).sum()
    smooth = {
        name: np.apply_along_axis(np.convolve, 0, getattr(motion, name), kernel, "same")
        for name in ("expression", "jaw", "head", "eyes", "blink")
    }
    motion = motion.replace(**smooth)
    seconds = []
    for _ in range(3):
        clear(rig)
        began = time.process_time()
        take = write_take(rig, motion, scene=scene, start_frame=1)
        seconds.append(time.process_time() - began)
    action = bpy.data.actions[take.name]
    assert sum(len(every_curve(a)) for a in bpy.data.actions) == 100 + 18 + 2 + 4 * 3
    assert len(every_curve(action)[0].keyframe_points) >= 1500
    assert min(seconds) < 0.3


# ------------------------------------------------------------------------------------------------- parts and strength


def touched(rig) -> set[str]:
    return {curve.data_path for action in bpy.data.actions for curve in every_curve(action)}


def test_parts_choose_the_curves(scene, head, rig):
    everything = {
        "face": {'pose.bones["jaw"]', "Exp", "Pose1"},
        "head": {'pose.bones["neck"]', "Pose"},
        "gaze": {'pose.bones["left_eye"]', 'pose.bones["right_eye"]'},
        "blinks": {"BlinkLeft", "BlinkRight"},
    }
    none = dict.fromkeys(everything, False)
    for part, marks in everything.items():
        clear(rig)
        write_take(rig, random_motion(head, 4), scene=scene, start_frame=1, parts=Parts(**{**none, part: True}))
        paths = touched(rig)
        assert paths and all(any(mark in path for mark in marks) for path in paths), part
        assert all(any(mark in path for path in paths) for mark in marks), part
    clear(rig)
    before = file_dump()
    with pytest.raises(TalkingEyesError, match="Nothing of the motion"):
        write_take(rig, random_motion(head, 4), scene=scene, start_frame=1, parts=Parts(**none))
    assert file_dump() == before


def test_strengths_scale_the_parts(scene, head, rig):
    motion = random_motion(head, 6)
    strengths = Strengths(face=0.5, head=2.0, gaze=0.25, blinks=3.0)
    write_take(rig, motion, scene=scene, start_frame=1, strengths=strengths)
    scaled = motion.replace(
        expression=motion.expression * 0.5, jaw=motion.jaw * 0.5, head=motion.head * 2, eyes=motion.eyes * 0.25,
        blink=np.clip(motion.blink * 3, 0, 1),
    )  # fmt: skip
    assert largest_error(scene, rig, head, scaled, 1 + np.arange(6)) < 1e-4


def test_take_remembers_what_it_is(scene, head, rig):
    take = write_take(
        rig, random_motion(head, 5, seed=42), scene=scene, start_frame=3, strengths=Strengths(head=0.5),
        settings={"strip": "talk", "blink_rate": 15.0},
    )  # fmt: skip
    assert take.name == "TalkingEyes Ann seed 42"
    again = current_take(find_rig(rig.armature))
    assert (again.seed, again.gaze_seed, again.frames, again.start, again.step) == (42, 42, 5, 3.0, 1.0)
    assert again.settings == {"strip": "talk", "blink_rate": 15.0} and again.strengths.head == 0.5
    assert [track.name for track in rig.armature.animation_data.nla_tracks] == ["TalkingEyes"]
    assert [track.name for track in rig.shape_keys.animation_data.nla_tracks] == ["TalkingEyes"]
    assert rig.armature.animation_data.action is None
    assert len(bpy.data.actions) == (1 if compat.HAS_SLOTS else 2)


def test_a_single_frame_is_a_take(scene, head, rig):
    motion = random_motion(head, 1)
    write_take(rig, motion, scene=scene, start_frame=4)
    assert largest_error(scene, rig, head, motion, [4]) < 1e-4


# ---------------------------------------------------------------------------------------------- nobody else's curves


def add_foreign_animation(rig) -> None:
    """A body animation: active actions and an NLA track on the armature and on the shape keys, and a driver."""
    for owner, path in ((rig.armature, "location"), (rig.shape_keys, 'key_blocks["Shape1"].value')):
        holder, _, name = path.rpartition(".")
        thing = owner.path_resolve(holder) if holder else owner
        for action_name, frame in (("Walk", 1), ("Wave", 5)):
            owner.animation_data_create().action = None
            thing.keyframe_insert(name, frame=frame)
            thing.keyframe_insert(name, frame=frame + 20)
            owner.animation_data.action.name = f"{action_name} {owner.name}"
            if action_name == "Walk":
                track = owner.animation_data.nla_tracks.new()
                track.name = "Body"
                track.strips.new("Walk", 1, owner.animation_data.action)
    driver = rig.shape_keys.key_blocks["Shape2"].driver_add("value").driver
    driver.expression = "0.25"


def test_foreign_animation_is_left_alone(scene, head, rig):
    add_foreign_animation(rig)
    owners = (rig.armature, rig.shape_keys)
    before = [dump_animation(owner) for owner in owners]
    motion = random_motion(head, 8)
    take = write_take(rig, motion, scene=scene, start_frame=1)
    assert take.warnings == ()
    for owner, dump in zip(owners, before, strict=True):
        now = dump_animation(owner)
        ours = [entry for entry in now if entry[0] == "track" and entry[1] == "TalkingEyes"]
        assert len(ours) == 1
        assert [entry for entry in now if entry not in ours] == dump
    # Both play: the walk goes on, and the face speaks.
    scene.frame_set(3)
    keys = rig.shape_keys.key_blocks
    assert keys["Exp1"].value == pytest.approx(motion.expression[2, 0], abs=1e-5)
    assert keys["Shape2"].value == pytest.approx(0.25)
    write_gaze(rig, motion.eyes[::-1])
    write_take(rig, motion, scene=scene, start_frame=1)
    assert clear(rig) == 1
    assert [dump_animation(owner) for owner in owners] == before


def test_what_hides_a_take_is_told(scene, head, rig):
    bone = rig.armature.pose.bones["jaw"]
    bone.keyframe_insert("rotation_euler", frame=1)
    rig.armature.animation_data.action.name = "Walk"
    rig.shape_keys.key_blocks["Exp2"].driver_add("value").driver.expression = "0.5"
    take = write_take(rig, random_motion(head, 4), scene=scene, start_frame=1)
    assert any("'Walk' animates jaw" in text for text in take.warnings)
    assert any("driver sets Exp2" in text for text in take.warnings)
    rig.armature.animation_data.use_nla = False
    take = write_take(rig, random_motion(head, 4), scene=scene, start_frame=1)
    assert any("NLA of 'Ann Rig' is switched off" in text for text in take.warnings)


def test_clear_puts_everything_back(scene, head, rig):
    rig.armature.pose.bones["jaw"].rotation_euler = (0.1, 0, 0)
    rig.shape_keys.key_blocks["Exp3"].value = 0.75
    before = file_dump()
    for seed in (1, 2):
        write_take(rig, random_motion(head, 4, seed), scene=scene, start_frame=1)
        scene.frame_set(2)
    assert rig.shape_keys.key_blocks["Exp3"].value != pytest.approx(0.75)
    assert clear(rig) == 1 and clear(rig) == 0
    scene.frame_set(3)
    after = file_dump()
    assert after == before
    assert tuple(rig.armature.pose.bones["jaw"].rotation_euler) == pytest.approx((0.1, 0, 0))


def test_clear_leaves_an_action_that_is_used_elsewhere(scene, head, rig):
    other = build_head(bpy.context, head, "Bob")
    take = write_take(rig, random_motion(head, 4), scene=scene, start_frame=1)
    other.armature.animation_data_create().action = bpy.data.actions[take.name]
    assert clear(rig) == 1
    assert take.name in bpy.data.actions


def test_other_heads_keep_their_takes(scene, head, rig):
    other = build_head(bpy.context, head, "Bob")
    write_take(rig, random_motion(head, 4), scene=scene, start_frame=1)
    write_take(other, random_motion(head, 4), scene=scene, start_frame=1)
    before = [dump_animation(owner) for owner in (other.armature, other.shape_keys)]
    clear(rig)
    assert [dump_animation(owner) for owner in (other.armature, other.shape_keys)] == before


# ----------------------------------------------------------------------------------------------------- several takes


def tracks_of(rig) -> list[tuple]:
    return [
        (t.name, t.mute, [(s.action.name, s.frame_start, s.frame_end, s.mute) for s in t.strips])
        for t in rig.armature.animation_data.nla_tracks
    ]


def test_a_new_take_replaces_the_old_one(scene, head, rig):
    write_take(rig, random_motion(head, 10, 1), scene=scene, start_frame=1)
    motion = random_motion(head, 10, 2)
    write_take(rig, motion, scene=scene, start_frame=2)
    assert tracks_of(rig) == [("TalkingEyes", False, [("TalkingEyes Ann seed 2", 2.0, 11.0, False)])]
    assert not any("seed 1" in action.name for action in bpy.data.actions)
    assert largest_error(scene, rig, head, motion, 2 + np.arange(10)) < 1e-4


def test_takes_one_after_the_other_share_a_track(scene, head, rig):
    motions = [random_motion(head, 10, seed) for seed in (1, 2, 3)]
    starts = (101.5, 1.25, 50.0)
    for motion, start in zip(motions, starts, strict=True):
        write_take(rig, motion, scene=scene, start_frame=start)
    assert len(rig.armature.animation_data.nla_tracks) == 1
    for motion, start in zip(motions, starts, strict=True):
        assert largest_error(scene, rig, head, motion, start + np.arange(10)) < 1e-4
    assert [take.seed for take in curves.takes(rig)] == [1, 2, 3]
    assert current_take(rig).seed == 3 and current_take(rig, 5).seed == 2 and current_take(rig, 105).seed == 1
    # A take made anew in the middle leaves its neighbours alone.
    again = random_motion(head, 10, 4)
    write_take(rig, again, scene=scene, start_frame=50)
    for motion, start in ((motions[0], starts[0]), (motions[1], starts[1]), (again, 50.0)):
        assert largest_error(scene, rig, head, motion, start + np.arange(10)) < 1e-4
    assert clear(rig) == 3


def test_a_take_that_only_reaches_in_is_cut(scene, head, rig):
    first, second = random_motion(head, 20, 1), random_motion(head, 20, 2)
    write_take(rig, first, scene=scene, start_frame=1)
    write_take(rig, second, scene=scene, start_frame=15)
    assert largest_error(scene, rig, head, second, 15 + np.arange(20)) < 1e-4
    kept = first.replace(**{n: getattr(first, n)[:14] for n in ("expression", "jaw", "head", "eyes", "blink")})
    assert largest_error(scene, rig, head, kept, 1 + np.arange(14)) < 1e-4
    third = random_motion(head, 5, 3)
    write_take(rig, third, scene=scene, start_frame=11)
    assert largest_error(scene, rig, head, third, 11 + np.arange(5)) < 1e-4
    rest = second.replace(**{n: getattr(second, n)[2:] for n in ("expression", "jaw", "head", "eyes", "blink")})
    assert largest_error(scene, rig, head, rest, 17 + np.arange(18)) < 1e-4


def test_takes_are_kept_and_chosen(scene, head, rig):
    motions = [random_motion(head, 10, seed) for seed in (1, 2)]
    for motion in motions:
        write_take(rig, motion, scene=scene, start_frame=1, keep_previous=True)
    kept = curves.takes(rig)
    assert [(take.seed, take.active) for take in kept] == [(1, False), (2, True)]
    for chosen in (0, 1, 0):
        choose_take(rig, kept[chosen])
        assert current_take(rig).seed == motions[chosen].seed
        assert largest_error(scene, rig, head, motions[chosen], 1 + np.arange(10)) < 1e-4
    assert clear(rig) == 2 and not len(bpy.data.actions)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)])
def test_takes_are_removed_one_by_one(scene, head, rig, order):
    rig.armature.pose.bones["jaw"].rotation_euler.x = 0.125
    sliders = [(key.slider_min, key.slider_max) for key in rig.shape_keys.key_blocks]
    before = [dump_animation(owner) for owner in (rig.armature, rig.shape_keys)]
    for seed in (1, 2, 3):
        write_take(rig, random_motion(head, 10, seed), scene=scene, start_frame=1, keep_previous=True)
    all_of_them, left = takes.takes(rig), [1, 2, 3]
    for number in order:
        takes.remove_take(rig, all_of_them[number])
        left.remove(number + 1)
        now = takes.takes(rig)
        assert [take.seed for take in now] == left
        assert [take.seed for take in now if take.active] == left[-1:], "one plays, the newest"
    assert [dump_animation(owner) for owner in (rig.armature, rig.shape_keys)] == before
    assert rig.armature.pose.bones["jaw"].rotation_euler.x == 0.125 and not len(bpy.data.actions)
    assert [(key.slider_min, key.slider_max) for key in rig.shape_keys.key_blocks] == sliders


def test_a_moved_strip_takes_its_gaze_along(scene, head, rig):
    motion = random_motion(head, 10)
    write_take(rig, motion, scene=scene, start_frame=1)
    for owner in takes.owners(rig):
        strip = owner.animation_data.nla_tracks[0].strips[0]
        strip.frame_start_ui = 31
    assert current_take(rig).start == pytest.approx(31)
    eyes = random_motion(head, 10, seed=9).eyes
    write_gaze(rig, eyes)
    assert largest_error(scene, rig, head, motion.replace(eyes=eyes), 31 + np.arange(10)) < 1e-4


def test_takes_survive_saving_and_loading(scene, head, rig, tmp_path):
    motion = random_motion(head, 10)
    write_take(rig, motion, scene=scene, start_frame=1, settings={"strip": "talk"})
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "ann.blend"))
    fresh_scene()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "ann.blend"))
    scene, rig = bpy.context.scene, find_rig(bpy.data.objects["Ann"])
    assert current_take(rig).settings == {"strip": "talk"}
    eyes = random_motion(head, 10, seed=9).eyes
    write_gaze(rig, eyes)
    assert largest_error(scene, rig, head, motion.replace(eyes=eyes), 1 + np.arange(10)) < 1e-4
    assert clear(rig) == 1 and not len(bpy.data.actions)


# ---------------------------------------------------------------------------------------------------------- new gaze


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_new_gaze_changes_the_eyes_alone(scene, head, rig, mode):
    for bone in rig.armature.pose.bones:
        bone.rotation_mode = mode
    motion = random_motion(head, 12)
    take = write_take(rig, motion, scene=scene, start_frame=1)

    def others() -> list:
        actions = [a for a in bpy.data.actions if "TalkingEyes" in a.name]
        return sorted(str(curve_dump(c)) for a in actions for c in every_curve(a) if "_eye" not in c.data_path)

    before = others()
    eyes = random_motion(head, 12, seed=8).eyes
    after = write_gaze(rig, eyes, seed=8)
    assert others() == before
    assert (after.name, after.id, after.seed, after.gaze_seed) == (take.name, take.id, take.seed, 8)
    assert len(bpy.data.actions) == (1 if compat.HAS_SLOTS else 2)
    # The lids follow the new eyes.
    assert largest_error(scene, rig, head, motion.replace(eyes=eyes), 1 + np.arange(12)) < 1e-4


def test_new_gaze_follows_a_changed_rotation_mode(scene, head, rig):
    motion = random_motion(head, 6)
    write_take(rig, motion, scene=scene, start_frame=1)
    rig.armature.pose.bones["left_eye"].rotation_mode = "QUATERNION"
    eyes = random_motion(head, 6, seed=8).eyes
    write_gaze(rig, eyes)
    assert largest_error(scene, rig, head, motion.replace(eyes=eyes), 1 + np.arange(6)) < 1e-4
    dead = 'pose.bones["left_eye"].rotation_euler'
    assert dead not in {c.data_path for a in bpy.data.actions for c in every_curve(a)}


def test_gaze_that_does_not_fit_is_refused(scene, head, rig):
    write_take(rig, random_motion(head, 5), scene=scene, start_frame=1)
    before = file_dump()
    for eyes, why in (
        (np.zeros((4, 6)), "has 4 frames"),
        (np.zeros((5, 3)), "has the shape"),
        (np.full((5, 6), np.nan), "not numbers"),
    ):
        with pytest.raises(TalkingEyesError, match=why):
            write_gaze(rig, eyes)
    assert file_dump() == before


# ------------------------------------------------------------------------------------------------------ all or nothing


class FailsAt:
    """Stands in for Curves.new and raises at the n-th call."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.real = compat.Curves.new

    def __call__(self, curves_, *arguments):
        self.left -= 1
        if self.left < 0:
            raise MemoryError("full")
        return self.real(curves_, *arguments)

    def __get__(self, curves_, _type=None):
        return lambda *arguments: self(curves_, *arguments)


@pytest.mark.parametrize("count", [0, 3, 14, 30])
@pytest.mark.parametrize("animated", [False, True])
def test_a_failing_write_leaves_the_scene_as_it_was(scene, head, rig, monkeypatch, count, animated):
    if animated:
        add_foreign_animation(rig)
        write_take(rig, random_motion(head, 6, 1), scene=scene, start_frame=1)
    before = file_dump()
    monkeypatch.setattr(compat.Curves, "new", FailsAt(count))
    with pytest.raises(MemoryError):
        write_take(rig, random_motion(head, 6, 2, expression=np.full((6, 8), 9.5)), scene=scene, start_frame=2)
    assert file_dump() == before


@pytest.mark.parametrize("keep", [False, True])
def test_a_failure_in_the_nla_brings_the_old_take_back(scene, head, rig, monkeypatch, keep):
    motion = random_motion(head, 6, 1)
    write_take(rig, motion, scene=scene, start_frame=1)
    write_take(rig, random_motion(head, 6, 2), scene=scene, start_frame=40)
    before = file_dump()
    real, calls = takes._add_strip, []

    def fail(*arguments):
        calls.append(arguments)
        # The armature's strips are in place by then; the shape keys' are not, and revert may add its own.
        if len(calls) == (4 if keep else 2):
            raise MemoryError("full")
        return real(*arguments)

    monkeypatch.setattr(takes, "_add_strip", fail)
    with pytest.raises(MemoryError):
        write_take(rig, random_motion(head, 6, 3), scene=scene, start_frame=2, keep_previous=keep)
    assert file_dump() == before
    assert largest_error(scene, rig, head, motion, 1 + np.arange(6)) < 1e-4


def test_a_failing_gaze_leaves_the_take_as_it_was(scene, head, rig, monkeypatch):
    write_take(rig, random_motion(head, 6, 1), scene=scene, start_frame=1)
    before = file_dump()
    monkeypatch.setattr(compat.Curves, "new", FailsAt(4))
    with pytest.raises(MemoryError):
        write_gaze(rig, random_motion(head, 6, 5).eyes)
    assert file_dump() == before


def test_a_bad_motion_is_refused_before_the_first_write(scene, head, rig):
    before = file_dump()
    good = random_motion(head, 6)
    spoiled = good.jaw.copy()
    spoiled[3, 1] = np.nan
    for bad, words in (
        (good.replace(jaw=spoiled), "not numbers"),
        (good.replace(eyes=good.eyes[:5]), "shape"),
        (good.replace(head=good.head * 100), "full circle"),
        (good.replace(fps=0), "frame rate"),
        (good.replace(head_model="another"), "belong to the head model 'another'"),
    ):
        with pytest.raises(TalkingEyesError, match=words):
            write_take(rig, bad, scene=scene, start_frame=1)
    assert file_dump() == before


def test_tweak_mode_is_refused(scene, head, rig):
    write_take(rig, random_motion(head, 4), scene=scene, start_frame=1)
    data = rig.armature.animation_data
    data.nla_tracks[0].strips[0].select = True
    data.nla_tracks.active = data.nla_tracks[0]
    data.use_tweak_mode = True
    if not data.use_tweak_mode:
        pytest.skip("this Blender enters tweak mode only in its editor")
    for act in (lambda: write_take(rig, random_motion(head, 4), scene=scene, start_frame=1), lambda: clear(rig)):
        with pytest.raises(TalkingEyesError, match="tweak mode"):
            act()


def test_handles_suit_curves_that_a_user_makes_round(scene, head, rig):
    write_take(rig, smooth_motion(head), scene=scene, start_frame=1)
    curve = next(c for a in bpy.data.actions for c in every_curve(a) if "Exp1" in c.data_path)
    for point in curve.keyframe_points:
        assert point.interpolation == "LINEAR" and point.handle_left_type == "AUTO_CLAMPED"
        assert abs(point.handle_left.x - point.co.x) < 1 and abs(point.handle_right.x - point.co.x) < 1
    assert action_dump(bpy.data.actions[0])
