"""Faces whose shape keys have names that mean something: which mesh has which, and what is left to the bones."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterable, Mapping

import bpy
import numpy as np

from ..head.arkit import EXPRESSIONS
from ..head.arkit_values import BLINKS, JAW, LOOKS
from . import naming
from .head_rig import FaceMesh
from .points import key_points
from .vocabulary import ARKIT, RIGHT_HALF, VISEME_PARTS, match_arkit, match_visemes, vocabulary, whole

_UPPER_FACE = tuple(part for part in ARKIT if part.startswith(("brow", "eye", "nose")))
"""What a face of visemes may have of ARKit's keys besides."""
_BLINK_PARTS = {"BlinkLeft": BLINKS[0], "BlinkRight": BLINKS[1]}


def key_names(mesh: bpy.types.Object) -> list[str]:
    """Names of a mesh's shape keys, without the one that the others start from."""
    keys = mesh.data.shape_keys
    return [key.name for key in keys.key_blocks if key != keys.reference_key] if keys is not None else []


def vocabulary_of(names: Iterable[str], chosen: Mapping[str, str] | None = None) -> str:
    """'arkit', 'visemes' or '', by the keys' names or by which parts the user chose keys for."""
    names = list(names)
    if naming.match_expressions(names):
        return ""
    parts = set(chosen or ())
    if parts & set(VISEME_PARTS):
        return "visemes"
    return vocabulary(names) or ("arkit" if parts & set(ARKIT) - set(BLINKS) else "")


def vocabulary_of_mesh(mesh: bpy.types.Object, chosen: Mapping[str, str] | None = None) -> str:
    """As ``vocabulary_of``; where a jawOpen that moves nothing stands beside visemes, the face speaks by these."""
    names = key_names(mesh)
    which = vocabulary_of(names, chosen)
    if which == "arkit" and "viseme_aa" in match_visemes(names) and is_still(mesh, match_arkit(names).get("jawOpen")):
        return "visemes"
    return which


def is_still(mesh: bpy.types.Object, name: str | None) -> bool:
    """Whether a shape key moves no vertex, as those do with which some exporters make up a set of names."""
    if name is None:
        return False
    key = mesh.data.shape_keys.key_blocks[name]
    # Panels ask at every redraw: a few vertices tell of a key that moves, and only of one that may not all are read.
    some = range(0, len(key.data), max(1, len(key.data) // _SAMPLED))
    rest = np.array([key.relative_key.data[i].co for i in some])
    moved = np.array([key.data[i].co for i in some])
    if np.abs(moved - rest).max(initial=0.0) > 100 * _STILL * np.ptp(rest, axis=0).max(initial=0.0):
        return False
    rest = key_points(key.relative_key)
    return bool(np.abs(key_points(key) - rest).max(initial=0.0) < _STILL * np.ptp(rest, axis=0).max(initial=0.0))


_STILL = 1e-4
"""Part of a mesh's size that a key moves at least."""
_SAMPLED = 50
"""Vertices that are looked at first."""


def named_keys(names: Iterable[str], which: str, chosen: Mapping[str, str]) -> dict[str, str]:
    """Shape key by part on a mesh that has ``names``; what was chosen counts where the mesh has it."""
    names = list(names)
    found = match_arkit(names)
    if which == "visemes":
        found = {part: name for part, name in found.items() if whole(part) in _UPPER_FACE} | match_visemes(names)
    for part, name in zip(BLINKS, naming.match_blinks(names), strict=True):
        if name is not None:
            found.setdefault(part, name)
    for part, name in chosen.items():
        part = _BLINK_PARTS.get(part, part)
        if name in names and (part in ARKIT or part in VISEME_PARTS):
            found[part] = name
            found.pop(part + RIGHT_HALF, None)
    return found


def relatives(mesh: bpy.types.Object) -> list[bpy.types.Object]:
    """Meshes that hang on the same object as ``mesh``, or on it."""
    return [
        o
        for o in bpy.data.objects
        if o.type == "MESH" and (o == mesh or o.parent == mesh or (o.parent is not None and o.parent == mesh.parent))
    ]


def further_meshes(
    meshes: Iterable[bpy.types.Object], face: bpy.types.Object, which: str, chosen: Mapping[str, str], left: set[str]
) -> tuple[FaceMesh, ...]:
    """The other meshes with keys of the same vocabulary, less the parts that are ``left`` alone."""
    found = []
    for mesh in meshes:
        # Two objects may share a mesh, and so its keys.
        if mesh.data == face.data or any(mesh.data == part.mesh.data for part in found):
            continue
        keys = {k: v for k, v in named_keys(key_names(mesh), which, chosen).items() if whole(k) not in left}
        if keys:
            found.append(FaceMesh(mesh, keys))
    return tuple(found)


def superseded(
    keys: Mapping[str, str], bones: Mapping[str, str], face: bpy.types.Object, ignored: Mapping[str, bool]
) -> dict[str, str]:
    """Reason by joint or part that is left alone since something else moves the same.

    Eyes that are bones turn as bones. A jaw that moves skin which jawOpen moves too would open the mouth twice: then
    the key is used. Whatever the user said about a part counts instead.
    """
    left: dict[str, str] = {}
    if "left_eye" in bones and "right_eye" in bones:
        for part in LOOKS:
            if part in keys and ignored.get(part) is not False:
                left[part] = "the eyes are bones"
    groups = {group.name for group in face.vertex_groups}
    if "jaw" in bones and "jawOpen" in keys:
        if bones["jaw"] in groups and ignored.get("jaw") is not False:
            left["jaw"] = f"the key '{keys['jawOpen']}' opens the mouth"
        elif ignored.get("jaw") is False and bones["jaw"] in groups:
            left.update({part: "the jaw is a bone" for part in JAW if part in keys and ignored.get(part) is not False})
    return left


def part_of(name: str) -> str:
    """Which part of a take a named key belongs to: 'face', 'gaze' or 'blinks'."""
    return "gaze" if name in LOOKS else "blinks" if name in BLINKS else "face"


def expression_keys(keys: Mapping[str, str]) -> tuple[str | None, ...]:
    """Key of each of the stand-in's expressions; those that blink are lid keys."""
    return tuple(None if part in BLINKS else keys.get(part) for part in EXPRESSIONS)
