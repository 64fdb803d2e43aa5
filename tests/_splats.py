"""A head of Gaussian splats, as GaussianAvatars has them: bound to triangles of a mesh, in a PLY, drawn with numpy.

Written from the description of that file and of how its viewer drives it.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import numpy as np

from talkingeyes_blender.head.model import HeadModel
from talkingeyes_blender.head.rotation import matrix_from_quaternion
from talkingeyes_blender.head.skinning import pose_vertices

_FIELDS = (
    "x", "y", "z", "nx", "ny", "nz", *(f"f_dc_{i}" for i in range(3)), *(f"f_rest_{i}" for i in range(45)),
    "opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4)), "binding_0",
)  # fmt: skip
_SH = 0.28209479177387814
"""The spherical harmonic of degree 0."""
_RADIUS = 3


def triangles(head: HeadModel) -> np.ndarray:
    """(F, 3)"""
    quads = head.faces[:, 3] >= 0
    return np.concatenate([head.faces[:, :3], head.faces[quads][:, [0, 2, 3]]])


def write_avatar(path: Path, head: HeadModel) -> None:
    """One flat splat a triangle, in the colour that the head has there."""
    faces = triangles(head)
    material = np.concatenate([head.face_material, head.face_material[head.faces[:, 3] >= 0]])
    colour = np.array([m.color for m in head.materials])[material] * head.vertex_tint[faces].mean(1)
    splats = np.zeros(len(faces), [(name, "<f4") for name in _FIELDS])
    for i, channel in enumerate((colour ** (1 / 2.2)).clip(0, 1).T):
        splats[f"f_dc_{i}"] = (channel - 0.5) / _SH
    splats["opacity"], splats["rot_0"] = 4.0, 1.0
    # In the triangle's own frame: along its first edge, along its normal, and across.
    splats["scale_0"], splats["scale_1"], splats["scale_2"] = np.log(0.4), np.log(0.05), np.log(0.4)
    splats["binding_0"] = np.arange(len(faces))
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(splats)}"]
    header += [f"property float {name}" for name in _FIELDS]
    path.write_bytes("\n".join([*header, "end_header\n"]).encode() + splats.tobytes())


def read_avatar(path: Path) -> np.ndarray:
    """The splats of a PLY, with named fields."""
    header, _, body = path.read_bytes().partition(b"end_header\n")
    lines = header.decode().splitlines()
    fields = [line.split()[-1] for line in lines if line.startswith("property float")]
    count = next(int(line.split()[-1]) for line in lines if line.startswith("element vertex"))
    return np.frombuffer(body, [(name, "<f4") for name in fields], count)


def read_motion(path: Path) -> dict[str, np.ndarray]:
    """What the viewer takes from a motion file: arrays of float32 and nothing else; all seven must be there."""
    with np.load(path) as archive:
        values = {name: archive[name] for name in archive if archive[name].dtype == np.float32}
    keys = ("translation", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "expr", "dynamic_offset")
    return {name: values[name] for name in keys}


def driven_vertices(head: HeadModel, motion: dict[str, np.ndarray], frame: int) -> np.ndarray:
    """(V, 3) of the avatar's head at one frame of a motion file."""
    eyes = motion["eyes_pose"][frame].reshape(2, 3)
    pose = np.stack([motion["rotation"][frame], motion["neck_pose"][frame], motion["jaw_pose"][frame], *eyes])
    posed = pose_vertices(head, expression=motion["expr"][frame][: head.expressions], pose=pose)
    return posed + motion["translation"][frame] + motion["dynamic_offset"][frame]


def place(splats: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(centres (N, 3), covariances (N, 3, 3)) of splats in the world, carried by their triangles."""
    v0, v1, v2 = vertices[faces[splats["binding_0"].astype(int)]].transpose(1, 0, 2)
    length = np.linalg.norm(v1 - v0, axis=1)
    a0 = _unit(v1 - v0)
    a1 = _unit(np.cross(a0, v2 - v0))
    a2 = -_unit(np.cross(a1, a0))
    turn = np.stack([a0, a1, a2], 2)
    size = (length + np.abs((a2 * (v2 - v0)).sum(1))) / 2
    local = np.stack([splats["x"], splats["y"], splats["z"]], 1)
    centres = size[:, None] * np.einsum("nab,nb->na", turn, local) + (v0 + v1 + v2) / 3
    own = matrix_from_quaternion(np.stack([splats[f"rot_{i}"] for i in range(4)], 1))
    scales = np.exp(np.stack([splats[f"scale_{i}"] for i in range(3)], 1)) * size[:, None]
    axes = turn @ own * scales[:, None]
    return centres, axes @ axes.transpose(0, 2, 1)


def draw(
    splats: np.ndarray,
    centres: np.ndarray,
    covariances: np.ndarray,
    window: tuple[float, float, float, float],
    height: int = 160,
) -> np.ndarray:
    """(H, W, 3) from the front, without perspective; ``window`` is left, right, bottom, top in metres."""
    left, right, bottom, top = window
    scale = height / (top - bottom)
    width = int((right - left) * scale)
    place_ = np.stack([(centres[:, 0] - left) * scale, (top - centres[:, 1]) * scale], 1)
    flip = np.diag([1.0, -1.0])
    spread = flip @ covariances[:, :2, :2] @ flip * scale**2 + 0.3 * np.eye(2)
    inverse = np.linalg.inv(spread)
    colour = np.stack([splats[f"f_dc_{i}"] for i in range(3)], 1) * _SH + 0.5
    opacity = 1 / (1 + np.exp(-splats["opacity"]))
    pixels, alphas, owners = [], [], []
    base = np.floor(place_).astype(int)
    for dy in range(-_RADIUS, _RADIUS + 1):
        for dx in range(-_RADIUS, _RADIUS + 1):
            x, y = base[:, 0] + dx, base[:, 1] + dy
            off = np.stack([x, y], 1) + 0.5 - place_
            alpha = opacity * np.exp(-0.5 * np.einsum("na,nab,nb->n", off, inverse, off))
            seen = (alpha > 1 / 255) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
            pixels.append((y * width + x)[seen])
            alphas.append(alpha[seen])
            owners.append(np.flatnonzero(seen))
    pixel, alpha, owner = (np.concatenate(parts) for parts in (pixels, alphas, owners))
    order = np.lexsort((-centres[owner, 2], pixel))  # nearest first
    pixel, alpha, owner = pixel[order], alpha[order].clip(0, 0.99), owner[order]
    behind = np.cumsum(np.log1p(-alpha)) - np.log1p(-alpha)
    first = np.searchsorted(pixel, pixel)  # light that is left counts from each pixel's own first splat
    weight = alpha * np.exp(behind - behind[first])
    image = np.zeros((height * width, 3))
    for channel in range(3):
        image[:, channel] = np.bincount(pixel, weight * colour[owner, channel], height * width)
    return image.reshape(height, width, 3)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
