"""Sound strips for tests: sounds whose every moment can be told, retiming, meta strips, and Blender's own mix."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import wave
from pathlib import Path

import bpy
import numpy as np

RATE = 16_000


def stairs(seconds: float = 4.0) -> np.ndarray:
    """A tone in which each 10 ms has a loudness of its own, so that any moment can be told by its level."""
    levels = np.repeat(np.arange(1, round(100 * seconds) + 1) / (125 * seconds), RATE // 100)
    return levels * np.sin(2 * np.pi * 1000 * np.arange(len(levels)) / RATE)


def write_wave(path: Path, samples: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as stream:
        stream.setparams((1, 2, RATE, 0, "NONE", ""))
        stream.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def read_floats(content: bytes) -> tuple[np.ndarray, int]:
    """The samples of one channel of floats in a WAV file, and their rate; the wave module knows no floats."""
    stream = io.BytesIO(content)
    assert stream.read(4) == b"RIFF" and stream.seek(8) and stream.read(4) == b"WAVE"
    rate = 0
    while True:
        name, size = stream.read(4), int.from_bytes(stream.read(4), "little")
        if name == b"data":
            return np.frombuffer(stream.read(size), "<f4"), rate
        chunk = stream.read(size)
        if name == b"fmt ":
            assert int.from_bytes(chunk[2:4], "little") == 1 and int.from_bytes(chunk[14:16], "little") == 32
            rate = int.from_bytes(chunk[4:8], "little")


def level(samples: np.ndarray, rate: int, moment: float, width: float = 0.01) -> float:
    """Loudness of the ``width`` seconds round a moment."""
    centre, half = int(moment * rate), int(0.5 * width * rate)
    return float(np.sqrt(np.mean(samples[max(0, centre - half) : centre + half] ** 2)))


def heard(scene: bpy.types.Scene, folder: Path) -> tuple[np.ndarray, int]:
    """What Blender plays of the scene from frame 0 to 300: one channel, and its rate."""
    path = folder / "heard.wav"
    scene.frame_start, scene.frame_end = 0, 300
    bpy.context.view_layer.update()
    bpy.ops.sound.mixdown(filepath=str(path), container="WAV", codec="PCM", format="F32", channels="MONO")
    return read_floats(path.read_bytes())


def in_sequencer(scene: bpy.types.Scene, *strips):
    """A context in which operators of the sequencer run, with these strips selected and the last one active."""
    window = bpy.context.window_manager.windows[0]
    area = window.screen.areas[0]
    area.type = "SEQUENCE_EDITOR"
    if hasattr(window.workspace, "sequencer_scene"):
        window.workspace.sequencer_scene = scene
    region = next(region for region in area.regions if region.type == "WINDOW")
    editor = scene.sequence_editor
    for strip in editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all:
        strip.select = strip in strips
    if strips:
        editor.active_strip = strips[-1]
    return bpy.context.temp_override(window=window, area=area, region=region)


def retime(scene: bpy.types.Scene, strip, frame: int, speed: float) -> None:
    """Play a strip at ``speed`` percent from its start to the scene's frame ``frame``."""
    with in_sequencer(scene, strip):
        bpy.ops.sequencer.retiming_key_add(timeline_frame=frame)
        bpy.ops.sequencer.retiming_segment_speed_set(speed=speed)


def meta_round(scene: bpy.types.Scene, *strips):
    """Put strips into a meta strip and return it."""
    with in_sequencer(scene, *strips):
        bpy.ops.sequencer.meta_make()
    return strips[0].parent_meta()
