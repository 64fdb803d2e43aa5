"""When a sound strip is heard and which part of its file that is: trims, offsets, meta strips, retiming, muting.

Nothing here opens a file, so panels may ask at every redraw.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import math

import bpy

from ..errors import TalkingEyesError
from . import compat
from .curves import frames_per_second


@dataclasses.dataclass(frozen=True)
class Placement:
    """What of a sound strip is heard when, in seconds."""

    offset: float
    """Where in the file the strip begins to sound; of a retimed strip, whose file's seconds only the mixer knows, the
    fraction of a frame by which its mix begins earlier."""
    duration: float
    """How long it sounds at most: what is seen of the strip, which may reach beyond the end of the file."""
    start: float
    """Seconds after scene frame 0 at which it begins to sound."""
    start_frame: float
    """The same as a scene frame, with its fraction."""
    retiming: tuple[float, ...]
    """Frames of the retiming keys after the start of the content; empty for a strip that plays as its file does."""

    @property
    def end(self) -> float:
        """Seconds after scene frame 0 at which it ends."""
        return self.start + self.duration


def placement(scene: bpy.types.Scene, strip) -> Placement:
    """Which part of its file a sound strip plays, and when, honouring trims, offsets and the trims of meta strips.

    Counted as Blender's mixer counts: the strip begins at its left handle, or where the meta strip round it begins; the
    frames hidden before that, less the sound's own delay, are skipped in the file; a delay that is left over is silence
    first. Effect strips (speed, too) change pictures only.
    """
    if strip is None or strip.type != "SOUND":
        raise TalkingEyesError("No sound strip is chosen.", "Choose one, or import a sound file first.")
    if strip.sound is None:
        raise TalkingEyesError(f"The strip '{strip.name}' has no sound.", "Choose another strip.")
    per_second = frames_per_second(scene)
    left, right = compat.visible(strip)
    if right <= left and compat.parents(strip):
        raise TalkingEyesError(
            f"The strip '{strip.name}' lies outside of what its meta strip shows.", "Lengthen the meta strip."
        )
    retiming = compat.retiming(scene, strip)
    if retiming:
        skipped = (left - math.floor(left)) / per_second  # its mix begins with a whole frame
    else:
        skipped = compat.skipped(strip, left) / per_second - compat.sound_delay(strip)
    start = left / per_second + max(0.0, -skipped)
    duration = right / per_second - start
    if duration <= 0:
        raise TalkingEyesError(f"Nothing of the strip '{strip.name}' sounds.", "Lengthen it, or reset its offset.")
    return Placement(
        offset=max(0.0, skipped),
        duration=duration,
        start=start,
        start_frame=start * per_second,
        retiming=retiming,
    )


def why_muted(scene: bpy.types.Scene, strip) -> str | None:
    """Say why Blender does not play a strip that could be heard, or None if it plays."""
    for each in (strip, *compat.parents(strip)):
        if each.mute:
            return f"The strip '{each.name}' is muted."
        channel = compat.channel_of(scene, each)
        if channel is not None and channel.mute:
            return f"The channel '{channel.name}' of the strip '{each.name}' is muted."
    return None
