"""Blender's side of the worker: hands it jobs and hears what becomes of them.

Nothing here blocks but ``Job.wait``: a thread starts the process and reads its answers, ``Job.poll`` collects them.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from ..errors import Cancelled, TalkingEyesError
from ..motion import Motion
from . import interpreters, protocol
from .pace import Pace
from .process import LAUNCHER, WorkerProcess
from .shelf import Kept

log = logging.getLogger(__name__)

LOG_NAME = "worker.log"
GRACE_SECONDS = 4.0
"""How long a cancelled job may take to stop before the process is killed."""
STARTS = 2
"""How often a job is handed to a process that dies before it answers; an idle one may end just then."""
INSTALL = (
    f"Click Set Up in the add-on's preferences; or choose there, or in {interpreters.VARIABLE}, a Python with torch, "
    "scipy, soundfile and safetensors."
)


@dataclasses.dataclass(frozen=True)
class _Made:
    """What ``Done`` named, read by the worker's thread: reading an hour of motion takes longer than a tick may."""

    done: protocol.Done
    motions: list[Motion] = dataclasses.field(default_factory=list)
    error: TalkingEyesError | None = None


@dataclasses.dataclass(frozen=True)
class Piece:
    """A piece of a motion that is being made, from its frame ``first`` on."""

    first: int
    motion: Motion


Answer = protocol.Progress | Piece | _Made | protocol.Failed | protocol.Stopped


@dataclasses.dataclass(frozen=True)
class Task:
    """What a job shall do; see ``protocol.Request``. ``audio`` is a path, or the bytes of a packed sound.

    ``pieces``: the job shall give what it has made so far.
    """

    task: str
    audio: str | bytes
    seed: int
    start: float = 0.0
    duration: float | None = None
    device: str = "auto"
    bundle: str | None = None
    motion: Motion | None = None
    parts: tuple[str, ...] = ()
    frames: tuple[int, int] | None = None
    settings: dict[str, object] = dataclasses.field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    pieces: bool = False


class Job:
    """One task under way. ``poll`` it, or ``wait`` for it; ``state`` is 'running', 'done', 'failed' or 'cancelled'.

    ``kept``: where its motions lie on disk. They stay there when it is done; otherwise nothing stays.
    """

    def __init__(
        self, request: protocol.Request, folder: Path, on_cancel: Callable[[Job], None], kept: Kept | None = None
    ) -> None:
        self.request, self.kept = request, kept
        self.state = "running"
        self.fraction = 0.0
        self.phase = "Starting the worker"
        self.motion: Motion | None = None
        self.motions: list[Motion] = []
        self.pieces: list[Piece] = []
        """What is made so far, one after another from the first frame on, where the task asks for it."""
        self.error: TalkingEyesError | None = None
        self.lacks = ""
        """'graphics memory' or 'memory' where that did not suffice."""
        self.device = ""
        self.seconds = 0.0
        self._folder, self._on_cancel = folder, on_cancel
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._pace = Pace()

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end by the pace so far, or None as long as nobody can say."""
        return self._pace.seconds_left() if self.state == "running" else None

    def put(self, answer: Answer) -> None:
        """Called by the worker's thread."""
        self._answers.put(answer)

    def poll(self, timeout: float = 0.0) -> bool:
        """Take in what the worker has said, waiting ``timeout`` seconds for its first word; return whether it spoke."""
        heard = False
        with contextlib.suppress(queue.Empty):
            while self.state == "running":
                wait = timeout > 0 and not heard
                self._take(self._answers.get(timeout=timeout) if wait else self._answers.get_nowait())
                heard = True
        return heard

    def wait(self, on_progress: Callable[[float, str], None] | None = None) -> Motion:
        """Block until the end; return the motion, or raise TalkingEyesError or Cancelled."""
        try:
            while self.state == "running":
                if self.poll(timeout=0.2) and on_progress is not None:
                    on_progress(self.fraction, self.phase)
        finally:
            self.cancel()  # no effect on a job that has ended; Ctrl-C must not leave one behind
        if self.error is not None:
            raise self.error
        if self.motion is None:
            raise Cancelled
        return self.motion

    def cancel(self) -> None:
        """Give the job up, at once; what the worker may still do for it is thrown away."""
        if self.state == "running":
            self._end("cancelled")
            self._on_cancel(self)

    def _take(self, answer: Answer) -> None:
        if isinstance(answer, protocol.Progress):
            self.fraction, self.phase = answer.fraction, answer.phase
            self._pace.mark(answer.fraction)
        elif isinstance(answer, Piece):
            self.pieces.append(answer)
        elif isinstance(answer, _Made):
            self.device, self.seconds, self.fraction = answer.done.device, answer.done.seconds, 1.0
            self.error = answer.error
            if self.error is None:
                self.motions = answer.motions
                self.motion = self.motions[0]
            self._end("failed" if self.error else "done")
        elif isinstance(answer, protocol.Failed):
            if answer.trace:
                log.error("%s", answer.trace)
            self.error, self.lacks = TalkingEyesError(answer.message, answer.hint), answer.lacks
            self._end("failed")
        else:
            self._end("cancelled")

    def _end(self, state: str) -> None:
        self.state = state
        shutil.rmtree(self._folder, ignore_errors=True)
        if self.kept is not None and state != "done":
            self.kept.discard()


class Worker:
    """A process that makes motions, started with the first job and kept warm; one job at a time.

    ``python``: the interpreter that the user chose, or ''. ``log_folder`` gets ``worker.log``. ``idle``: seconds
    without a job after which the process ends. ``scratch``: where the private folder of the jobs' files is made (None:
    the system's temporary folder). ``features``: folder in which it keeps what it heard, and how many bytes at most.
    """

    def __init__(
        self,
        python: str = "",
        log_folder: Path | None = None,
        idle: float = 300.0,
        scratch: Path | None = None,
        launcher: Path = LAUNCHER,
        features: tuple[Path, int] | None = None,
    ) -> None:
        self.python, self.log_folder, self.idle, self.features = python, log_folder, idle, features
        self.hello: protocol.Hello | None = None
        self._scratch, self._launcher = scratch, launcher
        self._numbers = itertools.count(1)
        self._folder: Path | None = None
        self._lock = threading.RLock()  # guards all below
        self._job: Job | None = None
        self._starts = 0
        self._answered = False
        self._process: WorkerProcess | None = None
        self._ready = False
        self._supervised = False
        self._stopping: set[int] = set()

    @property
    def busy(self) -> bool:
        return self._job is not None

    @property
    def pid(self) -> int | None:
        """The running process, or None."""
        process = self._process
        return process.pid if process is not None else None

    @property
    def log_path(self) -> Path | None:
        return self.log_folder / LOG_NAME if self.log_folder is not None else None

    def submit(self, task: Task, kept: Kept | None = None) -> Job:
        """Start a job; raise TalkingEyesError if one runs, or if its files cannot be written.

        ``kept``: where its motions shall lie and stay (None: they are gone when they were read).
        """
        with self._lock:
            if self.busy:
                raise TalkingEyesError("A generation is already running.", "Wait for it, or cancel it.")
            number = next(self._numbers)
            folder = self._job_folder(number)
            try:
                request = _write_request(task, number, folder, kept)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            self._job = Job(request, folder, self._cancel, kept)
            self._starts, self._answered = 0, False
            if self._ready:
                self._hand_over()
            elif not self._supervised:
                self._supervised = True
                threading.Thread(target=self._supervise, name="talkingeyes worker", daemon=True).start()
            return self._job

    def close(self) -> None:
        """End the process, give up its job, and remove its files."""
        with self._lock:
            self._finish(protocol.Stopped(self._job.request.id) if self._job else None)
            if self._process is not None:
                self._process.kill()
            folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _job_folder(self, number: int) -> Path:
        try:
            if self._folder is None or not self._folder.is_dir():
                self._folder = Path(tempfile.mkdtemp(prefix="talkingeyes-", dir=self._scratch))
            folder = self._folder / str(number)
            folder.mkdir()
            return folder
        except OSError as error:
            raise TalkingEyesError(
                f"No folder for temporary files could be made ({error.strerror}).", "Free some space there."
            ) from error

    def _cancel(self, job: Job) -> None:
        with self._lock:
            if self._job is not job:
                return
            self._job = None
            process = self._process
            if not self._ready or process is None:
                return
            self._stopping.add(job.request.id)
            process.say(protocol.Cancel(job.request.id))

        def enforce() -> None:
            if job.request.id in self._stopping:
                log.warning("job %d does not stop: ending the worker", job.request.id)
                process.kill()

        timer = threading.Timer(GRACE_SECONDS, enforce)
        timer.daemon = True
        timer.start()

    # What follows runs in the worker's thread.

    def _supervise(self) -> None:
        """Keep a process while there is work for it; pass on what it says."""
        while self._wanted():
            try:
                process = self._start()
            except TalkingEyesError as error:
                log.warning("%s", error)
                self._fail(error.message, error.hint)
                continue
            if process is None:
                continue
            with self._lock:
                self._ready = True
                if self._job is not None:
                    self._hand_over()
            for message in process.messages():
                self._pass_on(message)
            self._bury(process)

    def _wanted(self) -> bool:
        with self._lock:
            self._supervised = self._job is not None
            return self._supervised

    def _start(self) -> WorkerProcess | None:
        """Start the first Python that has what the models need; raise TalkingEyesError if none has.

        Returns None if nobody waits for it any more.
        """
        faults = []
        _turn_over(self.log_path)
        for python in interpreters.candidates(self.python):
            with self._lock:
                if self._job is None or self._folder is None:
                    return None
                folder = self._folder
            try:
                process = WorkerProcess(python, self._launcher, folder, self.log_path, *self._options())
            except TalkingEyesError as error:
                faults.append(error.message)
                continue
            with self._lock:
                self._process = process
            try:
                self.hello = process.greet()
            except TalkingEyesError as error:
                faults.append(error.message)
                with self._lock:
                    self._process = None
                process.close()
                continue
            log.info("worker %d: %s", process.pid, self.hello)
            return process
        raise TalkingEyesError(" ".join(faults) or "No Python was found that could run the models.", INSTALL)

    def _options(self) -> list[str]:
        options = ["--idle", str(self.idle)]
        if self.features is not None:
            folder, limit = self.features
            options += ["--features", str(folder), "--features-limit", str(limit)]
        return options

    def _hand_over(self) -> None:
        self._starts += 1
        self._process.say(self._job.request)

    def _pass_on(self, message: protocol.Message) -> None:
        final = isinstance(message, protocol.Done | protocol.Failed | protocol.Stopped)
        made = _read(message) if isinstance(message, protocol.Done) else message
        if isinstance(message, protocol.Piece):
            made = _read_piece(message)
            if made is None:
                return
        with self._lock:
            if final:
                self._stopping.discard(message.id)
            if self._job is None or getattr(message, "id", None) != self._job.request.id:
                return  # of a job that was given up
            self._answered = True
            if final:
                self._finish(made)
            else:
                self._job.put(made)

    def _bury(self, process: WorkerProcess) -> None:
        """Tell the job, if there is one, of its worker's death, unless a fresh process may take it over."""
        how = process.obituary()
        process.close()
        with self._lock:
            self._process, self._ready = None, False
            self._stopping.clear()
            if self._job is not None and (self._answered or self._starts >= STARTS):
                log.error("the worker %s", how)
                hint = f"Its log is {self.log_path}." if self.log_path is not None else ""
                if "SIGKILL" in how:
                    hint = f"The system may have run out of memory; try again, or trim the sound. {hint}".strip()
                self._fail(f"The worker {how} in the middle of the job.", hint)

    def _fail(self, message: str, hint: str) -> None:
        with self._lock:
            self._finish(protocol.Failed(self._job.request.id, message, hint) if self._job else None)

    def _finish(self, answer: Answer | None) -> None:
        job, self._job = self._job, None
        if job is not None and answer is not None:
            job.put(answer)


def _read(done: protocol.Done) -> _Made:
    try:
        return _Made(done, [Motion.load(path) for path in (done.output, *done.more)])
    except TalkingEyesError as error:
        return _Made(done, error=error)


def _read_piece(piece: protocol.Piece) -> Piece | None:
    """None for one that cannot be read: its job was given up, or else the whole motion will say what is wrong."""
    try:
        return Piece(piece.first, Motion.load(piece.output))
    except TalkingEyesError as error:
        log.info("%s", error)
        return None


def _write_request(task: Task, number: int, folder: Path, kept: Kept | None = None) -> protocol.Request:
    """Write what the task brings along into ``folder``; return the request that names it."""
    audio, motion = task.audio, None
    if isinstance(audio, bytes):
        path = folder / "audio"
        try:
            path.write_bytes(audio)
        except OSError as error:
            raise TalkingEyesError(f"{path} could not be written ({error.strerror}).", "Free some space.") from error
        audio = str(path)
    if task.motion is not None:
        motion = str(folder / "given.npz")
        task.motion.save(motion)
    return protocol.Request(
        id=number,
        task=task.task,
        audio=os.path.abspath(audio),
        output=str(kept.output if kept is not None else folder / "motion.npz"),
        seed=task.seed,
        start=task.start,
        duration=task.duration,
        device=task.device,
        bundle=task.bundle,
        motion=motion,
        parts=list(task.parts),
        frames=None if task.frames is None else list(task.frames),
        settings=task.settings,
        seeds=list(task.seeds),
        pieces=str(folder) if task.pieces else None,
    )


def _turn_over(path: Path | None) -> None:
    """Begin a new log and keep the one before."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            os.replace(path, path.with_suffix(".previous.log"))
    except OSError as error:
        log.warning("the log %s cannot be begun anew: %s", path, error)
