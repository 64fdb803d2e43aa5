"""The losses, each a pure function named after its term in the papers. Masked means: padding adds nothing.

``valid`` is (B, T) bool everywhere; motions are (B, T, D). The papers train on one sequence at a time: here each
sequence's mean over its valid frames counts alike, so that a batch is worth its sequences' mean however it is padded,
and however it is parted among steps of accumulation or processes.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def _masked_mean(per_frame: Tensor, valid: Tensor) -> Tensor:
    per_frame = torch.where(valid, per_frame, 0)
    return (per_frame.sum(1) / valid.sum(1).clamp_min(1)).mean()


def reconstruction(predicted: Tensor, true: Tensor, valid: Tensor) -> Tensor:
    """Squared error of a motion: a term of L_rec (TalkingEyes, Eq. 11) and the first term of Eq. 7."""
    return _masked_mean((predicted - true).square().mean(-1), valid)


def velocity(predicted: Tensor, true: Tensor, valid: Tensor) -> Tensor:
    """Squared error of a motion's first difference: a term of L_vel (TalkingEyes, Eq. 12)."""
    return reconstruction(predicted.diff(dim=1), true.diff(dim=1), valid[:, 1:] & valid[:, :-1])


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """L_kl (TalkingEyes, Eq. 13) of (B, latent) Gaussians against N(0, 1), summed over the latent."""
    return (-0.5 * (1 + log_variance - log_variance.exp() - mean.square())).sum(-1).mean()


def regularity(features: Tensor, quantised: Tensor, valid: Tensor) -> Tensor:
    """L_reg (TalkingEyes, Eq. 14): how far predicted features (B, T, C) lie from codes, which get no gradient."""
    return _masked_mean((features - quantised.detach()).square().mean(-1), valid)


def codebook_and_commitment(features: Tensor, chosen: Tensor, valid: Tensor, beta: float) -> dict[str, Tensor]:
    """The code-level terms of Eq. 7: codes are drawn to features, and features, by beta, to their codes."""
    return {
        "codebook": _masked_mean((features.detach() - chosen).square().mean(-1), valid),
        "commitment": beta * _masked_mean((features - chosen.detach()).square().mean(-1), valid),
    }


def code_likelihood(logits: Tensor, codes: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy of the true code numbers (B, T) under logits (B, T, N). Ours: sampled codes need a likelihood."""
    return _masked_mean(F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").view_as(codes), valid)


def vertex(predicted: Tensor, true: Tensor, valid: Tensor) -> Tensor:
    """L_vertex (Learn2Talk, Eq. 3): mean distance of (B, T, V, 3) points, in their unit."""
    return _masked_mean((predicted - true).square().sum(-1).add(1e-12).sqrt().mean(-1), valid)


def lip_closure(predicted_gap: Tensor, true_gap: Tensor, valid: Tensor, soft: float = 1.0) -> Tensor:
    """Error of the lip gap (B, T) in millimetres, weighted to the frames where the lips are shut or nearly so. Ours.

    A mean over vertices hardly sees that lips stay apart by two millimetres on a /p/; a viewer does.
    """
    weight = 0.1 + torch.exp(-true_gap.clamp_min(0) / soft)
    return _masked_mean(F.smooth_l1_loss(predicted_gap, true_gap, reduction="none") * weight, valid)


def lips_shut(logits: Tensor, true_gap: Tensor, valid: Tensor, below: float = 1.0, reach: int = 6) -> Tensor:
    """Cross-entropy of the lips being shut (a gap (B, T) under ``below`` millimetres). Ours.

    Shut frames of speech, with open lips within ``reach`` frames, weigh five times as much: in a pause it is easy.
    """
    shut = true_gap < below
    widest = F.max_pool1d(torch.where(valid, true_gap, 0)[:, None], 2 * reach + 1, 1, reach)[:, 0]
    weight = 1 + 4 * (shut & (widest > 2 * below)).to(logits.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits, shut.to(logits.dtype), weight, reduction="none")
    return _masked_mean(entropy, valid)
