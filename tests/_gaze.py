"""New gaze for a take, as Resample writes it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from talkingeyes_blender.motion import Motion
from talkingeyes_blender.rig.head_rig import HeadRig
from talkingeyes_blender.rig.rewrite import rewrite_parts
from talkingeyes_blender.rig.takes import Take, current_take


def write_gaze(rig: HeadRig, eyes: np.ndarray, *, take: Take | None = None, seed: int | None = None) -> Take:
    """Replace the eyes of a take (the one that plays) by (frames, 6) ``eyes``."""
    take = take or current_take(rig)
    still = np.zeros((len(eyes), 3))
    motion = Motion(
        expression=np.zeros((len(eyes), 0)), jaw=still, head=still, eyes=eyes, blink=still[:, :2], seed=0,
        head_model=rig.head_model,
    )  # fmt: skip
    changes = {} if seed is None else {"gaze_seed": seed}
    return rewrite_parts(rig, take, motion, ("gaze",), **changes)
