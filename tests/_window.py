"""What Blender makes of an operator with a job in a window, without one: begun, ticked and ended by hand."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import types

import pytest

bpy = pytest.importorskip("bpy")

from talkingeyes_blender.operators import jobs  # noqa: E402

TIMER = types.SimpleNamespace(type="TIMER", value="NOTHING")


class JobWindow(jobs.JobOperator):
    """Subclasses say what Blender's operator says: label, idname, ``edited`` and ``plan``."""

    def __init__(self) -> None:
        self.said = []
        self._begin(bpy.context, watched=True)

    def report(self, kind, text) -> None:
        self.said.append(text)

    def _leave_window(self, _context) -> None:
        jobs._leave()

    def tick(self, event=TIMER) -> set[str]:
        return self.modal(bpy.context, event)
