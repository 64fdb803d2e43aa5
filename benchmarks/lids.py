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
        max(
            1e3 * penetration(head, pose_vertices(head, lids=[b, b], lid_follow=[f, f]), joint)
            for b, f in cases
            for joint in (LEFT_EYE, RIGHT_EYE)
        )
        for cases in (blinks, follows)
    )
    return Measured(float(min(ears[0])), float(max(ears[1])), blink, follow)


def identities(head: HeadModel, amount: float = 1.0) -> Iterator[tuple[str, HeadModel]]:
    """A head with each of its identity shapes set, its own lid keys kept, as on a rig."""
    for i in range(head.shape_basis.shape[2]):
        for sign in (amount, -amount):
            shape = np.zeros(head.shape_basis.shape[2])
            shape[i] = sign
            name = head.shape_names[i] if head.shape_names else f"shape {i + 1}"
            yield f"{name} {sign:+g}", dataclasses.replace(head, vertices=shaped_vertices(head, shape))


def variations(head: HeadModel, count: int = 8, size: float = 0.003) -> Iterator[tuple[str, HeadModel]]:
    """Other faces of the same topology, by smooth deformations of ``size`` metres, some lopsided; lids made anew."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        waves, phases = rng.normal(0, 45, (4, 3)), rng.uniform(0, 2 * np.pi, 4)
        directions = size * rng.normal(0, 0.5, (4, 3))
        scale = rng.uniform(0.92, 1.08, 3)

        def moved(points: np.ndarray) -> np.ndarray:
            even = points * ([1, 1, 1] if lopsided else [0, 1, 1]) + (0 if lopsided else np.abs(points) * [1, 0, 0])
            offset = np.cos(even @ waves.T + phases) @ directions
            if not lopsided:
                offset[:, 0] *= np.sign(points[:, 0])
            return points * scale + offset * np.clip(np.abs(points[:, :1]) / 0.01, 0 if not lopsided else 1, 1)

        lopsided = seed % 2 == 1
        vertices = moved(head.vertices)
        for joint in (LEFT_EYE, RIGHT_EYE):
            centre, _, ball = eyeball(head, joint)
            # Of the size that the face has there, and round.
            vertices[ball] = moved(centre[None]) + np.cbrt(scale.prod()) * (head.vertices[ball] - centre)
        other = dataclasses.replace(head, vertices=vertices)
        lids, follow = lid_shapes(other)
        yield f"variation {seed + 1}", dataclasses.replace(other, lids=lids, lid_follow=follow)


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
