"""Dialogue: several strips in one job, one take or one a strip, without a jump; the sequencer's buttons."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import types

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
if not bpy.app.build_options.audaspace:
    pytest.skip("this Blender holds no sound strips", allow_module_level=True)

from _heads import tiny_head  # noqa: E402
from _rigs import dump_animation, fresh_scene, random_motion  # noqa: E402
from _scene import scene_hash  # noqa: E402
from _sequencer import RATE, in_sequencer, level, meta_round, read_floats, retime, stairs, write_wave  # noqa: E402
from test_operators import addon, refusal  # noqa: E402, F401
from test_rig_strips import set_strip  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.operators import dialogue, jobs, memory, subject  # noqa: E402
from talkingeyes_blender.rig import follow, spoken, strips  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402
from talkingeyes_blender.rig.strip_mix import mixdown  # noqa: E402
from talkingeyes_blender.rig.takes import owners, takes  # noqa: E402


class Prompt:
    """A worker that answers at once: with noise as long as the sound that it is given."""

    def submit(self, task, room=None):
        samples, rate = read_floats(task.audio) if isinstance(task.audio, bytes) else (np.zeros(RATE), RATE)
        seconds = min(len(samples) / rate - task.start, task.duration)
        frames = int(np.ceil(seconds * 25 - 1e-6))
        rng = np.random.default_rng(task.seed)
        motion = task.motion or random_motion(tiny_head(), frames=frames, seed=task.seed)
        motion = motion.replace(jaw=motion.jaw * (1, 0, 0))  # so that the bone's x is the motion's
        if task.task != "generate":
            assert frames == motion.frames
            motion = motion.replace(eyes=rng.uniform(-0.1, 0.1, motion.eyes.shape))
        return types.SimpleNamespace(
            state="done", motion=motion, motions=[motion], error=None, seconds=0.0, device="cpu", kept=room,
            wait=lambda *_: motion,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def prompt(monkeypatch):
    monkeypatch.setattr(jobs, "worker", lambda context: Prompt())


@pytest.fixture
def scene(tmp_path):
    """Three strips of a second each with pauses between them, and a head."""
    scene = fresh_scene()
    scene.render.fps = 25
    for number, start in enumerate((10, 60, 101)):
        strips.add_sound(scene, write_wave(tmp_path / f"line {number}.wav", stairs(1.0)), start)
    scene.talkingeyes.rig = build_head(bpy.context, tiny_head(), "Ann").armature
    return scene


def named(scene, name: str):
    return strips.find_sound(scene, name)


def head():
    return subject.head_of(bpy.context)


def select(scene, *names: str) -> None:
    for strip in strips.list_sounds(scene):
        strip.select = strip.name in names


def test_a_mix_holds_the_strips_where_they_lie(scene):
    mix = mixdown(scene, strips.list_sounds(scene))
    assert (mix.start_frame, mix.duration) == (10, (126 - 10) / 25)
    samples, rate = read_floats(mix.wave)
    for start in (10, 60, 101):
        assert level(samples, rate, (start - 10) / 25 + 0.5) == pytest.approx(level(stairs(1.0), 16000, 0.5), abs=0.003)
    assert level(samples, rate, 45 / 25) < 1e-3 and level(samples, rate, 85 / 25) < 1e-3


def test_one_take_over_all_strips(scene):
    assert bpy.ops.talkingeyes.generate_dialogue() == {"FINISHED"}
    (take,) = takes(head())
    assert (take.start, take.frames) == (10, 116)
    assert [each.strip for each in spoken.spoken_by(take)] == ["line 0", "line 1", "line 2"]
    assert [each.at for each in spoken.spoken_by(take)] == pytest.approx([0, 2, 91 / 25])
    assert follow.stale(take, scene) is None and memory.recall(take).frames == 116
    # Its gaze is sampled from the same mix.
    assert bpy.ops.talkingeyes.resample_gaze() == {"FINISHED"}
    for strip in strips.list_sounds(scene):
        set_strip(strip, frame_start=strip.frame_start + 100)
    assert "100 frames later" in follow.stale(take, scene)
    assert bpy.ops.talkingeyes.follow_strip() == {"FINISHED"}
    assert takes(head())[0].start == pytest.approx(110)
    set_strip(named(scene, "line 1"), frame_start=200)
    assert "moved against each other" in follow.stale(takes(head())[0], scene)


def test_a_take_for_each_strip_without_a_jump(scene):
    scene.render.fps = 50  # between two frames of the motion lies one of the scene
    for strip in strips.list_sounds(scene):
        set_strip(strip, frame_final_end=strip.frame_final_start + 40)
    assert bpy.ops.talkingeyes.generate_dialogue(apart=True) == {"FINISHED"}
    rig = head()
    made = takes(rig)
    assert [spoken.spoken_by(take)[0].strip for take in made] == ["line 0", "line 1", "line 2"]
    assert [take.start for take in made] == pytest.approx([10, 60, 102], abs=1.0)
    assert all(take.active and follow.stale(take, scene) is None for take in made)
    assert all(len(owner.animation_data.nla_tracks) == 1 for owner in owners(rig))
    whole = np.concatenate(
        [memory.recall(made[0]).jaw[:-1], memory.recall(made[1]).jaw[:-1], memory.recall(made[2]).jaw]
    )
    bone = rig.armature.pose.bones["jaw"]
    for i in range(len(whole)):
        scene.frame_set(10 + 2 * i)
        assert bone.rotation_euler.x == pytest.approx(whole[i, 0], abs=1e-3)
        if i + 1 < len(whole):
            scene.frame_set(11 + 2 * i)
            assert bone.rotation_euler.x == pytest.approx(whole[i : i + 2, 0].mean(), abs=1e-3)
    set_strip(named(scene, "line 1"), frame_start=64)
    assert [follow.stale(take, scene) is None for take in made] == [True, False, True]
    assert bpy.ops.talkingeyes.follow_strip(take=made[1].id) == {"FINISHED"}
    assert [take.start - old.start for take, old in zip(takes(rig), made, strict=True)] == pytest.approx([0, 4, 0])


def test_the_gaze_of_one_of_several_takes(scene):
    bpy.ops.talkingeyes.generate_dialogue(apart=True)
    scene.frame_set(70)
    first, second, third = takes(head())
    before = [memory.recall(take).eyes for take in (first, second, third)]
    assert bpy.ops.talkingeyes.resample_gaze() == {"FINISHED"}
    after = [memory.recall(take).eyes for take in takes(head())]
    assert [np.array_equal(old, new) for old, new in zip(before, after, strict=True)] == [True, False, True]


def test_selected_strips_muted_strips_and_meta_strips(scene):
    select(scene, "line 0", "line 2")
    assert [strip.name for strip in dialogue.chosen_strips(bpy.context)] == ["line 0", "line 2"]
    select(scene)
    named(scene, "line 1").mute = True
    assert [strip.name for strip in dialogue.chosen_strips(bpy.context)] == ["line 0", "line 2"]
    retime(scene, named(scene, "line 0"), 20, 200)
    meta_round(scene, named(scene, "line 2"))
    select(scene)
    assert bpy.ops.talkingeyes.generate_dialogue() == {"FINISHED"}
    (take,) = takes(head())
    assert [each.strip for each in spoken.spoken_by(take)] == ["line 0", "line 2"]
    assert bpy.ops.talkingeyes.generate_dialogue(muted=True) == {"FINISHED"}
    assert len(spoken.spoken_by(takes(head())[-1])) == 3
    named(scene, "line 0").mute = named(scene, "line 2").mute = True
    assert "Fewer than two" in refusal(bpy.ops.talkingeyes.generate_dialogue)


def test_a_dialogue_that_cannot_be(scene, tmp_path):
    set_strip(named(scene, "line 1"), frame_start=20)
    assert "at the same time" in refusal(bpy.ops.talkingeyes.generate_dialogue, apart=True)
    (tmp_path / "line 1.wav").unlink()
    assert "line 1.wav does not exist" in refusal(bpy.ops.talkingeyes.generate_dialogue)
    for name in ("line 0", "line 1"):
        scene.sequence_editor.strips.remove(named(scene, name))
    assert "two sound strips or more" in refusal(bpy.ops.talkingeyes.generate_dialogue)


def test_a_strip_that_moves_while_the_job_runs(scene):
    before = scene_hash()
    plan = dialogue.GenerateDialogue.plan(type("Operator", (), {"muted": False, "apart": False})(), bpy.context)
    assert scene_hash() == before
    set_strip(named(scene, "line 2"), frame_start=120)
    before = [dump_animation(owner) for owner in owners(head())]
    job = jobs.worker(bpy.context).submit(plan.task)
    with pytest.raises(TalkingEyesError, match="was changed while"):
        plan.apply(bpy.context, job.wait())
    assert [dump_animation(owner) for owner in owners(head())] == before


def test_the_active_strip_of_the_sequencer(scene):
    strip = named(scene, "line 1")
    strip.mute = True
    with in_sequencer(scene, strip):
        assert dialogue.active_strip(bpy.context) == strip
        assert bpy.ops.talkingeyes.generate_strip() == {"FINISHED"}
    (take,) = takes(head())
    assert take.start == 60 and spoken.speaks(take, "line 1") and not spoken.speaks(take, "line 0")
    assert scene.talkingeyes.strip == "line 1" and "is muted" in jobs.note().text
    scene.sequence_editor.active_strip = None
    assert "No sound strip is active" in refusal(bpy.ops.talkingeyes.generate_strip)
    other = bpy.data.scenes.new("other")
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        with in_sequencer(scene, strip):
            bpy.context.window.workspace.sequencer_scene = other
            other.sequence_editor_create()
            assert dialogue.active_strip(bpy.context) is None


def test_follow_says_when_there_is_nothing_to_do(scene):
    assert "no take yet" in refusal(bpy.ops.talkingeyes.follow_strip)
    bpy.ops.talkingeyes.generate_dialogue()
    assert bpy.ops.talkingeyes.follow_strip() == {"CANCELLED"}
    scene.render.fps = 30  # strips stay at their frames, so the pauses between their sounds change
    assert "moved against each other" in follow.stale(takes(head())[0], scene)
    assert bpy.ops.talkingeyes.follow_strip() == {"CANCELLED"}
