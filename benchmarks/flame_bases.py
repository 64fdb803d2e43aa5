"""Expression bases on FLAME's topology for measurements, made from the stand-in's shapes.

The stand-in's ARKit shapes are carried to the other face by a warp through the landmarks, then mixed as the bases of
statistical heads are: orthogonal directions of falling variance, some fewer than needed, some noisy.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np

from talkingeyes_blender.head.model import JAW, LEFT_EYE, HeadModel, basis_identity

_JAW_DISTANCE = 0.02
"""Metres that a whole skin weight of the jaw counts when neighbours are looked for: it keeps the lips apart."""
_NEIGHBOURS = 4


def carried_shapes(source: HeadModel, target: HeadModel) -> np.ndarray:
    """(V, 3, E) the source's expressions on the target's skin, metres; eyeballs stay."""
    there, here = (head.vertices[_controls(head)] for head in (source, target))
    skin = np.flatnonzero(target.weights[:, LEFT_EYE:].sum(1) < 0.5)
    warped = _warp(here, there, target.vertices[skin])
    names = [material.name for material in source.materials]
    visible = np.isin(source.face_material, [names.index(n) for n in ("skin", "lips", "mouth") if n in names])
    candidates = np.unique(source.faces[visible][:, :3])
    points = np.concatenate([source.vertices, _JAW_DISTANCE * source.weights[:, [JAW]]], 1)[candidates]
    asked = np.concatenate([warped, _JAW_DISTANCE * target.weights[skin][:, [JAW]]], 1)
    scale = np.linalg.norm(here - here.mean(0)) / np.linalg.norm(there - there.mean(0))
    shapes = np.zeros((*target.vertices.shape, source.expressions))
    for first in range(0, len(skin), 500):
        part = slice(first, first + 500)
        distances = ((asked[part, None] - points[None]) ** 2).sum(-1)
        near = np.argpartition(distances, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
        weights = 1 / (np.take_along_axis(distances, near, 1) + 1e-8)
        weights /= weights.sum(1, keepdims=True)
        moved = source.expression_basis[candidates[near]]
        shapes[skin[part]] = scale * np.einsum("vk,vkce->vce", weights, moved)
    return shapes


def bases(target: HeadModel, shapes: np.ndarray, seed: int = 0) -> dict[str, HeadModel]:
    """Heads with bases made of ``shapes`` (V, 3, E) by name; a coefficient of 1 is one standard deviation."""
    rng = np.random.default_rng(seed)
    count = shapes.shape[2]
    flat = shapes.reshape(-1, count)
    # A population of faces: few shapes at once, some strongly. Its spread along each direction is what falls.
    people = rng.gamma(0.35, 0.5, (400, count))
    people -= people.mean(0)
    covariance = people.T @ people / len(people)
    root = np.linalg.cholesky(covariance + 1e-9 * np.eye(count))
    u, values, _ = np.linalg.svd(flat @ root, full_matrices=False)
    modes = u * values
    turned = np.linalg.qr(rng.normal(0, 1, (count, count)))[0]
    random = flat @ turned * np.geomspace(1, 0.15, count)
    smooth = np.stack([_smooth_noise(target, rng) for _ in range(count)], -1).reshape(-1, count)
    size = np.linalg.norm(flat, axis=0).mean() / np.linalg.norm(smooth, axis=0).mean()
    wide = np.concatenate([modes, smooth * np.geomspace(0.3, 0.03, count) * size], 1)
    made = {
        "unmixed": flat,
        "mixed": random,
        "principal": modes,
        "principal, first 20": modes[:, :20],
        "principal, first 10": modes[:, :10],
        "principal, noisy": modes + 0.1 * size * smooth * (values / values.mean()) ** 0.5,
        "principal, and 41 strange": wide,
    }
    return {name: _with_basis(target, name, basis) for name, basis in made.items()}


def _with_basis(target: HeadModel, name: str, basis: np.ndarray) -> HeadModel:
    basis = basis.reshape(len(target.vertices), 3, -1).astype(np.float32)
    return dataclasses.replace(target, name=name, expression_basis=basis, identity=basis_identity(basis))


def _controls(head: HeadModel) -> np.ndarray:
    return np.concatenate([head.landmarks["face"], head.landmarks["pupils"]])


def _warp(source: np.ndarray, target: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 3) under the map that brings ``source`` (K, 3) to ``target``: affine and |r|, little bent."""
    count = len(source)

    def kernel(a: np.ndarray) -> np.ndarray:
        return np.linalg.norm(a[:, None] - source[None], axis=-1)

    system = np.zeros((count + 4, count + 4))
    # A little slack: lips that rest one over the other have points in the wrong order.
    system[:count, :count] = kernel(source) - 0.002 * np.eye(count)
    system[:count, count:] = np.concatenate([np.ones((count, 1)), source], 1)
    system[count:, :count] = system[:count, count:].T
    weights = np.linalg.solve(system, np.concatenate([target, np.zeros((4, 3))]))
    return kernel(points) @ weights[:count] + np.concatenate([np.ones((len(points), 1)), points], 1) @ weights[count:]


def _smooth_noise(head: HeadModel, rng: np.random.Generator) -> np.ndarray:
    """(V, 3) waves of some centimetres over the skin."""
    skin = head.weights[:, LEFT_EYE:].sum(1) < 0.5
    noise = np.zeros_like(head.vertices)
    for _ in range(3):
        phase = head.vertices[skin] @ rng.normal(0, 120, 3) + rng.uniform(0, 2 * np.pi)
        noise[skin] += np.cos(phase)[:, None] * rng.normal(0, 1, 3)
    return noise
