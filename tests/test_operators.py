"""The operators: what a click does, what a greyed-out button says, and that a failure changes nothing."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
if not bpy.app.build_options.audaspace:
    pytest.skip("this Blender holds no sound strips", allow_module_level=True)

from _heads import tiny_head, write_head  # noqa: E402
from _rigs import action_dump, dump_animation, foreign_rig, fresh_scene  # noqa: E402
from _scene import scene_hash  # noqa: E402
from mathutils import Vector  # noqa: E402

import talkingeyes_blender  # noqa: E402
from talkingeyes_blender import preferences  # noqa: E402
from talkingeyes_blender.operators import jobs, kept, memory, subject  # noqa: E402
from talkingeyes_blender.operators.generate import Generate  # noqa: E402
from talkingeyes_blender.operators.resample_gaze import ResampleGaze  # noqa: E402
from talkingeyes_blender.rig.takes import current_take, takes  # noqa: E402
from talkingeyes_blender.worker import client  # noqa: E402
from talkingeyes_blender.worker.client import Worker  # noqa: E402

DOUBLE = Path(__file__).with_name("_worker_double.py")
RATE = 16_000
PYTHON = os.environ.get("TALKINGEYES_PYTHON", sys.executable)
"""Runs the worker: another than ours where this Blender's Python has no torch."""


@pytest.fixture(scope="module", autouse=True)
def addon():
    talkingeyes_blender.register()
    yield
    talkingeyes_blender.unregister()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> str:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


def tiny_bundle(folder: Path, seed: int = 0) -> str:
    """Let the worker's Python make a bundle: ours need not have torch."""
    code = "import pathlib, sys, _bundles; _bundles.tiny_bundle(pathlib.Path(sys.argv[1]), seed=int(sys.argv[2]))"
    places = os.pathsep.join((str(DOUBLE.parent), str(DOUBLE.parents[1])))
    environment = {**os.environ, "PYTHONPATH": places}
    subprocess.run([PYTHON, "-c", code, str(folder), str(seed)], env=environment, check=True)
    return str(folder)


@pytest.fixture(autouse=True)
def chosen(monkeypatch, bundle, tmp_path_factory) -> None:
    """The preferences: this Python, and weights that are small and random."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setattr(preferences, "data_folder", lambda: folder)
    kept.look_again()
    monkeypatch.setattr(preferences, "read", lambda context: preferences.Choices(PYTHON, "cpu", bundle))


@pytest.fixture
def scene():
    return fresh_scene()


@pytest.fixture
def speech(tmp_path) -> Path:
    """Two seconds of something like syllables."""
    t = np.arange(2 * RATE) / RATE
    rng = np.random.default_rng(0)
    path = tmp_path / "speech.wav"
    samples = 0.2 * np.sin(2 * np.pi * 3 * t) ** 2 * rng.normal(size=len(t)).clip(-3, 3)
    with wave.open(str(path), "wb") as stream:
        stream.setparams((1, 2, RATE, 0, "NONE", ""))
        stream.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture
def ready(scene, speech):
    """A scene with a strip and the stand-in."""
    bpy.ops.talkingeyes.import_audio(filepath=str(speech))
    bpy.ops.talkingeyes.add_standin()
    return scene


@pytest.fixture
def double(monkeypatch, tmp_path):
    """Let jobs go to a worker that does what its argument says; return that worker."""

    def start(act: str = "answer", **options) -> Worker:
        monkeypatch.setenv("TALKINGEYES_DOUBLE", act)
        worker = Worker(**{"python": PYTHON, "scratch": tmp_path, "launcher": DOUBLE, **options})
        jobs.close()
        monkeypatch.setattr(jobs, "worker", lambda context: worker)
        started.append(worker)
        return worker

    started: list[Worker] = []
    yield start
    for worker in started:
        worker.close()


def refusal(operator, **arguments) -> str:
    """Run an operator that must fail; return what it says. The scene must be as it was."""
    before = scene_hash()
    with pytest.raises(RuntimeError) as error:
        operator(**arguments)
    assert scene_hash() == before
    assert jobs.running() is None
    return str(error.value)


# ------------------------------------------------------------------------------------------------- the way it goes


def test_a_head_speaks(ready):
    assert bpy.ops.talkingeyes.generate() == {"FINISHED"}
    rig = subject.head_of(bpy.context)
    take = current_take(rig)
    assert (take.seed, take.frames, take.start, len(takes(rig))) == (1, 50, 1.0, 1)
    motion = memory.recall(take)
    assert motion.frames == 50 and motion.seed == 1 and motion.head_model == rig.head_model
    for frame in (1, 20, 50):
        ready.frame_set(frame)
        assert rig.armature.pose.bones["jaw"].rotation_euler.x == pytest.approx(motion.jaw[frame - 1, 0], abs=0.05)
    assert ready.sync_mode == "AUDIO_SYNC"
    assert "2.0 s of motion were written" in bpy.context.window_manager.talkingeyes.note


def test_the_same_seed_makes_the_same_take_and_another_another(ready):
    motions = []
    for seed in (3, 3, 4):
        ready.talkingeyes.seed = seed
        bpy.ops.talkingeyes.generate()
        motions.append(memory.recall(current_take(subject.head_of(bpy.context))))
    np.testing.assert_array_equal(motions[0].eyes, motions[1].eyes)
    assert np.abs(motions[0].eyes - motions[2].eyes).max() > 0.01


def test_the_strip_is_trimmed_and_moved(ready):
    strip = subject.strip_of(bpy.context)
    strip.frame_offset_start, strip.frame_start = 12, 101
    bpy.ops.talkingeyes.generate()
    take = current_take(subject.head_of(bpy.context))
    assert take.start == 113
    assert take.settings["start"] == pytest.approx(12 / (ready.render.fps / ready.render.fps_base))
    assert take.frames == pytest.approx(25 * (2 - 0.5), abs=1)


def test_parts_and_strengths(ready):
    settings = ready.talkingeyes
    settings.write_face = settings.write_head = settings.write_blinks = False
    settings.strength_gaze = 0.5
    bpy.ops.talkingeyes.generate()
    rig = subject.head_of(bpy.context)
    curves = action_dump(bpy.data.actions[current_take(rig).name])[1:]
    assert {path for path, *_ in curves if path.startswith("pose")} == {
        f'pose.bones["{side}_eye"].rotation_euler' for side in ("left", "right")
    }
    motion = memory.recall(current_take(rig))
    ready.frame_set(1)
    assert rig.armature.pose.bones["left_eye"].rotation_euler.x == pytest.approx(motion.eyes[0, 0] / 2, abs=0.02)


def test_resampling_changes_the_eyes_and_nothing_else(ready):
    bpy.ops.talkingeyes.generate()
    rig = subject.head_of(bpy.context)
    before = {c[:2]: c for c in action_dump(bpy.data.actions[current_take(rig).name])[1:]}
    old = memory.recall(current_take(rig))
    assert bpy.ops.talkingeyes.resample_gaze() == {"FINISHED"}
    rig = subject.head_of(bpy.context)
    take = current_take(rig)
    after = {c[:2]: c for c in action_dump(bpy.data.actions[take.name])[1:]}
    changed = {path for path, index in after if after[path, index] != before[path, index]}
    assert changed and all("_eye" in path or "Pose" in path for path in changed), changed
    assert before.keys() == after.keys()
    assert (take.seed, take.gaze_seed, ready.talkingeyes.gaze_seed) == (1, 2, 2)
    new = memory.recall(take)
    assert np.abs(new.eyes - old.eyes).max() > 0.01
    np.testing.assert_array_equal(new.head, old.head)


def test_the_seed_of_the_gaze_counts_up_or_stays(ready):
    bpy.ops.talkingeyes.generate()
    ready.talkingeyes.gaze_seed = 41
    bpy.ops.talkingeyes.resample_gaze()
    first = memory.recall(current_take(subject.head_of(bpy.context)))
    assert ready.talkingeyes.gaze_seed == 42
    bpy.ops.talkingeyes.resample_gaze()
    assert ready.talkingeyes.gaze_seed == 43
    ready.talkingeyes.gaze_seed, ready.talkingeyes.next_gaze_seed = 42, False
    bpy.ops.talkingeyes.resample_gaze()
    np.testing.assert_array_equal(memory.recall(current_take(subject.head_of(bpy.context))).eyes, first.eyes)


def test_packed_sounds_speak_too(ready, speech):
    bpy.data.sounds[0].pack()
    speech.unlink()
    bpy.ops.talkingeyes.generate()
    assert current_take(subject.head_of(bpy.context)).frames == 50


def test_clear_leaves_the_head_as_it_was(ready):
    rig = subject.head_of(bpy.context)
    rig.armature.pose.bones["jaw"].rotation_euler.x = 0.125
    rig.shape_keys.key_blocks["Exp5"].value = 0.25
    before = [dump_animation(rig.armature), dump_animation(rig.shape_keys)]
    bpy.ops.talkingeyes.generate()
    ready.frame_set(30)
    assert bpy.ops.talkingeyes.clear() == {"FINISHED"}
    assert [dump_animation(rig.armature), dump_animation(rig.shape_keys)] == before
    assert rig.armature.pose.bones["jaw"].rotation_euler.x == 0.125
    assert rig.shape_keys.key_blocks["Exp5"].value == 0.25
    assert not bpy.data.actions


def test_a_flame_file_becomes_a_head_that_speaks(scene, speech, tmp_path):
    path = write_head(tmp_path / "tiny.npz", tiny_head())
    assert bpy.ops.talkingeyes.build_flame(filepath=str(path)) == {"FINISHED"}
    bpy.ops.talkingeyes.import_audio(filepath=str(speech))
    assert bpy.ops.talkingeyes.generate() == {"FINISHED"}
    assert current_take(subject.head_of(bpy.context)).frames == 50


def test_what_a_head_cannot_do_is_said(scene, speech, tmp_path):
    head = tiny_head()
    path = write_head(tmp_path / "few.npz", dataclasses.replace(head, expression_basis=head.expression_basis[..., :2]))
    bpy.ops.talkingeyes.build_flame(filepath=str(path))
    bpy.ops.talkingeyes.import_audio(filepath=str(speech))
    bpy.ops.talkingeyes.generate()
    said = bpy.context.window_manager.talkingeyes.note
    assert "This head cannot " in said and "% reached." in said


def test_importing_audio_fits_the_playback(scene, speech):
    scene.render.fps, scene.frame_start, scene.frame_end = 25, 1, 250
    bpy.ops.talkingeyes.import_audio(filepath=str(speech))
    assert scene.talkingeyes.strip == "speech"
    assert (scene.frame_start, scene.frame_end, scene.sync_mode) == (1, 50, "AUDIO_SYNC")
    scene.frame_start, scene.frame_end, scene.sync_mode = 200, 250, "NONE"
    bpy.ops.talkingeyes.fit_playback()
    assert (scene.frame_start, scene.frame_end, scene.sync_mode) == (1, 50, "AUDIO_SYNC")


def test_a_head_is_added_at_the_cursor(scene):
    scene.cursor.location = (1, 2, 3)
    bpy.ops.talkingeyes.add_standin()
    assert tuple(subject.head_of(bpy.context).armature.location) == (1, 2, 3)


def test_a_head_is_not_added_inside_the_startup_cube(scene):
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.talkingeyes.add_standin()
    rig = subject.head_of(bpy.context)
    bpy.context.view_layer.update()
    assert max((rig.mesh.matrix_world @ Vector(corner)).y for corner in rig.mesh.bound_box) == pytest.approx(-1)
    bpy.data.objects["Cube"].scale = (2, 2, 2)  # a room
    bpy.ops.talkingeyes.add_standin()
    assert subject.head_of(bpy.context).armature.location.y == 0


# ----------------------------------------------------------------------------------------------- why it is disabled


def test_buttons_say_what_is_missing(scene, speech):
    assert Generate.disabled_reason(bpy.context) == "The scene has no sound strip."
    bpy.ops.talkingeyes.import_audio(filepath=str(speech))
    assert Generate.disabled_reason(bpy.context) == "No head is chosen."
    assert not bpy.ops.talkingeyes.generate.poll()
    bpy.ops.talkingeyes.add_standin()
    assert Generate.disabled_reason(bpy.context) is None
    assert ResampleGaze.disabled_reason(bpy.context) == "'TalkingEyes stand-in' has no take yet."
    for part in ("face", "head", "gaze", "blinks"):
        setattr(scene.talkingeyes, f"write_{part}", False)
    assert Generate.disabled_reason(bpy.context) == "No part is switched on."


def test_a_strip_that_is_gone(ready):
    subject.strip_of(bpy.context).name = "other"
    assert Generate.disabled_reason(bpy.context) == "There is no sound strip 'speech' any more."
    assert "poll" in refusal(bpy.ops.talkingeyes.generate)


def test_a_selected_cube_is_no_head_but_a_selected_head_is(scene, speech):
    bpy.ops.mesh.primitive_cube_add()
    assert subject.why_no_head(bpy.context) == "No head is chosen."
    bpy.ops.talkingeyes.add_standin()
    scene.talkingeyes.rig = None
    assert subject.why_no_head(bpy.context) is None


def test_a_head_that_was_deleted(ready):
    rig = subject.head_of(bpy.context)
    bpy.ops.object.select_all(action="DESELECT")
    for obj in (rig.armature, rig.mesh):
        obj.select_set(True)
    bpy.ops.object.delete()
    assert Generate.disabled_reason(bpy.context) is not None


def test_a_rig_without_a_jaw(scene, speech):
    bpy.ops.talkingeyes.import_audio(filepath=str(speech))
    mesh = foreign_rig(tiny_head(), names={"root": "root", "neck": "neck"})
    scene.talkingeyes.rig = mesh
    assert "has no jaw bone" in Generate.disabled_reason(bpy.context)
    assert "has no jaw bone" in refusal(bpy.ops.talkingeyes.generate)


# ---------------------------------------------------------------------------------------- what goes wrong on the way


@pytest.mark.parametrize(
    ("content", "words"), [(None, "does not exist"), (b"", "is empty"), (b"words, words, words\n" * 99, "as sound")]
)
def test_files_that_are_no_sound_are_not_imported(scene, tmp_path, content, words):
    path = tmp_path / "text.wav"
    if content is not None:
        path.write_bytes(content)
    assert words in refusal(bpy.ops.talkingeyes.import_audio, filepath=str(path))


@pytest.mark.parametrize("content", [b"", b"cposix\nsystem\n(S'true'\ntR.", b"PK\x03\x04 and so on"])
def test_files_that_are_no_head_are_not_built(scene, tmp_path, content):
    path = tmp_path / "flame.pkl"
    path.write_bytes(content)
    assert path.name in refusal(bpy.ops.talkingeyes.build_flame, filepath=str(path))


def test_a_sound_that_turned_into_text(ready, speech):
    speech.write_text("words, words, words\n" * 99)
    assert f"{speech} is a text" in refusal(bpy.ops.talkingeyes.generate)


def test_a_sound_that_turned_empty(ready, speech):
    speech.write_bytes(b"")
    assert f"{speech} is empty" in refusal(bpy.ops.talkingeyes.generate)


def test_samples_that_are_not_numbers(scene, tmp_path):
    samples = np.zeros(RATE, "<f4")
    samples[RATE // 2] = np.nan
    path, size = tmp_path / "nan.wav", samples.nbytes
    form = struct.pack("<IHHIIHH", 16, 3, 1, RATE, 4 * RATE, 4, 32)  # 32-bit floats, mono
    riff = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + form
    path.write_bytes(riff + b"data" + struct.pack("<I", size) + samples.tobytes())
    bpy.ops.talkingeyes.import_audio(filepath=str(path))
    bpy.ops.talkingeyes.add_standin()
    said = refusal(bpy.ops.talkingeyes.generate)
    assert str(path) in said and "not numbers" in said


def test_a_pickle_that_wants_to_run_something(scene, tmp_path):
    path, witness = tmp_path / "flame.pkl", tmp_path / "witness"
    path.write_bytes(pickle.dumps(_Hostile(str(witness))))
    said = refusal(bpy.ops.talkingeyes.build_flame, filepath=str(path))
    assert "os.mkdir" in said or "posix.mkdir" in said or "nt.mkdir" in said, said
    assert not witness.exists()


class _Hostile:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_sound_that_is_gone(ready, speech):
    speech.unlink()
    assert f"{speech} does not exist" in refusal(bpy.ops.talkingeyes.generate)


def test_a_bundle_with_a_wrong_hash(ready, tmp_path, monkeypatch):
    folder = tiny_bundle(tmp_path / "bundle", seed=1)
    weights = next(Path(folder).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(preferences, "read", lambda context: preferences.Choices(PYTHON, "cpu", folder))
    assert "SHA-256" in refusal(bpy.ops.talkingeyes.generate)


def test_a_device_that_is_not_there(ready):
    ready.talkingeyes.device = "mps"
    assert "no MPS device" in refusal(bpy.ops.talkingeyes.generate)


def test_a_python_without_torch(ready, tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    monkeypatch.setattr(preferences, "read", lambda context: preferences.Choices(python))
    said = refusal(bpy.ops.talkingeyes.generate)
    assert f"'{python}' lacks torch" in said and "preferences" in said
    monkeypatch.undo()


def test_a_worker_killed_in_the_middle(ready, double):
    worker = double("work")

    def kill() -> None:
        while (job := jobs.running()) is None or job.phase != "Working":
            time.sleep(0.01)
        os.kill(worker.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    assert "was ended by SIGKILL in the middle of the job" in refusal(bpy.ops.talkingeyes.generate)
    thread.join()


def test_cancelling(ready, double):
    double("work")

    def cancel() -> None:
        while (job := jobs.running()) is None or job.phase != "Working":
            time.sleep(0.01)
        jobs.cancel()

    threading.Thread(target=cancel, daemon=True).start()
    before = scene_hash()
    assert bpy.ops.talkingeyes.generate() == {"CANCELLED"}
    assert scene_hash() == before and jobs.running() is None
    assert "cancelled" in bpy.context.window_manager.talkingeyes.note


def test_a_disk_that_is_full(ready, double, tmp_path):
    wrapper = tmp_path / "python3"
    wrapper.write_text(f'#!/bin/sh\nulimit -f 4\nexec "{PYTHON}" "$@"\n')
    wrapper.chmod(0o755)
    double(python=str(wrapper))
    assert "could not be written" in refusal(bpy.ops.talkingeyes.generate)


def test_a_disk_that_is_full_for_a_packed_sound(ready, double):
    double()
    bpy.data.sounds[0].pack()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        assert "could not be written" in refusal(bpy.ops.talkingeyes.generate)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def meanwhile(monkeypatch, act) -> None:
    """Let ``act`` happen after the motion was made and before it is written."""
    wait = client.Job.wait

    def waited(job, on_progress=None):
        motion = wait(job, on_progress)
        act()
        meanwhile.hash = scene_hash()
        return motion

    monkeypatch.setattr(client.Job, "wait", waited)


def delete_head() -> None:
    rig = subject.head_of(bpy.context)
    for obj in (rig.mesh, rig.armature):
        bpy.data.objects.remove(obj)


def delete_strip() -> None:
    editor = bpy.context.scene.sequence_editor
    strips = getattr(editor, "strips", None) or editor.sequences
    strips.remove(subject.strip_of(bpy.context))


def trim_strip() -> None:
    subject.strip_of(bpy.context).frame_offset_start = 9


def unlink_head() -> None:
    rig = subject.head_of(bpy.context)
    bpy.data.collections.remove(rig.mesh.users_collection[0])


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (delete_head, "The head was deleted"),
        (unlink_head, "The head was deleted"),
        (delete_strip, "has no sound strip"),
        (trim_strip, "was changed"),
    ],
)
def test_what_is_taken_away_in_the_middle(ready, double, monkeypatch, act, words):
    double()
    meanwhile(monkeypatch, act)
    with pytest.raises(RuntimeError, match=words):
        bpy.ops.talkingeyes.generate()
    assert scene_hash() == meanwhile.hash


def test_a_file_that_is_loaded_ends_the_job(ready, double):
    worker = double("work")
    job = worker.submit(client.Task("generate", "speech.wav", 1))
    jobs._running = job
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert job.state == "cancelled" and jobs.running() is None


def test_the_state_of_a_job_is_not_saved(ready, tmp_path, double):
    worker = double("work")
    jobs._running = worker.submit(client.Task("generate", "speech.wav", 1))
    state = bpy.context.window_manager.talkingeyes
    assert state.running and state.phase
    assert Generate.disabled_reason(bpy.context) == "A generation is running."
    with pytest.raises(AttributeError):
        state.running = False
    jobs.drop()
    assert not state.running and not list(state.keys())


def test_preferences_have_defaults_where_the_addon_is_not_installed(monkeypatch):
    monkeypatch.undo()
    assert preferences.read(bpy.context) == preferences.Choices()
    assert preferences.log_folder().is_dir()


def test_takes_are_kept_chosen_and_removed(ready):
    rig = subject.head_of(bpy.context)
    for seed in (1, 2):
        ready.talkingeyes.seed = seed
        bpy.ops.talkingeyes.generate()
    first, second = takes(rig)
    assert (first.seed, first.active, second.seed, second.active) == (1, False, 2, True)
    assert bpy.ops.talkingeyes.choose_take(take=first.id) == {"FINISHED"}
    assert subject.take_of(bpy.context).seed == 1
    assert "no such take" in refusal(bpy.ops.talkingeyes.choose_take, take="gone")
    assert bpy.ops.talkingeyes.remove_take(take=first.id) == {"FINISHED"}
    assert [(take.seed, take.active) for take in takes(rig)] == [(2, True)]
    ready.talkingeyes.keep_takes = False
    bpy.ops.talkingeyes.generate()
    assert len(takes(rig)) == 1, "replaced"
    assert bpy.ops.talkingeyes.remove_take(take=takes(rig)[0].id) == {"FINISHED"}
    assert not takes(rig) and not bpy.data.actions
