"""What a viewer sees of a mouth in the stand-in's basis: jaw, rounding, spreading and the gap of the lips."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ...errors import TalkingEyesError
from ...head import arkit
from ...head.model import HeadModel
from ...head.skinning_torch import TorchHead
from ..evaluation.face_scoring import _points
from ..face import lip_gap


@dataclasses.dataclass(frozen=True, eq=False)
class Mouth:
    """Curves of T frames at 25 a second."""

    jaw: np.ndarray
    """Degrees."""
    rounding: np.ndarray
    """Sum of mouthPucker and mouthFunnel."""
    spreading: np.ndarray
    """Sum of mouthStretch and mouthSmile, mean of the sides."""
    gap: np.ndarray
    """Millimetres between the inner lips, mean of three pairs of points."""


class Viewer:
    """Looks at coefficients through the head's geometry."""

    def __init__(self, head: HeadModel) -> None:
        if head.identity != arkit.STANDIN:
            raise TalkingEyesError(
                f"The figures are defined by the stand-in's expressions; these weights speak '{head.identity}'.",
                "Use 'evaluate' for weights of other heads.",
            )
        self._body = TorchHead(head, head.landmarks["face"])

    def __call__(self, expression: np.ndarray, jaw: np.ndarray) -> Mouth:
        """Curves of (T, E) expression and (T, 3) jaw."""

        def both(name: str) -> np.ndarray:
            return (expression[:, arkit.INDEX[name + "Left"]] + expression[:, arkit.INDEX[name + "Right"]]) / 2

        face = torch.from_numpy(np.concatenate([expression, jaw], axis=1))
        return Mouth(
            jaw=np.degrees(jaw[:, 0]),
            rounding=expression[:, arkit.INDEX["mouthPucker"]] + expression[:, arkit.INDEX["mouthFunnel"]],
            spreading=both("mouthStretch") + both("mouthSmile"),
            gap=lip_gap(_points(self._body, face)[None])[0].numpy(),
        )
