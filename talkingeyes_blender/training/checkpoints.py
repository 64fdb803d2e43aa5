"""Checkpoints: written whole or not at all, read with clear errors, resumed only where nothing else has changed."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import torch

from ..errors import TalkingEyesError


def save_checkpoint(path: Path, state: dict) -> None:
    """Write beside ``path``, to the disk, then rename: a kill or a power cut leaves the old file or the new one."""
    beside = path.with_suffix(".part")
    try:
        with open(beside, "wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise TalkingEyesError(
            f"The checkpoint {path} could not be written ({error.strerror}).",
            "Free some space; the same command then goes on from the last one.",
        ) from error


def read_checkpoint(path: Path) -> dict:
    """A checkpoint's content, tensors and plain values alone; a file that is none gives a clear error."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TalkingEyesError(f"There is no checkpoint {path}.", "Train that stage first.") from error
    except Exception as error:  # torch raises many kinds here, all with one meaning
        raise TalkingEyesError(f"{path} is not a checkpoint of this program.", "Train that stage again.") from error


def refuse_other_run(folder: Path, kept: dict, asked: dict) -> None:
    """Raise TalkingEyesError, which names the first difference, unless a run is the one that ``folder`` holds."""
    found = _difference(kept, asked)
    if found is None:
        return
    where, before, now = found
    what = "other data" if where in ("data", "codes") else "another configuration"
    raise TalkingEyesError(
        f"{folder} holds a run with {what}: '{where}' was {before!r} there and is {now!r} now.",
        "Give another folder with --out, or remove that one.",
    )


def _difference(before, now, where: str = "") -> tuple[str, object, object] | None:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            found = _difference(before.get(key), now.get(key), f"{where}.{key}" if where else str(key))
            if found:
                return found
        return None
    return None if before == now else (where, before, now)
