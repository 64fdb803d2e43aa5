"""A rig built round a mesh that has FLAME's vertices and nothing else, as trackers export it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..head.landmarks import lip_gap
from ..head.model import JAW, JOINTS, NECK, HeadModel
from . import naming
from .build import mark
from .find import find_rig
from .frame import fit_rotation, nearby_axes
from .head_rig import HEAD_MODEL_PROPERTY, HeadRig
from .lid_keys import NAMES, drive_lids, has_lid_landmarks, make_lid_keys
from .parts import COEFFICIENT_RANGE, CORRECTIVE_RANGE, add_armature, add_keys, add_weights, deform
from .points import basis_points, coordinates

_MOST_ADDED = 0.2
"""Vertices that a mesh may have beyond the head model's, as a part of these: teeth, closed holes."""
_LIKE = 0.012
"""Metres, root mean square: how far a mesh may be from the head model and still count as one of its faces."""
_EXACT = 0.0005
"""Metres, root mean square, below which the fit is one of rounding and its rotation is taken as it is."""
_OPEN, _UNLIKE = 0.004, 0.004
"""Metres between lips, and root mean square from the head model, above which a face may not be at rest."""
_ROUNDS, _IDENTITIES, _MOVES = 6, 100, 7
"""Rounds of fitting place and identity, with how many identity shapes; numbers of a place."""
_PASSES = 40


@dataclasses.dataclass(frozen=True, eq=False)
class Placement:
    """How a head model lies in a mesh: mesh = scale * rotation @ FLAME + place."""

    rotation: np.ndarray
    """(3, 3)."""
    scale: float
    place: np.ndarray
    """(3,)."""
    misfit: float
    """Metres, root mean square, between the mesh and the head model with the best identity."""

    def to_flame(self, points: np.ndarray) -> np.ndarray:
        return (points - self.place) @ self.rotation / self.scale


def rig_bare_mesh(context: bpy.types.Context, mesh: bpy.types.Object, head: HeadModel) -> HeadRig:
    """Give a mesh with the vertices of ``head`` an armature, skin weights, expressions and lids, and return its rig.

    The mesh keeps its place, its shape (its identity), materials, modifiers, shape keys and animation. Vertices after
    the head model's own, such as teeth or what closes a hole, go along with what they hang on. Expressions, correctives
    and lid keys are added where the mesh has none by these names. Joints lie where this face has them. If anything
    fails, the mesh is as it was before.
    """
    if context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    _refuse(context, mesh, head)
    points = basis_points(mesh)
    placement = place_head(points, head)
    own = head if len(head.vertices) == len(points) else _extended(head, mesh, placement)
    joints = head.joint_regressor @ placement.to_flame(points[: len(head.vertices)])
    keys = _keys(own, mesh, placement)
    parent, inverse = _parenting(mesh)
    undo = _Undo(mesh)
    try:
        collection = mesh.users_collection[0]
        armature = add_armature(
            context,
            collection,
            f"{mesh.name} Rig",
            placement.scale * joints @ placement.rotation.T + placement.place,
            placement.rotation,
            placement.scale,
        )
        if not mesh.vertex_groups or not all(joint in mesh.vertex_groups for joint in JOINTS):
            add_weights(mesh, own.weights)
        deform(mesh, armature)
        _join(armature, mesh, parent, inverse)
        made = add_keys(mesh, keys)
        mark(armature, mesh, head, joints)
        if not any(key.name.startswith("Exp") for key in made) and head.expressions:
            # The mesh's own expressions are of a basis that nobody has named.
            del mesh[HEAD_MODEL_PROPERTY], armature[HEAD_MODEL_PROPERTY]
        context.view_layer.update()
        rig = find_rig(mesh)
        names = [key.name for key in mesh.data.shape_keys.key_blocks]
        if not any(rig.blink_keys) and has_lid_landmarks(rig) and not set(NAMES) & set(names):
            make_lid_keys(rig)
        else:
            drive_lids(rig)
        context.view_layer.update()
        rig = find_rig(mesh)
    except BaseException:
        undo()
        raise
    doubts = tuple(_doubts(mesh, head, placement, points))
    return dataclasses.replace(rig, report=dataclasses.replace(rig.report, obstacles=(*rig.report.obstacles, *doubts)))


def place_head(points: np.ndarray, head: HeadModel) -> Placement:
    """Find where in a mesh (V, 3) a head model lies, whoever's face the mesh is; TalkingEyesError if it is no such
    face.

    Place and identity are fitted together (Umeyama 1991 for the place; least squares for the identity and what is left
    of the place), so that a long chin does not pass for a nod. Without identity shapes an axis-aligned rotation nearby
    is taken, since meshes come that way.
    """
    target = points[: len(head.vertices)]
    count = min(head.shape_basis.shape[2], _IDENTITIES)
    basis = head.shape_basis[:, :, :count].astype(np.float64).reshape(head.vertices.size, count)
    both = np.concatenate([basis, _small_moves(head.vertices)], 1)
    # Millimetres at a coefficient of 1 hold the identity back, nothing the place.
    ridge = np.diag(np.append(np.full(count, 1e-3**2), np.full(_MOVES, 1e-12)))
    inverse = np.linalg.inv(both.T @ both + ridge)
    source = head.vertices
    for _ in range(_ROUNDS if count else 1):
        rotation, scale, place = fit_rotation(source, target)
        local = (target - place) @ rotation / scale
        if count:
            identity = (inverse @ (both.T @ (local - head.vertices).ravel()))[:count]
            source = head.vertices + (basis @ identity).reshape(-1, 3)
    misfit = float(np.sqrt(((source - local) ** 2).sum(1).mean()))
    if not misfit < _LIKE:
        raise TalkingEyesError(
            f"The mesh has as many vertices as '{head.name}', but they are not in its order or not those of a face.",
            "Import it again with its vertices in their order (OBJ or PLY), without merging or splitting any.",
        )
    if misfit > _EXACT:
        rotation = nearby_axes(rotation, 10.0)
        place = target.mean(0) - scale * rotation @ source.mean(0)
    return Placement(rotation, scale, place, misfit)


def _doubts(mesh: bpy.types.Object, head: HeadModel, placement: Placement, points: np.ndarray) -> Iterator[str]:
    """Sentences about a face that may not be at rest."""
    if "face" in head.landmarks:
        gap = lip_gap(placement.to_flame(points), head.landmarks) - lip_gap(head.vertices, head.landmarks)
        if gap > _OPEN:
            yield (
                f"The mouth of '{mesh.name}' is open by {1e3 * gap:.0f} mm, and this is now its rest, so that its lips "
                "will not meet. Build the rig round a face with its mouth shut."
            )
    if placement.misfit > _UNLIKE:
        yield (
            f"The face of '{mesh.name}' is {1e3 * placement.misfit:.0f} mm on average from any that '{head.name}' can "
            "have. It may hold an expression, which is now its rest."
        )


def _small_moves(points: np.ndarray) -> np.ndarray:
    """(3 V, 7) what small turns, growth and shifts do to points (V, 3)."""
    turns = np.cross(np.eye(3)[:, None], points[None])
    shifts = np.broadcast_to(np.eye(3)[:, None], (3, *points.shape))
    return np.concatenate([turns, points[None], shifts]).reshape(_MOVES, -1).T


def _refuse(context: bpy.types.Context, mesh: bpy.types.Object, head: HeadModel) -> None:
    if mesh is None or mesh.type != "MESH":
        raise TalkingEyesError("No mesh is selected.", "Select the mesh of a head in FLAME's topology.")
    if not (mesh.is_editable and mesh.data.is_editable):
        raise TalkingEyesError(
            f"'{mesh.name}' is linked from another file and cannot be rigged here.",
            "Make it local (Object > Relations > Make Local), or open its own file.",
        )
    if mesh.name not in context.scene.objects:
        raise TalkingEyesError(f"'{mesh.name}' is not in this scene.", "Link it to one of the scene's collections.")
    if any(m.type == "ARMATURE" and m.object is not None for m in mesh.modifiers):
        raise TalkingEyesError(f"The mesh '{mesh.name}' has an armature already.", "Choose it as the head.")
    count, wanted = len(mesh.data.vertices), len(head.vertices)
    if not wanted <= count <= (1 + _MOST_ADDED) * wanted:
        raise TalkingEyesError(
            f"The mesh '{mesh.name}' has {count:,} vertices, '{head.name}' has {wanted:,}.",
            "Choose the file that this mesh was made from; a mesh that was remeshed, cut or merged cannot be rigged "
            "this way.",
        )
    keys = mesh.data.shape_keys
    if keys is not None and not keys.use_relative:
        raise TalkingEyesError(
            f"The shape keys of '{mesh.name}' are absolute, so they cannot be mixed.",
            "Switch on 'Relative' below the list of shape keys.",
        )
    if np.linalg.det(np.array(mesh.matrix_world, np.float64)[:3, :3]) == 0:
        raise TalkingEyesError(f"'{mesh.name}' is scaled to nothing along an axis.", "Give it a scale above 0.")
    groups = [joint for joint in JOINTS if joint in mesh.vertex_groups]
    if groups and len(groups) < len(JOINTS):
        raise TalkingEyesError(
            f"The mesh '{mesh.name}' has a vertex group '{groups[0]}' of its own, which the bone's weights would "
            "overwrite.",
            "Rename the group.",
        )
    if not np.isfinite(basis_points(mesh)).all():
        raise TalkingEyesError(f"The mesh '{mesh.name}' has vertices at no place (not a number).", "Import it again.")


def _keys(
    head: HeadModel, mesh: bpy.types.Object, placement: Placement
) -> list[tuple[str, np.ndarray, tuple[float, float]]]:
    """The shape keys that the mesh lacks, in its frame."""
    blocks = mesh.data.shape_keys.key_blocks if mesh.data.shape_keys is not None else ()
    names = [key.name for key in blocks]
    to_mesh = placement.scale * placement.rotation.T
    keys = []
    if not naming.match_expressions(names):
        for i in range(head.expressions):
            keys.append((f"Exp{i + 1}", head.expression_basis[:, :, i] @ to_mesh, COEFFICIENT_RANGE))
    if not naming.match_pose_correctives(names):
        for i in np.flatnonzero(head.pose_basis.any((0, 1))):
            keys.append((f"Pose{i + 1}", head.pose_basis[:, :, i] @ to_mesh, CORRECTIVE_RANGE))
    return keys


# ------------------------------------------------------------------------------------------------ vertices beyond FLAME


def _extended(head: HeadModel, mesh: bpy.types.Object, placement: Placement) -> HeadModel:
    """The head model with the mesh's further vertices: those on the skin are averages of what they hang on; parts of
    their own, teeth, go whole with the head or with the jaw."""
    count, more = len(mesh.data.vertices), len(mesh.data.vertices) - len(head.vertices)
    pairs = np.empty(2 * len(mesh.data.edges), np.int32)
    mesh.data.edges.foreach_get("vertices", pairs)
    pairs = pairs.reshape(-1, 2)
    added = np.arange(len(head.vertices), count)
    part = _connected(pairs, count)
    on_skin = np.isin(part[added], part[: len(head.vertices)])
    shares = _shares(pairs, len(head.vertices), count)

    def extend(values: np.ndarray) -> np.ndarray:
        flat = values.reshape(len(values), -1).astype(np.float64)
        new = np.where(on_skin[:, None], shares @ flat, 0)
        return np.concatenate([flat, new]).reshape(count, *values.shape[1:]).astype(values.dtype)

    weights = extend(head.weights)
    points = placement.to_flame(basis_points(mesh))
    face = head.landmarks.get("face")
    middle = points[face[43:51], 1].mean() if face is not None else head.joints[JAW, 1]
    loose = added[~on_skin]
    for which in np.unique(part[loose]):
        of = loose[part[loose] == which]
        # One part may hold both rows of teeth; then each of its vertices goes by its own height.
        heights = points[of, 1]
        below = np.full(len(of), heights.mean() < middle) if len(np.unique(part[loose])) > 1 else heights < middle
        weights[of] = 0
        weights[of[below], JAW] = 1
        weights[of[~below], NECK] = 1
    return dataclasses.replace(
        head,
        vertices=np.concatenate([head.vertices, points[len(head.vertices) :]]),
        shape_basis=extend(head.shape_basis),
        expression_basis=extend(head.expression_basis),
        pose_basis=extend(head.pose_basis),
        weights=weights,
        joint_regressor=np.concatenate([head.joint_regressor, np.zeros((len(JOINTS), more))], 1),
        lids=None,
        lid_follow=None,
        face_material=None,
        vertex_tint=None,
    )


def _connected(pairs: np.ndarray, count: int) -> np.ndarray:
    """(V,) number of the part of the mesh that each vertex belongs to: its smallest vertex."""
    part = np.arange(count)
    while True:
        low = np.minimum(part[pairs[:, 0]], part[pairs[:, 1]])
        new = part.copy()
        np.minimum.at(new, pairs[:, 0], low)
        np.minimum.at(new, pairs[:, 1], low)
        new = new[new]
        if np.array_equal(new, part):
            return part
        part = new


def _shares(pairs: np.ndarray, first: int, count: int) -> np.ndarray:
    """(added, first) how much of each of the head's vertices an added one takes: its neighbours', averaged until what
    hangs on other added ones has settled too."""
    touching = pairs[(pairs >= first).any(1)]
    both = np.concatenate([touching, touching[:, ::-1]])
    both = both[both[:, 0] >= first]
    neighbours = np.zeros((count - first, count))
    np.add.at(neighbours, (both[:, 0] - first, both[:, 1]), 1)
    neighbours /= np.maximum(neighbours.sum(1, keepdims=True), 1)
    shares = np.zeros((count - first, first))
    for _ in range(_PASSES):
        shares = neighbours[:, :first] + neighbours[:, first:] @ shares
    return shares / np.maximum(shares.sum(1, keepdims=True), 1e-12)


# ---------------------------------------------------------------------------------------------- where the armature goes


def _parenting(mesh: bpy.types.Object) -> tuple[bool, object]:
    """(whether the armature may become the mesh's parent, the matrix that its own transform stands on now).

    Whatever else moves the mesh goes on to move it: then the armature hangs on the mesh.
    """
    data = mesh.animation_data
    moved = bool(mesh.constraints) or mesh.parent_type != "OBJECT" or mesh.rigid_body is not None
    moved |= data is not None and bool(data.action or len(data.nla_tracks) or len(data.drivers))
    below = mesh.parent.matrix_world @ mesh.matrix_parent_inverse if mesh.parent is not None else None
    return not moved, below


def _join(armature: bpy.types.Object, mesh: bpy.types.Object, may_be_parent: bool, below) -> None:
    """Put the armature where the mesh is and tie the two; the mesh stays where it is."""
    if not may_be_parent:
        armature.parent = mesh
        return
    world = mesh.matrix_world.copy()
    if mesh.parent is not None:
        armature.parent = mesh.parent
        armature.matrix_parent_inverse = mesh.parent.matrix_world.inverted()
    armature.matrix_basis = world
    mesh.parent = armature
    mesh.matrix_parent_inverse = world.inverted() @ below if below is not None else world.inverted()


class _Undo:
    """What of a mesh has to be put back when building its rig has failed."""

    _PROPERTIES = ("parent", "parent_type", "parent_bone", "matrix_parent_inverse")

    def __init__(self, mesh: bpy.types.Object) -> None:
        keys = mesh.data.shape_keys
        self.mesh = mesh
        self.armatures, self.data_blocks = set(bpy.data.objects), set(bpy.data.armatures)
        self.modifiers = {modifier.name for modifier in mesh.modifiers}
        self.groups = {group.name for group in mesh.vertex_groups}
        self.keys = {key.name for key in keys.key_blocks} if keys is not None else None
        self.animated = keys is not None and keys.animation_data is not None
        self.points = coordinates(mesh.data.vertices)
        self.values = {name: getattr(mesh, name) for name in self._PROPERTIES}
        self.values["matrix_parent_inverse"] = mesh.matrix_parent_inverse.copy()
        self.custom = {owner: set(owner.keys()) for owner in (mesh, mesh.data)}

    def __call__(self) -> None:
        mesh = self.mesh
        for name, value in self.values.items():
            setattr(mesh, name, value)
        for modifier in [m for m in mesh.modifiers if m.name not in self.modifiers]:
            mesh.modifiers.remove(modifier)
        for group in [g for g in mesh.vertex_groups if g.name not in self.groups]:
            mesh.vertex_groups.remove(group)
        keys = mesh.data.shape_keys
        if keys is not None and self.keys is None:
            mesh.shape_key_clear()
            mesh.data.vertices.foreach_set("co", self.points.astype(np.float32).ravel())
        elif keys is not None:
            for key in [key for key in keys.key_blocks if key.name not in self.keys]:
                key.driver_remove("value")
                mesh.shape_key_remove(key)
            if not self.animated:
                keys.animation_data_clear()
        for owner, names in self.custom.items():
            for name in [name for name in owner.keys() if name not in names]:  # noqa: SIM118
                del owner[name]
        bpy.data.batch_remove(
            [*(set(bpy.data.objects) - self.armatures), *(set(bpy.data.armatures) - self.data_blocks)]
        )
