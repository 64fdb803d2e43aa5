"""The stand-in's 41 expressions on the control cage, each with the meaning of ARKit's shape of that name.

A mouth shape says how the lips' rings move as a function of the angle round the mouth; the rest of the face follows by
the smoothest field. Shapes of the left side are made, those of the right side are their mirror images.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from . import standin_lids
from .arkit import EXPRESSIONS, MOUTH_CLOSE_JAW_DEGREES
from .model import JAW
from .standin_cage import CONTACT, CREST, EAR, EYE, MOUTH, NOSTRIL, VERMILION, Cage
from .standin_character import LEFT, RIGHT, Character
from .standin_fields import FieldSolver, Handles, smoothstep
from .standin_weights import blend_correctives, jaw_corrective_at, open_jaw, sculpted_jaw_corrective

JAW_CORRECTIVE_DEGREES = 18.0
"""Opening at which the sculpted corrective of the jaw counts in full."""

_ANGLES = 2 * np.pi * np.arange(MOUTH.points) / MOUTH.points
COSINE, SINE = np.cos(_ANGLES), np.sin(_ANGLES)
HEIGHT = np.abs(SINE)
UPPER, LOWER = SINE > 0.01, SINE < -0.01
LEFT_SHARE = smoothstep(COSINE, -0.55, 0.55)
"""(24,) share of the left shape of a pair; the right one has the rest, so that both together move the whole lip."""
LEFT_CORNER = smoothstep(COSINE, -0.35, 1.0)
"""(24,) nearness to the left corner."""

OPENING = ("mouthClose", "mouthFunnel", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft",
           "mouthUpperUpRight", "jawForward")  # fmt: skip
"""Shapes that part the lips' line or shift one lip against the other; all others keep it shut."""

Motion = Callable[[int], tuple]
"""How a ring of the mouth moves: x, y, z, each (24,) or a number, by the ring's number."""


@dataclasses.dataclass(frozen=True)
class ShapeSet:
    """Everything that moves the cage, in mm."""

    expressions: dict[str, np.ndarray]
    """(N, 3) by ARKit's name."""
    lids: np.ndarray
    """(N, 3) the left lids shut."""
    lid_follow: np.ndarray
    """(N, 3) the left lids when the eye looks down."""
    jaw_sculpt: np.ndarray
    """(N, 3) what the jaw's opening by JAW_CORRECTIVE_DEGREES adds."""


class Sculptor:
    """Makes the shapes of one placed cage."""

    def __init__(
        self, cage: Cage, places: np.ndarray, weights: np.ndarray, character: Character, solver: FieldSolver
    ) -> None:
        self.cage, self.places, self.weights, self.character, self.solver = cage, places, weights, character, solver
        self.mouth = cage.rings[MOUTH.name, LEFT]
        self.lid_rings = np.concatenate([cage.rings[EYE.name, side][2:].ravel() for side in EYE.sides])
        self.ears = np.concatenate(
            [np.append(cage.rings[EAR.name, side][1:], cage.cap(EAR, side)) for side in EAR.sides]
        )
        self.nostrils = np.concatenate(
            [np.append(cage.rings[NOSTRIL.name, side], cage.cap(NOSTRIL, side)) for side in NOSTRIL.sides]
        )
        self.far = np.append(self.ears, cage.select(lambda row, column: row <= 4 or row >= 27 or column >= 13))
        self.nose = np.append(self.nostrils, cage.select(lambda row, column: 11 <= row <= 15 and column <= 3))
        self.cavity = self.mouth[10:].ravel()

    def make(self) -> ShapeSet:
        shapes = {"jawForward": self._jaw_forward()}
        shapes |= (
            self._lid_shapes() | self._whole_mouth() | self._mouth_sides() | self._brows() | self._cheeks_and_nose()
        )
        sculpt = self._open_jaw_sculpt()
        shapes["mouthClose"] = self._mouth_close(sculpt)
        shapes["tongueOut"] = np.zeros_like(self.places)  # moves the tongue alone, which is no part of the cage
        for name in [name for name in shapes if name.endswith("Left")]:
            shapes[name.removesuffix("Left") + "Right"] = self.cage.reflect(shapes[name])
        args = self.cage, self.places, self.character
        return ShapeSet(
            {name: shapes[name] for name in EXPRESSIONS}, standin_lids.shut(*args), standin_lids.follow(*args), sculpt
        )

    # ------------------------------------------------------------------ tools

    def _spread(self, handles: Handles, *still: np.ndarray) -> np.ndarray:
        """The smoothest field by ``handles``; ``still``, ears, back of the head and shoulders do not move."""
        for vertices in still:
            handles.hold(vertices)
        return self.solver.spread(handles.hold(self.far))

    def _lips(self, motion: Motion, rings=range(VERMILION, 9), extra: Handles | None = None) -> np.ndarray:
        """The field in which the mouth's ``rings`` move by ``motion``; lids, nose and the mouth's back keep still."""
        handles = extra or Handles(3)
        for ring in rings:
            handles.add(self.mouth[ring], np.stack(np.broadcast_arrays(*motion(ring), SINE), 1)[:, :3])
        return self._spread(handles, self.lid_rings, self.cavity, self.nose)

    def _grid(self, *spots: tuple[int, int]) -> np.ndarray:
        return np.array([self.cage.grid(row, column) for row, column in spots])

    # ------------------------------------------------------------------ eyes

    def _lid_shapes(self) -> dict[str, np.ndarray]:
        args = self.cage, self.places, self.character
        return {
            "eyeBlinkLeft": standin_lids.shut(*args),
            "eyeWideLeft": standin_lids.wide(*args),
            "eyeSquintLeft": standin_lids.squint(*args) + 0.35 * self._cheek_raise(),
        }

    # ------------------------------------------------------------------ jaw

    def _jaw_forward(self) -> np.ndarray:
        """The lower jaw pushed ahead: everything by its weight to the jaw."""
        return self.weights[:, JAW, None] * np.array([0.0, 0.9, 6.5])

    def _open_jaw_sculpt(self) -> np.ndarray:
        """An open mouth is an oval: its corners come in, and the lower lip leaves the teeth a little."""

        def motion(ring):
            corner = np.abs(COSINE) ** 3
            drop = np.where(LOWER, -1.8, 0.8) * HEIGHT**3
            rounding = np.where(LOWER, 2.2, -1.8) * 2 * HEIGHT * np.abs(COSINE)
            return -3.2 * COSINE * corner, drop + rounding, np.where(LOWER, 0.6, 0.2) * HEIGHT - 0.5 * corner

        return self._lips(motion)

    def _mouth_close(self, sculpt: np.ndarray) -> np.ndarray:
        """Lips that meet although the jaw is open: the inverse of skinning and correctives at that opening."""
        joint, share = self.character.joints[JAW], self.weights[:, JAW]
        basis = blend_correctives(self.places, share, joint) + sculpted_jaw_corrective(sculpt, JAW_CORRECTIVE_DEGREES)
        correction = jaw_corrective_at(basis, MOUTH_CLOSE_JAW_DEGREES)
        posed = open_jaw(self.places + correction, share, joint, MOUTH_CLOSE_JAW_DEGREES)
        opposite = (-np.arange(MOUTH.points)) % MOUTH.points
        contact = self.mouth[CONTACT]
        upper = np.where(UPPER[:, None], posed[contact], posed[contact[opposite]])
        lower = np.where(UPPER[:, None], posed[contact[opposite]], posed[contact])
        shift = 0.5 * (upper + lower) - posed[contact]
        handles = Handles(3)
        for ring in range(VERMILION, 8):
            numbers = self.mouth[ring]
            goal = posed[numbers] + shift * (0.85 if ring == VERMILION else 1.0)
            rest = open_jaw(goal, share[numbers], joint, MOUTH_CLOSE_JAW_DEGREES, undo=True)
            handles.add(numbers, rest - correction[numbers] - self.places[numbers])
        return self._spread(handles, self.lid_rings, self.mouth[9:].ravel(), self.nose)

    # ------------------------------------------------------------------ mouth

    def _whole_mouth(self) -> dict[str, np.ndarray]:
        chin = self._grid(*[(23, column) for column in range(-3, 4)])
        return {
            "mouthFunnel": self._lips(self._funnel),
            "mouthPucker": self._lips(self._pucker),
            "mouthLeft": self._lips(self._sideways, rings=range(2, 9)),
            "mouthRollLower": self._lips(lambda ring: self._roll(ring, LOWER, 1)),
            "mouthRollUpper": self._lips(lambda ring: self._roll(ring, UPPER, -1)),
            "mouthShrugLower": self._lips(self._shrug_lower, extra=Handles(3).add(chin, (0, 3.0, 1.2))),
            "mouthShrugUpper": self._lips(self._shrug_upper),
        }

    @staticmethod
    def _funnel(ring: int) -> tuple:
        gain = {3: 0.85, 4: 0.95, 8: 0.6}.get(ring, 1.0)
        part = np.where(UPPER, 4.2, -5.2) * HEIGHT**0.7
        return -8.5 * COSINE * gain, (part - 1.8 * COSINE**2) * gain, (6.5 - COSINE**2) * gain

    @staticmethod
    def _pucker(ring: int) -> tuple:
        """The corners come in and down, so that the short line of the lips is straight, and the red turns outwards."""
        gain = {3: 0.9, 8: 0.6}.get(ring, 1.0)
        turned = {3: 1.5, 4: 1.3, CREST: 0.8}.get(ring, 0.0) * SINE
        return -11.5 * COSINE * gain, turned - 3.0 * COSINE**2 * gain, (7.5 - 1.5 * COSINE**2) * gain

    @staticmethod
    def _sideways(ring: int) -> tuple:
        gain = {2: 0.8, 8: 0.6}.get(ring, 1.0)
        return (6.5 - 1.2 * COSINE) * gain, 1.0 * COSINE * gain, -(0.8 + 2.4 * COSINE) * gain

    @staticmethod
    def _roll(ring: int, lip: np.ndarray, up: int) -> tuple:
        """One lip curls in over the teeth; ``up`` is the way from its border to the lips' line."""
        over, back = {3: (3.6, -1.8), 4: (3.8, -4.2), 5: (1.2, -4.2), 6: (0.0, -3.0), 7: (0.0, -1.2), 8: (0, 0)}[ring]
        share = np.where(lip, HEIGHT**0.8, 0.0)
        other = HEIGHT**0.8 * (-1.0 if ring in (CONTACT, 7) else 0.0)  # the other lip closes the gap that this leaves
        return 0.0, up * over * share, np.where(lip, back * share, other)

    @staticmethod
    def _shrug_lower(ring: int) -> tuple:
        lower = {3: (2.6, 1.2), 4: (3.2, 2.6), 5: (2.8, 3.0), 6: (2.4, 1.6), 7: (2.2, 0.8), 8: (0.6, 0.0)}[ring]
        upper = {3: (0.8, 0.1), 4: (1.5, 0.3), 5: (2.2, 0.7), 6: (2.4, 1.6), 7: (2.2, 0.8), 8: (0.6, 0.0)}[ring]
        fade = HEIGHT**0.7
        y, z = (np.where(LOWER, lower[k], upper[k]) * fade for k in (0, 1))
        return 0.0, y - 0.8 * (1 - fade), z

    @staticmethod
    def _shrug_upper(ring: int) -> tuple:
        upper = {3: (1.6, 1.2), 4: (2.4, 2.4), 5: (2.2, 2.6), 6: (1.8, 1.4), 7: (1.6, 0.6), 8: (0.4, 0.0)}[ring]
        lower = {3: (0.3, 0.1), 4: (0.8, 0.2), 5: (1.5, 0.6), 6: (1.8, 1.4), 7: (1.6, 0.6), 8: (0.4, 0.0)}[ring]
        fade = HEIGHT**0.7
        y, z = (np.where(UPPER, upper[k], lower[k]) * fade for k in (0, 1))
        return 0.0, y, z

    def _mouth_sides(self) -> dict[str, np.ndarray]:
        corner, with_border = LEFT_CORNER, range(2, 9)
        cheek = Handles(3).add(self._grid((14, 8), (14, 9), (15, 8)), (1.5, 3.6, 3.2))
        chin = Handles(3).add(self._grid((22, 2), (22, 3)), (0.0, 1.2, 0.4))
        frown = (1.2 * corner, -6.5 * corner**1.3, -1.5 * corner)
        dimple = (4.2 * corner**1.5, 1.6 * corner**1.5, -4.6 * corner**1.6)
        stretch = (7.0 * corner, -2.4 * corner**1.2, -4.0 * corner**1.5)
        lower, upper = LEFT_SHARE * LOWER, LEFT_SHARE * UPPER
        down = (0.8 * lower, -6.5 * lower * HEIGHT**0.8, 0.8 * lower * HEIGHT)
        up = (0.0, 5.5 * upper * HEIGHT**0.8, 0.6 * upper * HEIGHT)
        squint = standin_lids.squint(self.cage, self.places, self.character)
        return {
            "mouthSmileLeft": self._lips(self._smile, range(9), cheek) + 0.40 * squint,
            "mouthFrownLeft": self._lips(lambda ring: frown, with_border, chin),
            "mouthDimpleLeft": self._lips(lambda ring: dimple, with_border),
            "mouthStretchLeft": self._lips(lambda ring: stretch, with_border),
            "mouthPressLeft": self._lips(self._press, with_border),
            "mouthLowerDownLeft": self._lips(lambda ring: down),
            "mouthUpperUpLeft": self._lips(lambda ring: up),
        }

    @staticmethod
    def _smile(ring: int) -> tuple:
        """The corner goes out, up and back; the skin round it gives way in steps, else it would fold."""
        gain = {0: 0.40, 1: 0.70, 2: 0.93}.get(ring, 1.0)
        return (
            7.4 * gain * LEFT_CORNER,
            5.2 * gain * LEFT_CORNER**1.35,
            -4.2 * gain * LEFT_CORNER**1.5,
        )

    @staticmethod
    def _press(ring: int) -> tuple:
        """The red of both lips is squeezed: borders towards the line, which itself stays."""
        gain = {2: 0.3, 3: 1.0, 4: 0.9, CREST: 0.25}.get(ring, 0.0) * LEFT_SHARE
        corner = 0.8 * LEFT_CORNER**3
        return corner, np.where(UPPER, -1.7, 2.0) * HEIGHT * gain, -2.0 * HEIGHT * gain - corner

    # ------------------------------------------------------------------ brows, cheeks, nose

    def _brow_shape(self, motion: Callable[[np.ndarray], tuple]) -> np.ndarray:
        """The field in which the skin under the brows moves by ``motion(x)`` mm; the lids keep still."""
        rims = np.concatenate([self.cage.rings[EYE.name, side][0] for side in EYE.sides])
        tops = np.array([self.cage.grid(8, side * column) for side in EYE.sides for column in range(3, 12)])
        middle = np.array([self.cage.grid(8, column) for column in range(-2, 3)])
        across = range(-9, 10)
        handles = Handles(3)
        for numbers, gain in (
            (np.array([self.cage.grid(7, column) for column in across]), 1.0),
            (np.intersect1d(rims, tops), 0.85),
            (middle, 0.9),
            (np.array([self.cage.grid(6, column) for column in across]), 0.6),
        ):
            displacement = np.stack(np.broadcast_arrays(*motion(self.places[numbers, 0]), numbers), 1)[:, :3]
            handles.add(numbers, gain * displacement)
        return self._spread(handles, self.lid_rings, self.mouth.ravel(), self.nose)

    def _brows(self) -> dict[str, np.ndarray]:
        def inner(x):
            return 1 - smoothstep(np.abs(x), 20, 40)

        def outer(x):
            return smoothstep(x, 18, 38) * (1 - 0.5 * smoothstep(x, 46, 64))

        def left(x):
            return smoothstep(x, -4, 9)

        return {
            "browInnerUp": self._brow_shape(
                lambda x: (0.0, 7.0 * inner(x) * smoothstep(np.abs(x), -9, 9), 0.8 * inner(x))
            ),
            "browDownLeft": self._brow_shape(
                lambda x: (-2.6 * left(x) * inner(x), -7.0 * left(x) * (1 - 0.5 * smoothstep(x, 26, 56)), 1.6 * left(x))
            ),
            "browOuterUpLeft": self._brow_shape(lambda x: (0.0, 6.5 * outer(x), 0.3 * outer(x))),
        }

    def _cheek_raise(self) -> np.ndarray:
        """The left cheek lifted towards the eye."""
        spots = self._grid((13, 6), (13, 7), (13, 8), (13, 9), (14, 7), (14, 8))
        handles = Handles(3).add(spots, (0.6, 4.2, 2.2))
        return self._spread(handles, self.lid_rings, self.mouth[2:].ravel(), self.nose)

    def _cheeks_and_nose(self) -> dict[str, np.ndarray]:
        args = self.cage, self.places, self.character
        return {
            "cheekPuff": self._cheek_puff(),
            "cheekSquintLeft": 1.2 * self._cheek_raise() + 0.6 * standin_lids.squint(*args),
            "noseSneerLeft": self._nose_sneer(),
        }

    def _cheek_puff(self) -> np.ndarray:
        """Both cheeks blown up: a round bump beside each corner of the mouth."""
        swell = np.zeros(len(self.cage))
        for side in (LEFT, RIGHT):
            near = np.exp(-(((self.places - np.array([side * 45, -34, 26])) / [18, 20, 28]) ** 2).sum(1))
            near[self.places[:, 0] * side < 0] = 0
            swell += near
        swell[self.mouth[VERMILION:].ravel()] = 0
        swell[self.ears] = 0
        return swell[:, None] * np.stack([7.5 * np.sign(self.places[:, 0]), 0 * swell, 5.5 + 0 * swell], 1)

    def _nose_sneer(self) -> np.ndarray:
        """The left wing of the nose drawn up, with the lip beneath it and a fold beside the bridge."""
        rings = self.cage.rings[NOSTRIL.name, LEFT]
        outer = smoothstep(self.places[rings, 0], 1.0, 9.0)
        handles = Handles(3)
        for numbers, gain in zip(rings, outer, strict=True):
            handles.add(numbers, gain[:, None] * np.array([1.0, 4.0, -0.4]))
        handles.add(self._grid((13, 4), (14, 4), (15, 4)), (1.0, 5.2, 0.9))
        handles.add(self._grid((12, 3), (12, 4), (13, 3)), (0.0, 3.8, 1.6))
        lip = LEFT_SHARE * UPPER * HEIGHT
        for ring in range(1, 9):
            gain = {1: 0.9, 2: 0.8, 8: 0.5}.get(ring, 0.6)
            handles.add(self.mouth[ring], gain * np.stack([0 * lip, 3.4 * lip * np.abs(COSINE) ** 0.4, 0.3 * lip], 1))
        right = np.append(
            self.cage.rings[NOSTRIL.name, RIGHT].ravel(),
            self._grid((12, 0), (13, 0), (14, 0), (15, 0), (12, -3), (13, -3)),
        )
        return self._spread(handles, right, self.lid_rings, self.cavity)
