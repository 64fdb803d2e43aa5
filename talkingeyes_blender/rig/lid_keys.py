"""Keys that shut the lids and let them follow the gaze, made from a mesh's geometry, on any rig whose face is known."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import math

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..head import landmarks as flame
from ..head.landmarks import eye_aspect_ratio
from ..head.lids import lid_shapes, penetration
from ..head.model import JOINTS, LEFT_EYE, LID_FOLLOW_DEGREES, RIGHT_EYE, HeadModel
from .frame import unit_of
from .head_rig import BLINK_PROPERTY, LIDS_FOLLOW_PROPERTY, LIDS_PROPERTY, HeadRig
from .parts import BLINK_RANGE, LID_FOLLOW_RANGE, add_keys, set_key
from .points import basis_points, is_flame, mesh_to_armature, rest_points

NAMES = ("BlinkLeft", "BlinkRight", "LidFollowLeft", "LidFollowRight")
_NOTHING = 1e-5
_SHUT, _DEEP = 0.05, 1e-4
"""Aspect ratio of a shut eye, and metres of lid in an eyeball, that a file's own lid keys may have on a new face."""


def make_lid_keys(rig: HeadRig) -> tuple[str, ...]:
    """Add the keys BlinkLeft, BlinkRight, LidFollowLeft and LidFollowRight to a rig that has no keys for its lids.

    They are made for the face as its identity keys have shaped it. The follow keys get drivers, which the armature's
    property LIDS_FOLLOW_PROPERTY (0 to 1) scales. Returns the names; the rig is to be found anew. All or nothing.
    """
    if any(rig.blink_keys):
        have = " and ".join(f"'{name}'" for name in rig.blink_keys if name)
        raise TalkingEyesError(f"'{rig.name}' has keys for its lids already ({have}).", "Delete them to make new ones.")
    _refuse_shared(rig)
    displacements = _displacements(rig)
    keys = rig.shape_keys
    taken = [name for name in NAMES if keys is not None and name in keys.key_blocks]
    if taken and not rig.mesh.get(BLINK_PROPERTY):
        raise TalkingEyesError(
            f"'{rig.name}' has a shape key '{taken[0]}' that is in the way.", "Rename it, or delete it."
        )
    if taken:
        raise TalkingEyesError(
            f"'{rig.name}' has lid keys, but is set to shut its lids by expressions.", "Set it to shut them by keys."
        )
    limits = (BLINK_RANGE, BLINK_RANGE, LID_FOLLOW_RANGE, LID_FOLLOW_RANGE)
    custom = {owner: set(owner.keys()) for owner in (rig.mesh, rig.mesh.data, rig.armature)}
    animated = keys is not None and keys.animation_data is not None
    made = []
    try:
        made = add_keys(rig.mesh, zip(NAMES, displacements, limits, strict=True))
        rig.mesh.data[LIDS_PROPERTY] = json.dumps(NAMES)
        drive_lids(rig)
    except BaseException:
        for key in made:
            key.driver_remove("value")
            rig.mesh.shape_key_remove(key)
        if keys is None and rig.shape_keys is not None:
            rig.mesh.shape_key_clear()
        elif keys is not None and not animated:
            keys.animation_data_clear()
        for owner, names in custom.items():
            for name in set(owner.keys()) - names:
                del owner[name]
        raise
    return NAMES


def remake_lid_keys(rig: HeadRig) -> None:
    """Make the lid keys anew for the face as it is now: those that we made, and those of a head file that do not shut
    this face, or that would go through its eyeballs."""
    keys = rig.shape_keys
    if keys is None or not all(name in keys.key_blocks for name in NAMES) or not has_lid_landmarks(rig):
        return
    ours = LIDS_PROPERTY in rig.mesh.data
    if not ours and _fits(rig):
        return
    rest = basis_points(rig.mesh)
    for name, displacement in zip(NAMES, _displacements(rig), strict=True):
        set_key(keys.key_blocks[name], rest + displacement)
    rig.mesh.data.update()


def has_lid_landmarks(rig: HeadRig) -> bool:
    """Whether it is known where on the rig's mesh the lids are."""
    return rig.mesh is not None and _landmarks(rig) is not None


def rest_head(rig: HeadRig) -> HeadModel:
    """The rig's mesh at rest as a head model in FLAME's frame and in metres, without any shapes.

    Vertices are as the identity keys have them; skin weights are those of the rig's joints and of bones below them.
    """
    landmarks = _landmarks(rig) if rig.mesh is not None else None
    if landmarks is None:
        raise TalkingEyesError(
            f"Where the eyes and lids of '{rig.name}' are is not known, so no lid keys can be made.",
            "Lid keys need a mesh with FLAME's vertices, or a head that was built from a file with landmarks.",
        )
    missing = [joint for joint in ("left_eye", "right_eye") if joint not in rig.bones]
    if missing:
        raise TalkingEyesError(
            f"'{rig.name}' has no bone for the {missing[0].replace('_', ' ')}, so its eyeball cannot be told.",
            "Choose its bone.",
        )
    points = rest_points(rig.mesh) @ _linear(rig)
    count = len(points)
    none = np.zeros((count, 3, 0), np.float32)
    return HeadModel(
        name=rig.name,
        vertices=points,
        faces=_faces(rig.mesh.data),
        shape_basis=none,
        expression_basis=none,
        pose_basis=np.zeros((count, 3, 36), np.float32),
        weights=_weights(rig),
        joint_regressor=np.zeros((len(JOINTS), count)),
        identity="",
        landmarks=landmarks,
    )


def drive_lids(rig: HeadRig) -> None:
    """Let LidFollowLeft and LidFollowRight follow how far each eye looks down, less as that lid shuts.

    The elevation of the gaze is read off the bone's rotation as a quaternion q, whatever mode it is in: with the
    face's up u, front f and left s in the bone's own axes it is asin(2 (w s.v - u.v f.v)). The expression is of the
    kind that Blender evaluates itself, so that it works in files whose scripts are not trusted.
    """
    keys, armature = rig.shape_keys, rig.armature
    if BLINK_PROPERTY not in rig.mesh:
        rig.mesh[BLINK_PROPERTY] = False
        rig.mesh.id_properties_ui(BLINK_PROPERTY).update(
            default=False, description="Shut the lids by the head's expressions, and keep its lid keys still"
        )
    if LIDS_FOLLOW_PROPERTY not in armature:
        armature[LIDS_FOLLOW_PROPERTY] = 1.0
        armature.id_properties_ui(LIDS_FOLLOW_PROPERTY).update(
            min=0.0, max=1.0, default=1.0, description="How far the lids follow the eyes up and down"
        )
        armature.update_tag()  # or the first evaluation of the drivers misses it, and they count as broken
    for side in ("Left", "Right"):
        key, joint = keys.key_blocks.get(f"LidFollow{side}"), f"{side.lower()}_eye"
        if key is None or joint not in rig.bones:
            continue
        bone = armature.data.bones[rig.bones[joint]]
        axes = np.array(bone.matrix_local.to_3x3(), np.float64).T @ rig.frame
        key.driver_remove("value")
        driver = key.driver_add("value").driver
        driver.type = "SCRIPTED"
        _variable(driver, "k", "OBJECT", armature, f'["{LIDS_FOLLOW_PROPERTY}"]')
        shut = ""
        if f"Blink{side}" in keys.key_blocks:
            _variable(driver, "b", "KEY", keys, f'key_blocks["Blink{side}"].value')
            shut = "*(1-b)"
        used = _elevation(axes)
        for name in "wxyz":
            if name in used:
                _rotation(driver, name, armature, bone.name)
        low, high = LID_FOLLOW_RANGE
        per_radian = 1 / math.radians(LID_FOLLOW_DEGREES)
        driver.expression = f"k*clamp({per_radian:.6f}*asin(clamp(2*({used}),-1,1)){shut},{low},{high})"


def _elevation(axes: np.ndarray) -> str:
    """Half the sine of the angle by which a bone's quaternion w, x, y, z lowers the gaze; ``axes`` are the face's
    left, up and front in the bone's own axes, in columns."""
    left, up, front = (_dot(column) for column in axes.T)
    return f"w*{left}-{up}*{front}"


def _dot(column: np.ndarray) -> str:
    terms = []
    for value, name in zip(column, "xyz", strict=True):
        if abs(value) < _NOTHING:
            continue
        size = "" if abs(abs(value) - 1) < _NOTHING else f"{abs(value):.6f}*"
        terms.append(f"{'-' if value < 0 else '+'}{size}{name}")
    return f"({''.join(terms).removeprefix('+')})"


def _variable(driver: bpy.types.Driver, name: str, kind: str, owner: bpy.types.ID, path: str) -> None:
    variable = driver.variables.new()
    variable.name, variable.type = name, "SINGLE_PROP"
    target = variable.targets[0]
    target.id_type, target.id, target.data_path = kind, owner, path


def _rotation(driver: bpy.types.Driver, name: str, armature: bpy.types.Object, bone: str) -> None:
    variable = driver.variables.new()
    variable.name, variable.type = name, "TRANSFORMS"
    target = variable.targets[0]
    target.id, target.bone_target = armature, bone
    target.transform_type, target.transform_space = f"ROT_{name.upper()}", "LOCAL_SPACE"
    target.rotation_mode = "QUATERNION"


# -------------------------------------------------------------------------------------------- the mesh as a head model


def _refuse_shared(rig: HeadRig) -> None:
    mesh = rig.mesh
    if mesh is None:
        raise TalkingEyesError(f"'{rig.armature.name}' has no mesh, so it has no lids.")
    if not (mesh.is_editable and mesh.data.is_editable):
        raise TalkingEyesError(
            f"The mesh of '{mesh.name}' is linked from another file and cannot get shape keys.",
            "Make the keys in its own file, or make its mesh local (Object > Relations > Make Local).",
        )


def _displacements(rig: HeadRig) -> list[np.ndarray]:
    """What each of NAMES adds to the mesh, (V, 3) in its own frame."""
    lids, follow = lid_shapes(rest_head(rig))
    both = np.concatenate([lids, follow], 2).astype(np.float64)
    if not np.isfinite(both).all() or not both.any((0, 1)).all():
        raise TalkingEyesError(
            f"The lids of '{rig.name}' could not be made out on its mesh.", "Its eyelids must lie round its eyeballs."
        )
    to_mesh = np.linalg.inv(_linear(rig))
    return [both[:, :, i] @ to_mesh for i in range(len(NAMES))]


def _fits(rig: HeadRig) -> bool:
    """Whether the keys as they are shut this face without going through its eyes."""
    head = rest_head(rig)
    keys, rest = rig.shape_keys.key_blocks, basis_points(rig.mesh)
    shut = head.vertices.copy()
    for name in NAMES[:2]:
        values = np.empty(rest.size, np.float32)
        keys[name].data.foreach_get("co", values)
        shut += (values.reshape(-1, 3) - rest) @ _linear(rig)
    deep = max(penetration(head, shut, joint) for joint in (LEFT_EYE, RIGHT_EYE))
    return max(eye_aspect_ratio(shut, head.landmarks)) < _SHUT and deep < _DEEP


def _linear(rig: HeadRig) -> np.ndarray:
    """(3, 3) from the mesh's frame to FLAME's in metres, to be multiplied from the right."""
    to_armature = mesh_to_armature(rig.armature, rig.mesh)
    return (rig.frame.T @ to_armature[:3, :3]).T / unit_of(rig)


def _landmarks(rig: HeadRig) -> dict[str, np.ndarray] | None:
    """The landmarks that lids need: those stored with the mesh, or FLAME's on a mesh with FLAME's vertices."""
    stored = rig.landmarks
    if all(name in stored for name in ("face", "left_lids", "right_lids")):
        count = len(rig.mesh.data.vertices)
        return stored if all(len(v) and 0 <= v.min() <= v.max() < count for v in stored.values()) else None
    if not is_flame(rig.mesh):
        return None
    return {
        "face": flame.FLAME_FACE,
        "pupils": flame.FLAME_PUPILS,
        "left_lids": flame.FLAME_LIDS["left"],
        "right_lids": flame.FLAME_LIDS["right"],
    }


def _faces(mesh: bpy.types.Mesh) -> np.ndarray:
    """(F, 4) faces, -1 in the last column of a triangle; faces with more corners are cut into a fan."""
    starts, totals = np.empty(len(mesh.polygons), np.int32), np.empty(len(mesh.polygons), np.int32)
    corners = np.empty(len(mesh.loops), np.int32)
    mesh.polygons.foreach_get("loop_start", starts)
    mesh.polygons.foreach_get("loop_total", totals)
    mesh.loops.foreach_get("vertex_index", corners)
    quads = corners[starts[totals == 4, None] + np.arange(4)]
    triangles = [corners[starts[totals == 3, None] + np.arange(3)]]
    for start, total in zip(starts[totals > 4], totals[totals > 4], strict=True):
        fan = [[start, start + i, start + i + 1] for i in range(1, total - 1)]
        triangles.append(corners[np.array(fan)])
    triangles = np.concatenate(triangles)
    return np.concatenate([quads, np.concatenate([triangles, np.full((len(triangles), 1), -1)], 1)]).astype(np.int32)


def _weights(rig: HeadRig) -> np.ndarray:
    """(V, 5) skin weights of the rig's joints; a bone that is no joint counts for the joint that it hangs on."""
    bones = rig.armature.data.bones
    joint_of_bone = {bone: joint for joint, bone in enumerate(rig.bones.get(j) for j in JOINTS) if bone is not None}
    column_of_group = {}
    for group in rig.mesh.vertex_groups:
        bone = bones.get(group.name)
        if bone is None or not bone.use_deform:
            continue
        above = [bone.name, *(parent.name for parent in bone.parent_recursive)]
        column_of_group[group.index] = next((joint_of_bone[name] for name in above if name in joint_of_bone), 0)
    weights = np.zeros((len(rig.mesh.data.vertices), len(JOINTS)))
    for row, vertex in zip(weights, rig.mesh.data.vertices, strict=True):
        for element in vertex.groups:
            column = column_of_group.get(element.group)
            if column is not None:
                row[column] += element.weight
    total = weights.sum(1, keepdims=True)
    weights[total[:, 0] == 0, 0] = 1.0
    return weights / np.where(total == 0, 1.0, total)
