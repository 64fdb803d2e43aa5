"""The stand-in's ear as rings from the skull over the helix and the antihelix down into the concha."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from .standin_cage import EAR
from .standin_surface import Skin

_CENTRE_Y, _CENTRE_Z = 3.0, -48.0
_UP, _DOWN, _BACK, _FRONT = 29.0, 27.0, 17.0, 10.0
"""Half axes of the outline, mm."""
_LEAN = 0.22
"""How far the ear's axis leans back, mm for each mm upwards."""

_RINGS = (  # size of the outline and distance from the skull (mm): at the back, then in front
    (0.66, 0.5, 1.12, 0.2),  # where the ear leaves the skull
    (0.84, 9.0, 1.06, 0.4),  # its back
    (1.00, 15.5, 1.00, 0.7),
    (1.00, 18.5, 0.92, 1.0),  # the helix
    (0.90, 18.3, 0.82, 1.6),
    (0.82, 14.8, 0.70, 3.6),  # the groove behind it; in front, the tragus
    (0.67, 16.0, 0.56, 3.4),  # the antihelix
    (0.50, 9.0, 0.47, -0.5),
    (0.34, 2.5, 0.36, -2.0),  # the concha
)


def ear_rings(rim: np.ndarray, skin: Skin, larger: float = 0.0) -> list[np.ndarray]:
    """Positions (points, 3) of the left ear's rings inside the hole's ``rim`` (points, 3), outermost first.

    ``larger`` is what is added to half the ear's height, mm; all else grows with it, the hole excepted.
    """
    scale = 1 + larger / _UP
    offset = rim - rim.mean(0)
    angle = np.arctan2(offset[:, 1] / np.abs(offset[:, 1]).max(), -offset[:, 2] / np.abs(offset[:, 2]).max())
    sine, cosine = np.sin(angle), np.cos(angle)  # angle 0 points to the back, positive upwards
    behind = np.clip(0.5 + 0.62 * cosine, 0, 1)
    behind = behind * behind * (3 - 2 * behind)
    lobe = np.clip(-sine, 0, 1)
    rings = []
    for back, out_back, front, out_front in _RINGS:
        size = (front + (back - front) * behind) * (1 + (scale - 1) * min(1.0, 1.5 * back))
        y = _CENTRE_Y + size * sine * np.where(sine > 0, _UP, _DOWN)
        width = np.where(cosine > 0, _BACK, _FRONT) * (1 - 0.30 * lobe**2)
        z = _CENTRE_Z - size * cosine * width - _LEAN * (y - _CENTRE_Y)
        ring = skin.cast(np.stack([np.full(EAR.points, 120.0), y, z], 1), (-1, 0, 0))
        ring[:, 0] = 0.6 * ring[:, 0] + 0.4 * ring[:, 0].mean()  # the ear is flatter than the skull under it
        ring[:, 0] += scale * (out_front + (out_back - out_front) * behind) * (1 - 0.35 * lobe**2)
        rings.append(ring)
    return rings
