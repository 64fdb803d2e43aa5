"""Voices that do not say when each sound is made: SVOX Pico, RHVoice, and Asterisk's recorded prompts.

A forced aligner finds the times. On flite's voices, whose times are known, it puts the start of p, b and m 6 to 8 ms
early, and 95 % of them within 23 ms. It knows English words alone, so those that its dictionary lacks are not spoken.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import logging
import re
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from ...errors import TalkingEyesError
from . import aligner
from .speech import RATE, Delivery, Phone, Voice

log = logging.getLogger(__name__)

Raw = tuple[np.ndarray, int, list[Phone]]
"""Samples, their rate, and the sounds in them."""

# Shares of the corpus (voices.py).
_PICO = {"en-US": 0.08, "en-GB": 0.08}
_RHVOICE = {"bdl": 0.09, "clb": 0.07}
_PROMPTS = {"en_US_f_Allison": 0.08}
_PROMPT_SOUNDS = Path("/usr/share/asterisk/sounds")
_PROMPT_WORDS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
PROGRAMS = ("pico", "rhvoice", "asterisk")


@cache
def _can_align() -> bool:
    try:
        aligner.check()
    except TalkingEyesError:
        return False
    return True


@cache
def _has_pico() -> bool:
    try:
        import ttspico  # noqa: F401
    except ImportError:
        return False
    return True


@cache
def _rhvoice_voices() -> frozenset[str]:
    """Voices that speak when they are asked to; the program itself has no list of them."""
    if not shutil.which("RHVoice-test"):
        return frozenset()
    probe = Delivery()
    return frozenset(name for name in _RHVOICE if _say_rhvoice(Voice("rhvoice", name, "en", "cmu"), "Hello.", probe))


def available(wanted: Sequence[str]) -> list[tuple[Voice, float]]:
    """Voices with their shares, of those of ``PROGRAMS`` that are wanted and installed, as is the aligner."""
    found: list[tuple[Voice, float]] = []
    if "pico" in wanted and _has_pico():
        found += [(Voice("pico", name, "en", aligner.ALPHABET), share) for name, share in _PICO.items()]
    if "rhvoice" in wanted:
        present = _rhvoice_voices()
        found += [(Voice("rhvoice", n, "en", aligner.ALPHABET), s) for n, s in _RHVOICE.items() if n in present]
    if "asterisk" in wanted and shutil.which("ffmpeg"):
        for name, share in _PROMPTS.items():
            if _prompts(name):
                found.append((Voice("asterisk", name, "en", aligner.ALPHABET), share))
    if found and not _can_align():
        log.warning("The aligner pocketsphinx is not installed; voices without times are left out.")
        return []
    return found


def speak(voice: Voice, texts: Sequence[str], delivery: Delivery) -> list[Raw]:
    """Speak each text and find its sounds; what cannot be aligned is missing.

    Recorded prompts say what they say: a text then only chooses which.
    """
    if voice.program == "asterisk":
        return [raw for raw in (_prompt(voice.name, text) for text in texts) if raw is not None]
    say = {"pico": _say_pico, "rhvoice": _say_rhvoice}[voice.program]
    spoken = []
    for text in texts:
        known = _known_words(text)
        said = say(voice, known, delivery) if known else None
        phones = _times(*said, known) if said else None
        if phones:
            spoken.append((*said, phones))
    return spoken


def _known_words(text: str) -> str:
    """The text without the words that the dictionary lacks; '' where fewer than two are left."""
    pieces = re.findall(r"[A-Za-z']+|[,.;:!?]", text)
    kept = [p for p in pieces if not p[0].isalpha() or aligner.knows(p.lower().strip("'"))]
    return " ".join(kept) if sum(p[0].isalpha() for p in kept) > 1 else ""


def _times(samples: np.ndarray, rate: int, text: str) -> list[Phone] | None:
    heard = np.interp(np.arange(int(len(samples) * RATE / rate)) * rate / RATE, np.arange(len(samples)), samples)
    try:
        phones = aligner.align(heard.astype(np.float32), text)
    except TalkingEyesError as error:
        log.debug("'%s' is left out: %s", text, error)
        return None
    return None if aligner.misfit(heard, phones) else _with_schwas(phones)


_REDUCED = 0.075
"""Seconds."""


def _with_schwas(phones: list[Phone]) -> list[Phone]:
    """The dictionary writes the vowels of "but" and "about" alike; a short one is taken for the second."""
    return [Phone(p.start, p.end, "ax") if p.name == "ah" and p.end - p.start < _REDUCED else p for p in phones]


# -- the programs --------------------------------------------------------------------------------------------------


def _say_pico(voice: Voice, text: str, delivery: Delivery) -> tuple[np.ndarray, int] | None:
    import ttspico

    engine = ttspico.TtsEngine(voice.name)  # one that has spoken before would sound otherwise
    engine.rate = int(np.clip(100 * delivery.speed / delivery.warp, 40, 300))
    engine.pitch = int(np.clip(100 * delivery.pitch / delivery.warp**0.5, 55, 180))
    sound = engine.speak(text)
    return (np.frombuffer(sound, "<i2").astype(np.float32) / 32768.0, 16000) if sound else None


def _say_rhvoice(voice: Voice, text: str, delivery: Delivery) -> tuple[np.ndarray, int] | None:
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        path = Path(folder) / "out.wav"
        command = ["RHVoice-test", "-p", voice.name, "-o", str(path)]
        command += ["-r", f"{np.clip(100 * delivery.speed / delivery.warp, 40, 250):.0f}"]
        command += ["-t", f"{np.clip(100 * delivery.pitch / delivery.warp**0.5, 55, 180):.0f}"]
        try:
            subprocess.run(command, input=text.encode(), capture_output=True, timeout=60, check=True)
            samples, rate = soundfile.read(path, dtype="float32")
        except (OSError, subprocess.SubprocessError, soundfile.LibsndfileError) as error:
            log.debug("RHVoice could not speak '%s': %s", text, error)
            return None
    return (samples, rate) if len(samples) else None


@cache
def _prompts(name: str) -> tuple[tuple[Path, str], ...]:
    """Sounds with what is said in them: three words or more, all of which the dictionary has."""
    folder = _PROMPT_SOUNDS / name
    if not folder.is_dir() or not _PROMPT_WORDS.exists() or not _can_align():
        return ()
    found = []
    for line in gzip.decompress(_PROMPT_WORDS.read_bytes()).decode("utf-8", "replace").splitlines():
        stem, separator, words = line.partition(":")
        path = folder / f"{stem.strip()}.g722"
        said = re.findall(r"[a-z']+", words.lower())
        plain = bool(separator) and not re.search(r"[\[\]0-9]", words)
        if plain and len(said) >= 3 and path.exists() and all(map(aligner.knows, said)):
            found.append((path, words.strip()))
    return tuple(sorted(found))


@cache
def _aligned(path: Path, words: str) -> Raw | None:
    command = ["ffmpeg", "-v", "error", "-f", "g722", "-i", str(path), "-f", "s16le", "-ar", str(RATE), "-"]
    try:
        sound = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        log.debug("ffmpeg could not read %s: %s", path, error)
        return None
    samples = np.frombuffer(sound[: len(sound) // 2 * 2], "<i2").astype(np.float32) / 32768.0
    phones = _times(samples, RATE, words) if len(samples) else None
    return (samples, RATE, phones) if phones else None


def _prompt(name: str, text: str) -> Raw | None:
    """The prompt that a text chooses, or the first after it whose sounds are found."""
    prompts = _prompts(name)
    first = zlib.crc32(text.encode())
    tries = (_aligned(*prompts[(first + k) % len(prompts)]) for k in range(min(5, len(prompts))))
    return next((raw for raw in tries if raw is not None), None)
