"""What Blender's own mixer makes of some sound strips: retimed ones, and several at once, as they are heard."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import bpy

from ..errors import TalkingEyesError
from . import compat
from .curves import frames_per_second

_RATE = 48_000


@dataclasses.dataclass(frozen=True)
class Mix:
    """A mixdown: one channel of floats in a WAV file, and where it lies on the timeline."""

    wave: bytes
    start: float
    """Seconds after scene frame 0."""
    start_frame: float
    duration: float
    """In seconds."""


def mixdown(scene: bpy.types.Scene, strips: Sequence, seconds: float = 0.0) -> Mix:
    """Mix sound strips and nothing else, muted ones too.

    Over all frames in which one of them is seen, or ``seconds`` long if that is more.

    Done in a copy of the scene that holds no objects and goes away again, so the scene itself is not touched.
    TalkingEyesError where this Blender cannot, where the strips begin before frame 0, or where there is no sound.
    """
    if not bpy.app.build_options.audaspace:
        raise TalkingEyesError(
            "This build of Blender has no audio support, so it cannot mix strips.", "Use a Blender from blender.org."
        )
    seen = [compat.visible(strip) for strip in strips]
    first, last = math.floor(min(left for left, _ in seen)), math.ceil(max(right for _, right in seen))
    if first < 0:
        raise TalkingEyesError(
            f"The strip '{strips[0].name}' begins before frame 0, where Blender mixes no sound.",
            "Move it to frame 0 or later.",
        )
    per_second = frames_per_second(scene)
    last = max(last, first + math.ceil(seconds * per_second - 1e-6))
    wave = _mixed(scene, {strip.name for strip in strips}, first, last)
    return Mix(wave, first / per_second, float(first), (last - first) / per_second)


def _mixed(scene: bpy.types.Scene, names: set[str], first: int, last: int) -> bytes:
    copy = scene.copy()
    try:
        for held in (copy.collection.objects, copy.collection.children):
            for each in list(held):
                held.unlink(each)
        every = compat.all_strips(copy)
        chosen = [strip for strip in every if strip.name in names]
        needed = [*chosen, *(meta for strip in chosen for meta in compat.parents(strip))]
        for strip in every:
            strip.mute = strip not in needed
        for strip in needed:
            channel = compat.channel_of(copy, strip)
            if channel is not None:
                channel.mute = False
        copy.use_audio = True  # names what playback mutes
        copy.frame_start = 0
        copy.frame_end, copy.frame_start = last - 1, first
        with tempfile.TemporaryDirectory(prefix="talkingeyes-") as folder:
            path = Path(folder) / "mix.wav"
            _run_mixdown(copy, path)
            return path.read_bytes()
    finally:
        bpy.data.scenes.remove(copy)


def _run_mixdown(scene: bpy.types.Scene, path: Path) -> None:
    try:
        with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
            done = bpy.ops.sound.mixdown(
                filepath=str(path), container="WAV", codec="PCM", format="F32", mixrate=_RATE, channels="MONO"
            )
    except RuntimeError as error:
        raise TalkingEyesError(
            f"Blender could not mix the strips ({error}).", "Mix them to a file yourself."
        ) from error
    if done != {"FINISHED"} or not path.is_file():
        raise TalkingEyesError("Blender could not mix the strips.", "Mix them to a file yourself, and use that.")
