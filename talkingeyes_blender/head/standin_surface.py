"""The stand-in's skull and skin as a signed distance function: a smooth union of ellipsoids and capsules.

Distances are negative inside. They are exact for capsules only; for ellipsoids the usual first-order bound is used, and
smooth unions bulge a little, so whoever needs the surface itself comes to it in steps (``project``, ``cast``).
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from .standin_character import MIRROR, Character

_TETRAHEDRON = np.array([(1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)], float)
"""Four directions whose weighted differences give a gradient with four evaluations, not six."""


REACHED = 1e-4
"""Distance (mm) at which a point counts as lying on the surface."""


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors))


def ellipsoid(points: np.ndarray, centre, radii) -> np.ndarray:
    """First-order distance (N,) from ``points`` (N, 3) to an axis-aligned ellipsoid."""
    radii = np.asarray(radii, float)
    scaled = (points - np.asarray(centre, float)) / radii
    level = _length(scaled)
    return level * (level - 1) / (_length(scaled / radii) + 1e-9)


def capsule(points: np.ndarray, start, end, start_radius: float, end_radius: float) -> np.ndarray:
    """Distance (N,) to a rod whose radius runs from ``start_radius`` to ``end_radius``."""
    start, axis = np.asarray(start, float), np.asarray(end, float) - np.asarray(start, float)
    along = np.clip((points - start) @ axis / (axis @ axis), 0, 1)
    return _length(points - start - along[:, None] * axis) - (start_radius + (end_radius - start_radius) * along)


def smooth_union(first: np.ndarray, second: np.ndarray, blend: float) -> np.ndarray:
    """Union of two distances, rounded over a width of ``blend`` with a cubic."""
    near = np.maximum(blend - np.abs(first - second), 0) / blend
    return np.minimum(first, second) - near**3 * blend / 6


def smooth_difference(body: np.ndarray, hole: np.ndarray, blend: float) -> np.ndarray:
    """``body`` without ``hole``, its edge rounded over ``blend``."""
    return -smooth_union(-body, hole, blend)


class Skin:
    """The outer surface of a character's head, neck and shoulders without ears, lids, lips and hair."""

    def __init__(self, character: Character) -> None:
        self.character = character

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance (N,), mm, of ``points`` (N, 3)."""
        c = self.character
        p = points * np.where(points[:, :1] < 0, MIRROR, 1.0)  # all pairs of shapes are seen from the left half
        pairs = _Pairs(p)
        d = ellipsoid(p, (0, 48 + 0.5 * c.skull, -44), (71, 80 + 0.5 * c.skull, 89))
        d = smooth_union(d, ellipsoid(p, (0, -2, -10), (59, 58, 60)), 30)
        d = smooth_union(d, ellipsoid(p, (0, -36, 15), (40, 31, 38)), 26)
        d = smooth_union(d, ellipsoid(p, (0, -56 - c.chin, 29.5), (20.5 + 0.5 * c.jaw_width, 17, 19.5)), 24)
        cheek = (30 + 0.6 * c.cheeks, -14, 20.5 + 0.3 * c.cheeks)
        d = smooth_union(d, pairs(ellipsoid, cheek, (27, 26, 25)), 26)
        jaw = (46.5 + c.jaw_width, -9, -41), (19 + c.jaw_width, -50 - 0.5 * c.chin, 15), 14, 15
        d = smooth_union(d, pairs(capsule, *jaw), 30)
        d = smooth_union(d, pairs(ellipsoid, (26, 47, 21 + c.brow), (27, 12, 22)), 20)
        d = smooth_union(d, capsule(p, (0, -60, -52), (0, -215, -62), 33 + c.neck, 38 + c.neck), 44)
        d = smooth_union(d, ellipsoid(p, (0, -178, -61), (110, 44, 47)), 50)
        d = smooth_difference(d, pairs(ellipsoid, c.eye_centre + np.array((1, 3, 19)), (19, 16, 10)), 14)
        d = self._with_nose(d, p, pairs)
        return d + self._philtrum(p)

    def _with_nose(self, d: np.ndarray, p: np.ndarray, pairs: _Pairs) -> np.ndarray:
        c = self.character
        d = smooth_union(d, capsule(p, (0, 26, 37), (0, -3, 54 + 0.7 * c.nose), 5.0 + 0.2 * c.nostrils, 6.2), 16)
        d = smooth_union(d, ellipsoid(p, (0, -6.5, 58 + c.nose), (8.8, 7.4, 8.2)), 9)
        wing = (9.2 + c.nostrils, -10.0, 52.0 + 0.4 * c.nose), (5.4, 5.0, 6.6)
        return smooth_union(d, pairs(ellipsoid, *wing), 4.5)

    def _philtrum(self, p: np.ndarray) -> np.ndarray:
        """The groove between nose and upper lip with its two ridges, as a change of distance in mm."""
        bottom = self.character.mouth_height
        height = np.clip((p[:, 1] - bottom - 4) / 4, 0, 1) * np.clip((-15.5 - p[:, 1]) / 3, 0, 1) * (p[:, 2] > 20)
        groove = 0.9 * np.exp(-((p[:, 0] / 2.6) ** 2)) - 0.45 * np.exp(-(((np.abs(p[:, 0]) - 5) / 2.0) ** 2))
        return height * groove

    def gradient(self, points: np.ndarray, step: float = 0.05) -> np.ndarray:
        """Unit gradient (N, 3), by central differences on a tetrahedron: the outward normal on the surface."""
        around = (points[None] + step * _TETRAHEDRON[:, None]).reshape(-1, 3)
        total = self.distance(around).reshape(4, -1).T @ _TETRAHEDRON
        return total / (_length(total)[:, None] + 1e-9)

    def project(self, points: np.ndarray, iterations: int = 12) -> np.ndarray:
        """Bring ``points`` to the nearby surface; 0.9 of each step, since distances are not exact."""
        for _ in range(iterations):
            distance = self.distance(points)
            if np.abs(distance).max() < REACHED:
                break
            points = points - (0.9 * distance)[:, None] * self.gradient(points)
        return points

    def cast(self, points: np.ndarray, direction, iterations: int = 90) -> np.ndarray:
        """Move ``points`` (N, 3) along ``direction`` ((3,) or (N, 3), unit) until they meet the surface."""
        points = np.array(points, float)
        direction = np.broadcast_to(np.asarray(direction, float), points.shape)
        for _ in range(iterations):
            distance = self.distance(points)
            points = points + 0.7 * distance[:, None] * direction
            if np.abs(distance).max() < REACHED:
                break
        return points

    def front(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The points (N, 3) of the face that one sees at ``x``, ``y`` from straight ahead."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        return self.cast(np.stack([x, y, np.full(x.shape, 110.0)], 1), (0, 0, -1))


class _Pairs:
    """A shape and its mirror image, evaluated at points already folded to the left half."""

    def __init__(self, points: np.ndarray) -> None:
        self.points, self.mirrored = points, points * MIRROR

    def __call__(self, shape, *numbers) -> np.ndarray:
        here = shape(self.points, *numbers)
        near = self.points[:, 0] < 45  # farther out, the image on the other side cannot be the nearer one
        if near.any():
            here[near] = np.minimum(here[near], shape(self.mirrored[near], *numbers))
        return here
