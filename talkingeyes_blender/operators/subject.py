"""What the user chose to work on: the strip and the head, or one sentence that says what is wrong with them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_

if TYPE_CHECKING:
    from ..rig.head_rig import HeadRig
    from ..rig.takes import Take


_drawn: dict[str, object] | None = None
"""What was looked up for the panel that is being drawn: while it is, nothing can change."""


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """While a panel draws, the head and its takes, for which each of its fields asks, are looked up once."""
    global _drawn
    before, _drawn = _drawn, {}
    try:
        yield
    finally:
        _drawn = before


def head_of(context: bpy.types.Context) -> HeadRig:
    """Return the chosen head, or the selected one where none is chosen; raise TalkingEyesError if it is none."""
    if _drawn is None:
        return _head_of(context)
    if "head" not in _drawn:
        _drawn["head"] = _head_of(context)
    return _drawn["head"]


def _head_of(context: bpy.types.Context) -> HeadRig:
    from ..rig.find import find_rig

    scene = context.scene
    chosen = scene.talkingeyes.rig or _selected(context)
    if chosen is None:
        raise TalkingEyesError(
            rpt_("No head is chosen."), rpt_("Choose its armature or mesh, or add the stand-in head.")
        )
    rig = find_rig(chosen)
    if rig.armature.name not in scene.objects:
        raise TalkingEyesError(
            rpt_("The head '{name}' was deleted from this scene.", name=rig.name), rpt_("Choose another one.")
        )
    return rig


def _selected(context: bpy.types.Context) -> bpy.types.Object | None:
    """The active object, if it has to do with a head: a cube that happens to be selected was not meant."""
    from ..rig.points import is_flame

    active = context.view_layer.objects.active
    if active is None or active.type == "ARMATURE" or active.find_armature():
        return active
    return active if active.type == "MESH" and is_flame(active) else None


def bare_mesh(context: bpy.types.Context) -> bpy.types.Object | None:
    """The mesh without an armature that is chosen, or selected where none is chosen."""
    chosen = context.scene.talkingeyes.rig or context.view_layer.objects.active
    if chosen is None or chosen.type != "MESH" or chosen.find_armature():
        return None
    return chosen


def bare_head(context: bpy.types.Context) -> bpy.types.Object | None:
    """The same if it was chosen, or is a FLAME head by its looks: a cube that happens to be selected was not meant."""
    from ..rig.points import is_flame

    mesh = bare_mesh(context)
    meant = mesh is not None and (context.scene.talkingeyes.rig == mesh or is_flame(mesh))
    return mesh if meant else None


def lid_settings(context: bpy.types.Context) -> list[tuple[bpy.types.Object, str, str]]:
    """(object, custom property, label) of what the chosen head lets one set about its lids."""
    from ..rig.head_rig import BLINK_PROPERTY, LIDS_FOLLOW_PROPERTY

    rig = head_of(context)
    settings = ((rig.armature, LIDS_FOLLOW_PROPERTY, "Lids Follow"), (rig.mesh, BLINK_PROPERTY, "By Expressions"))
    return [(owner, name, text) for owner, name, text in settings if owner is not None and name in owner]


def why_no_head(context: bpy.types.Context) -> str | None:
    try:
        head_of(context)
    except TalkingEyesError as error:
        return error.message
    return None


def take_of(context: bpy.types.Context) -> Take:
    """Return the head's take that plays now, else its newest; raise TalkingEyesError if there is none."""
    from ..rig.takes import current_take

    rig = head_of(context)
    take = current_take(rig, context.scene.frame_current)
    if take is None:
        raise TalkingEyesError(rpt_("'{name}' has no take yet.", name=rig.name), rpt_("Generate one first."))
    return take


def takes_of(context: bpy.types.Context) -> list[Take]:
    """Return all takes of the head."""
    return _takes_on(head_of(context))


def _takes_on(rig: HeadRig) -> list[Take]:
    from ..rig.takes import takes

    if _drawn is None or _drawn.get("head") is not rig:
        return takes(rig)
    if "takes" not in _drawn:
        _drawn["takes"] = takes(rig)
    return _drawn["takes"]


def take_named(rig: HeadRig, identity: str) -> Take:
    """Return the head's take of that id; raise TalkingEyesError if it is gone."""
    for take in _takes_on(rig):
        if take.id == identity:
            return take
    raise TalkingEyesError(rpt_("'{name}' has no such take any more.", name=rig.name), rpt_("Choose another one."))


def why_no_take(context: bpy.types.Context) -> str | None:
    try:
        take_of(context)
    except TalkingEyesError as error:
        return error.message
    return None


def why_no_takes(context: bpy.types.Context) -> str | None:
    """Return why the head has no take at all, muted ones counted."""
    try:
        rig = head_of(context)
    except TalkingEyesError as error:
        return error.message
    return None if takes_of(context) else rpt_("'{name}' has no take yet.", name=rig.name)


def selected_take(context: bpy.types.Context) -> Take:
    """Return the take that is selected in the list, else the one that plays, else the newest.

    Raises TalkingEyesError if there is none.
    """
    there = takes_of(context)
    chosen = context.scene.talkingeyes_takes.selected
    for take in there:
        if take.id == chosen:
            return take
    if there and not any(take.active for take in there):
        return there[-1]
    return take_of(context)


def strip_of(context: bpy.types.Context) -> bpy.types.Strip:
    """Return the chosen sound strip, or the only one where none is chosen; raise TalkingEyesError if there is none."""
    from ..rig.strips import find_sound, list_sounds

    scene = context.scene
    name, strips = scene.talkingeyes.strip, list_sounds(scene)
    if name:
        return find_sound(scene, name)
    if not strips:
        raise TalkingEyesError(rpt_("The scene has no sound strip."), rpt_("Import a sound file."))
    if len(strips) > 1:
        raise TalkingEyesError(rpt_("No sound strip is chosen."), rpt_("Choose the one with the speech."))
    return strips[0]


def why_no_strip(context: bpy.types.Context) -> str | None:
    try:
        strip_of(context)
    except TalkingEyesError as error:
        return error.message
    return None
