"""Arrays in .npy files of any layout, told by a mapping file: for releases such as TKED's, whose layout is not known.

::

    {
      "each": "motion/{clip}_exp.npy",
      "fps": 25,
      "expression": {"file": "motion/{clip}_exp.npy"},
      "jaw": {"file": "motion/{clip}_pose.npy", "columns": [3, 6]},
      "head": [{"file": "motion/{clip}_pose.npy", "columns": [0, 3], "form": "axis_angle", "degrees": false}],
      "eyes": {"file": "motion/{clip}_eye.npy"},
      "sound": "wav/{clip}.wav",
      "subject": "^(\\w+?)_"
    }

``each`` finds the clips: ``{clip}`` stands for what differs. Needed are ``each``, ``expression`` and ``jaw``.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from ...errors import TalkingEyesError
from .files import read_values
from .rotations import from_form
from .track import Track

_KEYS = {"each", "fps", "expression", "jaw", "head", "eyes", "blink", "ear", "shape", "valid", "sound", "subject"}
_ENTRY = {"file", "key", "columns", "form", "degrees", "sign"}


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping file.

    Raises:
        TalkingEyesError: it is not JSON, or says what is not understood.
    """
    try:
        mapping = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TalkingEyesError(f"The mapping {path} cannot be read ({error}).") from error
    if not isinstance(mapping, dict):
        raise TalkingEyesError(f"The mapping {path} is not a JSON object.", "docs/data.md shows one.")
    missing = [key for key in ("each", "expression", "jaw") if key not in mapping]
    unknown = sorted(set(mapping) - _KEYS)
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"says '{unknown[0]}', which is not understood"
        raise TalkingEyesError(f"The mapping {path} {what}.", f"Its keys are {', '.join(sorted(_KEYS))}.")
    if "{clip}" not in mapping["each"]:
        raise TalkingEyesError(f"The mapping {path}: 'each' has no '{{clip}}' in it.", "Write it where names differ.")
    return mapping


def mapped_tracks(source: Path, mapping: dict[str, Any], fps: float = 0.0) -> Iterator[tuple[str, Any]]:
    """Names of the clips under ``source``, each with a function that reads it."""
    pattern = mapping["each"]
    named = re.compile(
        "(.+)".join(re.escape(part) for part in pattern.split("{clip}", 1)).replace(re.escape("{clip}"), r"\1")
    )
    for path in sorted(source.glob(pattern.replace("{clip}", "*"))):
        if match := named.fullmatch(path.relative_to(source).as_posix()):
            clip = match.group(1)
            yield clip, lambda clip=clip: _read(source, clip, mapping, fps)


def _read(source: Path, clip: str, mapping: dict[str, Any], fps: float) -> Track:
    def array(entry: Any, name: str) -> np.ndarray:
        entry = {"file": entry} if isinstance(entry, str) else entry
        if not isinstance(entry, dict) or "file" not in entry or set(entry) - _ENTRY:
            raise TalkingEyesError(
                f"The mapping's '{name}' is not understood.",
                f"It has 'file', and may have {', '.join(sorted(_ENTRY))}.",
            )
        path = source / entry["file"].format(clip=clip)
        if not path.is_file():
            raise TalkingEyesError(f"{path} does not exist.", f"The mapping says that it holds '{name}'.")
        values, key = read_values(path), entry.get("key", "")
        if key not in values:
            raise TalkingEyesError(f"{path} has no '{key}'; it holds {', '.join(sorted(values)) or 'nothing'}.")
        out = np.asarray(values[key], np.float64)
        out = out.reshape(len(out), -1)
        first, last = entry.get("columns", (0, out.shape[1]))
        if not 0 <= first < last <= out.shape[1]:
            raise TalkingEyesError(f"{path} has {out.shape[1]} columns, and not {first} to {last}.")
        return out[:, first:last] * np.asarray(entry.get("sign", 1.0), np.float64)

    def rotation(entry: Any, name: str, columns: slice = slice(None)) -> Rotation:
        form = entry.get("form", "axis_angle") if isinstance(entry, dict) else "axis_angle"
        degrees = bool(entry.get("degrees", False)) if isinstance(entry, dict) else False
        return from_form(array(entry, name)[:, columns], form, degrees)

    def eyes(entry: Any) -> tuple[Rotation, Rotation]:
        if isinstance(entry, list):
            left, right = entry
            return rotation(left, "eyes"), rotation(right, "eyes")
        half = array(entry, "eyes").shape[1] // 2
        return rotation(entry, "eyes", slice(0, half)), rotation(entry, "eyes", slice(half, None))

    expression = array(mapping["expression"], "expression")
    heads = mapping.get("head", [])
    heads = heads if isinstance(heads, list) else [heads]
    optional = {name: array(mapping[name], name) for name in ("blink", "ear", "shape", "valid") if name in mapping}
    return Track(
        id=clip,
        fps=fps or float(mapping.get("fps", 25)),
        expression=expression,
        head=tuple(rotation(entry, "head") for entry in heads) or (Rotation.identity(len(expression)),),
        jaw=rotation(mapping["jaw"], "jaw"),
        eyes=eyes(mapping["eyes"]) if "eyes" in mapping else None,
        blink=optional.get("blink"),
        ear=optional.get("ear"),
        shape=optional["shape"].mean(0) if "shape" in optional else None,
        valid=optional["valid"][:, 0] > 0.5 if "valid" in optional else None,
        sound=source / mapping["sound"].format(clip=clip) if "sound" in mapping else None,
    )
