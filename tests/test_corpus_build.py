"""A small corpus, really spoken by whatever speech programs are installed."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess

import numpy as np
import pytest

from talkingeyes_blender.errors import Cancelled, TalkingEyesError
from talkingeyes_blender.head.arkit import INDEX, STANDIN
from talkingeyes_blender.training.corpus import build, texts, voices
from talkingeyes_blender.training.dataset import Dataset


def some_voice(program: str) -> voices.Voice:
    try:
        return next(v for v, _ in voices.available_voices() if v.program == program)
    except (StopIteration, TalkingEyesError):
        pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="module")
def spoken():
    """Two sequences of speech."""
    try:
        made = (build.make_sequence(11, i) for i in range(20))
        return [s for s, _ in zip((s for s in made if len(s.phone_name)), range(2), strict=False)]
    except TalkingEyesError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("program", ["espeak", "flite", "festival"])
def test_programs_tell_phones_in_time(program):
    voice = some_voice(program)
    said = ["Papa may be home.", "A summer bee."]
    first, second = voices.speak(voice, said, voices.Delivery())
    duration = len(first.samples) / voices.RATE
    assert np.abs(first.samples).max() == pytest.approx(0.5, abs=1e-4)
    assert first.phones[0].start >= 0 and duration - 0.1 < first.phones[-1].end <= duration
    assert all(a.end <= b.start + 1e-6 for a, b in zip(first.phones, first.phones[1:], strict=False))
    # Sound is where the phones say it is: vowels are louder than silences.
    level = {True: [], False: []}
    for phone in first.phones:
        kind = build._class_of(phone, voice.alphabet)
        part = first.samples[int(phone.start * voices.RATE) : int(phone.end * voices.RATE)]
        if len(part) and kind in ("silence", "a", "e", "i", "ih", "eh", "o", "uh"):
            level[kind != "silence"].append(np.sqrt(np.mean(part**2)))
    assert min(level[True]) > 3 * max(level[False], default=0)
    again, _ = voices.speak(voice, said, voices.Delivery())
    assert np.array_equal(again.samples, first.samples) and again.phones == first.phones
    quick, _ = voices.speak(voice, said, voices.Delivery(speed=1.4))
    assert len(quick.samples) < 0.85 * len(first.samples)
    warped, _ = voices.speak(voice, said, voices.Delivery(warp=1.2))
    assert abs(len(warped.samples) / len(first.samples) - 1) < 0.2
    assert not np.array_equal(warped.samples[:4000], first.samples[:4000])
    assert len(second.samples) != len(first.samples)


def test_text_reaches_a_program_as_words_only(tmp_path):
    mark = tmp_path / "mark"
    for program in ("festival", "flite"):
        voice = some_voice(program)
        hostile = [f'Hello") (system "touch {mark}") ("', f"$(touch {mark}) `touch {mark}`"]
        voices.speak(voice, hostile, voices.Delivery())
        assert not mark.exists()


def test_sequences_move_as_they_sound(spoken):
    for sequence in spoken:
        sequence.checked()
        assert sequence.head_model == STANDIN and 8 < sequence.duration < 40
        jaw = np.degrees(sequence.jaw[:, 0])
        # Away from the edges of pauses, where a mouth is still closing.
        quiet = np.convolve(sequence.speaking, np.ones(7), "same") == 0
        assert jaw.max() > 8 and jaw[quiet].mean() < 0.05 * jaw[sequence.speaking].mean()
        frames = np.round((sequence.phone_start + sequence.phone_end) * 12.5).astype(int).clip(0, sequence.frames - 1)
        opened = {c: jaw[frames[sequence.phone_name == c]] for c in ("a", "i", "plosive_lips", "nasal_lips")}
        lips = np.concatenate([opened["plosive_lips"], opened["nasal_lips"]])
        wide = opened["a"] if len(opened["a"]) else jaw[sequence.speaking]
        assert lips.mean() < 0.3 * wide.mean()
        assert not sequence.expression[:, [INDEX["eyeBlinkLeft"], INDEX["eyeWideRight"]]].any()
        assert 0.5 < np.degrees(sequence.head.std(0)).max() < 12
        assert 1 < np.degrees(sequence.eyes[:, 1].std()) < 20
        assert np.abs(sequence.samples).max() <= 1 and sequence.samples.std() > 0.005


def test_a_sequence_depends_on_seed_and_number_only(spoken):
    first = spoken[0]
    again = build.make_sequence(11, int(first.id))
    for name in ("samples", "expression", "jaw", "head", "eyes", "blink"):
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
    other = build.make_sequence(12, int(first.id))
    assert other.frames != first.frames or not np.array_equal(other.samples, first.samples)


def test_build_is_resumed_and_described(tmp_path, spoken):
    shares = []

    def stop(share: float, message: str) -> None:
        shares.append(share)
        if share > 0.3:
            raise Cancelled

    hours = 3 * build.MEAN_SECONDS / 3600
    with pytest.raises(Cancelled):
        build.build_corpus(tmp_path, hours, seed=11, progress=stop)
    made = sorted((tmp_path / "sequences").glob("*.npz"))
    assert len(made) == 1 and not (tmp_path / "dataset.json").exists()
    stamp = made[0].stat().st_mtime_ns
    build.build_corpus(tmp_path, hours, seed=11)
    assert made[0].stat().st_mtime_ns == stamp
    dataset = Dataset(tmp_path)
    assert dataset.ids == ["000000", "000001", "000002"] and dataset.head_model == STANDIN
    for sequence in dataset:
        assert sequence.subject == dataset.subject(sequence.id)
    # A damaged sequence is made anew.
    made[0].write_bytes(made[0].read_bytes()[:100])
    build.build_corpus(tmp_path, hours, seed=11)
    assert Dataset(tmp_path)[0].frames > 0
    with pytest.raises(TalkingEyesError, match="another recipe or seed"):
        build.build_corpus(tmp_path, hours, seed=12)


def test_held_out_voices_are_never_trained_on(tmp_path):
    held = {v.subject for v, _ in voices.available_voices() if voices.is_held_out(v)}
    assert held <= {s for s in held if s.startswith(("flite:awb", "festival:ked", "festival:suo_fi", "festival:hy_fi",
                                                    "espeak:fi+"))}  # fmt: skip
    shares = {"espeak": 0.0, "natural": 0.0, "held out": 0.0}
    for voice, weight in voices.available_voices():
        kind = "held out" if voices.is_held_out(voice) else "espeak" if voice.program == "espeak" else "natural"
        shares[kind] += weight
    if shares["natural"] > 0.3:
        assert shares["espeak"] < shares["natural"] and shares["held out"] < 0.1


def test_non_speech_is_at_rest():
    rng = np.random.default_rng(0)
    sequence = build.animate("x", build._noise_only(rng, voices.available_voices()), rng).checked()
    assert not sequence.jaw.any() and not sequence.expression.any() and not sequence.speaking.any()
    assert sequence.eyes.any()


def test_no_program_and_no_hours(tmp_path, monkeypatch):
    with pytest.raises(TalkingEyesError, match="apt-get install espeak-ng flite festival"):
        build.build_corpus(tmp_path / "c", 0.01, programs=("none",))
    with pytest.raises(TalkingEyesError, match="cannot be made"):
        build.build_corpus(tmp_path / "c", -1)
    assert not (tmp_path / "c").exists()
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(TalkingEyesError, match="not made here"):
        build.build_corpus(tmp_path, 0.01, programs=None if voices.available_voices() else ())


def test_programs_that_hang_are_left_out(monkeypatch, caplog):
    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, 1)

    voice = voices.Voice("flite", "slt", "en", "cmu", 170.0)
    monkeypatch.setattr(voices.subprocess, "run", hang)
    assert voices.speak(voice, ["Hello."], voices.Delivery()) == []
    assert "did not end" in caplog.text


def test_texts(monkeypatch):
    rng = np.random.default_rng(0)
    said = {texts.draw_text("en", rng) for _ in range(200)}
    assert len(said) > 190
    for text in said | {texts.draw_text(language, rng) for language in ("de", "fi", "sw", "cs") for _ in range(50)}:
        assert text == text.strip() and 2 < len(text) < 220 and not set(text) & set('"\\()<>[]')
    assert all(any(c in "aeiou" for c in text.lower()) for text in said)
    # Without collections and word lists there is still something to say.
    monkeypatch.setattr(texts, "sentences", lambda language: ())
    monkeypatch.setattr(texts, "_WORDS", texts._WORDS / "absent")
    texts._words.cache_clear()
    texts._word_lists.cache_clear()
    try:
        assert len({texts.draw_text("en", rng) for _ in range(100)}) > 80
    finally:
        texts._words.cache_clear()
        texts._word_lists.cache_clear()


def test_command_line(tmp_path, capsys, spoken):
    assert build.main(["--out", str(tmp_path), "--hours", "0.005", "--seed", "11", "--workers", "1"]) == 0
    assert "The corpus is in" in capsys.readouterr().out
    assert len(Dataset(tmp_path)) == 1
    assert build.main(["--out", str(tmp_path), "--hours", "0.005", "--seed", "1", "--workers", "1"]) == 1
    assert "another recipe or seed" in capsys.readouterr().err
