"""Several heads in one scene: each keeps its own sound strip, seeds and settings, and brings them along when it
is chosen or selected.

The panel's settings belong to one head at a time, ``settings.current``. When another one takes its place, what the
panel shows is stored with the head that leaves, and what is stored with the one that comes is shown.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import bpy
from bpy.app.handlers import persistent

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs, subject

REMEMBERED = (
    "strip", "seed", "gaze_seed", "write_face", "write_head", "write_gaze", "write_blinks", "strength_face",
    "strength_head", "strength_gaze", "strength_blinks", "blink_preset", "blink_rate", "gaze_choice",
    "gaze_temperature",
)  # fmt: skip
"""Settings of the scene that each head has for itself."""
_busy = False
_seen = 0


def head_object(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    """The object that stands for a head: its armature, or the mesh of one that has none."""
    if obj is None or obj.type not in ("MESH", "ARMATURE"):
        return None
    return obj if obj.type == "ARMATURE" else obj.find_armature() or obj


def follow(scene: bpy.types.Scene, obj: bpy.types.Object | None) -> bool:
    """Show the settings of the head that ``obj`` belongs to; True if that was another one than before."""
    global _busy
    settings, head = scene.talkingeyes, head_object(obj)
    if _busy or head is None or head == settings.current:
        return False
    _busy = True
    try:
        if settings.current is not None:
            _store(settings)
        else:
            _prune(settings)
        settings.current = head
        values = next((entry.values for entry in settings.heads if entry.head == head), None)
        _show(settings, json.loads(values) if values else _of_takes(head))
        if values is None:
            settings.heads.add().head = head
            _store(settings)
    finally:
        _busy = False
    return True


def keep(scene: bpy.types.Scene, obj: bpy.types.Object | None) -> None:
    """Let what the panel shows now be the settings of the head that ``obj`` belongs to, if nobody's yet."""
    settings, head = scene.talkingeyes, head_object(obj)
    if not _busy and settings.current is None and head is not None:
        settings.current = head
        settings.heads.add().head = head
        _store(settings)


def rig_chosen(settings, context: bpy.types.Context) -> None:
    """The head of the panel was changed."""
    if settings.rig is not None:
        follow(settings.id_data, settings.rig)


def strip_chosen(settings, context: bpy.types.Context) -> None:
    """The strip of the panel was changed."""
    keep(settings.id_data, settings.rig or subject._selected(context))


@persistent
def selection_changed(scene: bpy.types.Scene, _graph=None) -> None:
    """Follow the selection where no head is chosen; costs nothing while the active object is the same."""
    global _seen
    settings = getattr(scene, "talkingeyes", None)
    if settings is None or settings.current is None or settings.rig is not None:
        return
    active = bpy.context.view_layer.objects.active if bpy.context.scene == scene else None
    if active is None or active.session_uid == _seen:
        return
    _seen = active.session_uid
    head = head_object(active)
    if head is None or head == settings.current:
        return
    from ..rig.find import find_rig

    try:
        find_rig(active)
    except TalkingEyesError:
        return
    follow(scene, active)


def listed(scene: bpy.types.Scene) -> list[tuple[bpy.types.Object, str, bool]]:
    """(head, its strip, whether it is the current one) of the heads that are in the scene."""
    settings = scene.talkingeyes
    found = []
    for entry in settings.heads:
        if entry.head is not None and entry.head.name in scene.objects:
            current = entry.head == settings.current
            strip = settings.strip if current else json.loads(entry.values or "{}").get("strip", "")
            found.append((entry.head, strip, current))
    return found


def _store(settings) -> None:
    """Keep what the panel shows with the current head."""
    _prune(settings)
    values = json.dumps({name: getattr(settings, name) for name in REMEMBERED})
    for entry in settings.heads:
        if entry.head == settings.current:
            entry.values = values
            return
    entry = settings.heads.add()
    entry.head, entry.values = settings.current, values


def _prune(settings) -> None:
    """Forget heads that were deleted."""
    for i in reversed(range(len(settings.heads))):
        if settings.heads[i].head is None:
            settings.heads.remove(i)


def _show(settings, values: dict) -> None:
    for name in REMEMBERED:
        if name in values:
            try:
                setattr(settings, name, values[name])
            except TypeError:
                continue  # a choice that this version does not have


def _of_takes(head: bpy.types.Object) -> dict:
    """What the newest take of a head says about its strip and seeds."""
    from ..rig.find import find_rig
    from ..rig.takes import takes

    try:
        newest = takes(find_rig(head))[-1]
    except (TalkingEyesError, IndexError):
        return {}
    values = {"seed": newest.seed, "gaze_seed": newest.gaze_seed}
    strip = newest.settings.get("strip")
    return values | ({"strip": strip} if isinstance(strip, str) else {})


class ChooseHead(jobs.Explained, bpy.types.Operator):
    """Work on this head, with its own sound strip and settings"""

    bl_idname = "talkingeyes.choose_head"
    bl_label = "Choose Head"
    bl_options = {"REGISTER", "UNDO"}

    head: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return jobs.why_busy()

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = next((head for head, _, _ in listed(context.scene) if head.name == self.head), None)
        if head is None:
            self.report({"ERROR"}, rpt_("There is no head '{head}' in this scene any more.", head=self.head))
            return {"CANCELLED"}
        context.scene.talkingeyes.rig = head
        return {"FINISHED"}


CLASSES = (ChooseHead,)
