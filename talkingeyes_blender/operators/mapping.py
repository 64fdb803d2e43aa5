"""The rig mapping's clicks: save, load and reset it, change a part, and test one."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
from typing import TYPE_CHECKING

import bpy
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs

if TYPE_CHECKING:
    from ..rig.mapping_rows import Table
    from ..rig.wiggle import Wiggle

_TEST_SECONDS = 1.6
_TICK = 0.03
_KEPT_SECONDS = 0.25
_table: tuple[int, float, Table] | None = None
"""The table that was read last, for which object and when: a panel asks for each of its lines at once."""


def chosen_object(context: bpy.types.Context) -> bpy.types.Object:
    """The chosen or selected mesh or armature, whether or not it is a head yet; TalkingEyesError if there is none."""
    obj = context.scene.talkingeyes.rig or context.view_layer.objects.active
    if obj is None or obj.type not in ("MESH", "ARMATURE"):
        raise TalkingEyesError(rpt_("No head is chosen."), rpt_("Choose its armature or mesh."))
    return obj


def why_none(context: bpy.types.Context) -> str | None:
    try:
        chosen_object(context)
    except TalkingEyesError as error:
        return error.message
    return None


def is_meant(context: bpy.types.Context) -> bool:
    """Whether what is chosen or selected may be a rig: a cube that happens to be selected was not meant."""
    obj = chosen_object(context)
    chosen = obj == context.scene.talkingeyes.rig or obj.type == "ARMATURE"
    return chosen or obj.data.shape_keys is not None or obj.find_armature() is not None


def table_of(context: bpy.types.Context) -> Table:
    """The mapping of the chosen rig as plain values."""
    global _table
    from ..rig.mapping_rows import table

    obj = chosen_object(context)
    now = time.monotonic()
    if _table is None or _table[0] != obj.session_uid or now - _table[1] > _KEPT_SECONDS:
        _table = obj.session_uid, now, table(obj)
    return _table[2]


def forget() -> None:
    """Read the table anew at the next question."""
    global _table
    _table = None


def why_linked(context: bpy.types.Context) -> str | None:
    from ..rig.mapping_rows import holder, refuse_linked

    try:
        refuse_linked(holder(chosen_object(context)))
    except TalkingEyesError as error:
        return str(error)
    return None


class _OnMapping(jobs.Explained):
    """An operator on the chosen rig's mapping."""

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return why_none(context) or why_linked(context)

    def guarded(self, context: bpy.types.Context, action) -> set[str]:
        """Run ``action`` on the chosen object, report the sentence that it returns or its error."""
        try:
            text = action(chosen_object(context))
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            forget()
        self.report({"INFO"}, text)
        return {"FINISHED"}


class SaveMapping(_OnMapping, bpy.types.Operator, ExportHelper):
    """Save which bones, shape keys and axes this rig has to a file, for other rigs of its make"""

    bl_idname = "talkingeyes.save_mapping"
    bl_label = "Save Mapping"

    filename_ext = ".json"
    filter_glob: bpy.props.StringProperty(default="*.json", options={"HIDDEN"})

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return why_none(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.mapping_file import save_mapping

        return self.guarded(
            context, lambda obj: rpt_("{count} parts were saved.", count=save_mapping(obj, self.filepath))
        )


class LoadMapping(_OnMapping, bpy.types.Operator, ImportHelper):
    """Use a saved mapping on this rig"""

    bl_idname = "talkingeyes.load_mapping"
    bl_label = "Load Mapping"
    bl_options = {"REGISTER", "UNDO"}

    filter_glob: bpy.props.StringProperty(default="*.json", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.mapping_file import apply_mapping, read_mapping

        def load(obj: bpy.types.Object) -> str:
            lost = apply_mapping(obj, read_mapping(self.filepath))
            some = ", ".join(lost[:4]) + (rpt_(" and {count} more", count=len(lost) - 4) if len(lost) > 4 else "")
            return rpt_("The mapping was loaded.") + (
                rpt_(" This rig has no {some}; those were left out.", some=some) if lost else ""
            )

        return self.guarded(context, load)


class ResetMapping(_OnMapping, bpy.types.Operator):
    """Forget all choices and go by the names of bones and shape keys again"""

    bl_idname = "talkingeyes.reset_mapping"
    bl_label = "Reset Mapping"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.mapping import RigMap, store_map
        from ..rig.mapping_rows import holder

        def reset(obj: bpy.types.Object) -> str:
            store_map(holder(obj), RigMap())
            return rpt_("Bones and shape keys are told by their names again.")

        return self.guarded(context, reset)


class TestPart(jobs.Explained, bpy.types.Operator):
    """Move this part for a moment, to see that it is the right one and turns the right way. Nothing is changed"""

    bl_idname = "talkingeyes.test_part"
    bl_label = "Test"
    bl_options = {"INTERNAL"}

    part: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return why_none(context) or jobs.why_busy()

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if bpy.app.background or context.window is None:
            return self.execute(context)
        from ..rig.wiggle import Wiggle

        try:
            self._wiggle: Wiggle = Wiggle(chosen_object(context), self.part)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self._began = time.monotonic()
        self._timer = context.window_manager.event_timer_add(_TICK, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "TIMER":
            phase = (time.monotonic() - self._began) / _TEST_SECONDS
            try:
                if phase < 1:
                    self._wiggle.at(phase)
                    return {"RUNNING_MODAL"}
            except (KeyError, ReferenceError):
                pass  # the bone or the object went away meanwhile
            self._end(context)
            return {"FINISHED"}
        if event.type in {"ESC", "Z"}:
            self._end(context)
            return {"CANCELLED", "PASS_THROUGH"}
        return {"PASS_THROUGH"}

    def cancel(self, context: bpy.types.Context) -> None:
        self._end(context)

    def _end(self, context: bpy.types.Context) -> None:
        context.window_manager.event_timer_remove(self._timer)
        self._wiggle.restore()

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..rig.wiggle import movement

        try:
            count, most = movement(chosen_object(context), self.part)
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report(
            {"INFO"},
            rpt_("'{part}' moves {count:,} vertices by up to {most:.4g}.", part=self.part, count=count, most=most),
        )
        return {"FINISHED"}


CLASSES = (SaveMapping, LoadMapping, ResetMapping, TestPart)
