"""Expressions carried to FLAME's own topology, on bases like those of statistical heads: that ours does better."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.flame_bases import bases, carried_shapes
from benchmarks.transfer import Errors, errors, ways
from talkingeyes_blender.head.arkit import EXPRESSIONS, INDEX
from talkingeyes_blender.head.face_basis import LandmarkBasis
from talkingeyes_blender.head.model import HeadModel
from talkingeyes_blender.head.reading import read_head
from talkingeyes_blender.head.standin import load_standin
from talkingeyes_blender.head.transfer import solve_transfer


def spoken(frames: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Syllables of the stand-in: the jaw opens three times a second by up to 13 degrees, lips round and spread, and
    every other syllable begins with shut lips over a jaw that is still open."""
    time = np.arange(frames) / 25
    jaw = np.zeros((frames, 3))
    jaw[:, 0] = np.radians(7 + 6 * np.sin(2 * np.pi * 3 * time) * np.cos(0.7 * time))
    shut = np.clip(3 * np.cos(2 * np.pi * 1.5 * time) - 1.5, 0, 1)
    expression = np.zeros((frames, len(EXPRESSIONS)))

    def put(name: str, values: np.ndarray) -> None:
        for full in EXPRESSIONS:
            if full == name or full in (f"{name}Left", f"{name}Right"):
                expression[:, INDEX[full]] = values

    put("mouthClose", shut * np.degrees(jaw[:, 0]) / 10)
    put("mouthPress", 0.3 * shut)
    put("mouthPucker", 0.6 * (1 - shut) * np.clip(np.sin(2.1 * time), 0, 1))
    put("mouthFunnel", 0.4 * (1 - shut) * np.clip(np.sin(2.1 * time + 1), 0, 1))
    put("mouthStretch", 0.4 * (1 - shut) * np.clip(-np.sin(2.1 * time), 0, 1))
    put("mouthSmile", 0.3 * np.clip(np.cos(0.9 * time), 0, 1))
    put("browInnerUp", 0.4 * np.clip(np.sin(1.3 * time), 0, 1))
    put("eyeSquint", 0.3 * np.clip(np.sin(0.8 * time), 0, 1))
    return expression, jaw


@pytest.fixture(scope="module")
def measured(testdata: Path) -> dict[str, dict[str, Errors]]:
    source, target = load_standin(), read_head(testdata / "flame2023-open-without-shapedirs.npz")
    shapes = carried_shapes(source, target)
    expression, jaw = spoken()
    found = {}
    for name, head in bases(target, shapes).items():
        transfer = solve_transfer(LandmarkBasis.from_head(source), LandmarkBasis.from_head(head))
        found[name] = {
            way: errors(source, head, expression, jaw, carry, transfer)
            for way, carry in ways(source, head, shapes).items()
        }
    return found


FEW = ("principal, first 20", "principal, first 10")
"""Bases that lack what shuts lips over a jaw that is open by 13 degrees, within three standard deviations."""


def test_closures_are_kept(measured: dict[str, dict[str, Errors]]) -> None:
    assert len(measured) == 7
    for name, ways_ in measured.items():
        plain = max(e.kept for way, e in ways_.items() if way != "ours")
        assert ways_["ours"].kept >= max(plain, 0.0 if name in FEW else 0.97), name
    assert min(ways_["vertices"].kept for ways_ in measured.values()) < 0.5, "they are not kept by themselves"


def test_lips_and_corners_are_nearer_than_by_least_squares(measured: dict[str, dict[str, Errors]]) -> None:
    for name, ways_ in measured.items():
        ours = ways_["ours"]
        for plain in ("vertices", "points", "ridge"):
            assert ours.gap < ways_[plain].gap and ours.corner < ways_[plain].corner, (name, plain)
        assert ours.ear < 0.05 and ours.largest <= 3 + 1e-6, name


def test_shapes_of_the_stand_in_land_on_flame_where_they_belong(testdata: Path) -> None:
    source, target = load_standin(), read_head(testdata / "flame2023-open-without-shapedirs.npz")
    shapes = carried_shapes(source, target)
    lands: dict[str, HeadModel] = {"source": source, "target": target}
    face = {name: head.landmarks["face"] for name, head in lands.items()}
    for name in ("mouthSmileLeft", "browInnerUp", "mouthLowerDownRight", "mouthPucker"):
        asked = source.expression_basis[face["source"], :, INDEX[name]]
        made = shapes[face["target"], :, INDEX[name]]
        assert np.sum(asked * made) / np.linalg.norm(asked) / np.linalg.norm(made) > 0.9, name
    assert not shapes[3931:].any(), "eyeballs stay"
