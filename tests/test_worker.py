"""The worker process and Blender's line to it: answers, cancelling, dying, full disks, Pythons without torch."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from talkingeyes_blender.errors import Cancelled, TalkingEyesError
from talkingeyes_blender.worker import client, interpreters, protocol
from talkingeyes_blender.worker.client import Task, Worker

DOUBLE = Path(__file__).with_name("_worker_double.py")


@pytest.fixture
def make_worker(tmp_path):
    made = []

    def make(**options) -> Worker:
        options = {"python": sys.executable, "launcher": DOUBLE, "log_folder": tmp_path / "log", **options}
        made.append(Worker(scratch=tmp_path, **options))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def worker(make_worker):
    return make_worker()


def task(act: str = "answer", seed: int = 7, **options) -> Task:
    return Task("generate", options.pop("audio", "speech.wav"), seed, settings={"act": act}, **options)


def until(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def in_phase(job: client.Job, phase: str):
    def ready() -> bool:
        job.poll()
        assert job.state == "running", job.error
        return job.phase == phase

    return ready


@pytest.mark.parametrize(
    "message",
    [
        protocol.Hello(1, 5, "3.11.2", "/usr/bin/python3", {"numpy": "1.26"}, ["torch"]),
        protocol.Request(3, "generate", "/tmp/ä\nb.wav", "/tmp/out.npz", 7, 0.5, None, settings={"blink_rate": None}),
        protocol.Progress(3, 0.5, "Häupter"),
        protocol.Failed(3, "No.", "Yes.", "Trace\nback"),
        protocol.Cancel(3),
        protocol.Shutdown(),
    ],
)
def test_messages_survive_the_line(message):
    line = protocol.encode(message)
    assert line.count(b"\n") == 1 and line.isascii()
    assert protocol.decode(line) == message


@pytest.mark.parametrize("line", [b"", b"hello\n", b"[1]\n", b'{"kind": "song"}\n', b'{"kind": "cancel"}\n', b"\xff\n"])
def test_other_lines_are_refused(line):
    with pytest.raises(protocol.ProtocolError):
        protocol.decode(line)


def test_a_job_is_answered_with_the_motion_and_leaves_nothing_behind(worker, tmp_path):
    heard = []
    motion = worker.submit(task()).wait(lambda fraction, phase: heard.append((fraction, phase)))
    assert motion.frames == 50 and motion.seed == 7
    fractions = [fraction for fraction, _ in heard]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert worker.hello.version == protocol.VERSION and worker.hello.pid == worker.pid != os.getpid()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "log"]
    assert "a library prints to stdout" in worker.log_path.read_text()
    worker.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log"]


def test_the_process_stays_warm(worker):
    first = worker.submit(task()).wait()
    pid = worker.pid
    second = worker.submit(task()).wait()
    assert worker.pid == pid
    np.testing.assert_array_equal(first.jaw, second.jaw)


def test_resampling_sends_the_motion_along_and_packed_sounds_travel_as_bytes(worker):
    motion = worker.submit(task()).wait()
    job = worker.submit(Task("resample", b"RIFF", 8, motion=motion, parts=("gaze",)))
    assert Path(job.request.audio).read_bytes() == b"RIFF"
    again = job.wait()
    assert (again.eyes == np.float32(0.08)).all()
    np.testing.assert_array_equal(again.head, motion.head)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("refuse", "It does not please. Ask otherwise."),
        ("crash", "ZeroDivisionError: of ours"),
        ("out of memory", "memory did not suffice"),
    ],
)
def test_a_fault_arrives_as_words_and_the_worker_lives_on(worker, act, words):
    with pytest.raises(TalkingEyesError) as fault:
        worker.submit(task(act)).wait()
    assert words in str(fault.value)
    pid = worker.pid
    assert worker.submit(task()).wait().frames == 50
    assert worker.pid == pid


def test_an_unknown_task_is_refused(worker):
    with pytest.raises(TalkingEyesError, match="knows no task"):
        worker.submit(Task("sing", "speech.wav", 1)).wait()


def test_one_job_at_a_time(worker):
    job = worker.submit(task("work"))
    with pytest.raises(TalkingEyesError, match="already running"):
        worker.submit(task())
    job.cancel()


def test_cancel_is_immediate_and_keeps_the_worker(worker):
    job = worker.submit(task("work"))
    until(in_phase(job, "Working"))
    pid, began = worker.pid, time.perf_counter()
    job.cancel()
    assert job.state == "cancelled" and time.perf_counter() - began < 0.5
    with pytest.raises(Cancelled):
        job.wait()
    assert worker.submit(task()).wait().frames == 50
    assert worker.pid == pid


def test_cancel_before_the_worker_is_up(worker):
    worker.submit(task("work")).cancel()
    assert worker.submit(task()).wait().frames == 50


def test_a_worker_that_does_not_listen_is_killed(worker, monkeypatch):
    monkeypatch.setattr(client, "GRACE_SECONDS", 0.3)
    job = worker.submit(task("deaf"))
    until(in_phase(job, "Thinking"))
    pid = worker.pid
    job.cancel()
    assert worker.submit(task()).wait(lambda *_: None).frames == 50
    assert worker.pid != pid and not alive(pid)


def test_a_worker_killed_in_the_middle_is_reported_and_replaced(worker):
    job = worker.submit(task("work"))
    until(in_phase(job, "Working"))
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(TalkingEyesError, match="ended by SIGKILL in the middle of the job") as fault:
        job.wait()
    assert str(worker.log_path) in fault.value.hint
    assert worker.submit(task()).wait().frames == 50


def test_a_worker_that_dies_of_its_job_is_not_restarted_forever(worker):
    with pytest.raises(TalkingEyesError, match="SIGKILL"):
        worker.submit(task("die")).wait()


def test_closing_ends_the_children_of_the_worker_too(worker, tmp_path):
    job = worker.submit(task("spawn", audio=str(tmp_path)))
    until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
    child, pid = int((tmp_path / "child").read_text()), worker.pid
    assert alive(child) and alive(pid)
    worker.close()
    until(lambda: not alive(child) and not alive(pid))
    with pytest.raises(Cancelled):
        job.wait()


def test_an_idle_worker_ends_and_the_next_job_finds_another(make_worker):
    worker = make_worker(idle=0.3)
    worker.submit(task()).wait()
    pid = worker.pid
    until(lambda: worker.pid is None)
    assert not alive(pid)
    assert worker.submit(task()).wait().frames == 50


def test_the_worker_ends_with_its_parent_and_removes_its_files(tmp_path):
    script = f"""
        import sys, time
        from pathlib import Path
        from talkingeyes_blender.worker.client import Task, Worker
        worker = Worker(sys.executable, scratch=Path({str(tmp_path)!r}), launcher=Path({str(DOUBLE)!r}))
        job = worker.submit(Task("generate", "speech.wav", 1, settings={{"act": "deaf"}}))
        while job.phase != "Thinking":
            job.poll(0.1)
        print(worker.pid, flush=True)
        time.sleep(600)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    pid = int(parent.stdout.readline())
    assert alive(pid) and list(tmp_path.iterdir())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not alive(pid))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_while_the_motion_is_written(make_worker, tmp_path):
    """The kernel refuses the worker's writes past 4 kB, as it does on a full disk."""
    wrapper = tmp_path / "python3"
    wrapper.write_text(f'#!/bin/sh\nulimit -f 4\nexec "{sys.executable}" "$@"\n')
    wrapper.chmod(0o755)
    worker = make_worker(python=str(wrapper), log_folder=None)
    job = worker.submit(Task("generate", "speech.wav", 1, settings={"frames": 20_000}))
    with pytest.raises(TalkingEyesError, match="could not be written"):
        job.wait()
    assert not list(tmp_path.glob("talkingeyes-*/*/*"))
    assert worker.submit(Task("generate", "speech.wav", 1, settings={"frames": 2})).wait().frames == 2


def test_a_full_disk_while_a_packed_sound_is_written(worker, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(TalkingEyesError, match="could not be written"):
            worker.submit(Task("generate", bytes(100_000), 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.glob("talkingeyes-*/*"))
    assert worker.submit(task()).wait().frames == 50


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """A Python that has nothing but its standard library."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


def test_a_python_without_torch_says_so(make_worker, bare_python):
    worker = make_worker(python=str(bare_python), launcher=client.LAUNCHER)
    with pytest.raises(TalkingEyesError, match="lacks torch, numpy") as fault:
        worker.submit(task()).wait()
    assert str(bare_python) in fault.value.message
    assert "preferences" in fault.value.hint and interpreters.VARIABLE in fault.value.hint


def test_a_python_that_is_not_there_says_so(make_worker, tmp_path):
    worker = make_worker(python=str(tmp_path / "nowhere" / "python3"))
    with pytest.raises(TalkingEyesError, match=r"cannot be started \(No such file"):
        worker.submit(task()).wait()


def test_a_program_that_is_no_worker_says_so(make_worker):
    with pytest.raises(TalkingEyesError, match="ended with the exit code"):
        make_worker(python="/bin/false").submit(task()).wait()


def test_the_next_python_is_tried_if_one_lacks_torch(make_worker, bare_python, monkeypatch):
    monkeypatch.setattr(interpreters, "candidates", lambda preference: [str(bare_python), sys.executable])
    worker = make_worker(python="")
    assert worker.submit(task()).wait().frames == 50
    assert worker.hello.executable == sys.executable


def test_candidates(monkeypatch, tmp_path, bare_python):
    monkeypatch.delenv(interpreters.VARIABLE, raising=False)
    monkeypatch.setenv("VIRTUAL_ENV", str(bare_python.parents[1]))
    found = interpreters.candidates()
    assert found[0] == sys.executable and str(bare_python) in found and len(found) == len(set(found))
    monkeypatch.setattr(sys, "executable", "/usr/bin/blender")
    assert "/usr/bin/blender" not in interpreters.candidates()
    monkeypatch.setenv(interpreters.VARIABLE, "/opt/env/python3")
    assert interpreters.candidates() == ["/opt/env/python3"]
    assert interpreters.candidates(str(bare_python.parents[1])) == [str(bare_python)]


def test_the_environment_of_our_python_does_not_reach_another(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("PYTHONHOME", "/somewhere")
    theirs = interpreters.environment("/opt/env/bin/python3")
    assert not {"PYTHONPATH", "PYTHONHOME"} & set(theirs) and theirs["PATH"] == os.environ["PATH"]
    assert interpreters.environment(sys.executable) == dict(os.environ)


def test_blenders_side_imports_no_torch():
    code = (
        "import sys; from talkingeyes_blender.worker import client; "
        "print({'torch', 'transformers', 'scipy', 'soundfile'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.stdout.strip() == "set()", done.stderr
