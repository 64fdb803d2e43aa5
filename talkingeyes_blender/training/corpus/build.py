"""Make the corpus: turns of speech with pauses and listening, spoken by the programs, moved by the rules.

Each sequence depends on nothing but the seed and its number, so that a build can be stopped, resumed and spread over
processes, and gives the same files.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...errors import TalkingEyesError
from ...files import write_whole
from ...head.arkit import STANDIN
from ...motion import FPS
from .. import sounds
from ..dataset import Sequence, frame_count, is_complete, read_sequence, write_description, write_sequence
from . import articulation, gaze, head_motion
from .blinks import blink_curve, blink_times
from .phones import SILENCE, visible_classes
from .processes import share_out
from .prosody import find_phrases, measure
from .speech import RATE, Delivery, Phone, Voice
from .texts import draw_text
from .voices import PINNED, available_voices, is_held_out, speak

log = logging.getLogger(__name__)

RECIPE = 4
"""Rises when the same seed makes other sequences."""
MEAN_SECONDS = 22.0
_NON_SPEECH = 0.07
"""Share of sequences without any speech; stretches of other sequences add about as much again."""


@dataclasses.dataclass(frozen=True, eq=False)
class Turn:
    """What is heard in a sequence, and the phones of it."""

    samples: np.ndarray
    phones: list[Phone]
    alphabet: str
    subject: str
    source: str


def sequence_id(index: int) -> str:
    return f"{index:06d}"


def subject_rng(subject: str) -> np.random.Generator:
    """A speaker's manner is the same in all of its sequences and corpora."""
    return np.random.default_rng(list(hashlib.sha256(subject.encode()).digest()[:16]))


# -- sound -----------------------------------------------------------------------------------------


def _draw_delivery(rng: np.random.Generator) -> Delivery:
    warp = 1.0 if rng.random() < 0.25 else float(np.exp(rng.uniform(np.log(0.82), np.log(1.22))))
    return Delivery(
        speed=float(np.exp(rng.uniform(np.log(0.7), np.log(1.4)))),
        pitch=float(np.exp(rng.uniform(np.log(0.75), np.log(1.33)))),
        liveliness=float(rng.uniform(0.5, 2.0)),
        warp=warp,
    )


def _pause_seconds(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(0.3), np.log(2.0))))


def draw_turn(rng: np.random.Generator, voice: Voice) -> Turn | None:
    """Sentences of one voice with pauses and perhaps a stretch of listening; None if the voice said nothing."""
    wanted = float(rng.uniform(12.0, 28.0))
    delivery = _draw_delivery(rng)
    listens = rng.random() < 0.35
    budget = wanted - 1.5 - (5.5 if listens else 0.0)
    # Programs are asked for what should fill the turn; a sentence takes some 3 s and its pause 0.9.
    count = int(np.clip(round(budget / (2.6 / delivery.speed + 0.9)), 2, 9))
    texts = [draw_text(voice.language, rng) for _ in range(count)]
    utterances = speak(voice, texts, delivery)
    if not utterances:
        return None
    pieces: list[np.ndarray] = []
    phones: list[Phone] = []
    at = 0
    listen_before = int(rng.integers(0, len(utterances) + 1)) if listens else -1
    extras: list[tuple[int, int]] = []

    def silence(seconds: float) -> None:
        nonlocal at
        pieces.append(np.zeros(int(seconds * RATE), np.float32))
        at += len(pieces[-1])

    silence(rng.uniform(0.15, 1.2))
    for index, utterance in enumerate(utterances):
        if index == listen_before:
            extras.append((at, at + int(3.0 * RATE)))
            silence(rng.uniform(3.0, 8.0))
            extras[-1] = (extras[-1][0], at)
        elif index:
            silence(_pause_seconds(rng))
        level = np.float32(10 ** (rng.normal(0.0, 2.0) / 20))
        phones += [Phone(p.start + at / RATE, p.end + at / RATE, p.name) for p in utterance.phones]
        pieces.append(utterance.samples * level)
        at += len(pieces[-1])
        if at > 30 * RATE:
            break
    if listen_before == len(utterances):
        start = at
        silence(rng.uniform(3.0, 7.0))
        extras.append((start, at))
    silence(rng.uniform(0.2, 1.2))
    samples = np.concatenate(pieces)
    samples = _with_background(samples, phones, voice, extras, rng)
    return Turn(samples, phones, voice.alphabet, voice.subject, f"corpus:{voice.subject}:{voice.language}")


def _with_background(
    samples: np.ndarray, phones: list[Phone], voice: Voice, stretches: list[tuple[int, int]], rng: np.random.Generator
) -> np.ndarray:
    """Room tone under all of it (digital silence would tell of closures), other sounds in some of the pauses."""
    level = float(np.sqrt(np.mean(np.square(samples))) + 1e-4)
    quiet = np.zeros_like(samples)
    for start, end in stretches:
        if rng.random() < 0.55 and end - start > RATE:
            sound = sounds.non_speech(end - start, rng)
            ramp = np.minimum(1.0, np.minimum(np.arange(end - start), np.arange(end - start)[::-1]) / 800.0)
            quiet[start:end] += (sound * ramp).astype(np.float32) * np.float32(rng.uniform(0.03, 0.9))
    # Breath is drawn before some phrases.
    for start, _ in find_phrases([(p.start, p.end, _class_of(p, voice.alphabet)) for p in phones]):
        length = int(rng.uniform(0.25, 0.5) * RATE)
        first = int(start * RATE) - length - int(rng.uniform(0.05, 0.12) * RATE)
        if rng.random() < 0.3 and first > 0 and not np.any(samples[first : first + length]):
            swell = np.sin(np.pi * np.linspace(0, 1, length)).astype(np.float32)
            quiet[first : first + length] += (
                sounds.shaped_noise(length, lambda f: np.exp(-(((f - 1600) / 1500) ** 2)) + 0.02, rng)
                * swell
                * np.float32(level * 10 ** (-rng.uniform(12, 30) / 20))
            )
    low, high = (28.0, 55.0) if voice.program == "espeak" else (34.0, 70.0)
    tone = sounds.room_tone(len(samples), rng) if rng.random() < 0.5 else sounds.coloured_noise(len(samples), rng)
    mixed = samples + quiet + tone * np.float32(level * 10 ** (-rng.uniform(low, high) / 20))
    return (mixed * np.float32(min(1.0, 0.95 / np.abs(mixed).max()))).astype(np.float32)


def _class_of(phone: Phone, alphabet: str) -> str:
    classes = visible_classes(phone.name, alphabet)
    return classes[0] if classes else SILENCE


_BABBLE = 0.15
"""Share of the sequences without speech in which many talk at once, and nobody in particular."""


def _noise_only(rng: np.random.Generator, voices: tuple[tuple[Voice, float], ...]) -> Turn:
    count = int(rng.uniform(12.0, 20.0) * RATE)
    chance = rng.random()
    if chance < _BABBLE:
        samples = _babble(count, voices, rng)
    elif chance < 0.87:
        samples = sounds.non_speech(count, rng)
    else:
        samples = sounds.room_tone(count, rng) * np.float32(0.01)
    samples = samples * np.float32(10 ** (rng.uniform(-24, 4) / 20))
    return Turn(samples.astype(np.float32), [], "cmu", f"non-speech:{int(rng.integers(40))}", "corpus:non-speech")


def _babble(count: int, voices: tuple[tuple[Voice, float], ...], rng: np.random.Generator) -> np.ndarray:
    """Six to ten voices at once at about one level, peak 0.5."""
    weights = np.array([weight for _, weight in voices])
    mix = np.zeros(count, np.float32)
    for index in rng.choice(len(voices), int(rng.integers(6, 11)), p=weights / weights.sum()):
        voice = voices[index][0]
        spoken = speak(voice, [draw_text(voice.language, rng) for _ in range(3)], _draw_delivery(rng))
        if spoken:
            words = np.concatenate([utterance.samples for utterance in spoken])
            level = np.sqrt(np.mean(np.square(words))) + 1e-4
            talk = np.roll(np.resize(words, count), int(rng.integers(count)))
            mix += talk / level * np.float32(10 ** (rng.uniform(-4, 0) / 20))
    return 0.5 * mix / max(float(np.abs(mix).max()), 1e-6)


# -- motion ----------------------------------------------------------------------------------------


def visible_segments(phones: list[Phone], alphabet: str) -> list[articulation.Segment]:
    """Phones as (start, end, visible class); a diphthong in halves, what cannot be seen left out."""
    segments = []
    for phone in phones:
        classes = visible_classes(phone.name, alphabet)
        step = (phone.end - phone.start) / max(len(classes), 1)
        segments += [(phone.start + k * step, phone.start + (k + 1) * step, c) for k, c in enumerate(classes)]
    return segments


def animate(name: str, turn: Turn, rng: np.random.Generator) -> Sequence:
    """Move mouth, eyes, head and lids to a turn by the rules of the corpus, in its speaker's manner."""
    frames = frame_count(len(turn.samples))
    duration = len(turn.samples) / RATE
    person = subject_rng(turn.subject)
    mouth, eyes_manner = articulation.Manner.draw(person), gaze.Manner.draw(person)
    head_manner = head_motion.Manner.draw(person)
    blink_rate = float(np.clip(person.normal(20.0, 3.0), 15.0, 25.0))

    segments = visible_segments(turn.phones, turn.alphabet)
    phrases = find_phrases(segments)
    prosody = measure(turn.samples, phrases)
    expression, jaw = articulation.pose_mouth(segments, prosody, frames, mouth)

    shifts = gaze.gaze_shifts(phrases, duration, eyes_manner, rng)
    path = gaze.gaze_path(shifts, duration, rng)
    head_curve = head_motion.head_path(path, prosody, duration, head_manner, rng)
    partner = np.array([rng.normal(1.0, 1.5), rng.normal(0.0, 2.0)])
    head, eyes = head_motion.head_and_eyes(path, head_curve, partner, rng.uniform(1.0, 2.0), frames)
    blink = blink_curve(blink_times(shifts, phrases, duration, rng, blink_rate), frames, rng)

    time = np.arange(frames) / FPS
    speaking = np.zeros(frames, bool)
    for start, end in phrases:
        speaking |= (time >= start) & (time <= end)
    return Sequence(
        id=name, subject=turn.subject, source=turn.source, head_model=STANDIN,
        expression=expression, jaw=jaw, head=head, eyes=eyes, blink=blink, valid=np.ones(frames, bool),
        samples=turn.samples, speaking=speaking,
        phone_start=np.array([s for s, _, _ in segments]), phone_end=np.array([e for _, e, _ in segments]),
        phone_name=np.array([c for _, _, c in segments], dtype=np.str_),
    )  # fmt: skip


def make_sequence(seed: int, index: int, programs: tuple[str, ...] | None = None) -> Sequence:
    """The sequence of this number; raise TalkingEyesError if no speech program can be used."""
    rng = np.random.default_rng([seed, index, RECIPE])
    voices = available_voices(programs)
    if rng.random() < _NON_SPEECH:
        turn = _noise_only(rng, voices)
    else:
        weights = np.array([weight for _, weight in voices])
        for _ in range(8):
            voice = voices[rng.choice(len(voices), p=weights / weights.sum())][0]
            turn = draw_turn(rng, voice)
            if turn is not None:
                break
            log.warning("%s said nothing; another voice is taken.", voice.subject)
        else:
            raise TalkingEyesError(
                "Eight voices in a row said nothing.", "Try 'espeak-ng hello', 'flite -t hello' by hand."
            )
    return animate(sequence_id(index), turn, rng)


# -- the whole -------------------------------------------------------------------------------------


def _make_and_write(folder: str, seed: int, programs: tuple[str, ...] | None, index: int) -> tuple[str, str, float]:
    sequence = make_sequence(seed, index, programs)
    write_sequence(folder, sequence)
    return sequence.id, sequence.subject, sequence.duration


def build_corpus(
    folder: str | os.PathLike,
    hours: float,
    seed: int = 0,
    workers: int = 1,
    *,
    programs: tuple[str, ...] | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Path:
    """Make about ``hours`` of sequences in ``folder`` and describe them in its dataset.json; return the folder.

    Sequences that are there already and whole are kept. ``progress`` gets the share that is done and a line about it;
    it may raise to stop the build, which a later call takes up again.
    """
    folder = Path(folder)
    if not np.isfinite(hours) or hours <= 0:
        raise TalkingEyesError(f"A corpus of {hours} hours cannot be made.", "Choose a positive number of hours.")
    voices = available_voices(programs)
    recipe = {"recipe": RECIPE, "seed": int(seed), "programs": sorted({voice.program for voice, _ in voices})}
    _check_same_recipe(folder, recipe)
    (folder / "sequences").mkdir(parents=True, exist_ok=True)
    _write_recipe(folder, recipe)
    count = max(1, round(hours * 3600 / MEAN_SECONDS))
    todo = [i for i in range(count) if not is_complete(folder, sequence_id(i))]
    if len(todo) < count:
        log.info("%d of %d sequences are there already.", count - len(todo), count)
    done = count - len(todo)

    def report() -> None:
        if progress is not None:
            progress(done / count, f"{done} of {count} sequences")

    report()
    make = functools.partial(_make_and_write, str(folder), seed, programs)
    for _ in share_out(make, todo, workers):
        done += 1
        report()
    _describe(folder, count, recipe)
    return folder


def _recipe_path(folder: Path) -> Path:
    return folder / "recipe.json"


def _check_same_recipe(folder: Path, recipe: dict) -> None:
    try:
        found = json.loads(_recipe_path(folder).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (folder / "dataset.json").exists():
            raise TalkingEyesError(
                f"{folder} holds a dataset that was not made here.", "Choose another folder for the corpus."
            ) from None
        return
    except (OSError, ValueError) as error:
        raise TalkingEyesError(f"{_recipe_path(folder)} could not be read ({error}).") from error
    if found != recipe:
        raise TalkingEyesError(
            f"{folder} holds a corpus of another recipe or seed ({found} instead of {recipe}).",
            "Choose another folder, or the same seed.",
        )


def _write_recipe(folder: Path, recipe: dict) -> None:
    write_whole(_recipe_path(folder), (json.dumps(recipe) + "\n").encode())


def _describe(folder: Path, count: int, recipe: dict) -> None:
    subjects, frames = {}, 0
    for index in range(count):
        sequence = read_sequence(folder, sequence_id(index), sound=False)
        subjects[sequence.id] = sequence.subject
        frames += sequence.frames
    held_out = {voice.subject for voice, _ in available_voices() if is_held_out(voice)} & set(subjects.values())
    extra = {"name": "synthetic corpus", "hours": round(frames / FPS / 3600, 3), **recipe}
    write_description(
        folder, head_model=STANDIN, subjects=subjects, held_out=sorted(held_out), splits=PINNED, extra=extra
    )


def main(argv: list[str] | None = None) -> int:
    """``training corpus --out DIR --hours H [--seed N] [--workers K]``."""
    parser = argparse.ArgumentParser(
        prog="python -m talkingeyes_blender.training corpus", description="Make a synthetic corpus to train on.",
        epilog="With --recordings FOLDER it is made of one's own recordings: see corpus --recordings . --help.",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder; one that a build left unfinished is resumed")
    parser.add_argument("--hours", type=float, default=8.0, help="hours of motion and sound (default 8)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from tqdm import tqdm

    with tqdm(total=100.0, unit="%", bar_format="{l_bar}{bar}| {postfix} [{elapsed}<{remaining}]") as bar:

        def progress(share: float, message: str) -> None:
            bar.n = 100.0 * share
            bar.set_postfix_str(message)

        try:
            folder = build_corpus(arguments.out, arguments.hours, arguments.seed, arguments.workers, progress=progress)
        except TalkingEyesError as error:
            bar.close()
            print(error, file=sys.stderr)
            return 1
    print(f"The corpus is in {folder}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
