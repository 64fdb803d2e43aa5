"""Skin weights of the stand-in, and the pose correctives that undo what linear blending loses."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from .model import JAW, NECK, ROOT
from .standin_cage import BEHIND_LIPS, EAR, EYE, MOUTH, NOSTRIL, Cage
from .standin_fields import HARMONIC, FieldSolver, Handles, smoothstep

NECK_BOTTOM, NECK_TOP = -150.0, -82.0
"""Heights (mm) between which the skin's weight runs from the root to the neck joint."""

_ANGLES = 2 * np.pi * np.arange(MOUTH.points) / MOUTH.points
_SINE = np.sin(_ANGLES)

LIP_JAW = 0.5 - 0.5 * np.sign(_SINE) * np.abs(_SINE) ** 1.05
"""(24,) the jaw's share of each point of the lips: 0 in the upper lip, 1 in the lower, half in the corners."""

CAVITY_JAW = smoothstep(-_SINE, -0.3, 0.45)
"""The same inside the mouth: the floor goes with the jaw, the roof does not."""


def cage_weights(cage: Cage, places: np.ndarray, solver: FieldSolver) -> np.ndarray:
    """(N, 5) weights to root, neck, jaw and the two eyes (which move no skin)."""
    jaw = _jaw_weights(cage, solver)
    root = 1 - smoothstep(places[:, 1], NECK_BOTTOM, NECK_TOP)
    weights = np.zeros((len(cage), 5))
    weights[:, ROOT], weights[:, JAW] = root, jaw * (1 - root)
    weights[:, NECK] = 1 - weights.sum(1)
    return weights


def _jaw_weights(cage: Cage, solver: FieldSolver) -> np.ndarray:
    """(N,) harmonic between the lower lip and chin (1) and everything that stays with the skull (0)."""
    handles = Handles()
    rings = cage.rings[MOUTH.name, 1]
    for ring in range(2, MOUTH.rings):
        if ring <= BEHIND_LIPS:
            share = LIP_JAW
        elif ring == BEHIND_LIPS + 1:
            share = 0.5 * (LIP_JAW + CAVITY_JAW)
        elif ring < MOUTH.rings - 1:
            share = CAVITY_JAW
        else:
            share = 0.5 + 0.8 * (CAVITY_JAW - 0.5)
        handles.add(rings[ring], share)
    for patch in (EYE, EAR, NOSTRIL):
        for side in patch.sides:
            handles.hold(cage.rings[patch.name, side][1:])
            if patch.capped:
                handles.hold(cage.cap(patch, side))
    handles.hold(cage.select(lambda row, column: row <= 14 or row >= 27 or column >= 16))
    handles.hold(cage.select(lambda row, column: row in (15, 16) and column <= 4))
    handles.add(cage.select(lambda row, column: row in (22, 23, 24) and column <= 6), 1.0)
    return np.clip(solver.spread(handles, HARMONIC), 0, 1)


def pose_feature(rotation: np.ndarray) -> np.ndarray:
    """(9,) FLAME's pose feature of one joint: (R - I) row by row."""
    return (rotation - np.eye(3)).ravel()


def turn_about_x(degrees: float) -> np.ndarray:
    """(3, 3) rotation that opens the jaw, or nods the head, by ``degrees``."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def blend_correctives(points: np.ndarray, share: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """(V, 3, 9) correctives that make linear blending turn points instead of pulling them through the joint.

    A point that follows a joint by ``share`` w should turn by w times its angle. To second order in the angle, linear
    blending falls short of that by w(1 - w) (I - S)(p - joint), S being the symmetric part of the rotation R: it loses
    volume where w is near a half. That is linear in R - I, so the pose basis can give it back, exactly to that order.
    """
    loss = (share * (1 - share))[:, None] * (points - joint)
    basis = np.zeros((len(points), 3, 3, 3))
    for i in range(3):
        for j in range(3):
            basis[:, i, i, j] -= 0.5 * loss[:, j]
            basis[:, i, j, i] -= 0.5 * loss[:, j]
    return basis.reshape(len(points), 3, 9)


def sculpted_jaw_corrective(displacement: np.ndarray, degrees: float) -> np.ndarray:
    """(V, 3, 9) basis that adds ``displacement`` (V, 3) when the jaw is open by ``degrees``, in proportion to the sine.

    It rides on the two entries of R - I that hold the sine of a turn about X, in equal parts.
    """
    basis = np.zeros((*displacement.shape, 9))
    half = displacement / (2 * np.sin(np.radians(degrees)))
    basis[..., 5], basis[..., 7] = -half, half
    return basis


def jaw_corrective_at(basis: np.ndarray, degrees: float) -> np.ndarray:
    """(V, 3) what the jaw's nine columns ``basis`` (V, 3, 9) add at a pure opening."""
    return basis @ pose_feature(turn_about_x(degrees))


def open_jaw(
    points: np.ndarray, share: np.ndarray, joint: np.ndarray, degrees: float, undo: bool = False
) -> np.ndarray:
    """Linear blend skinning of ``points`` (V, 3) by the jaw alone, or with ``undo`` its inverse."""
    blend = np.eye(3) + share[:, None, None] * (turn_about_x(degrees) - np.eye(3))
    offset = points - joint
    if undo:
        return joint + np.linalg.solve(blend, offset[..., None])[..., 0]
    return joint + np.einsum("vij,vj->vi", blend, offset)
