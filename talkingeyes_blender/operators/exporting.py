"""An export of numbers under way: in a window a little at a time, with Cancel; elsewhere in one go."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs

if TYPE_CHECKING:
    from ..head.flame_motion import Root
    from ..motion import Motion
    from ..rig.export_sample import Sampler

log = logging.getLogger(__name__)

CHUNK_SECONDS = 0.025
"""How long the window waits for a chunk of frames, and then for one frame more at most."""
LONGEST_CHUNK_SECONDS = 0.5
"""Where drawing the window takes longer than that by itself, a chunk may take half as long as drawing, up to this."""
TICK_SECONDS = 0.01
READING = 0.95
"""Share of the progress until the file is being written."""
LOOKING = {
    "MIDDLEMOUSE",
    "WHEELUPMOUSE",
    "WHEELDOWNMOUSE",
    "MOUSEMOVE",
    "INBETWEEN_MOUSEMOVE",
    "TIMER",
    "WINDOW_DEACTIVATE",
}
"""Events that change nothing of what is being read."""


@dataclasses.dataclass
class Work:
    """What is to be written, and how: ``sampler`` reads the motion, where it is not there yet, ``write`` writes it.

    ``write`` asks Blender nothing, so that a thread can do it.
    """

    label: str
    said: str
    write: Callable[[Motion, Root | None], None]
    motion: Motion | None = None
    sampler: Sampler | None = None
    chunk: float = CHUNK_SECONDS

    def steps(self) -> Iterator[float]:
        """Do it, a little at a time; yields the fraction done. Nothing is written if it is left before the end."""
        while self.sampler is not None and not self.sampler.read(bpy.context, self.chunk):
            yield READING * self.sampler.fraction
        faults: list[BaseException] = []

        def write() -> None:
            try:
                self.write(*(self.sampler.motion() if self.sampler is not None else (self.motion, None)))
            except BaseException as fault:  # told by whoever waits
                faults.append(fault)

        writing = threading.Thread(target=write, name="talkingeyes export")
        writing.start()
        while writing.is_alive():
            yield READING
            writing.join(TICK_SECONDS)
        if faults:
            raise faults[0]


_pending: Work | None = None
_running = False


def why_busy() -> str | None:
    return rpt_("An export is running.") if _running else None


def in_one_go(work: Work, progress: Callable[[float], None]) -> None:
    """Do all of it now."""
    for fraction in work.steps():
        progress(fraction)


def begin(work: Work) -> None:
    """Let the window do it."""
    global _pending
    _pending = work
    bpy.ops.talkingeyes.run_export("INVOKE_DEFAULT")


class RunExport(bpy.types.Operator):
    """Read the motion frame by frame and write it, while the window stays alive"""

    bl_idname = "talkingeyes.run_export"
    bl_label = "Export"
    bl_options = {"INTERNAL"}

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        global _pending, _running
        if _pending is None:
            return {"CANCELLED"}
        self._work, _pending, _running = _pending, None, True
        self._steps, self._writes, self._ticked = self._work.steps(), False, time.perf_counter()
        self._timer = context.window_manager.event_timer_add(TICK_SECONDS, window=context.window)
        self._workspace = context.workspace.name
        context.window_manager.progress_begin(0, 100)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS" and not self._writes:
            return self._end(
                context, {"WARNING"}, rpt_("{label} was cancelled; nothing was written.", label=self._work.label)
            )
        if event.type != "TIMER":
            # Nobody may change what is being read; looking at it is another thing.
            return {"PASS_THROUGH"} if event.type in LOOKING else {"RUNNING_MODAL"}
        drawn = time.perf_counter() - self._ticked
        self._work.chunk = min(max(CHUNK_SECONDS, drawn / 2), LONGEST_CHUNK_SECONDS)
        try:
            done = next(self._steps)
        except StopIteration:
            return self._end(context, {"INFO"}, self._work.said)
        except TalkingEyesError as error:
            return self._end(context, {"ERROR"}, str(error))
        except Exception as error:  # a fault of ours or of Blender's: the animator must hear of it in words
            log.exception("%s", self._work.label)
            fault = rpt_(
                "The export failed ({name}: {error}); nothing was written.", name=type(error).__name__, error=error
            )
            return self._end(context, {"ERROR"}, fault)
        self._writes = done >= READING
        context.window_manager.progress_update(100 * done)
        self._ticked = time.perf_counter()
        status = rpt_("writing the file") if self._writes else rpt_("{percent:.0f} %, Esc cancels", percent=100 * done)
        context.workspace.status_text_set(f"{self._work.label}: {status}")
        return {"PASS_THROUGH"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends us: the window closes, or another file is loaded."""
        self._leave(context)

    def _end(self, context: bpy.types.Context, kind: set[str], said: str) -> set[str]:
        self._leave(context)
        self.report(kind, said)
        jobs.tell({"INFO": "CHECKMARK", "WARNING": "CANCEL"}.get(*kind, "ERROR"), said)
        jobs.redraw(context)
        return {"FINISHED"} if "INFO" in kind else {"CANCELLED"}

    def _leave(self, context: bpy.types.Context) -> None:
        global _running
        _running = False
        self._steps.close()
        context.window_manager.progress_end()
        context.window_manager.event_timer_remove(self._timer)
        workspace = bpy.data.workspaces.get(self._workspace)
        if workspace is not None:
            with context.temp_override(workspace=workspace):
                workspace.status_text_set(None)


CLASSES = (RunExport,)
