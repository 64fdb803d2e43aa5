"""Blender's mesh is our skinning's, at keys and half-way between them, on rigs of every kind (a small benchmark)."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

bpy = pytest.importorskip("bpy")

from _heads import tiny_head  # noqa: E402

from benchmarks import skinning  # noqa: E402
from talkingeyes_blender.head.standin import load_standin  # noqa: E402

TENTH_OF_A_MILLIMETRE = 1e-4
CASES = list(skinning.cases())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_small_head(case):
    assert max(skinning.measure(case, tiny_head(), frames=10)) < TENTH_OF_A_MILLIMETRE


@pytest.mark.parametrize("case", [CASES[0], CASES[-1]], ids=lambda case: case.name)
def test_the_stand_in(case):
    assert max(skinning.measure(case, load_standin(), frames=8)) < TENTH_OF_A_MILLIMETRE


@pytest.mark.parametrize("case", [CASES[0], CASES[-3], CASES[-2], CASES[-1]], ids=lambda case: case.name)
def test_flames_mesh(case, testdata):
    path = testdata / skinning.FLAME_FILE
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    assert max(skinning.measure(case, skinning.flame_head(path), frames=8)) < TENTH_OF_A_MILLIMETRE


def test_a_wrong_motion_would_be_seen():
    """The measure itself: a head that is turned by a degree more is no tenth of a millimetre off, but ten."""
    scene = skinning.fresh_scene()
    scene.render.fps = 25
    rig, head = CASES[0].make(tiny_head())
    motion = skinning.random_motion(head, 5)
    skinning.write_take(rig, motion, scene=scene, start_frame=1)
    moments = 1.0 + skinning.np.arange(5)
    off = motion.replace(head=motion.head + 0.0175)
    assert skinning._error(scene, rig, head, off, moments, True) > 10 * TENTH_OF_A_MILLIMETRE
