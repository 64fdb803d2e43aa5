"""Claims on pieces of work, so that several processes share them; a claim ends with the process that made it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: one process at a time then
    fcntl = None


@contextlib.contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Yield whether the piece of work that the file ``path`` stands for is now ours; others get False meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="ascii") as handle:
        if fcntl is None:
            yield True
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
