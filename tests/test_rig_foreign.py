"""What others have animated, constrained or driven stays as it was, and the user is told what hides a take."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _gaze import write_gaze  # noqa: E402
from _heads import tiny_head  # noqa: E402
from _rigs import foreign_rig, go_to, random_motion  # noqa: E402
from _scene import describe, scene_hash  # noqa: E402

from talkingeyes_blender.rig.curves import choose_take, clear, takes, write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402

OURS = re.compile(
    r"""^actions\[.*TalkingEyes
    | \.nla_tracks\ has\ |\.nla_tracks\[\d+\].*TalkingEyes
    | pose\.bones\[\d+\]\.(?:matrix|rotation|head|tail|channel)
    | key_blocks\[\d+\]\.(?:value|slider_min|slider_max)\ """,
    re.VERBOSE,
)
"""Lines of the file's description that a take may change: its own data, and what it moves."""


def busy_rig(scene):
    """A rig in the middle of somebody's work, and who it belongs to."""
    head = tiny_head()
    mesh = foreign_rig(head, twisted=True, mode="XYZ")
    mesh["talkingeyes_head_model"] = head.identity
    rig = find_rig(mesh)
    armature, keys = rig.armature, rig.shape_keys
    # A body's action, pushed down, on a bone that a take leaves alone, and hand-made keys above it.
    root = armature.pose.bones["root"]
    for frame, x in ((1, 0.0), (31, 0.02)):
        root.location.x = x
        root.keyframe_insert("location", frame=frame)
    walk = armature.animation_data.action
    walk.name = "Walk"
    track = armature.animation_data.nla_tracks.new()
    track.name = "Body"
    track.strips.new("Walk", 1, walk)
    armature.animation_data.action = None
    armature.keyframe_insert("location", frame=1)
    armature.animation_data.action.name = "By hand"
    # A driver and hand-made keys on the face, a constraint on the neck, an object that follows the jaw.
    keys.key_blocks["Exp7"].driver_add("value").driver.expression = "0.25"
    keys.key_blocks["Exp8"].keyframe_insert("value", frame=5)
    target = bpy.data.objects.new("Target", None)
    scene.collection.objects.link(target)
    constraint = armature.pose.bones["neck"].constraints.new("COPY_ROTATION")
    constraint.target, constraint.influence = target, 0.5
    hat = bpy.data.objects.new("Hat", None)
    scene.collection.objects.link(hat)
    hat.parent, hat.parent_type, hat.parent_bone = armature, "BONE", "jaw"
    hat.keyframe_insert("location", frame=3)
    scene.frame_set(1)
    return head, find_rig(mesh)


def not_ours() -> list[str]:
    return [line for line in describe() if not OURS.search(line)]


def test_nothing_of_others_changes_at_any_step(scene):
    head, rig = busy_rig(scene)
    whole, before = scene_hash(), not_ours()
    assert len(before) > 1000
    track = {}

    def check(step: str) -> None:
        # Of the tracks ours come last, so that others keep their places.
        names = [t.name for owner in (rig.armature, rig.shape_keys) for t in owner.animation_data.nla_tracks]
        track[step] = names
        now = not_ours()
        lost, new = set(before) - set(now), set(now) - set(before)
        new = {line for line in new if not re.search(r"\.nla_tracks\[\d+\]", line)}
        assert not lost and not new, (step, sorted(lost)[:3], sorted(new)[:3])

    motion = random_motion(head, 20, expression=np.full((20, 8), 3.0))
    write_take(rig, motion, scene=scene, start_frame=1)
    check("write")
    write_gaze(rig, random_motion(head, 20, seed=8).eyes)
    check("resample")
    write_take(rig, random_motion(head, 20, 2), scene=scene, start_frame=1, keep_previous=True)
    check("keep")
    choose_take(rig, takes(rig)[0])
    check("choose")
    assert track["write"][0] == "Body"
    for frame in (3, 9, 1):
        scene.frame_set(frame)
    assert clear(rig) == 2
    scene.frame_set(1)
    check("clear")
    assert scene_hash() == whole


def test_layers_play_together_and_the_rest_is_told(scene):
    head, rig = busy_rig(scene)
    motion = random_motion(head, 20)
    take = write_take(rig, motion, scene=scene, start_frame=1)
    text = "\n".join(take.warnings)
    assert "The bone 'neck' has the constraint 'Copy Rotation', which may hide its part of the take." in text
    assert "A driver sets Exp7, and hides the take there. It was left as it is." in text
    assert "animates Exp8 too, and hides the take there. It was left as it is; push it down" in text
    go_to(scene, 16)
    # The body's track goes on below, the face's plays, the driver and the hand keep what is theirs.
    assert rig.armature.pose.bones["root"].location.x == pytest.approx(0.01, abs=1e-3)
    keys = rig.shape_keys.key_blocks
    assert keys["Exp1"].value == pytest.approx(motion.expression[15, 0], abs=1e-5)
    assert keys["Exp7"].value == pytest.approx(0.25) and keys["Exp8"].value == 0
    # The constraint works on top of the take: half-way from the turned neck to its target.
    neck = rig.armature.pose.bones["neck"]
    turned = neck.matrix_basis.to_quaternion().angle
    assert turned == pytest.approx(np.linalg.norm(motion.head[15]), abs=1e-3)


def test_a_track_that_lies_above_is_told(scene):
    head = tiny_head()
    mesh = foreign_rig(head, mode="XYZ")
    mesh["talkingeyes_head_model"] = head.identity
    rig = find_rig(mesh)
    motion = random_motion(head, 20)
    write_take(rig, motion, scene=scene, start_frame=1)
    jaw = rig.armature.pose.bones["jaw"]
    jaw.keyframe_insert("rotation_euler", frame=1)
    data = rig.armature.animation_data
    action = data.action
    track = data.nla_tracks.new()
    track.name = "Fixes"
    track.strips.new("Fixes", 1, action).frame_end = 30
    data.action = None
    take = write_take(rig, motion, scene=scene, start_frame=1)
    assert "The NLA track 'Fixes' lies above the take and moves the same; mute it to see the take." in take.warnings
    track.mute = True
    take = write_take(rig, motion, scene=scene, start_frame=1)
    assert not any("Fixes" in text for text in take.warnings)


def test_sliders_that_a_user_widened_since_stay_wide(scene):
    head = tiny_head()
    mesh = foreign_rig(head)
    mesh["talkingeyes_head_model"] = head.identity
    keys = mesh.data.shape_keys.key_blocks
    for key in keys[1:]:
        key.slider_min, key.slider_max = 0.0, 1.0
    rig = find_rig(mesh)
    for seed in (1, 2):
        write_take(rig, random_motion(head, 5, seed, expression=np.full((5, 8), 1.0 + seed)), scene=scene)
    assert keys["Exp1"].slider_max == pytest.approx(3.001)
    keys["Exp2"].slider_max = 5.0
    assert clear(rig) == 1
    assert keys["Exp1"].slider_max == 1.0 and keys["Exp2"].slider_max == 5.0
    assert keys["Pose1"].slider_min == 0.0
