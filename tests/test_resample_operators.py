"""Resample and locks as a user has them: which part, which frames, what is refused and with which words."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
if not bpy.app.build_options.audaspace:
    pytest.skip("this Blender holds no sound strips", allow_module_level=True)

from _rigs import action_dump  # noqa: E402
from test_operators import (  # noqa: E402, F401
    addon,
    bundle,
    chosen,
    double,
    meanwhile,
    ready,
    refusal,
    scene,
    speech,
)

from talkingeyes_blender.operators import memory, subject  # noqa: E402
from talkingeyes_blender.operators.frame_range import SHORTEST, take_range  # noqa: E402
from talkingeyes_blender.operators.resample import LockPart, Resample  # noqa: E402
from talkingeyes_blender.operators.resample_gaze import ResampleGaze  # noqa: E402
from talkingeyes_blender.rig import compat  # noqa: E402
from talkingeyes_blender.rig.takes import TAKE_PROPERTY, clear, clips, takes  # noqa: E402

CHANNELS = ("expression", "jaw", "head", "eyes", "blink")


@pytest.fixture
def made(ready, double):  # noqa: F811
    """A head with a take of two seconds, from frame 1 to 50 at 25 frames a second."""
    ready.render.fps, ready.render.fps_base = 25, 1.0
    double()
    assert bpy.ops.talkingeyes.generate() == {"FINISHED"}
    return ready


def the_take():
    return subject.take_of(bpy.context)


def kept():
    return memory.recall(the_take())


def difference(one, other) -> dict[str, list[int]]:
    """Frames that differ, by channel."""
    found = {}
    for name in CHANNELS:
        frames = np.flatnonzero((getattr(one, name) != getattr(other, name)).any(1))
        if len(frames):
            found[name] = frames.tolist()
    return found


def curves() -> dict:
    return {c[:2]: c for c in action_dump(bpy.data.actions[the_take().name])[1:]}


# -- parts and ranges


@pytest.mark.parametrize(
    ("part", "channels", "bones"),
    [
        ("GAZE", {"eyes"}, ("_eye",)),
        ("HEAD_GAZE", {"head", "eyes"}, ("_eye", "neck")),
        ("BLINKS", {"blink"}, ()),
    ],
)
def test_parts(made, part, channels, bones):
    before, motion = curves(), kept()
    made.talkingeyes.resample_parts = part
    assert bpy.ops.talkingeyes.resample() == {"FINISHED"}
    assert difference(motion, kept()).keys() == channels
    changed = {path for path, index in before if before[path, index] != curves()[path, index]}
    assert changed and {path for path in changed if path.startswith("pose")} == {
        path for path, _ in before if any(bone in path for bone in bones)
    }
    assert len(takes(subject.head_of(bpy.context))) == 1
    assert made.talkingeyes.gaze_seed == 2
    assert the_take().gaze_seed == (1 if part == "BLINKS" else 2)


def choose(scene, way):  # noqa: F811
    """Scene frames 11 to 30, in one of the ways to say so."""
    settings = scene.talkingeyes
    settings.resample_range = way
    if way == "PREVIEW":
        scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 11, 30
    elif way == "MARKERS":
        for frame in (31, 2, 11, 44):
            scene.timeline_markers.new("", frame=frame)
        scene.frame_set(20)
    elif way == "FRAMES":
        settings.resample_first, settings.resample_last = 11, 30


@pytest.mark.parametrize("way", ["PREVIEW", "MARKERS", "FRAMES"])
def test_ranges(made, way):
    motion = kept()
    choose(made, way)
    assert bpy.ops.talkingeyes.resample() == {"FINISHED"}
    assert difference(motion, kept()) == {"eyes": list(range(10, 30))}
    assert the_take().gaze_seed == 1, "the take's gaze as a whole is another's"
    assert "from frame 11 to 30" in bpy.context.window_manager.talkingeyes.note
    assert (
        '"resampled": [{"parts": ["gaze"], "frames": [10, 30], "seed": 2}]'
        in (bpy.data.actions[the_take().name][TAKE_PROPERTY])
    )


def test_a_marker_at_the_current_frame_begins_the_range(made):
    choose(made, "MARKERS")
    made.frame_set(11)
    assert take_range(made, the_take()) == (10, 30)
    made.frame_set(31)
    assert take_range(made, the_take()) == (30, 43)


def test_ranges_at_another_rate_and_past_the_ends(made):
    choose(made, "FRAMES")
    made.talkingeyes.resample_first = -20
    assert take_range(made, the_take()) == (0, 30)
    made.talkingeyes.resample_last = 500
    assert take_range(made, the_take()) is None, "all of it"
    made.render.fps = 24
    bpy.ops.talkingeyes.generate()
    take = the_take()
    made.talkingeyes.resample_first, made.talkingeyes.resample_last = 11, 30
    first, last = take_range(made, take)
    times = take.start + take.step * np.arange(take.frames)
    assert times[first - 1] < 11 <= times[first] and times[last - 1] < 31 <= times[last]


def test_a_new_take_of_real_motion(ready):  # noqa: F811
    """Through the worker with the networks: kept outside, another inside, and the same again for the same seed."""
    ready.render.fps, ready.render.fps_base = 25, 1.0
    bpy.ops.talkingeyes.generate()
    motion = kept()
    choose(ready, "FRAMES")
    ready.talkingeyes.resample_parts = "HEAD_GAZE"
    bpy.ops.talkingeyes.resample()
    changed = difference(motion, one := kept())
    assert changed.keys() == {"head", "eyes"}
    assert min(changed["eyes"]) >= 10 and max(changed["eyes"]) < 30
    ready.talkingeyes.next_gaze_seed = False
    memory.remember(the_take(), motion)
    bpy.ops.talkingeyes.resample()
    assert not difference(one, kept())


def test_an_edited_take_is_kept_aside_where_nobody_can_be_asked(made):
    first = the_take()
    action = bpy.data.actions[first.name]
    clip = next(clips(subject.head_of(bpy.context).armature))
    curve = next(c for c in compat.Curves(clip.strip.action, compat.slot_of(clip.strip)) if "left_eye" in c.data_path)
    curve.keyframe_points[20].co.y += 0.25
    mine = action_dump(action)
    choose(made, "FRAMES")
    assert bpy.ops.talkingeyes.resample() == {"FINISHED"}
    old, new = takes(subject.head_of(bpy.context))
    assert (old.id, old.active, new.active) == (first.id, False, True)
    assert action_dump(bpy.data.actions[old.name]) == mine
    assert "may have been edited by hand; it was kept, muted." in bpy.context.window_manager.talkingeyes.note
    assert memory.recall(old) is not None and difference(memory.recall(old), memory.recall(new))
    bpy.ops.talkingeyes.choose_take(take=old.id)
    assert bpy.ops.talkingeyes.resample(edited="LOSE") == {"FINISHED"}
    assert len(takes(subject.head_of(bpy.context))) == 2


# -- refusals


def test_words_for_ranges_that_are_not_there(made):
    settings = made.talkingeyes
    for way, words in (
        ("PREVIEW", "The scene has no preview range."),
        ("MARKERS", "There is no marker around the current frame 1."),
    ):
        settings.resample_range = way
        assert Resample.disabled_reason(bpy.context) == words
        assert not bpy.ops.talkingeyes.resample.poll()
    made.timeline_markers.new("", frame=1)
    assert Resample.disabled_reason(bpy.context) == "There is no marker after the current frame 1."
    made.timeline_markers[0].frame = 2
    assert Resample.disabled_reason(bpy.context) == "There is no marker before the current frame 1."
    settings.resample_range = "FRAMES"
    for first, last, words in (
        (60, 80, "The frames 60 to 80 lie outside of the take, which lasts from 1 to 50."),
        (-9, 0, "lie outside of the take"),
        (20, 10, "The frames end at 10, before they begin at 20."),
        (20, 23, "The range holds 4 frames of the motion, too few to resample."),
    ):
        settings.resample_first, settings.resample_last = first, last
        assert words in Resample.disabled_reason(bpy.context)
    settings.resample_range = "ALL"
    assert Resample.disabled_reason(bpy.context) is None


def test_the_shortest_range_is_the_worker_s():
    resampling = pytest.importorskip("talkingeyes_blender.inference.resampling")
    assert resampling.SHORTEST == SHORTEST


def test_a_take_that_was_removed_on_the_way(made, monkeypatch):
    meanwhile(monkeypatch, lambda: clear(subject.head_of(bpy.context)))
    with pytest.raises(RuntimeError, match="The take was removed"):
        bpy.ops.talkingeyes.resample()


def test_one_undo_step():
    assert "UNDO" in Resample.bl_options and "REGISTER" not in Resample.bl_options


# -- locks


def test_a_locked_part_is_not_resampled(made):
    assert bpy.ops.talkingeyes.lock_part(part="gaze") == {"FINISHED"}
    assert the_take().locked == {"gaze"}
    settings = made.talkingeyes
    for part, words in (
        ("GAZE", "Locked in this take: Gaze."),
        ("HEAD_GAZE", "Locked in this take: Gaze."),
    ):
        settings.resample_parts = part
        assert Resample.disabled_reason(bpy.context) == words
        assert not bpy.ops.talkingeyes.resample.poll()
    assert ResampleGaze.disabled_reason(bpy.context) == "Locked in this take: Gaze."
    settings.resample_parts = "BLINKS"
    assert bpy.ops.talkingeyes.resample() == {"FINISHED"}
    assert the_take().locked == {"gaze"}, "still"
    bpy.ops.talkingeyes.lock_part(part="blinks")
    assert Resample.disabled_reason(bpy.context) == "Locked in this take: Blinks."
    bpy.ops.talkingeyes.lock_part(part="gaze")
    assert ResampleGaze.disabled_reason(bpy.context) is None


def test_generate_in_the_place_of_a_take_leaves_its_locked_parts(made):
    before, motion, settings = curves(), kept(), made.talkingeyes
    identity = the_take().id
    bpy.ops.talkingeyes.lock_part(part="head")
    bpy.ops.talkingeyes.lock_part(part="blinks")
    settings.keep_takes, settings.seed, settings.strength_gaze = False, 7, 0.5
    assert bpy.ops.talkingeyes.generate() == {"FINISHED"}
    take = the_take()
    assert (take.id, take.seed, take.gaze_seed, len(takes(subject.head_of(bpy.context)))) == (identity, 7, 7, 1)
    assert (take.strengths.gaze, take.strengths.head, take.locked) == (0.5, 1.0, {"head", "blinks"})
    assert difference(motion, kept()).keys() == {"expression", "jaw", "eyes"}
    now = curves()
    assert all(now[place] == before[place] for place in before if "neck" in place[0] or "Blink" in place[0])
    assert any(now[place] != before[place] for place in before if "jaw" in place[0])
    settings.keep_takes = True
    bpy.ops.talkingeyes.generate()
    assert len(takes(subject.head_of(bpy.context))) == 2 and not the_take().locked


def test_generate_refuses_where_locked_parts_would_not_fit(made):
    settings = made.talkingeyes
    settings.keep_takes = False
    for part in ("face", "head", "gaze", "blinks"):
        bpy.ops.talkingeyes.lock_part(part=part)
    assert "are locked in the take that would be replaced" in refusal(bpy.ops.talkingeyes.generate)
    bpy.ops.talkingeyes.lock_part(part="face")
    subject.strip_of(bpy.context).frame_offset_start = 3
    assert "was made from another sound, or lies elsewhere" in refusal(bpy.ops.talkingeyes.generate)


def test_a_record_without_locks_still_works(made):
    action = bpy.data.actions[the_take().name]
    assert '"locked"' not in action[TAKE_PROPERTY]
    assert the_take().locked == frozenset() and LockPart.disabled_reason(bpy.context) is None
    assert "no such take" in refusal(bpy.ops.talkingeyes.lock_part, part="gaze", take="gone")
