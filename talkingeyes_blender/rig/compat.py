"""What differs between Blender 4.2 and 5.2: actions, sound strips, render settings. Nothing else asks for a version."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import bpy

HAS_SLOTS = bpy.app.version >= (4, 4, 0)
"""From 4.4 one action animates several data-blocks, each through a slot of its own."""
_HAS_GROUP_NAMES = bpy.app.version >= (5, 0, 0)


# ---------------------------------------------------------------------------------------------------------- actions


def new_actions(name: str, ids: Sequence[bpy.types.ID]) -> list[tuple[bpy.types.Action, bpy.types.ActionSlot | None]]:
    """Make what animates ``ids``: one action with a slot for each from 4.4, one action for each before.

    One entry for each of ``ids``. What was made before a failure is removed again.
    """
    made: list[tuple[bpy.types.Action, bpy.types.ActionSlot | None]] = []
    try:
        if HAS_SLOTS:
            action = bpy.data.actions.new(name)
            made.append((action, None))
            strip = action.layers.new("Layer").strips.new(type="KEYFRAME")
            slots = [action.slots.new(id_type=id_.id_type, name=id_.name) for id_ in ids]
            for slot in slots:
                strip.channelbag(slot, ensure=True)
            return [(action, slot) for slot in slots]
        for id_ in ids:
            made.append((bpy.data.actions.new(name if not made else f"{name} {id_.id_type.lower()}s"), None))
            made[-1][0].id_root = id_.id_type
        return made
    except BaseException:
        for action, _ in made:
            bpy.data.actions.remove(action)
        raise


class Curves:
    """The F-curves of an action that animate one data-block, wherever this Blender keeps them."""

    def __init__(self, action: bpy.types.Action, slot: bpy.types.ActionSlot | None) -> None:
        self._owner = _channelbag(action, slot) if HAS_SLOTS else action

    def __iter__(self) -> Iterator[bpy.types.FCurve]:
        return iter(self._owner.fcurves if self._owner is not None else ())

    def new(self, data_path: str, index: int, group: str) -> bpy.types.FCurve:
        """Add a curve in the channel group ``group``; RuntimeError where it exists."""
        if _HAS_GROUP_NAMES:
            return self._owner.fcurves.new(data_path, index=index, group_name=group)
        if HAS_SLOTS:
            curve = self._owner.fcurves.new(data_path, index=index)
            curve.group = self._owner.groups.get(group) or self._owner.groups.new(group)
            return curve
        return self._owner.fcurves.new(data_path, index=index, action_group=group)

    def remove(self, curve: bpy.types.FCurve) -> None:
        self._owner.fcurves.remove(curve)


def _channelbag(action: bpy.types.Action, slot: bpy.types.ActionSlot | None):
    """What holds the curves of a slot (from 4.4), or None."""
    for layer in action.layers if slot is not None else ():
        for strip in layer.strips:
            bag = strip.channelbag(slot)
            if bag is not None:
                return bag
    return None


def active_curves(data: bpy.types.AnimData) -> Iterator[bpy.types.FCurve]:
    """The F-curves of the active action that animate the owner of ``data``."""
    if data.action is not None:
        yield from Curves(data.action, data.action_slot if HAS_SLOTS else None)


def slot_of(strip: bpy.types.NlaStrip) -> bpy.types.ActionSlot | None:
    """The slot through which an NLA strip reads its action; None before 4.4."""
    return strip.action_slot if HAS_SLOTS else None


def set_strip_action(strip: bpy.types.NlaStrip, action: bpy.types.Action, slot: bpy.types.ActionSlot | None) -> None:
    """Make an NLA strip play ``action`` through ``slot``."""
    if strip.action != action:
        strip.action = action
    if HAS_SLOTS:
        strip.action_slot = slot


# ------------------------------------------------------------------------------------------------------ sound strips


def sound_strips(scene: bpy.types.Scene) -> list:
    """All sound strips of a scene, those inside meta strips too, in the order of the timeline."""
    editor = scene.sequence_editor
    if editor is None:
        return []
    strips = editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all
    return sorted((s for s in strips if s.type == "SOUND"), key=lambda s: (span(s).left, s.channel))


def strip_collection(scene: bpy.types.Scene):
    """The scene's strips (sequences before 4.4); makes the sequence editor where there is none."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    return editor.strips if hasattr(editor, "strips") else editor.sequences


@dataclasses.dataclass(frozen=True)
class Span:
    """Where a strip lies on the timeline, in frames: visible from ``left`` to ``right``, ``skipped`` frames of its
    content lie hidden before ``left``."""

    left: float
    right: float
    skipped: float
    """Frames of the file that are trimmed off the start, as the mixer counts them: whole frames."""


def span(strip) -> Span:
    """The times of a strip under the names that this Blender has for them (new ones from 5.2)."""
    if hasattr(strip, "left_handle"):
        left, right, hidden, trim = (
            strip.left_handle, strip.right_handle, strip.left_handle_offset, strip.content_trim_start,
        )  # fmt: skip
    else:
        left, right, hidden, trim = (
            strip.frame_final_start, strip.frame_final_end, strip.frame_offset_start, strip.animation_offset_start,
        )  # fmt: skip
    # The mixer takes the sum as an integer, and so truncates it.
    return Span(float(left), float(right), float(int(hidden + trim)))


def sound_delay(strip) -> float:
    """Seconds by which a strip's sound is put off against its picture (from 4.4; else 0)."""
    return float(getattr(strip, "sound_offset", 0.0))


def is_retimed(strip) -> bool:
    """Whether a strip plays at another speed than its file (Blender says so from 4.4)."""
    return len(getattr(strip, "retiming_keys", ())) > 0


# --------------------------------------------------------------------------------------------------------- rendering


def render_engine(name: str) -> str:
    """Blender's identifier of the engine that users call Workbench, EEVEE or Cycles."""
    name = name.upper()
    if name == "EEVEE":
        return "BLENDER_EEVEE" if bpy.app.version >= (5, 0, 0) else "BLENDER_EEVEE_NEXT"
    return {"WORKBENCH": "BLENDER_WORKBENCH", "CYCLES": "CYCLES"}.get(name, name)


def set_movie_output(scene: bpy.types.Scene) -> None:
    """Render to an MP4 file: H.264 video, AAC audio of the scene's sequence editor."""
    image = scene.render.image_settings
    if hasattr(image, "media_type"):
        image.media_type = "VIDEO"
    image.file_format = "FFMPEG"
    movie = scene.render.ffmpeg
    movie.format, movie.codec, movie.audio_codec = "MPEG4", "H264", "AAC"
    movie.constant_rate_factor, movie.gopsize = "HIGH", 12
    movie.audio_bitrate = 192


def set_image_output(scene: bpy.types.Scene) -> None:
    """Render to PNG files."""
    image = scene.render.image_settings
    if hasattr(image, "media_type"):
        image.media_type = "IMAGE"
    image.file_format = "PNG"
