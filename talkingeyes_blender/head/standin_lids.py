"""Lids of the stand-in in the spherical coordinates of its eyeball: where they rest, and how they turn about it.

A point near an eye is (azimuth, elevation, radius): degrees towards the temple, degrees up, millimetres from the
eyeball's centre. A lid that keeps its radius slides over the eyeball; a shape key moves on the chord instead of the arc
and so comes nearest to the eyeball half-way, which the clearances below leave room for.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from .standin_cage import EYE, LID_MARGIN, Cage
from .standin_character import LEFT, MIRROR, Character

CORNEA = 0.4
"""How far the cornea stands out of the eyeball's sphere, mm."""

MARGIN_CLEARANCE = 1.5
"""Distance of the lid's inner edge from the eyeball's sphere at rest, mm: the chord of a blink dips by 0.9."""

SHUT_CLEARANCE = 2.1
"""The same when shut; larger, because the chord's dip counts from the mean of both ends."""

LID_GAP = 0.5
"""Half the elevation left between shut lids, degrees (0.15 mm), so that they touch without crossing."""

TEAR_DUCT = 4.0, 2.0
"""How far the inner corner is drawn towards the nose and down, degrees."""

_ANGLES = 2 * np.pi * np.arange(EYE.points) / EYE.points
SINE, COSINE = np.sin(_ANGLES), np.cos(_ANGLES)
UPPER, LOWER = SINE > 0.01, SINE < -0.01
BULGE = np.abs(SINE) ** 1.2
"""Profile of a lid's margin from corner (0) to middle (1): between an ellipse (power 1) and a pointed lens (2)."""


def to_sphere(character: Character, points: np.ndarray, side: int = LEFT) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(azimuth, elevation, radius) of ``points`` (N, 3) about the eyeball on ``side``."""
    offset = points * (MIRROR if side < 0 else 1.0) - character.eye_centre
    radius = np.linalg.norm(offset, axis=1)
    return np.degrees(np.arctan2(offset[:, 0], offset[:, 2])), np.degrees(np.arcsin(offset[:, 1] / radius)), radius


def from_sphere(character: Character, azimuth, elevation, radius, side: int = LEFT) -> np.ndarray:
    """Points (N, 3) at spherical coordinates about the eyeball on ``side``."""
    a, e = np.radians(np.broadcast_arrays(azimuth, elevation))
    ray = np.stack([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], -1)
    points = character.eye_centre + np.asarray(radius, float)[..., None] * ray
    return points * (MIRROR if side < 0 else 1.0)


def almond(character: Character, width: float, upper, lower) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth and elevation of an almond-shaped loop; ``width`` in units of the slit's, the lids in degrees.

    The upper lid peaks a little towards the nose and the lower one towards the temple, which gives the eye a direction.
    """
    azimuth = -1 + character.lid_width * width * COSINE
    skew = 1 + COSINE * np.where(LOWER, 0.10, np.where(UPPER, -0.07, 0.0))
    rise = np.where(SINE > 0, upper, -np.asarray(lower, float)) * BULGE * skew
    duct = np.clip(-COSINE, 0, 1) ** 12  # the tear duct draws the inner corner inwards and down
    return azimuth - TEAR_DUCT[0] * duct, character.lid_tilt * COSINE + rise - TEAR_DUCT[1] * duct


def rest_rings(character: Character, skin) -> list[np.ndarray]:
    """Positions of the left eye's eight rings, from the rim of the hole to the fold behind the lids."""
    cx, cy, _ = character.eye_centre
    over = np.clip(SINE, 0, 1)
    rings = [
        skin.front(cx + 0.8 + 23.5 * COSINE, cy + 1.0 + 22.0 * SINE + 1.5 * COSINE),
        skin.front(cx + 0.4 + 20.2 * COSINE, cy + 0.8 + 17.8 * SINE + 1.2 * COSINE),
    ]
    rings[1][:, 2] += 1.3 * over
    up, low = character.upper_lid, character.lower_lid
    spec = (  # width, upper, lower (degrees), distance from the eyeball (mm)
        (1.13, up + 15 - over, low + 13, 2.2 - 1.1 * over),  # the crease over the upper lid
        (1.07, up + 8, low + 6, 2.9 + 0.4 * over),
        (1.01, up + 0.5, low + 0.5, np.full(EYE.points, 3.0)),
        (0.985, up, low, np.full(EYE.points, MARGIN_CLEARANCE)),
        (1.04, up + 12, low + 12, np.full(EYE.points, MARGIN_CLEARANCE)),
        (1.20, up + 34, low + 34, np.full(EYE.points, 0.9)),
    )
    for width, upper, lower, distance in spec:
        azimuth, elevation = almond(character, width, upper, lower)
        rings.append(from_sphere(character, azimuth, elevation, character.eye_radius + distance))
    return rings


RING_SHARE = (0.0, 0.06, 0.42, 0.86, 1.0, 1.0, 1.0, 0.6)
"""How much of the margin's turn each ring takes part in, from the socket's rim inwards."""

RING_SWELL = (0.0, 0.0, 0.5, 0.5, 0.6, 0.6, 0.6, 0.3)
"""How much farther from the eyeball each ring goes as the lids shut, mm at the margin's full turn."""


def turn_lids(cage: Cage, places: np.ndarray, character: Character, target, swell: float) -> np.ndarray:
    """Displacement (N, 3) of the cage when the left lids' margins turn to ``target`` (24,) degrees of elevation."""
    rings = cage.rings[EYE.name, LEFT]
    out = np.zeros_like(places)
    _, margin, _ = to_sphere(character, places[rings[LID_MARGIN]])
    turn = np.where(UPPER | LOWER, target - margin, 0.0)
    for ring in range(1, EYE.rings):
        here = places[rings[ring]]
        azimuth, elevation, radius = to_sphere(character, here)
        radius = radius + RING_SWELL[ring] * swell * (UPPER | LOWER)
        out[rings[ring]] = from_sphere(character, azimuth, elevation + turn * RING_SHARE[ring], radius) - here
    return out


def margin_at_rest(cage: Cage, places: np.ndarray, character: Character) -> np.ndarray:
    """(24,) elevation of the left lids' margin, degrees."""
    return to_sphere(character, places[cage.rings[EYE.name, LEFT][LID_MARGIN]])[1]


def shut(cage: Cage, places: np.ndarray, character: Character) -> np.ndarray:
    """Left lids closed: both margins at the line where they meet."""
    line = character.lid_tilt * COSINE + character.lid_meeting * BULGE
    return turn_lids(cage, places, character, line + np.where(UPPER, LID_GAP, -LID_GAP), swell=1.0)


def wide(cage: Cage, places: np.ndarray, character: Character) -> np.ndarray:
    """Left lids opened by surprise: the upper one most."""
    rest = margin_at_rest(cage, places, character)
    return turn_lids(cage, places, character, rest + np.where(UPPER, 10.0, -2.5) * np.abs(SINE), swell=0.0)


def squint(cage: Cage, places: np.ndarray, character: Character) -> np.ndarray:
    """Left lids narrowed, the lower one most, as when one smiles or looks into light."""
    rest = margin_at_rest(cage, places, character)
    return turn_lids(cage, places, character, rest + np.where(UPPER, -5.0, 11.0) * np.abs(SINE), swell=0.3)


def follow(cage: Cage, places: np.ndarray, character: Character) -> np.ndarray:
    """Left lids as the eye looks down by 25 degrees: the upper lid goes with it, the lower one a quarter as far.

    The swell keeps the key usable backwards: at -0.8 (looking up) it brings the lid nearer to the eyeball, which undoes
    the tangent's drift away from it.
    """
    rest = margin_at_rest(cage, places, character)
    return turn_lids(cage, places, character, rest + np.where(UPPER, -21.0, -6.0) * np.abs(SINE) ** 0.9, swell=0.8)
