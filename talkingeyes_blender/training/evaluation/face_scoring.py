"""The face on test clips: LVE, FDD and lip closure, on the 51 face landmarks of the data's head model."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import TalkingEyesError
from ...head.model import JAW, JOINTS, HeadModel
from ...head.skinning_torch import TorchHead
from ..dataset import SAMPLES_PER_FRAME, Dataset
from ..face import lip_gap
from . import metrics
from .intervals import Interval, bootstrap_mean

LIPS = slice(31, 51)
UPPER_FACE = np.r_[0:10, 19:31]
"""Brows and eyelids among the 51 face landmarks (iBUG 18-68)."""


@dataclasses.dataclass(frozen=True)
class FaceScores:
    """Figures of a face network, clip by clip; lengths in millimetres."""

    lip_error: list[float]
    """LVE."""
    lip_error_squared: list[float]
    """LVE as CodeTalker prints it, in square millimetres."""
    upper_face: list[float]
    """FDD."""
    closures: list[metrics.Closure]

    @property
    def closure(self) -> metrics.Closure:
        return sum(self.closures, metrics.Closure(0, 0, 0, 0))

    def closure_interval(self, rate: str) -> Interval:
        """``rate`` ('recall', 'precision', 'f1') of all clips together, bootstrapped over clips."""
        rng = np.random.default_rng(0)
        drawn = []
        for _ in range(1000):
            some = [self.closures[i] for i in rng.integers(len(self.closures), size=len(self.closures))]
            drawn.append(getattr(sum(some, metrics.Closure(0, 0, 0, 0)), rate))
        low, high = np.nanquantile(drawn, [0.025, 0.975]) if np.isfinite(drawn).any() else (float("nan"),) * 2
        return Interval(getattr(self.closure, rate), float(low), float(high))

    def plain(self) -> dict:
        return {
            "lve_mm": bootstrap_mean(np.array(self.lip_error)).plain(),
            "lve_squared_mm2": bootstrap_mean(np.array(self.lip_error_squared)).plain(),
            "fdd_mm": bootstrap_mean(np.array(self.upper_face)).plain(),
            **{f"closure_{rate}": self.closure_interval(rate).plain() for rate in ("recall", "precision", "f1")},
        }


def score_face(
    networks: Mapping[str, nn.Module], split: Dataset, head: HeadModel, clips: int = 40, frames: int = 250
) -> FaceScores:
    """Run ``face_encoder`` and ``face_decoder`` on up to ``clips`` recordings of a split.

    Raises:
        TalkingEyesError: the head has no face landmarks, or the split no usable recording.
    """
    if "face" not in head.landmarks:
        raise TalkingEyesError(f"The head '{head.name}' has no face landmarks.", "Use a head of FLAME's topology.")
    if head.identity != split.head_model:
        raise TalkingEyesError(
            f"The data is in the basis of '{split.head_model}', the head's is '{head.identity}'.",
            "Give the head model of the data with --head.",
        )
    body = TorchHead(head, head.landmarks["face"])
    rest = _points(body, torch.zeros(1, head.expressions + 3))[0].numpy()
    found = FaceScores([], [], [], [])
    for index in np.random.default_rng(0).permutation(len(split))[: 3 * clips]:
        sequence = split[int(index)]
        if sequence.speaking is not None and sequence.speaking[:frames].mean() < 0.2:
            continue
        length = min(frames, sequence.frames)
        valid = sequence.valid[:length]
        if valid.mean() < 0.9 or length < 50:
            continue
        true = torch.from_numpy(np.concatenate([sequence.expression, sequence.jaw], axis=1)[:length][valid])
        with torch.inference_mode():
            samples = torch.from_numpy(sequence.samples[: length * SAMPLES_PER_FRAME])
            made = networks["face_decoder"].generate(networks["face_encoder"].encode(samples))[0, :length]
        made_points, true_points = _points(body, made[torch.from_numpy(valid)]), _points(body, true)
        made_gap, true_gap = lip_gap(made_points[None])[0].numpy(), lip_gap(true_points[None])[0].numpy()
        made_points, true_points = made_points.numpy(), true_points.numpy()
        found.lip_error.append(metrics.lip_vertex_error(made_points[:, LIPS], true_points[:, LIPS]))
        found.lip_error_squared.append(
            metrics.lip_vertex_error(made_points[:, LIPS], true_points[:, LIPS], squared=True)
        )
        found.upper_face.append(
            metrics.upper_face_deviation(made_points[:, UPPER_FACE], true_points[:, UPPER_FACE], rest[UPPER_FACE])
        )
        found.closures.append(metrics.lip_closure(made_gap, true_gap))
        if len(found.lip_error) >= clips:
            break
    if not found.lip_error:
        raise TalkingEyesError("The split holds no usable recording for the face.", "Use a larger dataset.")
    return found


def _points(body: TorchHead, motion: Tensor) -> Tensor:
    """(T, 51, 3) millimetres of coefficients (T, E + 3)."""
    motion = motion.float()
    pose = motion.new_zeros(len(motion), len(JOINTS), 3)
    pose[:, JAW] = motion[:, -3:]
    with torch.inference_mode():
        return 1000 * body(expression=motion[:, :-3], pose=pose)
