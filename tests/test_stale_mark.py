"""The mark of a take that does not fit its sound any more: in the list, mended by a click, no file read to draw."""

# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: F811 - fixtures of another file
from __future__ import annotations

import os
import time

import pytest

bpy = pytest.importorskip("bpy")
if not bpy.app.build_options.audaspace:
    pytest.skip("this Blender holds no sound strips", allow_module_level=True)

from _rigs import random_motion  # noqa: E402
from _sequencer import stairs, write_wave  # noqa: E402
from test_follow import motion, spoken_take, strip  # noqa: E402, F401
from test_operators import addon  # noqa: E402, F401
from test_rig_strips import set_strip  # noqa: E402
from test_take_operators import Drawn  # noqa: E402

from talkingeyes_blender.operators.follow_strip import FollowStrip  # noqa: E402
from talkingeyes_blender.panels.takes import TakesPanel  # noqa: E402
from talkingeyes_blender.rig import follow, glimpse, spoken  # noqa: E402
from talkingeyes_blender.rig.takes import takes  # noqa: E402


@pytest.fixture(autouse=True)
def chosen(scene, rig, monkeypatch) -> None:
    scene.talkingeyes.rig = rig.armature
    monkeypatch.setattr(glimpse, "_known", {})
    monkeypatch.setattr(glimpse, "_asked", {})


def drawn() -> list[str]:
    notes = Drawn([])
    TakesPanel.draw(type("Self", (), {"layout": notes})(), bpy.context)
    return notes.notes


def test_a_moved_strip_marks_its_take_and_a_click_mends_it(scene, rig, motion, strip):
    take = spoken_take(rig, motion, scene, strip)
    assert "talkingeyes.follow_strip" not in drawn()
    set_strip(strip, frame_start=35)
    marked = drawn()
    assert marked.count("talkingeyes.follow_strip") == 2, "in its row, and below the list"
    assert any("25 frames later" in note for note in marked)
    said = FollowStrip.description(bpy.context, type("Properties", (), {"take": take.id})())
    assert "25 frames later now. Follow Strip moves the take there." in said
    assert bpy.ops.talkingeyes.follow_strip(take=take.id) == {"FINISHED"}
    assert "talkingeyes.follow_strip" not in drawn()


def test_each_row_says_what_is_wrong_with_its_own_take(scene, rig, head, motion, strip):
    spoken_take(rig, motion, scene, strip)
    set_strip(strip, frame_start=300)
    spoken_take(rig, random_motion(head, 40, seed=2), scene, strip, keep_previous=True)
    assert [follow.stale(take, scene, look=False) is None for take in takes(rig)] == [False, True]
    assert drawn().count("talkingeyes.follow_strip") == 1, "the one that is selected fits"
    strip.name = "renamed"
    assert any("no sound strip" in note for note in drawn())


def test_another_sound_under_the_same_name_is_noticed_without_reading_it_to_draw(
    scene, rig, motion, strip, tmp_path, monkeypatch
):
    take = spoken_take(rig, motion, scene, strip)
    path = tmp_path / "stairs.wav"
    write_wave(path, stairs(4.0)[::-1])
    os.utime(path, ns=(1, 1))
    looks = []
    look = glimpse._look
    monkeypatch.setattr(glimpse.threading.Thread, "start", lambda thread: looks.append(thread._args))
    monkeypatch.setattr(spoken.os, "stat", None)
    for _ in range(20):
        assert follow.stale(take, scene, look=False) is None, "nothing is known yet"
    assert len(looks) == 1, "asked for once"
    monkeypatch.undo()
    look(*looks[0])
    assert "plays another sound" in follow.stale(take, scene, look=False)
    path.unlink()
    look(*looks[0])
    assert follow.stale(take, scene, look=False) is None, "a missing file says nothing about its content"


def test_the_thread_looks(strip):
    end = time.monotonic() + 20
    while not glimpse.fingerprint(strip.sound):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert glimpse.fingerprint(strip.sound) == spoken.fingerprint(strip.sound)
    strip.sound.pack()
    assert glimpse.fingerprint(strip.sound) == spoken.fingerprint(strip.sound)


def test_thirty_takes_cost_a_draw_little(scene, rig, head, strip):
    for seed in range(30):
        spoken_take(rig, random_motion(head, 2, seed=seed), scene, strip, keep_previous=True)
    there = takes(rig)
    began = time.thread_time()
    for take in there:
        follow.stale(take, scene, look=False)
    assert (time.thread_time() - began) / len(there) < 0.001
