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
from .strip_mix import mixdown
from .strip_times import placement

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class StripTiming:
    """What of a sound is heard when, in seconds."""

    path: Path | None
    """The sound's file; None for a sound that is packed into the .blend file, and for a retimed strip."""
    packed: bytes | None
    """The content of the packed file, or of a mixdown; None for a file on disk."""
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
    """Which part of which file a sound strip plays, and when; see ``strip_times.placement``.

    A retimed strip is mixed down first, for its speed is known to Blender's mixer alone.
    """
    heard = placement(scene, strip)
    packed = strip.sound.packed_file
    path = sound_path(strip) if packed is None else None
    if heard.retiming:
        return StripTiming(
            None, mixdown(scene, [strip]).wave, heard.offset, heard.duration, heard.start, heard.start_frame
        )
    return StripTiming(
        path=path,
        packed=bytes(packed.data) if packed is not None else None,
        offset=heard.offset,
        duration=heard.duration,
        start=heard.start,
        start_frame=heard.start_frame,
    )


def sound_path(strip) -> Path:
    """The file of a strip's sound; TalkingEyesError says what to do if it is not there."""
    sound = strip.sound
    if sound.filepath.startswith("//") and not (bpy.data.filepath or sound.library):
        raise TalkingEyesError(
            f"The path of the sound, {sound.filepath}, counts from the folder of this file, which was never saved.",
            "Save the file there, or choose the sound again in the strip's properties in the sequencer.",
        )
    path = Path(os.path.normpath(bpy.path.abspath(sound.filepath, library=sound.library)))
    _check_file(path)
    return path


def _check_file(path: Path) -> None:
    if not path.is_file():
        if path.is_dir():
            raise TalkingEyesError(f"The sound file {path} is a folder, not a sound file.", "Choose the file again.")
        raise TalkingEyesError(
            f"The sound file {path} does not exist.",
            "If it was moved, use File > External Data > Find Missing Files, or choose it again.",
        )
