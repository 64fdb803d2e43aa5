"""Which bones go along with which: by parents, and by the constraints with which control rigs copy each other."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator

import bpy

from ..errors import TalkingEyesError
from .head_rig import LAYER_CONSTRAINT, HeadRig

_COPYING = ("COPY_TRANSFORMS", "COPY_ROTATION", "CHILD_OF")
_AIMING = ("DAMPED_TRACK", "TRACK_TO", "LOCKED_TRACK")


class Following:
    """What the bones of an armature go along with. Each is read when it is first asked for: keep it for a moment."""

    def __init__(self, armature: bpy.types.Object) -> None:
        self._armature = armature
        self._known: dict[str, tuple[str, ...]] = {}

    def _above(self, name: str) -> tuple[str, ...]:
        if name not in self._known:
            bone = self._armature.pose.bones.get(name)
            self._known[name] = tuple(_above(self._armature, bone)) if bone is not None else ()
        return self._known[name]

    def goes_with(self, name: str, other: str) -> bool:
        """Whether a bone is moved where another one turns."""
        seen, todo = {name}, [name]
        while todo:
            for above in self._above(todo.pop()):
                if above == other:
                    return True
                if above not in seen:
                    seen.add(above)
                    todo.append(above)
        return False


def _above(armature: bpy.types.Object, bone: bpy.types.PoseBone) -> Iterator[str]:
    if bone.parent is not None:
        yield bone.parent.name
    for constraint in bone.constraints:
        if constraint.mute or constraint.influence == 0:
            continue
        if constraint.type in _COPYING and constraint.target == armature:
            yield constraint.subtarget
        elif constraint.type == "ARMATURE":
            yield from (to.subtarget for to in constraint.targets if to.target == armature and to.weight > 0)


def aimed_at(bone: bpy.types.PoseBone) -> bpy.types.Constraint | None:
    """The constraint that keeps a bone turned towards something, whatever its own rotation is."""
    for constraint in bone.constraints:
        if constraint.type in _AIMING and not constraint.mute and constraint.influence > 0:
            return constraint
    return None


def aims(rig: HeadRig) -> list[tuple[str, bpy.types.Constraint]]:
    """The rig's bones that something keeps aimed, whatever a take says, with what does so."""
    if not rig.has_bones:
        return []
    found = ((name, aimed_at(rig.armature.pose.bones[name])) for name in dict.fromkeys(rig.bones.values()))
    return [(name, aim) for name, aim in found if aim is not None and not aim.name.startswith(LAYER_CONSTRAINT)]


def free(rig: HeadRig) -> list[str]:
    """Mute what aims the rig's bones; return the names of those that takes turn from now on.

    Raises:
        TalkingEyesError: there is nothing to mute, or the armature is linked and cannot be changed here.
    """
    found = aims(rig)
    if not found:
        raise TalkingEyesError(f"Nothing aims the bones of '{rig.name}'; takes turn them already.")
    if rig.armature.library is not None:
        raise TalkingEyesError(
            f"The armature '{rig.armature.name}' is linked from another file, so its constraints cannot be muted here.",
            "Make a library override of it, or mute them in its own file.",
        )
    for _, aim in found:
        aim.mute = True
    return [name for name, _ in found]
