"""Strips that are retimed, in meta strips, muted, packed or elsewhere: heard as Blender's own mixer plays them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
if not bpy.app.build_options.audaspace:
    pytest.skip("this Blender holds no sound strips", allow_module_level=True)

from _rigs import fresh_scene  # noqa: E402
from _scene import scene_hash  # noqa: E402
from _sequencer import heard, in_sequencer, level, meta_round, read_floats, retime, stairs, write_wave  # noqa: E402
from test_rig_strips import set_strip  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.rig import compat, strip_times, strips  # noqa: E402
from talkingeyes_blender.rig.strip_mix import mixdown  # noqa: E402


@pytest.fixture(autouse=True)
def scene():
    scene = fresh_scene()
    scene.render.fps, scene.frame_start, scene.frame_end = 25, 1, 150
    return scene


@pytest.fixture
def strip(scene, tmp_path):
    return strips.add_sound(scene, write_wave(tmp_path / "stairs.wav", stairs()), 10)


def levels(content: bytes) -> list[float]:
    """Loudness over time; sound that is stretched differs a little in its samples from one mix to the next."""
    samples, rate = read_floats(content)
    return [level(samples, rate, moment, 0.1) for moment in np.arange(0.1, len(samples) / rate - 0.1, 0.1)]


def test_a_retimed_strip_sounds_as_it_plays(scene, strip, tmp_path):
    retime(scene, strip, 50, 200)
    set_strip(strip, frame_final_start=14)
    write_wave(tmp_path / "other.wav", 0.5 * np.ones(64000))
    strips.add_sound(scene, tmp_path / "other.wav", 1).mute = True
    before = scene_hash()
    found = strips.timing(scene, strip)
    assert scene_hash() == before
    assert (found.path, found.offset) == (None, 0.0) and found.start_frame == pytest.approx(14.0)
    ours, rate = read_floats(found.packed)
    plays, other_rate = heard(scene, tmp_path)
    assert found.duration <= len(ours) / rate < found.duration + 0.1  # Blender mixes in blocks
    reached = [level(ours, rate, moment) for moment in np.arange(0.05, found.duration, 0.25)]
    expected = [level(plays, other_rate, found.start + moment) for moment in np.arange(0.05, found.duration, 0.25)]
    assert reached == pytest.approx(expected, abs=0.006) and max(reached) > 0.3
    # As loud as in the file's fourth second, and that within less than four: it plays faster.
    assert max(reached) > level(stairs(), 16000, 3.0) and found.start + found.duration < 10 / 25 + 3.6


def test_a_retimed_strip_in_a_meta_strip_with_others(scene, strip, tmp_path):
    retime(scene, strip, 50, 50)
    other = strips.add_sound(scene, write_wave(tmp_path / "other.wav", 0.9 * np.sin(np.arange(64000.0))), 10)
    meta = meta_round(scene, strip, other)
    set_strip(meta, frame_final_start=20)
    other.mute = True
    plays, rate = heard(scene, tmp_path)
    moments = np.arange(0.9, 6.5, 0.1)
    expected = [level(plays, rate, moment, 0.1) for moment in moments]
    assert max(expected) > 0.2
    for muted in (), (other, strip, meta), (scene.sequence_editor.channels[meta.channel],):
        for each in muted:
            each.mute = True
        assert (strip_times.why_muted(scene, strip) is not None) == bool(muted)
        found = strips.timing(scene, strip)
        ours, rate = read_floats(found.packed)
        assert found.start_frame == 20.0
        # Sound that is stretched differs a little from one mix to the next.
        assert [level(ours, rate, moment - 0.8, 0.1) for moment in moments] == pytest.approx(expected, abs=0.01)


def test_the_speed_effect_leaves_sound_alone(scene, strip, tmp_path):
    before = strip_times.placement(scene, strip)
    plays, _ = heard(scene, tmp_path)
    collection = compat.strip_collection(scene)
    kind = {"input1": strip} if "input1" in collection.bl_rna.functions["new_effect"].parameters else {"seq1": strip}
    end = {"length": 40} if "length" in collection.bl_rna.functions["new_effect"].parameters else {"frame_end": 50}
    try:
        effect = collection.new_effect("speed", "SPEED", 5, 10, **kind, **end)
        effect.speed_control, effect.speed_factor = "MULTIPLY", 2.0
    except (RuntimeError, TypeError) as error:
        pytest.skip(f"this Blender makes no speed effect of sound ({error})")
    after, _ = heard(scene, tmp_path)
    assert strip_times.placement(scene, strip) == before
    assert np.abs(after - plays).max() < 1e-6


@pytest.mark.parametrize("rate", [(25, 1.0), (30, 1.001), (24, 1.0)], ids=str)
def test_a_meta_strip_that_is_trimmed_and_moved(scene, strip, tmp_path, rate):
    scene.render.fps, scene.render.fps_base = rate
    set_strip(strip, frame_final_start=15)
    meta = meta_round(scene, meta_round(scene, strip))
    set_strip(meta, frame_start=compat.content_start(meta) + 12)
    set_strip(meta, frame_final_start=36, frame_final_end=70)
    found = strips.timing(scene, strip)
    per_second = rate[0] / rate[1]
    assert (found.start * per_second, found.duration * per_second) == pytest.approx((36, 34))
    assert found.offset * per_second == pytest.approx(36 - 22)
    plays, mixed_rate = heard(scene, tmp_path)
    for inside in (0.1, 0.5, 0.9):
        moment = inside * found.duration
        expected = level(stairs(), 16000, found.offset + moment)
        assert level(plays, mixed_rate, found.start + moment) == pytest.approx(expected, abs=0.003)
    assert level(plays, mixed_rate, found.start - 0.03) < 0.001
    assert level(plays, mixed_rate, found.start + found.duration + 0.03) < 0.001


def test_outside_of_its_meta_strip(scene, strip, tmp_path):
    later = strips.add_sound(scene, write_wave(tmp_path / "b.wav", stairs(1.0)), 130)
    meta = meta_round(scene, strip, later)
    set_strip(meta, frame_final_end=120)
    with pytest.raises(TalkingEyesError, match="outside of what its meta strip shows"):
        strips.timing(scene, later)


def test_names_that_are_not_ascii(scene, tmp_path):
    folder = tmp_path / "Größe ö 日本語 'mit' Leerzeichen"
    folder.mkdir()
    strip = strips.add_sound(scene, write_wave(folder / "Sprache é.wav", stairs()), 10)
    assert strips.timing(scene, strip).path == folder / "Sprache é.wav"
    retime(scene, strip, 50, 200)
    assert level(*read_floats(strips.timing(scene, strip).packed), 0.5, 0.1) > 0.05
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    strip.sound.filepath = "//Sprache é.wav"
    assert strips.sound_path(strip) == folder / "Sprache é.wav"


def test_packed_and_retimed_needs_no_file(scene, strip, tmp_path):
    retime(scene, strip, 50, 200)
    with_file = levels(strips.timing(scene, strip).packed)
    strip.sound.pack()
    (tmp_path / "stairs.wav").unlink()
    assert levels(strips.timing(scene, strip).packed) == pytest.approx(with_file, abs=0.003)


def test_a_relative_path_in_a_file_that_was_never_saved(scene, strip):
    strip.sound.filepath = "//stairs.wav"
    with pytest.raises(TalkingEyesError, match="was never saved") as caught:
        strips.timing(scene, strip)
    assert "Save the file" in caught.value.hint


def test_a_file_that_was_moved(scene, strip, tmp_path):
    (tmp_path / "stairs.wav").rename(tmp_path / "moved.wav")
    with pytest.raises(TalkingEyesError, match=r"stairs\.wav does not exist") as caught:
        strips.timing(scene, strip)
    assert "Find Missing Files" in caught.value.hint
    retime(scene, strip, 50, 200)
    with pytest.raises(TalkingEyesError, match=r"stairs\.wav does not exist"):
        strips.timing(scene, strip)


def test_mixing_what_begins_before_frame_0(scene, strip):
    set_strip(strip, frame_start=-20)
    with pytest.raises(TalkingEyesError, match="before frame 0"):
        mixdown(scene, [strip])


def test_retiming_shows_where_blender_does_not_tell(scene, strip):
    class Strip42:
        """A strip as Blender 4.2 and 4.3 show it: without its retiming keys."""

        sound = strip.sound
        frame_duration = 100

    assert compat.retiming(scene, Strip42()) == ()
    Strip42.frame_duration = 75
    assert compat.retiming(scene, Strip42()) != ()
    assert compat.retiming(scene, strip) == ()
    with in_sequencer(scene, strip):
        bpy.ops.sequencer.retiming_key_add(timeline_frame=50)
    assert len(compat.retiming(scene, strip)) == 3
