"""Presets for character: named sets of the scene's settings, those that come with the add-on and the user's own."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from .errors import TalkingEyesError
from .files import write_whole

VERSION = 1
FIELDS = (
    *(f"write_{part}" for part in ("face", "head", "gaze", "blinks")),
    *(f"strength_{part}" for part in ("face", "head", "gaze", "blinks")),
    "blink_preset",
    "blink_rate",
    "gaze_choice",
    "gaze_temperature",
)
"""The settings of ``scene.talkingeyes`` that a preset holds."""


def _character(
    face: float, head: float, gaze: float, temperature: float, blinks: float | None, *, speaks: bool = True
) -> dict[str, object]:
    """Strengths, the liveliness of the gaze, and blinks a minute (None: drawn for each clip)."""
    return {
        "write_face": speaks,
        "write_head": True,
        "write_gaze": True,
        "write_blinks": True,
        "strength_face": face,
        "strength_head": head,
        "strength_gaze": gaze,
        "strength_blinks": 1.0,
        "blink_preset": "PAPER" if blinks is None else "CUSTOM",
        "blink_rate": 20.0 if blinks is None else blinks,
        "gaze_choice": "sample",
        "gaze_temperature": temperature,
    }


BUILT_IN: Mapping[str, dict[str, object]] = {
    "As Generated": _character(1.0, 1.0, 1.0, 1.0, None),
    "Calm, Speaking": _character(0.9, 0.7, 0.8, 0.8, 17.0),
    "Lively, Speaking": _character(1.15, 1.35, 1.1, 1.15, 32.0),
    "Shy, Speaking": _character(0.8, 0.6, 1.2, 1.05, 36.0),
    "Calm, Listening": _character(1.0, 0.4, 0.7, 0.8, 14.0, speaks=False),
    "Lively, Listening": _character(1.0, 0.9, 0.8, 1.1, 24.0, speaks=False),
    "Shy, Listening": _character(1.0, 0.5, 1.1, 0.9, 30.0, speaks=False),
}


def names(folder: Path) -> list[str]:
    """Names of all presets: ours, then the user's by name."""
    return [*BUILT_IN, *sorted(_stored(folder))]


def own_names(folder: Path) -> list[str]:
    return sorted(_stored(folder))


def read(folder: Path, name: str) -> dict[str, object]:
    """The settings of a preset; raise TalkingEyesError if there is none, or its file is damaged."""
    if name in BUILT_IN:
        return dict(BUILT_IN[name])
    path = _stored(folder).get(name)
    if path is None:
        raise TalkingEyesError(f"There is no preset '{name}'.", "Choose another one.")
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        if held["version"] > VERSION:
            raise TalkingEyesError(f"The preset '{name}' was saved by a newer version.", "Save it again, or update.")
        settings = {field: held["settings"][field] for field in FIELDS if field in held["settings"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TalkingEyesError(f"The preset {path} could not be read ({error}).", "Delete the file.") from error
    return settings


def save(folder: Path, name: str, settings: Mapping[str, object]) -> None:
    """Keep settings as the user's preset ``name``; an own one of that name is replaced."""
    name = name.strip()
    if not name:
        raise TalkingEyesError("The preset has no name.", "Type one.")
    if name in BUILT_IN:
        raise TalkingEyesError(f"'{name}' comes with the add-on and cannot be replaced.", "Type another name.")
    text = json.dumps({"version": VERSION, "name": name, "settings": {f: settings[f] for f in FIELDS}}, indent=1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = _stored(folder).get(name) or _free(folder, name)
    except OSError as error:
        raise TalkingEyesError(
            f"The preset could not be written to {folder} ({error.strerror}).", "The folder must be writable."
        ) from error
    write_whole(path, text.encode())


def remove(folder: Path, name: str) -> None:
    """Delete a preset of the user's own."""
    path = _stored(folder).get(name)
    if path is None:
        why = "comes with the add-on and stays" if name in BUILT_IN else "is not there"
        raise TalkingEyesError(f"The preset '{name}' {why}.")
    try:
        path.unlink()
    except OSError as error:
        raise TalkingEyesError(f"The preset {path} could not be deleted ({error.strerror}).") from error


def _stored(folder: Path) -> dict[str, Path]:
    """The user's presets by name. One whose file says none is called like its file, so that it can be deleted."""
    found = {}
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            name = held["name"] if isinstance(held["name"], str) and held["name"] else path.stem
        except (OSError, ValueError, KeyError, TypeError):
            name = path.stem
        if name not in BUILT_IN:
            found.setdefault(name, path)
    return found


def _free(folder: Path, name: str) -> Path:
    """A file for a new preset: its name without what file systems refuse."""
    plain = "".join(c if c.isalnum() or c in " -_" else "_" for c in name).strip() or "preset"
    path, number = folder / f"{plain}.json", 1
    while path.exists():
        number += 1
        path = folder / f"{plain} {number}.json"
    return path
