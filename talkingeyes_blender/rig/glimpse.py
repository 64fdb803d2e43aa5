"""Which sound a strip plays, as far as it is known without the disk: for panels, which ask at every redraw.

What is asked for is looked up in a thread, so that a slow drive holds nobody up; a later redraw knows it.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import threading
import time

import bpy

from .spoken import fingerprint_of_file, packed_size

AGAIN_SECONDS = 5.0
"""So long what is known of a file is not asked for again."""
_known: dict[str, str] = {}
_asked: dict[str, float] = {}


def fingerprint(sound: bpy.types.Sound) -> str:
    """As ``spoken.fingerprint`` found it lately; '' where nothing is known yet."""
    if sound.packed_file is not None:
        return packed_size(sound)
    path = bpy.path.abspath(sound.filepath, library=sound.library)
    now = time.monotonic()
    if now - _asked.get(path, -AGAIN_SECONDS) >= AGAIN_SECONDS:
        _asked[path] = now
        threading.Thread(target=_look, args=(path,), name="talkingeyes glimpse", daemon=True).start()
    return _known.get(path, "")


def _look(path: str) -> None:
    try:
        state = os.stat(path)
        _known[path] = fingerprint_of_file(path, state.st_size, state.st_mtime_ns)
    except OSError:
        _known[path] = ""
