"""What can happen to a job, provoked: the scene is as it was, no process is left, and a finished motion is not lost."""

# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: F811 - fixtures of another file
from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")
if not bpy.app.build_options.audaspace:
    pytest.skip("this Blender holds no sound strips", allow_module_level=True)

from _animation import animation_hash  # noqa: E402
from _scene import scene_hash  # noqa: E402
from test_operators import PYTHON, addon, delete_head, double, meanwhile, ready, refusal, scene, speech  # noqa: E402, F401

from talkingeyes_blender import preferences  # noqa: E402
from talkingeyes_blender.operators import jobs, kept, subject  # noqa: E402
from talkingeyes_blender.operators.generate import Generate, GeneratePlan  # noqa: E402
from talkingeyes_blender.rig import curves  # noqa: E402
from talkingeyes_blender.rig.takes import takes  # noqa: E402
from talkingeyes_blender.worker.shelf import Shelf  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
DOUBLE = Path(__file__).with_name("_worker_double.py")
KILLS = int(os.environ.get("TALKINGEYES_KILLS", "10"))


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path) -> Path:
    """Where the add-on keeps its things."""
    place = tmp_path / "data"
    place.mkdir()
    monkeypatch.setattr(preferences, "data_folder", lambda: place)
    monkeypatch.setattr(preferences, "read", lambda context: preferences.Choices(PYTHON, "cpu", None))
    jobs.drop()
    kept.look_again()
    return place


def running_processes(worker) -> list[int]:
    """Processes whose command line names the worker's script and this test's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            if str(worker) in command and "_worker_double" in command and state != "Z":
                found.append(int(entry.name))
    return found


def until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def plan() -> GeneratePlan:
    return Generate.plan(types.SimpleNamespace(edited="KEEP"), bpy.context)


def make(worker, act=lambda: None) -> tuple[GeneratePlan, object]:
    """Do what the modal operator does, with ``act`` between the motion and its writing; return (plan, job)."""
    planned = plan()
    job = worker.submit(planned.task, kept.begin(bpy.context, planned))
    job.wait()
    act()
    kept.look_again()
    return planned, job


def the_take():
    return takes(subject.head_of(bpy.context))


# -------------------------------------------------------------------------------------------------------- the strip


def copy_strip(name: str, path: Path):
    editor = bpy.context.scene.sequence_editor
    strips = getattr(editor, "strips", None) or editor.sequences
    strip = subject.strip_of(bpy.context)
    return strips.new_sound(name, str(path), 9, int(strip.frame_start))


def test_a_strip_that_is_renamed_and_moved_meanwhile_is_found_again(ready, double, monkeypatch):
    double()

    def rename() -> None:
        strip = subject.strip_of(bpy.context)
        strip.name, strip.frame_start = "Another name", strip.frame_start + 10

    meanwhile(monkeypatch, rename)
    bpy.context.scene.talkingeyes.strip = ""
    assert bpy.ops.talkingeyes.generate() == {"FINISHED"}
    (take,) = the_take()
    assert take.settings["strip"] == "Another name"
    assert take.start == pytest.approx(11), "it follows its strip"


def test_two_strips_that_could_be_meant(ready, double, monkeypatch, speech):
    double()

    def rename_and_copy() -> None:
        strip = subject.strip_of(bpy.context)
        copy_strip("Two", speech)
        strip.name = "One"

    meanwhile(monkeypatch, rename_and_copy)
    with pytest.raises(RuntimeError, match="was renamed while the motion was made, and 2 strips play the same"):
        bpy.ops.talkingeyes.generate()
    assert scene_hash() == meanwhile.hash
    assert bpy.ops.talkingeyes.recover() == {"FINISHED"}, "nothing is lost"
    assert len(the_take()) == 1


def test_a_strip_that_plays_another_sound_under_its_old_name(ready, double, monkeypatch, tmp_path, speech):
    double()
    other = tmp_path / "other.wav"
    other.write_bytes(speech.read_bytes())
    meanwhile(monkeypatch, lambda: setattr(subject.strip_of(bpy.context).sound, "filepath", str(other)))
    with pytest.raises(RuntimeError, match="was changed while the motion was made"):
        bpy.ops.talkingeyes.generate()
    assert scene_hash() == meanwhile.hash


# --------------------------------------------------------------------------------------------- what is lost and found


def test_a_motion_whose_head_was_deleted_is_recovered_on_another(ready, double, monkeypatch):
    double()
    with monkeypatch.context() as patch:
        meanwhile(patch, delete_head)
        with pytest.raises(RuntimeError, match="The head was deleted"):
            bpy.ops.talkingeyes.generate()
    assert scene_hash() == meanwhile.hash
    assert "speech" in refusal_of_panel()
    assert "No head is chosen" in refusal(bpy.ops.talkingeyes.recover)
    bpy.ops.talkingeyes.add_standin()
    assert bpy.ops.talkingeyes.recover() == {"FINISHED"}
    (take,) = the_take()
    assert take.frames == 50 and take.settings["strip"] == "speech"
    assert not bpy.ops.talkingeyes.recover.poll(), "once is enough"


def refusal_of_panel() -> str:
    from talkingeyes_blender.operators.recover import words

    return words(kept.lost())


def test_a_fault_while_writing_is_told_in_words_and_loses_nothing(ready, double, monkeypatch):
    double()

    def fail(*_arguments, **_options):
        raise ZeroDivisionError("of ours")

    with monkeypatch.context() as patch:
        patch.setattr(curves, "write_take_in_steps", fail)
        said = refusal(bpy.ops.talkingeyes.generate)
    assert "could not be written (ZeroDivisionError: of ours)" in said and "Recover Last Motion" in said
    assert bpy.ops.talkingeyes.recover() == {"FINISHED"}
    assert the_take()[0].seed == 1


def test_a_written_motion_stays_on_disk_until_the_file_is_saved(ready, double, folder, tmp_path):
    double()
    bpy.ops.talkingeyes.generate()
    (done,) = Shelf(folder / kept.FOLDER).finished()
    assert done.written and kept.lost() is None
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert not Shelf(folder / kept.FOLDER).finished()


def test_a_motion_can_be_discarded(ready, double, monkeypatch, folder):
    double()
    with monkeypatch.context() as patch:
        meanwhile(patch, delete_head)
        with pytest.raises(RuntimeError):
            bpy.ops.talkingeyes.generate()
    assert bpy.ops.talkingeyes.discard_motion() == {"FINISHED"}
    assert not bpy.ops.talkingeyes.recover.poll() and not list((folder / kept.FOLDER).iterdir())


def test_a_damaged_motion_says_so_and_goes(ready, double, monkeypatch):
    double()
    with monkeypatch.context() as patch:
        meanwhile(patch, delete_head)
        with pytest.raises(RuntimeError):
            bpy.ops.talkingeyes.generate()
    kept.lost().output.write_bytes(b"PK")
    with pytest.raises(RuntimeError, match="The kept motion is damaged, and was removed"):
        bpy.ops.talkingeyes.recover()
    assert kept.lost() is None


def test_a_job_that_fails_or_is_cancelled_leaves_nothing_on_disk(ready, double, folder):
    worker = double("refuse")
    assert "does not please" in refusal(bpy.ops.talkingeyes.generate)
    assert not list((folder / kept.FOLDER).iterdir())
    worker = double("work")
    planned = plan()
    job = worker.submit(planned.task, kept.begin(bpy.context, planned))
    jobs._running = job
    before = animation_hash()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert job.state == "cancelled" and before and not list((folder / kept.FOLDER).iterdir())


def test_a_folder_that_cannot_be_written_keeps_nobody_from_generating(ready, double, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(preferences, "data_folder", lambda: tmp_path / "file")
    double()
    assert bpy.ops.talkingeyes.generate() == {"FINISHED"}


# ---------------------------------------------------------------------------------------------------- out of memory


def test_a_full_graphics_card_offers_the_processor(ready, double):
    ready.talkingeyes.device = "cuda"
    double("full card")
    assert "graphics memory did not suffice" in refusal(bpy.ops.talkingeyes.generate)
    assert bpy.context.window_manager.talkingeyes.note_mend == "talkingeyes.retry_on_cpu"
    assert bpy.ops.talkingeyes.retry_on_cpu() == {"FINISHED"}
    assert "on cpu" in bpy.context.window_manager.talkingeyes.note and len(the_take()) == 1
    assert not bpy.ops.talkingeyes.retry_on_cpu.poll(), "there is nothing to retry any more"
    assert ready.talkingeyes.device == "cuda", "the choice is the user's"


def test_full_memory_on_the_processor_offers_no_retry(ready, double):
    double("out of memory")
    assert "The memory did not suffice" in refusal(bpy.ops.talkingeyes.generate)
    assert not bpy.ops.talkingeyes.retry_on_cpu.poll()


# ------------------------------------------------------------------------------------------------- undo in the middle


def test_an_undo_in_the_middle_that_takes_the_head_away(scene, speech, double):
    worker = double()
    bpy.ops.talkingeyes.import_audio(filepath=str(speech))
    bpy.ops.ed.undo_push(message="before the head")
    bpy.ops.talkingeyes.add_standin()
    bpy.ops.ed.undo_push(message="the head")
    planned, _job = make(worker, bpy.ops.ed.undo)
    before = animation_hash()
    with pytest.raises(jobs.TalkingEyesError, match="The head was deleted"):
        planned.apply(bpy.context, *kept.lost().motions())
    assert animation_hash() == before
    bpy.ops.ed.redo()
    assert bpy.ops.talkingeyes.recover() == {"FINISHED"} and len(the_take()) == 1


def test_an_undo_in_the_middle_of_something_else(ready, double):
    worker = double()
    bpy.ops.ed.undo_push(message="ready")
    ready.frame_end = 77
    bpy.ops.ed.undo_push(message="something else")
    planned, job = make(worker, bpy.ops.ed.undo)
    assert bpy.context.scene.frame_end != 77
    planned.apply(bpy.context, job.motion)
    assert len(the_take()) == 1


def test_fifty_undos_and_redos_leave_the_scene_identical(ready, double):
    double()
    bpy.ops.ed.undo_push(message="ready")
    bpy.ops.talkingeyes.generate()
    bpy.ops.ed.undo_push(message="Generate")
    bpy.ops.ed.undo()
    before, whole = animation_hash(), scene_hash()
    bpy.ops.ed.redo()
    after, whole_after = animation_hash(), scene_hash()
    assert before != after
    for _ in range(50):
        bpy.ops.ed.undo()
        assert animation_hash() == before
        bpy.ops.ed.redo()
        assert animation_hash() == after
    assert scene_hash() == whole_after
    bpy.ops.ed.undo()
    assert scene_hash() == whole


# ------------------------------------------------------------------------------------------------------------- kills


def test_kills_at_random_moments(ready, double, tmp_path, folder):
    """TALKINGEYES_KILLS of them; 'make test-kills' makes it a hundred."""
    rng, before, finished = random.Random(0), animation_hash(), 0
    for kill in range(KILLS):
        worker = double("slow")
        moment = rng.uniform(0.0, 1.6)

        def strike(worker=worker, moment=moment) -> None:
            time.sleep(moment)
            if worker.pid is not None:
                os.kill(worker.pid, signal.SIGKILL)

        thread = threading.Thread(target=strike)
        thread.start()
        planned = plan()
        job = worker.submit(planned.task, kept.begin(bpy.context, planned))
        try:
            job.wait()
        except jobs.TalkingEyesError as error:
            assert "SIGKILL" in str(error), f"kill {kill} at {moment:.3f} s: {error}"
            assert job.motion is None
        thread.join()
        if job.motion is not None:  # it was done, or a second process did it
            kept.look_again()
            assert kept.lost().motions()[0].frames == job.motion.frames, "it is recoverable"
            kept.lost().discard()
            finished += 1
        worker.close()
        until(lambda: not running_processes(tmp_path))
        assert animation_hash() == before
        assert not list((folder / kept.FOLDER).iterdir()) and not list(tmp_path.glob("talkingeyes-*"))
    assert finished < KILLS, "no kill has hit"


BLENDER = """
    import os, signal, sys, time
    from pathlib import Path
    import bpy
    import talkingeyes_blender
    from talkingeyes_blender import preferences
    talkingeyes_blender.register()
    from talkingeyes_blender.operators import jobs, kept
    from talkingeyes_blender.worker.client import Task, Worker
    folder = Path(sys.argv[1])
    preferences.data_folder = lambda: folder
    jobs._worker = worker = Worker(sys.argv[2], scratch=folder, launcher=Path(sys.argv[3]))
    class Plan:
        task = Task("generate", "speech.wav", 1, settings={"act": sys.argv[4]})
    job = worker.submit(Plan.task, kept.begin(bpy.context, Plan))
    while job.state == "running" and job.phase != "Working":
        job.poll(0.1)
    print("ready", job.state, worker.pid, flush=True)
    sys.stdin.readline()
    talkingeyes_blender.unregister()
    if bpy.app.version < (4, 3, 0):
        jobs.leave()
        os._exit(0)
"""


@pytest.mark.parametrize("act", ["work", "answer"])
@pytest.mark.parametrize("how", ["quits", "is killed"])
def test_blender_ends_in_the_middle(tmp_path, how, act):
    command = [sys.executable, "-c", textwrap.dedent(BLENDER), str(tmp_path), PYTHON, str(DOUBLE), act]
    blender = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with blender:
        line = next(line for line in blender.stdout if line.startswith("ready"))
        state, pid = line.split()[1:]
        assert state == ("running" if act == "work" else "done") and int(pid) in running_processes(tmp_path)
        if how == "quits":
            blender.stdin.write("\n")
            blender.stdin.close()
            blender.wait(20)
        else:
            blender.kill()
    until(lambda: not running_processes(tmp_path))
    assert not list(tmp_path.glob("talkingeyes-*"))
    shelf = Shelf(tmp_path / kept.FOLDER)
    for path in shelf.folder.rglob("motion.npz"):
        os.utime(path, (time.time() - 3600,) * 2)
    lost = shelf.lost()
    assert (lost is not None) == (act == "answer")
    if lost is not None:
        assert lost.motions()[0].frames == 50


# ------------------------------------------------------------------------------------ what ends without its operator


def test_a_set_up_whose_file_was_closed_comes_to_its_end(monkeypatch):
    """The modal operator goes with the file; 'A set-up is running.' must not stay for ever."""
    from talkingeyes_blender.operators import set_up

    setup = types.SimpleNamespace(state="running", build=types.SimpleNamespace(name="the CPU"), cancel=lambda: None)
    removed = []
    manager = types.SimpleNamespace(event_timer_remove=removed.append)
    monkeypatch.setattr(set_up, "_running", setup)
    operator = types.SimpleNamespace(_timer="timer")
    set_up.SetUp.cancel(operator, types.SimpleNamespace(window_manager=manager))
    try:
        assert removed == ["timer"] and set_up.running() is setup
        assert set_up.SetUp.disabled_reason(bpy.context) == "A set-up is running."
        setup.state = "done"
        assert set_up.running() is None and "set up, with PyTorch for the CPU" in set_up.note().text
    finally:
        set_up.close()


def test_the_status_text_is_cleared_where_it_was_set():
    """A user who has turned to another workspace meanwhile finds no 'Esc cancels' in the old one for ever."""
    cleared = []
    there = bpy.context.workspace
    operator = types.SimpleNamespace(_timer=None, _workspace=there.name)
    manager = types.SimpleNamespace(event_timer_remove=lambda timer: None)
    context = types.SimpleNamespace(
        window_manager=manager,
        workspace=None,
        temp_override=lambda **kept: (cleared.append(kept), bpy.context.temp_override(**kept))[1],
    )
    jobs.JobOperator._leave_window(operator, context)
    assert cleared == [{"workspace": there}]
