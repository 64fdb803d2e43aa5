"""Topology of the stand-in's control cage, with no positions: a grid round the head whose holes are filled by rings.

The grid has a pole on the crown, rows downwards and columns round the head (column 0 in front, +columns to the
subject's left). Rectangular holes are cut for eyes, nostrils, mouth and ears; each is filled with rings of as many
vertices as the hole's rim, so that edge loops run round lids, lips and ears. The corners of the holes are the only
five-poles.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import functools

import numpy as np

from .standin_character import LEFT, MATERIAL, MIRROR, RIGHT

HALF_COLUMNS = 20
ROWS = 31
"""Rows below the pole; the last is the open border at the shoulders."""


@dataclasses.dataclass(frozen=True)
class Patch:
    """A hole in the grid (rows ``top`` to ``bottom``, columns ``first`` to ``last``) and how many rings fill it."""

    name: str
    top: int
    bottom: int
    first: int
    last: int
    rings: int
    paired: bool = True
    """One on each side, or one on the plane of symmetry."""
    capped: bool = True
    """Closed at its inner end by the hole's own grid, or open."""

    @property
    def sides(self) -> tuple[int, ...]:
        return (LEFT, RIGHT) if self.paired else (LEFT,)

    @property
    def points(self) -> int:
        return 2 * (self.bottom - self.top + self.last - self.first)

    def covers(self, row: int, column: int) -> bool:
        """Is the cell between (row, column) and (row + 1, column + 1) in the hole?"""
        if not self.top <= row < self.bottom:
            return False
        return self.first <= column < self.last or (self.paired and self.first <= -column - 1 < self.last)

    def rim(self, side: int) -> list[tuple[int, int]]:
        """Grid places round the hole, from the middle of the outer (for the mouth: left) side upwards and round."""
        middle = (self.top + self.bottom) // 2
        walk = [(row, self.last) for row in range(middle, self.top, -1)]
        walk += [(self.top, column) for column in range(self.last, self.first, -1)]
        walk += [(row, self.first) for row in range(self.top, self.bottom)]
        walk += [(self.bottom, column) for column in range(self.first, self.last)]
        walk += [(row, self.last) for row in range(self.bottom, middle, -1)]
        return [(row, side * column) for row, column in walk]


EYE = Patch("eye", 8, 12, 3, 11, rings=8, capped=False)
NOSTRIL = Patch("nostril", 14, 16, 1, 3, rings=6)
MOUTH = Patch("mouth", 17, 21, -4, 4, rings=12, paired=False)
EAR = Patch("ear", 10, 15, 13, 16, rings=10)
PATCHES = (EYE, NOSTRIL, MOUTH, EAR)

VERMILION, CREST, CONTACT, BEHIND_LIPS = 3, 5, 6, 7
"""Rings of the mouth: the lips' outer border, their fullest line, where they touch, the first line behind."""

LID_FRONT, LID_MARGIN = 4, 5
"""Rings of the eye: the outer edge of the lid's margin (lashes) and its inner edge (next to the eyeball)."""


def _ring_material(patch: Patch, ring: int, place: int) -> str:
    """Material of the faces between ``ring`` and ``ring`` + 1, at ``place`` round the ring."""
    if patch is MOUTH:
        return "skin" if ring < VERMILION else "lips" if ring < BEHIND_LIPS else "mouth"
    if patch is EYE and ring == LID_FRONT and place < patch.points // 2 - 2:
        return "lash"
    if patch is NOSTRIL and ring >= 2:
        return "mouth"
    return "skin"


class Cage:
    """Vertices by key, faces, rings and the mirror map of the control cage.

    Keys are ``("grid", row, column)``, ``(patch name, side, ring, place)`` and, for the grids that close a patch,
    ``(patch name + "_cap", side, row, column)``.
    """

    def __init__(self) -> None:
        self.index: dict[tuple, int] = {}
        self.faces: list[tuple[int, ...]] = []
        self.face_material: list[int] = []
        self.rings: dict[tuple[str, int], np.ndarray] = {}
        """(rings, points) vertex numbers by patch name and side; ring 0 is the rim, shared with the grid."""
        self._add_grid()
        for patch in PATCHES:
            for side in patch.sides:
                self._add_patch(patch, side)
        self.keys = list(self.index)
        self.mirror = np.array([self.index[_mirrored(key)] for key in self.keys])
        """Vertex on the other side of the plane of symmetry."""

    def __len__(self) -> int:
        return len(self.index)

    def grid(self, row: int, column: int) -> int:
        """Number of a grid vertex; columns wrap at the back, and row 0 is the pole."""
        if row == 0:
            return self._vertex("grid", 0, 0)
        return self._vertex("grid", row, (column + HALF_COLUMNS) % (2 * HALF_COLUMNS) - HALF_COLUMNS)

    def _vertex(self, *key) -> int:
        return self.index.setdefault(key, len(self.index))

    def _face(self, corners, material: str, flip: bool = False) -> None:
        self.faces.append(tuple(corners)[:: -1 if flip else 1])
        self.face_material.append(MATERIAL[material])

    def _add_grid(self) -> None:
        for row in range(ROWS):
            for column in range(-HALF_COLUMNS, HALF_COLUMNS):
                if any(patch.covers(row, column) for patch in PATCHES):
                    continue
                corners = [self.grid(row, column), self.grid(row + 1, column), self.grid(row + 1, column + 1)]
                if row > 0:
                    corners.append(self.grid(row, column + 1))
                self._face(corners, "skin")

    def _add_patch(self, patch: Patch, side: int) -> None:
        rim, count = patch.rim(side), patch.points
        rings = [[self.grid(*place) for place in rim]]
        rings += [[self._vertex(patch.name, side, k, j) for j in range(count)] for k in range(1, patch.rings)]
        for k in range(patch.rings - 1):
            for j in range(count):
                i = (j + 1) % count
                corners = rings[k][j], rings[k][i], rings[k + 1][i], rings[k + 1][j]
                self._face(corners, _ring_material(patch, k, j), flip=side < 0)
        self.rings[patch.name, side] = np.array(rings)
        if patch.capped:
            self._add_cap(patch, side, dict(zip(rim, rings[-1], strict=True)))

    def _add_cap(self, patch: Patch, side: int, last_ring: dict[tuple[int, int], int]) -> None:
        def corner(row: int, column: int) -> int:
            known = last_ring.get((row, side * column))
            return self._vertex(patch.name + "_cap", side, row, column) if known is None else known

        material = _ring_material(patch, patch.rings, 0)
        for row in range(patch.top, patch.bottom):
            for column in range(patch.first, patch.last):
                corners = (row, column), (row + 1, column), (row + 1, column + 1), (row, column + 1)
                self._face([corner(*place) for place in corners], material, flip=side < 0)

    def cap(self, patch: Patch, side: int) -> np.ndarray:
        """Numbers of the vertices inside the grid that closes a patch."""
        return np.array([i for i, key in enumerate(self.keys) if key[:2] == (patch.name + "_cap", side)])

    def select(self, test) -> np.ndarray:
        """Numbers of the grid vertices for which ``test(row, |column|)`` holds."""
        return np.array([i for i, key in enumerate(self.keys) if key[0] == "grid" and test(key[1], abs(key[2]))])

    @functools.cached_property
    def is_grid(self) -> np.ndarray:
        return np.array([key[0] == "grid" for key in self.keys])

    @functools.cached_property
    def adjacency(self) -> np.ndarray:
        """(N, N) ones where two vertices share an edge."""
        matrix = np.zeros((len(self), len(self)))
        for corners in self.faces:
            for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
                matrix[a, b] = matrix[b, a] = 1
        return matrix

    @functools.cached_property
    def laplacian(self) -> np.ndarray:
        """(N, N) mean of the neighbours less the vertex itself."""
        return self.adjacency / self.adjacency.sum(1, keepdims=True) - np.eye(len(self))

    def reflect(self, field: np.ndarray) -> np.ndarray:
        """The mirror image of a field of points or displacements (N, 3)."""
        return field[self.mirror] * MIRROR

    def symmetric(self, field: np.ndarray) -> np.ndarray:
        return 0.5 * (field + self.reflect(field))


def _mirrored(key: tuple) -> tuple:
    """Key of the vertex on the other side."""
    kind = key[0]
    if kind == "grid":
        row, column = key[1:]
        return kind, row, (-column + HALF_COLUMNS) % (2 * HALF_COLUMNS) - HALF_COLUMNS if row else 0
    if kind == MOUTH.name:
        return kind, LEFT, key[2], (MOUTH.points // 2 - key[3]) % MOUTH.points
    if kind == MOUTH.name + "_cap":
        return kind, LEFT, key[2], -key[3]
    return kind, -key[1], *key[2:]
