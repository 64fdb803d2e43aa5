"""Positions of the stand-in's control cage: rings placed by formula, the rest of the grid relaxed on the skin."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from . import standin_lids
from .standin_cage import EAR, EYE, HALF_COLUMNS, MOUTH, NOSTRIL, ROWS, Cage
from .standin_character import LEFT, MIRROR, RIGHT, Character
from .standin_ear import ear_rings
from .standin_surface import Skin

RELAXATIONS = 60
"""Rounds of smoothing along the grid; after about 50 nothing moves by more than 0.1 mm."""

FURTHER_RELAXATIONS = 12
"""The same for a character that starts from the finished cage of another."""

_OUTLINE = np.array(
    [  # row, then y z in front | y x z at the side | y z at the back: a rough tube from the crown to the shoulders
        (1, 127, -32, 126, 20, -46, 125, -62),
        (3, 113, 10, 108, 55, -47, 103, -102),
        (5, 87, 36, 80, 70, -48, 74, -130),
        (7, 60, 46, 54, 72, -48, 44, -133),
        (8, 47, 48, 42, 72, -48, 32, -132),
        (12, 2, 54, 2, 69, -46, -14, -118),
        (13, -3, 55, -4, 68, -45, -20, -114),
        (14, -8, 56, -10, 67, -44, -26, -110),
        (15, -12.5, 58, -17, 65, -43, -33, -106),
        (16, -16.5, 56, -22, 62, -42, -37, -104),
        (17, -20, 54, -26, 60, -41, -44, -100),
        (21, -56, 48, -41, 54, -38, -60, -92),
        (22, -62, 48, -45, 52, -38, -64, -91),
        (23, -68, 46, -49, 50, -39, -68, -90),
        (24, -73, 36, -54, 48, -40, -74, -90),
        (25, -75, 18, -63, 46, -42, -84, -90),
        (26, -79, 0, -74, 43, -46, -96, -90),
        (27, -92, -14, -90, 41, -50, -110, -91),
        (28, -114, -20, -114, 46, -56, -127, -95),
        (29, -136, -18, -139, 68, -60, -147, -101),
        (30, -160, -12, -160, 94, -61, -164, -106),
        (31, -184, -12, -184, 106, -61, -184, -107),
    ],
    float,
)

_COLUMN_ANGLES = {  # row: (column, degrees round the head): denser at the eyes above, beside the mouth below
    8: [(0, 0), (3, 9), (11, 50), (13, 70), (16, 104), (20, 180)],
    16: [(0, 0), (4, 30), (11, 58), (13, 72), (16, 104), (20, 180)],
    21: [(0, 0), (4, 36), (11, 66), (13, 76), (16, 104), (20, 180)],
    25: [(0, 0), (4, 26), (11, 66), (13, 80), (16, 106), (20, 180)],
}

_NOSE_COLUMN = 3.5
"""Distance of the nose's columns, mm."""

_WING = {  # (row, column): a place near the skin round the nostril's base: wing, tip, columella, lip (mm)
    (15, 3): (12.6, -11.0, 53.5), (14, 3): (10.4, -9.5, 59.0), (14, 2): (6.2, -11.8, 62.5), (14, 1): (2.8, -12.2, 63.0),
    (15, 1): (1.7, -15.0, 57.0), (16, 1): (2.2, -16.5, 51.8), (16, 2): (6.2, -16.3, 50.5), (16, 3): (10.6, -15.3, 50.5),
    (13, 4): (12.4, -4.0, 50.5), (14, 4): (14.8, -9.0, 50.0), (15, 4): (14.4, -13.0, 49.0),
    (16, 4): (12.6, -17.0, 48.5),
}  # fmt: skip
_NOSTRIL_EDGE = (  # x and z of the opening on the nose's underside, in the order of its ring (mm)
    (9.6, 55.6), (8.6, 59.0), (5.9, 60.9), (3.4, 60.0), (2.6, 56.2), (3.1, 52.6), (5.8, 51.4), (8.6, 52.2),
)  # fmt: skip
_NOSTRIL_RINGS = ((0.86, 0.6), (0.70, 2.0), (0.62, 4.5), (0.5, 6.5))
"""Scale about the nostril's middle, and how high above its edge, mm, of each ring inside."""

_COLUMELLA = {14: (-11.5, 63.5), 15: (-14.5, 57.0), 16: (-16.0, 51.5)}
"""Row: y and z of the skin between the nostrils."""


def place(cage: Cage, character: Character, start: np.ndarray | None = None) -> np.ndarray:
    """(N, 3) positions in mm of every vertex of the cage; exactly symmetric.

    ``start`` (N, 3) is the cage of a similar character, from which the grid needs only a little more relaxing.
    """
    skin = Skin(character)
    places = _rough_grid(cage) if start is None else start.copy()
    fixed = np.zeros(len(cage), bool)
    for side in (LEFT, RIGHT):
        _set_rings(cage, places, EYE, side, standin_lids.rest_rings(character, skin))
        fixed[cage.rings[EYE.name, side][0]] = True
    _set_rings(cage, places, MOUTH, LEFT, mouth_rings(character, skin))
    fixed[cage.rings[MOUTH.name, LEFT][0]] = True
    fixed[_place_nose(cage, places, skin)] = True
    fixed[cage.select(lambda row, _: row in (0, ROWS))] = True
    fixed |= ~cage.is_grid
    places = _relax(cage, places, skin, ~fixed, RELAXATIONS if start is None else FURTHER_RELAXATIONS)
    for side in (LEFT, RIGHT):
        rim = places[cage.rings[EAR.name, side][0]] * (MIRROR if side < 0 else 1.0)
        _set_rings(cage, places, EAR, side, [rim, *ear_rings(rim, skin, character.ears)])
    for patch in (NOSTRIL, MOUTH, EAR):
        for side in patch.sides:
            fill(cage, places, cage.cap(patch, side), cage.rings[patch.name, side][-1])
    return cage.symmetric(places)


def _set_rings(cage: Cage, places: np.ndarray, patch, side: int, rings: list[np.ndarray]) -> None:
    for numbers, points in zip(cage.rings[patch.name, side], rings, strict=True):
        places[numbers] = points * (MIRROR if side < 0 else 1.0)


def fill(cage: Cage, places: np.ndarray, inner: np.ndarray, around: np.ndarray, rounds: int = 200) -> None:
    """Spread the vertices ``inner`` evenly within their surroundings, in place."""
    places[inner] = places[around].mean(0)
    for _ in range(rounds):
        places[inner] += cage.laplacian[inner] @ places


def _rough_grid(cage: Cage) -> np.ndarray:
    """First positions of the grid on the outline's ellipses; other vertices stay at the origin."""
    places = np.zeros((len(cage), 3))
    table_rows = list(_COLUMN_ANGLES)
    for i, key in enumerate(cage.keys):
        if key[0] != "grid":
            continue
        row, column = max(key[1], 1), key[2]
        front_y, front_z, side_y, side_x, side_z, back_y, back_z = (
            np.interp(row, _OUTLINE[:, 0], _OUTLINE[:, k]) for k in range(1, 8)
        )
        angles = [np.interp(abs(column), *np.array(table, float).T) for table in _COLUMN_ANGLES.values()]
        angle = np.radians(np.interp(row, table_rows, angles))
        across, along = np.sin(angle) * np.sign(column), np.cos(angle)
        end_y, end_z = (front_y, front_z) if along > 0 else (back_y, back_z)
        share = abs(along)
        y = side_y + (end_y - side_y) * (1 - across * across if along <= 0 else share)
        places[i] = across * side_x, y, side_z + (end_z - side_z) * share
    places[cage.index["grid", 0, 0]] = (0, 128, -46)
    return places


def _place_nose(cage: Cage, places: np.ndarray, skin: Skin) -> np.ndarray:
    """Set tip, underside and nostrils; returns the grid vertices that must keep their places."""
    fixed = []
    for row in (12, 13):
        numbers = np.array([cage.grid(row, column) for column in range(-3, 4)])
        places[numbers] = skin.front(np.arange(-3, 4) * _NOSE_COLUMN, places[numbers, 1])
        fixed += numbers.tolist()
    longer, wider = skin.character.nose, skin.character.nostrils
    spots = {cage.grid(row, 0): (0.0, y, z + longer) for row, (y, z) in _COLUMELLA.items()}
    for (row, column), (x, y, z) in _WING.items():
        for side in (LEFT, RIGHT):
            spots[cage.grid(row, side * column)] = (side * (x + 0.6 * wider), y, z + 0.6 * longer)
    numbers = np.array(list(spots))
    places[numbers] = skin.project(np.array(list(spots.values())), 20)
    for side in (LEFT, RIGHT):
        rings = cage.rings[NOSTRIL.name, side]
        opening = [(side * (x + 0.6 * wider), -14.8, z + 0.6 * longer) for x, z in _NOSTRIL_EDGE]
        edge = skin.project(np.array(opening), 20)
        places[rings[1]] = edge
        for ring, (scale, height) in enumerate(_NOSTRIL_RINGS, start=2):
            places[rings[ring]] = edge.mean(0) + scale * (edge - edge.mean(0)) + (0, height, 0)
    return np.array(fixed + numbers.tolist())


def _relax(cage: Cage, places: np.ndarray, skin: Skin, free: np.ndarray, rounds: int) -> np.ndarray:
    """Even out the grid on the skin: smoothing along grid edges alone (rings would pull folds), then projection."""
    grid = cage.is_grid
    links = cage.adjacency * grid[None, :] * grid[:, None]
    pull = links / np.maximum(links.sum(1, keepdims=True), 1) - np.diag(grid.astype(float))
    rim = cage.select(lambda row, _: row == ROWS)
    places[free] = skin.project(places[free], 20)
    places[rim] = skin.project(places[rim], 20)
    places[rim, 1] = _OUTLINE[-1, 1]
    axis = cage.select(lambda _, column: column in (0, HALF_COLUMNS))
    for _ in range(rounds):
        places[free] += 0.5 * (pull[free] @ places)
        places = cage.symmetric(places)
        places[free] = skin.project(places[free], 2)
        places[axis, 0] = 0
    return places


def lip_line(character: Character, x: np.ndarray) -> np.ndarray:
    """Y of the line where the lips touch: corners up, a small dip under the middle of the upper lip."""
    return character.mouth_height + character.smile * (x / character.mouth_width) ** 2 - 0.6 * np.exp(-((x / 4) ** 2))


def mouth_rings(character: Character, skin: Skin) -> list[np.ndarray]:
    """Positions of the mouth's twelve rings: skin, lips, where they touch, and the cavity behind them."""
    angle = 2 * np.pi * np.arange(MOUTH.points) / MOUTH.points
    sine, cosine = np.sin(angle), np.cos(angle)
    upper, height = sine > 0, np.abs(sine)
    wide, line = character.mouth_width, character.mouth_height
    full = 1 + 0.15 * character.lips
    bow = 1 - 0.18 * np.exp(-((cosine * wide / 3.2) ** 2)) * upper  # the dip in the middle of the upper lip
    rings = [
        skin.front(33 * cosine, line + 0.5 + 18.0 * sine),
        skin.front(28.5 * cosine, line + 0.3 + 13.4 * sine + 1.0 * cosine**2),
    ]
    lips = (  # half width, height of the upper and lower half, power of their profile, how far they stand out
        (wide + 2.6, 7.8, 9.6, 1.0, 0.2),
        (wide + 0.9, 5.7, 7.2, 1.25, 0.7),
        (wide + 0.5, 3.7, 4.7, 1.15, 2.5),
        (wide + 0.2, 1.0, 1.3, 0.8, 2.1),
    )
    for half, up, low, power, out in lips:
        x = half * cosine
        ring = skin.front(x, lip_line(character, x) + np.where(upper, up * bow, -low) * full * height**power)
        ring[:, 2] += out * full * height**0.6 - 0.6 * (1 - height)
        rings.append(ring)
    inner = wide - 0.2
    front = skin.front(inner * cosine, lip_line(character, inner * cosine))[:, 2]
    cavity = (  # half width, height up and down, how far behind the lips' line
        (inner, 0.0, 0.0, -0.5),
        (inner - 0.7, 0.3, 0.3, -4.2),
        (24, 12, 11.5, -5.0),
        (27, 16, 17, -15),
        (27, 17, 19, -36),
        (20, 12, 15, -54),
    )
    for half, up, low, depth in cavity:
        x = half * cosine
        y = lip_line(character, x) + np.where(upper, up, -low) * height**0.7
        rings.append(np.stack([x, y, front + depth], 1))
    return rings
