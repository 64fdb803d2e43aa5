"""Lids from geometry: the displacements that shut an eye and that let its lids follow the gaze.

FLAME's expressions close the lids badly, and published blink coefficients belong to one version's basis. Here each
lid is turned about the eyeball's centre until its margin meets the other lid's, on the mesh as it is; the skin around
goes along the less the further it lies from the margin.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import heapq

import numpy as np

from ..errors import TalkingEyesError
from .landmarks import EYE_CORNERS, LID_PAIRS
from .model import JOINTS, LEFT_EYE, RIGHT_EYE, HeadModel

_CLOSING = 0.25
"""Where the lids meet, as a share of the opening above the lower lid: the upper lid does most of a blink."""
_OVERLAP = 0.0012
"""How far, in metres, the shut upper lid reaches over the lower one's margin, so that no sliver of eye is left."""
_COVER = 0.0002
"""How far the shut upper lid lies in front of the lower one."""
_CLEARANCE = 0.0001
"""Least distance of moved skin from the eyeball, also half-way."""
_FOLLOW = {"upper": np.radians(19.0), "lower": np.radians(6.0)}
"""How far the middle of each lid goes along when the eye looks down by LID_FOLLOW_DEGREES."""
_REACH = {"upper": 1.15, "lower": 0.9}
"""How far along the skin a lid pulls it, in radii of the eyeball."""
_PLATE = 0.16
"""How far along the skin a lid is stiff and goes along whole, in radii of the eyeball."""
_DEPTH = 0.9
"""How far in front of the eyeball skin still goes along, in its radii."""
_UNREACHED = 1e3
"""Metres along the skin to parts that hang together with no lid, such as lashes or a tear line."""
_STEPS = (0.1, 0.25, 0.5, 0.75, 1.0)
_FOLLOW_RANGE = (-0.8, 0.7, 1.4)
"""How far lids follow the gaze: up, down, and furthest down."""
_LEFT_OPEN = 0.03
"""Aspect ratio that may be left between the landmarks of a shut eye: FLAME's of the lower lid lie below its margin."""
_PASSES = 6
_SAMPLES = np.array([[i, j, 4 - i - j] for i in range(5) for j in range(5 - i)]) / 4.0


def lid_shapes(head: HeadModel) -> tuple[np.ndarray, np.ndarray]:
    """Return ``lids`` and ``lid_follow`` of ``HeadModel``, each (V, 3, 2) float32, left and right.

    Needs the landmarks 'face', 'left_lids' and 'right_lids' (rings along the margins) and eyeballs skinned to their
    joints. Skin outside of the eyeball stays outside of it for every blink from 0 to 1 and for lids that follow the
    gaze by -0.8 to 1.4 times what of the blink is missing, as they do on a rig.
    """
    lids, follow = np.zeros((2, len(head.vertices), 3, 2), np.float32)
    for side, (name, joint) in enumerate((("left", LEFT_EYE), ("right", RIGHT_EYE))):
        eye = _Eye(head, name, joint)
        followed = eye.followed()
        follow[eye.skin, :, side] = followed
        lids[eye.skin, :, side] = eye.shut(followed)
    return lids, follow


def eyeball(head: HeadModel, joint: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Centre (3,), radius in metres (the outermost vertex's) and vertex indices of the eyeball of an eye joint."""
    indices = np.flatnonzero(head.weights[:, joint] > 0.5)
    if len(indices) < 4:
        raise TalkingEyesError(
            f"No eyeball hangs on the joint '{JOINTS[joint]}'.", "Its vertices need a skin weight of 1 to that joint."
        )
    points = head.vertices[indices]
    # |p|^2 = 2 p.c + (r^2 - |c|^2) is linear in the centre.
    system = np.concatenate([2 * points, np.ones((len(points), 1))], 1)
    centre = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0][:3]
    return centre, float(np.linalg.norm(points - centre, axis=1).max()), indices


def penetration(head: HeadModel, vertices: np.ndarray, joint: int) -> float:
    """How deep, in metres, skin that is outside of the eyeball at rest lies in it with ``vertices`` (V, 3), or at most
    with any of (T, V, 3).

    Faces are sampled, not only their corners; a negative number is the least distance. The head must not be turned.
    Skin is what hangs together with the lids' margin: lashes and a catchlight in front of the eye are none.
    """
    centre, radius, _ = eyeball(head, joint)
    triangles = _outer_triangles(head, centre, radius, "left" if joint == LEFT_EYE else "right")
    return float(radius - np.linalg.norm(_SAMPLES @ vertices[..., triangles, :] - centre, axis=-1).min())


class _Eye:
    """One eye and the skin round it.

    Points are also told in the eye's own coordinates, (..., 3): the angle ``along`` the axis through its corners, the
    ``turn`` about that axis (up is positive), and the distance from the eyeball's centre. Turning a lid changes the
    second one alone.
    """

    def __init__(self, head: HeadModel, name: str, joint: int) -> None:
        self.centre, self.radius, _ = eyeball(head, joint)
        # iBUG counts corners and lids from the viewer's left; here the ones nearer to the nose come first.
        face = head.vertices[head.landmarks["face"]]
        corners, pairs = face[EYE_CORNERS[name]], face[LID_PAIRS[name]]
        corners = corners[np.argsort(np.abs(corners[:, 0]))]
        pairs = pairs[np.argsort(np.abs(pairs[:, 0, 0]))]
        ring = head.landmarks[f"{name}_lids"]
        self.frame = self._axes(corners, head.vertices[ring].mean(0))

        near = np.linalg.norm(head.vertices - self.centre, axis=1) < 3 * self.radius
        self.skin = np.flatnonzero(near & (head.weights[:, LEFT_EYE:].sum(1) < 0.5))
        self.points = head.vertices[self.skin]
        place = np.full(len(head.vertices), -1)
        place[self.skin] = np.arange(len(self.skin))
        self.edges = _edges(head.faces, place)
        self.triangles = place[_outer_triangles(head, self.centre, self.radius, name)]
        self.margins: dict[str, np.ndarray] = {}
        """'upper' and 'lower': (64, 3) along, turn and distance from the inner to the outer corner."""
        self.pull: dict[str, np.ndarray] = {}
        """'upper' and 'lower': (N,) how much of that lid's motion each vertex makes, 0 to 1."""
        self.plate = np.zeros(len(self.skin), bool)
        """(N,) whether a vertex belongs to the stiff part of a lid, along its margin."""
        self.marks = place[head.landmarks["face"][LID_PAIRS[name]]]
        """(2, 2) upper and lower landmark of each pair, among the skin."""
        self._find_lids(place[ring], corners, {"upper": pairs[:, 0], "lower": pairs[:, 1]})

    def shut(self, followed: np.ndarray) -> np.ndarray:
        """(N, 3) displacement of the skin with the lids shut, for lids that may be on their way ``followed`` before."""
        upper, lower = self.margins["upper"], self.margins["lower"]
        closing = lower + _CLOSING * (upper - lower)
        opening = np.maximum(upper[:, 1] - lower[:, 1], 0)
        fade = opening / opening.max()
        down = closing - upper
        down[:, 1] -= fade**0.5 * _OVERLAP / self.radius
        down[:, 2] = np.maximum(lower[:, 2] + _COVER - upper[:, 2], 0) * fade**0.5
        rise = closing - lower
        rise[:, 2] = 0
        starts = (0 * followed, *(value * followed for value in _FOLLOW_RANGE))
        for _ in range(_PASSES):
            displacement = self._moved({"upper": down, "lower": rise}, starts)
            missing = self._missing(displacement)
            if not missing.any():
                break
            # What is still missing between the landmarks, each lid makes by half; at the corners there is nothing.
            down += 0.5 * missing
            rise -= 0.5 * missing
        return displacement

    def _missing(self, displacement: np.ndarray) -> np.ndarray:
        """(64, 3) along, turn and r that the upper margin still has to go, by the lids' landmarks."""
        place = self._spherical((self.points + displacement)[self.marks])
        upper, lower = place[:, 0], place[:, 1]
        apart = lower - upper
        # An aspect ratio counts the gap beside the eye's width; here both are angles at the eyeball's centre.
        along = self.margins["upper"][:, 0]
        size = np.linalg.norm(apart / [1, 1, self.radius], axis=1, keepdims=True)
        apart = apart * np.maximum(1 - _LEFT_OPEN * np.ptp(along) / np.maximum(size, 1e-9), 0)
        at = self._spherical(self.points[self.marks[:, 0]])[:, 0]
        order = np.argsort(at)
        knots = np.concatenate([along[:1], at[order], along[-1:]])
        values = np.concatenate([np.zeros((1, 3)), apart[order], np.zeros((1, 3))])
        return np.stack([np.interp(np.maximum.accumulate(along), knots, column) for column in values.T], 1)

    def followed(self) -> np.ndarray:
        """(N, 3) displacement of the skin with the eye looking down by LID_FOLLOW_DEGREES."""
        opening = np.maximum(self.margins["upper"][:, 1] - self.margins["lower"][:, 1], 0)
        moves = {}
        for lid, angle in _FOLLOW.items():
            moves[lid] = np.zeros((len(opening), 3))
            moves[lid][:, 1] = -angle * (opening / opening.max()) ** 0.75
        return self._moved(moves, (np.zeros_like(self.points),), (*_STEPS, max(_FOLLOW_RANGE)))

    def _axes(self, corners: np.ndarray, margin: np.ndarray) -> np.ndarray:
        """Rows: along (inner to outer corner), up, forward."""
        along = _unit(corners[1] - corners[0])
        forward = margin - self.centre
        forward = _unit(forward - along * (forward @ along))
        up = np.cross(forward, along)
        return np.stack([along, up * np.sign(up[1]), forward])

    def _find_lids(self, ring: np.ndarray, corners: np.ndarray, marks: dict[str, np.ndarray]) -> None:
        place = self._spherical(self.points)
        first, last = (self._nearest(ring, corner) for corner in corners)
        ring = np.roll(ring, -first)
        split = (last - first) % len(ring)
        halves = [ring[: split + 1], np.append(ring[split:], ring[0])[::-1]]
        halves.sort(key=lambda half: -place[half, 1].mean())
        lengths = np.linalg.norm(self.points[self.edges[:, 0]] - self.points[self.edges[:, 1]], axis=1)
        distances = np.stack([_distances(half, self.edges, lengths, len(self.points)) for half in halves])
        distances = np.minimum(distances, _UNREACHED)
        # What lies as near to one lid as to the other, beyond the corners, belongs to both by half.
        own = 1 - _fall(distances[::-1] / np.maximum(distances.sum(0), 1e-9))
        along_skin = np.maximum(distances / self.radius - _PLATE, 0)
        # Skin further out than this does not slide over the eyeball any more.
        height = (place[:, 2] - self.radius) / (_DEPTH * self.radius)
        for i, (lid, half) in enumerate(zip(("upper", "lower"), halves, strict=True)):
            at = [self._nearest(half, point) for point in marks[lid]]
            self.margins[lid] = _resampled(place[half], at)
            self.pull[lid] = _fall(along_skin[i] / _REACH[lid]) * _fall(height) * own[i]
            self.plate |= (along_skin[i] == 0) & (height < 0.25)

    def _nearest(self, vertices: np.ndarray, point: np.ndarray) -> int:
        return int(np.linalg.norm(self.points[vertices] - point, axis=1).argmin())

    def _moved(
        self, moves: dict[str, np.ndarray], starts: tuple[np.ndarray, ...], steps: tuple[float, ...] = _STEPS
    ) -> np.ndarray:
        """Displacement (N, 3) for moves (64, 3) of the two margins in along, turn and r.

        Straight ways to it from each of ``starts`` (N, 3), displacements too, keep clear of the eyeball at ``steps``.
        """
        rest = self._spherical(self.points)
        offset = np.zeros_like(rest)
        for lid, move in moves.items():
            along = np.maximum.accumulate(self.margins[lid][:, 0])
            each = np.stack([np.interp(rest[:, 0], along, move[:, i], left=0, right=0) for i in range(3)], 1)
            offset += self.pull[lid][:, None] * each
        # The margins know where to go; the skin between spreads their motion evenly, also round the corners.
        offset = np.stack([_smoothed(column, self.edges, self.plate) for column in offset.T], 1)
        offset[np.abs(offset).max(1) < 1e-4] = 0
        return self._kept_outside(rest + offset, offset.any(1), starts, steps) - self.points

    def _kept_outside(
        self, place: np.ndarray, moved: np.ndarray, starts: tuple[np.ndarray, ...], steps: tuple[float, ...]
    ) -> np.ndarray:
        """Points of ``place``, raised until the straight ways to them keep clear of the eyeball."""
        of = self.triangles[moved[self.triangles].any(1)]
        # What lies closer at rest, such as the inner edge of the margin, need not lift off.
        at_rest = np.linalg.norm(_SAMPLES @ self.points[of] - self.centre, axis=-1)
        floor = self.radius + np.minimum(_CLEARANCE, np.maximum(at_rest - self.radius, 0))
        for _ in range(60):
            points = self._cartesian(place)
            depth = np.zeros(len(of))
            for start in starts:
                from_ = (self.points + start)[of]
                for step in steps:
                    between = from_ + step * (points[of] - from_)
                    reached = np.linalg.norm(_SAMPLES @ between - self.centre, axis=-1)
                    depth = np.maximum(depth, ((floor - reached) / step).max(1))
            if depth.max(initial=0) <= 1e-6:
                break
            raised = np.zeros(len(place))
            np.maximum.at(raised, of.ravel(), np.repeat(np.maximum(depth, 0), 3))
            place[:, 2] += np.where(moved, 0.7 * raised, 0)
        return np.where(moved[:, None], self._cartesian(place), self.points)

    def _spherical(self, points: np.ndarray) -> np.ndarray:
        along, up, forward = np.moveaxis((points - self.centre) @ self.frame.T, -1, 0)
        length = np.maximum(np.sqrt(along**2 + up**2 + forward**2), 1e-9)
        return np.stack([np.arcsin(np.clip(along / length, -1, 1)), np.arctan2(up, forward), length], -1)

    def _cartesian(self, place: np.ndarray) -> np.ndarray:
        along, turn, length = np.moveaxis(place, -1, 0)
        local = np.stack([np.sin(along), np.cos(along) * np.sin(turn), np.cos(along) * np.cos(turn)], -1)
        return self.centre + length[:, None] * local @ self.frame


def _outer_triangles(head: HeadModel, centre: np.ndarray, radius: float, side: str) -> np.ndarray:
    """Triangles of the skin near an eyeball that lie wholly outside of it at rest."""
    near = np.linalg.norm(head.vertices - centre, axis=1)
    near[head.weights[:, LEFT_EYE:].sum(1) > 0.5] = np.inf
    triangles = _triangles(head.faces)
    corners = near[triangles]
    triangles = triangles[((corners < 2.5 * radius) & (corners > radius)).all(1)]
    ring = head.landmarks.get(f"{side}_lids")
    if ring is not None:
        triangles = triangles[_connected(triangles, ring, len(near))[triangles[:, 0]]]
    samples = np.linalg.norm(_SAMPLES @ head.vertices[triangles] - centre, axis=-1)
    return triangles[(samples >= radius).all(1)]


def _connected(triangles: np.ndarray, sources: np.ndarray, count: int) -> np.ndarray:
    """(count,) whether a vertex hangs together with one of ``sources`` by triangles (N, 3)."""
    reached = np.zeros(count, bool)
    reached[sources] = True
    while True:
        touched = reached[triangles].any(1)
        before = reached.sum()
        reached[triangles[touched]] = True
        if reached.sum() == before:
            return reached


def _triangles(faces: np.ndarray) -> np.ndarray:
    quads = faces[:, 3] >= 0
    return np.concatenate([faces[:, :3], faces[quads][:, [0, 2, 3]]])


def _edges(faces: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(K, 2) edges, by ``place``, of the faces that lie wholly in it."""
    following = np.where(faces[:, 3:] >= 0, np.roll(faces, -1, 1), faces[:, [1, 2, 0, 0]])
    pairs = np.stack([faces, following], -1)[faces >= 0]
    pairs = np.sort(np.where(pairs >= 0, place[pairs], -1), 1)
    return np.unique(pairs[pairs[:, 0] >= 0], axis=0)


def _distances(sources: np.ndarray, edges: np.ndarray, lengths: np.ndarray, count: int) -> np.ndarray:
    """(count,) shortest way along edges from the nearest source (Dijkstra)."""
    neighbours: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    for (a, b), length in zip(edges.tolist(), lengths.tolist(), strict=True):
        neighbours[a].append((b, length))
        neighbours[b].append((a, length))
    best = np.full(count, np.inf)
    best[sources] = 0
    queue = [(0.0, int(source)) for source in sources]
    while queue:
        distance, at = heapq.heappop(queue)
        if distance > best[at]:
            continue
        for to, length in neighbours[at]:
            if distance + length < best[to]:
                best[to] = distance + length
                heapq.heappush(queue, (best[to], to))
    return best


def _smoothed(values: np.ndarray, edges: np.ndarray, kept: np.ndarray, passes: int = 12) -> np.ndarray:
    """Average each value with its neighbours', some times over; ``kept`` ones stay."""
    degree = np.maximum(np.bincount(edges.ravel(), minlength=len(values)), 1)
    start = values[kept]
    for _ in range(passes):
        total = np.bincount(edges[:, 0], values[edges[:, 1]], len(values))
        total += np.bincount(edges[:, 1], values[edges[:, 0]], len(values))
        values = 0.5 * values + 0.5 * total / degree
        values[kept] = start
    return values


def _resampled(curve: np.ndarray, marks: list[int]) -> np.ndarray:
    """(K, 3) spherical places of a margin to (64, 3), so that points of the two lids that meet have one position.

    Which do is in between of two answers: those at equal shares of the margins' lengths, and those between which the
    eye's aspect ratio is measured (``marks``, two positions on the curve, which would come to 1/3 and 2/3). The first
    alone leaves FLAME's landmarks 3 mm apart, sideways, on a shut eye; the second alone drags the lid to the nose.
    """
    steps = np.hypot(np.diff(curve[:, 0]), np.diff(curve[:, 1]) * np.cos(curve[:-1, 0]))
    share = np.append(0, np.cumsum(steps)) / steps.sum()
    third = np.linspace(0, 1, 4)
    even = np.linspace(0, 1, 64)
    at = 0.5 * even + 0.5 * np.polyval(np.polyfit(third, [0, *share[marks], 1], 3), even)
    if (np.diff(at) <= 0).any():
        at = even
    return np.stack([np.interp(at, share, column) for column in curve.T], 1)


def _fall(x: np.ndarray) -> np.ndarray:
    """1 at 0, 0 from 1 on, level at both ends."""
    x = np.clip(x, 0, 1)
    return 1 - x * x * (3 - 2 * x)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
