"""What a shape key does, told by its vertices."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy
import numpy as np

from .frame import fit_rotation
from .head_rig import HeadRig
from .points import key_points, mesh_to_armature, transform

_MOST_MOVED = 0.7
_FEWEST = 8
_ROUNDS = 4
_LEAST, _MOST = 3.0, 60.0
_HELD = 0.8
"""Weight to the jaw from which skin goes with it wholly."""
_LIPS_ALONE = 0.5
"""Degrees below which a viseme is taken to move the lips alone."""


def turned_degrees(mesh: bpy.types.Object, name: str) -> float | None:
    """By how many degrees a shape key at 1 turns what it moves most (a chin, an eyeball); None where it is no turn."""
    key = mesh.data.shape_keys.key_blocks[name]
    rest, moved = key_points(key.relative_key), key_points(key)
    away = np.linalg.norm(moved - rest, axis=1)
    most = np.flatnonzero(away > _MOST_MOVED * away.max(initial=0.0))
    if len(most) < _FEWEST:
        return None
    for _ in range(_ROUNDS):
        rotation, scale, place = fit_rotation(rest[most], moved[most])
        missed = np.linalg.norm(moved[most] - scale * rest[most] @ rotation.T - place, axis=1)
        # Skin that stretches between what turns and what stays would make the turn look smaller.
        most = most[missed <= max(np.median(missed), 1e-6 * away.max())]
        if len(most) < 2 * _FEWEST:
            break
    rotation, _, _ = fit_rotation(rest[most], moved[most])
    degrees = float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))
    return degrees if _LEAST <= degrees <= _MOST else None


def hinged_degrees(rig: HeadRig, name: str) -> float:
    """By how many degrees of the jaw bone a shape key opens the mouth: the turn nearest to what it does to the skin
    that hangs on the jaw wholly, 0 for a shape of the lips alone."""
    mesh, bone = rig.mesh, rig.armature.data.bones[rig.bones["jaw"]]
    group = mesh.vertex_groups[bone.name].index
    held = np.array([sum(g.weight for g in v.groups if g.group == group) > _HELD for v in mesh.data.vertices])
    if not held.any():
        return 0.0
    key = mesh.data.shape_keys.key_blocks[name]
    to_armature = mesh_to_armature(rig.armature, mesh)
    rest, moved = (transform(to_armature, key_points(k))[held] @ rig.frame for k in (key.relative_key, key))
    joint = np.array(bone.head_local, np.float64) @ rig.frame
    turning = np.cross(np.array([1.0, 0, 0]), rest - joint)
    radians = ((moved - rest) * turning).sum() / max((turning**2).sum(), 1e-30)
    degrees = float(np.degrees(radians))
    return degrees if degrees > _LIPS_ALONE else 0.0
