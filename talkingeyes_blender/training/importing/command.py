"""``python -m talkingeyes_blender.training import FORMAT SOURCE --out DIR``: tracked faces become a dataset."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import TalkingEyesError
from ..dataset import is_complete, read_sequence, sequence_paths, write_description, write_sequence
from .files import sound_of
from .formats import FORMATS, clips, read_track
from .mapping import mapped_tracks, read_mapping
from .track import Track
from .unils import unils_tracks

log = logging.getLogger(__name__)

SOURCES = (*FORMATS, "unils", "npy")


def main(arguments: list[str]) -> int:
    """Import what can be imported; return 1 if a clip could not be, after naming each."""
    options = _parser().parse_args(arguments)
    if not options.source.exists():
        raise TalkingEyesError(f"{options.source} does not exist.", "Name the folder with the tracked faces.")
    head_model, coefficients = _head_model(options)
    mapping = read_mapping(options.mapping) if options.mapping else None
    if options.format == "npy" and mapping is None:
        raise TalkingEyesError("Bare arrays need a mapping file.", "docs/data.md shows one: --mapping FILE.json.")
    pattern = options.subject or (mapping or {}).get("subject", "")
    _refuse_another_basis(options.out, head_model)
    subjects, failed, names = _described(options.out), [], {}
    from tqdm import tqdm

    for name, read in tqdm(_tracks(options, mapping), unit="clip", desc="import", disable=not sys.stderr.isatty()):
        identity = _identity(name)
        if names.setdefault(identity, name) != name:
            failed.append(name)
            tqdm.write(f"{name}: it would be stored under the name of '{names[identity]}'. Rename it.", file=sys.stderr)
            continue
        if subjects.get(identity) and is_complete(options.out, identity):
            continue
        try:
            subject = _subject(name, pattern)
            sequence = read().sequence(
                subject=subject, source=options.format, head_model=head_model, coefficients=coefficients
            )
            write_sequence(options.out, _named(sequence, identity))
            subjects[identity] = subject
        except TalkingEyesError as error:
            failed.append(name)
            tqdm.write(f"{name}: {error}", file=sys.stderr)
            log.debug("trace of %s", name, exc_info=True)
    if not subjects:
        raise TalkingEyesError(f"{options.source} holds no clip that could be imported as '{options.format}'.")
    extra = {"imported": {"format": options.format, "source": str(options.source)}}
    write_description(options.out, head_model=head_model, subjects=subjects, extra=extra)
    print(f"{len(subjects)} sequences in {options.out}; {len(failed)} clips could not be imported.")
    print(f"Now: python -m talkingeyes_blender.training check-data {options.out}")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m talkingeyes_blender.training import",
        description="Bring tracked faces into the layout of docs/data.md. The same command goes on where it stopped.",
    )
    parser.add_argument("format", choices=SOURCES)
    parser.add_argument("source", type=Path, help="folder (or file) with the tracked faces")
    parser.add_argument("--out", type=Path, required=True, help="dataset folder to make or to add to")
    parser.add_argument("--audio", type=Path, action="append", default=[], help="folder with the sounds, by clip name")
    parser.add_argument("--fps", type=float, default=0.0, help="frames a second, where the files do not say")
    parser.add_argument("--head", type=Path, help="the FLAME file that the faces were tracked with")
    parser.add_argument("--head-model", help="its identity, where the file is not at hand")
    parser.add_argument(
        "--subject", default="", help="regular expression whose first group in a clip's name is who it is"
    )
    parser.add_argument("--mapping", type=Path, help="npy: the JSON file that says which array is what")
    parser.add_argument("--motion-key", default="motion", help="unils: key of the motion in a record")
    parser.add_argument("--audio-key", default="audio", help="unils: key of the sound in a record")
    return parser


def _head_model(options: argparse.Namespace) -> tuple[str, int]:
    """Identity and number of coefficients (0 where only the name is known) of the basis."""
    if options.head:
        from ...head.reading import read_head

        head = read_head(options.head)
        return head.identity, head.expressions
    if options.head_model:
        return options.head_model, 0
    raise TalkingEyesError(
        "Expressions mean nothing without the head model whose basis they are in.",
        "Name the FLAME file that the faces were tracked with: --head flame2023.pkl, or its identity: --head-model.",
    )


def _tracks(options: argparse.Namespace, mapping: dict | None) -> Iterator[tuple[str, Callable[[], Track]]]:
    if options.format == "unils":
        yield from unils_tracks(options.source, options.motion_key, options.audio_key)
        return
    if options.format == "npy":
        yield from mapped_tracks(options.source, mapping, options.fps)
        return
    layout = FORMATS[options.format]
    beside = options.source if options.source.is_dir() else options.source.parent
    for name, files in clips(options.source, layout):

        def read(name: str = name, files: list[Path] = files) -> Track:
            track = read_track(name, files, layout, options.fps)
            folders = [*options.audio, beside, files[0].parent, files[0].parent.parent]
            object.__setattr__(track, "sound", sound_of(name, folders))
            return track

        yield name, read


def _identity(name: str) -> str:
    """A clip's name as the name of a file."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "clip"


def _named(sequence, identity: str):
    import dataclasses

    return dataclasses.replace(sequence, id=identity)


def _subject(name: str, pattern: str) -> str:
    """Who a clip shows: by the pattern, else by the first folder in its name, else it is somebody of its own."""
    if pattern:
        match = re.search(pattern, name)
        if match is None or not match.groups() or not match.group(1):
            raise TalkingEyesError(
                f"The pattern '{pattern}' finds no subject in '{name}'.", "Its first group must be who it is."
            )
        return match.group(1)
    return name.split("/")[0]


def _described(folder: Path) -> dict[str, str]:
    """Sequences that an earlier run has finished."""
    found = {}
    for path in (folder / "sequences").glob("*.npz"):
        if sequence_paths(folder, path.stem)[1].is_file():
            try:
                found[path.stem] = read_sequence(folder, path.stem, sound=False).subject
            except TalkingEyesError:
                log.info("%s is made again", path)
    return found


def _refuse_another_basis(folder: Path, head_model: str) -> None:
    path = folder / "dataset.json"
    if path.is_file():
        there = json.loads(path.read_text(encoding="utf-8")).get("head_model")
        if there != head_model:
            raise TalkingEyesError(
                f"{folder} holds expressions in the basis of '{there}', not of '{head_model}'.",
                "Name another folder: coefficients of different head models cannot be mixed.",
            )
