"""The set-up of the generators: what there is, what runs, what to click."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..operators import set_up
from ..translation import rpt_
from .text import lines


def draw_first_run(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """A box in the sidebar as long as nothing could run the models, or a set-up runs or has failed."""
    if set_up.running() is None and not set_up.is_needed(context) and not set_up.note().mend:
        return
    box = layout.box()
    if set_up.running() is not None:
        _progress(box)
        return
    if set_up.note().text:
        lines(box, context, set_up.note().text, set_up.note().icon)
    else:
        lines(box, context, set_up.describe(context), "INFO")
    box.operator("talkingeyes.set_up", icon="IMPORT")
    if set_up.note().mend:
        box.operator(set_up.note().mend, icon="PREFERENCES")
    lines(box, context, set_up.SetUp.disabled_reason(context) or "", "ERROR")


def draw_set_up(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The same in the preferences, with all that can be done about it."""
    box = layout.box()
    if set_up.running() is not None:
        _progress(box)
        return
    lines(box, context, set_up.describe(context), "CHECKMARK" if set_up.status().ready else "INFO")
    if set_up.note().text:
        lines(box, context, set_up.note().text, set_up.note().icon)
    row = box.row()
    row.operator("talkingeyes.set_up", text="Set Up Again" if set_up.status().ready else "Set Up", icon="IMPORT")
    row.operator("talkingeyes.remove_set_up", icon="TRASH")
    lines(box, context, set_up.SetUp.disabled_reason(context) or "", "ERROR")


def _progress(layout: bpy.types.UILayout) -> None:
    setup = set_up.running()
    left = setup.seconds_left
    row = layout.row(align=True)
    row.scale_y = 1.4
    row.progress(factor=setup.fraction, type="BAR", text=f"{setup.phase}  {100 * setup.fraction:.0f} %")
    row.operator("talkingeyes.cancel_set_up", text="", icon="X")
    layout.label(
        text=setup.detail
        if left is None
        else rpt_("about {minutes} min left   {detail}", minutes=max(1, round(left / 60)), detail=setup.detail)
    )
