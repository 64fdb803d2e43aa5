"""Lips that are said to be shut are shut, and others are apart.

A regression leaves the lips ajar where it is not sure of a /p/, which is right for no sound. A decoder with ``shut``
decides (``FaceDecoder.lips_shut``), and this step carries the decision out, frame by frame, by the expression that
brings the lips together over an open jaw. It works on a basis whose expressions have names; FLAME's have none, and a
face in its basis is left as it is.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..head import arkit

if TYPE_CHECKING:
    from .bundle import Bundle

SHUT_AT = 0.5
"""Probability from which lips are shut, where a bundle does not say: it is chosen on held-out speakers."""

SOFT = 0.1
"""Half the width of the range about it in which they close."""

AJAR = 0.7
"""Share of the gap that lips which are not shut may close."""

LEAST_JAW = 0.5
"""Degrees of jaw below which there is nothing to close."""

_OPENERS = [
    arkit.INDEX[name]
    for name in ("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthFunnel")
]


@torch.inference_mode()
def decide_lips(bundle: Bundle, face: np.ndarray, features: Tensor) -> np.ndarray:
    """``decide`` by what the bundle's face decoder says of the features (1, T, S), if it is one that does."""
    if not bundle.face_decoder.config.shut:
        return face
    probability = bundle.face_decoder.lips_shut(features)[0].float().sigmoid().cpu().numpy()
    shut_at = float(bundle.generation.get("shut_at", SHUT_AT))
    return decide(face, probability, bundle.head_model, shut_at)


def decide(face: np.ndarray, probability: np.ndarray, head_model: str, shut_at: float = SHUT_AT) -> np.ndarray:
    """(T, E + 3) expression and jaw with the lips shut where ``probability`` (T,) of it lies above ``shut_at``."""
    if head_model != arkit.STANDIN or face.shape[1] != len(arkit.EXPRESSIONS) + 3:
        return face
    linear = np.clip((probability - (shut_at - SOFT)) / (2 * SOFT), 0, 1)
    shut = linear * linear * (3 - 2 * linear)
    jaw = np.degrees(face[:, -3])
    open_enough = jaw > LEAST_JAW
    whole = np.maximum(jaw, LEAST_JAW) / arkit.MOUTH_CLOSE_JAW_DEGREES
    close = arkit.INDEX["mouthClose"]
    share = face[:, close] / whole
    share = np.minimum(np.maximum(share, shut), AJAR + (1 - AJAR) * shut)
    decided = face.copy()
    decided[:, close] = np.where(open_enough, share * whole, face[:, close])
    decided[:, _OPENERS] = np.minimum(face[:, _OPENERS], face[:, _OPENERS] * (1 - shut)[:, None])
    return decided
