"""Whose face it is: joints, and lid keys that we made, moved to where the identity keys have put the face."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..head.model import JOINTS, HeadModel
from . import naming
from .frame import unit_of
from .head_rig import IDENTITY_PROPERTY, JOINTS_PROPERTY, REGRESSOR_PROPERTY, HeadRig
from .lid_keys import remake_lid_keys
from .parts import editing
from .points import mesh_to_armature, rest_points, transform

_STILL = 1e-6
"""Parts of the head's size below which a joint counts as where it was."""


def fit_to_face(context: bpy.types.Context, rig: HeadRig, head: HeadModel | None = None) -> float:
    """Move a rig's joints to where its face, as its identity keys have shaped it, has them; return how far at most.

    Where the joints lie is read off the face by the head model's joint regressor, which rigs that we build carry; for
    other rigs with the vertices of ``head`` it is taken from there. Lid keys that we made are made anew. Bones keep
    their directions, and takes, constraints and drivers stay. Lengths are in the armature's unit. The rig is to be
    found anew afterwards. All or nothing.
    """
    wanted, unit = regressed_joints(rig, head), unit_of(rig)
    bones = rig.armature.data.bones
    places = {j: np.array(bones[b].head_local, np.float64) for j, b in rig.bones.items()}
    moves = {joint: wanted[joint] - place for joint, place in places.items()}
    size = np.ptp(np.array(list(places.values())), axis=0).max()
    moves = {joint: move for joint, move in moves.items() if np.linalg.norm(move) > _STILL * size}
    if moves and not rig.armature.data.is_editable:
        raise TalkingEyesError(
            f"The armature '{rig.armature.name}' is linked from another file, so its joints cannot be moved.",
            "Set the identity keys in its own file, and fit the rig there.",
        )
    if moves:
        with editing(context, rig.armature) as edit_bones:
            for joint, move in moves.items():
                bone = edit_bones[rig.bones[joint]]
                tail = np.array(bone.tail, np.float64) + move
                bone.use_connect = False  # or the parent's tail would go along
                bone.head, bone.tail = np.array(bone.head, np.float64) + move, tail
        if JOINTS_PROPERTY in rig.armature.data:
            joints = np.array([wanted[joint] for joint in JOINTS])
            rig.armature.data[JOINTS_PROPERTY] = (joints @ rig.frame / unit).ravel().tolist()
    remake_lid_keys(rig)
    store_identity(rig.mesh)
    return max((float(np.linalg.norm(move)) for move in moves.values()), default=0.0)


def regressed_joints(rig: HeadRig, head: HeadModel | None = None) -> dict[str, np.ndarray]:
    """(3,) place of each joint in the armature's frame for the face as its identity keys have shaped it."""
    if rig.mesh is None:
        raise TalkingEyesError(f"'{rig.armature.name}' has no mesh from which its joints could be told.")
    count = len(rig.mesh.data.vertices)
    if head is not None and count < len(head.vertices):
        raise TalkingEyesError(
            f"The mesh '{rig.mesh.name}' has {count:,} vertices, '{head.name}' {len(head.vertices):,}.",
            "Choose the file that this mesh was made from.",
        )
    text = rig.mesh.data.get(REGRESSOR_PROPERTY)
    if head is None and not isinstance(text, str):
        raise TalkingEyesError(
            f"Where the joints of '{rig.mesh.name}' lie in its face is not known.",
            "Choose the FLAME file that the mesh was made from.",
        )
    sums = _sums(head.joint_regressor) if head is not None else json.loads(text)
    points = transform(mesh_to_armature(rig.armature, rig.mesh), rest_points(rig.mesh))
    places = {}
    for joint, (indices, weights) in zip(JOINTS, sums, strict=True):
        if max(indices) >= count:
            raise TalkingEyesError(
                f"Vertices of '{rig.mesh.name}' were deleted, so its joints cannot be told from its face.",
                "Fit the rig before the mesh is changed.",
            )
        weights = np.array(weights, np.float64)
        # A regressor's weights add up to 1 but for rounding, which would count with a mesh far from its origin.
        places[joint] = weights @ points[indices] / weights.sum()
    return places


def store_regressor(mesh: bpy.types.Object, head: HeadModel) -> None:
    """Keep with a mesh how its joints follow from its vertices."""
    mesh.data[REGRESSOR_PROPERTY] = json.dumps(_sums(head.joint_regressor))


def store_identity(mesh: bpy.types.Object) -> None:
    """Remember for which identity the joints were placed."""
    mesh.data[IDENTITY_PROPERTY] = json.dumps(identity_values(mesh))


def identity_changed(rig: HeadRig) -> bool:
    """Whether the identity keys have other values than when the joints were placed; False where that is not known."""
    text = rig.mesh.data.get(IDENTITY_PROPERTY) if rig.mesh is not None else None
    if not isinstance(text, str):
        return False
    then, now = json.loads(text), identity_values(rig.mesh)
    return any(abs(then.get(name, 0.0) - now.get(name, 0.0)) > 1e-4 for name in {*then, *now})


def identity_values(mesh: bpy.types.Object) -> dict[str, float]:
    """Values of the identity keys that are set."""
    keys = mesh.data.shape_keys
    names = naming.match_identity(key.name for key in keys.key_blocks).values() if keys is not None else ()
    return {name: keys.key_blocks[name].value for name in names if keys.key_blocks[name].value}


def _sums(regressor: np.ndarray) -> list[list[list]]:
    """For each joint [vertices, weights] of those that count."""
    return [[np.flatnonzero(row).tolist(), row[row != 0].tolist()] for row in regressor]
