"""The numbers of the stand-in character: where its joints and eyes are, how wide its jaw is, what colours it has.

Everything in the ``standin_*`` generator is in millimetres and in FLAME's frame (+X the subject's left, +Y up, +Z out
of the face); only the written file is in metres. Changing a ``Character`` never changes the topology, so the difference
of two characters is an identity shape.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np

from .model import Material

MILLIMETRE = 1e-3
"""Metres in the unit of the generator."""

LEFT, RIGHT = 1, -1
"""Sign of X on the subject's left and right side."""

MIRROR = np.array([-1.0, 1.0, 1.0])
"""Factor that reflects a point in the plane of symmetry."""


@dataclasses.dataclass(frozen=True)
class Character:
    """Proportions in millimetres and degrees. The fields from ``jaw_width`` on are offsets from the default face."""

    eye: tuple[float, float, float] = (31.7, 23.0, 24.0)
    """Centre of the left eyeball: FLAME's (facts: .0317, .0229, .0244 m)."""
    eye_radius: float = 16.0
    """FLAME's is 13; larger eyes read better from afar, which is what this character is for."""
    iris: float = 35.5
    pupil: float = 17.5
    """Half angles of iris and pupil seen from the eyeball's centre, degrees."""
    lid_width: float = 61.0
    """Half angle of the slit between the lids, degrees of azimuth on the eyeball."""
    upper_lid: float = 25.5
    lower_lid: float = 29.5
    """Elevation of the lid margins above and below the axis: the upper lid covers the top of the iris (a bare iris
    stares), the lower one touches its bottom."""
    lid_tilt: float = 4.0
    """How much higher the outer corner of the eye is than the middle, degrees."""
    lid_meeting: float = -11.0
    """Elevation at which the shut lids meet: two thirds of the way down, as in people."""
    mouth_height: float = -38.5
    """Y of the line of the lips."""
    mouth_width: float = 21.5
    """Half the width of the lips' line."""
    smile: float = 3.6
    """How much higher the corners of the resting mouth are than its middle: friendly, but no smile yet."""

    jaw_width: float = 0.0
    chin: float = 0.0
    nose: float = 0.0
    nostrils: float = 0.0
    cheeks: float = 0.0
    brow: float = 0.0
    lips: float = 0.0
    ears: float = 0.0
    neck: float = 0.0
    skull: float = 0.0

    @property
    def eye_centre(self) -> np.ndarray:
        return np.array(self.eye)

    @property
    def joints(self) -> np.ndarray:
        """(5, 3) root, neck, jaw, left eye, right eye: FLAME 2023 Open's joints, made symmetric."""
        eye = self.eye_centre
        return np.array([(0.0, -146.0, -82.0), (0.0, -9.0, -54.0), (0.0, -16.0, -58.0), eye, eye * MIRROR])


IDENTITY_SHAPES: dict[str, dict[str, float]] = {
    "wide jaw": {"jaw_width": 5.0},
    "long chin": {"chin": 6.0},
    "long nose": {"nose": 5.0},
    "wide nostrils": {"nostrils": 1.8},
    "full cheeks": {"cheeks": 4.0},
    "strong brow": {"brow": 4.0},
    "full lips": {"lips": 2.5},
    "wide mouth": {"mouth_width": 3.0},
    "smiling corners": {"smile": 2.5},
    "slanted eyes": {"lid_tilt": 7.0},
    "low mouth": {"mouth_height": -2.5},
    "large ears": {"ears": 6.0},
    "thick neck": {"neck": 6.0},
    "tall skull": {"skull": 8.0},
}
"""What each identity shape adds to the default character's numbers at a coefficient of 1."""


def varied(character: Character, name: str) -> Character:
    """``character`` with the identity shape ``name`` in full."""
    changes = {key: getattr(character, key) + change for key, change in IDENTITY_SHAPES[name].items()}
    return dataclasses.replace(character, **changes)


def _linear(hex_color: str) -> tuple[float, float, float]:
    """Linear RGB of an sRGB colour (IEC 61966-2-1)."""
    channels = [int(hex_color[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return red, green, blue


MATERIALS = (
    Material("skin", _linear("efba98"), roughness=0.52, subsurface=0.22),
    Material("lips", _linear("d18b7b"), roughness=0.40, subsurface=0.22),
    Material("sclera", _linear("f3f0eb"), roughness=0.16),
    Material("iris", _linear("4b93b8"), roughness=0.14),
    Material("limbus", _linear("23506f"), roughness=0.14),
    Material("pupil", _linear("0a0a0c"), roughness=0.06),
    Material("teeth", _linear("f4efe3"), roughness=0.25, subsurface=0.10),
    Material("tongue", _linear("c9666a"), roughness=0.35, subsurface=0.20),
    Material("brow", _linear("5f3b27"), roughness=0.70),
    Material("hair", _linear("6a3f27"), roughness=0.48),
    Material("mouth", _linear("7a2c2e"), roughness=0.45),
    Material("lash", _linear("2a1814"), roughness=0.60),
    Material("catchlight", _linear("ffffff"), roughness=0.10, emission=1.5),
    Material("shirt", _linear("3d6f78"), roughness=0.80),
)
"""What the surface is made of; a face names its material by its place in this tuple."""

MATERIAL = {material.name: i for i, material in enumerate(MATERIALS)}
