"""How FLAME's frame lies in an armature's: from what was stored, from the mesh, or from where the joints are."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import bpy
import numpy as np

from ..head.model import JOINTS
from .head_rig import FLAME_TO_BLENDER, JOINTS_PROPERTY, HeadRig
from .points import flame_eyes

# Where FLAME 2023 Open has its joints, metres, to the millimetre: enough to tell front, up and left.
_FLAME_JOINTS = {"jaw": (0.0, -0.016, -0.058), "left_eye": (0.032, 0.023, 0.024), "right_eye": (-0.032, 0.023, 0.024)}
_EXACT = 0.01
"""Largest misfit, as a part of the joints' spread, at which stored joints count as the same joints."""
_SNAP_DEGREES = 30.0
_BODY = 3.0
"""Eye distances below the skull from which there is a body."""
_AHEAD = 0.3
"""How far the eyes lie before the joint of a skull at least, as a part of their distance: in people once or more."""
_EYE_DISTANCE = 0.0634
"""Metres between the eyes of FLAME's template."""
_SAME_UNIT = 1.3
"""Within this factor of FLAME's a head is taken to be in metres: people differ, units differ by more."""


def flame_frame(
    armature: bpy.types.Object, mesh: bpy.types.Object | None, bones: dict[str, str]
) -> tuple[np.ndarray, bool]:
    """((3, 3) rotation from FLAME's frame to the armature's, whether it is only a guess).

    A rig of ours remembers its joints, so that the frame is exact even after the user applied a rotation. On others
    the eyeballs and pupils of a FLAME mesh tell, the places of jaw and eyes, or those of skull and eyes on a rig that
    stands upright; the axis-aligned frame nearby is taken then, since a rig's rest pose faces along an axis, and its
    joints are not quite FLAME's.
    """
    heads = {j: np.array(armature.data.bones[b].head_local, np.float64) for j, b in bones.items()}
    stored = armature.data.get(JOINTS_PROPERTY) if heads else None
    if stored is not None and len(stored) == 3 * len(JOINTS):
        joints = dict(zip(JOINTS, np.reshape(np.array(stored[:], np.float64), (-1, 3)), strict=True))
        common = [j for j in JOINTS if j in heads]
        rotation, misfit = _fit(np.array([joints[j] for j in common]), np.array([heads[j] for j in common]))
        if misfit < _EXACT:
            return rotation, False
    eyes = flame_eyes(armature, mesh) if mesh is not None else None
    if eyes is not None:
        return nearby_axes(_from_eyes(*eyes)), False
    if all(j in heads for j in _FLAME_JOINTS):
        rotation, _ = _fit(np.array(list(_FLAME_JOINTS.values())), np.array([heads[j] for j in _FLAME_JOINTS]))
        return nearby_axes(rotation), False
    upright = _from_skull(armature, bones, heads)
    if upright is not None:
        return nearby_axes(upright), False
    return FLAME_TO_BLENDER.copy(), True


def _from_skull(
    armature: bpy.types.Object, bones: dict[str, str], heads: dict[str, np.ndarray]
) -> np.ndarray | None:
    """The frame of a head whose eyes lie before the joint on which it turns, and above the body or up in the world."""
    if not {"neck", "left_eye", "right_eye"} <= set(heads):
        return None
    across = heads["left_eye"] - heads["right_eye"]
    apart = float(np.linalg.norm(across))
    if not apart:
        return None
    x = across / apart
    up = _above_the_body(armature.data.bones[bones["neck"]], apart)
    if up is None:
        up = np.array(armature.matrix_world.to_3x3().inverted_safe(), np.float64) @ np.array([0.0, 0.0, 1.0])
    upright = up - (up @ x) * x
    if np.linalg.norm(upright) < 0.5 * np.linalg.norm(up) or not up.any():
        return None
    up = _unit(upright)
    ahead = (heads["left_eye"] + heads["right_eye"]) / 2 - heads["neck"]
    z = ahead - (ahead @ x) * x - (ahead @ up) * up
    if np.linalg.norm(z) < _AHEAD * apart:
        return None
    z = _unit(z)
    return np.stack([x, np.cross(z, x), z], 1)


def _above_the_body(skull: bpy.types.Bone, apart: float) -> np.ndarray | None:
    """Where the skull lies as seen from hips or feet, of a rig with a body whose eyes are ``apart``; None without."""
    farthest = np.zeros(3)
    for bone in skull.parent_recursive:
        away = np.array(skull.head_local, np.float64) - np.array(bone.head_local, np.float64)
        farthest = max(farthest, away, key=np.linalg.norm)
    return farthest if np.linalg.norm(farthest) > _BODY * apart else None


def unit_of(rig: HeadRig) -> float:
    """How long a metre of the head is in the armature's frame: by the joints stored with a rig of ours, else by how far
    apart the eyes are."""
    if not rig.has_bones:
        return 1.0
    bones = rig.armature.data.bones
    heads = np.array([bones[rig.bones[j]].head_local for j in JOINTS if j in rig.bones], np.float64)
    stored = rig.armature.data.get(JOINTS_PROPERTY)
    if stored is not None and len(heads) == len(JOINTS) and len(stored) == 3 * len(JOINTS):
        joints = np.reshape(np.array(stored[:], np.float64), (-1, 3))
        return float(np.linalg.norm(heads - heads.mean(0)) / np.linalg.norm(joints - joints.mean(0)))
    if "left_eye" not in rig.bones or "right_eye" not in rig.bones:
        return 1.0
    unit = float(np.linalg.norm(heads[-1] - heads[-2])) / _EYE_DISTANCE
    return 1.0 if 1 / _SAME_UNIT < unit < _SAME_UNIT or not unit else unit


def _from_eyes(centres: np.ndarray, pupils: np.ndarray) -> np.ndarray:
    """The frame whose x runs from the right eyeball to the left one and whose z points where the pupils look."""
    x = _unit(centres[0] - centres[1])
    forward = (pupils - centres).sum(0)
    z = _unit(forward - (forward @ x) * x)
    return np.stack([x, np.cross(z, x), z], 1)


def fit_rotation(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """(rotation, scale, place) that bring ``source`` (N, 3) nearest to ``target``: scale * rotation @ source + place.

    Umeyama 1991; never a reflection.
    """
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * flip) @ vt
    scale = float((s * flip).sum() / max(np.linalg.norm(a) ** 2, 1e-30))
    return rotation, scale, target.mean(0) - scale * rotation @ source.mean(0)


def _fit(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """(rotation that best turns ``source`` (N, 3) to ``target`` up to place and scale, misfit as a part of size)."""
    a, b = source - source.mean(0), target - target.mean(0)
    s = np.linalg.svd(b.T @ a, compute_uv=False)
    size = np.linalg.norm(a) * np.linalg.norm(b)
    if size == 0 or s[1] < 1e-6 * size:  # all in one place or on one line: no rotation fits better than another
        return np.eye(3), np.inf
    rotation, scale, _ = fit_rotation(source, target)
    return rotation, float(np.linalg.norm(b - scale * a @ rotation.T) / np.linalg.norm(b))


def nearby_axes(rotation: np.ndarray, within: float = _SNAP_DEGREES) -> np.ndarray:
    """The axis-aligned rotation near ``rotation``, or ``rotation`` itself where none is within so many degrees."""
    best = max(_AXIS_ALIGNED, key=lambda axes: np.trace(axes.T @ rotation))
    angle = np.degrees(np.arccos(np.clip((np.trace(best.T @ rotation) - 1) / 2, -1, 1)))
    return best.copy() if angle < within else rotation


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _axis_aligned() -> list[np.ndarray]:
    rotations = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.eye(3)[list(order)] * np.array(signs)[:, None]
            if np.linalg.det(matrix) > 0:
                rotations.append(matrix)
    return rotations


_AXIS_ALIGNED = _axis_aligned()
