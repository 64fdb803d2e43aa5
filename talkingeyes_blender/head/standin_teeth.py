"""Teeth and tongue of the stand-in."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from .standin_body import Body
from .standin_character import MATERIAL
from .standin_fields import smoothstep
from .standin_part import Part, materials, one_joint, sheet

TEETH = 10
"""Teeth in a row: so many that an open mouth never shows where it ends."""
POINTS_PER_TOOTH = 6

_ARCH_DEGREES, _ARCH_POWER = 78, 2.3
"""How far round its superellipse a row goes to each side, and that curve's exponent (2 is an ellipse)."""

_PROFILE = (  # from the gum down the front, over the edge and up the back: share of the height, outwards (mm)
    (0.00, -2.6), (0.50, 0.2), (0.85, 0.3), (1.00, -0.7), (1.00, -2.2), (0.85, -3.4), (0.40, -4.0), (0.00, -4.0),
)  # fmt: skip
_SHADE = (0.8, 1.0, 1.0, 1.0, 0.85, 0.72, 0.62, 0.6)
"""Painted light at each point of the profile."""
_GUM_FACES = (0, 6, 7)
"""Faces round the profile that are gum, not tooth."""

TONGUE_RINGS, TONGUE_POINTS = 14, 14

_TIP_RISE = 3.5
"""How much higher than its root the resting tongue's tip lies, mm: it is seen in an open mouth."""


def mouth_parts(body: Body) -> list[Part]:
    character = body.character
    line = character.mouth_height
    front = body.skin.front(np.array([0.0]), np.array([line]))[0, 2]
    upper = _teeth_row(21.8, 43.0, front - 7.5, line + 8.5, line - 2.4, 1.0, "neck")
    lower = _teeth_row(19.8, 40.0, front - 12.0, line - 10.0, line - 0.4, -4.5, "jaw")
    parts = [upper, lower, _tongue(front, line)]
    for part in parts[1:]:
        forward = body.motions.get("jawForward")
        if forward is not None:
            part.motions["jawForward"] = np.broadcast_to(forward[np.argmax(forward[:, 2])], part.points.shape).copy()
    return parts


def _teeth_row(width, depth, front, gum, edge, rise, joint) -> Part:
    """One row on an arch ``width`` by ``depth`` mm, from ``gum`` to ``edge`` (y), notched between the teeth.

    The arch is a superellipse, flatter in front and straighter at the sides than an ellipse; equal steps of its angle
    make narrow incisors and broad molars.
    """
    across = np.linspace(-1, 1, TEETH * POINTS_PER_TOOTH + 1)
    between = (np.abs(((across + 1) / 2 * TEETH) % 1 - 0.5) * 2) ** 8  # 1 between two teeth, 0 in their middles
    angle = across * np.radians(_ARCH_DEGREES)
    sine, cosine = np.sign(across) * np.abs(np.sin(angle)) ** (2 / _ARCH_POWER), np.cos(angle) ** (2 / _ARCH_POWER)
    x, z = width * sine, front - depth * (1 - cosine)
    normal = np.stack(
        [np.sign(sine) * np.abs(sine) ** (_ARCH_POWER - 1) / width, cosine ** (_ARCH_POWER - 1) / depth], 1
    )
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    upwards = np.sign(gum - edge)
    tip = edge + upwards * 0.6 * between + rise * np.abs(across) ** 3
    rows = []
    for share, out in _PROFILE:
        offset = out - 0.5 * between * (out > -1)
        rows.append(np.stack([x + normal[:, 0] * offset, gum + (tip - gum) * share, z + normal[:, 1] * offset], 1))
    points, quads = sheet(np.stack(rows, 1), around=True)
    face = np.tile(np.arange(len(_PROFILE)), len(across) - 1)
    face_material = np.where(np.isin(face, _GUM_FACES), MATERIAL["tongue"], MATERIAL["teeth"])
    quads = quads[:, ::-1] if upwards < 0 else quads
    gaps = 1 - 0.30 * np.repeat(between, len(_PROFILE))[:, None] * np.array([0.8, 1.0, 1.1])  # shade between the teeth
    behind = smoothstep(front - points[:, 2:], 1.0, 13.0)  # less light comes to the molars and to the row's back
    back_of_row = np.tile(_SHADE, len(across))[:, None]
    tint = gaps * back_of_row * (1 - behind * [0.60, 0.70, 0.72])
    return Part(f"{joint} teeth", points, quads, face_material, one_joint(len(points), joint), tint=tint)


def _tongue(front: float, line: float) -> Part:
    """A flattened body that lies between the lower teeth, with a groove; tongueOut stretches it over the lower lip."""
    along = np.linspace(0, np.pi, TONGUE_RINGS)
    turn = 2 * np.pi * np.arange(TONGUE_POINTS) / TONGUE_POINTS
    size = np.sin(along)[:, None] ** 0.7
    groove = 1.6 * np.exp(-((np.cos(turn) * 3) ** 2)) * (np.sin(turn) > 0)
    x = 13.0 * size * np.cos(turn)
    rise = _TIP_RISE * smoothstep(np.cos(along), -0.2, 1.0)[:, None]
    y = line - 7.5 + rise + size * (4.6 * np.sin(turn) - groove)
    z = np.broadcast_to(front - 32 + 19 * np.cos(along)[:, None], x.shape)
    points, quads = sheet(np.stack([x, y, z], 2), around=True)
    quads = quads[:, ::-1]
    out = _tongue_out(points, front)
    return Part(
        "tongue", points, quads, materials(len(quads), "tongue"), one_joint(len(points), "jaw"), {"tongueOut": out}
    )


def _tongue_out(points: np.ndarray, front: float) -> np.ndarray:
    """(n, 3) the tongue's front half comes forward, flatter, over lower teeth and lip, with its tip down.

    It is made for an open mouth: the lower lip's rim lies 4 mm under the lifted tongue's middle.
    """
    share = np.clip((points[:, 2] - (front - 46)) / 33, 0, 1)
    tip = np.clip((share - 0.78) / 0.22, 0, 1)
    rest = _TIP_RISE * smoothstep((points[:, 2] - (front - 32)) / 19, -0.2, 1.0)
    lift = 12.0 * smoothstep(share, 0.05, 0.52) - 5.5 * tip**2 - rest
    thickness = points[:, 1] - rest - (points[:, 1] - rest).mean()
    return np.stack([-0.22 * points[:, 0] * share, lift - 0.35 * thickness * share, 29.0 * share**1.2], 1)
