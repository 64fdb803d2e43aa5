"""What all operators that run a job of the worker share: start, tick or wait, cancel, and an honest end.

Nothing that belongs to Blender is kept from one tick to the next, because undo and deletion take it away: a ``Plan``
holds names and session_uids, and looks up what they mean when the motion has arrived.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import atexit
import dataclasses
import logging
import os
from typing import TYPE_CHECKING, Protocol

import bpy
from bpy.app.handlers import persistent

from .. import preferences
from ..errors import Cancelled, TalkingEyesError

if TYPE_CHECKING:
    from ..motion import Motion
    from ..worker.client import Job, Task, Worker

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1
UNCHANGED = "Nothing was changed."


@dataclasses.dataclass(frozen=True)
class Note:
    """How the last job ended, for the panel: an icon, a sentence, and the operator that mends it, if one does."""

    icon: str = ""
    text: str = ""
    mend: str = ""


_worker: Worker | None = None
_running: Job | None = None
_note = Note()


class Plan(Protocol):
    """A job and what shall become of its motion."""

    task: Task

    def apply(self, context: bpy.types.Context, motion: Motion) -> str:
        """Write the motion (of a task with ``seeds``, the list of them) and return a sentence for the user.

        Raises TalkingEyesError before anything is changed.
        """
        ...


def running() -> Job | None:
    return _running


def why_busy() -> str | None:
    return "A generation is running." if _running is not None else None


def note() -> Note:
    return _note


def worker(context: bpy.types.Context) -> Worker:
    """Return the warm worker, or a new one if the preferences have changed since it was made."""
    global _worker
    from ..worker.client import Worker

    chosen = preferences.read(context)
    python = chosen.python or own_python()
    if _worker is None or (_worker.python, _worker.idle) != (python, chosen.idle_seconds):
        close()
        _worker = Worker(python, preferences.log_folder(), chosen.idle_seconds)
    return _worker


def has_run() -> bool:
    """Whether a worker has come up since Blender was started."""
    return _worker is not None and _worker.hello is not None


def own_python() -> str:
    """Return the Python of the environment that Set Up made, or '' where there is none that works."""
    from ..worker.environment import python_in, status
    from ..worker.interpreters import VARIABLE

    folder = preferences.data_folder() / "environment"
    return str(python_in(folder)) if status(folder).ready and not os.environ.get(VARIABLE) else ""


@atexit.register
def close() -> None:
    """End the worker and its job."""
    global _worker, _running
    if _worker is not None:
        _worker.close()
    _worker = _running = None


def cancel() -> None:
    """Give up the running job, if there is one; its operator reports it."""
    if _running is not None:
        _running.cancel()


@persistent
def drop(*_arguments: object) -> None:
    """Before a file is loaded: what the job was for goes away, and so does the story of the last one."""
    global _running, _note
    cancel()
    _running, _note = None, Note()


@persistent
def forget(*_arguments: object) -> None:
    """After an undo or a redo: what the last job told may not hold any more."""
    global _note
    _note = Note()


class Explained:
    """An operator that says why it cannot run: one answer feeds the greyed-out button and the panel."""

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = cls.disabled_reason(context)
        if reason is not None:
            cls.poll_message_set(reason)
        return reason is None


class JobOperator(Explained):
    """An operator that makes a motion: modal in a window, blocking in the background, in scripts and in the module.

    It is not registered for 'repeat' and 'adjust last operation', which would run it blocking, and freeze the window.
    """

    bl_options = {"UNDO"}

    def plan(self, context: bpy.types.Context) -> Plan:
        """Say what to do; raise TalkingEyesError if it cannot be done."""
        raise NotImplementedError

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return why_busy()

    def execute(self, context: bpy.types.Context) -> set[str]:
        def tell(fraction: float, phase: str) -> None:
            log.info("%3.0f %% %s", 100 * fraction, phase)

        try:
            self._begin(context)
            self._job.wait(tell)
        except Cancelled:
            pass
        except TalkingEyesError as error:
            return self._refuse(error)
        finally:
            _leave()
        return self._end(context)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if bpy.app.background or context.window is None:
            return self.execute(context)
        try:
            self._begin(context)
        except TalkingEyesError as error:
            return self._refuse(error)
        self._timer = context.window_manager.event_timer_add(TICK_SECONDS, window=context.window)
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set(f"{self.bl_label}: Esc cancels")
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS":
            self._job.cancel()
        elif event.type != "TIMER":
            return {"PASS_THROUGH"}
        if self._job.poll():
            redraw(context)
        if self._job.state == "running":
            return {"PASS_THROUGH"}
        self._leave_window(context)
        result = self._end(context)
        redraw(context)
        return result

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends us: the window closes, or another file is loaded."""
        self._job.cancel()
        self._leave_window(context)

    def _begin(self, context: bpy.types.Context) -> None:
        global _running, _note
        self._plan = self.plan(context)
        _note = Note()
        self._job = _running = worker(context).submit(self._plan.task)

    def _end(self, context: bpy.types.Context) -> set[str]:
        global _note
        if self._job.state == "cancelled":
            _note = Note("CANCEL", f"{self.bl_label} was cancelled; nothing was changed.")
            self.report({"WARNING"}, _note.text)
            return {"CANCELLED"}
        if self._job.error is not None:
            return self._refuse(self._job.error)
        from . import recovery

        story = getattr(self._plan, "story", None)
        kept = recovery.keep(self._job.motion, story) if story else None
        try:
            several = bool(self._plan.task.seeds)
            said = self._plan.apply(context, self._job.motions if several else self._job.motion)
        except TalkingEyesError as error:
            result = self._refuse(error)
            if kept is not None:
                _note = dataclasses.replace(_note, mend="talkingeyes.recover_motion")
            return result
        recovery.forget(kept)
        _note = Note("CHECKMARK", f"{said} ({self._job.seconds:.1f} s on {self._job.device})")
        self.report({"INFO"}, _note.text)
        return {"FINISHED"}

    def _refuse(self, error: TalkingEyesError) -> set[str]:
        global _note
        mend = "talkingeyes.open_preferences" if "preferences" in error.hint else ""
        plan = getattr(self, "_plan", None)  # none yet where there was something wrong with the plan
        if "memory did not suffice" in error.message and plan is not None and plan.task.device != "cpu":
            mend = "talkingeyes.retry_on_cpu"
        _note = Note("ERROR", str(error), mend)
        self.report({"ERROR"}, _note.text)
        return {"CANCELLED"}

    def _leave_window(self, context: bpy.types.Context) -> None:
        _leave()
        context.window_manager.event_timer_remove(self._timer)
        if context.workspace is not None:
            context.workspace.status_text_set(None)


def _leave() -> None:
    global _running
    _running = None


def redraw(context: bpy.types.Context) -> None:
    """Draw the sidebars again, in all windows."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


def still_there(collection: bpy.types.bpy_prop_collection, uid: int, otherwise: str) -> bpy.types.ID:
    """Return the data-block with this ``session_uid``; raise TalkingEyesError if it is gone."""
    for block in collection:
        if block.session_uid == uid:
            return block
    raise TalkingEyesError(f"{otherwise} while the motion was made.", UNCHANGED)
