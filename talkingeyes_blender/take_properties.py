"""What the list of takes shows and sets: on the scene what is selected, on each action of a take its name and stars."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from .errors import TalkingEyesError
from .operators import subject

if TYPE_CHECKING:
    from .rig.head_rig import HeadRig
    from .rig.takes import Take


def _selected() -> tuple[HeadRig, Take] | None:
    try:
        return subject.head_of(bpy.context), subject.selected_take(bpy.context)
    except TalkingEyesError:
        return None


def _index(_self: TakeList) -> int:
    selected = _selected()
    return bpy.data.actions.find(selected[1].name) if selected is not None else -1


def _select(self: TakeList, index: int) -> None:
    """A click on a row: that take plays, and the others at its time do not; one that plays is only selected."""
    from .rig.take_records import read_record
    from .rig.takes import choose_take, refuse_tweak_mode

    record = read_record(bpy.data.actions[index]) if 0 <= index < len(bpy.data.actions) else None
    if record is None:
        return
    try:
        rig = subject.head_of(bpy.context)
        take = subject.take_named(rig, record["id"])
        self.selected = take.id
        if not take.active:
            refuse_tweak_mode(rig)
            choose_take(rig, take)
    except TalkingEyesError:
        return


def _influence(_self: TakeList) -> float:
    from .rig.take_list import influence

    selected = _selected()
    return influence(*selected) if selected is not None else 1.0


def _set_influence(_self: TakeList, value: float) -> None:
    from .rig.take_list import set_influence

    selected = _selected()
    if selected is not None:
        set_influence(*selected, value)


def _fade(which: int):
    def get(_self: TakeList) -> float:
        from .rig.take_list import fades

        selected = _selected()
        return fades(*selected)[which] if selected is not None else 0.0

    return get


def _set_fade(name: str):
    def set_(_self: TakeList, value: float) -> None:
        from .rig.take_list import set_fades

        selected = _selected()
        if selected is not None:
            set_fades(*selected, **{name: value})

    return set_


class TakeList(bpy.types.PropertyGroup):
    """``scene.talkingeyes_takes``: which take is selected, and what of it can be set."""

    selected: bpy.props.StringProperty(name="Selected Take", options={"HIDDEN"})
    index: bpy.props.IntProperty(
        name="Take",
        description="Click to let this take play; the others at its time are muted",
        get=_index,
        set=_select,
    )
    influence: bpy.props.FloatProperty(
        name="Influence",
        description="How much of the selected take shows over what lies below it in the NLA, another take or the rest "
        "pose. Below 1 it takes the place of fades",
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        get=_influence,
        set=_set_influence,
    )
    fade_in: bpy.props.FloatProperty(
        name="Fade In",
        description="Frames over which the selected take fades in",
        min=0.0,
        get=_fade(0),
        set=_set_fade("into"),
    )
    fade_out: bpy.props.FloatProperty(
        name="Fade Out",
        description="Frames over which the selected take fades out",
        min=0.0,
        get=_fade(1),
        set=_set_fade("out"),
    )
    batch: bpy.props.IntProperty(
        name="Takes", description="How many takes are generated at once", default=4, min=2, max=16
    )


def _label(action: bpy.types.Action) -> str:
    from .rig.take_list import title
    from .rig.take_records import read_record

    record = read_record(action)
    return title(record) if record is not None else ""


def _rename(action: bpy.types.Action, label: str) -> None:
    from .rig.take_list import rename

    rename(action, label)


def attach() -> None:
    bpy.types.Scene.talkingeyes_takes = bpy.props.PointerProperty(name="TalkingEyes Takes", type=TakeList)
    bpy.types.Action.talkingeyes_label = bpy.props.StringProperty(
        name="Name of the Take", description="Double-click to rename; the action and its strips follow", maxlen=60,
        get=_label, set=_rename,
    )  # fmt: skip


def detach() -> None:
    del bpy.types.Action.talkingeyes_label
    del bpy.types.Scene.talkingeyes_takes


CLASSES = (TakeList,)
