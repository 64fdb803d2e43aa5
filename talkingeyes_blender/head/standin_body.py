"""The stand-in's skin at its final resolution: the refined cage with weights and motions, before parts are added."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np

from . import standin_lids
from .arkit import MOUTH_CLOSE_JAW_DEGREES
from .model import JAW, NECK, ROOT
from .standin_cage import CONTACT, EYE, LID_MARGIN, MOUTH, NOSTRIL, Cage
from .standin_character import LEFT, MIRROR, RIGHT, Character
from .standin_fields import FieldSolver
from .standin_placement import place
from .standin_shapes import JAW_CORRECTIVE_DEGREES, OPENING, Sculptor, ShapeSet
from .standin_subdivision import Subdivision
from .standin_surface import Skin
from .standin_weights import blend_correctives, cage_weights, jaw_corrective_at, open_jaw, sculpted_jaw_corrective

BLINK_LEFT, BLINK_RIGHT = "blink left", "blink right"
FOLLOW_LEFT, FOLLOW_RIGHT = "follow left", "follow right"
LID_MOTIONS = (BLINK_LEFT, BLINK_RIGHT, FOLLOW_LEFT, FOLLOW_RIGHT)
"""Motions beside the expressions: lids shut, and lids when the eye looks down."""

LEAST_CLEARANCE = 0.85
"""Least distance (mm) that a lid keeps from the eyeball's sphere on its way: over the cornea and the catchlight."""


@dataclasses.dataclass
class Body:
    """Refined skin of one character, in mm."""

    character: Character
    skin: Skin
    cage: Cage
    places: np.ndarray
    """(N, 3) the cage's vertices."""
    subdivision: Subdivision
    points: np.ndarray
    """(n, 3)"""
    on_skin: np.ndarray
    """(n,) bool: lies on the skin's surface, not in a lid, lip, ear or nostril."""
    mirror: np.ndarray
    """(n,) vertex on the other side."""
    weights: np.ndarray | None = None
    """(n, 5)"""
    motions: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """(n, 3) by the name of the expression or LID_MOTIONS; empty where only the shape of the head was asked for."""
    pose_basis: np.ndarray | None = None
    """(n, 3, 36), or None where only the shape of the head was asked for."""

    @property
    def faces(self) -> np.ndarray:
        """(f, 4)"""
        return self.subdivision.faces

    @property
    def face_material(self) -> np.ndarray:
        """(f,)"""
        return np.array(self.cage.face_material)[self.subdivision.parent]

    def ring(self, patch, side: int, ring: int) -> np.ndarray:
        """Vertices of a patch's ring at full resolution, starting where the cage's ring starts."""
        return self.subdivision.refine_loop(self.cage.rings[patch.name, side][ring])

    def ring_and_cap(self, patch, side: int, first: int) -> np.ndarray:
        """(n,) bool: within a capped patch from its ring ``first`` inwards."""
        inside = np.zeros(len(self.cage))
        inside[self.cage.rings[patch.name, side][first:]] = 1
        inside[self.cage.cap(patch, side)] = 1
        return self.subdivision.apply(inside) > 0.5


def build_body(character: Character, like: Body | None = None) -> Body:
    """Place, refine and animate the skin of ``character``.

    With ``like``, the body of a similar character, only the shape of the head is made, with the other's weights.
    """
    cage = like.cage if like else Cage()
    skin = Skin(character)
    places = place(cage, character, like.places if like else None)
    subdivision = like.subdivision if like else Subdivision(cage.faces, len(cage))
    points = subdivision.apply(places)
    surface, relaxed = _surface_masks(cage, subdivision)
    points[surface] = skin.project(points[surface], 6)
    points = _relax(points, subdivision.faces, skin, relaxed & (points[:, 1] > -180))
    mirror = _fine_mirror(cage, subdivision)
    points = 0.5 * (points + points[mirror] * MIRROR)
    body = Body(character, skin, cage, places, subdivision, points, surface, mirror)
    _part_lids_from_eyeballs(body)
    _weld_lip_line(body)
    if like:
        body.weights = like.weights
    else:
        solver = FieldSolver(cage.laplacian)
        weights = cage_weights(cage, places, solver)
        body.weights = subdivision.apply(weights)
        _animate(body, Sculptor(cage, places, weights, character, solver).make())
    return body


def _surface_masks(cage: Cage, subdivision: Subdivision) -> tuple[np.ndarray, np.ndarray]:
    """Fine vertices that lie on the skin, and those of them that may be shifted along it (not the nose)."""
    surface = cage.is_grid.astype(float)
    for side in (LEFT, RIGHT):
        surface[cage.rings["ear", side][0]] = 0
    relaxed = surface.copy()
    relaxed[cage.select(lambda row, column: 12 <= row <= 16 and column <= 3)] = 0
    for side in (LEFT, RIGHT):
        relaxed[cage.rings[NOSTRIL.name, side][0]] = 0
    relaxed[cage.select(lambda row, column: 13 <= row <= 16 and column == 4)] = 0
    return subdivision.apply(surface) > 0.999, subdivision.apply(relaxed) > 0.999


def _relax(points: np.ndarray, faces: np.ndarray, skin: Skin, free: np.ndarray, rounds: int = 6) -> np.ndarray:
    """Even out the spacing of the refined skin without leaving the surface."""
    ends = np.concatenate([np.stack([faces[:, k], faces[:, (k + 1) % 4]], 1) for k in range(4)])
    degree = np.bincount(ends[:, 0], minlength=len(points))[:, None]
    for _ in range(rounds):
        around = np.stack([np.bincount(ends[:, 0], points[ends[:, 1], k], len(points)) for k in range(3)], 1)
        points[free] += 0.5 * (around / np.maximum(degree, 1) - points)[free]
        points[free] = skin.project(points[free], 2)
    return points


def _fine_mirror(cage: Cage, subdivision: Subdivision) -> np.ndarray:
    """(n,) mirror map of the refined vertices, from that of the cage."""
    edges = [subdivision.edge_vertex(cage.mirror[a], cage.mirror[b]) for a, b in subdivision.edges]
    by_corners = {frozenset(corners): i for i, corners in enumerate(cage.faces)}
    first_face = len(cage) + len(edges)
    faces = [first_face + by_corners[frozenset(cage.mirror[list(corners)].tolist())] for corners in cage.faces]
    return np.concatenate([cage.mirror, edges, faces]).astype(int)


def _lid_mask(body: Body, side: int) -> np.ndarray:
    """(n,) bool: belongs to the lids that lie over the eyeball."""
    mask = np.zeros(len(body.cage))
    mask[body.cage.rings[EYE.name, side][2:]] = 1
    return body.subdivision.apply(mask) > 0.5


def _part_lids_from_eyeballs(body: Body) -> None:
    """Refinement cuts corners; bring the lids back to their distance from the eyeballs."""
    for side in (LEFT, RIGHT):
        mask = _lid_mask(body, side)
        azimuth, elevation, radius = standin_lids.to_sphere(body.character, body.points[mask], side)
        least = body.character.eye_radius + standin_lids.MARGIN_CLEARANCE - 0.2
        body.points[mask] = standin_lids.from_sphere(
            body.character, azimuth, elevation, np.maximum(radius, least), side
        )


def _contact_pairs(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Fine vertices of upper and lower lip, opposite each other along the line where they touch, without corners."""
    loop = body.ring(MOUTH, LEFT, CONTACT)
    half = len(loop) // 2
    return loop[1:half], loop[:half:-1]


def _weld_lip_line(body: Body) -> None:
    """At rest the lips touch exactly."""
    upper, lower = _contact_pairs(body)
    middle = 0.5 * (body.points[upper] + body.points[lower])
    body.points[upper] = body.points[lower] = middle


def _animate(body: Body, shapes: ShapeSet) -> None:
    """Refine the cage's shapes and finish what must be exact at full resolution: lids, lips' line, mouthClose."""
    character, joint = body.character, body.character.joints[JAW]
    refine = body.subdivision.apply
    names = list(shapes.expressions)
    refined = refine(np.stack([shapes.expressions[name] for name in names], 1))
    body.motions = {name: refined[:, i] for i, name in enumerate(names)}
    body.motions[BLINK_LEFT] = refine(shapes.lids)
    body.motions[FOLLOW_LEFT] = refine(shapes.lid_follow)

    body.pose_basis = np.zeros((len(body.points), 3, 36))
    body.pose_basis[:, :, :9] = blend_correctives(body.points, 1 - body.weights[:, ROOT], character.joints[NECK])
    body.pose_basis[:, :, 9:18] = blend_correctives(body.points, body.weights[:, JAW], joint)
    body.pose_basis[:, :, 9:18] += sculpted_jaw_corrective(refine(shapes.jaw_sculpt), JAW_CORRECTIVE_DEGREES)

    upper, lower = _contact_pairs(body)
    for name in names:
        if name not in OPENING:
            motion = body.motions[name]
            motion[upper] = motion[lower] = 0.5 * (motion[upper] + motion[lower])
    _keep_lids_clear(body)
    _close_mouth_exactly(body, upper, lower)
    body.motions["eyeBlinkLeft"] = body.motions[BLINK_LEFT].copy()
    for left in [BLINK_LEFT, FOLLOW_LEFT, *[name for name in names if name.endswith("Left")]]:
        right = left.replace("left", "right").replace("Left", "Right")
        body.motions[right] = body.motions[left][body.mirror] * MIRROR
    for name in names:
        if not name.endswith(("Left", "Right")):
            body.motions[name] = 0.5 * (body.motions[name] + body.motions[name][body.mirror] * MIRROR)


def _keep_lids_clear(body: Body) -> None:
    """Move the ends of the left lids' paths outwards until no point of the way comes too near to the eyeball."""
    character, mask = body.character, _lid_mask(body, LEFT)
    rest = body.points[mask]
    for name, least_at_end, ways in (
        (BLINK_LEFT, standin_lids.SHUT_CLEARANCE - 0.2, (0.3, 0.4, 0.5, 0.6, 0.7, 1.0)),
        (FOLLOW_LEFT, LEAST_CLEARANCE, (-0.8, -0.4, 0.3, 0.5, 0.7, 1.0, 1.4)),
    ):
        motion = body.motions[name][mask]
        end = rest + motion
        azimuth, elevation, radius = standin_lids.to_sphere(character, end)
        end = standin_lids.from_sphere(
            character, azimuth, elevation, np.maximum(radius, character.eye_radius + least_at_end)
        )
        for _ in range(12):
            for way in ways:
                on_way = rest + way * (end - rest)
                offset = on_way - character.eye_centre
                distance = np.linalg.norm(offset, axis=1, keepdims=True)
                lack = np.maximum(character.eye_radius + LEAST_CLEARANCE - distance, 0)
                end = end + 0.6 * lack / way * offset / distance
        body.motions[name][mask] = end - rest


def _close_mouth_exactly(body: Body, upper: np.ndarray, lower: np.ndarray) -> None:
    """Remove what refinement has left of the gap between the lips in mouthClose at its jaw opening."""
    joint = body.character.joints[JAW]
    both = np.concatenate([upper, lower])
    share = body.weights[both, JAW]
    rest = body.points[both] + jaw_corrective_at(body.pose_basis[both, :, 9:18], MOUTH_CLOSE_JAW_DEGREES)
    posed = open_jaw(rest + body.motions["mouthClose"][both], share, joint, MOUTH_CLOSE_JAW_DEGREES)
    half = len(upper)
    middle = 0.5 * (posed[:half] + posed[half:])
    goal = open_jaw(np.concatenate([middle, middle]), share, joint, MOUTH_CLOSE_JAW_DEGREES, undo=True)
    body.motions["mouthClose"][both] = goal - rest


def lid_margin(body: Body, side: int) -> np.ndarray:
    """Fine vertices (48,) of the lids' inner margin, from the outer corner over the upper lid round."""
    return body.ring(EYE, side, LID_MARGIN)
