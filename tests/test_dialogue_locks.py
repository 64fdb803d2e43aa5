"""A dialogue generated again around what is locked, and a dialogue whose writing failed or whose Blender died."""

# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: F811 - fixtures of another file
from __future__ import annotations

import dataclasses
import itertools
import json
import os

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
if not bpy.app.build_options.audaspace:
    pytest.skip("this Blender holds no sound strips", allow_module_level=True)

from _animation import animation_hash  # noqa: E402
from _rigs import curve_dump, every_curve  # noqa: E402
from test_dialogue import Prompt, addon, head, named, refusal, scene  # noqa: E402, F401
from test_jobs import folder  # noqa: E402, F401
from test_operators import double  # noqa: E402, F401
from test_rig_strips import set_strip  # noqa: E402

from talkingeyes_blender.operators import dialogue, jobs, kept, memory  # noqa: E402
from talkingeyes_blender.operators.recover import words  # noqa: E402
from talkingeyes_blender.rig import curves, follow, spoken  # noqa: E402
from talkingeyes_blender.rig.takes import takes  # noqa: E402

CHANNELS = {"face": ("expression", "jaw"), "head": ("head",), "gaze": ("eyes",), "blinks": ("blink",)}


class Anew(Prompt):
    """Draws the parts that it is asked for, and no others, by the seed."""

    def submit(self, task, room=None):
        job = super().submit(dataclasses.replace(task, parts=()), room)
        if task.task == "resample":
            rng, made = np.random.default_rng(task.seed), {}
            for name in (name for part in task.parts for name in CHANNELS[part]):
                made[name] = rng.uniform(0, 0.1, getattr(task.motion, name).shape)
            job.motion = task.motion.replace(**made)
            job.motions, job.wait = [job.motion], lambda *_: job.motion
        if room is not None:
            job.motion.save(room.output)
        return job


@pytest.fixture(autouse=True)
def prompt(monkeypatch, scene):
    monkeypatch.setattr(jobs, "worker", lambda context: Anew())
    scene.talkingeyes.keep_takes = False


def of_bone(bone: str) -> list:
    actions = [bpy.data.actions[take.name] for take in takes(head())]
    found = [c for action in actions for c in every_curve(action) if f'["{bone}"]' in c.data_path]
    assert found
    return [curve_dump(curve) for curve in found]


@pytest.mark.parametrize("apart", [False, True])
def test_what_is_locked_in_one_take_stays_in_all(scene, apart):
    bpy.ops.talkingeyes.generate_dialogue(apart=apart)
    made = takes(head())
    assert len(made) == (3 if apart else 1)
    bpy.ops.talkingeyes.lock_part(part="head", take=made[-1].id)
    neck, jaw, eye = of_bone("neck"), of_bone("jaw"), of_bone("left_eye")
    old = [memory.recall(take) for take in made]
    scene.talkingeyes.seed = 9
    assert bpy.ops.talkingeyes.generate_dialogue(apart=apart) == {"FINISHED"}
    again = takes(head())
    assert [(t.id, t.start, t.frames, t.locked) for t in again] == [
        (t.id, t.start, t.frames, t.locked) for t in takes(head())
    ]
    assert [t.id for t in again] == [t.id for t in made], "the same takes"
    assert of_bone("neck") == neck and of_bone("jaw") != jaw and of_bone("left_eye") != eye
    for was, take in zip(old, again, strict=True):
        now = memory.recall(take)
        assert np.array_equal(was.head, now.head) and not np.array_equal(was.eyes, now.eyes)
        assert (take.seed, take.gaze_seed) == (9, 9)
    for one, other in itertools.pairwise(again):
        one, other = memory.recall(one), memory.recall(other)
        assert all(np.array_equal(getattr(one, n)[-1], getattr(other, n)[0]) for n in ("jaw", "head", "eyes"))
    assert "not locked" in jobs.note().text and all(follow.stale(take, scene) is None for take in again)


def test_with_earlier_takes_kept_nothing_is_at_stake(scene):
    bpy.ops.talkingeyes.generate_dialogue()
    (first,) = takes(head())
    bpy.ops.talkingeyes.lock_part(part="head", take=first.id)
    before = of_bone("neck")
    scene.talkingeyes.keep_takes, scene.talkingeyes.seed = True, 9
    assert bpy.ops.talkingeyes.generate_dialogue() == {"FINISHED"}
    assert len(takes(head())) == 2 and of_bone("neck")[: len(before)] == before


def test_locks_that_cannot_be_kept_are_said_before_anything_is_made(scene):
    bpy.ops.talkingeyes.generate_dialogue(apart=True)
    made = takes(head())
    bpy.ops.talkingeyes.lock_part(part="gaze", take=made[1].id)
    assert "has locked parts, and was made from another sound" in refusal(bpy.ops.talkingeyes.generate_dialogue)
    set_strip(named(scene, "line 2"), frame_start=110)
    assert "lies elsewhere" in refusal(bpy.ops.talkingeyes.generate_dialogue, apart=True)
    set_strip(named(scene, "line 2"), frame_start=101)
    for part in ("face", "head", "blinks"):
        bpy.ops.talkingeyes.lock_part(part=part, take=made[0].id)
    assert "All parts that are switched on are locked" in refusal(bpy.ops.talkingeyes.generate_dialogue, apart=True)


def plan(apart: bool) -> dialogue.DialoguePlan:
    operator = type("Operator", (), {"muted": False, "apart": apart})()
    return dialogue.GenerateDialogue.plan(operator, bpy.context)


def test_a_part_that_is_locked_meanwhile(scene):
    bpy.ops.talkingeyes.generate_dialogue(apart=True)
    bpy.ops.talkingeyes.lock_part(part="head", take=takes(head())[0].id)
    planned = plan(True)
    bpy.ops.talkingeyes.lock_part(part="gaze", take=takes(head())[2].id)
    before = animation_hash()
    with pytest.raises(jobs.TalkingEyesError, match="Locked in this take: Gaze"):
        planned.apply(bpy.context, jobs.worker(bpy.context).submit(planned.task).wait())
    assert animation_hash() == before, "not even the first two"


def test_a_fault_in_the_middle_of_the_writing_leaves_none_of_the_takes(scene, folder, monkeypatch):
    bpy.ops.talkingeyes.generate_dialogue()
    before, write, calls = animation_hash(), curves.write_take_in_steps, []

    def fail_at_the_second(*arguments, **options):
        calls.append(options)
        if len(calls) == 2:
            raise ZeroDivisionError("of ours")
        return write(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(curves, "write_take_in_steps", fail_at_the_second)
        assert "ZeroDivisionError" in refusal(bpy.ops.talkingeyes.generate_dialogue, apart=True)
    assert len(calls) == 2 and animation_hash() == before
    assert bpy.ops.talkingeyes.recover() == {"FINISHED"}
    made = takes(head())
    assert [spoken.spoken_by(take)[0].strip for take in made] == ["line 0", "line 1", "line 2"]
    assert all(take.active for take in made), "and the earlier one made room"


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("meanwhile", ["nothing", "all moved", "one is gone"])
def test_a_dialogue_whose_blender_died_is_recovered(scene, double, folder, tmp_path, apart, meanwhile):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    planned = plan(apart)
    task = dataclasses.replace(planned.task, settings={"frames": 116})
    room = kept.begin(bpy.context, planned)
    double().submit(task, room).wait()
    # As the next Blender finds it: of another session, and not about to be written.
    record = json.loads((room.folder / "record.json").read_text())
    (room.folder / "record.json").write_text(json.dumps({**record, "session": "another"}))
    os.utime(room.output, (1, 1))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    kept.look_again()
    scene = bpy.context.scene
    if meanwhile == "all moved":
        for name in ("line 2", "line 1", "line 0"):
            strip = named(scene, name)
            set_strip(strip, frame_start=strip.frame_start + 50)
    if meanwhile == "one is gone":
        scene.sequence_editor.strips.remove(named(scene, "line 1"))
    assert "'line 0' for 'Ann Rig'" in words(kept.lost()) or "'line 0' for 'Ann'" in words(kept.lost())
    assert bpy.ops.talkingeyes.recover() == {"FINISHED"}
    made = takes(head())
    strips = ["line 0", "line 1", "line 2"]
    assert [[each.strip for each in spoken.spoken_by(take)] for take in made] == (
        [[name] for name in strips] if apart else [strips]
    )
    offset = 50 if meanwhile == "all moved" else 0
    starts = [10, 60, 101] if apart else [10]
    assert [take.start for take in made] == pytest.approx([start + offset for start in starts], abs=0.5)
    assert all(take.active for take in made) and sum(take.frames - 1 for take in made) + 1 == 116
    if meanwhile != "one is gone":
        assert all(follow.stale(take, scene) is None for take in made)
    else:
        assert "at frame 10" in jobs.note().text
    assert kept.lost() is None
