"""Real voices: closures, vowels and pauses on recordings whose words are known, against a forced aligner.

The aligner shares nothing with the corpus' rules, so this is the nearest to truth that there is without a camera.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...errors import TalkingEyesError
from ...inference.audio import AudioClip, read_audio
from ...inference.generator import Generator
from ...inference.speech_encoder import FRAME
from ...motion import FPS
from ..corpus import aligner, articulation, build, prosody
from ..corpus.articulation import Segment
from ..corpus.speech import Phone
from ..corpus.transcripts import find_sounds, transcript_of
from ..evaluation.intervals import Interval
from . import closures, figures
from .mouth import Mouth, Viewer

log = logging.getLogger(__name__)

TOLERANCE = 0.06
"""The aligner's own steps are 10 ms, and its edges of a closure some 20 to 30 ms uncertain."""
LOW_VOWELS = frozenset({"aa", "ae", "ay", "aw"})
HIGH_VOWELS = frozenset({"iy", "ih", "uw", "uh"})
PAUSE = 0.4
"""Seconds of silence from which a pause must find the jaw at rest."""
EDGE = 0.12
"""Seconds at both ends of a pause in which the mouth still closes, or opens already."""


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """One recording with what is said in it, and when."""

    name: str
    clip: AudioClip
    phones: list[Phone]
    """Seconds from the stretch's own beginning."""
    first: int = 0
    """Frames of the clip that are looked at, from here ..."""
    last: int | None = None
    """... to here: the words of the rest are not certain."""

    @property
    def segments(self) -> list[Segment]:
        return build.visible_segments(self.phones, aligner.ALPHABET)


@dataclasses.dataclass(frozen=True, eq=False)
class Spoken:
    """A recording with the mouth made of it."""

    mouth: Mouth
    recording: Recording
    full: float
    """95th percentile of the whole clip's jaw, in degrees."""

    @property
    def closure(self) -> tuple[np.ndarray, list[Segment]]:
        return self.mouth.gap, self.recording.segments


def read_recordings(folder: Path, transcripts: Path | None = None) -> list[Recording]:
    """The sounds of a folder whose words are known and could be aligned.

    Words stand in a text file beside the sound or in ``transcripts``; those of the recordings by which the starter
    weights are measured stand in ``transcripts.json``, stretch by stretch (start, end, words).
    """
    known = json.loads(Path(__file__).with_name("transcripts.json").read_text(encoding="utf-8"))
    found = []
    for path in find_sounds(folder):
        text = transcript_of(path, transcripts)
        stretches = known.get(path.name, []) if text is None else [(0, None, text)]
        if not stretches:
            log.info("%s has no transcript and is passed over.", path.name)
            continue
        try:
            clip = read_audio(path)
            for start, end, words in stretches:
                first, last = round(start * FPS), clip.frames if end is None else min(clip.frames, round(end * FPS))
                phones = aligner.align(clip.samples[first * FRAME : last * FRAME], words)
                found.append(Recording(path.stem, clip, phones, first, last))
        except TalkingEyesError as error:
            log.warning("%s is passed over: %s", path.name, error)
    return found


def speak(generator: Generator, viewer: Viewer, recordings: Sequence[Recording]) -> list[Spoken]:
    spoken = []
    for recording in recordings:
        face = generator.face(recording.clip)
        full = max(float(np.percentile(np.degrees(face[:, -3]), 95)), 1e-3)
        face = face[recording.first : recording.last]
        spoken.append(Spoken(viewer(face[:, :-3], face[:, -3:]), recording, full))
    return spoken


def by_rule(viewer: Viewer, recordings: Sequence[Recording]) -> list[Spoken]:
    """The mouths that the corpus' rules make of the aligned sounds: what a perfect pupil of the corpus would reach."""
    spoken = []
    for recording in recordings:
        segments, last = recording.segments, recording.last or recording.clip.frames
        samples = recording.clip.samples[recording.first * FRAME : last * FRAME]
        measured = prosody.measure(samples, prosody.find_phrases(segments))
        expression, jaw = articulation.pose_mouth(segments, measured, last - recording.first, articulation.Manner())
        full = max(float(np.percentile(np.degrees(jaw[:, 0]), 95)), 1e-3)
        spoken.append(Spoken(viewer(expression, jaw), recording, full))
    return spoken


def vowel_peaks(clip: Spoken, vowels: frozenset[str]) -> list[float]:
    """Largest jaw within each of these vowels, as a share of the clip's 95th percentile."""
    peaks = []
    for phone in clip.recording.phones:
        if phone.name in vowels:
            frames = _frames(phone.start, phone.end, len(clip.mouth.jaw))
            peaks.append(float(clip.mouth.jaw[frames].max()) / clip.full)
    return peaks


def pause_jaw(clip: Spoken) -> np.ndarray:
    """The jaw in the clip's pauses, their edges left out, as shares of its 95th percentile."""
    values = [np.zeros(0)]
    duration = len(clip.mouth.jaw) / FPS
    times = np.arange(len(clip.mouth.jaw)) / FPS
    for start, end in closures.pauses_of(clip.recording.segments, duration, PAUSE):
        # A clip's own first and last moment have no speech beyond them.
        first = start + EDGE if start > 0 else 0.0
        last = end - EDGE if end < duration else duration
        values.append(np.maximum(clip.mouth.jaw[(times >= first) & (times <= last)], 0) / clip.full)
    return np.concatenate(values)


def _frames(start: float, end: float, count: int) -> slice:
    """Frames in a span of seconds, the nearest one where it holds none."""
    first, last = int(np.ceil(start * FPS)), int(np.floor(end * FPS)) + 1
    if last <= first:
        first = round((start + end) / 2 * FPS)
        last = first + 1
    first = min(max(first, 0), count - 1)
    return slice(first, max(first + 1, min(last, count)))


def table(spoken: Sequence[Spoken], threshold: float) -> dict:
    """Figures with intervals over recordings, whose stretches are not independent of each other.

    ``threshold`` (mm) was chosen on other voices.
    """
    names = list(dict.fromkeys(stretch.recording.name for stretch in spoken))
    clips = [[stretch for stretch in spoken if stretch.recording.name == name] for name in names]

    def closed(rate: str, passed: frozenset[str] = frozenset()) -> Interval:
        counts = [
            sum((closures.score(*s.closure, threshold, TOLERANCE, passed) for s in clip), closures.Closures())
            for clip in clips
        ]
        return figures.bootstrap(counts, lambda some: getattr(sum(some, closures.Closures()), rate))

    def opened(values: Callable[[Spoken], Sequence[float]], figure: Callable[[np.ndarray], float]) -> Interval:
        joined = [np.concatenate([np.asarray(values(stretch), float) for stretch in clip]) for clip in clips]

        def of(some: Sequence[np.ndarray]) -> float:
            every = np.concatenate(some)
            return float(figure(every)) if len(every) else float("nan")

        return figures.bootstrap(joined, of)

    return {
        "closure F": closed("f1"),
        "closure recall": closed("recall"),
        "closure precision": closed("precision"),
        "closure F, f and v not counted as false": closed("f1", frozenset({"lip_teeth"})),
        "jaw peak on high vowels": opened(lambda s: vowel_peaks(s, HIGH_VOWELS), np.mean),
        "jaw peak on low vowels": opened(lambda s: vowel_peaks(s, LOW_VOWELS), np.mean),
        "jaw in pauses, mean": opened(pause_jaw, np.mean),
        "jaw in pauses, worst": opened(pause_jaw, np.max),
        "recordings": len(clips),
        "stretches": len(spoken),
        "bilabials": sum(closures.score(*s.closure, threshold, TOLERANCE).bilabials for s in spoken),
        "pauses, s": round(sum(len(pause_jaw(s)) for s in spoken) / FPS, 1),
    }
