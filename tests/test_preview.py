"""The preview: what is made so far plays on the head, the take takes its place, and nothing else stays of it."""

# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: F811 - fixtures of another file
from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
if not bpy.app.build_options.audaspace:
    pytest.skip("this Blender holds no sound strips", allow_module_level=True)

from _animation import animation_hash  # noqa: E402
from _rigs import dump_animation, every_curve  # noqa: E402
from _scene import scene_hash  # noqa: E402
from _window import JobWindow  # noqa: E402
from test_jobs import folder, the_take, until  # noqa: E402, F401
from test_operators import addon, delete_head, double, ready, scene, speech  # noqa: E402, F401

from talkingeyes_blender.motion import Motion  # noqa: E402
from talkingeyes_blender.operators import jobs, preview, subject  # noqa: E402
from talkingeyes_blender.operators.generate import Generate  # noqa: E402
from talkingeyes_blender.rig import preview as shown  # noqa: E402
from talkingeyes_blender.rig.takes import owners  # noqa: E402
from talkingeyes_blender.worker.client import Piece  # noqa: E402

PLAY = preview.Preview._play


class Window(JobWindow):
    """What Blender makes of Generate in a window, without one: begun, ticked and ended by hand."""

    bl_label, bl_idname, edited = "Generate", "talkingeyes.generate", "KEEP"
    plan = Generate.plan

    def until_shown(self, pieces: int) -> Window:
        until(lambda: self.tick() and self._preview._shown >= pieces)
        return self

    def until_ended(self) -> set[str]:
        result = set()

        def ended() -> bool:
            result.clear()
            result.update(self.tick())
            return "PASS_THROUGH" not in result

        until(ended)
        return result


@pytest.fixture
def quiet(monkeypatch):
    """Nothing begins to play: without a window there is no playback."""
    monkeypatch.setattr(preview.Preview, "_play", lambda self, context: None)


@pytest.fixture(autouse=True)
def chosen(ready) -> None:
    ready.talkingeyes.preview = True


pytestmark = pytest.mark.usefixtures("quiet")


def jaw(frame: int) -> float:
    bpy.context.scene.frame_set(frame)
    return subject.head_of(bpy.context).armature.pose.bones["jaw"].rotation_euler.x


def leftovers() -> list[str]:
    return [action.name for action in bpy.data.actions if shown.PREVIEW_PROPERTY in action]


def test_it_plays_while_the_rest_is_made_and_the_take_takes_its_place(ready, double, monkeypatch):
    double()
    bpy.ops.talkingeyes.generate()
    expected = {(c.data_path, c.array_index): [tuple(p.co) for p in c.keyframe_points] for c in curves_of_take()}
    jaws = [jaw(frame) for frame in (1, 19, 20, 30, 38)]
    bpy.ops.talkingeyes.clear()
    bpy.context.scene.frame_set(1)
    before = scene_hash()
    double("work after pieces")
    window = Window().until_shown(2)
    assert [jaw(frame) for frame in (1, 19, 20, 30, 38)] == pytest.approx(jaws, abs=2e-3)  # between frames it is rough
    assert jaw(50) == pytest.approx(jaw(40), abs=1e-6), "the last frame is held"
    assert not the_take() and preview.why_shown() and not bpy.ops.talkingeyes.export_flame.poll()
    jobs.cancel()
    assert window.until_ended() == {"CANCELLED"}
    bpy.context.scene.frame_set(1)
    assert scene_hash() == before
    double("answer")
    assert Window().until_ended() == {"FINISHED"}
    made = {(c.data_path, c.array_index): [tuple(p.co) for p in c.keyframe_points] for c in curves_of_take()}
    assert made == expected, "what Generate writes"
    assert not leftovers() and len(the_take()) == 1


def curves_of_take() -> list:
    (take,) = the_take()
    return every_curve(bpy.data.actions[take.name])


@pytest.mark.parametrize("act", ["refuse after pieces", "die after pieces"])
def test_an_error_or_a_death_in_the_middle(ready, double, act):
    double()
    bpy.ops.talkingeyes.generate()  # an earlier take, which must stay as it is
    before, whole = animation_hash(), scene_hash()
    double(act)
    window = Window()
    assert window.until_ended() == {"CANCELLED"} and window.said
    assert animation_hash() == before and scene_hash() == whole and not leftovers()


def test_nothing_else_is_touched_while_it_plays(ready, double):
    rig = subject.head_of(bpy.context)
    data = rig.armature.animation_data_create()
    action = bpy.data.actions.new("of the user")
    track = data.nla_tracks.new()
    track.name = "layer of the user"
    track.strips.new("wave", 5, action)
    double()
    bpy.ops.talkingeyes.generate()
    above = data.nla_tracks.new()
    above.name = "above"
    before = [dump_animation(owner) for owner in owners(rig)]
    whole = scene_hash()
    double("work after pieces")
    window = Window().until_shown(2)
    for owner, was in zip(owners(subject.head_of(bpy.context)), before, strict=True):
        now = [line for line in dump_animation(owner) if line[1] != shown.TRACK]
        assert now == was
        names = [track.name for track in owner.animation_data.nla_tracks]
        assert names.index(shown.TRACK) == names.index("TalkingEyes") + 1, "above our takes, below layers above them"
    jobs.cancel()
    window.until_ended()
    assert scene_hash() == whole


def test_a_head_that_is_deleted_in_the_middle(ready, double):
    double("work after pieces")
    window = Window().until_shown(1)
    delete_head()
    until(lambda: window.tick() == {"PASS_THROUGH"} and not window._preview._wanted)  # when the next piece has come
    assert not leftovers(), "the job goes on without it"
    jobs.cancel()
    window.until_ended()


def test_an_undo_in_the_middle_and_steps_that_hold_a_preview(ready, double):
    double()
    bpy.ops.ed.undo_push(message="ready")
    ready.frame_end = 77
    bpy.ops.ed.undo_push(message="something")
    before = animation_hash()
    double("work after pieces")
    window = Window().until_shown(2)
    bpy.context.scene.frame_start = 3
    bpy.ops.ed.undo_push(message="something else, with the preview in it")
    bpy.ops.ed.undo()
    assert not leftovers() and bpy.context.scene.frame_start == 1
    assert animation_hash() == before
    window.until_shown(2)
    assert leftovers(), "it comes back, for the job goes on"
    bpy.ops.ed.redo()
    assert bpy.context.scene.frame_start == 3 and not leftovers()
    bpy.ops.ed.undo()
    bpy.ops.ed.undo()
    assert bpy.context.scene.frame_end != 77 and not leftovers()
    jobs.cancel()
    assert window.until_ended() == {"CANCELLED"}
    bpy.ops.ed.redo()
    assert animation_hash() == before
    bpy.ops.ed.redo()
    data = [owner.animation_data for owner in owners(subject.head_of(bpy.context))]
    assert not leftovers() and not any(t.name == shown.TRACK for each in data if each for t in each.nla_tracks)


def test_an_undo_after_the_end_leads_back_to_before(ready, double):
    double()
    bpy.ops.ed.undo_push(message="ready")
    before = animation_hash()
    assert Window().until_ended() == {"FINISHED"}
    bpy.ops.ed.undo_push(message="Generate")
    after = animation_hash()
    for _ in range(5):
        bpy.ops.ed.undo()
        assert animation_hash() == before
        bpy.ops.ed.redo()
        assert animation_hash() == after
    assert not leftovers()


def test_a_file_that_is_saved_closed_or_recovered_in_the_middle(ready, double, tmp_path):
    double("work after pieces")
    before = animation_hash()
    window = Window().until_shown(2)
    saved, rescued = tmp_path / "saved.blend", tmp_path / "rescued.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(saved), copy=True)
    assert not leftovers(), "a file holds no preview"
    window.until_shown(2)
    bpy.app.handlers.save_pre.remove(preview.take_away)
    bpy.ops.wm.save_as_mainfile(filepath=str(rescued), copy=True)  # as Blender saves by itself
    bpy.app.handlers.save_pre.append(preview.take_away)
    assert leftovers()
    bpy.ops.wm.open_mainfile(filepath=str(rescued))
    assert jobs.running() is None and not leftovers() and animation_hash() == before
    window.cancel(bpy.context)
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    assert animation_hash() == before


def test_while_a_strip_is_being_edited(ready, double):
    double()
    bpy.ops.talkingeyes.generate()
    rig = subject.head_of(bpy.context)
    data = rig.armature.animation_data
    before = animation_hash()
    track = data.nla_tracks["TalkingEyes"]
    data.nla_tracks.active, track.strips[0].select = track, True
    before = animation_hash()
    double("work after pieces")
    window = Window().until_shown(1)
    (track,) = (t for t in data.nla_tracks if t.name == shown.TRACK)
    data.nla_tracks.active = track
    track.strips[0].select = True
    data.use_tweak_mode = True
    if data.use_tweak_mode:
        until(lambda: window.tick() and len(window._job.pieces) >= 2)
        window.tick()
        assert window._preview._shown == 1, "it waits"
    jobs.cancel()
    window.until_ended()
    assert not leftovers() and not data.use_tweak_mode
    data.nla_tracks.active = data.nla_tracks["TalkingEyes"]
    assert animation_hash() == before


def test_a_fault_of_the_preview_takes_nothing_along(ready, double, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(shown, "_widened", fail)
    double()
    assert Window().until_ended() == {"FINISHED"}
    assert len(the_take()) == 1 and not leftovers()


def test_sliders_are_as_they_were(ready, double):
    rig = subject.head_of(bpy.context)
    for key in rig.shape_keys.key_blocks:
        key.slider_min, key.slider_max = 0.0, 0.01
    before = scene_hash()
    double("work after pieces")
    window = Window().until_shown(2)
    assert max(key.slider_max for key in rig.shape_keys.key_blocks) > 0.1
    jobs.cancel()
    window.until_ended()
    assert scene_hash() == before


def test_playback_begins_and_is_put_back_unless_the_take_comes(ready, double, monkeypatch):
    monkeypatch.setattr(preview.Preview, "_play", PLAY)
    strip = subject.strip_of(bpy.context)
    strip.frame_start = 31
    bpy.context.scene.frame_set(7)
    ready.sync_mode = "NONE"
    double("work after pieces")
    window = Window().until_shown(1)
    assert bpy.context.screen.is_animation_playing
    assert (ready.frame_current, ready.sync_mode) == (31, "AUDIO_SYNC")
    jobs.cancel()
    window.until_ended()
    assert not bpy.context.screen.is_animation_playing
    assert (ready.frame_current, ready.sync_mode) == (7, "NONE")
    double("slow")
    assert Window().until_shown(1).until_ended() == {"FINISHED"}
    assert bpy.context.screen.is_animation_playing, "now it plays the take"
    bpy.ops.screen.animation_cancel(restore_frame=False)
    assert not bpy.context.screen.is_animation_playing


def test_a_script_sees_none_of_it(ready, double):
    worker = double()
    assert bpy.ops.talkingeyes.generate() == {"FINISHED"}
    assert worker is not None and not leftovers() and len(the_take()) == 1


def test_pieces_join_without_a_gap():
    whole = np.arange(30.0)[:, None]

    def cut(first: int, last: int) -> Piece:
        part = whole[first:last] / 100
        widths = {"expression": 1, "jaw": 3, "head": 3, "eyes": 6, "blink": 2}
        channels = {name: part.repeat(width, 1) for name, width in widths.items()}
        return Piece(first, Motion(**channels, seed=1, head_model="x"))

    first, motion = preview._joined([cut(0, 10), cut(10, 30)], 1)
    assert first == 9 and motion.expression[:, 0] == pytest.approx(whole[9:, 0] / 100)
    with pytest.raises(jobs.TalkingEyesError, match="lost"):
        preview._joined([cut(0, 10), cut(12, 30)], 1)
