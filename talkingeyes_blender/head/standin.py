"""The bundled stand-in head, for everyone who has no FLAME file."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import functools
from pathlib import Path

from .model import HeadModel
from .reading import read_head

STANDIN_FILE = Path(__file__).resolve().parents[1] / "assets" / "standin.npz"
"""Written by ``python -m talkingeyes_blender.head.standin_build``."""


@functools.cache
def load_standin() -> HeadModel:
    """The stand-in as a head model; read once in a process, and shared, so do not change its arrays."""
    return read_head(STANDIN_FILE)
