"""Smooth fields over the stand-in's cage: values given at a few vertices, spread over the rest."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

HARMONIC, BIHARMONIC = 1, 2


def smoothstep(x, start: float, end: float) -> np.ndarray:
    """0 before ``start``, 1 after ``end``, a cubic between."""
    t = np.clip((np.asarray(x, float) - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


class FieldSolver:
    """Minimises the graph's Dirichlet energy (harmonic) or bending energy (biharmonic) under known values.

    Keeps the inverse for each set of known vertices, since many shapes hold the same rings.
    """

    def __init__(self, laplacian: np.ndarray) -> None:
        """``laplacian`` (N, N)."""
        self._systems = {HARMONIC: laplacian, BIHARMONIC: laplacian.T @ laplacian}
        self._inverses: dict[tuple[int, bytes], tuple[np.ndarray, np.ndarray]] = {}

    def spread(self, handles: Handles, order: int = BIHARMONIC) -> np.ndarray:
        """(N, ...) the smoothest field that takes the values of ``handles``."""
        known, values = handles.arrays()
        system = self._systems[order]
        key = order, known.tobytes()
        if key not in self._inverses:
            unknown = np.setdiff1d(np.arange(len(system)), known)
            self._inverses[key] = unknown, np.linalg.inv(system[np.ix_(unknown, unknown)])
        unknown, inverse = self._inverses[key]
        out = np.zeros((len(system), *values.shape[1:]))
        out[known] = values
        out[unknown] = inverse @ (-system[np.ix_(unknown, known)] @ values)
        return out


class Handles:
    """Collects known values; a vertex named twice keeps its first value."""

    def __init__(self, *shape: int) -> None:
        """``shape`` of one value: () for weights, (3,) for displacements."""
        self._shape = shape
        self._values: dict[int, np.ndarray] = {}

    def add(self, vertices, values) -> Handles:
        """Give ``vertices`` (K,) their values: (K, *shape), or one for all."""
        vertices = np.atleast_1d(vertices).ravel()
        for vertex, value in zip(vertices, np.broadcast_to(values, (len(vertices), *self._shape)), strict=True):
            self._values.setdefault(int(vertex), value)
        return self

    def hold(self, vertices) -> Handles:
        """Keep ``vertices`` at zero."""
        return self.add(vertices, np.zeros(self._shape))

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Sorted vertices (K,) and their values (K, *shape)."""
        vertices = sorted(self._values)
        return np.array(vertices), np.array([self._values[v] for v in vertices], float)
