"""What trackers write, as named arrays: npz, npy, pickles (through the allow-list), MATLAB, torch."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TalkingEyesError
from ...head.unpickling import array_from, load_pickle

SOUNDS = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".m4a", ".mp4")
READ = (".npz", ".npy", ".pkl", ".pickle", ".mat", ".pt", ".pth", ".frame")
"""Endings of the files that ``read_values`` reads."""


def read_values(path: Path) -> dict[str, np.ndarray]:
    """The named arrays of a file; a bare array is named ''.

    Raises:
        TalkingEyesError: the file cannot be read, or asks for more than arrays.
    """
    try:
        if path.suffix == ".mat":
            from scipy.io import loadmat

            return {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
        if path.suffix in (".pt", ".pth", ".frame"):
            import torch

            return _flat(torch.load(path, map_location="cpu", weights_only=True))
        return values_from(path.read_bytes())
    except TalkingEyesError as error:
        raise TalkingEyesError(f"{path}: {error.message}", error.hint) from error
    except Exception as error:  # these readers raise whatever a broken file leads them to
        raise TalkingEyesError(f"{path} cannot be read ({error}).", "Export it again.") from error


def values_from(content: bytes) -> dict[str, np.ndarray]:
    """``read_values`` for the bytes of an npz, an npy or a pickle."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    if content[:6] == b"\x93NUMPY":
        stream = io.BytesIO(content)
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        if not header(stream)[2].hasobject:
            return {"": np.load(io.BytesIO(content), allow_pickle=False)}
        return _flat(load_pickle(stream.read()))  # np.save of a dict
    return _flat(load_pickle(content))


def _flat(value: Any) -> dict[str, np.ndarray]:
    """The arrays of a dict, or of a dict in it, by name."""
    if isinstance(value, Mapping):
        flat: dict[str, np.ndarray] = {}
        for key, inner in value.items():
            if isinstance(inner, Mapping):
                flat |= _flat(inner)
            elif inner is not None and not isinstance(inner, str | bytes):
                flat[str(key)] = _as_array(inner)
        return flat
    whole = _as_array(value)
    if whole.dtype == object and whole.size == 1 and isinstance(whole.ravel()[0], Mapping):
        return _flat(whole.ravel()[0])
    return {"": whole}


def _as_array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else array_from(value)


def sound_of(name: str, folders: Iterable[Path]) -> Path | None:
    """The sound file of that name (without ending, with '/' for folders) in the first folder that has one."""
    for folder in folders:
        for candidate in (name, Path(name).name):
            for ending in SOUNDS:
                if (path := folder / f"{candidate}{ending}").is_file():
                    return path
    return None
