"""Generated gaze, head and blinks against the corpus that they were learned from, and the corpus against real gaze.

Generated and corpus motion are measured alike, at 25 frames a second (``evaluation/gaze_metrics.py``). The corpus'
shifts are held against real ones as its rules draw them, since a real scanpath tells of shifts far smaller than what
can be told from 25 frames a second.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import logging
import zipfile
from collections.abc import Sequence as Series
from pathlib import Path

import numpy as np

from ...errors import TalkingEyesError
from ...inference.audio import AudioClip
from ...inference.generator import Generator
from ...motion import FPS
from ..corpus import gaze as rules
from ..corpus.prosody import PHRASE_GAP
from ..dataset import SAMPLES_PER_FRAME, Dataset, Sequence
from ..evaluation import gaze_metrics, metrics
from ..evaluation.gaze_metrics import Shifts
from ..evaluation.intervals import Interval
from . import figures

log = logging.getLogger(__name__)

TAKES = 10
SEEDS = 7919
"""Added to a sequence's number for the seed of what is generated for it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What is measured of the motion of one recording."""

    shifts: Shifts
    fixations: np.ndarray
    """(n,) seconds."""
    ratio: float
    compensation: float
    eyes: np.ndarray
    """(2,) sums over time of the squared deviation, pitch and yaw, in degrees."""
    head: np.ndarray
    """(3,) likewise."""
    frames: int
    blinks: float
    """A minute."""


def measure(eyes: np.ndarray, head: np.ndarray, blink: np.ndarray) -> Measured:
    angles = gaze_metrics.eye_angles(eyes)
    found = gaze_metrics.fixations(angles)
    return Measured(
        shifts=gaze_metrics.gaze_shifts(gaze_metrics.gaze_angles(eyes, head)),
        fixations=np.array([(last - first) / FPS for first, last in found]),
        ratio=gaze_metrics.fixation_ratio(angles),
        compensation=gaze_metrics.compensation_score(eyes, head),
        eyes=np.square(angles - angles.mean(0)).sum(0),
        head=np.square(np.degrees(head - head.mean(0))).sum(0),
        frames=len(eyes),
        blinks=gaze_metrics.blinks_a_minute(blink),
    )


def _shifts(some: Series[Measured]) -> Shifts:
    return Shifts(
        np.concatenate([m.shifts.amplitude for m in some]), np.concatenate([m.shifts.direction for m in some])
    )


def _mean(name: str):
    return lambda some: float(np.average([getattr(m, name) for m in some], weights=[m.frames for m in some]))


def _deviation(name: str):
    """Root mean square over axes and frames of what lies about each recording's own mean."""
    return lambda some: float(np.sqrt(sum(getattr(m, name).mean() for m in some) / sum(m.frames for m in some)))


def _fixation_median(some: Series[Measured]) -> float:
    durations = np.concatenate([m.fixations for m in some])
    return float(np.median(durations)) if len(durations) else float("nan")


def _amplitude(figure):
    def of(some: Series[Measured]) -> float:
        amplitude = _shifts(some).amplitude
        return float(figure(amplitude)) if len(amplitude) else float("nan")

    return of


FIGURES = {
    "shift amplitude, median, degrees": _amplitude(np.median),
    "shift amplitude, mean, degrees": _amplitude(np.mean),
    "shift amplitude, 95 %, degrees": _amplitude(lambda a: np.percentile(a, 95)),
    "shifts a second": lambda some: len(_shifts(some).amplitude) / sum(m.frames for m in some) * FPS,
    "fixation, median, s": _fixation_median,
    "fixation ratio": _mean("ratio"),
    "compensation score": _mean("compensation"),
    "eye sd, degrees": _deviation("eyes"),
    "head sd, degrees": _deviation("head"),
    "blinks a minute": _mean("blinks"),
}


# -- generated against corpus ----------------------------------------------------------------------


class Generated:
    """Recordings of a dataset with heads, eyes and blinks that were made for their sound, and ten takes of some."""

    def __init__(self, split: Dataset, generator: Generator, recordings: int) -> None:
        chosen = np.random.default_rng(0).permutation(len(split))
        self.true: list[Sequence] = []
        self.made: list[Sequence] = []
        for index in chosen:
            sequence = split[int(index)]
            if sequence.speaking is not None and not sequence.speaking.any():
                continue
            motion = generator.generate(_clip(sequence), SEEDS + int(index))
            frames = min(motion.frames, sequence.frames)
            self.true.append(_cut(sequence, sequence, frames))
            self.made.append(_cut(sequence, motion, frames))
            if len(self.true) >= recordings:
                break
        if not self.true:
            raise TalkingEyesError("The split holds no speech.", "Use a larger dataset.")

    def __len__(self) -> int:
        return len(self.made)

    def __getitem__(self, index: int) -> Sequence:
        return self.made[index]


def _clip(sequence: Sequence) -> AudioClip:
    return AudioClip(sequence.samples)


def _cut(sequence: Sequence, motion, frames: int) -> Sequence:
    """``sequence`` with the head, eyes and blinks of ``motion``, all ``frames`` long."""
    cut = {
        name: getattr(sequence, name)[:frames]
        for name in ("expression", "jaw", "valid", "speaking")
        if getattr(sequence, name) is not None
    }
    return dataclasses.replace(
        sequence, **cut, head=motion.head[:frames], eyes=motion.eyes[:frames], blink=motion.blink[:frames],
        samples=sequence.samples[: frames * SAMPLES_PER_FRAME],
    )  # fmt: skip


def table(pairs: Generated) -> dict:
    """Each figure of the generated and of the corpus' motion, and their ratio, by name."""
    made = [measure(s.eyes, s.head, s.blink) for s in pairs.made]
    true = [measure(s.eyes, s.head, s.blink) for s in pairs.true]
    both = list(zip(made, true, strict=True))
    result = {}
    for name, figure in FIGURES.items():
        result[name] = {
            "generated": figures.bootstrap(made, figure, 300),
            "corpus": figures.bootstrap(true, figure, 300),
            "ratio": figures.bootstrap(
                both, lambda some, f=figure: f([m for m, _ in some]) / f([t for _, t in some]), 300
            ),
        }
    result["directions, Jensen-Shannon distance"] = {
        "generated": figures.bootstrap(
            both,
            lambda some: gaze_metrics.jensen_shannon(
                _shifts([m for m, _ in some]).shares() + 1e-9, _shifts([t for _, t in some]).shares() + 1e-9
            ),
            300,
        )
    }
    return result


def diversity(generator: Generator, pairs: Generated, speeches: int = 4, frames: int = 250) -> Interval:
    """Div. of ten takes of one speech over that of ten corpus sequences, eyes, over ``speeches`` of ten seconds."""
    long = [s for s in pairs.true if s.frames >= frames]
    if len(long) < TAKES:
        raise TalkingEyesError(f"Fewer than {TAKES} recordings last {frames / FPS:g} s.", "Use a larger dataset.")
    others = metrics.diversity(np.stack([s.eyes[:frames] for s in long[: 3 * TAKES]]))
    found = []
    for sequence in long[:speeches]:
        clip = AudioClip(sequence.samples[: frames * SAMPLES_PER_FRAME])
        takes = generator.generate_takes(clip, range(TAKES))
        found.append(metrics.diversity(np.stack([motion.eyes[:frames] for motion in takes])) / others)
    return figures.bootstrap(found, lambda some: float(np.mean(some)))


# -- corpus against real gaze ----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Scanpaths:
    """Real fixations in order: psyberlab/eye-gaze-during-conversation-dataset (Dembinsky et al., ETRA 2024)."""

    by_person: dict[bool, list[Shifts]]
    """Shifts of each person, speaking (True) and listening."""


def read_scanpaths(path: Path) -> Scanpaths:
    """Fixations as shifts: participant, state (0 speaking), segment, azimuth (+ right) and elevation (+ up) in degrees.

    Raises:
        TalkingEyesError: no such file, or it lacks a key.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            values = {key: archive[key] for key in ("participant", "state", "segment", "azimuth_deg", "elevation_deg")}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise TalkingEyesError(f"{path} could not be read as fixations ({error}).") from error
    found: dict[bool, list[Shifts]] = {True: [], False: []}
    points = np.stack([-values["elevation_deg"], -values["azimuth_deg"]], axis=1)
    for speaking in (True, False):
        of_state = values["state"] == (0 if speaking else 1)
        for person in np.unique(values["participant"]):
            theirs = Shifts(np.zeros(0), np.zeros(0))
            for segment in np.unique(values["segment"][of_state & (values["participant"] == person)]):
                rows = of_state & (values["participant"] == person) & (values["segment"] == segment)
                theirs = theirs + gaze_metrics.shifts_between(points[rows])
            if len(theirs.amplitude):
                found[speaking].append(theirs)
    return Scanpaths(found)


def drawn_shifts(dataset: Dataset, sequences: int = 400) -> dict[bool, list[Shifts]]:
    """Shifts that the corpus' rules draw for the phrases of a dataset's sequences, by whether one speaks then."""
    found: dict[bool, list[Shifts]] = {True: [], False: []}
    silent = Dataset(dataset.folder, sound=False, _ids=dataset.ids)
    for index in range(min(sequences, len(silent))):
        sequence = silent[index]
        if sequence.speaking is None:
            continue
        phrases = _phrases(sequence.speaking)
        rng = np.random.default_rng([5, index])
        drawn = rules.gaze_shifts(phrases, sequence.duration, rules.Manner.draw(rng), rng)
        parts: dict[bool, list] = {True: [], False: []}
        here = np.zeros(2)
        for shift in drawn:
            speaking = any(a - 0.4 <= shift.start <= b + 0.3 for a, b in phrases)
            parts[speaking].append((here, np.array(shift.target)))
            here = np.array(shift.target)
        for speaking, moves in parts.items():
            if moves:
                step = np.array([b - a for a, b in moves])
                amplitude, direction = np.hypot(*step.T), np.degrees(np.arctan2(-step[:, 0], -step[:, 1])) % 360
                found[speaking].append(Shifts(amplitude, direction))
    return found


def _phrases(speaking: np.ndarray) -> tuple[tuple[float, float], ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], speaking.astype(int), [0]])))
    phrases: list[list[float]] = []
    for first, last in zip(edges[::2] / FPS, edges[1::2] / FPS, strict=True):
        if phrases and first - phrases[-1][1] < PHRASE_GAP:
            phrases[-1][1] = last
        else:
            phrases.append([first, last])
    return tuple((a, b) for a, b in phrases)


def against_scanpaths(drawn: dict[bool, list[Shifts]], real: Scanpaths) -> dict:
    """Amplitudes and directions of the corpus' rules beside real ones; intervals over sequences and over people."""

    def joined(some: Series[Shifts]) -> Shifts:
        return Shifts(np.concatenate([s.amplitude for s in some]), np.concatenate([s.direction for s in some]))

    result = {}
    for speaking, name in ((True, "speaking"), (False, "listening")):
        ours, theirs = drawn[speaking], real.by_person[speaking]
        if not ours or not theirs:
            continue
        for label, figure in (
            ("median", np.median), ("mean", np.mean), ("95 %", lambda a: np.percentile(a, 95)),
        ):  # fmt: skip
            of = lambda some, f=figure: float(f(joined(some).amplitude))  # noqa: E731
            one, other = figures.bootstrap(ours, of, 200), figures.bootstrap(theirs, of, 200)
            result[f"{name}: shift amplitude, {label}, degrees"] = {
                "corpus": one, "real": other, "ratio": one.value / other.value,
            }  # fmt: skip
        distance = gaze_metrics.jensen_shannon(joined(ours).shares(), joined(theirs).shares())
        result[f"{name}: directions, Jensen-Shannon distance"] = {"corpus": distance}
    return result
