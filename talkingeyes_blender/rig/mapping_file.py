"""Rig mappings as JSON files, to use on other rigs of the same make and to share; checked when they are read."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import bpy

from ..errors import TalkingEyesError
from ..files import written_whole
from .find import face_meshes
from .mapping import RigMap, read_map, store_map
from .mapping_rows import CHOSEN, FOUND, GUESSED, IGNORED, holder, refuse_linked, table
from .named import key_names, relatives

FORMAT, VERSION = "talkingeyes rig mapping", 1
_MOST_BYTES = 1_000_000
_FIELDS = tuple(field.name for field in dataclasses.fields(RigMap))


def save_mapping(obj: bpy.types.Object, path: str | os.PathLike) -> int:
    """Write the mapping of a rig as it is now, found names and chosen ones, and return how many parts it names."""
    path = Path(path)
    now = table(obj)
    kept = [row for row in now.rows if row.state in (FOUND, GUESSED, CHOSEN, IGNORED)]
    choice = read_map(holder(obj))
    content = {
        "format": FORMAT,
        "version": VERSION,
        "name": path.stem,
        "bones": {row.part: row.name for row in kept if row.is_bone},
        "keys": {row.part: row.name for row in kept if not row.is_bone},
        **{name: dict(getattr(choice, name)) for name in ("ignored", "axes", "amounts")},
    }
    with written_whole(path) as beside:
        beside.write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")
    return len(kept)


def read_mapping(path: str | os.PathLike) -> RigMap:
    """The mapping in a file; TalkingEyesError says what is wrong with it."""
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TalkingEyesError(f"{path} is too large to be a rig mapping.", _OTHER)
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise TalkingEyesError(f"{path} could not be read ({error.strerror}).", _OTHER) from error
    except (ValueError, RecursionError) as error:
        raise TalkingEyesError(f"{path} is not a JSON file.", _OTHER) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise TalkingEyesError(f"{path} is not a rig mapping.", _OTHER)
    if content.get("version") != VERSION:
        raise TalkingEyesError(
            f"{path} is a rig mapping of version {content.get('version')!r}; this add-on reads {VERSION}.",
            "Update the add-on.",
        )
    fields = {name: content.get(name, {}) for name in _FIELDS}
    for name, value in fields.items():
        if not isinstance(value, dict):
            raise TalkingEyesError(f"In {path} '{name}' is not a table of names.", _OTHER)
    try:
        return RigMap(**fields)
    except (ValueError, TypeError) as error:
        raise TalkingEyesError(f"{path} is not a sound rig mapping: {error}.", _OTHER) from error


def apply_mapping(obj: bpy.types.Object, choice: RigMap) -> tuple[str, ...]:
    """Store a mapping with a rig, and return the bones and keys in it that the rig lacks; those are left out.

    TalkingEyesError where the rig has none of them: the mapping is another rig's then.
    """
    armature = holder(obj)
    refuse_linked(armature)
    meshes = face_meshes(armature) if armature.type == "ARMATURE" else relatives(armature)
    bones = {bone.name for bone in armature.data.bones} if armature.type == "ARMATURE" else set()
    keys = {name for mesh in meshes for name in key_names(mesh)}
    fits = dataclasses.replace(
        choice,
        bones={part: name for part, name in choice.bones.items() if name in bones},
        keys={part: name for part, name in choice.keys.items() if name in keys},
    )
    named = {*choice.bones.items(), *choice.keys.items()}
    if named and not fits.bones and not fits.keys:
        raise TalkingEyesError(
            f"'{armature.name}' has none of the {len(named)} bones and keys that the mapping names.",
            "Choose a mapping that was made for this kind of rig.",
        )
    store_map(armature, fits)
    return tuple(sorted({name for _, name in named} - set(fits.bones.values()) - set(fits.keys.values())))


_OTHER = "Choose a file that was saved with Save Mapping."
