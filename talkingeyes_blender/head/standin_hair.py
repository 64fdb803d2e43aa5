"""Brows, hair and shirt of the stand-in: shells and tubes laid over the skin."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from .standin_body import Body
from .standin_fields import smoothstep
from .standin_part import Part, materials, one_joint, ride, riding_motions, sheet

HAIR_COLUMNS, HAIR_ROWS = 56, 16
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


def brow_curve(body: Body, share: np.ndarray) -> np.ndarray:
    """(n, 3) points on the skin along the left brow, ``share`` 0 at the inner to 1 at the outer end."""
    x = 10.5 + 38 * share
    y = 48.0 + body.character.brow * 0.3 + 6.0 * np.sin(np.pi * 0.84 * np.minimum(share + 0.07, 1)) - 0.8 * share**2
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
    start = np.sqrt(1 - (1 - np.minimum(share / 0.16, 1)) ** 2)
    width = 3.6 * start * (1 - share**2) ** 0.9 + 0.06
    height = 0.55 * width
    tube = (
        centre[:, None]
        + width[:, None, None] * np.cos(turn)[None, :, None] * across[:, None]
        + (height[:, None] * np.sin(turn)[None] + 0.3)[..., None] * normal[:, None]
    )
    points, quads = sheet(tube, around=True)
    on_skin = np.flatnonzero(body.on_skin)
    weights = ride(body, points, on_skin) @ body.weights[on_skin]
    left = Part("left brow", points, quads[:, ::-1], materials(len(quads), "brow"), weights, riding_motions(body, points, on_skin))
    return [left, left.mirrored("right brow")]


def hair_part(body: Body) -> Part:
    """A shell over the scalp with a hairline, a parting and a swept fringe."""
    turn = 2 * np.pi * np.arange(HAIR_COLUMNS) / HAIR_COLUMNS
    degrees = (np.degrees(turn) + 180) % 360 - 180
    low = sum(w * np.interp(degrees + o, *_HAIRLINE.T) for o, w in ((-4, 0.25), (0, 0.5), (4, 0.25)))
    down = np.minimum(1, ((np.arange(HAIR_ROWS) + 0.02) / (HAIR_ROWS - 3)) ** 0.9)
    elevation = np.pi / 2 - (np.pi / 2 - np.radians(low))[None] * down[:, None]
    direction = np.stack(
        [np.cos(elevation) * np.sin(turn), np.sin(elevation), np.cos(elevation) * np.cos(turn)], 2
    ).reshape(-1, 3)
    scalp = body.skin.cast(HAIR_CENTRE + 190 * direction, -direction, 120)
    thickness = _hair_thickness(np.broadcast_to(degrees, elevation.shape), elevation).ravel()
    points, quads = sheet((scalp + thickness[:, None] * direction).reshape(HAIR_ROWS, HAIR_COLUMNS, 3), around=True)
    return Part("hair", points, quads[:, ::-1], materials(len(quads), "hair"), one_joint(len(points), "neck"))


def _hair_thickness(degrees: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """(rows, columns) mm of hair over the scalp; the last rows turn in under the edge."""
    up = np.degrees(elevation)
    fringe = 7 * np.exp(-(((degrees + 22) / 38) ** 2) - ((up - 46) / 24) ** 2)
    parting = 4.5 * np.exp(-(((degrees - _PARTING) / 9) ** 2)) * smoothstep(up, 85, 50)
    volume = 4 + 3 * smoothstep(up, 0, 30) + 4 * smoothstep(np.sin(elevation), 0.3, 1.0) + fringe - parting
    strands = np.sin(13 * np.radians(degrees) + 2.2 * np.sin(2 * elevation) + 1.0)
    rows = np.arange(HAIR_ROWS)[:, None]
    edge = np.interp(rows, [HAIR_ROWS - 6, HAIR_ROWS - 4, HAIR_ROWS - 3, HAIR_ROWS - 2, HAIR_ROWS - 1], [1, 0.95, 0.8, 0.4, -0.3])
    return volume * (1 + 0.07 * strands * smoothstep(rows, 1, 6)) * edge


def shirt_part(body: Body) -> Part:
    """A shirt with a round collar over neck and shoulders; it moves as the skin beneath it does."""
    columns = 48
    turn = 2 * np.pi * np.arange(columns) / columns
    rows = (  # height of the ring in front and behind, distance from the skin (mm)
        (-134, -116, 0.5), (-131.5, -113.5, 1.4), (-131, -113, 3.2), (-133, -115, 4.4), (-137, -120, 4.2),
        (-139, -122, 3.0), (-146, -130, 3.2), (-156, -144, 3.6), (-170, -164, 4.0), (-186, -186, 4.2),
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
    return Part("shirt", points, quads[:, ::-1], materials(len(quads), "shirt"), weights)
