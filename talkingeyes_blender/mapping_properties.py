"""The lines of the rig mapping as properties: read from the chosen rig, written to it, and stored nowhere else."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import logging
from collections.abc import Callable

import bpy

from .errors import TalkingEyesError
from .head.arkit import BONES, EXPRESSIONS, VISEME_NAMES
from .operators import mapping

log = logging.getLogger(__name__)

JOINTS = ("neck", "jaw", "left_eye", "right_eye")
PARTS = (*JOINTS, "BlinkLeft", "BlinkRight", *EXPRESSIONS, *BONES, *(f"viseme_{name}" for name in VISEME_NAMES))
_AXES = ("X", "-X", "Y", "-Y", "Z", "-Z")


def _row(part: str):
    try:
        return mapping.table_of(bpy.context).row(part)
    except TalkingEyesError:
        return None


def _change(part: str, **changes: object) -> None:
    from .rig.mapping_rows import change

    try:
        change(mapping.chosen_object(bpy.context), part, **changes)
    except TalkingEyesError as error:
        log.warning("%s", error)
    mapping.forget()


def _name(part: str) -> bpy.types.StringProperty:
    def read(_self) -> str:
        row = _row(part)
        return row.name if row is not None else ""

    def write(_self, value: str) -> None:
        _change(part, name=value or None)

    return bpy.props.StringProperty(
        name="Bone" if part in JOINTS else "Shape Key",
        description="What this part is on the rig. Empty it to go by names again",
        get=read,
        set=write,
    )


def _use(part: str) -> bpy.types.BoolProperty:
    def read(_self) -> bool:
        row = _row(part)
        return row is not None and row.state != "ignored"

    def write(_self, value: bool) -> None:
        _change(part, ignored=None if value else True)
        row = _row(part)
        if value and row is not None and row.state == "ignored":
            _change(part, ignored=False)

    return bpy.props.BoolProperty(
        name="Move", description="Whether takes move this part. Turn it off to leave it alone", get=read, set=write
    )


def _amount(part: str) -> bpy.types.FloatProperty:
    def read(_self) -> float:
        row = _row(part)
        return row.amount if row is not None else 1.0

    def write(_self, value: float) -> None:
        _change(part, amount=None if abs(value - 1) < 1e-4 else value)

    return bpy.props.FloatProperty(
        name="Amount",
        description="How much this part is moved; 1 is as found, a negative value turns it round",
        min=-5.0,
        max=5.0,
        soft_min=0.0,
        soft_max=2.0,
        get=read,
        set=write,
    )


def _axis(part: str, which: int) -> bpy.types.EnumProperty:
    items = [("AUTO", "Auto", "As the bone lies at rest", 0)]
    items += [(axis, axis, "", i + 1) for i, axis in enumerate(_AXES)]

    def chosen() -> list[str]:
        row = _row(part)
        return row.axes.split(",") if row is not None and row.axes else []

    def read(_self) -> int:
        axes = chosen()
        return _AXES.index(axes[which]) + 1 if axes else 0

    def write(_self, value: int) -> None:
        if not value:
            _change(part, axes=None)
            return
        axes = chosen() or ["X", "Z"]
        axes[which] = _AXES[value - 1]
        if axes[0][-1] == axes[1][-1]:
            axes[1 - which] = next(axis for axis in ("X", "Z", "Y") if axis != axes[which][-1])
        _change(part, axes=",".join(axes))

    return bpy.props.EnumProperty(
        name="Nods About" if which == 0 else "Turns About",
        description="Which of its own axes the bone nods about, or opens about"
        if which == 0
        else "Which of its own axes the bone turns aside about",
        items=items,
        get=read,
        set=write,
    )


def _properties(make: Callable, prefix: str, parts: tuple[str, ...]) -> dict[str, object]:
    return {f"{prefix}_{part}": make(part) for part in parts}


RigMapping = type(
    "RigMapping",
    (bpy.types.PropertyGroup,),
    {
        "__doc__": "``scene.talkingeyes_mapping``: name_, use_ and amount_ of each part, nod_ and turn_ of each joint.",
        "__module__": __name__,
        "__annotations__": {
            **_properties(_name, "name", PARTS),
            **_properties(_use, "use", PARTS),
            **_properties(_amount, "amount", PARTS),
            **_properties(lambda part: _axis(part, 0), "nod", JOINTS),
            **_properties(lambda part: _axis(part, 1), "turn", JOINTS),
            "details": bpy.props.BoolProperty(
                name="Axes and Amounts", description="Show how bones turn, and how much each part is moved"
            ),
        },
    },
)


def attach() -> None:
    bpy.types.Scene.talkingeyes_mapping = bpy.props.PointerProperty(name="Rig Mapping", type=RigMapping)


def detach() -> None:
    del bpy.types.Scene.talkingeyes_mapping


CLASSES = (RigMapping,)
