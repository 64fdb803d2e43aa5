"""How well expressions are carried to FLAME's topology: ``python -m benchmarks.transfer [--head FILE] [--audio FILE]``.

The starter weights speak on the stand-in; the motion is carried to a FLAME head with several expression bases
(``benchmarks.flame_bases``) and both faces are posed. Errors are in millimetres on the target, means over frames:
lips' parting, corners of the mouth, and the lids' aspect ratio; closures are the frames in which the stand-in's lips
part by less than 0.5 mm, kept where the target's do too (beside its own lips at rest). Compared are

    vertices   least squares on all vertices of the face, from where the stand-in's shapes go by a dense warp
    points     least squares on the 51 landmarks
    ridge      ours without the correction of each frame
    ours       what is written to a rig
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.flame_bases import bases, carried_shapes
from talkingeyes_blender.head.face_basis import LandmarkBasis
from talkingeyes_blender.head.landmarks import INNER_LIP_PAIRS, MOUTH_CORNERS, eye_aspect_ratio
from talkingeyes_blender.head.model import HeadModel
from talkingeyes_blender.head.reading import read_head
from talkingeyes_blender.head.rotation import matrix_from_axis_angle
from talkingeyes_blender.head.standin import STANDIN_FILE, load_standin
from talkingeyes_blender.head.transfer import Transfer, solve_transfer

SHUT = 0.5
"""Millimetres of parting below which lips count as shut."""
Carry = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Coefficients (T, Es) and the jaw (T, 3) to coefficients (T, Et)."""


@dataclasses.dataclass(frozen=True)
class Errors:
    """What a carried motion gets wrong, means over frames."""

    gap: float
    """Of the lips' parting, millimetres."""
    corner: float
    """Of the places of the corners of the mouth, millimetres."""
    ear: float
    """Of the lids' aspect ratio, as a share of the one at rest."""
    kept: float
    """Share of the source's closures that the target makes, 0 to 1."""
    largest: float
    """The largest coefficient asked for."""


def ways(source: HeadModel, target: HeadModel, shapes: np.ndarray) -> dict[str, Carry]:
    """The ways to carry coefficients over that are compared, by name. ``shapes`` is the dense truth (V, 3, Es)."""
    transfer = solve_transfer(LandmarkBasis.from_head(source), LandmarkBasis.from_head(target))
    vertices = np.linalg.lstsq(_flat(target.expression_basis), _flat(shapes), rcond=1e-6)[0]
    here, there = (_flat(head.expression_basis[head.landmarks["face"]]) for head in (source, target))
    points = np.linalg.lstsq(there, transfer.scale * here, rcond=1e-6)[0]
    return {
        "vertices": lambda expression, jaw: expression @ vertices.T,
        "points": lambda expression, jaw: expression @ points.T,
        "ridge": lambda expression, jaw: transfer.apply(expression),
        "ours": transfer.apply,
    }


def errors(
    source: HeadModel, target: HeadModel, expression: np.ndarray, jaw: np.ndarray, carry: Carry, transfer: Transfer
) -> Errors:
    """Pose both faces and compare them; ``transfer`` says how much larger the target is."""
    rotations = matrix_from_axis_angle(jaw)
    coefficients = carry(expression, jaw)
    first, second = (LandmarkBasis.from_head(head) for head in (source, target))
    there, here = first.posed(expression, rotations), second.posed(coefficients, rotations)
    parted = [1e3 * _parting(p, basis.points) for p, basis in ((there, first), (here, second))]
    parted[0] = transfer.scale * parted[0]
    shut = parted[0].max(1) < SHUT
    corners = [(p - basis.points)[:, MOUTH_CORNERS] for p, basis in ((there, first), (here, second))]
    opened = []
    for points, basis in ((there, first), (here, second)):
        lids = {"face": np.arange(points.shape[1])}
        rest = np.array(eye_aspect_ratio(basis.points, lids))
        opened.append(np.array(eye_aspect_ratio(points, lids)) / rest[:, None])
    return Errors(
        gap=float(np.abs(parted[1] - parted[0]).mean()),
        corner=float(1e3 * np.linalg.norm(corners[1] - transfer.scale * corners[0], axis=-1).mean()),
        ear=float(np.abs(opened[1] - opened[0]).mean()),
        kept=float((parted[1][shut].max(1) < SHUT).mean()) if shut.any() else float("nan"),
        largest=float(np.abs(coefficients).max()),
    )


def compare(
    source: HeadModel, target: HeadModel, expression: np.ndarray, jaw: np.ndarray
) -> dict[str, dict[str, Errors]]:
    """Errors by name of the basis and of the way, on every basis of ``flame_bases``."""
    shapes = carried_shapes(source, target)
    result = {}
    for name, head in bases(target, shapes).items():
        transfer = solve_transfer(LandmarkBasis.from_head(source), LandmarkBasis.from_head(head))
        result[name] = {
            way: errors(source, head, expression, jaw, carry, transfer)
            for way, carry in ways(source, head, shapes).items()
        }
    return result


def spoken(audio: Path) -> tuple[np.ndarray, np.ndarray]:
    """(T, Es) expressions and (T, 3) jaw of the starter weights for a recording."""
    import torch

    from talkingeyes_blender.inference.audio import read_audio
    from talkingeyes_blender.inference.generator import Generator

    torch.set_num_threads(1)
    motion = Generator().generate(read_audio(audio), seed=1)
    return motion.expression, motion.jaw


def main() -> None:
    root = Path(__file__).resolve().parents[1]
    testdata = Path(os.environ.get("TALKINGEYES_TESTDATA") or root.parent / "shared" / "testdata")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--head", type=Path, default=testdata / "flame2023-open-without-shapedirs.npz")
    parser.add_argument("--audio", type=Path, default=STANDIN_FILE.with_name("speech.flac"))
    options = parser.parse_args()
    source, target = load_standin(), read_head(options.head)
    expression, jaw = spoken(options.audio)
    print(f"{options.audio.name} ({len(jaw)} frames) on {target.name}")
    print(f"{'basis':28s}{'way':10s}{'lip gap':>9s}{'corner':>9s}{'lids':>8s}{'closures':>10s}{'largest':>9s}")
    for name, by_way in compare(source, target, expression, jaw).items():
        for way, e in by_way.items():
            row = f"{e.gap:6.2f} mm{e.corner:6.2f} mm{100 * e.ear:6.1f} %{100 * e.kept:8.0f} %{e.largest:9.1f}"
            print(f"{name if way == 'vertices' else '':28s}{way:10s}{row}")


def _flat(basis: np.ndarray) -> np.ndarray:
    return basis.reshape(-1, basis.shape[2]).astype(np.float64)


def _parting(posed: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(T, 3) how far the inner lips part upwards beyond their places at rest."""
    opening = posed[:, INNER_LIP_PAIRS[:, 0], 1] - posed[:, INNER_LIP_PAIRS[:, 1], 1]
    return np.maximum(opening - (rest[INNER_LIP_PAIRS[:, 0], 1] - rest[INNER_LIP_PAIRS[:, 1], 1]), 0)


if __name__ == "__main__":
    main()
