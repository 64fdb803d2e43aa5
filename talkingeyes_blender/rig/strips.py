"""Sound strips: adding one, listing them, and which part of which file sounds when."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path

import bpy

from ..errors import TalkingEyesError
from . import compat
from .curves import frames_per_second

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class StripTiming:
    """What of a sound is heard when, in seconds."""

    path: Path | None
    """The sound's file; None for a sound that is packed into the .blend file."""
    packed: bytes | None
    """The packed file's content; None for a file on disk."""
    offset: float
    """Where in the file the strip begins to sound."""
    duration: float
    """How long it sounds at most: the strip's length, which may reach beyond the end of the file."""
    start: float
    """Seconds after scene frame 0 at which it begins to sound."""
    start_frame: float
    """The same as a scene frame, with its fraction."""

    @property
    def source(self) -> Path | bytes:
        """What ``inference.audio.read_audio`` takes."""
        return self.path if self.packed is None else self.packed


def add_sound(scene: bpy.types.Scene, path: str | os.PathLike, frame_start: int | None = None):
    """Add a sound strip at scene frame ``frame_start`` (else where the scene begins) on the lowest free channel.

    Returns the strip. TalkingEyesError if there is no such file, or if this Blender cannot read it as sound.
    """
    path = Path(path)
    _check_file(path)
    if path.stat().st_size == 0:
        raise TalkingEyesError(f"{path} is empty.", "Choose another sound file.")
    frame = scene.frame_start if frame_start is None else round(frame_start)
    had_editor = scene.sequence_editor is not None
    strips = compat.strip_collection(scene)
    taken = {strip.channel for strip in strips}
    channel = next(c for c in range(1, len(taken) + 2) if c not in taken)
    sounds = set(bpy.data.sounds)
    strip = None
    try:
        strip = strips.new_sound(path.stem, str(path), channel, frame)
        # Blender makes a strip of anything; what is no sound has no sample rate.
        if strip.sound is not None and strip.sound.samplerate > 0:
            return strip
    except RuntimeError as error:
        log.debug("no sound strip of %s: %s", path, error)
    if strip is not None:
        strips.remove(strip)
    for sound in set(bpy.data.sounds) - sounds:
        bpy.data.sounds.remove(sound)
    if not had_editor:
        scene.sequence_editor_clear()
    if not bpy.app.build_options.audaspace:
        raise TalkingEyesError(
            "This build of Blender has no audio support, so it cannot hold sound strips.",
            "Use a Blender from blender.org, or generate from the file with the command line.",
        )
    raise TalkingEyesError(f"{path} could not be read as sound.", "Choose a WAV, FLAC, OGG or MP3 file.")


def list_sounds(scene: bpy.types.Scene) -> list:
    """The scene's sound strips in the order of the timeline, those in meta strips too."""
    return compat.sound_strips(scene)


def find_sound(scene: bpy.types.Scene, name: str):
    """The sound strip of that name; TalkingEyesError says which ones there are if it is gone."""
    strips = list_sounds(scene)
    for strip in strips:
        if strip.name == name:
            return strip
    if not strips:
        raise TalkingEyesError("The scene has no sound strip.", "Import a sound file first.")
    some = ", ".join(f"'{strip.name}'" for strip in strips[:4])
    raise TalkingEyesError(f"There is no sound strip '{name}' any more.", f"Choose one of {some}.")


def timing(scene: bpy.types.Scene, strip) -> StripTiming:
    """Which part of which file a sound strip plays, and when, honouring trims and offsets.

    Counted as Blender's mixer counts: the strip begins at its left handle; the frames hidden before that, less the
    sound's own delay, are skipped in the file; a delay that is left over is silence first.
    """
    if strip is None or strip.type != "SOUND":
        raise TalkingEyesError("No sound strip is chosen.", "Choose one, or import a sound file first.")
    if compat.is_retimed(strip):
        raise TalkingEyesError(
            f"The strip '{strip.name}' is retimed, so its speech is not the file's any more.",
            "Reset its retiming (Strip > Retiming > Reset), or mix it down to a file and use that.",
        )
    if strip.sound is None:
        raise TalkingEyesError(f"The strip '{strip.name}' has no sound.", "Choose another strip.")
    per_second = frames_per_second(scene)
    span = compat.span(strip)
    skipped = span.skipped / per_second - compat.sound_delay(strip)
    start = span.left / per_second + max(0.0, -skipped)
    duration = span.right / per_second - start
    if duration <= 0:
        raise TalkingEyesError(f"Nothing of the strip '{strip.name}' sounds.", "Lengthen it, or reset its offset.")
    packed = strip.sound.packed_file
    path = None
    if packed is None:
        path = Path(os.path.normpath(bpy.path.abspath(strip.sound.filepath, library=strip.sound.library)))
        _check_file(path)
    return StripTiming(
        path=path,
        packed=bytes(packed.data) if packed is not None else None,
        offset=max(0.0, skipped),
        duration=duration,
        start=start,
        start_frame=start * per_second,
    )


def _check_file(path: Path) -> None:
    if not path.is_file():
        reason = "is a folder, not a sound file" if path.is_dir() else "does not exist"
        raise TalkingEyesError(f"The sound file {path} {reason}.", "Choose the file again.")
