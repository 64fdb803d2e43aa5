"""Speakers and a language that no training heard, from the corpus' own voices and rules.

This measures how well the rules are found again from sound, not how true the rules are.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import zlib

import numpy as np

from ...errors import TalkingEyesError
from ...inference.audio import AudioClip
from ...inference.generator import Generator
from ..corpus import build
from ..corpus.articulation import Segment
from ..corpus.speech import Voice
from ..corpus.voices import HELD_OUT_LANGUAGE, available_voices, is_held_out
from . import closures, figures
from .mouth import Mouth, Viewer

TOLERANCE = 0.04
GROUPS = {"awb": "flite:awb", "ked": "festival:ked_diphone", "Finnish": ""}
CURVES = ("jaw", "rounding", "spreading")


@dataclasses.dataclass(frozen=True, eq=False)
class Heard:
    """One clip: what was made of it and what the rules say."""

    made: Mouth
    true: Mouth
    segments: list[Segment]

    @property
    def closure(self) -> tuple[np.ndarray, list[Segment]]:
        return self.made.gap, self.segments


def voices_of(group: str) -> list[Voice]:
    """The held-out voices of a group of ``GROUPS``.

    Of a language these are the natural ones, as likely as one another: espeak's engine is known from other languages.
    """
    held = [voice for voice, _ in available_voices() if is_held_out(voice)]
    if GROUPS[group]:
        return [voice for voice in held if voice.subject == GROUPS[group]]
    found = [voice for voice in held if voice.language == HELD_OUT_LANGUAGE]
    natural = [voice for voice in found if voice.program != "espeak"]
    return natural or found[:2]


def hear(generator: Generator, viewer: Viewer, group: str, clips: int, seed: int = 1) -> list[Heard]:
    """Synthesise and generate ``clips`` turns of a group.

    Raises:
        TalkingEyesError: the group's voices are not installed.
    """
    voices = voices_of(group)
    if not voices:
        raise TalkingEyesError(f"No voice for '{group}' is installed.", "See docs/training.md for the packages.")
    heard = []
    for index in range(clips):
        rng = np.random.default_rng([seed, zlib.crc32(group.encode()), index])
        turn = build.draw_turn(rng, voices[index % len(voices)])
        if turn is None:
            continue
        sequence = build.animate("x", turn, rng)
        face = generator.face(AudioClip(turn.samples))
        segments = build.visible_segments(turn.phones, turn.alphabet)
        true = viewer(sequence.expression, sequence.jaw)
        heard.append(Heard(viewer(face[:, :-3], face[:, -3:]), true, segments))
    return heard


def table(groups: dict[str, list[Heard]]) -> tuple[dict, float]:
    """Figures with intervals by group, and the threshold of closure that the two English speakers choose.

    Each of the two is measured by the threshold that the other chooses; the language by that of both.
    """
    english = {name: groups[name] for name in ("awb", "ked") if groups.get(name)}
    both = [clip.closure for clips in english.values() for clip in clips]
    threshold = closures.best_threshold(both, TOLERANCE)
    result = {}
    for name, clips in groups.items():
        others = [clip.closure for other, theirs in english.items() if other != name for clip in theirs]
        own = closures.best_threshold(others, TOLERANCE) if name in english and others else threshold
        result[name] = {
            **{
                f"{curve} r": figures.bootstrap(
                    [(getattr(c.made, curve), getattr(c.true, curve)) for c in clips], figures.correlation
                )
                for curve in CURVES
            },
            "closure F": closure_interval([c.closure for c in clips], own, TOLERANCE),
            "closure recall": closure_interval([c.closure for c in clips], own, TOLERANCE, "recall"),
            "closure precision": closure_interval([c.closure for c in clips], own, TOLERANCE, "precision"),
            "closure F of the rules": closure_interval([(c.true.gap, c.segments) for c in clips], 1.0, TOLERANCE),
            "threshold, mm": own,
        }
    return result, threshold


def closure_interval(
    clips: list[tuple[np.ndarray, list[Segment]]], threshold: float, tolerance: float, rate: str = "f1",
    passed: frozenset[str] = frozenset(),
):  # fmt: skip
    """The rate over all clips, with its interval over clips."""
    counts = [closures.score(gap, segments, threshold, tolerance, passed) for gap, segments in clips]
    return figures.bootstrap(counts, lambda some: getattr(sum(some, closures.Closures()), rate))
