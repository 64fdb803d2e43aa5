"""The one folder layout that all training reads: sequences of motion beside their sound, captured or made.

::

    <folder>/dataset.json            what the folder holds (see ``write_description``)
    <folder>/sequences/<id>.npz      motion, 25 frames a second
    <folder>/sequences/<id>.flac     sound, 16 kHz, mono

docs/data.md lists every key with its shape, unit and sign.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Series
from pathlib import Path

import numpy as np
import soundfile

from ..errors import TalkingEyesError
from ..files import write_whole
from ..motion import CHANNELS, FPS

VERSION = 1
RATE = 16000
"""Sample rate of the sound in Hz."""
SAMPLES_PER_FRAME = 640
SPLITS = ("train", "validation", "test", "held_out")
"""``train``, ``validation`` and ``test`` part the subjects 8:1:1; ``held_out`` are subjects named in dataset.json."""

RECORDED = "rec-"
"""How the names of sequences begin that ``corpus --recordings`` made of real voices."""

LENGTH_TOLERANCE = 2
"""Frames by which motion and sound may differ in length."""
_MAX_ANGLE = 2 * np.pi


def frame_count(samples: int) -> int:
    """Frames that a sound of this many samples at 16 kHz has: one each 40 ms, at least one."""
    return max(1, -(-samples // SAMPLES_PER_FRAME))


@dataclasses.dataclass(frozen=True, eq=False)
class Sequence:
    """One recording of one subject: T frames of motion (frame t is the pose at t/25 s) and the sound with them."""

    id: str
    subject: str
    source: str
    """Where it comes from: a corpus' or a program's name, free text."""
    head_model: str
    """Identity of the head model whose expression basis the coefficients belong to."""
    expression: np.ndarray
    """(T, E)."""
    jaw: np.ndarray
    """(T, 3) axis-angle, radians; +x opens."""
    head: np.ndarray
    """(T, 3) axis-angle, radians, relative to the torso about the sequence's mean; +x nods down, +y to the left."""
    eyes: np.ndarray
    """(T, 6) axis-angle, radians, left then right eye, relative to the head; +x looks down, +y to the left."""
    blink: np.ndarray
    """(T, 2) closure of the left and the right lids, 0 to 1."""
    valid: np.ndarray
    """(T,) bool; frames that are False (a lost track) must not be learned from."""
    samples: np.ndarray | None = None
    """(N,) float32 at 16 kHz; None where only the motion was read."""
    fps: float = FPS
    shape: np.ndarray | None = None
    """(S,) identity coefficients in the basis of ``head_model``, or None where they are not known."""
    speaking: np.ndarray | None = None
    """(T,) bool, or None where it is not known."""
    phone_start: np.ndarray | None = None
    """(P,) seconds, or None where no phones are known."""
    phone_end: np.ndarray | None = None
    phone_name: np.ndarray | None = None
    """(P,) str."""

    def __post_init__(self) -> None:
        for name in ("expression", *CHANNELS):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), np.float32))
        object.__setattr__(self, "valid", np.ascontiguousarray(self.valid, bool))
        if self.samples is not None:
            object.__setattr__(self, "samples", np.ascontiguousarray(self.samples, np.float32))
        if self.shape is not None:
            object.__setattr__(self, "shape", np.ascontiguousarray(self.shape, np.float32))
        if self.speaking is not None:
            object.__setattr__(self, "speaking", np.ascontiguousarray(self.speaking, bool))
        for name in ("phone_start", "phone_end"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), np.float64))
        if self.phone_name is not None:
            object.__setattr__(self, "phone_name", np.asarray(self.phone_name, dtype=np.str_))

    @property
    def frames(self) -> int:
        return len(self.expression)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.fps

    def checked(self) -> Sequence:
        """Return self, or raise TalkingEyesError that says which key of which sequence is wrong."""
        where = f"Sequence '{self.id}'"
        if self.fps != FPS:
            raise TalkingEyesError(
                f"{where} has {self.fps:g} frames a second.", f"Resample its motion to {FPS:g} frames a second."
            )
        if self.expression.ndim != 2 or self.expression.shape[1] == 0 or self.frames == 0:
            raise TalkingEyesError(f"{where}: 'expression' has the shape {self.expression.shape}, not (frames, size).")
        for name, width in {"expression": self.expression.shape[1], **CHANNELS}.items():
            array = getattr(self, name)
            if array.shape != (self.frames, width):
                raise TalkingEyesError(
                    f"{where}: '{name}' has the shape {array.shape}, not {(self.frames, width)}.",
                    "All motion of a sequence has the same number of frames.",
                )
        for name in ("valid", "speaking"):
            array = getattr(self, name)
            if array is not None and array.shape != (self.frames,):
                raise TalkingEyesError(f"{where}: '{name}' has the shape {array.shape}, not ({self.frames},).")
        if self.shape is not None and (self.shape.ndim != 1 or not np.isfinite(self.shape).all()):
            raise TalkingEyesError(f"{where}: 'shape' is not one row of finite numbers.")
        for name in ("expression", *CHANNELS):
            array = getattr(self, name)[self.valid]
            if not np.isfinite(array).all():
                raise TalkingEyesError(
                    f"{where}: '{name}' holds values that are not numbers.", "Mark such frames False in 'valid'."
                )
            if name in ("jaw", "head", "eyes") and array.size and np.abs(array).max() > _MAX_ANGLE:
                raise TalkingEyesError(
                    f"{where}: '{name}' turns by more than a full circle.",
                    "Rotations are axis-angle vectors in radians; these may be degrees.",
                )
        phones = (self.phone_start, self.phone_end, self.phone_name)
        if any(p is not None for p in phones):
            if any(p is None for p in phones) or len({p.shape for p in phones}) != 1:
                raise TalkingEyesError(
                    f"{where}: 'phone_start', 'phone_end' and 'phone_name' must be given together, of the same length."
                )
            if np.any(self.phone_end < self.phone_start):
                raise TalkingEyesError(f"{where}: a phone ends before it starts.")
        if self.samples is not None:
            if self.samples.ndim != 1 or not np.isfinite(self.samples).all():
                raise TalkingEyesError(f"{where}: its sound is not one channel of finite numbers.")
            if abs(frame_count(len(self.samples)) - self.frames) > LENGTH_TOLERANCE:
                raise TalkingEyesError(
                    f"{where} has {self.frames} frames of motion for {len(self.samples) / RATE:.2f} s of sound.",
                    "Motion runs at 25 frames a second and starts with the sound.",
                )
        return self


# -- one sequence ----------------------------------------------------------------------------------


def sequence_paths(folder: Path, name: str) -> tuple[Path, Path]:
    """Where a sequence's motion and sound are."""
    base = Path(folder) / "sequences"
    return base / f"{name}.npz", base / f"{name}.flac"


def sound_checksum(folder: Path, name: str) -> bytes:
    """FLAC's STREAMINFO of a sequence's sound, which ends with the MD5 of the samples; OSError if it is not there."""
    with open(sequence_paths(folder, name)[1], "rb") as sound:
        return sound.read(42)


def write_sequence(folder: str | os.PathLike, sequence: Sequence) -> None:
    """Write one checked sequence with its sound; the npz comes last, so its presence means that both are whole."""
    sequence.checked()
    if sequence.samples is None:
        raise TalkingEyesError(f"Sequence '{sequence.id}' has no sound to write.")
    npz, flac = sequence_paths(Path(folder), sequence.id)
    npz.parent.mkdir(parents=True, exist_ok=True)
    sound = io.BytesIO()
    soundfile.write(sound, np.clip(sequence.samples, -1.0, 1.0), RATE, format="FLAC", subtype="PCM_16")
    arrays = {
        "fps": sequence.fps,
        **{name: getattr(sequence, name) for name in ("jaw", "head", "eyes", "blink", "valid")},
        # Half precision keeps 1/2048 of a coefficient, far below what can be seen, and halves the folder.
        "expression": sequence.expression.astype(np.float16),
        **{name: getattr(sequence, name) for name in ("subject", "source", "head_model")},
    }
    for name in ("shape", "speaking", "phone_start", "phone_end", "phone_name"):
        if getattr(sequence, name) is not None:
            arrays[name] = getattr(sequence, name)
    motion = io.BytesIO()
    np.savez_compressed(motion, **arrays)
    write_whole(flac, sound.getvalue())
    write_whole(npz, motion.getvalue())


def read_sequence(folder: str | os.PathLike, name: str, *, sound: bool = True) -> Sequence:
    """Read and check one sequence; ``sound=False`` leaves ``samples`` None."""
    npz, flac = sequence_paths(Path(folder), name)
    try:
        with np.load(npz, allow_pickle=False) as archive:
            values = {key: archive[key] for key in archive.files}
    except FileNotFoundError as error:
        raise TalkingEyesError(f"{npz} does not exist.", "Choose a folder in the layout of docs/data.md.") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise TalkingEyesError(f"{npz} could not be read as a sequence ({error}).") from error
    if "ear" in values and "blink" not in values:
        values["blink"] = blink_from_ear(values["ear"], values.get("valid"))
    required = ("expression", *CHANNELS, "subject", "head_model")
    missing = [key for key in required if key not in values]
    if missing:
        raise TalkingEyesError(
            f"{npz} lacks the key{'s' if len(missing) > 1 else ''} {', '.join(missing)}.",
            "docs/data.md lists what a sequence holds.",
        )
    known = {field.name for field in dataclasses.fields(Sequence)} - {"id", "samples"}
    values = {key: value for key, value in values.items() if key in known}
    for key in ("subject", "source", "head_model"):
        values[key] = str(values.get(key, ""))
    values["fps"] = float(values.get("fps", FPS))
    values.setdefault("valid", np.ones(len(values["jaw"]), bool))
    samples = _read_sound(flac) if sound else None
    return Sequence(id=name, samples=samples, **values).checked()


def _read_sound(path: Path) -> np.ndarray:
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=False)
    except (OSError, soundfile.LibsndfileError) as error:
        raise TalkingEyesError(f"{path} could not be read as sound ({error}).") from error
    if rate != RATE or samples.ndim != 1:
        raise TalkingEyesError(f"{path} is not {RATE} Hz mono.", "Convert it, for example with sox -r 16000 -c 1.")
    return samples


def blink_from_ear(ear: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Closure (T, 2), 0 to 1, from the aspect ratios of both eyes (T, 2).

    An eye's own open state is the 90th percentile of its ratios; from four fifths of that on it counts as open, since
    lids follow the gaze and squint, and below a fifth as shut: lashes and landmarks never quite meet.
    """
    ear = np.asarray(ear, np.float64)
    seen = ear[np.asarray(valid, bool)] if valid is not None and np.any(valid) else ear
    opened = np.maximum(np.nanpercentile(seen, 90, axis=0), 1e-3)
    return np.clip((0.8 - ear / opened) / 0.6, 0.0, 1.0)


def is_complete(folder: str | os.PathLike, name: str) -> bool:
    """Whether a sequence is there, readable and of matching length (its sound's header is read, not its samples)."""
    _npz, flac = sequence_paths(Path(folder), name)
    try:
        sequence = read_sequence(folder, name, sound=False)
        frames = soundfile.info(str(flac)).frames
    except (TalkingEyesError, soundfile.LibsndfileError, OSError):
        return False
    return abs(frame_count(frames) - sequence.frames) <= LENGTH_TOLERANCE


# -- a whole dataset -------------------------------------------------------------------------------


def write_description(
    folder: str | os.PathLike,
    *,
    head_model: str,
    subjects: Mapping[str, str],
    held_out: Series[str] = (),
    splits: Mapping[str, str] | None = None,
    extra: Mapping | None = None,
) -> None:
    """Write ``dataset.json``.

    ``subjects`` maps each sequence's id to its subject, ``held_out`` names subjects that no split of the three may
    hold, ``splits`` pins subjects to a split, ``extra`` is kept as it is (a recipe, licences).
    """
    description = {
        "version": VERSION,
        "fps": FPS,
        "head_model": head_model,
        "sequences": len(subjects),
        "held_out": sorted(held_out),
        "splits": dict(sorted((splits or {}).items())),
        "subjects": dict(sorted(subjects.items())),
        **(extra or {}),
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "dataset.json", (json.dumps(description, indent=1, ensure_ascii=False) + "\n").encode())


def subject_split(subject: str) -> str:
    """The split of a subject that dataset.json says nothing about: by a hash of its name, 8:1:1."""
    tenth = int.from_bytes(hashlib.sha256(subject.encode()).digest()[:8], "big") % 10
    return "validation" if tenth == 8 else "test" if tenth == 9 else "train"


class Dataset:
    """A folder of sequences, read one at a time when they are asked for.

    ``dataset[i]`` is a ``Sequence``; ``dataset.split("train")`` is the same kind of object with fewer of them. Splits
    part subjects, never the sequences of one subject.
    """

    def __init__(self, folder: str | os.PathLike, *, sound: bool = True, _ids: Series[str] | None = None) -> None:
        self.folder = Path(folder)
        self.sound = sound
        self.description = self._read_description()
        self.head_model: str = str(self.description.get("head_model", ""))
        self._subjects: dict[str, str] = dict(self.description.get("subjects", {}))
        self.ids: list[str] = list(_ids) if _ids is not None else self._find()

    def _read_description(self) -> dict:
        path = self.folder / "dataset.json"
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise TalkingEyesError(
                f"{self.folder} is not a dataset: it holds no dataset.json.",
                "Make one with 'python -m talkingeyes_blender.training corpus', or see docs/data.md.",
            ) from error
        except (OSError, ValueError) as error:
            raise TalkingEyesError(f"{path} could not be read ({error}).") from error
        if not isinstance(description, dict) or description.get("version") != VERSION:
            raise TalkingEyesError(f"{path} is not of version {VERSION}.", "It was written by another version.")
        if float(description.get("fps", FPS)) != FPS:
            raise TalkingEyesError(f"{path}: the dataset does not run at {FPS:g} frames a second.", "Resample it.")
        return description

    def _find(self) -> list[str]:
        ids = sorted(path.stem for path in (self.folder / "sequences").glob("*.npz"))
        if not ids:
            raise TalkingEyesError(f"{self.folder} holds no sequences.", "Its folder 'sequences' has no .npz file.")
        return ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sequence:
        return self.read(index, sound=self.sound)

    def read(self, index: int, *, sound: bool) -> Sequence:
        """A sequence, with its sound or without: decoding that takes longest."""
        sequence = read_sequence(self.folder, self.ids[index], sound=sound)
        if self.head_model and sequence.head_model != self.head_model:
            raise TalkingEyesError(
                f"Sequence '{sequence.id}' is in the basis of '{sequence.head_model}', its dataset in that of "
                f"'{self.head_model}'.",
                "Coefficients of different head models cannot be mixed.",
            )
        return sequence

    def __iter__(self) -> Iterator[Sequence]:
        return (self[i] for i in range(len(self)))

    def subject(self, name: str) -> str:
        """The subject of a sequence, from dataset.json or else from its file."""
        if name not in self._subjects:
            npz, _ = sequence_paths(self.folder, name)
            try:
                with np.load(npz, allow_pickle=False) as archive:
                    self._subjects[name] = str(archive["subject"])
            except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
                raise TalkingEyesError(f"{npz} does not say whose it is ({error}).") from error
        return self._subjects[name]

    def split_of(self, subject: str) -> str:
        """``train``, ``validation``, ``test`` or ``held_out``."""
        if subject in self.description.get("held_out", ()):
            return "held_out"
        return self.description.get("splits", {}).get(subject) or subject_split(subject)

    def split(self, name: str) -> Dataset:
        """The sequences of one split; raise TalkingEyesError if the name is unknown."""
        if name not in SPLITS:
            raise TalkingEyesError(f"There is no split '{name}'.", f"Choose one of {', '.join(SPLITS)}.")
        return self.subset([i for i in self.ids if self.split_of(self.subject(i)) == name])

    def subset(self, ids: Series[str]) -> Dataset:
        return Dataset(self.folder, sound=self.sound, _ids=ids)
