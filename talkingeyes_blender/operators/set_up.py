"""Set Up: a private environment with torch for the worker, on a click and with consent."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from .. import preferences
from ..errors import Cancelled, TalkingEyesError
from ..translation import rpt_
from . import jobs

if TYPE_CHECKING:
    from ..worker.environment import Setup, Status
    from ..worker.torch_builds import Build

TICK_SECONDS = 0.2

_running: Setup | None = None
_note = jobs.Note()
_unattended = False
"""Whether the operator that began the set-up has gone, so that nobody hears of its end."""


def running() -> Setup | None:
    _settle()
    return _running


def note() -> jobs.Note:
    """How the last set-up ended."""
    _settle()
    return _note


def _settle() -> None:
    """Take note of the end of a set-up whose operator has gone, as it does when another file is loaded."""
    global _running, _note
    if _running is not None and _unattended and _running.state != "running":
        setup, _running = _running, None
        _note = _story(setup)


def _story(setup: Setup) -> jobs.Note:
    if setup.state == "done":
        return jobs.Note(
            "CHECKMARK", rpt_("The generators are set up, with PyTorch for {name}.", name=setup.build.name)
        )
    if setup.state == "cancelled":
        return jobs.Note("CANCEL", rpt_("The set-up was cancelled; set up again to go on."))
    return jobs.Note("ERROR", str(setup.error), "talkingeyes.open_preferences")


def close() -> None:
    """Stop what runs; what is downloaded stays."""
    global _running
    if _running is not None:
        _running.cancel()
    _running = None
    if bpy.app.timers.is_registered(_attend):
        bpy.app.timers.unregister(_attend)


def folder() -> Path:
    """Where the environment is, or would be."""
    return preferences.data_folder() / "environment"


def status() -> Status:
    """What is there."""
    from ..worker.environment import status

    return status(folder())


def is_needed(context: bpy.types.Context) -> bool:
    """Whether nothing is known that could run the models: no environment, no Python that was named, none that ran."""
    from ..worker.interpreters import VARIABLE

    named = preferences.read(context).python or os.environ.get(VARIABLE)
    return not (named or jobs.has_run() or status().ready)


def describe(context: bpy.types.Context) -> str:
    """One sentence on what is there."""
    there = status()
    if preferences.read(context).python:
        return rpt_("The Python that you chose runs the generators.")
    return {
        "ready": rpt_(
            "The generators run on PyTorch {torch} for {build}, in an environment of their own.",
            torch=there.torch,
            build=there.build,
        ),
        "broken": rpt_(
            "The generators' environment has lost its Python, as it does when Blender is updated. Set up again."
        ),
        "unfinished": rpt_("The set-up is not finished. Set up again to go on."),
    }.get(there.state, rpt_("The generators need PyTorch, once. Set Up installs it in a folder of its own."))


def build(context: bpy.types.Context) -> Build:
    """The build of torch for this machine and the preferences' device."""
    from ..worker.torch_builds import choose, this_machine

    return choose(this_machine(), cpu_only=preferences.read(context).device == "cpu")


class SetUp(jobs.Explained, bpy.types.Operator):
    """Make a Python environment with PyTorch for the generators; nothing is installed into Blender's own"""

    bl_idname = "talkingeyes.set_up"
    bl_label = "Set Up"

    anew: bpy.props.BoolProperty(
        name="From the Beginning", description="Remove the environment first, and make it anew", default=False
    )

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        if running() is not None:
            return rpt_("A set-up is running.")
        if not preferences.read(context).wheels and not bpy.app.online_access:
            return rpt_(
                "Blender's online access is off. Allow it in the preferences (System), or choose a Package Folder."
            )
        return jobs.why_busy()

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if bpy.app.background or context.window is None:
            return self.execute(context)
        try:
            self._build = build(context)
        except TalkingEyesError as error:
            return self._refuse(error)
        return context.window_manager.invoke_props_dialog(self, width=420, title="Set Up", confirm_text="Set Up")

    def draw(self, context: bpy.types.Context) -> None:
        chosen, wheels = self._build, preferences.read(context).wheels
        column = self.layout.column(align=True)
        source = rpt_(
            "About {size} are downloaded from pytorch.org and pypi.org.", size=_size(chosen.download_megabytes)
        )
        for text in (
            rpt_("PyTorch for {name} is installed, in a folder of its own.", name=chosen.name),
            rpt_("The packages come from {wheels}.", wheels=wheels) if wheels else source,
            rpt_("It takes about {size} on the disk, and some minutes.", size=_size(chosen.disk_megabytes)),
            rpt_("Blender stays usable. You can cancel, and go on later."),
            chosen.note,
        ):
            _lines(column, text)
        if folder().exists():
            self.layout.prop(self, "anew")

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self._start(context)
        except TalkingEyesError as error:
            return self._refuse(error)
        if not bpy.app.background and context.window is not None:
            self._timer = context.window_manager.event_timer_add(TICK_SECONDS, window=context.window)
            context.window_manager.modal_handler_add(self)
            return {"RUNNING_MODAL"}
        with contextlib.suppress(TalkingEyesError, Cancelled):  # its state says so
            _running.wait()
        return self._end()

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        jobs.redraw(context)
        if self._setup.state == "running":
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        return self._end()

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends us: the window closes, or another file is loaded. The set-up has nothing to do with a file."""
        global _unattended
        _unattended = True
        context.window_manager.event_timer_remove(self._timer)
        bpy.app.timers.register(_attend, first_interval=TICK_SECONDS, persistent=True)

    def _start(self, context: bpy.types.Context) -> None:
        global _running, _note, _unattended
        from ..worker.environment import Setup, remove

        jobs.close()  # a worker may run from the environment that is about to change
        if self.anew:
            remove(folder())
        chosen = preferences.read(context)
        wheels = Path(chosen.wheels) if chosen.wheels else None
        if wheels is not None and not wheels.is_dir():
            raise TalkingEyesError(
                rpt_("The package folder {wheels} does not exist.", wheels=wheels), rpt_("Choose another, or none.")
            )
        log_path, cache = preferences.log_folder() / "setup.log", preferences.data_folder() / "downloads"
        _note, _unattended = jobs.Note(), False
        _running = self._setup = Setup(folder(), build(context), chosen.python, wheels, log_path, cache)

    def _end(self) -> set[str]:
        global _running, _note
        setup, _running = self._setup, None
        _note = _story(setup)
        if setup.state == "done":
            self.report({"INFO"}, _note.text)
            return {"FINISHED"}
        if setup.state == "cancelled":
            self.report({"WARNING"}, _note.text)
            return {"CANCELLED"}
        return self._refuse(setup.error)

    def _refuse(self, error: TalkingEyesError) -> set[str]:
        global _note
        _note = jobs.Note("ERROR", str(error), "talkingeyes.open_preferences")
        self.report({"ERROR"}, _note.text)
        return {"CANCELLED"}


def _attend() -> float | None:
    """Keep the panels up to date in place of the operator."""
    jobs.redraw(bpy.context)
    return TICK_SECONDS if running() is not None else None


def _lines(column: bpy.types.UILayout, text: str, characters: int = 62) -> None:
    """Draw a sentence in a dialog, whose width is known."""
    for line in textwrap.wrap(text, characters):
        column.label(text=line)


def _size(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


class CancelSetUp(jobs.Explained, bpy.types.Operator):
    """Stop the set-up; what is downloaded stays, and setting up again goes on"""

    bl_idname = "talkingeyes.cancel_set_up"
    bl_label = "Cancel Set-up"

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return None if running() is not None else rpt_("No set-up is running.")

    def execute(self, context: bpy.types.Context) -> set[str]:
        _running.cancel()
        return {"FINISHED"}


class RemoveSetUp(jobs.Explained, bpy.types.Operator):
    """Delete the generators' environment and its downloads from the disk"""

    bl_idname = "talkingeyes.remove_set_up"
    bl_label = "Remove"

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        if running() is not None:
            return rpt_("A set-up is running.")
        return jobs.why_busy() or (None if folder().exists() else rpt_("There is no environment."))

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        global _note
        import shutil

        from ..worker.environment import remove

        jobs.close()
        try:
            remove(folder())
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        shutil.rmtree(preferences.data_folder() / "downloads", ignore_errors=True)
        _note = jobs.Note()
        self.report({"INFO"}, rpt_("The generators' environment was removed."))
        return {"FINISHED"}


CLASSES = (SetUp, CancelSetUp, RemoveSetUp)
