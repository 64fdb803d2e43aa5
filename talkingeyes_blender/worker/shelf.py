"""Motions on disk from the moment they are made until they are safe in a .blend file.

The worker writes a job's motions straight to a folder of their own here, beside a record of what they were made for,
so that neither Blender's end nor a head that has gone takes them along. A number of them is kept, the newest.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from ..errors import TalkingEyesError
from ..motion import Motion

log = logging.getLogger(__name__)

KEPT = 8
"""How many finished motions stay."""
RECORD, MOTION = "record.json", "motion.npz"
SESSION = uuid.uuid4().hex
"""Of this Blender."""
AT_WORK_SECONDS = 60.0
"""So long after it was made, a motion of another Blender is taken to be about to be written by that one."""
UNFINISHED_SECONDS = 2 * 24 * 3600.0
"""After this, a job of another Blender that has left no motion is taken to have died."""


class Kept:
    """One job's folder: ``record`` says what its motions are for, ``motions`` are there once they are made."""

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self.folder, self.record = folder, record

    @property
    def output(self) -> Path:
        """Where the first motion goes; further takes go to ``motion-2.npz`` and so on."""
        return self.folder / MOTION

    @property
    def finished(self) -> bool:
        return self.output.is_file()

    @property
    def written(self) -> bool:
        """Whether the motions are in Blender's data (and so only lost if Blender crashes before it saves)."""
        return bool(self.record.get("written"))

    def motions(self) -> list[Motion]:
        """Return the motions, the first take first; raise TalkingEyesError if the first is damaged."""
        further = sorted(self.folder.glob("motion-*.npz"), key=lambda path: int(path.stem.partition("-")[2]))
        motions = [Motion.load(self.output)]
        for path in further:
            try:
                motions.append(Motion.load(path))
            except TalkingEyesError as error:
                log.warning("%s", error)
        return motions

    def note(self, **facts: Any) -> None:
        """Add to the record, at once or not at all."""
        _write(self.folder / RECORD, self.record | facts)
        self.record |= facts

    def discard(self) -> None:
        """Remove it; no effect if it is gone."""
        with contextlib.suppress(OSError):
            (self.folder / RECORD).unlink()  # first: without it the rest is rubbish to whoever looks
        shutil.rmtree(self.folder, ignore_errors=True)


class Shelf:
    """All that is kept in ``folder``, which other Blenders may use too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, **record: Any) -> Kept | None:
        """Make room for a job's motions; None, with a word in the log, where the disk does not let us."""
        folder = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.tidy()
            folder = Path(tempfile.mkdtemp(prefix="job-", dir=self.folder))
            kept = Kept(folder, {"session": SESSION, "made": time.time()})
            kept.note(**record)
            return kept
        except OSError as error:
            log.warning("finished motions cannot be kept in %s (%s)", self.folder, error)
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            return None

    def finished(self) -> list[Kept]:
        """Finished motions, the newest first, but for those that another Blender is about to write."""
        found = [kept for kept in self._all() if kept.finished and not _at_work(kept)]
        return sorted(found, key=lambda kept: kept.record["made"], reverse=True)

    def lost(self) -> Kept | None:
        """The newest motion that is in no file: never written, or written by a Blender that ended before it saved."""
        for kept in self.finished():
            if not (kept.written and kept.record["session"] == SESSION):
                return kept
        return None

    def forget_written(self) -> None:
        """Remove what this Blender has written: the file was saved, or given up by the user."""
        for kept in self._all():
            if kept.written and kept.record["session"] == SESSION:
                kept.discard()

    def tidy(self) -> None:
        """Remove all but the newest finished motions, and what dead jobs have left."""
        now = time.time()
        for kept in self.finished()[KEPT - 1 :]:
            kept.discard()
        for folder in self._folders():
            if not (folder / MOTION).is_file() or not (folder / RECORD).is_file():
                with contextlib.suppress(OSError):
                    if now - folder.stat().st_mtime > UNFINISHED_SECONDS:
                        shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if path.name.startswith("job-") and path.is_dir()]
        except OSError:
            return []

    def _all(self) -> list[Kept]:
        found = []
        for folder in self._folders():
            try:
                record = json.loads((folder / RECORD).read_text("utf-8"))
            except (OSError, ValueError):
                continue
            if isinstance(record, dict) and isinstance(record.get("made"), float) and "session" in record:
                found.append(Kept(folder, record))
        return found


def _at_work(kept: Kept) -> bool:
    if kept.record["session"] == SESSION:
        return False
    try:
        return time.time() - kept.output.stat().st_mtime < AT_WORK_SECONDS
    except OSError:
        return True  # it is gone by now


def _write(path: Path, record: dict[str, Any]) -> None:
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(record), "utf-8")
    os.replace(beside, path)
