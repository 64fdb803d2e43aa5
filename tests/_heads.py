"""Small heads for tests, and FLAME files as they are met: pickles with chumpy and scipy inside."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from talkingeyes_blender.head.landmarks import LID_PAIRS
from talkingeyes_blender.head.lids import lid_shapes
from talkingeyes_blender.head.model import JOINTS, HeadModel, Material, basis_identity
from talkingeyes_blender.head.rotation import matrix_from_axis_angle

EYE = np.array([0.032, 0.023, 0.024])
"""Centre of the left eyeball of the tiny head; the right one is mirrored."""
EYE_RADIUS = 0.013
JOINT_PLACES = np.array([[0, -0.14, -0.08], [0, -0.01, -0.054], [0, -0.016, -0.058], EYE, EYE * [-1, 1, 1]])

_COLUMNS, _ROWS = 16, 18
_EYE_HOLE = (10, 12, 9, 13)
_MOUTH_HOLE = (3, 5, 6, 10)
"""Holes in the grid of the skin: first and last row, first and last column; the left eye's. 12 cells round."""
MATERIALS = (
    Material("skin", (0.6, 0.4, 0.3)),
    Material("lips", (0.5, 0.2, 0.2)),
    Material("sclera", (0.9, 0.9, 0.9)),
    Material("pupil", (0.01, 0.01, 0.01)),
)


def tiny_head(expressions: int = 8, shapes: int = 3, seed: int = 0) -> HeadModel:
    """A mask with lids, lips and eyeballs: 594 vertices, quads but for the eyeballs' poles.

    Expression 1 brings the lips together over a jaw that is open by 10 degrees (ARKit's mouthClose), expression 2
    opens them; the others, and the identity shapes, are smooth random deformations.
    """
    mesh = _Mesh()
    rings = mesh.skin()
    balls = [mesh.eyeball(EYE * [side, 1, 1]) for side in (1, -1)]
    points = np.array(mesh.points)
    faces = np.array(mesh.faces, np.int32)
    weights = _weights(points, rings["mouth"], balls)
    rng = np.random.default_rng(seed)
    landmarks = _landmarks(points, rings)
    skin = np.setdiff1d(np.arange(len(points)), np.concatenate(balls))
    basis = _deformations(points, skin, expressions, 0.003, rng)
    pose = np.zeros((len(points), 3, 36))
    pose[:, :, :18] = _deformations(points, skin, 18, 0.004, rng)
    lips = _mouth_shapes(points, rings["mouth"], weights)
    basis[:, :, : min(2, expressions)] = lips[:, :, : min(2, expressions)]
    basis = basis.astype(np.float32)
    head = HeadModel(
        name="tiny",
        vertices=points,
        faces=faces,
        shape_basis=_deformations(points, skin, shapes, 0.003, rng).astype(np.float32),
        expression_basis=basis,
        pose_basis=pose.astype(np.float32),
        weights=weights,
        joint_regressor=_regressor(points, balls),
        identity=basis_identity(basis),
        landmarks=landmarks,
        face_material=np.array(mesh.materials, np.int32),
        materials=MATERIALS,
    )
    lids, follow = lid_shapes(head)
    return dataclasses.replace(head, lids=lids, lid_follow=follow)


class _Mesh:
    def __init__(self) -> None:
        self.points: list[np.ndarray] = []
        self.faces: list[list[int]] = []
        self.materials: list[int] = []

    def add(self, points: np.ndarray) -> np.ndarray:
        first = len(self.points)
        self.points.extend(np.asarray(points, float))
        return np.arange(first, len(self.points))

    def face(self, corners: list[int], material: int = 0) -> None:
        self.faces.append([int(i) for i in corners] + [-1] * (4 - len(corners)))
        self.materials.append(material)

    def skin(self) -> dict[str, list[np.ndarray]]:
        """A grid over the face with three holes, each lined by rings from its perimeter to the lids' or lips' edge."""
        x, y = np.linspace(-0.08, 0.08, _COLUMNS + 1), np.linspace(-0.13, 0.115, _ROWS + 1)
        grid = np.stack(np.meshgrid(x, y), -1)
        eye = grid[_EYE_HOLE[0] : _EYE_HOLE[1] + 1, _EYE_HOLE[2] : _EYE_HOLE[3] + 1].reshape(-1, 2).mean(0)
        # Move the rows so that the hole lies round the eyeball.
        grid[..., 1] += (EYE[1] - eye[1]) * np.exp(-(((grid[..., 1] - eye[1]) / 0.05) ** 2))
        holes = {"left": _EYE_HOLE, "right": _mirrored(_EYE_HOLE), "mouth": _MOUTH_HOLE}
        inside = {(r, c) for r0, r1, c0, c1 in holes.values() for r in range(r0 + 1, r1) for c in range(c0 + 1, c1)}
        index = np.full((_ROWS + 1, _COLUMNS + 1), -1)
        for r in range(_ROWS + 1):
            for c in range(_COLUMNS + 1):
                if (r, c) not in inside:
                    index[r, c] = self.add([[*grid[r, c], _depth(*grid[r, c])]])[0]
        for r in range(_ROWS):
            for c in range(_COLUMNS):
                if not any(r0 <= r < r1 and c0 <= c < c1 for r0, r1, c0, c1 in holes.values()):
                    self.face([index[r, c], index[r, c + 1], index[r + 1, c + 1], index[r + 1, c]])
        rings = {}
        for name, hole in holes.items():
            outer = _perimeter(index, hole)
            middle = np.array(self.points)[outer].mean(0)
            angles = np.arctan2(*(np.array(self.points)[outer] - middle)[:, 1::-1].T)
            side = -1 if name == "right" else 1
            loops = [outer]
            for points in _lips(angles) if name == "mouth" else _lids(angles, side):
                loops.append(self.add(points))
            for i, (a, b) in enumerate(itertools.pairwise(loops)):
                for k in range(len(outer)):
                    n = (k + 1) % len(outer)
                    self.face([a[k], a[n], b[n], b[k]], int(name == "mouth" and i > 0))
            rings[name] = loops
        return rings

    def eyeball(self, centre: np.ndarray) -> np.ndarray:
        tilts, turns = np.radians(np.arange(22.5, 180, 22.5)), np.radians(np.arange(0, 360, 30))
        around = np.stack([np.cos(turns), np.sin(turns), np.zeros_like(turns)], -1)
        points = [np.array([[0, 0, 1.0]])]
        points += [np.sin(t) * around + np.cos(t) * np.array([0, 0, 1.0]) for t in tilts]
        points.append(np.array([[0, 0, -1.0]]))
        indices = self.add(centre + EYE_RADIUS * np.concatenate(points))
        rows = indices[1:-1].reshape(len(tilts), len(turns))
        for k in range(len(turns)):
            n = (k + 1) % len(turns)
            self.face([indices[0], rows[0, k], rows[0, n]], 3)
            self.face([indices[-1], rows[-1, n], rows[-1, k]], 2)
            for a, b in itertools.pairwise(rows):
                self.face([a[k], b[k], b[n], a[n]], 2)
        return indices


def _depth(x: float, y: float) -> float:
    return (
        0.055 - 0.09 * (x / 0.09) ** 2 - 0.06 * (y / 0.13) ** 2 + 0.02 * np.exp(-((x / 0.012) ** 2 + (y / 0.02) ** 2))
    )


def _mirrored(hole: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return hole[0], hole[1], _COLUMNS - hole[3], _COLUMNS - hole[2]


def _perimeter(index: np.ndarray, hole: tuple[int, int, int, int]) -> np.ndarray:
    r0, r1, c0, c1 = hole
    lower = [index[r0, c] for c in range(c0, c1)]
    right = [index[r, c1] for r in range(r0, r1)]
    upper = [index[r1, c] for c in range(c1, c0, -1)]
    left = [index[r, c0] for r in range(r1, r0, -1)]
    return np.array(lower + right + upper + left)


def _even(angles: np.ndarray) -> np.ndarray:
    """As many angles, evenly spread, in the order of the perimeter; one falls on each corner of the mouth or eye."""
    start = int(np.abs(np.angle(np.exp(1j * angles))).argmin())
    return np.roll(2 * np.pi * np.arange(len(angles)) / len(angles), start)


def _lids(angles: np.ndarray, side: int) -> Iterator[np.ndarray]:
    even = _even(angles)
    for wide, high, far in ((1.15, 1.7, 1.35), (1.0, 1.0, 1.12), (1.02, 1.1, 0.98)):
        a, e = np.radians(48) * wide * np.cos(even), np.radians(22) * high * np.sin(even)
        direction = np.stack([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], -1)
        yield EYE * [side, 1, 1] + EYE_RADIUS * far * direction


def _lips(angles: np.ndarray) -> Iterator[np.ndarray]:
    even = _even(angles)
    for wide, high, back in ((0.027, 0.012, 0.0), (0.025, 0.0004, 0.002), (0.024, 0.004, 0.012)):
        x, y = wide * np.cos(even), -0.074 + high * np.sin(even)
        yield np.stack([x, y, [_depth(a, b) + 0.004 - back for a, b in zip(x, y, strict=True)]], -1)


def _weights(points: np.ndarray, mouth: list[np.ndarray], balls: list[np.ndarray]) -> np.ndarray:
    weights = np.zeros((len(points), len(JOINTS)))
    jaw = 1 / (1 + np.exp((points[:, 1] + 0.076) / 0.004)) * np.clip((points[:, 2] + 0.01) / 0.03, 0, 1)
    for loop in mouth[1:]:
        share = np.sin(_even(np.arctan2(*(points[mouth[0]] - points[mouth[0]].mean(0))[:, 1::-1].T)))
        jaw[loop] = 0.5 - 0.5 * np.clip(2.5 * share, -1, 1)
    root = np.clip((-0.11 - points[:, 1]) / 0.02, 0, 1) * (1 - jaw)
    weights[:, 0], weights[:, 1], weights[:, 2] = root, 1 - root - jaw, jaw
    for joint, ball in zip((3, 4), balls, strict=True):
        weights[ball] = np.eye(len(JOINTS))[joint]
    return weights


def _regressor(points: np.ndarray, balls: list[np.ndarray]) -> np.ndarray:
    regressor = np.zeros((len(JOINTS), len(points)))
    system = np.concatenate([points.T, np.ones((1, len(points)))])
    for joint in range(3):
        # The smallest weights that add up to 1 and give the joint's place.
        regressor[joint] = np.linalg.lstsq(system, np.append(JOINT_PLACES[joint], 1), rcond=None)[0]
    for joint, ball in zip((3, 4), balls, strict=True):
        regressor[joint, ball] = 1 / len(ball)
    return regressor


def _deformations(
    points: np.ndarray, skin: np.ndarray, count: int, size: float, rng: np.random.Generator
) -> np.ndarray:
    """(V, 3, count) smooth random displacements of the skin, ``size`` metres at most."""
    basis = np.zeros((len(points), 3, count))
    for k in range(count):
        waves = np.zeros((len(skin), 3))
        for _ in range(3):
            wave = rng.normal(0, 30, 3)
            waves += np.cos(points[skin] @ wave + rng.uniform(0, 6.3))[:, None] * rng.normal(0, 1, 3)
        basis[skin, :, k] = size * waves / np.abs(waves).max()
    return basis


def _mouth_shapes(points: np.ndarray, mouth: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """(V, 3, 2): lips shut over a jaw open by 10 degrees, and lips open."""
    shapes = np.zeros((len(points), 3, 2))
    turn = matrix_from_axis_angle([np.radians(10), 0, 0])
    jaw = JOINT_PLACES[2]
    blend = np.eye(3) + weights[:, 2, None, None] * (turn - np.eye(3))
    shift = weights[:, 2, None] * (jaw - turn @ jaw)
    opened = np.einsum("vab,vb->va", blend, points) + shift
    loops = np.array(mouth[1:])
    partner = loops[:, (len(loops[0]) - np.arange(len(loops[0])) + 2 * _corner(points[loops[1]])) % len(loops[0])]
    meet = 0.5 * (opened[loops] + opened[partner]) + 0.5 * (points[loops] - points[partner])
    shapes[loops, :, 0] = (
        np.einsum("...ab,...b->...a", np.linalg.inv(blend[loops]), meet - shift[loops]) - points[loops]
    )
    shapes[loops, 1, 1] = 0.008 * np.clip((points[loops][..., 1] + 0.074) / 0.0004, -1, 1)
    return shapes


def _corner(loop: np.ndarray) -> int:
    return int(loop[:, 0].argmax())


def _landmarks(points: np.ndarray, rings: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    def nearest(x: float, y: float) -> int:
        return int(np.linalg.norm(points[:, :2] - [x, y], axis=1).argmin())

    def ordered(loop: np.ndarray, right: bool = True) -> np.ndarray:
        """From the viewer's left corner over the upper edge round."""
        ring = loop[::-1] if right else loop
        return np.roll(ring, -int(points[ring, 0].argmin()))

    brows = [nearest(x, 0.062) for x in (-0.06, -0.05, -0.04, -0.03, -0.02, 0.02, 0.03, 0.04, 0.05, 0.06)]
    nose = [nearest(0, y) for y in (0.05, 0.03, 0.015, 0.0)] + [
        nearest(x, -0.02) for x in (-0.02, -0.01, 0, 0.01, 0.02)
    ]
    eyes = []
    for side in ("right", "left"):
        ring = ordered(rings[side][2])
        eyes += [ring[i] for i in (0, 2, 4, 6, 8, 10)]
    outer, inner = ordered(rings["mouth"][1]), ordered(rings["mouth"][2])
    lips = [*outer, *(inner[i] for i in (0, 2, 3, 4, 6, 8, 9, 10))]
    face = np.array(brows + nose + eyes + lips)
    left, right = (int(np.flatnonzero((points == EYE * [s, 1, 1] + [0, 0, EYE_RADIUS]).all(1))[0]) for s in (1, -1))
    assert all(points[face[a], 1] > points[face[b], 1] for pairs in LID_PAIRS.values() for a, b in pairs)
    return {
        "face": face,
        "pupils": np.array([left, right]),
        "left_lids": rings["left"][2],
        "right_lids": rings["right"][2],
    }


# ---------------------------------------------------------------------------------------------- files


def flame_values(head: HeadModel) -> dict[str, np.ndarray]:
    """The keys of a FLAME file for a head whose faces are triangles or get split into them."""
    quads = head.faces[:, 3] >= 0
    triangles = np.concatenate([head.faces[:, :3], head.faces[quads][:, [0, 2, 3]]])
    return {
        "v_template": head.vertices,
        "f": triangles.astype(np.uint32),
        "shapedirs": np.concatenate([head.shape_basis, head.expression_basis], 2).astype(np.float64),
        "posedirs": head.pose_basis.astype(np.float64),
        "weights": head.weights,
        "J_regressor": head.joint_regressor,
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
    }


def own_values(head: HeadModel) -> dict[str, np.ndarray]:
    """The keys of a head file of ours."""
    values = flame_values(head)
    values |= {
        "faces": head.faces,
        "shape_count": np.array(head.shape_basis.shape[2]),
        "identity": np.array(head.identity),
        "name": np.array(head.name),
        **{f"landmark_{name}": indices for name, indices in head.landmarks.items()},
    }
    for name in ("lids", "lid_follow", "face_material", "vertex_tint"):
        if getattr(head, name) is not None:
            values[name] = getattr(head, name)
    for name in ("expression_names", "shape_names"):
        if getattr(head, name):
            values[name] = np.array(getattr(head, name))
    if head.materials:
        values["material_names"] = np.array([m.name for m in head.materials])
        values["material_colors"] = np.array([m.color for m in head.materials])
        for name in ("roughness", "subsurface", "emission"):
            values[f"material_{name}"] = np.array([getattr(m, name) for m in head.materials])
    return values


def write_head(path: Path, head: HeadModel, **changes: np.ndarray) -> Path:
    """Write a head file of ours, with some keys changed, or left out where the change is None."""
    values = own_values(head) | changes
    np.savez(path, **{k: v for k, v in values.items() if v is not None})
    return path


def write_flame_pickle(
    path: Path,
    head: HeadModel,
    chumpy: bool = True,
    sparse: bool = True,
    protocol: int = 2,
    extra: dict | None = None,
) -> Path:
    """Write a pickle as FLAME's of 2020 are, with classes that call themselves chumpy's and scipy's."""
    values = {**flame_values(head), **own_extras(head), **(extra or {})}
    with foreign_classes() as classes:
        if chumpy:
            values["shapedirs"] = classes["Ch"](x=values["shapedirs"])
        if sparse:
            values["J_regressor"] = classes["csc_matrix"](values["J_regressor"])
        path.write_bytes(pickle.dumps(values, protocol=protocol))
    return path


def own_extras(head: HeadModel) -> dict[str, np.ndarray]:
    """What a head that is not FLAME's has to say besides FLAME's keys: its landmarks and its number of shapes."""
    extras = {f"landmark_{name}": indices for name, indices in head.landmarks.items()}
    return extras | {"shape_count": np.array(head.shape_basis.shape[2])}


@contextlib.contextmanager
def foreign_classes() -> Iterator[dict[str, type]]:
    """Classes that pickle as chumpy's and scipy's do, under those modules' names, whether they are installed or not."""

    class Ch:
        def __init__(self, **state: object) -> None:
            self.__dict__.update(state, _dirty_vars=set(), _itr=None)

    class Select(Ch):
        pass

    class csc_matrix:
        def __init__(self, dense: np.ndarray) -> None:
            columns, rows = np.nonzero(dense.T)
            self.__dict__.update(
                _shape=dense.shape,
                maxprint=50,
                data=dense[rows, columns],
                indices=rows.astype(np.int32),
                indptr=np.searchsorted(columns, np.arange(dense.shape[1] + 1)).astype(np.int32),
            )

    class csr_matrix:
        def __init__(self, dense: np.ndarray) -> None:
            rows, columns = np.nonzero(dense)
            self.__dict__.update(
                _shape=dense.shape,
                data=dense[rows, columns],
                indices=columns.astype(np.int32),
                indptr=np.searchsorted(rows, np.arange(dense.shape[0] + 1)).astype(np.int32),
            )

    class coo_matrix:
        def __init__(self, dense: np.ndarray) -> None:
            rows, columns = np.nonzero(dense)
            self.__dict__.update(_shape=dense.shape, data=dense[rows, columns], row=rows, col=columns)

    homes = {
        Ch: "chumpy.ch", Select: "chumpy.reordering",
        csc_matrix: "scipy.sparse.csc", csr_matrix: "scipy.sparse._csr", coo_matrix: "scipy.sparse.coo",
    }  # fmt: skip
    modules: dict[str, types.ModuleType] = {}
    for cls, home in homes.items():
        parts = home.split(".")
        for i in range(1, len(parts) + 1):
            name = ".".join(parts[:i])
            modules.setdefault(name, types.ModuleType(name))
        cls.__module__, cls.__qualname__ = home, cls.__name__
        setattr(modules[home], cls.__name__, cls)
    with mock.patch.dict(sys.modules, modules):
        yield {cls.__name__: cls for cls in homes}
