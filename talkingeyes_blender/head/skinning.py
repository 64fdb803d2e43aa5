"""Posing a head in numpy: shapes, pose correctives, linear blend skinning, as in FLAME (Li et al. 2017, Eqs. 1-3)."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from ..errors import TalkingEyesError
from .model import JOINTS, PARENTS, HeadModel
from .rotation import matrix_from_axis_angle


def pose_vertices(
    head: HeadModel,
    shape: np.ndarray | None = None,
    expression: np.ndarray | None = None,
    pose: np.ndarray | None = None,
    lids: np.ndarray | None = None,
    lid_follow: np.ndarray | None = None,
) -> np.ndarray:
    """Return the posed vertices (V, 3) in metres, or (T, V, 3) where any input but ``shape`` has a frame axis.

    shape       (S,) identity coefficients
    expression  (E,) or (T, E)
    pose        (5, 3) or (T, 5, 3) axis-angle in radians: root, neck, jaw, left eye, right eye
    lids        (2,) or (T, 2) closure of the left and the right lids, 0 to 1
    lid_follow  (2,) or (T, 2) how far the lids follow each eye down, 1 at LID_FOLLOW_DEGREES

    Joints follow the identity but not the expression. FLAME's own code regresses them from the expressive mesh too;
    a rig's bones cannot move with a shape key, so this rule is the one under which Blender and we agree exactly. It
    changes little: of FLAME's neck 13 % is regressed from the upper lip, so that a lip raised by 5 mm would move that
    joint by 0.7 mm, and the skin by 0.2 mm at a nod of 15 degrees; eyes and jaw are regressed from places that stay.
    Coefficients that the head does not have raise TalkingEyesError; lids on a head without lid shapes do nothing.
    """
    frames, batched = _frames(expression=(expression, 1), pose=(pose, 2), lids=(lids, 1), lid_follow=(lid_follow, 1))
    rest = shaped_vertices(head, shape)
    vertices = np.broadcast_to(rest, (frames, *rest.shape))
    vertices = _add(vertices, head.expression_basis, expression, "expression")
    for basis, amount, name in ((head.lids, lids, "lids"), (head.lid_follow, lid_follow, "lid_follow")):
        if basis is not None:
            vertices = _add(vertices, basis, amount, name)
    if pose is not None:
        matrices = matrix_from_axis_angle(_pose(pose))
        vertices = _add(vertices, head.pose_basis, pose_features(matrices), "pose correctives")
        vertices = _blend(vertices, head.weights, _skinning_matrices(head.joint_regressor @ rest, matrices))
    vertices = np.ascontiguousarray(vertices)
    return vertices if batched else vertices[0]


def shaped_vertices(head: HeadModel, shape: np.ndarray | None = None) -> np.ndarray:
    """(V, 3) the template with identity coefficients (S,): the mesh that a rig is built on."""
    return _add(head.vertices[None], head.shape_basis, shape, "shape")[0]


def shaped_joints(head: HeadModel, shape: np.ndarray | None = None) -> np.ndarray:
    """(5, 3) joint positions at rest for identity coefficients (S,)."""
    return head.joints if shape is None else head.joint_regressor @ shaped_vertices(head, shape)


def posed_joints(head: HeadModel, shape: np.ndarray | None = None, pose: np.ndarray | None = None) -> np.ndarray:
    """(5, 3) or (T, 5, 3) joint positions under ``pose``, as for ``pose_vertices``."""
    joints = shaped_joints(head, shape)
    if pose is None:
        return joints
    transforms = joint_transforms(head, shape, pose)
    return np.einsum("...jab,jb->...ja", transforms[..., :3], joints) + transforms[..., 3]


def joint_transforms(head: HeadModel, shape: np.ndarray | None = None, pose: np.ndarray | None = None) -> np.ndarray:
    """(5, 3, 4) or (T, 5, 3, 4): what carries a point that belongs wholly to a joint from rest to its posed place."""
    pose = np.zeros((5, 3)) if pose is None else np.asarray(pose, np.float64)
    transforms = _skinning_matrices(shaped_joints(head, shape), matrix_from_axis_angle(_pose(pose)))
    return transforms if pose.ndim == 3 else transforms[0]


def pose_features(matrices: np.ndarray) -> np.ndarray:
    """(..., 36) weights of the pose correctives: R - I, row by row, of each joint but the root; from (..., 5, 3, 3)."""
    return (matrices[..., 1:, :, :] - np.eye(3)).reshape(*matrices.shape[:-3], 36)


def _frames(**inputs: tuple[np.ndarray | None, int]) -> tuple[int, bool]:
    """Number of frames that the inputs share, and whether any has a frame axis beyond its own number of axes."""
    lengths = {name: len(x) for name, (x, axes) in inputs.items() if x is not None and np.ndim(x) > axes}
    if len(set(lengths.values()) - {1}) > 1:
        counts = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise TalkingEyesError(f"The channels of one motion differ in their number of frames ({counts}).")
    return max(lengths.values(), default=1), bool(lengths)


def _pose(pose: np.ndarray) -> np.ndarray:
    pose = np.asarray(pose, np.float64)
    if pose.shape[-2:] != (len(JOINTS), 3) or pose.ndim > 3:
        raise TalkingEyesError(f"A pose has the shape {pose.shape}, not (5, 3) or (T, 5, 3).")
    return pose.reshape(-1, len(JOINTS), 3)


def _add(vertices: np.ndarray, basis: np.ndarray, amount: np.ndarray | None, name: str) -> np.ndarray:
    """(T, V, 3) + (V, 3, K) basis times (K,) or (T, K)."""
    if amount is None:
        return vertices
    amount = np.asarray(amount, np.float64)
    if amount.ndim not in (1, 2) or amount.shape[-1] != basis.shape[2]:
        raise TalkingEyesError(
            f"The {name} has the shape {amount.shape}, but this head has {basis.shape[2]} such coefficients.",
            "Take the coefficients over to this head's basis first.",
        )
    amount = np.atleast_2d(amount)
    used = np.flatnonzero(amount.any(0))
    if not len(used):
        return vertices
    flat = np.asarray(basis[:, :, used], np.float64).reshape(-1, len(used))
    return vertices + (amount[:, used] @ flat.T).reshape(len(amount), *basis.shape[:2])


def _skinning_matrices(joints: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """(T, 5, 3, 4) world transform of each joint with its rest place undone, from (5, 3) and (T, 5, 3, 3)."""
    rotations, places = [matrices[:, 0]], [np.broadcast_to(joints[0], (len(matrices), 3))]
    for joint, parent in enumerate(PARENTS[1:], 1):
        rotations.append(rotations[parent] @ matrices[:, joint])
        places.append(places[parent] + rotations[parent] @ (joints[joint] - joints[parent]))
    rotation, place = np.stack(rotations, 1), np.stack(places, 1)
    return np.concatenate([rotation, (place - np.einsum("tjab,jb->tja", rotation, joints))[..., None]], -1)


def _blend(vertices: np.ndarray, weights: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Linear blend skinning: (T, V, 3) by (V, 5) weights and (T, 5, 3, 4) transforms."""
    posed = np.zeros((len(transforms), *vertices.shape[1:]))
    for joint in range(len(JOINTS)):
        # Most vertices do not know most joints (an eye moves its eyeball alone): only those that do are touched.
        of = np.flatnonzero(weights[:, joint])
        transform = transforms[:, joint]
        moved = vertices[:, of] @ transform[:, :, :3].transpose(0, 2, 1) + transform[:, None, :, 3]
        posed[:, of] += weights[of, joint, None] * moved
    return posed
