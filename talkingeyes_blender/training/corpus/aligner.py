"""When each sound of a recording is made: forced alignment by pocketsphinx, with the English model that it carries.

It shares nothing with the speech programs of the corpus. Its phones are CMU's, in steps of 10 ms, at least three long.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache

import numpy as np

from ...errors import TalkingEyesError
from .prosody import HZ as LEVEL_HZ
from .prosody import loudness_db
from .speech import Phone

ALPHABET = "cmu"
_STEP = 0.01
_SILENT = ("SIL", "+NSN+", "+SPN+")
_BEAMS = ({"bestpath": False}, {"bestpath": False, "beam": 1e-100, "wbeam": 1e-80, "pbeam": 1e-100})
"""Settings that are tried in turn. The search for a best path gives a sentence's edges one frame, which the second pass
then refuses; a wide beam finds words that are spoken carelessly."""


def check() -> None:
    """Raise TalkingEyesError if pocketsphinx is not installed."""
    try:
        import pocketsphinx  # noqa: F401
    except ImportError as error:
        raise TalkingEyesError(
            "The aligner pocketsphinx is not installed.", "Install it, in this folder: pip install '.[align]'"
        ) from error


def _decoder(**settings):
    check()
    from pocketsphinx import Decoder

    return Decoder(loglevel="FATAL", **settings)


@cache
def _dictionary():
    return _decoder(lm=None)


@cache
def knows(word: str) -> bool:
    """Whether the dictionary has a word (in small letters)."""
    return _dictionary().lookup_word(word) is not None


@cache
def pronounced(word: str) -> str | None:
    """The phones that flite's rules give a word, as the aligner's dictionary writes them; None without flite."""
    program = shutil.which("flite")
    if program is None or not re.fullmatch("[a-z'-]+", word):
        return None
    try:
        said = subprocess.run(
            [program, "-t", word, "-ps", "-o", "none"], capture_output=True, text=True, timeout=30, check=True
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    phones = [_FLITE.get(phone, phone).upper() for phone in said.split() if phone != "pau"]
    return " ".join(phones) if phones and all(f" {phone} " in _PHONES for phone in phones) else None


_FLITE = {"ax": "ah"}
_PHONES = " AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH "


def _pcm(samples: np.ndarray) -> bytes:
    return (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()


def _heard(decoder, sound: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()


def words_of(samples: np.ndarray) -> str:
    """What the recogniser hears in (n,) samples at 16 kHz: a guess, to be corrected by reading. '' for nothing."""
    decoder = _decoder()
    _heard(decoder, _pcm(samples))
    hypothesis = decoder.hyp()
    return re.sub(r"\(\d+\)", "", hypothesis.hypstr) if hypothesis is not None else ""


def align(samples: np.ndarray, text: str) -> list[Phone]:
    """Phones (CMU's, lower case; ``sil`` for a pause) of a spoken text, in seconds.

    Words that the dictionary lacks, names above all, are pronounced by flite's rules, where flite is installed.

    Raises:
        TalkingEyesError: a word is not in the dictionary, or the text does not fit the sound.
    """
    words = re.sub(r"[^a-z' ]", " ", text.lower()).split()
    if not words:
        raise TalkingEyesError("The transcript holds no English words.", "Write what is said, in letters.")
    sound = _pcm(samples)
    added = {word: pronounced(word) for word in dict.fromkeys(words) if not knows(word)}
    unknown = [word for word, phones in added.items() if phones is None]
    if unknown:
        raise TalkingEyesError(
            f"The aligner's dictionary lacks {', '.join(sorted(unknown))}.",
            "Install flite, which tells how they are pronounced, write them as words that sound like them, or leave "
            "the recording out.",
        )
    for settings in _BEAMS:
        try:
            decoder = _decoder(lm=None, **settings)
            for word, phones in added.items():
                decoder.add_word(word, phones, True)
            return _align(decoder, sound, " ".join(words))
        except (RuntimeError, ValueError) as error:
            reason = error
    raise TalkingEyesError(
        f"The transcript does not fit the sound ({reason}).", "Correct the words, or split the recording at a pause."
    ) from reason


def _align(decoder, sound: bytes, words: str) -> list[Phone]:
    """Words first, then the sounds within them; RuntimeError where no path fits."""
    decoder.set_align_text(words)
    _heard(decoder, sound)
    if decoder.hyp() is None:
        raise RuntimeError("no path through the words")
    decoder.set_alignment()
    _heard(decoder, sound)
    alignment = decoder.get_alignment()
    if alignment is None:
        raise RuntimeError("no path through the sounds")
    entries = [phone for word in alignment.words() for phone in word]
    return [
        Phone(e.start * _STEP, (e.start + e.duration) * _STEP, "sil" if e.name in _SILENT else e.name.lower())
        for e in entries
    ]


_SHORTEST = 0.035
"""Seconds: three steps are the least that the aligner gives a sound, and mean that there was no room for it."""


def misfit(samples: np.ndarray, phones: list[Phone]) -> str | None:
    """Why phones that were found are hardly those of the sound; None where nothing speaks against them.

    A path can be found through words that are not said: sounds are then squeezed, drawn out, or left as silence.
    Transcripts that were right had at most .30 of their sounds at the least length, none over .5 s.
    """
    sounds = np.array([p.end - p.start for p in phones if p.name != "sil"])
    if not len(sounds):
        return "no sound of speech was found"
    if (sounds < _SHORTEST).mean() > 0.4 and len(sounds) > 10:
        return "the words are more than could be said in the time"
    if sounds.max() > 0.8:
        return "a single sound would last almost a second or longer"
    level = loudness_db(samples)
    loud = level > np.percentile(level, 95) - 20
    silent = np.ones(len(level), bool)
    for phone in phones:
        if phone.name != "sil":
            silent[int(phone.start * LEVEL_HZ) : int(np.ceil(phone.end * LEVEL_HZ))] = False
    if (loud & silent).sum() > 0.25 * loud.sum():
        return "much is said that the words do not hold"
    return None
