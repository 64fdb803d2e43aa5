"""Brows, hair and shirt of the stand-in: shells and tubes laid over the skin."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from .model import NECK, ROOT
from .standin_body import Body
from .standin_fields import smoothstep
from .standin_part import Part, materials, one_joint, ride, riding_motions, sheet
from .standin_weights import blend_correctives

HAIR_COLUMNS, HAIR_ROWS = 120, 26
HAIR_CENTRE = np.array([0.0, 30.0, -42.0])

_HAIRLINE = np.array(
    [  # degrees round the head (0 in front, + to the left), elevation seen from HAIR_CENTRE
        (-180, -40), (-140, -34), (-124, -22), (-116, -6), (-108, 7), (-98, 10), (-88, 6), (-82, -2), (-76, -5),
        (-69, 4), (-58, 21), (-45, 27), (-25, 27), (-5, 31), (12, 38), (24, 44), (34, 41), (46, 33), (58, 22), (69, 4),
        (76, -5), (82, -2), (88, 6), (98, 10), (108, 7), (116, -6), (124, -22), (140, -34), (180, -40),
    ],
    float,
)  # fmt: skip
_PARTING = 26.0
"""Degrees to the left at which the hair is parted."""
_LOCK_WIDTH = 19.0
"""Degrees of the flow's phase in a lock."""


def brow_curve(body: Body, share: np.ndarray) -> np.ndarray:
    """(n, 3) points on the skin along the left brow, ``share`` 0 at the inner to 1 at the outer end."""
    x = 10.5 + 38 * share
    y = 46.8 + body.character.brow * 0.3 + 6.0 * np.sin(np.pi * 0.84 * np.minimum(share + 0.07, 1)) - 0.8 * share**2
    return body.skin.front(x, y)


def brow_parts(body: Body) -> list[Part]:
    """Tapered tubes along the brows that ride on the skin."""
    share = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 17))
    centre = brow_curve(body, share)
    normal = body.skin.gradient(centre)
    tangent = np.gradient(centre, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.cross(normal, tangent)
    turn = 2 * np.pi * np.arange(8) / 8
    start = np.sqrt(1 - (1 - np.minimum(share / 0.10, 1)) ** 2)
    width = 3.4 * start * (0.72 + 0.28 * smoothstep(share, 0, 0.35)) * (1 - share**2.4) ** 0.9 + 0.06
    height = 0.50 * width
    tube = (
        centre[:, None]
        + width[:, None, None] * np.cos(turn)[None, :, None] * across[:, None]
        + (height[:, None] * np.sin(turn)[None] + 0.3)[..., None] * normal[:, None]
    )
    points, quads = sheet(tube, around=True)
    on_skin = np.flatnonzero(body.on_skin)
    weights = ride(body, points, on_skin) @ body.weights[on_skin]
    left = Part(
        "left brow", points, quads, materials(len(quads), "brow"), weights, riding_motions(body, points, on_skin)
    )
    return [left, left.mirrored("right brow")]


def hair_part(body: Body) -> Part:
    """A shell over the scalp, sculpted into locks that are swept from a parting to the sides and end in points."""
    turn = 2 * np.pi * np.arange(HAIR_COLUMNS) / HAIR_COLUMNS
    degrees = (np.degrees(turn) + 180) % 360 - 180
    low = sum(w * np.interp(degrees + o, *_HAIRLINE.T) for o, w in ((-4, 0.25), (0, 0.5), (4, 0.25)))
    by_ear = np.exp(-(((np.abs(degrees) - 92) / 16) ** 2))  # round the ears the line stays clean
    low = low - 6.0 * (1 - 0.8 * by_ear) * (_lock(degrees, low) - 0.45)
    down = np.minimum(1, ((np.arange(HAIR_ROWS) + 0.02) / (HAIR_ROWS - 3)) ** 0.9)
    elevation = np.pi / 2 - (np.pi / 2 - np.radians(low))[None] * down[:, None]
    direction = np.stack(
        [np.cos(elevation) * np.sin(turn), np.sin(elevation), np.cos(elevation) * np.cos(turn)], 2
    ).reshape(-1, 3)
    scalp = body.skin.cast(HAIR_CENTRE + 190 * direction, -direction, 120)
    thickness = _hair_thickness(np.broadcast_to(degrees, elevation.shape), elevation).ravel()
    points, quads = sheet((scalp + thickness[:, None] * direction).reshape(HAIR_ROWS, HAIR_COLUMNS, 3), around=True)
    return Part("hair", points, quads[:, ::-1], materials(len(quads), "hair"), one_joint(len(points), "neck"))


def _lock(degrees: np.ndarray, up: np.ndarray) -> np.ndarray:
    """0 in the furrows between two locks to 1 on their ridges, at ``degrees`` round the head and elevation ``up``.

    A lock is where the phase of the flow is constant: near the parting it runs aslant over the forehead, farther round
    straight down.
    """
    away = np.where(degrees < _PARTING, _PARTING - degrees, degrees - _PARTING)
    away = np.minimum(away, 360 - away)
    aslant = 1 - smoothstep(away, 35, 110)
    phase = 0.9 * away + up * aslant + 5 * np.sin(np.radians(2.3 * away + 40))
    return (np.sin(np.pi * phase / _LOCK_WIDTH) ** 2 + 0.03) ** 0.35  # the 0.03 rounds the furrows off


def _hair_thickness(degrees: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """(rows, columns) mm of hair over the scalp; the last rows turn in under the edge."""
    up = np.degrees(elevation)
    rows = np.arange(HAIR_ROWS)[:, None]
    fringe = 8 * np.exp(-(((degrees + 22) / 40) ** 2) - ((up - 46) / 24) ** 2)
    parting = 4.5 * np.exp(-(((degrees - _PARTING) / 9) ** 2)) * smoothstep(up, 85, 50)
    volume = 5 + 3 * smoothstep(up, 0, 30) + 5 * smoothstep(np.sin(elevation), 0.3, 1.0) + fringe - parting
    relief = (
        4.0
        * (_lock(degrees, up) - 0.7)
        * smoothstep(np.abs(degrees - _PARTING), 4, 16)
        * smoothstep(rows, 2, HAIR_ROWS // 2)
    )
    inwards = HAIR_ROWS - 1 - rows
    edge = np.interp(inwards, [0, 1, 2, 3, 5], [-0.3, 0.4, 0.8, 0.95, 1])
    return (volume + relief) * edge


def shirt_part(body: Body) -> Part:
    """A shirt with a round collar over neck and shoulders; it moves as the skin beneath it does."""
    columns = 48
    turn = 2 * np.pi * np.arange(columns) / columns
    rows = (  # height of the ring in front and behind, distance from the skin (mm)
        (-126, -106, 0.5), (-123.5, -103.5, 1.4), (-123, -103, 3.2), (-125, -105, 4.4), (-129, -110, 4.2),
        (-131, -112, 3.0), (-138, -121, 3.2), (-150, -137, 3.6), (-167, -160, 4.0), (-186, -186, 4.2),
    )  # fmt: skip
    rings = []
    for front, back, out in rows:
        y = back + (front - back) * (0.5 + 0.5 * np.cos(turn)) ** 1.3
        centre = np.stack([0 * y, y, np.full(columns, -57.0)], 1)
        direction = np.stack([np.sin(turn), 0 * turn, np.cos(turn)], 1)
        on_skin = body.skin.cast(centre + 190 * direction, -direction, 120)
        normal = body.skin.gradient(on_skin)
        normal[:, 1] = np.clip(normal[:, 1], 0, 1)
        rings.append(on_skin + out * normal)
    points, quads = sheet(np.stack(rings), around=True)
    on_skin = np.flatnonzero(body.on_skin)
    weights = ride(body, points, on_skin) @ body.weights[on_skin]
    correctives = np.zeros((len(points), 3, 36))
    correctives[:, :, :9] = blend_correctives(points, 1 - weights[:, ROOT], body.character.joints[NECK])
    return Part("shirt", points, quads[:, ::-1], materials(len(quads), "shirt"), weights, pose_basis=correctives)
