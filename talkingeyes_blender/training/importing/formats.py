"""The published layouts that tracked faces come in: which key holds what. docs/data.md says what each rests on."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ...errors import TalkingEyesError
from .files import READ, read_values
from .rotations import from_form
from .track import Track


@dataclasses.dataclass(frozen=True)
class Slot:
    """Where a channel stands in a file."""

    keys: tuple[str, ...]
    """Its key, or others that it is also known by."""
    columns: tuple[int, int | None] = (0, None)
    form: str = "axis_angle"

    def find(self, values: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """(N, width) float64, or None where the file has no such key; a single frame may lack its dimension."""
        for key in self.keys:
            if key in values:
                array = np.asarray(values[key], np.float64)
                array = array.reshape(1, -1) if array.ndim < 2 else array.reshape(len(array), -1)
                return array[:, slice(*self.columns)]
        return None


@dataclasses.dataclass(frozen=True)
class Format:
    """One layout. A folder whose files hold one frame each is a clip; else each file is one."""

    expression: Slot
    head: tuple[Slot, ...]
    """What is composed to the head's rotation, from the outermost on; those that a file lacks are left out."""
    jaw: Slot
    eyes: tuple[Slot, Slot] | None = None
    blink: Slot | None = None
    shape: Slot | None = None
    fps: float = 0.0
    """Frames a second; 0 where they are the video's, and must be told."""
    fps_key: str = ""
    frames_in_folders: bool = False
    """A frame is a folder that holds one .npy a key."""


_DECA = Format(
    expression=Slot(("exp", "expcode", "expression", "expression_params")),
    head=(Slot(("pose", "posecode"), (0, 3)), Slot(("neck_pose",))),
    jaw=Slot(("pose", "posecode"), (3, 6)),
    shape=Slot(("shape", "shapecode")),
)

FORMATS: dict[str, Format] = {
    "vhap": Format(
        expression=Slot(("expr",)),
        head=(Slot(("rotation",)), Slot(("neck_pose",))),
        jaw=Slot(("jaw_pose",)),
        eyes=(Slot(("eyes_pose",), (0, 3)), Slot(("eyes_pose",), (3, 6))),
        shape=Slot(("shape",)),
    ),
    "deca": _DECA,
    "emoca": dataclasses.replace(_DECA, frames_in_folders=True),
    "diffposetalk": dataclasses.replace(_DECA, fps=25.0),
    "smirk": Format(
        expression=Slot(("expression_params",)),
        head=(Slot(("pose_params",), (0, 3)), Slot(("neck_pose", "neck_params"))),
        jaw=Slot(("jaw_params",)),
        blink=Slot(("eyelid_params",)),
        shape=Slot(("shape_params", "shape")),
    ),
    "metrical": Format(
        expression=Slot(("exp",)),
        head=(Slot(("R", "rotation"), form="matrix"), Slot(("neck",), form="six")),
        jaw=Slot(("jaw",), form="six"),
        eyes=(Slot(("eyes",), (0, 6), "six"), Slot(("eyes",), (6, 12), "six")),
        blink=Slot(("eyelids",)),
        shape=Slot(("shape",)),
    ),
    "beat2": Format(
        expression=Slot(("expressions",)),
        # SMPL-X: neck and head are joints 12 and 15, turned against the torso.
        head=(Slot(("poses",), (36, 39)), Slot(("poses",), (45, 48))),
        jaw=Slot(("poses",), (66, 69)),
        eyes=(Slot(("poses",), (69, 72)), Slot(("poses",), (72, 75))),
        shape=Slot(("betas",)),
        fps_key="mocap_frame_rate",
    ),
}
"""By the name that ``import`` takes."""


def clips(source: Path, layout: Format) -> Iterator[tuple[str, list[Path]]]:
    """Names of the clips under ``source`` (with '/' between folders), each with its files in order."""
    if source.is_file():
        yield source.stem, [source]
        return
    if layout.frames_in_folders:
        frames = sorted({path.parent for key in layout.expression.keys for path in source.rglob(f"{key}.npy")})
        for folder in sorted({frame.parent for frame in frames}):
            yield _name(source, folder), [frame for frame in frames if frame.parent == folder]
        return
    files = sorted(path for path in source.rglob("*") if path.suffix in READ)
    for folder in sorted({path.parent for path in files}):
        inside = [path for path in files if path.parent == folder]
        if len(inside) > 1 and _frames_in(inside[0], layout) == 1:
            yield _name(source, folder), inside
        else:
            for path in inside:
                yield _name(source, path.with_suffix("")), [path]


def _name(source: Path, path: Path) -> str:
    return path.relative_to(source).as_posix() if path != source else source.name


def _frames_in(path: Path, layout: Format) -> int:
    found = layout.expression.find(read_values(path))
    return 0 if found is None else len(found)


def read_track(name: str, files: Sequence[Path], layout: Format, fps: float = 0.0) -> Track:
    """One clip.

    Raises:
        TalkingEyesError: a file cannot be read, lacks a key, or nothing says how many frames a second it has.
    """
    frames = [_read_frame(path) for path in files]
    where = files[0] if len(files) == 1 else files[0].parent
    expression = _stacked(frames, layout.expression, where)
    if expression is None:
        keys = ", ".join(sorted(frames[0])) or "nothing"
        raise TalkingEyesError(
            f"{where} lacks the key '{layout.expression.keys[0]}'; it holds {keys}.", "Is it of another format?"
        )
    jaw = _stacked(frames, layout.jaw, where)
    if jaw is None:
        raise TalkingEyesError(f"{where} lacks the key '{layout.jaw.keys[0]}'.", "Is it of another format?")
    count = min(len(expression), len(jaw))
    if max(len(expression), len(jaw)) - count > 1:  # VHAP's expressions are one frame short in some files
        raise TalkingEyesError(f"{where} has {len(expression)} frames of expression and {len(jaw)} of the jaw.")
    bad = ~np.isfinite(expression[:count]).all(1)

    def rotation(slot: Slot) -> Rotation | None:
        values = _stacked(frames, slot, where)
        if values is None or not values.shape[1]:
            return None
        values = np.broadcast_to(values, (count, values.shape[1])).copy() if len(values) == 1 else values[:count].copy()
        lost = ~np.isfinite(values).all(1)
        bad[lost] = True
        if lost.all():
            return None
        values[lost] = values[~lost][0]
        return from_form(values, slot.form)

    head = [part for part in map(rotation, layout.head) if part is not None]
    eyes = tuple(rotation(slot) for slot in layout.eyes or ())
    shape = _stacked(frames, layout.shape, where) if layout.shape else None
    blink = _stacked(frames, layout.blink, where) if layout.blink else None
    turned = rotation(layout.jaw)
    return Track(
        id=name,
        fps=_rate(frames[0], layout, fps, where),
        expression=expression[:count],
        head=tuple(head) or (Rotation.identity(count),),
        jaw=turned if turned is not None else Rotation.identity(count),
        eyes=eyes if len(eyes) == 2 and None not in eyes else None,
        blink=None if blink is None else blink[:count],
        shape=None if shape is None else np.nanmean(shape, 0),
        valid=~bad,
    )


def _read_frame(path: Path) -> dict[str, np.ndarray]:
    if path.is_dir():
        return {file.stem: read_values(file)[""] for file in path.glob("*.npy")}
    return read_values(path)


def _stacked(frames: Sequence[Mapping[str, np.ndarray]], slot: Slot, where: Path) -> np.ndarray | None:
    parts = [slot.find(frame) for frame in frames]
    if parts[0] is None:
        return None
    if any(part is None or part.shape[1:] != parts[0].shape[1:] for part in parts):
        raise TalkingEyesError(f"{where}: the key '{slot.keys[0]}' lacks in some frames, or has another width there.")
    return np.concatenate(parts)


def _rate(values: Mapping[str, np.ndarray], layout: Format, told: float, where: Path) -> float:
    if told:
        return told
    if layout.fps_key and layout.fps_key in values:
        return float(np.asarray(values[layout.fps_key]))
    if layout.fps:
        return layout.fps
    raise TalkingEyesError(f"Nothing says how many frames a second {where} has.", "Say it: --fps 30.")
