"""A user's own choice of bones, shape keys and axes, for rigs whose names do not say which is which."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping

import bpy

from ..head.model import JOINTS
from .head_rig import MAP_PROPERTY
from .vocabulary import PARTS

_KEY = re.compile(r"^(?:Exp[1-9]\d*|Pose[1-9]\d*|BlinkLeft|BlinkRight)$")
_AXES = tuple(sign + axis for axis in "XYZ" for sign in ("", "-"))
TURNS = tuple(f"{nod},{turn}" for nod in _AXES for turn in _AXES if nod[-1] != turn[-1])
"""What a bone's own axes may be for: the one that it nods about, then the one that it turns aside about."""
MOST = 5.0
"""Largest amount that a part may be given."""


def is_key_part(name: str) -> bool:
    """Whether a part is moved by a shape key: Exp1, Pose1, BlinkLeft, jawOpen, viseme_aa, ..."""
    return name in PARTS or _KEY.match(name) is not None


@dataclasses.dataclass(frozen=True)
class RigMap:
    """What the user chose; whatever is absent is told by names."""

    bones: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Bone by joint (head.model.JOINTS)."""
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Shape key by part: by its name on rigs that we build (Exp1, Pose1 to Pose36, BlinkLeft, BlinkRight), by ARKit's
    (jawOpen), or viseme_aa and the like."""
    ignored: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    """By joint or part: true to leave it alone, false to move it although it would be left alone."""
    axes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """By joint, one of ``TURNS``, for a bone that does not turn as it lies."""
    amounts: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """By joint or part, a factor on what it gets; negative turns it round."""

    def __post_init__(self) -> None:
        strange = [n for n in self.bones if n not in JOINTS] + [n for n in self.keys if not is_key_part(n)]
        strange += [n for part in (self.ignored, self.amounts) for n in part if n not in JOINTS and not is_key_part(n)]
        strange += [n for n in self.axes if n not in JOINTS]
        if strange:
            raise ValueError(f"no part of a head is called {strange[0]!r}")
        for names in (self.bones, self.keys):
            if not all(isinstance(name, str) and name for name in names.values()):
                raise ValueError("a bone or a shape key is not given by its name")
        if not all(isinstance(value, bool) for value in self.ignored.values()):
            raise ValueError("what is ignored is not told by true or false")
        if not all(value in TURNS for value in self.axes.values()):
            raise ValueError("axes are not two of X, Y, Z, -X, -Y, -Z, such as 'X,Z'")
        for value in self.amounts.values():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= MOST:
                raise ValueError(f"an amount is not a number from {-MOST:g} to {MOST:g}")

    def __bool__(self) -> bool:
        return any((self.bones, self.keys, self.ignored, self.axes, self.amounts))

    def with_part(self, part: str, **changes: object) -> RigMap:
        """The same choice with a part's 'bones', 'keys', 'ignored', 'axes' or 'amounts' set, or taken back by None."""
        fields = {}
        for name, value in changes.items():
            entries = {k: v for k, v in getattr(self, name).items() if k != part}
            fields[name] = entries if value is None else {**entries, part: value}
        return dataclasses.replace(self, **fields)


def read_map(armature: bpy.types.Object) -> RigMap:
    """The choice stored with an armature; an empty one where there is none, or none that can be read."""
    text = armature.get(MAP_PROPERTY)
    if not isinstance(text, str):
        return RigMap()
    try:
        return RigMap(**{name: dict(choice) for name, choice in json.loads(text).items()})
    except (ValueError, TypeError, AttributeError):
        return RigMap()


def store_map(armature: bpy.types.Object, choice: RigMap) -> None:
    """Keep a choice with an armature, in the file; an empty one takes it away."""
    if choice:
        armature[MAP_PROPERTY] = json.dumps(dataclasses.asdict(choice))
    elif MAP_PROPERTY in armature:
        del armature[MAP_PROPERTY]
