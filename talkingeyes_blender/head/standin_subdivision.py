"""One step of Catmull-Clark subdivision (Catmull and Clark 1978) for any number of channels, borders kept as curves."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np


class Subdivision:
    """Refines a mesh of triangles and quads; the new vertices are the old ones, then one an edge, then one a face."""

    def __init__(self, faces: list[tuple[int, ...]], count: int) -> None:
        """``faces``: corners of each face; ``count``: number of vertices."""
        self.count = count
        self.edges: dict[tuple[int, int], int] = {}
        self._corner_face = np.concatenate([np.full(len(corners), i) for i, corners in enumerate(faces)])
        self._corner_vertex = np.concatenate([np.array(corners) for corners in faces])
        corner_edge = []
        for corners in faces:
            for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
                corner_edge.append(self.edges.setdefault((min(a, b), max(a, b)), len(self.edges)))
        self._corner_edge = np.array(corner_edge)
        self._sizes = np.array([len(corners) for corners in faces])
        self._ends = np.array(list(self.edges))
        self._border = np.bincount(self._corner_edge, minlength=len(self.edges)) < 2
        self.faces, self.parent = self._refined_faces(faces)
        """(F, 4) the new faces, and (F,) the old face that each lies in."""

    def _refined_faces(self, faces) -> tuple[np.ndarray, np.ndarray]:
        first_face = self.count + len(self.edges)
        out, parent = [], []
        for i, corners in enumerate(faces):
            for k, corner in enumerate(corners):
                following, previous = corners[(k + 1) % len(corners)], corners[k - 1]
                midpoints = self.edge_vertex(corner, following), self.edge_vertex(corner, previous)
                out.append((corner, midpoints[0], first_face + i, midpoints[1]))
                parent.append(i)
        return np.array(out), np.array(parent)

    def edge_vertex(self, a: int, b: int) -> int:
        """Number of the new vertex on the edge between ``a`` and ``b``."""
        return self.count + self.edges[min(a, b), max(a, b)]

    def refine_loop(self, loop: np.ndarray, closed: bool = True) -> np.ndarray:
        """The new vertices along a chain of old ones: each vertex, then the one on the edge to its successor."""
        pairs = zip(loop, np.roll(loop, -1) if closed else loop[1:], strict=False)
        fine = [v for a, b in pairs for v in (int(a), self.edge_vertex(int(a), int(b)))]
        return np.array(fine if closed else [*fine, int(loop[-1])])

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Refine ``values`` (count, ...) given at the old vertices."""
        shape = values.shape[1:]
        x = values.reshape(self.count, -1)
        face_points = self._gather(self._corner_face, x[self._corner_vertex], len(self._sizes)) / self._sizes[:, None]
        middles = x[self._ends].mean(1)
        across = self._gather(self._corner_edge, face_points[self._corner_face], len(middles)) / 2
        edge_points = np.where(self._border[:, None], middles, 0.5 * (middles + across))
        vertex_points = self._vertex_points(x, face_points, middles)
        return np.concatenate([vertex_points, edge_points, face_points]).reshape(-1, *shape)

    def _vertex_points(self, x, face_points, middles) -> np.ndarray:
        valence_faces = np.bincount(self._corner_vertex, minlength=self.count)[:, None]
        around_faces = self._gather(self._corner_vertex, face_points[self._corner_face], self.count) / valence_faces
        valence = np.bincount(self._ends.ravel(), minlength=self.count)[:, None]
        around_edges = self._gather(self._ends.ravel(), np.repeat(middles, 2, axis=0), self.count) / valence
        smooth = (around_faces + 2 * around_edges + (valence - 3) * x) / valence
        rim = self._ends[self._border]
        on_rim = np.zeros(self.count, bool)
        on_rim[rim] = True
        along = self._gather(rim.ravel(), np.repeat(middles[self._border], 2, axis=0), self.count) / 2
        return np.where(on_rim[:, None], 0.5 * (x + along), smooth)

    @staticmethod
    def _gather(target: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
        """Sum ``rows`` into ``size`` slots named by ``target``."""
        order = np.argsort(target, kind="stable")
        starts = np.flatnonzero(np.diff(target[order], prepend=-1))
        out = np.zeros((size, rows.shape[1]))
        if len(target):
            out[target[order][starts]] = np.add.reduceat(rows[order], starts, axis=0)
        return out
