"""Recordings become a dataset: the sample that the add-on carries, whose words are known."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head.arkit import INDEX, STANDIN
from talkingeyes_blender.inference.audio import read_audio
from talkingeyes_blender.training.check_data import refuse_faults
from talkingeyes_blender.training.corpus import aligner, recordings
from talkingeyes_blender.training.corpus.speech import Phone
from talkingeyes_blender.training.corpus.transcripts import find_sounds, transcript_of
from talkingeyes_blender.training.dataset import Dataset

SAMPLE = Path(__file__).resolve().parents[1] / "talkingeyes_blender" / "assets" / "speech.flac"
WORDS = "Hello! I move my lips, my head and my eyes."


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read_audio(SAMPLE, 0.0, 3.6).samples


@pytest.fixture(scope="module")
def aligned(speech) -> list[Phone]:
    pytest.importorskip("pocketsphinx")
    return aligner.align(speech, WORDS)


def test_the_aligner_finds_the_sounds_of_the_words_in_order(aligned, speech):
    said = [p.name for p in aligned if p.name != "sil"]
    assert said[:4] == ["hh", "eh", "l", "ow"]
    assert "".join(said[4:]) == "aymuwvmaylihpsmayhhehdaendmayayz"
    assert all(a.end <= b.start + 1e-6 for a, b in itertools.pairwise(aligned))
    # The closure of /p/ in 'lips' is quiet, its vowel is not.
    vowel, stop = (next(p for p in aligned if p.name == name and p.start > 1.5) for name in ("ih", "p"))
    level = [np.abs(speech[int(p.start * 16000) : int(p.end * 16000)]).mean() for p in (vowel, stop)]
    assert level[0] > 3 * level[1]
    assert aligner.misfit(speech, aligned) is None


def test_words_that_are_not_said_are_refused(aligned, speech, monkeypatch):
    monkeypatch.setattr(aligner, "pronounced", lambda word: None)
    with pytest.raises(TalkingEyesError, match="dictionary lacks flibbertyx"):
        aligner.align(speech, "hello flibbertyx")
    with pytest.raises(TalkingEyesError, match="no English words"):
        aligner.align(speech, "123 !")
    with pytest.raises(TalkingEyesError, match="does not fit"):
        recordings.with_words(speech, "hello")
    with pytest.raises(TalkingEyesError, match="does not fit"):
        recordings.with_words(speech, "the weather of the last summer was much better than what we had expected " * 2)
    squeezed = [Phone(0.03 * i, 0.03 * (i + 1), "t") for i in range(100)]
    assert "more than could be said" in aligner.misfit(speech, squeezed)
    assert "single sound" in aligner.misfit(speech, [Phone(0.0, 1.0, "ah")])


def test_without_the_aligner_one_sentence_says_how_to_get_it(monkeypatch, tmp_path, speech):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    soundfile.write(tmp_path / "a.wav", speech, 16000)
    with pytest.raises(TalkingEyesError, match=r"pocketsphinx is not installed\. .*pip install '\.\[align\]'"):
        recordings.build_from_recordings(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_transcripts_are_found_beside_the_sound_or_in_their_folder(tmp_path):
    sound, others = tmp_path / "a.wav", tmp_path / "words"
    others.mkdir()
    assert transcript_of(sound) is None
    (tmp_path / "a.lab").write_text("0.00\t0.52\thello\n0.52\t1.0\tmy lips\n", encoding="utf-8")
    assert transcript_of(sound) == "hello my lips"
    (others / "a.txt").write_text("\ufeffsomething else\n", encoding="utf-8")
    assert transcript_of(sound, others) == "something else"
    (others / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TalkingEyesError, match="UTF-8"):
        transcript_of(sound, others)


def test_transcripts_in_librispeechs_layout_are_read(tmp_path):
    chapter = tmp_path / "84" / "121123"
    chapter.mkdir(parents=True)
    listed = chapter / "84-121123.trans.txt"
    listed.write_text("84-121123-0000 GO\n84-121123-0001 DO YOU HEAR\n", encoding="utf-8")
    assert transcript_of(chapter / "84-121123-0001.flac") == "DO YOU HEAR"
    assert transcript_of(chapter / "84-121123-0002.flac") is None
    assert recordings.speaker_of(chapter / "84-121123-0001.flac", tmp_path) == "84"


def test_words_that_the_dictionary_lacks_are_pronounced_by_flite(monkeypatch, speech):
    pytest.importorskip("pocketsphinx")
    if not shutil.which("flite"):
        pytest.skip("flite is not installed")
    assert not aligner.knows("marvelling") and aligner.pronounced("marvelling") == "M AA R V EH L IH NG"
    assert aligner.pronounced("--help;") is None
    # A word that is said but stands in no dictionary: its sounds are found where they are.
    known = aligner.knows
    monkeypatch.setattr(aligner, "knows", lambda word: word != "lipz" and known(word))
    phones = aligner.align(speech, WORDS.replace("lips", "lipz"))
    stop = next(p for p in phones if p.name == "p")
    assert stop.start == pytest.approx(next(p for p in aligner.align(speech, WORDS) if p.name == "p").start, abs=0.03)


def test_sounds_are_found_in_folders_inside(tmp_path):
    with pytest.raises(TalkingEyesError, match="does not exist"):
        find_sounds(tmp_path / "absent")
    with pytest.raises(TalkingEyesError, match="no sound file"):
        find_sounds(tmp_path)
    for name in ("anna/1.WAV", "2.mp3", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [recordings.speaker_of(p, tmp_path) for p in find_sounds(tmp_path)] == [tmp_path.name, "anna"]


def test_long_recordings_are_cut_at_pauses():
    pauses = [(9.9, 10.1), (19.9, 20.1), (29.9, 30.1), (61.0, 63.0)]
    assert recordings._cuts(pauses, 80.0) == [0.0, 20.0, 30.0, 62.0, 80.0]
    assert recordings._cuts([], 80.0) == [0.0, 80.0]
    rate = 16000
    talk = np.random.default_rng(0).normal(0, 0.1, 3 * rate).astype(np.float32)
    talk[rate : int(1.5 * rate)] *= 1e-3
    ((start, end),) = recordings.quiet_stretches(talk)
    assert (start, end) == (pytest.approx(1.0, abs=0.03), pytest.approx(1.5, abs=0.03))


def test_few_sequences_fill_all_splits():
    dealt = recordings._dealt({f"rec-{i}": "anna" for i in range(3)})
    assert sorted(dealt.values()) == ["test", "train", "validation"]
    many = list(recordings._dealt({f"rec-{i}": "anna" for i in range(400)}).values())
    assert 300 < many.count("train") < 340 and many.count("test") > 20


def test_a_folder_becomes_a_dataset_and_what_fails_is_named(aligned, speech, tmp_path, monkeypatch):
    monkeypatch.setattr(aligner, "pronounced", lambda word: None)
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "anna").mkdir(parents=True)
    for name in ("one", "two"):
        soundfile.write(source / "anna" / f"{name}.wav", speech, 16000)
        (source / "anna" / f"{name}.txt").write_text(WORDS, encoding="utf-8")
    soundfile.write(source / "wrong.flac", speech, 16000)
    (source / "wrong.txt").write_text("flibbertyx", encoding="utf-8")
    (source / "broken.wav").write_bytes(b"no sound")
    (source / "broken.txt").write_text("hello", encoding="utf-8")
    outcome = recordings.build_from_recordings(source, out)
    assert outcome.sequences == 2 and outcome.seconds == pytest.approx(7.2, abs=0.1)
    assert sorted(outcome.failed) == ["broken.wav", "wrong.flac"] and "flibbertyx" in outcome.failed["wrong.flac"]

    dataset = Dataset(out)
    refuse_faults(dataset)
    assert dataset.head_model == STANDIN
    assert {s.subject for s in dataset} <= {"anna", "anna (validation)", "anna (test)"}
    sequence = next(s for s in dataset)
    # The lips are shut in the middle of /p/, and the jaw is open on the vowel before.
    stop = next(p for p in aligned if p.name == "p")
    frame = round((stop.start + stop.end) / 2 * 25)
    need = np.degrees(sequence.jaw[frame, 0]) / 10.0
    assert sequence.expression[frame, INDEX["mouthClose"]] == pytest.approx(need, abs=0.03)
    assert np.degrees(sequence.jaw[:, 0]).max() > 6
    assert sequence.speaking.any() and sequence.eyes.any() and sequence.head.any()
    assert "words given" in sequence.source

    before = {p: p.stat().st_mtime_ns for p in (out / "sequences").glob("*.flac")}
    (source / "anna" / "two.txt").write_text(WORDS + " ", encoding="utf-8")
    assert recordings.build_from_recordings(source, out).sequences == 2
    changed = [p.name for p, time in before.items() if p.stat().st_mtime_ns != time]
    assert changed == [], "words that differ by a blank are the same words"
    with pytest.raises(TalkingEyesError, match=r"No recording in .* could be used"):
        other = tmp_path / "bad"
        other.mkdir()
        (other / "broken.wav").write_bytes(b"no sound")
        recordings.build_from_recordings(other, tmp_path / "out2")


def test_copies_are_other_voices_that_say_the_same(aligned, speech, tmp_path):
    soundfile.write(tmp_path / "one.wav", speech, 16000)
    (tmp_path / "one.txt").write_text(WORDS, encoding="utf-8")
    recordings.build_from_recordings(tmp_path, tmp_path / "out", copies=2)
    dataset = Dataset(tmp_path / "out")
    refuse_faults(dataset)
    first, faster, slower = (dataset[i] for i in range(3))
    assert [s.id.removeprefix(first.id) for s in (first, faster, slower)] == ["", "w1", "w2"]
    assert len({dataset.split_of(s.subject) for s in dataset}) == 1, "copies stay with what they are copies of"
    for copy, low, high in ((faster, 1.05, 1.18), (slower, 0.85, 0.95)):
        speed = first.phone_end[-1] / copy.phone_end[-1]
        assert low <= speed <= high and copy.phone_name.tolist() == first.phone_name.tolist()
    assert recordings._dealt({"rec-a-000": "x", "rec-a-000w1": "x", "rec-b-000": "x", "rec-b-001": "x"}).keys() == {
        "rec-a-000", "rec-a-000w1", "rec-b-000", "rec-b-001"
    }  # fmt: skip


def test_many_speakers_are_parted_as_one_wishes_by_several_processes(aligned, speech, tmp_path):
    source = tmp_path / "in"
    for number in range(10):
        folder = source / f"reader {number}"
        folder.mkdir(parents=True)
        soundfile.write(folder / "one.wav", speech, 16000)
        (folder / "one.txt").write_text(WORDS, encoding="utf-8")
    with pytest.raises(TalkingEyesError, match="no speaker anna"):
        recordings.build_from_recordings(source, tmp_path / "none", pinned={"anna": "test"})
    assert not (tmp_path / "none").exists()
    with pytest.raises(TalkingEyesError, match="here are 1"):
        recordings.build_from_recordings(source / "reader 1", tmp_path / "none", pinned={"reader 1": "test"})
    pinned = {"reader 3": "validation", "reader 7": "test"}
    (source / "reader 9" / "one.txt").write_text("the weather of the last summer was better " * 4, encoding="utf-8")
    outcome = recordings.build_from_recordings(source, tmp_path / "out", workers=2, pinned=pinned)
    assert outcome.sequences == 9 and list(outcome.failed) == ["reader 9/one.wav"]
    dataset = Dataset(tmp_path / "out")
    assert {s.subject for s in dataset} == {f"reader {i}" for i in range(9)}
    assert all(dataset.split_of(who) == split for who, split in pinned.items())
    alone = recordings.build_from_recordings(source, tmp_path / "alone", pinned=pinned)
    assert alone.sequences == 9
    for sequence, other in zip(dataset, Dataset(tmp_path / "alone"), strict=True):
        np.testing.assert_array_equal(sequence.expression, other.expression)


def test_a_dataset_of_another_head_is_not_added_to(tmp_path, speech):
    soundfile.write(tmp_path / "a.wav", speech, 16000)
    (tmp_path / "dataset.json").write_text('{"version": 1, "head_model": "flame-50-x"}', encoding="utf-8")
    with pytest.raises(TalkingEyesError, match="another basis"):
        recordings.build_from_recordings(tmp_path, tmp_path)
