"""The voices of the corpus, and how they speak: espeak-ng (through its library), flite and festival say when each sound
is made; for the voices of aligned_voices.py an aligner finds it.

Each utterance comes back as float32 at 16 kHz with its phones in seconds. A program that is not installed is left out
with a logged line. Programs are started with argument lists, never through a shell.

Times were checked against the waveform: flite and festival label the start of a stop's closure; espeak-ng labels its
release, and the closure is 40 ms of digital silence before the label.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from ...errors import TalkingEyesError
from . import aligned_voices
from .aligned_voices import Raw
from .speech import RATE, Delivery, Phone, Utterance, Voice

log = logging.getLogger(__name__)

PACKAGES = "espeak-ng flite festival festvox-us-slt-hts festvox-kallpc16k"

# Shares among all voices of the corpus. kal and kal16 are one man, as are all voices of espeak-ng one engine.
_FLITE = {"slt": (0.16, 170.0), "rms": (0.17, 100.0), "kal16": (0.05, 105.0), "awb": (0.015, 130.0)}
_FESTIVAL = {
    "cmu_us_slt_arctic_hts": (0.04, "en", "cmu"), "kal_diphone": (0.03, "en", "cmu"),
    "ked_diphone": (0.015, "en", "cmu"),
    "lp_diphone": (0.03, "it", "italian"), "pc_diphone": (0.03, "it", "italian"),
    "upc_ca_ona_hts": (0.03, "ca", "catalan"),
    "czech_dita": (0.012, "cs", "czech"), "czech_krb": (0.012, "cs", "czech"),
    "czech_machac": (0.012, "cs", "czech"), "czech_ph": (0.012, "cs", "czech"),
    "suo_fi_lj_diphone": (0.008, "fi", "finnish"), "hy_fi_mv_diphone": (0.008, "fi", "finnish"),
}  # fmt: skip
_ESPEAK_SHARE = 0.38
_ESPEAK_LANGUAGES = (
    ("en-us", 5), ("gmw/en", 3), ("en-gb-x-rp", 2), ("en-gb-scotland", 1), ("en-029", 1), ("en-us-nyc", 1), ("de", 3),
    ("es", 2), ("es-419", 1), ("it", 2), ("roa/fr", 1), ("pt-br", 1), ("nl", 1), ("sv", 1), ("da", 0.5), ("nb", 0.5),
    ("pl", 0.5), ("cs", 1), ("sk", 1), ("hu", 0.5), ("ro", 0.5), ("ca", 0.5), ("tr", 0.5), ("hr", 0.5), ("et", 0.5),
    ("lv", 0.3), ("sw", 0.3), ("id", 0.5), ("fi", 0.3),
)  # fmt: skip
_ESPEAK_VARIANTS = """
    f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 klatt klatt2 klatt3 klatt4 Alex Alicia Andrea Andy Annie Denis Diogo Gene
    Henrique Hugo Jacky Lee Marco Mario Michael Mike Nguyen adam anika antonio aunty belinda benjamin boris caleb
    david ed edward grandma grandpa iven john linda marcelo max michel miguel norbert pablo paul pedro quincy rob
    robert sandro shelby steph travis victor zac"""
HELD_OUT_LANGUAGE = "fi"
_HELD_OUT_VOICES = {"flite:awb", "festival:ked_diphone"}
PINNED = {
    "flite:slt": "train", "flite:rms": "train", "flite:kal16": "train", "festival:kal_diphone": "train",
    "festival:cmu_us_slt_arctic_hts": "train", "festival:lp_diphone": "train", "festival:pc_diphone": "train",
    "festival:upc_ca_ona_hts": "train", "festival:czech_dita": "train", "festival:czech_krb": "train",
    "festival:czech_machac": "validation", "festival:czech_ph": "test",
    "pico:en-US": "train", "pico:en-GB": "train", "rhvoice:bdl": "train", "rhvoice:clb": "train",
    "asterisk:en_US_f_Allison": "train",
}  # fmt: skip
"""Natural voices are few: a hash must not take them out of training."""


def is_held_out(voice: Voice) -> bool:
    """awb, ked and everything Finnish are never trained on."""
    return voice.subject in _HELD_OUT_VOICES or voice.language == HELD_OUT_LANGUAGE


# -- which are there ---------------------------------------------------------------------------------------------------


@cache
def _flite_voices() -> frozenset[str]:
    if not shutil.which("flite"):
        return frozenset()
    output = subprocess.run(["flite", "-lv"], capture_output=True, text=True, timeout=30, check=False).stdout
    return frozenset(output.partition(":")[2].split())


@cache
def _festival_voices() -> frozenset[str]:
    if not shutil.which("festival"):
        return frozenset()
    folders = (Path("/usr/share/festival/voices"), Path("/usr/local/share/festival/voices"))
    return frozenset(path.name for folder in folders for path in folder.glob("*/*") if path.is_dir())


@cache
def available_voices(programs: Sequence[str] | None = None) -> tuple[tuple[Voice, float], ...]:
    """Voices with their shares of the corpus (not normalised), of the programs that are installed.

    ``programs`` (a tuple) limits them. Raises TalkingEyesError if there is none.
    """
    found: list[tuple[Voice, float]] = []
    wanted = programs or ("espeak-ng", "flite", "festival", *aligned_voices.PROGRAMS)
    if "espeak-ng" in wanted:
        if not _has_espeak():
            log.warning("espeak-ng is not installed; its voices are left out.")
        else:
            total = sum(weight for _, weight in _ESPEAK_LANGUAGES)
            variants = _ESPEAK_VARIANTS.split()
            for language, weight in _ESPEAK_LANGUAGES:
                share = _ESPEAK_SHARE * weight / total / len(variants)
                for variant in variants:
                    voice = Voice("espeak", f"{language}+{variant}", language.split("/")[-1].split("-")[0], "ipa")
                    found.append((voice, share))
    if "flite" in wanted:
        present = _flite_voices()
        for name, (share, f0) in _FLITE.items():
            if name in present:
                found.append((Voice("flite", name, "en", "cmu", f0), share))
        if not present:
            log.warning("flite is not installed; its voices are left out.")
    if "festival" in wanted:
        present = _festival_voices()
        missing = [name for name in _FESTIVAL if name not in present]
        if missing:
            log.warning("festival lacks the voices %s; they are left out.", ", ".join(missing))
        for name, (share, language, alphabet) in _FESTIVAL.items():
            if name in present:
                found.append((Voice("festival", name, language, alphabet, 105.0), share))
    found += aligned_voices.available(wanted)
    if not found:
        raise TalkingEyesError(
            "No speech program was found, and the corpus is spoken by one.",
            f"Install one or more: apt-get install {PACKAGES}",
        )
    return tuple(found)


# -- speaking ----------------------------------------------------------------------------------------------------------


def speak(voice: Voice, texts: Sequence[str], delivery: Delivery) -> list[Utterance]:
    """Speak each text; those that a program could not speak, or mislabelled, are missing from the result."""
    programs = {"espeak": _speak_espeak, "flite": _speak_flite, "festival": _speak_festival}
    raw = programs.get(voice.program, aligned_voices.speak)(voice, texts, delivery)
    utterances = []
    for samples, rate, phones in raw:
        utterance = _finished(samples, rate, phones, delivery.warp)
        if utterance is not None:
            utterances.append(utterance)
    return utterances


def _finished(samples: np.ndarray, rate: int, phones: list[Phone], warp: float) -> Utterance | None:
    """Resample to 16 kHz and by ``warp`` at once, and scale the times alike."""
    ratio = Fraction(RATE / (rate * warp)).limit_denominator(160)
    factor = RATE / rate / float(ratio)
    samples = resample_poly(samples, ratio.numerator, ratio.denominator).astype(np.float32)
    duration = len(samples) / RATE
    if duration < 0.25 or not np.isfinite(samples).all() or np.abs(samples).max() < 1e-3:
        return None
    phones = [Phone(max(0.0, p.start / factor), min(duration, p.end / factor), p.name) for p in phones]
    phones = [p for p in phones if p.end > p.start]
    if len(phones) < 3:
        return None
    return Utterance(samples * np.float32(0.5 / np.abs(samples).max()), tuple(phones))


# espeak-ng, through its library (the command line tool does not tell phone times) in a helper process.

_ESPEAK = Path(__file__).with_name("espeak.py")
_CLOSURE_BEFORE_LABEL = 0.04


@cache
def _has_espeak() -> bool:
    return subprocess.run([sys.executable, "-S", str(_ESPEAK), "--probe"], timeout=60, check=False).returncode == 0


def _speak_espeak(voice: Voice, texts: Sequence[str], delivery: Delivery) -> list[Raw]:
    request = {
        "voice": voice.name,
        "rate": int(np.clip(175 * delivery.speed / delivery.warp, 80, 420)),
        "pitch": int(np.clip(50 + 60 * np.log2(delivery.pitch / delivery.warp**0.5), 5, 95)),
        "range": int(np.clip(50 * delivery.liveliness, 12, 99)),
        "texts": list(texts),
    }
    output = _run([sys.executable, "-S", str(_ESPEAK)], 60, json.dumps(request).encode()) or b""
    spoken, at = [], 0
    while (end := output.find(b"\n", at)) >= 0:
        header = json.loads(output[at:end])
        at = end + 1 + 2 * header["samples"]
        samples = np.frombuffer(output[end + 1 : at], np.int16).astype(np.float32) / 32768.0
        if len(samples) and header["events"]:
            rate = header["rate"]
            spoken.append((samples, rate, _espeak_phones(header["events"], rate, len(samples) / rate)))
    return spoken


def _espeak_phones(events: list[list], rate: int, duration: float) -> list[Phone]:
    starts = [sample / rate for sample, _ in events]
    names = [name for _, name in events]
    for i, name in enumerate(names):
        if name[:1] in ("p", "t", "k"):
            earlier = starts[i - 1] if i else 0.0
            # A short phone before keeps at least a third of its length.
            starts[i] = max(starts[i] - _CLOSURE_BEFORE_LABEL, earlier + (starts[i] - earlier) / 3)
    phones = [Phone(0.0, starts[0], "_")] if starts[0] > 0 else []
    return phones + [Phone(a, b, n) for a, b, n in zip(starts, [*starts[1:], duration], names, strict=True)]


def _plain(text: str) -> str:
    """Only what a person would write in a sentence: no quotes, brackets or backslashes reach a program."""
    return re.sub(r"[^\w ,.;:'!?-]", " ", text)


def _speak_flite(voice: Voice, texts: Sequence[str], delivery: Delivery) -> list[Raw]:
    spoken = []
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        path = Path(folder) / "out.wav"
        for text in texts:
            settings = {
                "duration_stretch": f"{delivery.warp / delivery.speed:.3f}",
                "int_f0_target_mean": f"{voice.mean_f0 * delivery.pitch / delivery.warp**0.5:.0f}",
                "int_f0_target_stddev": f"{14.0 * delivery.liveliness:.0f}",
            }
            command = ["flite", "-psdur", "-voice", voice.name]
            for key, value in settings.items():
                command += ["--setf", f"{key}={value}"]
            command += ["-t", _plain(text), "-o", str(path)]
            result = _run(command, 60)
            raw = _flite_result(result.decode("utf-8", "replace"), path) if result is not None else None
            if raw is not None:
                spoken.append(raw)
            path.unlink(missing_ok=True)
    return spoken


def _run(command: list[str], timeout: float, stdin: bytes = b"") -> bytes | None:
    """What a program wrote, or None if it did not end in time."""
    try:
        result = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        log.warning("%s did not end within %g s; what it was to speak is left out.", command[0], timeout)
        return None
    return result.stdout


def _flite_result(output: str, path: Path) -> Raw | None:
    phones, before = [], 0.0
    for item in output.split():
        name, separator, end = item.rpartition(":")
        if not separator or not re.fullmatch(r"\d+(\.\d+)?", end):
            return None
        if float(end) < before:
            return None  # the text was split into several utterances, whose times start anew
        phones.append(Phone(before, float(end), name))
        before = float(end)
    if not path.exists():
        return None
    samples, rate = soundfile.read(path, dtype="float32")
    # kal and kal16 cut the silence after the last sound short.
    spare = phones[-1].end - phones[-1].start if phones and phones[-1].name == "pau" else 0.1
    return (samples, rate, phones) if -0.1 < before - len(samples) / rate < max(0.1, spare) else None


_ENCODINGS = {"cs": "iso-8859-2"}


def _speak_festival(voice: Voice, texts: Sequence[str], delivery: Delivery) -> list[Raw]:
    """All texts in one run of the program, whose start takes longest."""
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        lines = _festival_settings(voice, delivery)
        for i, text in enumerate(texts):
            # An error in one sentence must not lose those after it.
            lines.append(
                f'(unwind-protect (begin (set! u (utt.synth (Utterance Text "{_plain(text)}")))'
                f'(utt.save.segs u "{folder}/{i}.lab")(utt.save.wave u "{folder}/{i}.wav" \'riff)) nil)'
            )
        script = Path(folder) / "script.scm"
        script.write_text("\n".join(lines) + "\n", encoding=_ENCODINGS.get(voice.language, "latin-1"), errors="ignore")
        _run(["festival", "-b", str(script)], 120)
        spoken = []
        for i in range(len(texts)):
            raw = _festival_result(Path(folder) / f"{i}.lab", Path(folder) / f"{i}.wav")
            if raw is not None:
                spoken.append(raw)
        return spoken


def _festival_settings(voice: Voice, delivery: Delivery) -> list[str]:
    tempo, pitch = delivery.speed / delivery.warp, delivery.pitch / delivery.warp**0.5
    lines = [f"(voice_{voice.name})", f"(Parameter.set 'Duration_Stretch {1 / tempo:.3f})"]
    if "hts" in voice.name:
        # These make their own durations; their F0 follows the warp alone.
        lines.append(f'(set! hts_engine_params (append hts_engine_params (list (list "-r" {tempo:.3f}))))')
    elif voice.alphabet == "cmu":
        mean, spread = voice.mean_f0 * pitch, 14.0 * delivery.liveliness
        lines.append(
            f"(set! int_lr_params '((target_f0_mean {mean:.0f}) (target_f0_std {spread:.0f}) "
            "(model_f0_mean 170) (model_f0_std 34)))"
        )
    return lines


def _festival_result(labels: Path, sound: Path) -> Raw | None:
    if not labels.exists() or not sound.exists():
        return None
    phones, before = [], 0.0
    for line in labels.read_text(encoding="latin-1").splitlines():
        fields = line.split()
        if len(fields) == 3:
            phones.append(Phone(before, float(fields[0]), fields[2]))
            before = float(fields[0])
    try:
        samples, rate = soundfile.read(sound, dtype="float32")
    except (OSError, soundfile.LibsndfileError):
        return None
    return (samples, rate, phones) if abs(len(samples) / rate - before) < 0.15 else None
