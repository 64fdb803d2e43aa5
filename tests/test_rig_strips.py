"""Sound strips: what of a file sounds when, compared with what Blender's own mixer makes of it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _rigs import file_dump, fresh_scene  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.rig import compat, strips  # noqa: E402

needs_audio = pytest.mark.skipif(not bpy.app.build_options.audaspace, reason="this bpy has no audio")
RATE, SECONDS = 16000, 4.0
MONO_TO_STEREO = 0.5**0.5
"""What the mixer makes of a mono sound on each of two channels."""


@pytest.fixture(autouse=True)
def scene():
    scene = fresh_scene()
    scene.render.fps, scene.frame_start, scene.frame_end = 25, 1, 150
    return scene


@pytest.fixture
def sound(tmp_path) -> Path:
    """Four seconds in which each 10 ms has a loudness of its own, so that any moment can be told by its level."""
    return write_wave(tmp_path / "clicks.wav", stairs())


def stairs() -> np.ndarray:
    levels = np.repeat(np.arange(1, 401) / 500, RATE // 100)
    return levels * np.sin(2 * np.pi * 1000 * np.arange(len(levels)) / RATE)


def write_wave(path: Path, samples: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(RATE)
        stream.writeframes((samples * 32767).astype(np.int16).tobytes())
    return path


def set_strip(strip, **values) -> None:
    """Set times of a strip under the names of any version."""
    renamed = {
        "frame_start": "content_start", "frame_final_end": "right_handle", "frame_final_start": "left_handle",
        "animation_offset_start": "content_trim_start", "frame_offset_start": "left_handle_offset",
    }  # fmt: skip
    for name, value in values.items():
        setattr(strip, renamed[name] if hasattr(strip, "left_handle") and name in renamed else name, value)


@needs_audio
@pytest.mark.parametrize(
    ("rate", "changes"),
    [
        ((25, 1.0), {}),
        ((24, 1.0), {"frame_start": 31}),
        ((30, 1.001), {"frame_start": 40, "frame_final_start": 55}),
        ((60, 1.0), {"frame_final_start": 61, "frame_final_end": 180}),
        ((25, 1.0), {"animation_offset_start": 20, "frame_final_start": 30, "frame_start": 12}),
        ((30, 1.0), {"sound_offset": -0.5, "frame_start": 10}),
        ((30, 1.0), {"sound_offset": 0.25, "frame_start": 10}),
        ((25, 1.0), {"sound_offset": 0.4, "frame_final_start": 6}),
        ((24, 1.0), {"frame_offset_start": 3.7}),
    ],
    ids=[
        "whole",
        "later",
        "trimmed-29.97",
        "both-ends",
        "hard-trim",
        "early",
        "delayed",
        "delayed-and-trimmed",
        "between-frames",
    ],
)
def test_timing_is_the_mixers(scene, sound, tmp_path, rate, changes):
    if "sound_offset" in changes and not hasattr(bpy.types, "SoundStrip"):
        pytest.skip("this Blender has no sound offset")
    scene.render.fps, scene.render.fps_base = rate
    strip = strips.add_sound(scene, sound, 1)
    set_strip(strip, **changes)
    found = strips.timing(scene, strip)
    mixed = tmp_path / "mixed.wav"
    scene.frame_start = 0
    scene.frame_end = 300
    bpy.context.view_layer.update()
    bpy.ops.sound.mixdown(filepath=str(mixed), container="WAV", codec="PCM", format="S16")
    with wave.open(str(mixed)) as stream:
        channels, mixed_rate = stream.getnchannels(), stream.getframerate()
        heard = np.frombuffer(stream.readframes(stream.getnframes()), np.int16).reshape(-1, channels)[:, 0] / 32767

    def level(signal, per_second, moment) -> float:
        """Loudness in the 10 ms round a moment."""
        centre, half = int(moment * per_second), int(0.005 * per_second)
        return float(np.sqrt(np.mean(signal[max(0, centre - half) : centre + half] ** 2)))

    source = stairs()
    for share in (0.05, 0.3, 0.6, 0.9):
        length = min(found.duration, SECONDS - found.offset)
        inside = share * length
        expected = MONO_TO_STEREO * level(source, RATE, found.offset + inside)
        # A step of the stairs is 1/500 of the amplitude, 1/707 of its loudness: a few milliseconds off would be seen.
        assert level(heard, mixed_rate, found.start + inside) == pytest.approx(expected, abs=0.0007)
    if found.start > 0.06:
        assert level(heard, mixed_rate, found.start - 0.03) < 0.001
    end = found.start + found.duration
    assert level(heard, mixed_rate, end + 0.03) < 0.001


@needs_audio
def test_timing_counts_in_seconds(scene, sound):
    scene.render.fps, scene.render.fps_base = 30, 1.001
    strip = strips.add_sound(scene, sound, 31)
    found = strips.timing(scene, strip)
    assert found.source == found.path == sound and found.offset == 0
    assert found.start == pytest.approx(31 * 1.001 / 30) and found.start_frame == pytest.approx(31)
    assert found.duration == pytest.approx(4.0, abs=0.05)
    assert strips.list_sounds(scene) == [strip] and strips.find_sound(scene, strip.name) == strip


@needs_audio
def test_strips_go_on_free_channels(scene, sound):
    first = strips.add_sound(scene, sound, 10)
    second = strips.add_sound(scene, sound, 5)
    assert first.channel != second.channel
    assert strips.list_sounds(scene) == [second, first]
    assert compat.span(second).left == 5


@needs_audio
def test_packed_sound_needs_no_file(scene, sound):
    content = sound.read_bytes()
    strip = strips.add_sound(scene, sound)
    strip.sound.pack()
    sound.unlink()
    found = strips.timing(scene, strip)
    assert found.path is None and found.packed == content and found.source == content


@needs_audio
def test_missing_file_is_named(scene, sound):
    strip = strips.add_sound(scene, sound)
    sound.unlink()
    with pytest.raises(TalkingEyesError, match=r"clicks\.wav does not exist"):
        strips.timing(scene, strip)


@needs_audio
def test_relative_paths_are_found(scene, sound, tmp_path):
    strip = strips.add_sound(scene, sound)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    strip.sound.filepath = "//clicks.wav"
    assert strips.timing(scene, strip).path == sound


def test_what_is_no_sound_is_refused_and_leaves_nothing(scene, tmp_path):
    text = tmp_path / "text.wav"
    text.write_text("these are words\n" * 200)
    empty = tmp_path / "empty.wav"
    empty.touch()
    had_editor = scene.sequence_editor is not None
    before = file_dump()
    words = {text: "could not be read as sound", empty: "is empty", tmp_path / "gone.wav": "does not exist",
             tmp_path: "is a folder"}  # fmt: skip
    for path, message in words.items():
        if path == text and not bpy.app.build_options.audaspace:
            message = "no audio support"
        with pytest.raises(TalkingEyesError, match=message):
            strips.add_sound(scene, path)
    assert file_dump() == before
    assert (scene.sequence_editor is not None) == had_editor
    assert not strips.list_sounds(scene)


def test_no_strip_is_told(scene):
    with pytest.raises(TalkingEyesError, match="no sound strip"):
        strips.find_sound(scene, "talk")
    with pytest.raises(TalkingEyesError, match="No sound strip is chosen"):
        strips.timing(scene, None)


@needs_audio
def test_a_strip_that_is_gone_is_told(scene, sound):
    strips.add_sound(scene, sound)
    with pytest.raises(TalkingEyesError, match="no sound strip 'talk' any more") as caught:
        strips.find_sound(scene, "talk")
    assert "clicks" in caught.value.hint
