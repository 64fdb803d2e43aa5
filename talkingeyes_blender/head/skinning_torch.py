"""The twin of `skinning` in torch: batched and differentiable, for losses on vertices. Only training imports it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from .model import PARENTS, HeadModel


class TorchHead(nn.Module):
    """Poses a head, or chosen vertices of it, in batches; equal to ``skinning.pose_vertices``.

    ``vertices`` names the vertices to compute, by index: a loss on lips and lids needs 1 % of them. Joints always
    come from the whole head. Everything is a buffer: ``to(device)`` moves it, nothing trains, nothing is saved.
    """

    def __init__(self, head: HeadModel, vertices: np.ndarray | None = None, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        chosen = np.arange(len(head.vertices)) if vertices is None else np.asarray(vertices, np.int64)
        count = len(chosen)

        def keep(name: str, array: np.ndarray | None) -> None:
            tensor = None if array is None else torch.as_tensor(np.array(array), dtype=dtype)
            self.register_buffer(name, tensor, persistent=False)

        def rows(basis: np.ndarray | None) -> np.ndarray | None:
            # (V, 3, K) to (K, 3 V'): one matrix product for all frames.
            return None if basis is None else basis[chosen].reshape(3 * count, -1).T

        keep("template", head.vertices[chosen])
        keep("weights", head.weights[chosen])
        keep("joints", head.joints)
        keep("joint_basis", np.einsum("jv,vcs->sjc", head.joint_regressor, head.shape_basis))
        keep("shapes", rows(head.shape_basis))
        keep("expressions", rows(head.expression_basis))
        keep("correctives", rows(head.pose_basis))
        keep("lids", rows(head.lids))
        keep("lid_follow", rows(head.lid_follow))

    def forward(
        self,
        expression: Tensor | None = None,
        pose: Tensor | None = None,
        lids: Tensor | None = None,
        lid_follow: Tensor | None = None,
        shape: Tensor | None = None,
    ) -> Tensor:
        """Return (..., V', 3) in metres for expression (..., E), pose (..., 5, 3), lids and lid_follow (..., 2) and
        shape (..., S), whose leading axes broadcast; units and meaning as in ``skinning.pose_vertices``."""
        vertices, joints = self.template, self.joints
        if shape is not None:
            vertices = vertices + self._offset(shape, self.shapes)
            joints = joints + torch.einsum("...s,sjc->...jc", shape, self.joint_basis)
        for amount, basis in ((expression, self.expressions), (lids, self.lids), (lid_follow, self.lid_follow)):
            if amount is not None and basis is not None:
                vertices = vertices + self._offset(amount, basis)
        if pose is None:
            return vertices
        matrices = rotation_matrix(pose)
        features = (matrices[..., 1:, :, :] - torch.eye(3, dtype=matrices.dtype, device=matrices.device)).flatten(-3)
        vertices = vertices + self._offset(features, self.correctives)
        transforms = _skinning_matrices(joints, matrices)
        blended = torch.einsum("vj,...jab->...vab", self.weights, transforms)
        return torch.einsum("...vab,...vb->...va", blended[..., :3], vertices) + blended[..., 3]

    def _offset(self, amount: Tensor, basis: Tensor) -> Tensor:
        return (amount @ basis).unflatten(-1, (-1, 3))


def rotation_matrix(vector: Tensor) -> Tensor:
    """Axis-angle (..., 3) in radians to (..., 3, 3); smooth at 0, where a norm has no gradient."""
    square = (vector * vector).sum(-1)[..., None, None]
    small = square < 1e-8
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    sine = torch.where(small, 1 - square / 6, angle.sin() / angle)
    versine = torch.where(small, 0.5 - square / 24, 2 * ((angle / 2).sin() / angle) ** 2)
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    eye = torch.eye(3, dtype=vector.dtype, device=vector.device)
    return eye + sine * cross + versine * (cross @ cross)


def _skinning_matrices(joints: Tensor, matrices: Tensor) -> Tensor:
    """(..., 5, 3, 4) from joints (..., 5, 3) and their own rotations (..., 5, 3, 3)."""
    rotations = [matrices[..., 0, :, :]]
    places = [joints[..., 0, :].expand(rotations[0].shape[:-1])]
    for joint, parent in enumerate(PARENTS[1:], 1):
        step = (joints[..., joint, :] - joints[..., parent, :])[..., None]
        places.append(places[parent] + (rotations[parent] @ step)[..., 0])
        rotations.append(rotations[parent] @ matrices[..., joint, :, :])
    rotation, place = torch.stack(rotations, -3), torch.stack(places, -2)
    shift = place - (rotation @ joints[..., None])[..., 0]
    return torch.cat([rotation, shift[..., None]], -1)
