"""From a Motion of the stand-in to curves on named keys: ARKit's 52, or visemes."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..head.arkit_values import BLINKS, OPEN_DEGREES, expression_values, jaw_values, look_values
from ..head.face_basis import LandmarkBasis
from ..head.standin import load_standin
from ..head.visemes import fit_visemes, posture
from ..motion import Motion
from .head_rig import HeadRig
from .measure import hinged_degrees, turned_degrees

if TYPE_CHECKING:
    from .channels import Parts, Strengths


@functools.lru_cache(1)
def standin_basis() -> LandmarkBasis:
    """What the stand-in's expressions and jaw do to its landmarks."""
    return LandmarkBasis.from_head(load_standin())


def named_values(
    rig: HeadRig, motion: Motion, parts: Parts, strengths: Strengths
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """((T, 3) turns of a jaw bone, (T,) values by part) of a motion in the stand-in's basis."""
    expression = motion.expression.astype(np.float64) * strengths.face
    jaw = motion.jaw.astype(np.float64) * strengths.face
    values: dict[str, np.ndarray] = {}
    opening = OPEN_DEGREES
    if parts.face:
        key = rig.named_keys.get("jawOpen")
        opening = (turned_degrees(rig.mesh, key) if key is not None else None) or OPEN_DEGREES
        values |= expression_values(expression, opening)
        if rig.vocabulary == "arkit":
            values |= jaw_values(jaw, opening)
        else:
            jaw, visemes = _visemes(rig, expression, jaw)
            values |= visemes
    lids = np.clip(motion.blink.astype(np.float64) * strengths.blinks, 0, 1)
    for part, blink in zip(BLINKS, lids.T, strict=True):
        wanted = values.pop(part, None)
        if parts.blinks:
            values[part] = np.clip(blink + (wanted if wanted is not None else 0.0), 0, 1)
        elif wanted is not None and wanted.any():
            values[part] = wanted
    if parts.gaze:
        values |= look_values(motion.eyes.astype(np.float64) * strengths.gaze)
    return jaw, values


def _visemes(rig: HeadRig, expression: np.ndarray, jaw: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    keys = {part.removeprefix("viseme_"): name for part, name in rig.named_keys.items() if part.startswith("viseme_")}
    for more in rig.more:
        keys |= {p.removeprefix("viseme_"): "" for p in more.keys if p.startswith("viseme_") and p[7:] not in keys}
    fitted = fit_visemes(standin_basis(), expression, jaw, _opens(rig, keys))
    return fitted.turns(jaw), {f"viseme_{name}": values for name, values in fitted.weights.items()}


def _opens(rig: HeadRig, keys: Mapping[str, str]) -> dict[str, float]:
    """By how many degrees each viseme opens the mouth by itself: measured against the jaw bone, where there is one
    that moves the face; else as far as visemes do."""
    by_bone = "jaw" in rig.bones and rig.bones["jaw"] in rig.mesh.vertex_groups
    if not by_bone:
        return {name: posture(name)[0] for name in keys}
    return {name: hinged_degrees(rig, key) if key else 0.0 for name, key in keys.items()}
