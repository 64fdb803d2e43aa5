"""A dataset from anybody's own recordings: ``training corpus --recordings FOLDER``.

A forced aligner finds when each sound is made, and the rules of the synthetic corpus move mouth, gaze, head and blinks.
With a transcript beside a recording (.txt, .lab) the words are the speaker's; without one the aligner's own recogniser
guesses them, which is enough where its guesses sound alike. English only.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import itertools
import json
import logging
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from ...errors import TalkingEyesError
from ...files import write_whole
from ...head.arkit import STANDIN
from ...inference.audio import read_audio
from ..dataset import RATE, RECORDED, is_complete, sequence_paths, write_description, write_sequence
from . import aligner, build
from .processes import share_out
from .prosody import HZ, loudness_db
from .speech import Phone
from .transcripts import find_sounds, transcript_of

log = logging.getLogger(__name__)

LONGEST, SHORTEST = 25.0, 1.5
"""Seconds of a sequence at most, and of a piece that is worth having."""
PAUSE = 0.25
"""Seconds of silence at which a recording may be cut."""
_NOTES = "recordings.json"
_MANY = 10
"""Speakers from which splits part the speakers; the sequences of fewer are dealt out."""
_WRITTEN = ("version", "fps", "head_model", "sequences", "held_out", "splits", "subjects")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of the sounds of a folder."""

    sequences: int
    seconds: float
    failed: dict[str, str]
    """Path within the folder to the reason."""


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """A stretch of a recording with its sounds, whose times are its own."""

    samples: np.ndarray
    phones: list[Phone]


# -- cutting ---------------------------------------------------------------------------------------


def _cuts(pauses: list[tuple[float, float]], duration: float) -> list[float]:
    """Where to cut so that pieces last ``LONGEST`` seconds at most, if the pauses (start, end) allow."""
    cuts = [0.0]
    middles = [(a + b) / 2 for a, b in pauses]
    while duration - cuts[-1] > LONGEST:
        within = [m for m in middles if cuts[-1] + SHORTEST < m <= cuts[-1] + LONGEST]
        after = [m for m in middles if m > cuts[-1] + LONGEST]
        if not within and not after:
            break
        cuts.append(within[-1] if within else after[0])
    return [*cuts, duration]


def quiet_stretches(samples: np.ndarray) -> list[tuple[float, float]]:
    """Stretches (start, end) in seconds of at least ``PAUSE`` whose level lies 30 dB below that of the speech."""
    level = loudness_db(samples)
    quiet = level < max(np.percentile(level, 95) - 30, np.percentile(level, 5) + 6)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(int), [0]])))
    return [(a / HZ, b / HZ) for a, b in zip(edges[::2], edges[1::2], strict=True) if (b - a) / HZ >= PAUSE]


def with_words(samples: np.ndarray, text: str) -> list[Piece]:
    """Align all of a recording, then cut it at pauses.

    Raises:
        TalkingEyesError: the words do not fit the sound.
    """
    phones = aligner.align(samples, text)
    reason = aligner.misfit(samples, phones)
    if reason:
        raise TalkingEyesError(
            f"The transcript does not fit the sound: {reason}.", "Correct the words, or split the recording at a pause."
        )
    spoken = [p for p in phones if p.name != "sil"]
    gaps = [(a.end, b.start) for a, b in itertools.pairwise(spoken) if b.start - a.end >= PAUSE]
    cuts = _cuts(gaps, len(samples) / RATE)
    pieces = []
    for start, end in itertools.pairwise(cuts):
        inside = [
            Phone(max(p.start, start) - start, min(p.end, end) - start, p.name)
            for p in phones
            if p.end > start and p.start < end
        ]
        pieces.append(Piece(samples[int(start * RATE) : int(end * RATE)], inside))
    return pieces


def without_words(samples: np.ndarray) -> tuple[list[Piece], int]:
    """Cut a recording where it is quiet and let the recogniser guess each piece; also how many pieces were given up."""
    cuts = _cuts(quiet_stretches(samples), len(samples) / RATE)
    pieces, lost = [], 0
    for start, end in itertools.pairwise(cuts):
        part = samples[int(start * RATE) : int(end * RATE)]
        text = aligner.words_of(part)
        if not re.search("[a-z]", re.sub(r"<[^>]*>|\[[^\]]*\]", "", text)):
            lost += 1
            continue
        try:
            phones = aligner.align(part, text)
        except TalkingEyesError:
            lost += 1
            continue
        if aligner.misfit(part, phones):
            lost += 1
        else:
            pieces.append(Piece(part, phones))
    return pieces, lost


# -- a folder --------------------------------------------------------------------------------------


def speaker_of(path: Path, folder: Path) -> str:
    """Who speaks: the first folder below ``folder``, or the folder's own name for sounds that lie in it."""
    inside = path.relative_to(folder).parts
    return inside[0] if len(inside) > 1 else folder.resolve().name


def _stem(path: Path, folder: Path) -> str:
    relative = path.relative_to(folder).as_posix()
    plain = re.sub(r"[^A-Za-z0-9]+", "-", str(Path(relative).with_suffix(""))).strip("-")[:60]
    return f"{RECORDED}{plain}-{zlib.crc32(relative.encode()):08x}"


def _fingerprint(path: Path, text: str | None, copies: int) -> str:
    """A mark of all that a sound's sequences depend on; without copies it is that of versions that made none."""
    digest = hashlib.sha256(path.read_bytes())
    digest.update(b"\0" if text is None else text.encode())
    return f"{digest.hexdigest()[:32]}-{build.RECIPE}" + (f"-{copies}" if copies else "")


def _read_notes(out: Path) -> dict:
    try:
        return json.loads((out / _NOTES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise TalkingEyesError(f"{out / _NOTES} could not be read ({error}).", "Remove it to start anew.") from error


def build_from_recordings(
    folder: Path, out: Path, *, transcripts: Path | None = None, seed: int = 0, workers: int = 1,
    pinned: dict[str, str] | None = None, copies: int = 0, progress: Callable[[float, str], None] | None = None,
) -> Outcome:  # fmt: skip
    """Make sequences of all sounds under ``folder`` in ``out``, a new folder or a dataset in the stand-in's basis.

    What was made before, of the same sound and words, is kept; sounds that fail are named in the outcome. ``pinned``
    gives speakers their split ('train', 'validation', 'test'); it needs ten speakers, as fewer are dealt out. So many
    ``copies`` of each recording are made at other speeds, pitch and all, which makes more voices of few.

    Raises:
        TalkingEyesError: there is no sound, the aligner is not installed, none could be used, a pinned speaker is not
            there, or ``out`` holds a dataset of another head model.
    """
    folder, out = Path(folder), Path(out)
    sounds = find_sounds(folder)
    pinned = dict(pinned or {})
    _check_pinned(pinned, {speaker_of(path, folder) for path in sounds})
    described = _description(out)
    aligner.check()
    (out / "sequences").mkdir(parents=True, exist_ok=True)
    notes = _read_notes(out)
    failed: dict[str, str] = {}
    marks: dict[str, str] = {}
    todo: list[_Job] = []
    for path in sounds:
        name = path.relative_to(folder).as_posix()
        try:
            text = transcript_of(path, transcripts)
            marks[name] = _fingerprint(path, text, copies)
        except (TalkingEyesError, OSError) as error:
            failed[name] = str(error)
            continue
        note = notes.get(name, {})
        if note.get("mark") != marks[name] or not all(is_complete(out, i) for i in note.get("sequences", {})):
            todo.append((path, folder, text, out, seed, copies))
    done = len(sounds) - len(todo)
    for (path, *_), (made, reason) in share_out(_try, todo, workers):
        name = path.relative_to(folder).as_posix()
        done += 1
        if progress is not None:
            progress(done / len(sounds), name)
        if reason is not None:
            failed[name] = reason
            continue
        notes[name] = {"mark": marks[name], **made}
        write_whole(out / _NOTES, (json.dumps(notes, indent=1, ensure_ascii=False) + "\n").encode())
        if made["lost"]:
            log.info("%s: %d pieces without words were left out.", name, made["lost"])
    for name, reason in failed.items():
        notes.pop(name, None)
        log.warning("%s is passed over: %s", name, reason)
    if progress is not None:
        progress(1.0, "")
    made = {i: speaker_of(folder / n, folder) for n, note in sorted(notes.items()) for i in note["sequences"]}
    seconds = sum(s for note in notes.values() for s in note["sequences"].values())
    if not made:
        raise TalkingEyesError(
            f"No recording in {folder} could be used; the first: {next(iter(failed.values()), 'no words in it')}",
            "The aligner knows English only. Correct the transcripts, or leave them out to let it guess the words.",
        )
    _describe(out, described, made, pinned)
    return Outcome(len(made), seconds, failed)


_Job = tuple[Path, Path, str | None, Path, int, int]
"""A sound, the folder of all, its words, where sequences go, the seed, and the number of copies."""


def _try(job: _Job) -> tuple[dict, str | None]:
    """What is made of a job, or else the reason why nothing is."""
    try:
        return _make(*job), None
    except (TalkingEyesError, OSError) as error:
        return {}, str(error)


def _check_pinned(pinned: dict[str, str], speakers: set[str]) -> None:
    missing = sorted(set(pinned) - speakers)
    if missing:
        raise TalkingEyesError(
            f"There is no speaker {', '.join(missing)} among the recordings.",
            f"A folder in the folder of recordings is a speaker: {', '.join(sorted(speakers)[:20])}.",
        )
    if pinned and len(speakers) < _MANY:
        raise TalkingEyesError(
            f"Speakers are given to a split where there are {_MANY} or more; here are {len(speakers)}.",
            "Leave --validation and --test out: sequences are then dealt out to the splits.",
        )


def _make(path: Path, folder: Path, text: str | None, out: Path, seed: int, copies: int) -> dict:
    """Write the sequences of one sound; their names with their seconds, and the number of pieces without words."""
    samples = read_audio(path).samples
    pieces, lost = (with_words(samples, text), 0) if text is not None else without_words(samples)
    speaker, stem, names = speaker_of(path, folder), _stem(path, folder), {}
    for number, piece in enumerate(pieces):
        if len(piece.samples) < SHORTEST * RATE:
            continue
        for copy in range(1 + copies):
            name = f"{stem}-{number:03d}" + (f"{_COPY}{copy}" if copy else "")
            rng = np.random.default_rng([seed, zlib.crc32(name.encode()), build.RECIPE])
            said = _faster(piece, rng.uniform(*_SPEEDS[copy % 2])) if copy else piece
            peak = float(np.abs(said.samples).max())
            sound = said.samples * np.float32(min(1.0, 0.95 / max(peak, 1e-6)))
            turn = build.Turn(sound, said.phones, aligner.ALPHABET, speaker, "recording: words " + (
                "given" if text is not None else "guessed"
            ))  # fmt: skip
            sequence = build.animate(name, turn, rng)
            write_sequence(out, sequence)
            names[name] = round(sequence.duration, 2)
    if not names:
        raise TalkingEyesError("No words were heard in it.", "Give a transcript, or leave the recording out.")
    return {"sequences": names, "lost": lost}


_COPY = "w"
"""Stands before the number of a copy, at the end of its name."""
_SPEEDS = ((0.85, 0.95), (1.05, 1.18))
"""Bounds of a copy's speed: slower ones, then faster ones. Less would be the same voice, more no person's."""


def _faster(piece: Piece, speed: float) -> Piece:
    """A piece as if played at another speed: its pitch, its formants and its tempo are those of another person."""
    samples = resample_poly(piece.samples.astype(np.float64), 1000, round(1000 * speed))
    phones = [Phone(p.start / speed, p.end / speed, p.name) for p in piece.phones]
    return Piece(samples.astype(np.float32), phones)


def _dealt(made: dict[str, str]) -> dict[str, str]:
    """Sequence to split: of ten, by a hash of the name, one to validation and one to test; three fill all splits, and
    copies go with what they are copies of.

    Splits part subjects, but a person with one voice has no second one to validate on, so sequences are dealt out.
    """
    copies = {name: re.sub(rf"(?<=-\d{{3}}){_COPY}\d+$", "", name) for name in made}
    order = sorted(set(copies.values()), key=lambda name: zlib.crc32(name.encode()))
    splits = {name: {8: "validation", 9: "test"}.get(zlib.crc32(name.encode()) % 10, "train") for name in order}
    for split in ("validation", "test"):
        train = [name for name in order if splits[name] == "train"]
        if split not in splits.values() and len(train) > 1:
            splits[train[0]] = split
    return {name: splits[original] for name, original in copies.items()}


def _description(out: Path) -> dict:
    """dataset.json of a folder that is added to; {} for a new one."""
    try:
        described = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise TalkingEyesError(f"{out / 'dataset.json'} could not be read ({error}).") from error
    if described.get("head_model") != STANDIN:
        raise TalkingEyesError(
            f"{out} holds a dataset in another basis than the stand-in's.", "Choose another folder for the corpus."
        )
    return described


def _label(out: Path, name: str, subject: str) -> None:
    """Give a sequence's file the subject that dataset.json names."""
    path, _ = sequence_paths(out, name)
    with np.load(path, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    if str(arrays["subject"]) != subject:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{**arrays, "subject": subject})
        write_whole(path, buffer.getvalue())


def _describe(out: Path, described: dict, made: dict[str, str], pinned: dict[str, str]) -> None:
    """Write dataset.json: what ``described`` says of other sequences, and of ``made`` (sequence to speaker)."""
    subjects = {name: who for name, who in described.get("subjects", {}).items() if not name.startswith(RECORDED)}
    others = set(subjects.values())
    splits = {who: split for who, split in described.get("splits", {}).items() if who in others}
    if pinned or len(set(made.values())) >= _MANY:
        subjects |= made
        splits |= pinned
    else:
        for name, split in _dealt(made).items():
            subjects[name] = made[name] if split == "train" else f"{made[name]} ({split})"
            splits[subjects[name]] = split
    for name in made:
        _label(out, name, subjects[name])
    extra = {key: value for key, value in described.items() if key not in _WRITTEN} or {"name": "own recordings"}
    write_description(
        out, head_model=STANDIN, subjects=subjects, held_out=described.get("held_out", ()), splits=splits, extra=extra
    )


def main(argv: list[str] | None = None) -> int:
    """``training corpus --recordings FOLDER --out DIR [--transcripts FOLDER] [--seed N] [--workers K]``."""
    parser = argparse.ArgumentParser(
        prog="python -m talkingeyes_blender.training corpus",
        description="Make a dataset of one's own recordings of English speech, by forced alignment.",
    )
    parser.add_argument("--recordings", type=Path, required=True, help="folder of sounds; a folder in it is a speaker")
    parser.add_argument("--transcripts", type=Path, help="folder of their words (.txt, .lab); default: beside them")
    parser.add_argument("--out", type=Path, required=True, help="new folder, or a corpus to add to")
    for split in ("validation", "test"):
        parser.add_argument(
            f"--{split}", nargs="+", default=[], metavar="SPEAKER", help=f"speakers of the {split} split (of ten)"
        )
    parser.add_argument("--copies", type=int, default=0, help="of each recording, at other speeds (default 0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from tqdm import tqdm

    with tqdm(total=100.0, unit="%", bar_format="{l_bar}{bar}| {postfix} [{elapsed}<{remaining}]") as bar:

        def progress(share: float, message: str) -> None:
            bar.n = 100.0 * share
            bar.set_postfix_str(message)

        outcome = build_from_recordings(
            options.recordings, options.out, transcripts=options.transcripts, seed=options.seed,
            workers=options.workers, copies=options.copies, progress=progress,
            pinned={who: split for split in ("validation", "test") for who in getattr(options, split)},
        )  # fmt: skip
    print(f"{outcome.sequences} sequences, {outcome.seconds / 60:.1f} minutes, are in {options.out}.")
    for name, reason in outcome.failed.items():
        print(f"Passed over: {name}: {reason}")
    return 0
