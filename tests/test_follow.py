"""Follow Strip: takes go where their speech went, at any frame rate, and nothing else moves."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _gaze import write_gaze  # noqa: E402
from _rigs import action_dump, dump_animation, largest_error, random_motion  # noqa: E402
from _sequencer import retime, stairs, write_wave  # noqa: E402
from test_rig_strips import set_strip  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.rig import follow, spoken, strip_times, strips  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.takes import owners, takes  # noqa: E402

pytestmark = pytest.mark.usefixtures("scene")

needs_audio = pytest.mark.skipif(not bpy.app.build_options.audaspace, reason="this bpy has no audio")


@pytest.fixture
def motion(head):
    return random_motion(head, frames=40)


@pytest.fixture
def strip(scene, tmp_path):
    return strips.add_sound(scene, write_wave(tmp_path / "stairs.wav", stairs()), 10)


def spoken_take(rig, motion, scene, strip, **options):
    heard = strip_times.placement(scene, strip)
    settings = {"strip": strip.name, "start": heard.offset, "duration": heard.duration}
    settings |= spoken.record(scene, [strip], heard.start)
    return write_take(rig, motion, scene=scene, start_frame=heard.start_frame, settings=settings, **options)


def only(rig):
    (take,) = takes(rig)
    return take


def error_at(scene, rig, head, motion, start: float, step: float = 1.0) -> float:
    return largest_error(scene, rig, head, motion, [start + i * step for i in range(motion.frames)])


@needs_audio
@pytest.mark.parametrize("to", [60, 35, 3], ids=["away", "over itself", "earlier"])
def test_a_take_follows_its_strip(scene, rig, head, motion, strip, to):
    take = spoken_take(rig, motion, scene, strip)
    assert follow.stale(take, scene) is None and not follow.stale_takes(rig, scene)
    set_strip(strip, frame_start=to)
    assert f"{abs(to - 10)} frames {'later' if to > 10 else 'earlier'}" in follow.stale(take, scene)
    actions = [action_dump(action) for action in bpy.data.actions]
    assert follow.follow(rig, follow.stale_takes(rig, scene), scene) == []
    assert follow.stale(only(rig), scene) is None and only(rig).start == pytest.approx(to)
    assert [action_dump(action) for action in bpy.data.actions] == actions
    assert error_at(scene, rig, head, motion, to) < 1e-5
    assert follow.follow(rig, takes(rig), scene) == [] and only(rig).start == pytest.approx(to)


@needs_audio
def test_a_trim_moves_the_edge_and_not_the_words(scene, rig, motion, strip):
    take = spoken_take(rig, motion, scene, strip)
    set_strip(strip, frame_final_start=30)
    assert "trimmed by 0.8 s" in follow.stale(take, scene) and not follow.stale_takes(rig, scene)
    set_strip(strip, frame_start=110)
    assert "100 frames later" in follow.stale(take, scene)
    assert "trimmed by 0.8 s" in follow.follow(rig, takes(rig), scene)[0]
    assert only(rig).start == pytest.approx(110)
    set_strip(strip, frame_final_start=110)
    assert follow.stale(only(rig), scene) is None


@needs_audio
def test_more_speech_than_the_take_has(scene, rig, motion, strip):
    set_strip(strip, frame_final_start=30, frame_final_end=60)
    take = spoken_take(rig, motion.replace(**first_frames(motion, 30)), scene, strip)
    set_strip(strip, frame_final_start=20, frame_final_end=70)
    assert "0.8 s longer than the take. Generate again" in follow.stale(take, scene)


def first_frames(motion, count: int) -> dict:
    return {name: getattr(motion, name)[:count] for name in ("expression", "jaw", "head", "eyes", "blink")}


@needs_audio
def test_what_a_move_does_not_mend(scene, rig, motion, strip, tmp_path):
    take = spoken_take(rig, motion, scene, strip)
    path = tmp_path / "stairs.wav"
    changed = bytearray(path.read_bytes())
    changed[1000:1100] = bytes(100)
    path.write_bytes(changed)
    os.utime(path, ns=(1, 1))
    assert "plays another sound" in follow.stale(take, scene)
    write_wave(path, stairs())
    assert follow.stale(take, scene) is None
    strip.sound.pack()
    path.unlink()
    assert follow.stale(take, scene) is None
    retime(scene, strip, 50, 200)
    assert "speed of the strip" in follow.stale(take, scene)
    strip.name = "renamed"
    assert "no sound strip 'stairs' any more" in follow.stale(take, scene)
    with pytest.raises(TalkingEyesError, match="no sound strip"):
        follow.follow(rig, [take], scene)


@needs_audio
@pytest.mark.parametrize("rate", [(24, 1.0), (30, 1.001), (60, 1.0)], ids=str)
def test_another_frame_rate(scene, rig, head, motion, strip, rate):
    take = spoken_take(rig, motion, scene, strip)
    own = bpy.data.objects.new("other", None)
    scene.render.fps, scene.render.fps_base = rate
    per_second = rate[0] / rate[1]
    said = follow.stale(take, scene)
    assert "made for 25 frames a second" in said and f"{per_second:.6g}" in said
    set_strip(strip, frame_start=40)
    before = dump_animation(own)
    follow.follow(rig, [take], scene)
    moved = only(rig)
    assert (moved.start, moved.step) == pytest.approx((40, per_second / 25))
    assert follow.stale(moved, scene) is None and dump_animation(own) == before
    assert error_at(scene, rig, head, motion, 40, per_second / 25) < 1e-4
    # It is a whole take: its gaze can be replaced, and it goes back again.
    write_gaze(rig, motion.eyes, take=moved)
    assert error_at(scene, rig, head, motion, 40, per_second / 25) < 1e-4
    scene.render.fps, scene.render.fps_base = 25, 1.0
    follow.follow(rig, takes(rig), scene)
    assert error_at(scene, rig, head, motion, 40) < 1e-4


def moved_to(monkeypatch, scene, place: dict[str, float], stretch: float = 1.0) -> None:
    """Let takes belong at these frames: also where this Blender holds no sound strips."""
    monkeypatch.setattr(
        follow,
        "standing",
        lambda take, scene: follow.Standing(place[take.id], place[take.id] - take.start, stretch, ()),
    )


def test_takes_in_a_row_do_not_run_into_each_other(scene, rig, head, motion, monkeypatch):
    first = write_take(rig, motion, scene=scene, start_frame=1)
    second = write_take(rig, motion, scene=scene, start_frame=41)
    assert len(rig.armature.animation_data.nla_tracks) == 1
    for shift in (50, -30):
        moved_to(monkeypatch, scene, {take.id: take.start + shift for take in takes(rig)})
        follow.follow(rig, takes(rig), scene)
    assert [take.start for take in takes(rig)] == pytest.approx([21, 61], abs=0.02)
    assert len(rig.armature.animation_data.nla_tracks) == 1
    assert error_at(scene, rig, head, motion, 61) < 1e-5
    assert (first.id, second.id) == tuple(take.id for take in takes(rig))


def test_a_place_that_is_taken(scene, rig, head, motion, monkeypatch):
    other = motion.replace(jaw=np.zeros_like(motion.jaw))
    write_take(rig, other, scene=scene, start_frame=201)
    write_take(rig, motion, scene=scene, start_frame=1)
    mine = takes(rig)[1]
    kept = [dump_animation(owner) for owner in owners(rig)]
    moved_to(monkeypatch, scene, {take.id: 221.0 if take.id == mine.id else take.start for take in takes(rig)})
    follow.follow(rig, [mine], scene)
    assert [take.start for take in takes(rig)] == pytest.approx([201, 221])
    assert [dump_animation(owner) for owner in owners(rig)] != kept
    assert error_at(scene, rig, head, motion, 221) < 1e-5
    assert all(len(owner.animation_data.nla_tracks) == 2 for owner in owners(rig))


def test_an_action_that_another_head_uses_is_left_to_it(scene, rig, head, motion, monkeypatch):
    take = write_take(rig, motion, scene=scene, start_frame=1)
    second = bpy.data.objects.new("second", rig.armature.data)
    action = bpy.data.actions[take.name]
    track = second.animation_data_create().nla_tracks.new()
    used = track.strips.new("used", 1, action)
    before = action_dump(action)
    moved_to(monkeypatch, scene, {take.id: 1.0}, stretch=2.0)
    follow.follow(rig, [take], scene)
    assert used.action == action and action_dump(action) == before
    assert only(rig).step == pytest.approx(2.0) and error_at(scene, rig, head, motion, 1, 2.0) < 1e-5


def test_a_take_of_a_script_says_nothing(scene, rig, motion):
    take = write_take(rig, motion, scene=scene, start_frame=1)
    assert follow.stale(take, scene) is None
    with pytest.raises(TalkingEyesError, match="does not say which strip"):
        follow.follow(rig, [take], scene)
