"""Whether eyes shut and lids keep out of them: ``python -m benchmarks.lids [--head FILE]``.

For the stand-in, its identities, and a FLAME head and variations of it: the aspect ratio of the eye at rest and at
blink 1 (the larger of left and right), and how deep a lid enters the eyeball over a whole blink and over the range in
which lids follow the gaze, in millimetres (negative: the least distance that is left). The variations are smooth
deformations of the whole face, eyeballs carried along as they are, with lid keys made anew from their geometry.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from talkingeyes_blender.head.landmarks import eye_aspect_ratio
from talkingeyes_blender.head.lids import eyeball, lid_shapes, penetration
from talkingeyes_blender.head.model import LEFT_EYE, RIGHT_EYE, HeadModel
from talkingeyes_blender.head.reading import read_head
from talkingeyes_blender.head.skinning import pose_vertices, shaped_vertices
from talkingeyes_blender.head.standin import load_standin

BLINKS = np.linspace(0, 1, 9)
FOLLOWS = np.linspace(-0.8, 1.4, 9)


@dataclasses.dataclass(frozen=True)
class Measured:
    """How one head's lids do."""

    rest: float
    """Aspect ratio at rest, the smaller of both eyes'."""
    shut: float
    """Aspect ratio at blink 1, the larger of both eyes'."""
    blink_depth: float
    """Deepest lid in an eyeball over a blink, millimetres."""
    follow_depth: float
    """The same while the lids follow the gaze, with and without a blink."""


def measure(head: HeadModel) -> Measured:
    """Blink and look up and down with a head's own lid keys."""
    ears = [eye_aspect_ratio(pose_vertices(head, lids=[b, b]), head.landmarks) for b in (0, 1)]
    blinks = [(b, 0.0) for b in BLINKS]
    follows = [(b, (1 - b) * f) for f in FOLLOWS for b in (0.0, 0.4)]
    blink, follow = (
        max(1e3 * penetration(head, _posed(head, cases), joint) for joint in (LEFT_EYE, RIGHT_EYE))
        for cases in (blinks, follows)
    )
    return Measured(float(min(ears[0])), float(max(ears[1])), blink, follow)


def _posed(head: HeadModel, cases: list[tuple[float, float]]) -> np.ndarray:
    """(T, V, 3) the head with both eyes' lids at pairs of blink and follow."""
    values = np.repeat(np.array(cases)[:, :, None], 2, axis=2)
    return pose_vertices(head, lids=values[:, 0], lid_follow=values[:, 1])


def identities(head: HeadModel, amount: float = 1.0) -> Iterator[tuple[str, HeadModel]]:
    """A head with each of its identity shapes set, its own lid keys kept, as on a rig."""
    for i in range(head.shape_basis.shape[2]):
        for sign in (amount, -amount):
            shape = np.zeros(head.shape_basis.shape[2])
            shape[i] = sign
            name = head.shape_names[i] if head.shape_names else f"shape {i + 1}"
            yield f"{name} {sign:+g}", dataclasses.replace(head, vertices=shaped_vertices(head, shape))


def variations(head: HeadModel, count: int = 8, size: float = 0.003) -> Iterator[tuple[str, HeadModel]]:
    """Other faces of the same topology, by smooth deformations of ``size`` metres, every other one lopsided; lids made
    anew. The neighbourhood of an eyeball goes along with it and bends by a third, for lids lie on the eye."""
    balls = [eyeball(head, joint) for joint in (LEFT_EYE, RIGHT_EYE)]
    for seed in range(count):
        offset = _offsets(head.vertices, seed, size, mirrored=seed % 2 == 0)
        scale = np.random.default_rng(100 + seed).uniform(0.93, 1.07)
        for centre, radius, ball in balls:
            whole = _offsets(centre[None], seed, size, mirrored=seed % 2 == 0)
            distance = np.linalg.norm(head.vertices - centre, axis=1, keepdims=True) / radius
            bent = np.clip((distance - 1.3) / 2, 0.33, 1)
            bent[ball] = 0
            offset = whole + bent * (offset - whole)
        other = dataclasses.replace(head, vertices=scale * head.vertices + offset)
        lids, follow = lid_shapes(other)
        yield f"variation {seed + 1}", dataclasses.replace(other, lids=lids, lid_follow=follow)


def _offsets(points: np.ndarray, seed: int, size: float, mirrored: bool) -> np.ndarray:
    """(N, 3) smooth displacements of points (N, 3), a sum of waves of some 15 cm; ``mirrored`` left and right."""
    rng = np.random.default_rng(seed)
    waves, phases, directions = rng.normal(0, 45, (4, 3)), rng.uniform(0, 2 * np.pi, 4), rng.normal(0, size / 2, (4, 3))
    at = np.abs(points) * [1, 0, 0] + points * [0, 1, 1] if mirrored else points
    offset = np.cos(at @ waves.T + phases) @ directions
    if mirrored:
        offset[:, 0] *= np.clip(points[:, 0] / 0.01, -1, 1)
    return offset


def heads(flame: Path) -> Iterator[tuple[str, HeadModel]]:
    """Every head to measure, by name."""
    standin = load_standin()
    yield "stand-in", standin
    lids, follow = lid_shapes(standin)
    yield "stand-in, keys from geometry", dataclasses.replace(standin, lids=lids, lid_follow=follow)
    for name, head in identities(standin):
        yield f"stand-in, {name}", head
    if flame.is_file():
        head = read_head(flame)
        yield "FLAME", head
        for name, other in variations(head):
            yield f"FLAME, {name}", other


def main() -> None:
    root = Path(__file__).resolve().parents[1]
    testdata = Path(os.environ.get("TALKINGEYES_TESTDATA") or root.parent / "shared" / "testdata")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--head", type=Path, default=testdata / "flame2023-open-without-shapedirs.npz")
    options = parser.parse_args()
    print(f"{'head':36s}{'EAR at rest':>12s}{'shut':>7s}{'blink, depth':>16s}{'follow, depth':>16s}")
    for name, head in heads(options.head):
        m = measure(head)
        print(f"{name:36s}{m.rest:12.3f}{m.shut:7.3f}{m.blink_depth:13.2f} mm{m.follow_depth:13.2f} mm")


if __name__ == "__main__":
    main()
