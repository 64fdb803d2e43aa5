"""Motions for tests that need no Blender."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from talkingeyes_blender.head.arkit import EXPRESSIONS, STANDIN
from talkingeyes_blender.motion import Motion


def standin_motion(frames: int = 30, seed: int = 0, **changes) -> Motion:
    """A motion in the stand-in's basis, with plausible values."""
    rng = np.random.default_rng(seed)
    values = {
        "expression": rng.uniform(0, 0.4, (frames, len(EXPRESSIONS))),
        "jaw": rng.normal([0.15, 0, 0], 0.05, (frames, 3)),
        "head": rng.normal(0, 0.1, (frames, 3)),
        "eyes": rng.normal(0, 0.15, (frames, 6)),
        "blink": rng.uniform(0, 0.5, (frames, 2)),
        "seed": seed,
        "head_model": STANDIN,
    }
    return Motion(**(values | changes))
