"""Eyeballs, lashes and catchlights of the stand-in."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from .standin_body import Body
from .standin_cage import EYE, LID_FRONT
from .standin_character import LEFT, MATERIAL, Character
from .standin_lids import CORNEA, from_sphere, to_sphere
from .standin_part import TRIANGLE, Part, materials, one_joint, sheet

SEGMENTS = 36
"""Points round the eyeball's axis."""

LIMBUS = 3.5
"""Width of the iris's dark border, degrees."""

CATCHLIGHT_HEIGHT = 0.12
"""How far the catchlight floats over the cornea's highest point, mm."""


def eye_parts(body: Body) -> list[Part]:
    left = _eyeball(body.character)
    lash = _lashes(body)
    light = _catchlight(body.character)
    return [
        left, left.mirrored("right eye"), lash, lash.mirrored("right lashes"),
        light, _catchlight(body.character, mirrored=True),
    ]  # fmt: skip


def _cornea_height(character: Character, degrees: np.ndarray) -> np.ndarray:
    """How far the surface stands out of the sphere at ``degrees`` from the axis, mm."""
    return CORNEA * np.cos(np.clip(degrees / (character.iris + 2), 0, 1) * np.pi / 2) ** 1.2


def _eyeball(character: Character) -> Part:
    """The left eyeball: pole in front, sharp borders of pupil, iris and limbus between two close rings each."""
    iris, pupil, sharp = character.iris, character.pupil, 0.4
    bands = (  # end of the band, degrees from the axis, and its material
        (6.0, "pupil"), (12.0, "pupil"), (pupil - sharp, "pupil"), (pupil + sharp, "pupil"),
        (pupil + 2.5, "iris"), (0.5 * (pupil + iris), "iris"),
        (iris - LIMBUS - sharp, "iris"), (iris - LIMBUS + sharp, "iris"),
        (iris - sharp, "limbus"), (iris + sharp, "limbus"),
        *((float(d), "sclera") for d in (41, 49, 59, 72, 88, 108, 135)),
    )  # fmt: skip
    degrees = np.array([end for end, _ in bands])
    radius = character.eye_radius + _cornea_height(character, degrees)
    polar = np.radians(degrees)
    turn = 2 * np.pi * np.arange(SEGMENTS) / SEGMENTS
    circle = np.stack([np.cos(turn), np.sin(turn)], 1)
    rings = np.concatenate(
        [
            (radius * np.sin(polar))[:, None, None] * circle[None],
            np.broadcast_to((radius * np.cos(polar))[:, None, None], (len(bands), SEGMENTS, 1)),
        ],
        2,
    )
    points, quads = sheet(rings, around=True)
    front, back = len(points), len(points) + 1
    points = np.concatenate([points, [(0, 0, character.eye_radius + CORNEA), (0, 0, -character.eye_radius)]])
    around = np.arange(SEGMENTS)
    following = (around + 1) % SEGMENTS
    last = (len(bands) - 1) * SEGMENTS
    none = np.full(SEGMENTS, TRIANGLE)
    front_cap = np.stack([np.full(SEGMENTS, front), around, following, none], 1)
    back_cap = np.stack([last + around, np.full(SEGMENTS, back), last + following, none], 1)
    quads = quads[:, ::-1]
    between = np.repeat([MATERIAL[material] for _, material in bands[1:]], SEGMENTS)
    face_material = np.concatenate([between, materials(SEGMENTS, "pupil"), materials(SEGMENTS, "sclera")])
    return Part(
        "left eye", points + character.eye_centre, np.concatenate([quads, front_cap, back_cap]), face_material,
        one_joint(len(points), "left_eye"), tint=_eye_tint(character, points),
    )  # fmt: skip


def _eye_tint(character: Character, points: np.ndarray) -> np.ndarray:
    """Shade under the upper lid, and light gathered in the lower iris, painted on."""
    height = points[:, 1] / character.eye_radius
    degrees = np.degrees(np.arccos(np.clip(points[:, 2] / np.linalg.norm(points, axis=1), -1, 1)))
    in_iris = (degrees < character.iris) & (degrees > character.pupil - 1)
    shade = 1 - 0.32 * np.clip((height - 0.05) / 0.40, 0, 1)
    glow = 0.72 + 0.75 * np.clip((0.15 - height) / 0.55, 0, 1)
    turn = np.arctan2(points[:, 1], points[:, 0])
    rays = 1 + 0.13 * np.sin(9 * turn + 1) * np.sin(4 * turn + 0.4)
    ring = 1 + 0.30 * np.exp(-(((degrees - character.pupil - 4) / 4) ** 2))  # lighter round the pupil
    return np.repeat((shade * np.where(in_iris, glow * rays * ring, 1.0))[:, None], 3, 1)


def landmark_pupil(part: Part) -> int:
    """Number, within an eyeball, of the vertex in the middle of its pupil."""
    return len(part.points) - 2


def _lashes(body: Body) -> Part:
    """Lashes of the left upper lid as one dark wedge on its edge, longest outside, that keeps the lid's motion."""
    character = body.character
    front = body.cage.rings[EYE.name, LEFT][LID_FRONT]
    line = body.subdivision.refine_loop(front[: EYE.points // 2], closed=False)
    along = np.linspace(0, 1, len(line))  # outer corner to inner corner
    arch = np.sin(np.pi * along)
    length = 2.8 * arch**0.6 * (1.25 - 0.8 * along)

    def wedge(azimuth, elevation, radius, curl) -> np.ndarray:
        """(points, 3, 3): edge at the eye, edge on the lid, tip."""
        low = azimuth, elevation - 0.9 * arch**0.5, radius - 0.35
        top = azimuth, elevation + 2.6 * arch**0.5, radius + 0.35
        tip = (
            azimuth + 17 * along * (1 - along) ** 3,
            elevation + 1.5 + 6 * along * (1 - along) ** 2 + curl,
            radius + length,
        )
        return np.stack([from_sphere(character, *edge) for edge in (low, top, tip)], 1)

    rest_angles = to_sphere(character, body.points[line])
    rest = wedge(*rest_angles, 0.0)
    motions = {}
    for name, motion in body.motions.items():
        if np.abs(motion[line]).max() < 0.05:
            continue
        moved = to_sphere(character, body.points[line] + motion[line])
        turn = (moved[1] - rest_angles[1]).min()
        curl = 0.2 * turn * arch if turn < -5 else 0.0  # lashes point down on a lid that goes down
        motions[name] = (wedge(*moved, curl) - rest).reshape(-1, 3)
    points, quads = sheet(rest, around=True)
    quads = quads[:, ::-1]
    return Part("left lashes", points, quads, materials(len(quads), "lash"), one_joint(len(points), "neck"), motions)


def _catchlight(character: Character, mirrored: bool = False) -> Part:
    """A bright disc over the cornea that stays with the light, not with the eye: both at the same side of the pupil."""
    turn = 2 * np.pi * np.arange(12) / 12
    side = -1 if mirrored else 1
    radius = character.eye_radius + CORNEA + CATCHLIGHT_HEIGHT
    azimuth, elevation, size = -12.0 * side, 12.0, 4.8
    rings = np.stack([
        from_sphere(character, azimuth + k * np.cos(turn), elevation + k * np.sin(turn), np.full(12, radius), side)
        for k in (0.02, size)
    ])  # fmt: skip
    points, quads = sheet(rings, around=True)
    name = "right catchlight" if mirrored else "left catchlight"
    quads = quads if mirrored else quads[:, ::-1]
    return Part(name, points, quads, materials(len(quads), "catchlight"), one_joint(len(points), "neck"))
