"""What FLAME's files leave unsaid about its one topology: landmarks, lids, and which faces are eyes and lips."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np

from .landmarks import (
    FLAME_EYEBALLS,
    FLAME_FACE,
    FLAME_LIDS,
    FLAME_PUPILS,
    FLAME_VERTICES,
    FLAME_WITH_TEETH,
    INNER_LIP,
    OUTER_LIP,
)
from .lids import eyeball, lid_shapes
from .model import LEFT_EYE, RIGHT_EYE, HeadModel, Material

MATERIALS = (
    Material("skin", (0.60, 0.33, 0.23), roughness=0.55, subsurface=0.2),
    Material("lips", (0.47, 0.17, 0.14), roughness=0.42, subsurface=0.2),
    Material("sclera", (0.86, 0.84, 0.81), roughness=0.2),
    Material("iris", (0.10, 0.24, 0.38), roughness=0.15),
    Material("pupil", (0.004, 0.004, 0.005), roughness=0.1),
    Material("teeth", (0.82, 0.78, 0.68), roughness=0.25),
)
SKIN, LIPS, SCLERA, IRIS, PUPIL, TEETH = range(len(MATERIALS))

# Angles from the pupil's middle as seen from the eyeball's centre, each between two of FLAME's rings of vertices, which
# lie at 7.3, 14.5, 21.3, 27.3 and 33.5 degrees. An iris of 12 mm ends near 27 degrees; the pupil is a wide one.
_PUPIL_ANGLE = np.radians(18.0)
_IRIS_ANGLE = np.radians(30.0)


def has_topology(head: HeadModel) -> bool:
    """Whether the mesh is FLAME's: its number of vertices, and eyeballs and lids where FLAME has them."""
    if len(head.vertices) not in (FLAME_VERTICES, FLAME_WITH_TEETH):
        return False
    for side, joint, pupil in zip(("left", "right"), (LEFT_EYE, RIGHT_EYE), FLAME_PUPILS, strict=True):
        centre, radius, indices = eyeball(head, joint)
        expected = np.arange(FLAME_VERTICES)[FLAME_EYEBALLS[side]]
        if not np.array_equal(indices, expected) or not 0.006 < radius < 0.03:
            return False
        distances = np.linalg.norm(head.vertices[indices] - centre, axis=1)
        if distances.min() < 0.8 * radius or (head.vertices[pupil] - centre)[2] < 0.7 * radius:
            return False
        margin = np.linalg.norm(head.vertices[FLAME_LIDS[side]] - centre, axis=1)
        if margin.min() < 0.9 * radius or margin.max() > 2 * radius:
            return False
    return True


def completed(head: HeadModel) -> HeadModel:
    """The head with the landmarks, lids and materials of FLAME's topology wherever it has none of its own."""
    landmarks = {
        "face": FLAME_FACE,
        "pupils": FLAME_PUPILS,
        "left_lids": FLAME_LIDS["left"],
        "right_lids": FLAME_LIDS["right"],
        **head.landmarks,
    }
    head = dataclasses.replace(head, landmarks=landmarks)
    changes: dict = {}
    if head.lids is None or head.lid_follow is None:
        lids, follow = lid_shapes(head)
        changes["lids"] = lids if head.lids is None else head.lids
        changes["lid_follow"] = follow if head.lid_follow is None else head.lid_follow
    if head.face_material is None:
        changes["face_material"], changes["materials"] = face_materials(head), MATERIALS
    return dataclasses.replace(head, **changes)


def face_materials(head: HeadModel) -> np.ndarray:
    """(F,) index into ``MATERIALS``: eyes by vertex and by angle from the pupil, lips by their landmarks."""
    corners = np.where(head.faces >= 0, head.faces, head.faces[:, :1])
    middles = np.where((head.faces >= 0)[..., None], head.vertices[corners], 0).sum(1)
    middles /= (head.faces >= 0).sum(1)[:, None]
    material = np.full(len(head.faces), SKIN, np.int32)
    material[_lips(head, middles)] = LIPS
    material[(head.faces[:, :3] >= FLAME_VERTICES).all(1)] = TEETH
    for joint, pupil in ((LEFT_EYE, FLAME_PUPILS[0]), (RIGHT_EYE, FLAME_PUPILS[1])):
        centre, _, indices = eyeball(head, joint)
        faces = np.flatnonzero(np.isin(head.faces[:, :3], indices).all(1))
        directions = head.vertices[head.faces[faces, :3]] - centre
        axis = head.vertices[pupil] - centre
        cosine = directions @ axis / np.linalg.norm(directions, axis=-1) / np.linalg.norm(axis)
        # By the outermost corner, so that the rims follow the rings.
        outer = cosine.min(1)
        material[faces] = np.select([outer > np.cos(_PUPIL_ANGLE), outer > np.cos(_IRIS_ANGLE)], [PUPIL, IRIS], SCLERA)
    return material


def _lips(head: HeadModel, middles: np.ndarray) -> np.ndarray:
    """(F,) whether a face lies, seen from the front, between the lips' outline and their line, and not behind them."""
    face = head.landmarks["face"]
    outline = head.vertices[face[OUTER_LIP]]
    inner = head.vertices[face[INNER_LIP]]
    depth = np.ptp(outline[:, 2])
    front = middles[:, 2] > inner[:, 2].min() - 0.25 * depth
    return _inside(middles[:, :2], _rounded(outline[:, :2])) & front


def _rounded(polygon: np.ndarray, times: int = 3) -> np.ndarray:
    """Chaikin's corner cutting on a closed polygon (K, 2), kept through the middles of its sides."""
    for _ in range(times):
        following = np.roll(polygon, -1, 0)
        polygon = np.stack([0.75 * polygon + 0.25 * following, 0.25 * polygon + 0.75 * following], 1).reshape(-1, 2)
    return polygon


def _inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """(N,) whether points (N, 2) lie in a closed polygon (K, 2): a ray crosses its sides an odd number of times."""
    a, b = polygon, np.roll(polygon, -1, 0)
    x, y = points[:, :1], points[:, 1:]
    rise = np.where(b[:, 1] == a[:, 1], 1e-12, b[:, 1] - a[:, 1])
    crosses = ((a[:, 1] > y) != (b[:, 1] > y)) & (x < a[:, 0] + (y - a[:, 1]) / rise * (b[:, 0] - a[:, 0]))
    return crosses.sum(1) % 2 == 1
