"""What a take remembers of itself, as JSON with its action: one place that knows old and new forms of it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpy

from .channels import Parts, Strengths

TAKE_PROPERTY = "talkingeyes_take"
"""On our actions: JSON that says what take they are. Whatever lacks it is somebody else's."""

FORMAT = 2
"""Of the records that we write. 1, which did not say so, had no label, rating and weights. What a newer one holds that
we do not know is kept when we change it."""

MOST_STARS = 5

_DEFAULTS = {"format": 1, "label": "", "rating": 0, "weights": {}, "settings": {}, "sliders": {}, "before": []}


def read_record(action: bpy.types.Action | None) -> dict[str, Any] | None:
    """What our property on an action says, in today's form, or None for an action that is not ours."""
    text = action.get(TAKE_PROPERTY) if action is not None else None
    if not isinstance(text, str):
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return None
    if not isinstance(record, dict) or "id" not in record:
        return None
    record.setdefault("gaze_seed", record.get("seed", 0))
    return {**_DEFAULTS, **record}


def write_record(action: bpy.types.Action, record: Mapping[str, Any]) -> None:
    action[TAKE_PROPERTY] = json.dumps(record)


def fields_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a ``Take`` that are its record's alone."""
    return {
        **{key: record[key] for key in ("id", "seed", "step", "frames", "number", "head_model", "gaze_seed")},
        **{key: record[key] for key in ("settings", "label", "rating", "weights", "format")},
        "locked": frozenset(record.get("locked", ())),
        "parts": Parts(**_known(Parts, record["parts"])),
        "strengths": Strengths(**_known(Strengths, record["strengths"])),
    }


def _known(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(cls)}
    return {name: value for name, value in values.items() if name in names}


def weights_in(folder: str | Path | None) -> dict[str, str]:
    """Name and version of the weights in a folder (None: the starter's); empty where there are none.

    The version is a digest of their description, which holds the hash of each file.
    """
    folder = Path(folder) if folder else Path(__file__).resolve().parents[1] / "weights"
    try:
        text = (folder / "bundle.json").read_bytes()
        name = json.loads(text).get("name", folder.name)
    except (OSError, ValueError, AttributeError):
        return {}
    return {"name": str(name), "version": hashlib.sha256(text).hexdigest()[:12]}
