"""The starter's figures on curves whose answer is known, and once through on the shipped weights."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import numpy as np
import pytest

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head.arkit import EXPRESSIONS, INDEX
from talkingeyes_blender.head.standin import load_standin
from talkingeyes_blender.inference.audio import AudioClip
from talkingeyes_blender.training.__main__ import main
from talkingeyes_blender.training.corpus.speech import Phone
from talkingeyes_blender.training.corpus.voices import available_voices, is_held_out
from talkingeyes_blender.training.evaluation import gaze_metrics
from talkingeyes_blender.training.evaluation.intervals import Interval
from talkingeyes_blender.training.starter_evaluation import closures, command, figures, gaze, real, rest, unheard
from talkingeyes_blender.training.starter_evaluation.mouth import Mouth, Viewer

SEGMENTS = [
    (0.0, 0.4, "silence"), (0.4, 0.8, "a"), (0.8, 0.92, "plosive_lips"), (0.92, 1.4, "a"), (1.4, 1.5, "lip_teeth"),
    (1.5, 2.0, "a"),
]  # fmt: skip


def _gap(*shut: tuple[float, float], seconds: float = 2.0) -> np.ndarray:
    times = np.arange(round(seconds * 25)) / 25
    gap = np.full(len(times), 8.0)
    for start, end in shut:
        gap[(times >= start) & (times <= end)] = 0.0
    return gap


@pytest.fixture(scope="module")
def viewer() -> Viewer:
    return Viewer(load_standin())


# -- closures


def test_a_closure_in_time_is_found_and_one_elsewhere_is_false():
    assert closures.score(_gap((0.8, 0.92)), SEGMENTS, 1.0, 0.04) == closures.Closures(1, 1, 0)
    assert closures.score(_gap((1.1, 1.17)), SEGMENTS, 1.0, 0.04) == closures.Closures(0, 1, 1)
    assert closures.score(_gap((0.96, 0.97)), SEGMENTS, 1.0, 0.04).found == 1  # within the tolerance
    assert closures.score(_gap((1.0, 1.01)), SEGMENTS, 1.0, 0.04).found == 0


def test_lips_that_never_open_gain_nothing():
    always = closures.score(_gap((0.0, 2.0)), SEGMENTS, 1.0, 0.04)
    assert always.found == 1 and always.false >= 9 and always.f1 < 0.2


def test_pauses_and_passed_classes_are_not_false():
    assert closures.score(_gap((0.0, 0.35)), SEGMENTS, 1.0, 0.04).false == 0
    shut = _gap((1.42, 1.48))
    assert closures.score(shut, SEGMENTS, 1.0, 0.04).false == 1
    assert closures.score(shut, SEGMENTS, 1.0, 0.04, frozenset({"lip_teeth"})).false == 0


def test_rates_of_no_event_and_of_sums():
    total = closures.Closures(3, 4, 1) + closures.Closures(0, 2, 2)
    assert (total.recall, total.precision) == (0.5, 0.5) and total.f1 == pytest.approx(0.5)
    assert np.isnan(closures.Closures().f1) or closures.Closures().f1 == 0


def test_the_threshold_is_the_one_that_parts_shut_from_open():
    gap = _gap((0.8, 0.92)) + 2.0  # shut lips of this weights' make are 2 mm apart, open ones 10
    assert 2.0 < closures.best_threshold([(gap, SEGMENTS)], 0.04) <= 6.0


def test_pauses_are_silence_between_and_around_sounds():
    segments = [(0.5, 1.0, "a"), (1.0, 1.6, "silence"), (1.6, 2.0, "a")]
    assert closures.pauses_of(segments, 3.0, 0.4) == [(0.0, 0.5), (1.0, 1.6), (2.0, 3.0)]


# -- figures


def test_correlation_over_clips_is_pearsons_and_its_interval_holds_it():
    rng = np.random.default_rng(0)
    pairs = [(a, a + 0.5 * rng.normal(size=200)) for a in rng.normal(size=(6, 200))]
    r = np.corrcoef(*(np.concatenate(side) for side in zip(*pairs, strict=True)))[0, 1]
    interval = figures.bootstrap(pairs, figures.correlation)
    assert interval.value == pytest.approx(r) and interval.low < r < interval.high < 1
    assert np.isnan(figures.bootstrap([], figures.correlation).value)


# -- the mouth as it is seen


def test_a_viewer_sees_the_gap_that_jaw_and_mouth_close_make(viewer):
    expression, jaw = np.zeros((3, len(EXPRESSIONS)), np.float32), np.zeros((3, 3), np.float32)
    jaw[1:, 0] = np.radians(10)
    expression[2, INDEX["mouthClose"]] = 1.0
    expression[0, INDEX["mouthPucker"]] = 0.4
    expression[0, INDEX["mouthSmileLeft"]] = expression[0, INDEX["mouthStretchRight"]] = 0.2
    mouth = viewer(expression, jaw)
    assert mouth.gap[1] > 6 and mouth.gap[2] < 1 and mouth.gap[0] < 2
    assert mouth.jaw == pytest.approx([0, 10, 10], abs=1e-4)
    assert mouth.rounding[0] == pytest.approx(0.4) and mouth.spreading[0] == pytest.approx(0.2)


# -- real voices


def _spoken(jaw: np.ndarray, phones: list[Phone]) -> real.Spoken:
    clip = AudioClip(np.zeros(len(jaw) * 640, np.float32) + 1e-3)
    full = float(np.percentile(jaw, 95))
    return real.Spoken(Mouth(jaw, jaw * 0, jaw * 0, jaw), real.Recording("x", clip, phones), full)


def test_vowel_peaks_are_shares_of_the_clips_own_opening():
    jaw = np.full(50, 10.0)
    jaw[10:20], jaw[30:40] = 2.0, 8.0
    clip = _spoken(jaw, [Phone(0.4, 0.76, "iy"), Phone(1.2, 1.56, "aa"), Phone(1.6, 2.0, "s")])
    assert clip.full == 10.0
    assert real.vowel_peaks(clip, real.HIGH_VOWELS) == pytest.approx([0.2])
    assert real.vowel_peaks(clip, real.LOW_VOWELS) == pytest.approx([0.8])


def test_the_edges_of_a_pause_are_not_looked_at():
    jaw = np.full(75, 10.0)
    jaw[28:48] = 0.5  # a pause from 1 to 2 s: frames 25 to 50, of which 28 to 47 lie 120 ms within
    clip = _spoken(jaw, [Phone(0.0, 1.0, "aa"), Phone(2.0, 3.0, "aa")])
    assert real.pause_jaw(clip) == pytest.approx(np.full(len(real.pause_jaw(clip)), 0.05))
    assert 18 <= len(real.pause_jaw(clip)) <= 20
    short = _spoken(jaw, [Phone(0.0, 1.0, "aa"), Phone(1.3, 3.0, "aa")])
    assert len(real.pause_jaw(short)) == 0


def test_the_rules_themselves_find_every_closure(viewer):
    phones = [
        Phone(0.2, 0.5, "aa"),
        Phone(0.5, 0.6, "p"),
        Phone(0.6, 0.9, "iy"),
        Phone(0.9, 1.0, "m"),
        Phone(1.0, 1.4, "aa"),
    ]
    clip = AudioClip(np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32))
    table = real.table(real.by_rule(viewer, [real.Recording("x", clip, phones)]), 1.0)
    assert table["closure F"].value == 1 and table["bilabials"] == 2
    assert table["jaw peak on high vowels"].value < 0.6 < table["jaw peak on low vowels"].value


def test_stretches_of_one_recording_are_drawn_together():
    phones = [Phone(0.0, 0.4, "aa"), Phone(0.4, 0.52, "p"), Phone(0.52, 2.0, "aa")]
    good, bad = _spoken(_gap((0.4, 0.52)), phones), _spoken(_gap(), phones)
    table = real.table([good, bad], 1.0)
    assert (table["recordings"], table["stretches"], table["bilabials"]) == (1, 2, 2)
    assert table["closure recall"].plain() == [0.5, 0.5, 0.5]


# -- sounds that are no speech


@pytest.mark.parametrize("kind", [k for k in (*rest.NOISE, *rest.MUSIC) if k != "babble"])
def test_a_sound_is_the_same_each_time_and_as_loud_as_it_should_be(kind):
    sound = rest.make(kind, 0).samples
    assert np.array_equal(sound, rest.make(kind, 0).samples)
    assert not np.array_equal(sound, rest.make(kind, 1).samples)
    level = 20 * np.log10(np.sqrt(np.mean(sound.astype(float) ** 2)))
    assert level == pytest.approx(-45 if kind == "room tone" else rest.LEVEL, abs=1.5)


def test_plucked_strings_have_a_pitch_and_die_away():
    sound = rest.plucked(16000, np.random.default_rng(3))
    spectrum = np.abs(np.fft.rfft(sound[:8000] * np.hanning(8000)))
    assert spectrum.max() > 20 * np.median(spectrum)


# -- gaze


def test_real_scanpaths_have_the_published_amplitudes(testdata):
    people = gaze._shifts_of_people(gaze._read_scanpaths(testdata / "conversation-scanpaths.npz"))
    amplitude, direction = people[True].T
    assert np.median(amplitude) == pytest.approx(1.9, abs=0.03)
    assert amplitude.mean() == pytest.approx(5.7, abs=0.05)
    assert np.percentile(amplitude, 95) == pytest.approx(23.3, abs=0.1)
    assert np.median(people[False][:, 0]) == pytest.approx(0.9, abs=0.03)
    shares = 100 * gaze_metrics.direction_shares(amplitude, direction)
    assert shares == pytest.approx([21.7, 7.1, 8.6, 8.2, 23.8, 10.2, 12.1, 8.3], abs=0.2)


def test_a_shift_to_another_segment_or_person_is_none():
    data = {
        "participant": np.array([0, 0, 0, 1, 1]), "state": np.zeros(5), "segment": np.array([0, 0, 1, 1, 1]),
        "azimuth_deg": np.array([0.0, 3, 50, 90, 90]), "elevation_deg": np.array([0.0, 4, 0, 0, 2]),
    }  # fmt: skip
    people = gaze._shifts_of_people(data)
    assert people[True] == pytest.approx(np.array([[5.0, np.degrees(np.arctan2(4, 3))], [2.0, 90.0]]))
    assert len(people[False]) == 0


def test_a_file_that_holds_no_scanpaths_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=1)
    for path in (tmp_path / "x.npz", tmp_path / "absent.npz"):
        with pytest.raises(TalkingEyesError, match="could not be read as fixations"):
            gaze._read_scanpaths(path)


def test_every_figure_of_gaze_is_a_number_and_does_not_grow_with_the_clips():
    rng = np.random.default_rng(0)
    eyes = np.repeat(rng.normal(0, 0.1, (40, 6)), 10, axis=0)
    eyes[:, 3:] = eyes[:, :3]
    blink = np.zeros((400, 2))
    blink[100:104] = 1
    moves = gaze.Moves(0.01 * rng.normal(size=(400, 3)), eyes, blink)
    for name, figure in gaze.FIGURES.items():
        assert np.isfinite(figure([moves])), name
        assert figure([moves, moves]) == pytest.approx(figure([moves]), rel=0.01), name
    assert gaze.FIGURES["fixation ratio, in the head"]([moves]) > 0.9
    assert gaze.FIGURES["blinks a minute"]([moves]) == pytest.approx(3.75)


# -- the whole


def test_held_out_groups_are_what_the_corpus_holds_out():
    try:
        available_voices()
    except TalkingEyesError as error:
        pytest.skip(str(error))
    for group in unheard.GROUPS:
        assert all(is_held_out(voice) for voice in unheard.voices_of(group))


def test_markdown_has_a_row_a_figure_and_json_the_ends_of_each_interval():
    result = {
        "weights": "some", "threshold, mm": 1.2, "jaw, 95 %, degrees": 9.0,
        "unheard": {"awb": {"jaw r": Interval(0.9, 0.8, 0.95)}}, "speed": {"times real time": 30.0},
    }  # fmt: skip
    text = command.markdown(result)
    assert "| awb | 0.90 [0.80, 0.95] |" in text and "| times real time | 30 |" in text and "1.2 mm" in text
    assert command.plain(result)["unheard"]["awb"]["jaw r"] == [0.9, 0.8, 0.95]


def test_the_shipped_weights_are_measured_from_the_command_line(tmp_path, capsys):
    try:
        available_voices()
    except TalkingEyesError as error:
        pytest.skip(str(error))
    if not (unheard.voices_of("awb") and unheard.voices_of("ked")):
        pytest.skip("flite's awb or festival's ked is not installed")
    assert main(["evaluate-starter", "--part", "unheard", "--clips", "1", "--json", str(tmp_path / "r.json")]) == 0
    assert "| awb |" in capsys.readouterr().out
    found = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert found["unheard"]["awb"]["jaw r"][0] > 0.7
    assert found["unheard"]["ked"]["closure F of the rules"][0] > 0.9
    assert main(["evaluate-starter", "--clips", "0"]) == 1
    assert "Raise --clips" in capsys.readouterr().err
