"""The private environment of the worker: a Python of its own with torch, made on the user's click and not before.

It lies in a folder of the add-on's. Making it again goes on where it stopped (pip keeps what it has downloaded and
passes over what is installed); only an environment that has made a real motion counts as ready.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import Cancelled, TalkingEyesError
from .process import end_group, own_group
from .torch_builds import OLDEST_PYTHON, Build

log = logging.getLogger(__name__)

RECORD = "environment.json"
SAMPLE = Path(__file__).resolve().parents[1] / "assets" / "speech.flac"
SHARES = {"Making the environment": 0.03, "Installing torch": 0.72, "Installing the rest": 0.15, "Trying it": 0.10}
"""Phases, and their shares of the progress."""

_LEFT_OUT = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")

FAULTS = (  # what pip or Python say, what it means, what to do
    (r"No space left on device|not enough space", "The disk is full.", "Free some space, and set up again."),
    (
        r"NewConnectionError|ConnectTimeout|ReadTimeout|Name or service not known|getaddrinfo failed|Max retries",
        "The servers with the packages could not be reached.",
        "Check the connection, or choose a Package Folder in the preferences; set up again to go on.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError",
        "The connection to the servers is not trusted.",
        "A proxy or a virus scanner may look into it; choose a Package Folder in the preferences instead.",
    ),
    (
        r"Permission denied|Access is denied",
        "A file could not be written.",
        "Close what uses the environment, or remove it.",
    ),
    (
        r"No module named '?(venv|ensurepip)|ensurepip is not available",
        "This Python cannot make environments.",
        "Install its venv part (python3-venv), or choose another Python in the preferences.",
    ),
    (
        r"No matching distribution found|Could not find a version",
        "A package was not found for this Python.",
        "Choose a Python 3.10 to 3.13 in the preferences, or a folder that holds all wheels.",
    ),
)


@dataclasses.dataclass(frozen=True)
class Status:
    """What there is: 'absent', 'unfinished', 'broken' (its Python is gone, after an update of Blender) or 'ready'."""

    state: str
    build: str = ""
    torch: str = ""

    @property
    def ready(self) -> bool:
        return self.state == "ready"


def python_in(folder: Path) -> Path:
    """The environment's Python."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def status(folder: Path) -> Status:
    """What is in the folder; looks at two files."""
    if not folder.is_dir():
        return Status("absent")
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        build, torch = str(record["build"]), str(record["torch"])
    except (OSError, ValueError, KeyError, TypeError):
        return Status("unfinished" if (folder / "pyvenv.cfg").exists() else "absent")
    return Status("ready" if python_in(folder).exists() else "broken", build, torch)


def remove(folder: Path) -> None:
    """Delete the environment.

    Raises:
        TalkingEyesError: the folder holds something else, or a file in it is in use.
    """
    if not folder.exists():
        return
    if any(folder.iterdir()) and not ((folder / "pyvenv.cfg").exists() or (folder / RECORD).exists()):
        raise TalkingEyesError(f"{folder} is not an environment of TalkingEyes.", "It was not touched.")
    # Without its record it counts as unfinished, should the rest take its time or fail.
    (folder / RECORD).unlink(missing_ok=True)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise TalkingEyesError(
            f"{error.filename or folder} could not be removed ({error.strerror}).", "Restart Blender and try again."
        ) from error


class Setup:
    """One making of an environment, in a thread; ``state`` is 'running', 'done', 'failed' or 'cancelled'."""

    def __init__(
        self,
        folder: Path,
        build: Build,
        python: str = "",
        wheels: Path | None = None,
        log_path: Path | None = None,
        cache: Path | None = None,
    ) -> None:
        """Begin.

        Args:
            folder: where the environment is to be.
            build: what of torch is to be in it.
            python: the Python that it is made from; '' is the one that runs us.
            wheels: a folder with all the wheels, for a machine without network.
            log_path: where all that is said is kept.
            cache: pip's folder of downloads, by which a broken download goes on; None is pip's own.
        """
        self.folder, self.build, self.wheels, self.log_path = folder, build, wheels, log_path
        self.state, self.phase, self.fraction = "running", next(iter(SHARES)), 0.0
        self.error: TalkingEyesError | None = None
        self.detail = ""
        self._python, self._cache = python or sys.executable, cache
        self._process: subprocess.Popen | None = None
        self._cancelled = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="talkingeyes set-up", daemon=True)
        self._thread.start()

    @property
    def seconds_left(self) -> float | None:
        """By what is done so far; None as long as that says nothing."""
        if self.fraction < 0.08:
            return None
        return (time.monotonic() - self._began) * (1 - self.fraction) / self.fraction

    def cancel(self) -> None:
        """Stop at once; what is downloaded and installed stays for the next time."""
        self._cancelled.set()
        process = self._process
        if process is not None:
            end_group(process)

    def wait(self) -> None:
        """Block until the end; raise what went wrong, or Cancelled."""
        self._thread.join()
        if self.state == "cancelled":
            raise Cancelled
        if self.error is not None:
            raise self.error

    # What follows runs in the thread.

    def _run(self) -> None:
        try:
            self._make()
            self.fraction, self.state = 1.0, "done"
        except Cancelled:
            self.state = "cancelled"
        except TalkingEyesError as error:
            log.warning("set-up: %s", error)
            self.error, self.state = error, "failed"
        except Exception as error:  # a thread's fault must reach the user too
            log.exception("set-up")
            self.error = TalkingEyesError(f"The set-up failed ({error}).", self._where_to_look())
            self.state = "failed"

    def _make(self) -> None:
        self._begin("Making the environment")
        python = python_in(self.folder)
        if not python.exists():
            self._check_python()
            # --clear: after an update of Blender the old one leads nowhere.
            self._call([self._python, "-m", "venv", *(["--clear"] if self.folder.exists() else []), str(self.folder)])
        (self.folder / RECORD).unlink(missing_ok=True)
        self._pip("--upgrade", "pip", may_fail=True)  # older ones do not tell how far they are
        self._begin("Installing torch")
        torch = [name for name in self.build.requirements if re.match(r"torch\b", name)]
        rest = [name for name in self.build.requirements if name not in torch]
        index = [] if self.wheels or self.build.index is None else ["--index-url", self.build.index]
        self._pip(*index, *torch)
        self._begin("Installing the rest")
        self._pip(*rest, *torch)
        self._begin("Trying it")
        self._try()
        self._record()

    def _check_python(self) -> None:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        code = f"import sys; sys.exit(sys.version_info < {OLDEST_PYTHON!r} or sys.maxsize < 2**32)"
        if self._call([self._python, "-c", code], may_fail=True):
            raise TalkingEyesError(
                f"The Python '{self._python}' is older than {oldest}, or of 32 bits.",
                "Choose another in the preferences.",
            )

    def _begin(self, phase: str) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        names = list(SHARES)
        self.phase, self.detail = phase, ""
        self.fraction = sum(SHARES[name] for name in names[: names.index(phase)])

    def _advance(self, share: float) -> None:
        """``share`` of the phase is done."""
        names = list(SHARES)
        before = sum(SHARES[name] for name in names[: names.index(self.phase)])
        self.fraction = max(self.fraction, before + SHARES[self.phase] * min(1.0, share))

    def _pip(self, *arguments: str, may_fail: bool = False) -> None:
        command = [str(python_in(self.folder)), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        if self.wheels is not None:
            command += ["--no-index", "--find-links", str(self.wheels)]
        if self._cache is not None:
            command += ["--cache-dir", str(self._cache)]
        if not may_fail and self._tells_progress():
            command += ["--progress-bar", "raw"]
        self._call([*command, *arguments], may_fail)

    def _tells_progress(self) -> bool:
        for path in self.folder.rglob("pip-*.dist-info"):
            found = re.match(r"pip-(\d+)\.(\d+)", path.name)
            if found and (int(found[1]), int(found[2])) >= (24, 1):
                return True
        return False

    def _call(self, command: Sequence[str], may_fail: bool = False) -> int:
        """Run a program to its end, listening; return its exit status."""
        if self._cancelled.is_set():
            raise Cancelled
        # Blender's own settings of Python must not reach another one, nor the user's site-packages the environment.
        environment = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
        environment |= {"PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"}
        said: list[str] = []
        with contextlib.ExitStack() as stack:
            keep = None
            if self.log_path is not None:
                with contextlib.suppress(OSError):
                    keep = stack.enter_context(open(self.log_path, "a", encoding="utf-8"))
                    keep.write(f"$ {' '.join(command)}\n")
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                    encoding="utf-8", errors="replace", env=environment, cwd=tempfile.gettempdir(), **own_group(),
                )  # fmt: skip
            except OSError as error:
                raise TalkingEyesError(
                    f"The Python '{command[0]}' cannot be started ({error.strerror}).",
                    "Choose another in the preferences.",
                ) from error
            if self._cancelled.is_set():
                end_group(self._process)
            for line in self._process.stdout:
                if self._hear(line.rstrip()):
                    said.append(line.rstrip())
                    if keep is not None:
                        keep.write(line)
            code = self._process.wait()
            self._process.stdout.close()
            self._process = None
        if self._cancelled.is_set():
            raise Cancelled
        if code and not may_fail:
            raise self._fault(command, code, said)
        return code

    def _hear(self, line: str) -> bool:
        """Take in a line of pip's; return whether it is worth keeping."""
        progress = re.match(r"Progress (\d+) of (\d+)", line)
        if progress:
            done, whole = int(progress[1]), int(progress[2])
            # The largest file is most of the phase; small ones beside it hardly count.
            weight = min(1.0, whole / (self.build.download_megabytes * 0.6e6))
            self._advance(0.9 * weight * done / max(1, whole))
            return False
        named = re.match(r"\s*(Collecting|Downloading|Installing|Using cached)\s+(\S+)", line)
        if named:
            self.detail = f"{named[1]} {named[2].split('/')[-1]}"
        return bool(line.strip())

    def _fault(self, command: Sequence[str], code: int, said: Sequence[str]) -> TalkingEyesError:
        text = "\n".join(said)
        for pattern, message, hint in FAULTS:
            if re.search(pattern, text, re.IGNORECASE):
                return TalkingEyesError(message, hint)
        last = next((line for line in reversed(said) if "error" in line.lower()), said[-1] if said else "nothing said")
        program = "pip" if "pip" in command else Path(command[0]).name
        return TalkingEyesError(f"{program} ended with the exit code {code}: {last[:200]}", self._where_to_look())

    def _where_to_look(self) -> str:
        return f"The log says more: {self.log_path}" if self.log_path is not None else ""

    def _try(self) -> None:
        """Make a motion with it."""
        from .client import Task, Worker

        worker = Worker(str(python_in(self.folder)), self.log_path.parent if self.log_path else None)
        try:
            job = worker.submit(Task("generate", str(SAMPLE), seed=1, duration=1.0))
            while job.state == "running":
                if self._cancelled.is_set():
                    job.cancel()
                    raise Cancelled
                job.poll(timeout=0.2)
                self._advance(job.fraction)
            if job.error is not None:
                raise job.error
            self._packages = dict(worker.hello.packages)
        finally:
            worker.close()

    def _record(self) -> None:
        record = {"build": self.build.name, "torch": self._packages.get("torch", ""), "packages": self._packages}
        temporary = self.folder / (RECORD + ".part")
        temporary.write_text(json.dumps(record | {"made_from": self._python}, indent=1), encoding="utf-8")
        os.replace(temporary, self.folder / RECORD)
