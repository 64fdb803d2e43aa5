"""A preview on rigs of several kinds: shown in pieces above other animation, and taken away without a trace."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _heads import tiny_head  # noqa: E402
from _rigs import (  # noqa: E402
    dump_animation,
    evaluated_vertices,
    every_curve,
    file_dump,
    go_to,
    random_motion,
)

from talkingeyes_blender.rig import preview  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402
from talkingeyes_blender.rig.channels import Parts  # noqa: E402
from talkingeyes_blender.rig.curves import clear, takes, write_take  # noqa: E402
from talkingeyes_blender.rig.takes import owners  # noqa: E402


def cut(motion, first: int, last: int):
    names = ("expression", "jaw", "head", "eyes", "blink")
    return motion.replace(**{name: getattr(motion, name)[first:last] for name in names})


def pieces(rig, motion, start: float = 10.0, ends=(5, 20, 30), parts: Parts = Parts()) -> None:
    first = 0
    for last in ends:
        assert preview.show(rig, cut(motion, first, last), first, preview.Place(start, 1.0, parts))
        first = last - 1


def rest(rig) -> tuple:
    bones = [(b.name, tuple(b.rotation_euler), tuple(b.rotation_quaternion)) for b in rig.armature.pose.bones]
    return bones, [(key.name, key.value) for key in rig.shape_keys.key_blocks]


def test_pieces_play_as_the_take_would_and_go_without_a_trace(scene):
    head = tiny_head()
    rig = build_head(bpy.context, head, "Ann")
    motion = random_motion(head, 30, 1)
    rig.armature.pose.bones["neck"].rotation_euler.x = 0.125  # of the user, and nobody's key
    rig.shape_keys.key_blocks["Exp1"].value = 0.25
    go_to(scene, 1)
    before, was = file_dump(), rest(rig)
    write_take(rig, motion, scene=scene, start_frame=10)
    expected = []
    for frame in range(8, 40):
        go_to(scene, frame)
        expected.append(evaluated_vertices(rig.mesh))
    clear(rig)
    go_to(scene, 1)  # for what drivers say
    assert (file_dump(), rest(rig)) == (before, was)
    pieces(rig, motion)
    assert preview.shown() and not takes(rig)
    for frame, points in zip(range(8, 40), expected, strict=True):
        go_to(scene, frame)
        if frame >= 10:
            assert np.abs(evaluated_vertices(rig.mesh) - points).max() < 1e-6, frame
    assert preview.remove() and not preview.remove() and not preview.shown()
    go_to(scene, 1)
    assert (file_dump(), rest(rig)) == (before, was)


def test_takes_and_layers_stay_and_play_again(scene):
    head = tiny_head()
    rig = build_head(bpy.context, head, "Ann")
    write_take(rig, random_motion(head, 40, 1), scene=scene, start_frame=1)
    for owner in owners(rig):
        track = owner.animation_data.nla_tracks.new()
        track.name = "of the user"
        owner.animation_data.nla_tracks.active = track
    go_to(scene, 20)
    before, points = file_dump(), evaluated_vertices(rig.mesh)
    pieces(rig, random_motion(head, 30, 2))
    for owner in owners(rig):
        names = [track.name for track in owner.animation_data.nla_tracks]
        assert names == ["TalkingEyes", preview.TRACK, "of the user"]
        assert owner.animation_data.nla_tracks.active.name == "of the user"
    go_to(scene, 20)
    assert np.abs(evaluated_vertices(rig.mesh) - points).max() > 1e-4
    preview.remove()
    go_to(scene, 20)
    assert np.array_equal(evaluated_vertices(rig.mesh), points) and file_dump() == before


def test_parts_that_are_off_stay_as_they_are(scene):
    head = tiny_head()
    rig = build_head(bpy.context, head, "Ann")
    before = [dump_animation(owner) for owner in owners(rig)]
    pieces(rig, random_motion(head, 30, 2), parts=Parts(face=False, head=False, blinks=False))
    (strip, *_) = rig.armature.animation_data.nla_tracks[0].strips
    assert {curve.data_path for curve in every_curve(strip.action)} == {
        f'pose.bones["{side}_eye"].rotation_euler' for side in ("left", "right")
    }
    preview.remove()
    assert [dump_animation(owner) for owner in owners(rig)] == before


def test_a_removed_head_and_a_track_that_somebody_else_uses_too(scene):
    head = tiny_head()
    ann, bob = build_head(bpy.context, head, "Ann"), build_head(bpy.context, head, "Bob")
    motion = random_motion(head, 30, 1)
    pieces(ann, motion)
    pieces(bob, motion)
    mine = bpy.data.actions.new("of the user")
    track = next(t for t in bob.armature.animation_data.nla_tracks if t.name == preview.TRACK)
    track.strips.new("mine", 500, mine)
    bpy.data.objects.remove(ann.mesh)
    bpy.data.objects.remove(ann.armature)
    assert preview.remove()
    assert [strip.name for strip in track.strips] == ["mine"]
    assert bob.shape_keys.animation_data is None or not bob.shape_keys.animation_data.nla_tracks
    assert not [action for action in bpy.data.actions if preview.PREVIEW_PROPERTY in action]
