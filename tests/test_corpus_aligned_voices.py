"""Voices without times of their own: what an aligner finds in them, and what is left out."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from talkingeyes_blender.inference.audio import read_audio
from talkingeyes_blender.training.corpus import aligned_voices
from talkingeyes_blender.training.corpus.speech import RATE, Delivery, Phone, Voice
from talkingeyes_blender.training.corpus.voices import PINNED, is_held_out, speak

pytest.importorskip("pocketsphinx")

SAMPLE = Path(__file__).resolve().parents[1] / "talkingeyes_blender" / "assets" / "speech.flac"
WORDS = "Hello! I move my lips, my head and my eyes."


@pytest.fixture(scope="module")
def hello() -> np.ndarray:
    return read_audio(SAMPLE, 0.0, 3.6).samples


def test_words_that_the_dictionary_lacks_are_not_spoken():
    assert aligned_voices._known_words("The flibbertyx bird, Bob said.") == "The bird , Bob said ."
    assert aligned_voices._known_words("Flibbertyx hello.") == ""


def test_a_short_vowel_is_the_reduced_one():
    phones = [Phone(0.0, 0.05, "ah"), Phone(0.05, 0.2, "ah"), Phone(0.2, 0.22, "t")]
    assert [p.name for p in aligned_voices._with_schwas(phones)] == ["ax", "ah", "t"]


@pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")
def test_times_are_those_that_the_speech_program_gives():
    text = "Maybe Bob and Pam put a big pepper in my map"
    spoken = speak(Voice("flite", "rms", "en", "cmu", 100.0), [text], Delivery())
    found = aligned_voices._times(spoken[0].samples, RATE, text)
    labelled = [p for p in spoken[0].phones if p.name in ("p", "b", "m")]
    heard = [p for p in found if p.name in ("p", "b", "m")]
    assert [p.name for p in heard] == [p.name for p in labelled] and len(heard) == 13
    assert np.median([abs(a.start - b.start) for a, b in zip(heard, labelled, strict=True)]) < 0.02


def test_pico_speaks_at_the_tempo_that_is_asked_for():
    pytest.importorskip("ttspico")
    voice = Voice("pico", "en-GB", "en", "cmu")
    slow, quick, again = (speak(voice, [WORDS], Delivery(speed=s, warp=1.1))[0] for s in (0.8, 1.25, 1.25))
    assert np.array_equal(quick.samples, again.samples) and quick.phones == again.phones
    assert len(slow.samples) > 1.3 * len(quick.samples)
    assert [p.name for p in quick.phones if p.name != "sil"][:3] in (["hh", "eh", "l"], ["hh", "ax", "l"])
    assert quick.phones[-1].end <= len(quick.samples) / RATE


def _program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for the program is a script")
def test_rhvoice_is_asked_for_and_its_faults_passed_over(tmp_path, monkeypatch, hello):
    soundfile.write(tmp_path / "hello.wav", hello, RATE)
    _program(
        tmp_path, "RHVoice-test",
        "import shutil, sys\n"
        "if sys.argv[sys.argv.index('-p') + 1] != 'bdl': sys.exit(1)\n"
        f"open({str(tmp_path / 'asked')!r}, 'w').write(' '.join(sys.argv[1:]) + sys.stdin.read())\n"
        f"shutil.copy({str(tmp_path / 'hello.wav')!r}, sys.argv[sys.argv.index('-o') + 1])\n",
    )  # fmt: skip
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    aligned_voices._rhvoice_voices.cache_clear()
    try:
        (found,) = aligned_voices.available(("rhvoice",))
        assert found[0].subject == "rhvoice:bdl" and PINNED[found[0].subject] == "train" and not is_held_out(found[0])
        (utterance,) = speak(found[0], [WORDS], Delivery(speed=1.2, pitch=0.9))
        asked = (tmp_path / "asked").read_text()
        assert "-r 120 -t 90" in asked and asked.endswith("Hello ! I move my lips , my head and my eyes .")
        assert [p.name for p in utterance.phones if p.name != "sil"][:4] == ["hh", "eh", "l", "ow"]
        assert speak(Voice("rhvoice", "clb", "en", "cmu"), [WORDS], Delivery()) == []
    finally:
        aligned_voices._rhvoice_voices.cache_clear()


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_recorded_prompts_with_words_that_are_known_are_spoken(tmp_path, monkeypatch, hello):
    folder = tmp_path / "en_US_f_Allison"
    folder.mkdir()
    soundfile.write(tmp_path / "hello.wav", hello, RATE)
    for name in ("hello", "other", "short"):
        encode = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "hello.wav"), "-f", "g722"]
        subprocess.run([*encode, str(folder / f"{name}.g722")], check=True, timeout=60)
    words = tmp_path / "words.gz"
    words.write_bytes(gzip.compress(f"; prompts\nhello: {WORDS}\nother: The flibbertyx bird\nshort: Hello\n".encode()))
    monkeypatch.setattr(aligned_voices, "_PROMPT_SOUNDS", tmp_path)
    monkeypatch.setattr(aligned_voices, "_PROMPT_WORDS", words)
    for cached in (aligned_voices._prompts, aligned_voices._aligned):
        cached.cache_clear()
    try:
        (found,) = aligned_voices.available(("asterisk",))
        said = speak(found[0], ["one", "two"], Delivery(warp=1.1))
        assert len(said) == 2 and len(aligned_voices._prompts("en_US_f_Allison")) == 1
        # A prompt is warped as it is: its tempo goes with it.
        assert len(said[0].samples) == pytest.approx(len(hello) / 1.1, rel=0.02)
        assert [p.name for p in said[0].phones if p.name != "sil"][:4] == ["hh", "eh", "l", "ow"]
    finally:
        for cached in (aligned_voices._prompts, aligned_voices._aligned):
            cached.cache_clear()
