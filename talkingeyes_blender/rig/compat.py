"""What differs between Blender 4.2 and 5.2: actions, sound strips, render settings. Nothing else asks for a version."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import functools
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
    return sorted((s for s in all_strips(scene) if s.type == "SOUND"), key=lambda s: (span(s).left, s.channel))


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
    left, right, hidden = _handles(strip)
    return Span(left, right, float(int(hidden)))


def visible(strip) -> tuple[float, float]:
    """The frames from which to which a strip is seen and heard: its own, as far as all meta strips round it show."""
    both = [_handles(each)[:2] for each in (strip, *parents(strip))]
    return max(left for left, _ in both), min(right for _, right in both)


def skipped(strip, frame: float) -> float:
    """Frames of a strip's content that lie before scene frame ``frame``, as the mixer counts them."""
    left, _, hidden = _handles(strip)
    return float(int(hidden + frame - left))


def _handles(strip) -> tuple[float, float, float]:
    """The left and the right handle, and how many frames of the content are hidden before the left one."""
    if hasattr(strip, "left_handle"):
        left, right, hidden, trim = (
            strip.left_handle, strip.right_handle, strip.left_handle_offset, strip.content_trim_start,
        )  # fmt: skip
    else:
        left, right, hidden, trim = (
            strip.frame_final_start, strip.frame_final_end, strip.frame_offset_start, strip.animation_offset_start,
        )  # fmt: skip
    return float(left), float(right), float(hidden + trim)


def parents(strip) -> list:
    """The meta strips round a strip, the innermost first."""
    found = []
    meta = strip.parent_meta()
    while meta is not None:
        found.append(meta)
        meta = meta.parent_meta()
    return found


def all_strips(scene: bpy.types.Scene) -> list:
    """All strips of a scene, those inside meta strips too."""
    editor = scene.sequence_editor
    if editor is None:
        return []
    return list(editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all)


def channel_of(scene: bpy.types.Scene, strip):
    """The channel on which a strip lies, of the scene or of its meta strip; None where there is none."""
    meta = strip.parent_meta()
    channels = meta.channels if meta is not None else scene.sequence_editor.channels
    return channels[strip.channel] if strip.channel < len(channels) else None


def sequencer_scene(context: bpy.types.Context) -> bpy.types.Scene:
    """The scene whose strips the sequencer shows: from 5.0 it may be another than the window's."""
    return getattr(context, "sequencer_scene", None) or context.scene


def content_start(strip) -> float:
    """The frame at which a strip's content begins, hidden or not."""
    return float(strip.content_start if hasattr(strip, "content_start") else strip.frame_start)


def sound_delay(strip) -> float:
    """Seconds by which a strip's sound is put off against its picture (from 4.4; else 0)."""
    return float(getattr(strip, "sound_offset", 0.0))


def retiming(scene: bpy.types.Scene, strip) -> tuple[float, ...]:
    """Frames of a strip's retiming keys after the start of its content; empty if it plays as its file does.

    Blender tells of the keys from 4.4. Before, the length that the content has now is the one thing that shows it.
    """
    if hasattr(strip, "retiming_keys"):
        start = content_start(strip)
        return tuple(float(key.timeline_frame) - start for key in strip.retiming_keys)
    seconds = _seconds(bpy.path.abspath(strip.sound.filepath, library=strip.sound.library))
    if seconds is None:
        return ()
    frames = seconds * scene.render.fps / scene.render.fps_base
    # Lengths are rounded to frames, and differently by version.
    return (0.0, float(strip.frame_duration)) if abs(strip.frame_duration - frames) > 2.0 else ()


@functools.lru_cache(maxsize=64)
def _seconds(path: str) -> float | None:
    """How long a sound file is, if Blender knows."""
    import aud

    try:
        sound = aud.Sound(path)
        rate, _ = sound.specs
        return sound.length / rate if rate > 0 and sound.length > 0 else None
    except aud.error:
        return None


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
