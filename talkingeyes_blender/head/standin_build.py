"""Writes the stand-in head: ``python -m talkingeyes_blender.head.standin_build [out.npz]``.

Everything comes from formulas and numbers in the ``standin_*`` modules; the file is a FLAME-format head with the
additional keys that ``head.reading`` understands.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np

from ..files import written_whole
from .arkit import EXPRESSIONS, STANDIN
from .model import PARENTS
from .standin import STANDIN_FILE
from .standin_body import LID_MOTIONS, Body, build_body, lid_margin
from .standin_cage import CONTACT, EYE, LID_MARGIN, MOUTH, NOSTRIL, VERMILION
from .standin_character import IDENTITY_SHAPES, LEFT, MATERIALS, MILLIMETRE, RIGHT, Character, varied
from .standin_eyes import eye_parts, landmark_pupil
from .standin_fields import smoothstep
from .standin_hair import brow_curve, brow_parts, hair_part, shirt_part
from .standin_part import TRIANGLE, Part
from .standin_teeth import mouth_parts

log = logging.getLogger(__name__)

SILENT = 2e-6
"""Displacements below this many metres are noise of the smooth fields; as zeros they compress to nothing."""

REGRESSED_FROM = 240
"""Skin vertices that a joint of root, neck or jaw is regressed from."""

_BLUSH = (  # centre, radii (mm), strength
    ((40, -12, 30), (17, 14, 30), 0.12),
    ((0, -8, 64), (11, 9, 12), 0.10),
    ((78, 2, -54), (14, 30, 22), 0.14),
    ((0, -58, 44), (18, 10, 20), 0.05),
)
_INNER_CORNER = EYE.points
"""Place of the eye's inner corner in a ring at full resolution."""
_NOSTRIL_SHADE = 0.4
_THROAT_SHADE = 0.75
_LIPS_Z = 52.0
"""Z of the lips, mm: the mouth's lining darkens with the way from there."""

_BLUSH_COLOUR = np.array([0.12, 1.0, 0.85])
"""How much blush takes from red, green and blue."""


def assemble(character: Character = Character(), like: Body | None = None) -> tuple[Body, list[Part]]:
    """The body of a character and its parts, in the order in which their vertices are numbered.

    With ``like``, the body of a similar character, only places are made: weights are the other's, nothing moves.
    """
    body = build_body(character, like)
    parts = [*eye_parts(body), *mouth_parts(body), *brow_parts(body), hair_part(body), shirt_part(body)]
    return body, parts


def build(with_identity: bool = True) -> dict[str, np.ndarray]:
    """Arrays of the stand-in's file, in metres; the identity shapes, which take the longest, may be left out."""
    body, parts = assemble()
    shape_names = list(IDENTITY_SHAPES) if with_identity else []
    offsets = np.cumsum([len(body.points), *(len(part.points) for part in parts)])
    vertices = np.concatenate([body.points, *(part.points for part in parts)]) * MILLIMETRE
    faces = np.concatenate([body.faces, *(_shifted(p.faces, o) for p, o in zip(parts, offsets, strict=False))])
    names = np.array([part.name for part in parts])
    arrays = {
        "name": np.array("TalkingEyes stand-in"),
        "identity": np.array(STANDIN),
        "v_template": vertices,
        "f": _triangles(faces),
        "faces": faces.astype(np.int32),
        "shapedirs": np.stack(
            [*_identity_shapes(body, shape_names), *(_motion(body, parts, name) for name in EXPRESSIONS)], 2
        ),
        "shape_count": np.array(len(shape_names)),
        "shape_names": np.array(shape_names, dtype="U32"),
        "expression_names": np.array(EXPRESSIONS),
        "posedirs": _pose_basis(body, parts),
        "weights": _normalised(np.concatenate([body.weights, *(part.weights for part in parts)])),
        "kintree_table": np.array([PARENTS, range(len(PARENTS))], np.int64),
        "lids": np.stack([_motion(body, parts, name) for name in LID_MOTIONS[:2]], 2),
        "lid_follow": np.stack([_motion(body, parts, name) for name in LID_MOTIONS[2:]], 2),
        "face_material": np.concatenate([body.face_material, *(part.face_material for part in parts)]).astype(np.int32),
        "vertex_tint": _tint(body, parts).astype(np.float16),
        **_material_arrays(),
        **_landmarks(body, parts, offsets),
    }
    eyes = {side: np.arange(offsets[k], offsets[k + 1]) for side, k in ((LEFT, 0), (RIGHT, 1))}
    assert list(names[:2]) == ["left eye", "right eye"]
    arrays["J_regressor"] = _joint_regressor(vertices, character_joints(body), len(body.points), eyes)
    return arrays


def character_joints(body: Body) -> np.ndarray:
    """(5, 3) joints in metres."""
    return body.character.joints * MILLIMETRE


def _shifted(faces: np.ndarray, offset: int) -> np.ndarray:
    return np.where(faces == TRIANGLE, TRIANGLE, faces + offset)


def _triangles(faces: np.ndarray) -> np.ndarray:
    """(F, 3) the faces with quads cut in two, as FLAME's files have them."""
    quads = faces[faces[:, 3] != TRIANGLE]
    triangles = faces[faces[:, 3] == TRIANGLE]
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]], triangles[:, :3]]).astype(np.int32)


def _normalised(weights: np.ndarray) -> np.ndarray:
    weights = np.where(weights < 1e-4, 0, weights)
    return weights / weights.sum(1, keepdims=True)


def _identity_shapes(body: Body, names: list[str]) -> list[np.ndarray]:
    """(V, 3) float16 metres each: what a varied character differs in from the default one.

    Both are relaxed from the same finished cage, so that the grid's own creeping cancels out.
    """

    def places(character: Character) -> np.ndarray:
        made, parts = assemble(character, like=body)
        return np.concatenate([made.points, *(part.points for part in parts)])

    if not names:
        return []
    default = places(body.character)
    return [_compact((places(varied(body.character, name)) - default) * MILLIMETRE) for name in names]


def _motion(body: Body, parts: list[Part], name: str) -> np.ndarray:
    """(V, 3) float16 metres: one motion of the whole head."""
    moved = [body.motions[name], *(part.motions.get(name, np.zeros_like(part.points)) for part in parts)]
    return _compact(np.concatenate(moved) * MILLIMETRE)


def _compact(displacements: np.ndarray) -> np.ndarray:
    """float16 with a step of 2 micrometres at most, and exact zeros where nothing is meant to move."""
    return np.where(np.abs(displacements) < SILENT, 0, displacements).astype(np.float16)


def _pose_basis(body: Body, parts: list[Part]) -> np.ndarray:
    """(V, 3, 36) float16."""
    blocks = [body.pose_basis]
    for part in parts:
        blocks.append(np.zeros((len(part.points), 3, 36)) if part.pose_basis is None else part.pose_basis)
    return _compact(np.concatenate(blocks) * MILLIMETRE)


def _tint(body: Body, parts: list[Part]) -> np.ndarray:
    """(V, 3) factor on the colours: a little blush on cheeks, nose, ears and chin."""
    tint = np.ones_like(body.points)
    for centre, radii, strength in _BLUSH:
        for side in (LEFT, RIGHT) if centre[0] else (LEFT,):
            near = np.exp(-(((body.points - np.array(centre) * [side, 1, 1]) / radii) ** 2).sum(1))
            tint -= strength * near[:, None] * _BLUSH_COLOUR
    for side in (LEFT, RIGHT):
        corner = body.subdivision.refine_loop(body.cage.rings[EYE.name, side][LID_MARGIN])[_INNER_CORNER]
        near = np.exp(-((np.linalg.norm(body.points - body.points[corner], axis=1) / 3.5) ** 2))
        tint -= 0.30 * near[:, None] * _BLUSH_COLOUR
        tint[body.ring_and_cap(NOSTRIL, side, 3)] *= _NOSTRIL_SHADE
    throat = body.ring_and_cap(MOUTH, LEFT, 8)
    tint[throat] *= 1 - _THROAT_SHADE * smoothstep(_LIPS_Z - body.points[throat, 2:], 6.0, 42.0)
    return np.concatenate([tint, *(np.ones_like(p.points) if p.tint is None else p.tint for p in parts)])


def _material_arrays() -> dict[str, np.ndarray]:
    return {
        "material_names": np.array([material.name for material in MATERIALS]),
        "material_colors": np.array([material.color for material in MATERIALS], np.float32),
        "material_roughness": np.array([material.roughness for material in MATERIALS], np.float32),
        "material_subsurface": np.array([material.subsurface for material in MATERIALS], np.float32),
        "material_emission": np.array([material.emission for material in MATERIALS], np.float32),
    }


def _landmarks(body: Body, parts: list[Part], offsets: np.ndarray) -> dict[str, np.ndarray]:
    pupils = [offsets[k] + landmark_pupil(parts[k]) for k in (0, 1)]
    return {
        "landmark_face": face_landmarks(body),
        "landmark_pupils": np.array(pupils, np.int32),
        "landmark_left_lids": lid_margin(body, LEFT).astype(np.int32),
        "landmark_right_lids": lid_margin(body, RIGHT).astype(np.int32),
    }


def face_landmarks(body: Body) -> np.ndarray:
    """(51,) vertices of the iBUG points 17 to 67: brows, nose, eyes, lips, each group from the subject's right."""
    left_brow = _nearest(body, brow_curve(body, np.array([0.04, 0.27, 0.5, 0.73, 0.95])))
    right_brow = body.mirror[left_brow][::-1]
    cage = body.cage
    bridge = _nearest(body, body.skin.front(np.zeros(4), np.array([22.0, 13.0, 4.0, -5.0])))
    left_base = [cage.grid(16, 2), cage.grid(16, 3)]
    base = [*body.mirror[left_base][::-1], cage.grid(16, 0), *left_base]
    left_eye = _eye_points(cage.rings[EYE.name, LEFT][LID_MARGIN], inner_first=True)
    right_eye = _eye_points(cage.rings[EYE.name, RIGHT][LID_MARGIN], inner_first=False)
    mouth = cage.rings[MOUTH.name, LEFT]
    outer = mouth[VERMILION][[12, 10, 8, 6, 4, 2, 0, 22, 20, 18, 16, 14]]
    inner = mouth[CONTACT][[12, 9, 6, 3, 0, 21, 18, 15]]
    groups = (right_brow, left_brow, bridge, base, right_eye, left_eye, outer, inner)
    return np.concatenate(groups).astype(np.int32)


def _eye_points(margin: np.ndarray, inner_first: bool) -> np.ndarray:
    """Six of a margin's 24 points: a corner, two on the upper lid, the other corner, two on the lower lid."""
    places = [12, 8, 4, 0, 20, 16] if inner_first else [0, 4, 8, 12, 16, 20]
    return margin[places]


def _nearest(body: Body, points: np.ndarray) -> np.ndarray:
    """Vertices of the skin's surface nearest to ``points``; those on the plane of symmetry for points on it."""
    candidates = np.flatnonzero(body.on_skin)
    apart = ((points[:, None] - body.points[None, candidates]) ** 2).sum(2)
    on_plane = body.mirror[candidates] == candidates
    apart = np.where((np.abs(points[:, :1]) < 1e-6) & ~on_plane[None], np.inf, apart)
    return candidates[apart.argmin(1)]


def _joint_regressor(vertices: np.ndarray, joints: np.ndarray, skin: int, eyes: dict[int, np.ndarray]) -> np.ndarray:
    """(5, V) rows that sum to 1 and give the joints back: the eyes from their eyeballs, the others from skin nearby."""
    regressor = np.zeros((len(joints), len(vertices)))
    for row, joint in enumerate(joints):
        if row >= 3:
            chosen = eyes[LEFT if row == 3 else RIGHT]
        else:
            distance = np.linalg.norm(vertices[:skin] - joint, axis=1)
            chosen = np.flatnonzero(distance <= np.partition(distance, REGRESSED_FROM)[REGRESSED_FROM] + 1e-6)
        constraints = np.concatenate([np.ones((1, len(chosen))), (vertices[chosen] - joint).T])
        wanted = np.array([1.0, 0, 0, 0])
        regressor[row, chosen] = constraints.T @ np.linalg.solve(constraints @ constraints.T, wanted)  # least norm
    return regressor


def write(path: Path) -> None:
    """Build the head and put its file at ``path``, whole or not at all."""
    arrays = build()
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as beside, open(beside, "wb") as file:
        np.savez_compressed(file, **arrays)
    log.info("wrote %s: %d vertices, %d kB", path, len(arrays["v_template"]), path.stat().st_size // 1000)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else STANDIN_FILE)
