"""Blender's mesh against our skinning: ``python -m benchmarks.skinning [--testdata FOLDER] [--frames 50]``.

A random motion is written to rigs of every kind that we meet, and every vertex that Blender then shows is compared with
what the head model's own skinning says: at the motion's frames, and half-way between them, where rotations are to lie
half-way along the shortest turn (slerp) and all else in the middle. Errors are in millimetres of the head, the largest
over all vertices and frames. With a folder of test data FLAME's own mesh is measured too.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector

from talkingeyes_blender.head import rotation
from talkingeyes_blender.head.lids import lid_shapes
from talkingeyes_blender.head.model import HeadModel, basis_identity
from talkingeyes_blender.head.reading import read_head
from talkingeyes_blender.head.skinning import shaped_vertices
from talkingeyes_blender.head.standin import load_standin
from talkingeyes_blender.motion import Motion
from talkingeyes_blender.rig.bare import rig_bare_mesh
from talkingeyes_blender.rig.build import build_head
from talkingeyes_blender.rig.curves import write_take
from talkingeyes_blender.rig.find import find_rig
from talkingeyes_blender.rig.frame import unit_of
from talkingeyes_blender.rig.head_rig import HeadRig
from talkingeyes_blender.rig.identity import fit_to_face
from talkingeyes_blender.rig.lid_keys import has_lid_landmarks, make_lid_keys
from talkingeyes_blender.rig.points import basis_points, key_points, mesh_to_armature, rest_points, transform
from tests._rigs import evaluated_vertices, expected_vertices, foreign_rig, fresh_scene, go_to, random_motion

Y_UP = np.eye(3)
FLAME_FILE = "flame2023-open-without-shapedirs.npz"
_PLACE = Matrix.LocRotScale(Vector((3, -2, 1)), Euler((0.4, -0.7, 1.1)), Vector((10, 10, 10)))


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind of rig: what it is called, and how it is made of a head model."""

    name: str
    make: Callable[[HeadModel], tuple[HeadRig, HeadModel]]
    """Returns the rig, and the head model as which it should move."""
    mode: str = "XYZ"
    """Rotation mode of its bones."""
    rate: tuple[int, float] = (25, 1.0)
    """Frames a second of the scene, and their base."""


def cases() -> Iterator[Case]:
    yield Case("ours", _ours)
    yield Case("ours, scene at 29.97 frames a second", _ours, rate=(30, 1.001))
    for mode in ("QUATERNION", "XYZ", "AXIS_ANGLE", "ZXY"):
        yield Case(f"another's, Z up, {mode}", lambda head: _foreign(head), mode)
    for mode in ("QUATERNION", "XYZ", "AXIS_ANGLE"):
        yield Case(f"Y up, {mode}", lambda head: _foreign(head, axes=Y_UP), mode)
        yield Case(f"bones rolled, {mode}", lambda head: _foreign(head, twisted=True), mode)
        yield Case(f"moved, turned, 10 times as large, {mode}", _placed, mode)
        yield Case(f"all of these, {mode}", lambda head: _placed(head, axes=Y_UP, twisted=True), mode)
    yield Case("mesh in centimetres and Y up in an armature in metres and Z up", _as_from_fbx)
    yield Case("bare mesh, rigged by us", _bare)
    yield Case("with another identity, fitted", _other_identity)


def heads(testdata: Path | None) -> Iterator[HeadModel]:
    yield load_standin()
    if testdata is not None and (testdata / FLAME_FILE).is_file():
        yield flame_head(testdata / FLAME_FILE)


def flame_head(path: Path) -> HeadModel:
    """FLAME's mesh, weights and correctives, with smooth identity and expression shapes made here (its own are not in
    the file)."""
    head = read_head(path)
    expressions, shapes = _smooth(head, 100, 0.002, 0.03, 1), _smooth(head, 10, 0.002, 0.06, 2)
    return dataclasses.replace(
        head, name="FLAME", expression_basis=expressions, shape_basis=shapes, identity=basis_identity(expressions)
    )


def measure(case: Case, head: HeadModel, frames: int = 50, seed: int = 5) -> tuple[float, float]:
    """(largest error at the motion's frames, half-way between them), metres of the head."""
    scene = fresh_scene()
    scene.render.fps, scene.render.fps_base = case.rate
    rig, head = case.make(head)
    for bone in rig.armature.pose.bones:
        bone.rotation_mode = case.mode
    bpy.context.view_layer.update()
    motion = random_motion(head, frames, seed)
    take = write_take(rig, motion, scene=scene, start_frame=1.0)
    moments = take.start + take.step * np.arange(frames)
    lids = any(rig.blink_keys)
    at = _error(scene, rig, head, motion, moments, lids)
    between = _error(scene, rig, head, half_way(motion), moments[:-1] + take.step / 2, lids)
    return at, between


def half_way(motion: Motion) -> Motion:
    """The motion half-way between its frames: rotations by slerp, all else in the middle."""

    def turned(vectors: np.ndarray) -> np.ndarray:
        ends = rotation.quaternion_from_axis_angle(vectors.astype(np.float64))
        sign = np.where((ends[1:] * ends[:-1]).sum(1, keepdims=True) < 0, -1.0, 1.0)
        return rotation.axis_angle_from_quaternion(ends[1:] * sign + ends[:-1])

    def middle(values: np.ndarray) -> np.ndarray:
        return (values[1:] + values[:-1]) / 2

    return motion.replace(
        expression=middle(motion.expression),
        blink=middle(motion.blink),
        jaw=turned(motion.jaw),
        head=turned(motion.head),
        eyes=np.concatenate([turned(motion.eyes[:, :3]), turned(motion.eyes[:, 3:])], 1),
    )


def _error(scene, rig: HeadRig, head: HeadModel, motion: Motion, moments: np.ndarray, lids: bool) -> float:
    expected = expected_vertices(head, motion, lids)
    # From FLAME's frame to the armature's: the rest mesh tells, which the motion did not make.
    rest = evaluated_rest(rig)
    turn = rig.frame
    source = head.vertices @ turn.T
    scale = np.linalg.norm(rest - rest.mean(0)) / np.linalg.norm(source - source.mean(0))
    place = rest.mean(0) - scale * source.mean(0)
    to_armature = mesh_to_armature(rig.armature, rig.mesh)
    worst = 0.0
    for moment, points in zip(moments, expected, strict=True):
        go_to(scene, moment)
        shown = evaluated_vertices(rig.mesh) @ to_armature[:3, :3].T + to_armature[:3, 3]
        error = shown - (scale * points @ turn.T + place)
        worst = max(worst, np.linalg.norm(error, axis=1).max() / scale)
    return worst


def evaluated_rest(rig: HeadRig) -> np.ndarray:
    """(V, 3) the rig's mesh at rest, in the armature's frame."""
    return transform(mesh_to_armature(rig.armature, rig.mesh), rest_points(rig.mesh))


# ------------------------------------------------------------------------------------------------------ kinds of rigs


def _ours(head: HeadModel) -> tuple[HeadRig, HeadModel]:
    return build_head(bpy.context, head), head


def _foreign(head: HeadModel, **options) -> tuple[HeadRig, HeadModel]:
    mesh = foreign_rig(head, **options)
    mesh["talkingeyes_head_model"] = head.identity
    return _with_lids(mesh), head


def _placed(head: HeadModel, **options) -> tuple[HeadRig, HeadModel]:
    rig, head = _foreign(head, **options)
    rig.armature.matrix_world = _PLACE
    bpy.context.view_layer.update()
    return find_rig(rig.mesh), head


def _as_from_fbx(head: HeadModel) -> tuple[HeadRig, HeadModel]:
    """A mesh whose object is turned and scaled against its armature."""
    mesh = foreign_rig(head)
    mesh["talkingeyes_head_model"] = head.identity
    own = Matrix.LocRotScale(Vector((0, 0, 0.5)), Euler((np.pi / 2, 0, 0)), Vector((0.01, 0.01, 0.01)))
    mesh.data.transform(own.inverted(), shape_keys=True)
    mesh.matrix_local = own
    return _with_lids(mesh), head


def _with_lids(mesh: bpy.types.Object) -> HeadRig:
    bpy.context.view_layer.update()
    rig = find_rig(mesh)
    if has_lid_landmarks(rig):
        make_lid_keys(rig)
    return find_rig(mesh)


def _bare(head: HeadModel) -> tuple[HeadRig, HeadModel]:
    """The mesh of another identity, turned, moved and in centimetres, with nothing but its vertices."""
    head = _shaped(head)
    turn = rotation.matrix_from_axis_angle([0.5, 1.0, -0.3])
    data = bpy.data.meshes.new("Bare")
    faces = [[i for i in face if i >= 0] for face in head.faces.tolist()]
    data.from_pydata((100 * head.vertices @ turn.T + [30, 20, -10]).tolist(), [], faces)
    mesh = bpy.data.objects.new("Bare", data)
    bpy.context.scene.collection.objects.link(mesh)
    mesh.scale = (0.01, 0.01, 0.01)
    bpy.context.view_layer.update()
    original = dataclasses.replace(head, vertices=head.vertices - head.shape_basis @ _coefficients(head))
    rig = rig_bare_mesh(bpy.context, mesh, original)
    return rig, _with_keys_of(rig, head)


def _other_identity(head: HeadModel) -> tuple[HeadRig, HeadModel]:
    rig = build_head(bpy.context, head)
    for i, value in enumerate(_coefficients(head)):
        rig.shape_keys.key_blocks[f"Shape{i + 1}"].value = value
    bpy.context.view_layer.update()
    fit_to_face(bpy.context, find_rig(rig.mesh))
    rig = find_rig(rig.mesh)
    return rig, _with_keys_of(rig, _shaped(head))


def _coefficients(head: HeadModel) -> np.ndarray:
    return np.random.default_rng(8).normal(0, 1, head.shape_basis.shape[2])


def _shaped(head: HeadModel) -> HeadModel:
    """The head model of another person, lids made for that face."""
    shaped = dataclasses.replace(head, vertices=shaped_vertices(head, _coefficients(head)))
    lids, follow = lid_shapes(shaped)
    return dataclasses.replace(shaped, lids=lids, lid_follow=follow)


def _with_keys_of(rig: HeadRig, head: HeadModel) -> HeadModel:
    """The head model with the lid shapes that the rig has: they are made from geometry, whose rounding moves them by a
    tenth of a millimetre; it is skinning that is measured here."""
    to_flame = mesh_to_armature(rig.armature, rig.mesh)[:3, :3].T @ rig.frame / unit_of(rig)
    blocks, rest = rig.shape_keys.key_blocks, basis_points(rig.mesh)

    def shapes(prefix: str) -> np.ndarray:
        return np.stack([(key_points(blocks[f"{prefix}{s}"]) - rest) @ to_flame for s in ("Left", "Right")], 2)

    return dataclasses.replace(head, lids=shapes("Blink"), lid_follow=shapes("LidFollow"))


def _smooth(head: HeadModel, count: int, size: float, width: float, seed: int) -> np.ndarray:
    """(V, 3, count) bumps of ``size`` metres in height and ``width`` across; eyeballs go along whole."""
    rng = np.random.default_rng(seed)
    skin = head.weights[:, 3:].sum(1) < 0.5
    places = head.vertices.copy()
    for joint in (3, 4):
        places[head.weights[:, joint] > 0.5] = head.joints[joint]
    basis = np.zeros((len(head.vertices), 3, count), np.float32)
    for i in range(count):
        middle = head.vertices[rng.choice(np.flatnonzero(skin))]
        bump = np.exp(-((places - middle) ** 2).sum(1) / (2 * width**2))
        basis[:, :, i] = bump[:, None] * rng.normal(0, size, 3)
    return basis


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--testdata", type=Path, default=os.environ.get("TALKINGEYES_TESTDATA"))
    parser.add_argument("--frames", type=int, default=50)
    options = parser.parse_args()
    print(f"Blender {bpy.app.version_string}, {options.frames} frames of random motion, largest error in mm\n")
    print(f"| head | rig | at keys | half-way |\n|{'---|' * 4}")
    for head in heads(options.testdata and Path(options.testdata)):
        for case in cases():
            at, between = measure(case, head, options.frames)
            print(f"| {head.name} | {case.name} | {1e3 * at:.4f} | {1e3 * between:.4f} |", flush=True)


if __name__ == "__main__":
    main()
