"""A user's own choice of bones and shape keys, for rigs whose names do not say which is which."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping

import bpy

from ..head.model import JOINTS
from .head_rig import MAP_PROPERTY

_KEY = re.compile(r"^(?:Exp[1-9]\d*|Pose[1-9]\d*|BlinkLeft|BlinkRight)$")


@dataclasses.dataclass(frozen=True)
class RigMap:
    """What the user chose; whatever is absent is told by names."""

    bones: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Bone by joint (head.model.JOINTS)."""
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Shape key by its name on rigs that we build: Exp1, Exp2, ..., Pose1 to Pose36, BlinkLeft, BlinkRight."""

    def __post_init__(self) -> None:
        strange = [n for n in self.bones if n not in JOINTS] + [n for n in self.keys if not _KEY.match(n)]
        if strange:
            raise ValueError(f"no part of a head is called {strange[0]!r}")


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
    if choice.bones or choice.keys:
        armature[MAP_PROPERTY] = json.dumps(dataclasses.asdict(choice))
    elif MAP_PROPERTY in armature:
        del armature[MAP_PROPERTY]
