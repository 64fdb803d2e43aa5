"""The worker's side: reads requests, runs the models, answers. Ends with its parent, and when idle.

The main thread computes; a second thread reads, so that a Cancel is heard while the models run; a third watches the
parent. ``inference``, and torch and numpy with it, is imported with the first request: a Python without them must
still be able to say so.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.metadata
import importlib.util
import logging
import os
import platform
import queue
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import Cancelled, TalkingEyesError
from . import protocol
from .out_of_memory import GPU, give_back, lacking

log = logging.getLogger(__name__)

REQUIREMENTS = ("torch", "numpy", "scipy", "soundfile", "safetensors")
PROGRESS_SECONDS = 0.05
PARENT_SECONDS = 1.0


class Server:
    """Answers requests from ``requests`` on ``events`` until told to stop, until EOF, or for ``idle`` seconds of none.

    ``load(bundle, device)`` returns a Generator; the last one stays loaded, so that a second job starts at once.
    """

    def __init__(self, requests: BinaryIO, events: BinaryIO, load: Callable[[str | None, str], Any], idle: float):
        self._requests, self._events, self._load, self._idle = requests, events, load, idle
        self._queue: queue.SimpleQueue[protocol.Request | None] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._writing = threading.Lock()
        self._warm: tuple[tuple[str | None, str], Any] | None = None

    def run(self, on_orphaned: Callable[[], None]) -> None:
        """Serve; ``on_orphaned`` is called from the reading thread when Blender's end of the line closes."""
        self._send(hello())
        threading.Thread(target=self._read, args=(on_orphaned,), name="requests", daemon=True).start()
        while True:
            try:
                request = self._queue.get(timeout=self._idle)
            except queue.Empty:
                log.info("idle for %.0f s: ending", self._idle)
                return
            if request is None:
                return
            answer = self._answer(request)
            give_back()
            self._send(answer)

    def _read(self, on_orphaned: Callable[[], None]) -> None:
        for line in self._requests:
            try:
                message = protocol.decode(line)
            except protocol.ProtocolError as error:
                log.error("%s", error)
                continue
            if isinstance(message, protocol.Request):
                self._queue.put(message)
            elif isinstance(message, protocol.Cancel):
                self._cancelled.add(message.id)
            elif isinstance(message, protocol.Shutdown):
                self._queue.put(None)
                return
        on_orphaned()

    def _send(self, message: protocol.Message) -> None:
        with self._writing:
            self._events.write(protocol.encode(message))
            self._events.flush()

    def _answer(self, request: protocol.Request) -> protocol.Done | protocol.Failed | protocol.Stopped:
        began = time.perf_counter()
        try:
            device = self._work(request)
            first, *more = protocol.outputs(request)
            return protocol.Done(request.id, first, device, round(time.perf_counter() - began, 3), more)
        except Cancelled:
            return protocol.Stopped(request.id)
        except TalkingEyesError as error:
            return protocol.Failed(request.id, error.message, error.hint, lacks=lacking(error))
        except Exception as error:  # whatever the libraries raise must reach the user, and must not end the worker
            log.exception("job %d", request.id)
            self._warm = None
            return protocol.Failed(request.id, *explain(error), traceback.format_exc(), lacking(error))

    def _work(self, request: protocol.Request) -> str:
        from ..inference.audio import read_audio
        from ..inference.generator import GenerationSettings
        from ..motion import Motion

        progress = self._progress(request.id)
        progress(0.0, "Reading the sound")
        clip = read_audio(request.audio, start=request.start, duration=request.duration)
        settings = GenerationSettings(**request.settings)
        progress(0.0, "Loading the models")
        generator = self._generator(request.bundle, request.device)
        if request.task == "generate":
            on_piece = self._on_piece(request) if request.pieces else None
            motions = [generator.generate(clip, request.seed, settings, progress, on_piece)]
        elif request.task == "generate_takes":
            motions = generator.generate_takes(clip, request.seeds, settings, progress)
        elif request.task == "resample":
            given, (seed, parts, frames) = Motion.load(request.motion), (request.seed, request.parts, request.frames)
            motions = [generator.resample(clip, given, seed, parts, frames, settings, progress)]
        else:
            raise TalkingEyesError(f"The worker knows no task '{request.task}'.", "Restart Blender after an update.")
        progress(1.0, "Saving the motion")
        for motion, path in zip(motions, protocol.outputs(request), strict=True):
            motion.save(path)
        return str(getattr(generator, "device", request.device))

    def _generator(self, bundle: str | None, device: str) -> Any:
        key = (bundle, device)
        if self._warm is None or self._warm[0] != key:
            self._warm = None  # before the next is loaded: two may not fit
            self._warm = (key, self._load(bundle, device))
        return self._warm[1]

    def _on_piece(self, request: protocol.Request) -> Callable[[int, Any], None]:
        def give(first: int, motion: Any) -> None:
            path = os.path.join(request.pieces, f"piece-{first}.npz")
            try:
                motion.save(path)
            except TalkingEyesError as error:  # a preview is no condition for a motion
                log.warning("%s", error)
                return
            self._send(protocol.Piece(request.id, path, first))

        return give

    def _progress(self, job: int) -> Callable[[float, str], None]:
        last = (0.0, "")

        def progress(fraction: float, phase: str) -> None:
            nonlocal last
            if job in self._cancelled:
                raise Cancelled
            now = time.perf_counter()
            if phase != last[1] or now - last[0] >= PROGRESS_SECONDS:
                last = (now, phase)
                self._send(protocol.Progress(job, min(max(float(fraction), 0.0), 1.0), phase))

        return progress


def load_generator(bundle: str | None, device: str, features: tuple[Path, int] | None = None) -> Any:
    """A Generator; ``features``: the folder where it keeps what it heard, and how many bytes of it at most."""
    from ..inference.generator import Generator
    from ..inference.hearing import FeatureCache

    return Generator(bundle, device=device, features=FeatureCache(*features) if features else None)


def hello() -> protocol.Hello:
    """Say who we are and what we lack, without importing any of it."""
    packages, missing = {}, []
    for name in REQUIREMENTS:
        if importlib.util.find_spec(name) is None:
            missing.append(name)
            continue
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[name] = importlib.metadata.version(name)
    return protocol.Hello(
        protocol.VERSION, os.getpid(), platform.python_version(), sys.executable or "", packages, missing
    )


def explain(error: Exception) -> tuple[str, str]:
    """Return (message, hint) for what libraries raise."""
    kind = type(error).__name__
    lacks = lacking(error)
    if lacks:
        other = "Retry on the CPU, close" if lacks == GPU else "Close"
        return f"The {lacks} did not suffice.", f"{other} other programs, or trim the sound."
    if isinstance(error, ImportError):
        return (
            f"The Python {sys.executable} could not load what the models need ({error}).",
            "Mend its torch, numpy, scipy, soundfile or safetensors, or choose another Python in the preferences.",
        )
    if isinstance(error, OSError) and error.strerror:
        return f"A file could not be read or written: {error.filename or 'unnamed'} ({error.strerror}).", ""
    return f"The generation failed: {kind}: {error}", "The worker's log has the details."


def watch_parent(on_orphaned: Callable[[], None]) -> None:
    """Call ``on_orphaned`` when this process gets another parent (on Windows it never does: there, EOF tells)."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        on_orphaned()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main(arguments: list[str], requests: BinaryIO, events: BinaryIO, load=load_generator) -> int:
    parser = argparse.ArgumentParser(prog="worker")
    parser.add_argument("--folder", type=Path, required=True, help="the jobs' files; removed if Blender dies")
    parser.add_argument("--idle", type=float, default=300.0, help="seconds without a request after which to end")
    parser.add_argument("--features", type=Path, help="where speech features are kept; nowhere by default")
    parser.add_argument("--features-limit", type=int, default=0, help="bytes of them at most")
    options = parser.parse_args(arguments)
    if options.features is not None:
        load = functools.partial(load, features=(options.features, options.features_limit))
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    def orphaned() -> None:
        log.info("Blender has gone: ending")
        shutil.rmtree(options.folder, ignore_errors=True)
        if os.name == "posix" and os.getpgid(0) == os.getpid():
            os.killpg(0, signal.SIGKILL)  # with what the libraries may have started
        os._exit(0)  # the main thread may be deep in native code, and nobody is left to hear it

    if hasattr(os, "nice"):
        os.nice(5)  # Blender's window comes first
    watch_parent(orphaned)
    with contextlib.suppress(BrokenPipeError):
        Server(requests, events, load, options.idle).run(orphaned)
    return 0
