"""Recordings of people: lips against phones that an aligner finds, jaws on vowels and in pauses.

The aligner knows nothing of the corpus and its rules. The words are in ``transcripts.json``; stretches whose words are
not certain are left out, and so is a recording that is not there.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import numpy as np

from ...errors import TalkingEyesError
from ...inference.audio import AudioClip, read_audio
from ...inference.generator import Generator
from ...inference.speech_encoder import RATE
from ...motion import FPS
from ..corpus.aligner import ALPHABET, align
from ..corpus.articulation import Segment
from ..corpus.build import visible_segments
from ..corpus.voices import Phone
from . import closures, figures
from .mouth import Mouth, Viewer
from .unheard import closure_interval

log = logging.getLogger(__name__)

TOLERANCE = 0.06
LOW = frozenset({"aa", "ae", "ay", "aw"})
HIGH = frozenset({"iy", "ih", "uw", "uh"})
_PAUSE, _EDGE = 0.4, 0.12
"""Seconds of a pause at least, and of its ends that are not looked at."""


@dataclasses.dataclass(frozen=True, eq=False)
class Stretch:
    """A stretch of a recording whose words are known."""

    recording: str
    mouth: Mouth
    phones: list[Phone]
    loud: float
    """95th percentile of the whole recording's jaw, degrees."""

    @property
    def segments(self) -> list[Segment]:
        return visible_segments(self.phones, ALPHABET)


def hear(generator: Generator, viewer: Viewer, folder: Path) -> list[Stretch]:
    """Generate each recording whole, and align the stretches whose words are known.

    Raises:
        TalkingEyesError: none of the recordings is in ``folder``, or the aligner is not installed.
    """
    transcripts = json.loads(Path(__file__).with_name("transcripts.json").read_text(encoding="utf-8"))
    found = []
    for name, stretches in transcripts.items():
        if not (folder / name).exists():
            log.warning("%s is not in %s and is left out.", name, folder)
            continue
        clip = read_audio(folder / name)
        face = generator.face(clip)
        mouth = viewer(face[:, :-3], face[:, -3:])
        loud = float(np.percentile(mouth.jaw, 95))
        for start, end, text in stretches:
            first = round(start * FPS)
            last = len(mouth.jaw) if end is None else round(end * FPS)
            samples = clip.samples[first * RATE // 25 : last * RATE // 25]
            part = Mouth(*(getattr(mouth, field.name)[first:last] for field in dataclasses.fields(Mouth)))
            found.append(Stretch(name, part, align(AudioClip(samples).samples, text), loud))
    if not found:
        raise TalkingEyesError(f"None of the recordings is in {folder}.", "Name their folder with --recordings.")
    return found


def table(stretches: list[Stretch], threshold: float) -> dict:
    """Figures with intervals over stretches; the threshold of closure comes from elsewhere."""
    pairs = [(s.mouth.gap, s.segments) for s in stretches]
    lip_teeth = frozenset({"lip_teeth"})
    jaw = [_jaw_on_vowels(stretch) for stretch in stretches]
    pauses = [_jaw_in_pauses(stretch) for stretch in stretches]
    pauses = [pause for pause in pauses if len(pause)]
    return {
        "bilabials": sum(len(closures.merged(s.segments, closures.CLOSED_LIPS)) for s in stretches),
        "seconds": round(sum(len(s.mouth.jaw) for s in stretches) / FPS, 1),
        "closure F": closure_interval(pairs, threshold, TOLERANCE),
        "closure recall": closure_interval(pairs, threshold, TOLERANCE, "recall"),
        "closure precision": closure_interval(pairs, threshold, TOLERANCE, "precision"),
        "closure F, f and v passed": closure_interval(pairs, threshold, TOLERANCE, passed=lip_teeth),
        "jaw on high vowels": figures.bootstrap(jaw, lambda some: _mean(high for high, _ in some)),
        "jaw on low vowels": figures.bootstrap(jaw, lambda some: _mean(low for _, low in some)),
        "jaw in pauses, mean": figures.bootstrap(pauses, lambda some: _mean(some)),
        "jaw in pauses, worst": max((float(pause.max()) for pause in pauses), default=float("nan")),
    }


def _mean(parts) -> float:
    together = np.concatenate([np.asarray(part, float) for part in parts] or [np.zeros(0)])
    return float(together.mean()) if len(together) else float("nan")


def _jaw_on_vowels(stretch: Stretch) -> tuple[list[float], list[float]]:
    """Highest jaw within each high and each low vowel, as shares of the recording's 95th percentile."""
    peaks: tuple[list[float], list[float]] = ([], [])
    times = np.arange(len(stretch.mouth.jaw)) / FPS
    for phone in stretch.phones:
        inside = stretch.mouth.jaw[(times >= phone.start - 0.02) & (times <= phone.end + 0.02)]
        if len(inside) and phone.name in HIGH | LOW:
            peaks[phone.name in LOW].append(float(inside.max()) / stretch.loud)
    return peaks


def _jaw_in_pauses(stretch: Stretch) -> np.ndarray:
    """Jaw in the middle of long pauses, frame by frame, as shares of the recording's 95th percentile."""
    times = np.arange(len(stretch.mouth.jaw)) / FPS
    inside = np.zeros(len(times), bool)
    for start, end in closures.pauses_of(stretch.segments, len(times) / FPS, _PAUSE):
        inside |= (times >= start + _EDGE) & (times <= end - _EDGE)
    return stretch.mouth.jaw[inside] / stretch.loud
