"""Generated gaze, head and blinks against their corpus, and the corpus' rules against people's scanpaths."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import functools
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...errors import TalkingEyesError
from ...inference.audio import AudioClip
from ...inference.generator import Generator
from ...inference.settings import GenerationSettings
from ..corpus import gaze as rules
from ..corpus.build import subject_rng
from ..corpus.prosody import find_phrases
from ..dataset import SAMPLES_PER_FRAME, Dataset
from ..dataset import Sequence as Recorded
from ..evaluation import gaze_metrics as metrics
from ..evaluation.metrics import diversity
from . import figures


@dataclasses.dataclass(frozen=True, eq=False)
class Moves:
    """Head (T, 3), eyes (T, 6) and lids (T, 2) of one clip, and what was worked out of them."""

    head: np.ndarray
    eyes: np.ndarray
    blink: np.ndarray

    @functools.cached_property
    def shifts(self) -> metrics.Shifts:
        return metrics.shifts(metrics.in_space(self.eyes, self.head))

    @functools.cached_property
    def ratio_in_head(self) -> float:
        return metrics.fixation_ratio(metrics.in_head(self.eyes))

    @functools.cached_property
    def ratio_in_space(self) -> float:
        return metrics.fixation_ratio(metrics.in_space(self.eyes, self.head))


def _amplitudes(some: Sequence[Moves]) -> np.ndarray:
    return np.concatenate([each.shifts.amplitude for each in some])


def _share(some: Sequence[Moves], name: str) -> float:
    """The mean of a share of frames, weighted by frames."""
    return float(np.average([getattr(each, name) for each in some], weights=[len(each.eyes) for each in some]))


def _deviation(some: Sequence[Moves], channel: str, axis: int) -> float:
    """Degrees: within each clip, root mean square over clips."""
    return float(np.degrees(np.sqrt(np.mean([getattr(each, channel)[:, axis].var() for each in some]))))


FIGURES: dict[str, Callable[[Sequence[Moves]], float]] = {
    "shift amplitude median, degrees": lambda some: float(np.median(_amplitudes(some))),
    "shift amplitude mean, degrees": lambda some: float(_amplitudes(some).mean()),
    "shift amplitude 95 %, degrees": lambda some: float(np.percentile(_amplitudes(some), 95)),
    "shifts a second": lambda some: 25 * len(_amplitudes(some)) / sum(len(m.eyes) for m in some),
    "fixation median, s": lambda some: float(np.median(np.concatenate([m.shifts.seconds for m in some]))),
    "fixation ratio, in the head": lambda some: _share(some, "ratio_in_head"),
    "fixation ratio, in space": lambda some: _share(some, "ratio_in_space"),
    "compensation score": lambda some: float(np.mean([metrics.compensation(m.eyes, m.head) for m in some])),
    "eyes pitch sd, degrees": lambda some: _deviation(some, "eyes", 0),
    "eyes yaw sd, degrees": lambda some: _deviation(some, "eyes", 1),
    "head pitch sd, degrees": lambda some: _deviation(some, "head", 0),
    "head yaw sd, degrees": lambda some: _deviation(some, "head", 1),
    "head roll sd, degrees": lambda some: _deviation(some, "head", 2),
    "blinks a minute": lambda some: float(np.mean([metrics.blinks_a_minute(m.blink) for m in some])),
}


def directions(some: Sequence[Moves]) -> np.ndarray:
    found = [each.shifts for each in some]
    return metrics.direction_shares(
        np.concatenate([f.amplitude for f in found]), np.concatenate([f.direction for f in found])
    )


class Generated:
    """A split whose head and eyes were generated from its sound: what the correlation network is then tried on."""

    def __init__(self, generator: Generator, split: Dataset, clips: int, seed: int = 0) -> None:
        order = np.random.default_rng(seed).permutation(len(split))
        recorded = []
        for index in order:
            sequence = split[int(index)]
            if sequence.duration >= 10 and (sequence.speaking is None or sequence.speaking.mean() > 0.3):
                recorded.append(sequence)
            if len(recorded) == clips:
                break
        self.recorded: list[Recorded] = recorded
        true = [Moves(s.head, s.eyes, s.blink) for s in recorded]
        rate = FIGURES["blinks a minute"](true)
        self.settings = GenerationSettings(blink_rate=min(90.0, rate))
        self.made: list[Moves] = []
        self._sequences: list[Recorded] = []
        for number, sequence in enumerate(recorded):
            motion = generator.generate(AudioClip(sequence.samples), seed * 1000 + number, self.settings)
            frames = min(sequence.frames, motion.frames)
            self.made.append(Moves(motion.head[:frames], motion.eyes[:frames], motion.blink[:frames]))
            kept = {
                name: getattr(sequence, name)[:frames]
                for name in ("expression", "jaw", "blink", "valid", "speaking")
                if getattr(sequence, name) is not None
            }
            self._sequences.append(
                dataclasses.replace(
                    sequence, **kept, head=motion.head[:frames], eyes=motion.eyes[:frames],
                    samples=sequence.samples[: frames * SAMPLES_PER_FRAME],
                )
            )  # fmt: skip
        self.true = true

    def __len__(self) -> int:
        return len(self._sequences)

    def __getitem__(self, index: int) -> Recorded:
        return self._sequences[index]


def table(generated: Generated) -> dict[str, dict]:
    """Each figure generated and in the corpus, with intervals; the distance of directions; StyGazeTalk's similarity."""
    result: dict[str, dict] = {}
    for name, figure in FIGURES.items():
        made, true = (figures.bootstrap(some, figure, 100) for some in (generated.made, generated.true))
        result[name] = {"generated": made, "corpus": true, "ratio": made.value / true.value}
    result["directions, Jensen-Shannon distance"] = {
        "generated": metrics.jensen_shannon(directions(generated.made), directions(generated.true))
    }
    ratio, score = result["fixation ratio, in the head"], result["compensation score"]
    result["similarity (StyGazeTalk)"] = {
        "generated": metrics.similarity(
            ratio["generated"].value, score["generated"].value, ratio["corpus"].value, score["corpus"].value
        )
    }
    return result


def diversity_ratio(generator: Generator, generated: Generated, speeches: int = 6, takes: int = 10) -> float:
    """Diversity of ten takes of a speech against that of ten corpus sequences of the same length."""
    ratios = []
    long = [s for s in generated.recorded if s.frames >= 250]
    real = diversity(np.stack([s.eyes[:250] for s in long[:takes]]))
    for sequence in long[:speeches]:
        clip = AudioClip(sequence.samples[: 250 * SAMPLES_PER_FRAME])
        motions = generator.generate_takes(clip, list(range(1, takes + 1)), generated.settings)
        ratios.append(diversity(np.stack([motion.eyes[:250] for motion in motions])) / real)
    return float(np.mean(ratios))


def against_scanpaths(split: Dataset, path: Path, sequences: int = 200) -> dict:
    """The corpus' shifts, drawn anew by its rules for its own phrases, beside those of people, by state.

    Returns figures of amplitude by side and state, and the Jensen-Shannon distance of the two sides' directions.
    """
    people = _shifts_of_people(_read_scanpaths(path))
    drawn: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for index in np.random.default_rng(0).permutation(len(split))[:sequences]:
        sequence = split[int(index)]
        segments = list(zip(sequence.phone_start, sequence.phone_end, sequence.phone_name, strict=True))
        phrases = find_phrases(segments)
        manner = rules.Manner.draw(subject_rng(sequence.subject))
        here = np.zeros(2)
        for shift in rules.gaze_shifts(phrases, sequence.duration, manner, np.random.default_rng([7, int(index)])):
            step = np.array(shift.target) - here
            here = np.array(shift.target)
            direction = np.degrees(np.arctan2(-step[0], -step[1])) % 360
            speaking = any(a - 0.4 <= shift.start <= b + 0.3 for a, b in phrases)
            drawn[speaking].append(np.array([shift.amplitude, direction]))
    result: dict[str, dict] = {}
    shares: dict[str, np.ndarray] = {}
    for state, speaking in (("speaking", True), ("listening", False)):
        for name, shifts in (("corpus", np.array(drawn[speaking])), ("people", people[speaking])):
            shares[name] = metrics.direction_shares(*shifts.T)
            result[f"{name}, {state}"] = {
                "median": float(np.median(shifts[:, 0])),
                "mean": float(shifts[:, 0].mean()),
                "95 %": float(np.percentile(shifts[:, 0], 95)),
                "shifts": len(shifts),
            }
        result[f"corpus, {state}"]["directions, Jensen-Shannon distance"] = metrics.jensen_shannon(
            shares["corpus"], shares["people"]
        )
    return result


def _read_scanpaths(path: Path) -> dict[str, np.ndarray]:
    """Fixations in order: participant, state (0 speaks), segment, azimuth (+ right) and elevation (+ up) in degrees."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in ("participant", "state", "segment", "azimuth_deg", "elevation_deg")}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise TalkingEyesError(
            f"{path} could not be read as fixations ({error}).", "docs/evaluation.md says what it must hold."
        ) from error


def _shifts_of_people(data: Mapping[str, np.ndarray]) -> dict[bool, np.ndarray]:
    """(n, 2) amplitude and direction of the shifts between consecutive fixations of a segment, by state."""
    same = np.ones(len(data["azimuth_deg"]) - 1, bool)
    for key in ("participant", "state", "segment"):
        same &= data[key][1:] == data[key][:-1]
    step = np.stack([np.diff(data["azimuth_deg"]), np.diff(data["elevation_deg"])], 1).astype(float)
    amplitude, direction = np.hypot(*step.T), np.degrees(np.arctan2(step[:, 1], step[:, 0])) % 360
    speaking = data["state"][1:] == 0
    return {
        state: np.stack([amplitude, direction], 1)[same & (speaking == state) & np.isfinite(amplitude)]
        for state in (True, False)
    }
