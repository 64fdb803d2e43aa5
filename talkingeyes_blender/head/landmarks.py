"""Named points of a face: their order, their vertices on FLAME's mesh, and what is measured between them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

# The 'face' landmarks are iBUG's points 17 to 67 (the 68-point scheme without the jaw line) in iBUG's order; these
# are positions in that list of 51. "Right" is the subject's right, which is the viewer's left.
RIGHT_BROW = np.arange(0, 5)
LEFT_BROW = np.arange(5, 10)
BROWS = np.arange(0, 10)
NOSE = np.arange(10, 19)
RIGHT_EYE = np.arange(19, 25)
LEFT_EYE = np.arange(25, 31)
EYES = np.arange(19, 31)
OUTER_LIP = np.arange(31, 43)
INNER_LIP = np.arange(43, 51)

NOSE_TIP = 13
MOUTH_CORNERS = np.array([31, 37, 43, 47])
"""Right and left corner of the outer lip, then of the inner one."""
INNER_LIP_PAIRS = np.array([[44, 50], [45, 49], [46, 48]])
"""(3, 2) upper and lower point of the inner lip: right, middle, left."""
LID_PAIRS = {"left": np.array([[26, 30], [27, 29]]), "right": np.array([[20, 24], [21, 23]])}
"""(2, 2) upper and lower point of each eye's lids."""
EYE_CORNERS = {"left": np.array([25, 28]), "right": np.array([19, 22])}
"""Corners of each eye; iBUG's order runs from the viewer's left, so the left eye's inner corner comes first."""

COUNT = 51

CHEEKS = np.arange(51, 57)
"""Points that iBUG's scheme lacks, found on the mesh by ``cheek_vertices`` and counted after its 51: right apple,
hollow and fold, then the left ones."""
POINTS = 57
"""The landmarks and the cheeks' points."""

FLAME_VERTICES = 5023
FLAME_WITH_TEETH = 5143
"""FLAME's vertices with 120 of teeth after them, as some trackers make it."""
FLAME_SKIN = slice(0, 3931)
FLAME_EYEBALLS = {"left": slice(3931, 4477), "right": slice(4477, 5023)}

FLAME_FACE = np.array([
    1983, 3157, 335, 3705, 3684, 3851, 3863, 16, 2138, 570,
    3553, 3561, 3501, 3526, 2748, 2792, 3556, 1675, 1612,
    2437, 2383, 2494, 3632, 2293, 2296, 3833, 1343, 1034, 1175, 884, 881,
    2715, 2813, 2774, 3543, 1657, 1696, 1579, 1795, 1865, 3503, 2948, 2898,
    2845, 2785, 3533, 1668, 1730, 1848, 3509, 2937,
])  # fmt: skip
"""(51,) the vertex of FLAME's topology nearest to each landmark."""
FLAME_PUPILS = np.array([4051, 4597])
"""Vertex in the middle of the left, then the right pupil."""
FLAME_IRIS_RIMS = np.array([[3996, 3964, 3932, 4028], [4542, 4510, 4603, 4570]])
"""Four vertices on the rim of the left, then the right iris."""
FLAME_LIDS = {
    "left": np.array([
        3833, 1336, 1329, 1331, 1340, 1343, 3855, 1344, 1218, 1216, 1202, 1201, 1200, 1195, 1175,
        1170, 1113, 1096, 1093, 822, 807, 814, 995, 994, 991, 827, 824, 1354, 1355, 1357,
    ]),
    "right": np.array([
        3632, 2487, 2485, 2486, 2491, 2494, 3689, 2495, 2453, 2451, 2450, 2449, 2448, 2447, 2437,
        2436, 2406, 2403, 2402, 2271, 2264, 2267, 2359, 2358, 2355, 2276, 2273, 2505, 2506, 2508,
    ]),
}  # fmt: skip
"""The front edge of each eye's lids, a closed ring of edges: inner corner, upper lid, outer corner, lower lid. The
landmarks of the lower lid lie on the skin two rows below it."""


# Each point of a cheek as a mixture of the same side's (outer eye corner, nose wing, outer mouth corner), then of the
# mouth's middle; seen from the front, so that depth comes from the mesh.
_CHEEK_MIXTURES = np.array([
    [0.50, 0.0, 0.5, 0.0],
    [0.15, 0.0, 1.35, -0.5],
    [0.00, 0.5, 0.7, -0.2],
])  # fmt: skip
_CHEEK_ANCHORS = {"right": (19, 10 + 4, 31), "left": (28, 10 + 8, 37)}


def cheek_vertices(vertices: np.ndarray, face: np.ndarray) -> np.ndarray:
    """(6,) vertices of the cheeks: those of the face's front that are nearest to places told by the 51 landmarks
    ``face``. ``vertices`` (V, 3) are in FLAME's frame but for size and shift.

    The apple lies half-way from the eye's outer corner to the mouth's (it rises with a smile), the hollow beside the
    mouth's corner (it swells with a puff), the fold between nose and corner (it deepens with a sneer).
    """
    points = vertices[face]
    middle = points[MOUTH_CORNERS[:2]].mean(0)
    width = np.linalg.norm(points[MOUTH_CORNERS[0]] - points[MOUTH_CORNERS[1]])
    front = np.flatnonzero(vertices[:, 2] > middle[2] - 1.5 * width)
    found = []
    for side in ("right", "left"):
        anchors = np.stack([*points[list(_CHEEK_ANCHORS[side])], middle])
        for mixture in _CHEEK_MIXTURES:
            # From the front; the last millimetre is decided by depth, for linings of the mouth lie behind the skin.
            away = np.linalg.norm(vertices[front, :2] - (mixture @ anchors)[:2], axis=1)
            near = away <= away.min() + 0.05 * width
            found.append(front[np.flatnonzero(near)[vertices[front[near], 2].argmax()]])
    return np.array(found)


def lip_gap(vertices: np.ndarray, landmarks: dict[str, np.ndarray]) -> np.ndarray:
    """Mean distance in metres, (...), of the three pairs of inner-lip points of (..., V, 3) vertices."""
    points = vertices[..., landmarks["face"][INNER_LIP_PAIRS], :]
    return np.linalg.norm(points[..., 0, :] - points[..., 1, :], axis=-1).mean(-1)


def eye_aspect_ratio(vertices: np.ndarray, landmarks: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(left, right) opening of the lids over the width of the eye, each (...), of (..., V, 3) vertices.

    Soukupova and Cech 2016: (|p1-p5| + |p2-p4|) / (2 |p0-p3|) over the six points of an eye.
    """
    return _aspect(vertices, landmarks["face"], "left"), _aspect(vertices, landmarks["face"], "right")


def _aspect(vertices: np.ndarray, face: np.ndarray, side: str) -> np.ndarray:
    lids = vertices[..., face[LID_PAIRS[side]], :]
    corners = vertices[..., face[EYE_CORNERS[side]], :]
    opening = np.linalg.norm(lids[..., 0, :] - lids[..., 1, :], axis=-1).sum(-1)
    return opening / (2 * np.linalg.norm(corners[..., 0, :] - corners[..., 1, :], axis=-1))
