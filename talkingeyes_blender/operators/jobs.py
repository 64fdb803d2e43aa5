"""What all operators that run a job of the worker share: start, tick or wait, cancel, and an honest end.

Nothing that belongs to Blender is kept from one tick to the next, because undo and deletion take it away: a ``Plan``
holds names and session_uids, and looks up what they mean when the motion has arrived.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import atexit
import contextlib
import dataclasses
import logging
import os
from typing import TYPE_CHECKING, Protocol

import bpy
from bpy.app.handlers import persistent

from .. import preferences
from ..errors import Cancelled, TalkingEyesError
from ..translation import n_, rpt_
from . import kept

if TYPE_CHECKING:
    from ..motion import Motion
    from ..rig.steps import Steps, Work
    from ..worker.client import Job, Task, Worker
    from ..worker.shelf import Kept

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1
WRITING_TICK_SECONDS = 0.01
STEP_SECONDS = 0.02
"""How long a tick of the writing goes on to its next step; the longest step comes on top."""
UNCHANGED = n_("Nothing was changed.")
KEPT = n_("It is kept: Recover Last Motion tries again.")


@dataclasses.dataclass(frozen=True)
class Note:
    """How the last job ended, for the panel: an icon, a sentence, and the operator that mends it, if one does."""

    icon: str = ""
    text: str = ""
    mend: str = ""


_worker: Worker | None = None
_running: Job | None = None
_writing: Work[str] | None = None
"""What is being written a step at a time, while the operator lets nothing else happen."""
_note = Note()
_to_retry: Plan | None = None


class Plan(Protocol):
    """A job and what shall become of its motion."""

    task: Task

    def apply(self, context: bpy.types.Context, motion: Motion) -> str:
        """Write the motion (of a task with ``seeds``, the list of them) and return a sentence for the user.

        Raises TalkingEyesError before anything is changed. A plan may also have ``steps``, the same in steps.
        """
        ...


def running() -> Job | None:
    return _running


def writing() -> bool:
    """Whether a motion that has been made is being written."""
    return _writing is not None


def why_busy() -> str | None:
    return rpt_("A generation is running.") if _running is not None else None


def note() -> Note:
    return _note


def tell(icon: str, text: str, mend: str = "") -> None:
    """Let the panel say how the last thing went."""
    global _note
    _note = Note(icon, text, mend)


def to_retry() -> Plan | None:
    """The last job, if the graphics memory did not suffice for it."""
    return _to_retry


def mark_written(done: Kept | None) -> None:
    """A kept motion is in Blender's data now; it stays on disk until the file is saved, should Blender crash.

    It is ours from now on, whichever Blender has made it.
    """
    if done is not None:
        from ..worker.shelf import SESSION

        with contextlib.suppress(OSError):
            done.note(written=True, session=SESSION)
    kept.look_again()


def worker(context: bpy.types.Context) -> Worker:
    """Return the warm worker, or a new one if the preferences have changed since it was made."""
    global _worker
    from ..worker.client import Worker

    chosen = preferences.read(context)
    python = chosen.python or own_python()
    features = (preferences.data_folder() / "features", chosen.features_bytes)
    if _worker is None or (_worker.python, _worker.idle, _worker.features) != (python, chosen.idle_seconds, features):
        close()
        try:
            logs = preferences.log_folder()
        except OSError as error:  # a log is no condition for generating
            log.warning("the worker has no log: %s", error)
            logs = None
        _worker = Worker(python, logs, chosen.idle_seconds, features=features)
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
def leave() -> None:
    """At Blender's end by the user's will: what is not in a saved file now was not to be."""
    close()
    forget_written()


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
    global _running, _note, _to_retry
    cancel()
    stop_writing()
    _running, _note, _to_retry = None, Note(), None


@persistent
def finish_writing(*_arguments: object) -> None:
    """Before a file is saved: what is half written is written to its end."""
    if _writing is not None:
        _writing.go_on()


@persistent
def stop_writing(*_arguments: object) -> None:
    """Before an undo, a redo or a load that a script asks for: what is half written is taken back."""
    if _writing is not None:
        _writing.stop(TalkingEyesError(rpt_("The scene changed while the motion was written."), rpt_(KEPT)))


@persistent
def forget(*_arguments: object) -> None:
    """After an undo or a redo: what the last job told may not hold any more."""
    global _note, _to_retry
    _note, _to_retry = Note(), None


@persistent
def forget_written(*_arguments: object) -> None:
    """After a file was saved or loaded: what was written to the scene is in the file, or was given up."""
    kept.forget_written()


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
    _timer: bpy.types.Timer | None = None

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
            self._begin(context, watched=False)
            with contextlib.suppress(Cancelled, TalkingEyesError):  # the job's state says so
                self._job.wait(tell)
        except TalkingEyesError as error:
            return self._refuse(error)
        finally:
            _leave()
        ended = self._ended_without_motion()
        if ended is not None:
            return ended
        self._begin_writing(context)
        _writing.go_on()
        return self._end_writing()

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if bpy.app.background or context.window is None:
            return self.execute(context)
        try:
            self._begin(context, watched=True)
        except TalkingEyesError as error:
            return self._refuse(error)
        self._timer = context.window_manager.event_timer_add(TICK_SECONDS, window=context.window)
        context.window_manager.modal_handler_add(self)
        self._workspace = context.workspace.name
        context.workspace.status_text_set(rpt_("{operator}: Esc cancels", operator=rpt_(self.bl_label)))
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if _writing is not None:
            return self._write(context, event)
        if event.type == "ESC" and event.value == "PRESS":
            self._job.cancel()
        elif event.type != "TIMER":
            return {"PASS_THROUGH"}
        if self._job.poll() or self._job.seconds_left is not None:
            redraw(context)
        if self._job.state == "running":
            self._preview.tick(context, self._job)
            return {"PASS_THROUGH"}
        self._preview.remove()
        ended = self._ended_without_motion()
        if ended is not None:
            return self._leave_with(context, ended)
        self._begin_writing(context)
        self._hurry(context)
        return {"PASS_THROUGH"}

    def _write(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """A tick of the writing, during which the user can change nothing."""
        if event.type != "TIMER":
            return {"PASS_THROUGH"} if event.type.startswith("TIMER") else {"RUNNING_MODAL"}
        if not _writing.go_on(STEP_SECONDS):
            return {"PASS_THROUGH"}
        return self._leave_with(context, self._end_writing())

    def _leave_with(self, context: bpy.types.Context, result: set[str]) -> set[str]:
        self._leave_window(context)
        if result != {"FINISHED"}:
            self._preview.stop(context)
        redraw(context)
        return result

    def _hurry(self, context: bpy.types.Context) -> None:
        """Tick faster, since the user waits."""
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = context.window_manager.event_timer_add(WRITING_TICK_SECONDS, window=context.window)

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends us: the window closes, or another file is loaded."""
        global _writing
        self._job.cancel()
        stop_writing()
        _writing = None
        self._preview.remove()
        self._leave_window(context)

    def _begin(self, context: bpy.types.Context, watched: bool) -> None:
        global _running, _note, _to_retry
        from . import preview

        self._plan = self.plan(context) if watched else preview.without(self.plan(context))
        self._preview = preview.Preview(self._plan)
        _note, _to_retry = Note(), None
        room = kept.begin(context, self._plan)
        try:
            self._job = _running = worker(context).submit(self._plan.task, room)
        except BaseException:
            if room is not None:
                room.discard()
            raise

    def _ended_without_motion(self) -> set[str] | None:
        global _note, _to_retry
        kept.look_again()
        if self._job.state == "cancelled":
            _note = Note("CANCEL", rpt_("{operator} was cancelled; nothing was changed.", operator=rpt_(self.bl_label)))
            self.report({"WARNING"}, _note.text)
            return {"CANCELLED"}
        if self._job.error is not None:
            if self._job.lacks == "graphics memory":
                _to_retry = self._plan
                return self._refuse(self._job.error, "talkingeyes.retry_on_cpu")
            return self._refuse(self._job.error)
        return None

    def _begin_writing(self, context: bpy.types.Context) -> None:
        global _writing
        from ..rig.steps import Work

        made = self._job.motions if self._plan.task.seeds else self._job.motion
        steps = getattr(self._plan, "steps", None)
        _writing = Work(steps(context, made) if steps is not None else _at_once(self._plan, context, made))

    def _end_writing(self) -> set[str]:
        global _note, _writing
        (said, error), _writing = (_writing.result, _writing.error), None
        if isinstance(error, TalkingEyesError):
            return self._refuse(error)
        if error is not None:  # a fault of ours or of Blender's: the animator must hear of it in words
            log.error("%s", self.bl_idname, exc_info=error)
            fault = rpt_("The motion could not be written ({kind}: {error}).", kind=type(error).__name__, error=error)
            return self._refuse(TalkingEyesError(fault, rpt_(KEPT)))
        mark_written(self._job.kept)
        _note = Note(
            "CHECKMARK",
            rpt_("{said} ({seconds:.1f} s on {device})", said=said, seconds=self._job.seconds, device=self._job.device),
        )
        self.report({"INFO"}, _note.text)
        return {"FINISHED"}

    def _refuse(self, error: TalkingEyesError, mend: str = "") -> set[str]:
        global _note
        if not mend and "preferences" in error.hint:
            mend = "talkingeyes.open_preferences"
        _note = Note("ERROR", str(error), mend)
        self.report({"ERROR"}, _note.text)
        return {"CANCELLED"}

    def _leave_window(self, context: bpy.types.Context) -> None:
        _leave()
        context.window_manager.event_timer_remove(self._timer)
        workspace = bpy.data.workspaces.get(self._workspace)
        if workspace is not None:  # where it was set: the user may look at another one by now
            with context.temp_override(workspace=workspace):
                workspace.status_text_set(None)


def _at_once(plan: Plan, context: bpy.types.Context, made: Motion | list[Motion]) -> Steps[str]:
    return plan.apply(context, made)
    yield


def _leave() -> None:
    global _running
    _running = None


def redraw(context: bpy.types.Context) -> None:
    """Draw the sidebars again, in all windows; not the scene beside them, which may take long to draw."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in {"VIEW_3D", "SEQUENCE_EDITOR"}:
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def still_there(collection: bpy.types.bpy_prop_collection, uid: int, otherwise: str) -> bpy.types.ID:
    """Return the data-block with this ``session_uid``; raise TalkingEyesError if it is gone."""
    for block in collection:
        if block.session_uid == uid:
            return block
    raise TalkingEyesError(rpt_("{otherwise} while the motion was made.", otherwise=otherwise), rpt_(UNCHANGED))
