"""One operating-system process that runs the worker: start, talk, end with all its children, say what it died of."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from ..errors import TalkingEyesError
from . import interpreters, protocol

log = logging.getLogger(__name__)

LAUNCHER = Path(__file__).with_name("launch.py")
HELLO_SECONDS = 60.0


class WorkerProcess:
    """``python`` running ``launcher`` with ``options``; raise TalkingEyesError if it cannot be started."""

    def __init__(self, python: str, launcher: Path, folder: Path, log_path: Path | None, *options: str) -> None:
        self.python = python
        command = [python, str(launcher), "--folder", str(folder), *options]
        with contextlib.ExitStack() as stack:
            errors: object = subprocess.DEVNULL
            if log_path is not None:
                with contextlib.suppress(OSError):  # a full disk must not keep the worker from running
                    errors = stack.enter_context(open(log_path, "ab"))
            try:
                self._popen = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    cwd=tempfile.gettempdir(),  # a folder that is in use cannot be removed on Windows
                    env=interpreters.environment(python),
                    **own_group(),
                )
            except OSError as error:
                raise TalkingEyesError(f"The Python '{python}' cannot be started ({error.strerror}).") from error

    @property
    def pid(self) -> int:
        return self._popen.pid

    def greet(self) -> protocol.Hello:
        """Wait for the worker's first words; raise TalkingEyesError if it dies, is silent, or lacks what it needs."""
        timer = threading.Timer(HELLO_SECONDS, self.kill)
        timer.daemon = True
        timer.start()
        hello = next(self.messages(), None)
        timer.cancel()
        if not isinstance(hello, protocol.Hello):
            raise TalkingEyesError(f"The Python '{self.python}' {self.obituary()}.")
        if hello.missing:
            raise TalkingEyesError(f"The Python '{self.python}' lacks {', '.join(hello.missing)}.")
        return hello

    def say(self, message: protocol.Message) -> None:
        """Send a message; whether the process lives to hear it shows in ``messages``."""
        with contextlib.suppress(OSError, ValueError):
            self._popen.stdin.write(protocol.encode(message))
            self._popen.stdin.flush()

    def messages(self) -> Iterator[protocol.Message]:
        """Yield what it says until it ends."""
        for line in self._popen.stdout:
            try:
                yield protocol.decode(line)
            except protocol.ProtocolError as error:
                log.warning("%s", error)

    def kill(self) -> None:
        """End it and whatever it started."""
        end_group(self._popen)

    def close(self) -> None:
        """Kill it and let go of its pipes."""
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=5)
        for pipe in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(OSError, ValueError):
                pipe.close()

    def obituary(self) -> str:
        """Return what it died of, to follow its name in a sentence."""
        try:
            code = self._popen.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "does not answer"
        if code >= 0:
            return f"ended with the exit code {code}"
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"


def own_group() -> dict[str, object]:
    """A process group of its own, so that it can be ended with its children; on Windows no console window either."""
    if os.name == "posix":
        return {"start_new_session": True}
    below_normal, new_group = subprocess.BELOW_NORMAL_PRIORITY_CLASS, subprocess.CREATE_NEW_PROCESS_GROUP
    return {"creationflags": subprocess.CREATE_NO_WINDOW | below_normal | new_group}


def end_group(process: subprocess.Popen) -> None:
    """End a process that was started with ``own_group``, and whatever it started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            creationflags=subprocess.CREATE_NO_WINDOW,
        )
