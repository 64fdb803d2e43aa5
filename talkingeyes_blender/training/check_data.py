"""Whether a dataset can be learned from: everything that is wrong with it, sequence by sequence.

``python -m talkingeyes_blender.training check-data FOLDER`` prints it all; training refuses a dataset of which the
same check finds something. What was found right is remembered by size and time of the files, so that a second look at
thousands of sequences costs little.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import os
import sys
import zipfile
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path

import numpy as np
import soundfile

from ..errors import TalkingEyesError
from ..files import write_whole
from ..head import arkit
from ..motion import CHANNELS, FPS
from .dataset import LENGTH_TOLERANCE, RATE, Dataset, frame_count, sequence_paths

log = logging.getLogger(__name__)

KNOWN_WIDTHS = {arkit.STANDIN: len(arkit.EXPRESSIONS)}
"""Expression coefficients of the head models that this package knows by name."""

LARGEST = {"jaw": 1.0, "head": 2.2, "eyes": 1.3}
"""Radians that no face turns by: 57, 126 and 74 degrees. What exceeds them was most likely meant as degrees."""

STILL = 1e-4
"""Standard deviation, in radians, below which eyes or jaw do not move."""
STILL_FRAMES = 75
"""Frames (3 s) from which on a channel that does not move is a fault: people look about."""

NO_GAZE = "'eyes': the eyes never move; a tracker without gaze leaves them at one value."
"""The fault that the face's stage may pass over."""

SILENT = 1e-4
"""Largest sample (full scale 1) of a sound with nothing in it."""

REMEMBERED = "checked.json"
_RULES = 1
"""Raised when the rules change, so that what was found right by older ones is looked at again."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """One thing that is wrong, and with what: a sequence's id, or '' for the dataset."""

    sequence: str
    text: str

    def __str__(self) -> str:
        return f"{self.sequence or 'dataset.json'}: {self.text}"


def find_faults(dataset: Dataset, tell: Callable[[int], None] | None = None) -> list[Fault]:
    """Everything that is wrong with the dataset; ``tell`` is called with the number of sequences looked at."""
    known = _Remembered(dataset.folder)
    faults = list(_faults_of_description(dataset))
    for number, name in enumerate(dataset.ids):
        if not known.holds(name):
            found = [Fault(name, text) for text in faults_of(dataset, name)]
            faults += found
            if not found:
                known.add(name)
        if tell:
            tell(number + 1)
    widths = known.widths()
    common = max(set(widths.values()), key=list(widths.values()).count, default=0)
    for name, width in widths.items():
        if width != common and name in dataset.ids:
            faults.append(Fault(name, f"'expression' has {width} coefficients, those of most sequences {common}."))
            known.drop(name)
    known.save()
    return faults


def refuse_faults(dataset: Dataset, tell: Callable[[int], None] | None = None, passed: Container[str] = ()) -> None:
    """Raise TalkingEyesError with the first fault of the dataset, if there is one but those of the ``passed`` texts."""
    faults = [fault for fault in find_faults(dataset, tell) if fault.text not in passed]
    if faults:
        more = f" There are {len(faults) - 1} more faults." if len(faults) > 1 else ""
        raise TalkingEyesError(
            f"The dataset {dataset.folder} cannot be learned from: {faults[0]}{more}",
            f"'python -m talkingeyes_blender.training check-data {dataset.folder}' lists all of them.",
        )


def _faults_of_description(dataset: Dataset) -> Iterator[Fault]:
    ids, described = set(dataset.ids), set(dataset.description.get("subjects", {}))
    for name in sorted(described - ids):
        yield Fault(name, "it is named in dataset.json, and its .npz is not there.")
    if not dataset.head_model:
        yield Fault("", "it does not name the head model ('head_model') whose basis the expressions are in.")
    if dataset.ids and not len(dataset.split("train")):
        yield Fault("", "no subject is in the split 'train': name subjects differently, or pin them in 'splits'.")


def faults_of(dataset: Dataset, name: str) -> Iterator[str]:
    """What is wrong with one sequence, a sentence each."""
    npz, flac = sequence_paths(dataset.folder, name)
    try:
        with np.load(npz, allow_pickle=False) as archive:
            values = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        yield f"its .npz cannot be read ({error})."
        return
    missing = [key for key in ("expression", *CHANNELS, "subject", "head_model") if key not in values]
    if "blink" in missing and "ear" in values:
        missing.remove("blink")
    if missing:
        yield f"it lacks {', '.join(missing)}."
        return
    yield from _names(dataset, name, values)
    yield from _rate(values)
    yield from _motion(values)
    frames = len(values["jaw"]) if np.ndim(values["jaw"]) else 0
    yield from _sound(flac, frames)


def _names(dataset: Dataset, name: str, values: Mapping[str, np.ndarray]) -> Iterator[str]:
    subject, head_model = str(values["subject"]), str(values["head_model"])
    if not subject.strip():
        yield "'subject' is empty: without it the same person may be in training and in test."
    elif (told := dataset.description.get("subjects", {}).get(name, subject)) != subject:
        yield f"its subject is '{subject}', and dataset.json says '{told}'."
    if dataset.head_model and head_model != dataset.head_model:
        yield (
            f"its expressions are in the basis of '{head_model}', the dataset's in that of '{dataset.head_model}'; "
            "coefficients of different head models cannot be mixed."
        )


def _rate(values: Mapping[str, np.ndarray]) -> Iterator[str]:
    fps = float(values.get("fps", FPS))
    if fps != FPS:
        yield f"it runs at {fps:g} frames a second, not {FPS:g}; 'import' resamples."


def _motion(values: Mapping[str, np.ndarray]) -> Iterator[str]:
    expression = values["expression"]
    if expression.ndim != 2 or not expression.size:
        yield f"'expression' has the shape {expression.shape}, not (frames, coefficients)."
        return
    frames, width = expression.shape
    known = KNOWN_WIDTHS.get(str(values["head_model"]), width)
    if width != known:
        yield f"'expression' has {width} coefficients, the head model '{values['head_model']}' {known}."
    valid = values.get("valid", np.ones(frames, bool))
    if valid.shape != (frames,):
        yield f"'valid' has {len(valid) if valid.ndim else 0} frames, 'expression' {frames}."
        return
    valid = valid.astype(bool)
    if not valid.any():
        yield "no frame is valid."
        return
    widths = {"expression": width, **CHANNELS}
    if "blink" not in values:
        widths["ear"] = widths.pop("blink")
    for key, size in widths.items():
        array = np.asarray(values[key])
        if array.ndim != 2 or array.shape[1] != size:
            yield f"'{key}' has the shape {array.shape}, not ({frames}, {size})."
        elif len(array) != frames:
            yield f"'{key}' has {len(array)} frames, 'expression' {frames}."
        elif not np.isfinite(array[valid]).all():
            at = int(np.flatnonzero(~np.isfinite(array).all(1) & valid)[0])
            yield f"'{key}' holds values that are not numbers, first in frame {at}; mark such frames False in 'valid'."
        else:
            silent = "speaking" in values and not np.any(values["speaking"])
            yield from _plausible(key, array[valid].astype(np.float64), may_rest=silent)


def _plausible(key: str, array: np.ndarray, may_rest: bool) -> Iterator[str]:
    """What no face does, in a channel of the right shape; the mouth of one who does not speak may rest."""
    if key in LARGEST:
        largest = np.abs(array).max()
        if largest > LARGEST[key]:
            yield (
                f"'{key}' turns by up to {largest:.3g}, which in radians is {np.degrees(largest):.0f} degrees; "
                "these may be degrees. Rotations are axis-angle vectors in radians."
            )
    if len(array) >= STILL_FRAMES and array.std(0).max() < STILL:
        if key == "eyes":
            yield NO_GAZE
        if key == "jaw" and not may_rest:
            yield "'jaw': the jaw never moves."
    if key == "expression" and not may_rest and not array.any():
        yield "'expression' is zero throughout."
    if key == "blink" and (array.min() < -0.01 or array.max() > 1.01):
        yield f"'blink' runs from {array.min():.2g} to {array.max():.2g}, not from 0 (open) to 1 (shut)."
    if key == "ear" and (array.min() < 0 or array.max() > 1.5):
        yield f"'ear' runs from {array.min():.2g} to {array.max():.2g}; the aspect ratio of an eye is about 0 to 0.5."


def _sound(path: Path, frames: int) -> Iterator[str]:
    if not path.is_file():
        yield f"its sound {path.name} is not there."
        return
    largest, count = 0.0, 0
    try:
        with soundfile.SoundFile(path) as file:
            if file.samplerate != RATE or file.channels != 1:
                yield f"its sound has {file.samplerate} Hz and {file.channels} channels, not {RATE} Hz and one."
                return
            for block in file.blocks(RATE * 60, dtype="float32"):
                count += len(block)
                if not np.isfinite(block).all():
                    yield "its sound holds samples that are not numbers."
                    return
                largest = max(largest, float(np.abs(block).max(initial=0.0)))
    except (OSError, soundfile.LibsndfileError) as error:
        yield f"its sound cannot be read ({error})."
        return
    if abs(frame_count(count) - frames) > LENGTH_TOLERANCE:
        yield f"it has {frames} frames of motion ({frames / FPS:.2f} s) for {count / RATE:.2f} s of sound."
    if largest < SILENT:
        yield "its sound is silent."


class _Remembered:
    """The sequences that were found right before and have not changed since; kept in the dataset's folder."""

    def __init__(self, folder: Path) -> None:
        self._path, self._folder = folder / REMEMBERED, folder
        self._right: dict[str, list] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError):
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            if kept.get("rules") == _RULES and kept.get("description") == self._stamp_of(folder / "dataset.json"):
                self._right = kept["sequences"]
        self._changed = False

    @staticmethod
    def _stamp_of(path: Path) -> list[int]:
        status = os.stat(path)
        return [status.st_size, status.st_mtime_ns]

    def _stamp(self, name: str) -> list[int]:
        return [number for path in sequence_paths(self._folder, name) for number in self._stamp_of(path)]

    def holds(self, name: str) -> bool:
        try:
            return name in self._right and self._right[name][:4] == self._stamp(name)
        except OSError:
            return False

    def add(self, name: str) -> None:
        with np.load(sequence_paths(self._folder, name)[0], allow_pickle=False) as archive:
            self._right[name] = [*self._stamp(name), archive["expression"].shape[1]]
        self._changed = True

    def drop(self, name: str) -> None:
        self._right.pop(name, None)

    def widths(self) -> dict[str, int]:
        return {name: kept[4] for name, kept in self._right.items()}

    def save(self) -> None:
        if not self._changed:
            return
        kept = {"rules": _RULES, "description": self._stamp_of(self._folder / "dataset.json"), "sequences": self._right}
        try:
            write_whole(self._path, json.dumps(kept).encode())
        except (TalkingEyesError, OSError):
            log.info("%s cannot be written; the next check looks at everything again", self._path)


def main(arguments: list[str]) -> int:
    """``check-data FOLDER``: 0 if all is well, else 1."""
    from tqdm import tqdm

    parser = argparse.ArgumentParser(
        prog="python -m talkingeyes_blender.training check-data",
        description="Read a whole dataset and print what is wrong with which sequence.",
    )
    parser.add_argument("folder", type=Path, help="dataset folder, see docs/data.md")
    dataset = Dataset(parser.parse_args(arguments).folder)
    with tqdm(total=len(dataset), unit="sequence", desc="check-data", disable=not sys.stderr.isatty()) as bar:
        faults = find_faults(dataset, lambda done: bar.update(done - bar.n))
    for fault in faults:
        print(fault)
    wrong = len({fault.sequence for fault in faults if fault.sequence})
    print(f"{len(dataset)} sequences, {wrong} of them with faults; {len(faults)} faults in all.")
    return 1 if faults else 0
