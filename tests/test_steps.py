"""Writing in steps: a window draws between them, and whoever stops half-way finds the scene as it was."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
import types

import bpy
import pytest
from _animation import animation_hash
from _window import JobWindow
from test_operators import addon, bundle, double, ready, scene, speech  # noqa: F401

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.operators import jobs
from talkingeyes_blender.operators.generate_takes import GenerateTakes
from talkingeyes_blender.rig.steps import Work, finish

KEY = types.SimpleNamespace(type="G", value="PRESS")


class Window(JobWindow):
    """What Blender makes of Generate Takes in a window, without one."""

    bl_label, bl_idname, edited = "Generate Takes", "talkingeyes.generate_takes", "KEEP"
    plan = GenerateTakes.plan

    def until_writing(self):
        for _ in range(600):
            assert self.tick() == {"PASS_THROUGH"}
            if jobs.writing():
                return self
            time.sleep(0.02)
        raise AssertionError("the motion was not made")


@pytest.fixture
def window(ready, double, monkeypatch) -> Window:  # noqa: F811
    monkeypatch.setattr(jobs, "STEP_SECONDS", 0.0)  # one step a tick
    double()
    ready.talkingeyes_takes.batch = 3
    opened = Window().until_writing()
    yield opened
    opened.cancel(bpy.context)


def test_takes_are_written_a_step_at_a_time_while_nothing_else_happens(window):
    ticks = 0
    while window.tick() == {"PASS_THROUGH"}:
        ticks += 1
        assert window.tick(KEY) == {"RUNNING_MODAL"}, "a key must not change what is being written"
        assert jobs.why_busy() is not None
    assert ticks > 10
    assert not jobs.writing() and jobs.why_busy() is None
    assert len([a for a in bpy.data.actions if a.get("talkingeyes_take")]) >= 3
    assert "3 takes" in window.said[-1]


@pytest.mark.parametrize("ticks", [0, 1, 5, 12, 20])
def test_an_end_half_way_leaves_the_scene_as_it_was(ready, double, monkeypatch, ticks):  # noqa: F811
    before = animation_hash()
    monkeypatch.setattr(jobs, "STEP_SECONDS", 0.0)
    double()
    window = Window().until_writing()
    for _ in range(ticks):
        assert window.tick() == {"PASS_THROUGH"}
    window.cancel(bpy.context)
    assert animation_hash() == before and not jobs.writing()


def test_an_undo_in_between_takes_back_what_was_half_written(ready, double, monkeypatch):  # noqa: F811
    before = animation_hash()
    monkeypatch.setattr(jobs, "STEP_SECONDS", 0.0)
    double()
    window = Window().until_writing()
    for _ in range(8):
        window.tick()
    jobs.stop_writing()
    assert animation_hash() == before
    assert window.tick() == {"CANCELLED"}
    assert window.said[-1].startswith("The scene changed while the motion was written. It is kept")


def test_a_save_in_between_saves_all_of_it(window):
    jobs.finish_writing()
    assert len([a for a in bpy.data.actions if a.get("talkingeyes_take")]) >= 3
    assert window.tick() == {"FINISHED"}


def test_work_tells_its_end():
    def steps(fails: bool):
        yield
        if fails:
            raise TalkingEyesError("It failed.", "Try again.")
        return 7

    assert finish(steps(False)) == 7
    work = Work(steps(False))
    assert not work.go_on(0.0) and work.go_on(0.0) and work.result == 7
    work = Work(steps(True))
    assert work.go_on() and str(work.error) == "It failed. Try again."
