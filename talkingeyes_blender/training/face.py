"""The face stage: Learn2Talk's student on FLAME coefficients (Learn2Talk, Section III-B)."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import TalkingEyesError
from ..head.model import JAW, JOINTS, HeadModel
from ..head.skinning_torch import TorchHead
from ..inference.encoders import build_encoder
from ..inference.face_decoder import FaceDecoder
from . import losses
from .augment import Augmenter
from .batches import MOTION, WHOLE, Chance, Crops, Share, fingerprint, statistics
from .config import FaceStage
from .dataset import Dataset
from .loop import freeze, plain
from .speech_cache import SpeechCache, hear

_INNER_PAIRS = ((44, 50), (45, 49), (46, 48))
"""Upper and lower points of the inner lips, among the 51 face landmarks (iBUG 61-67, 62-66, 63-65)."""


class FaceTraining:
    """Trains a speech encoder and the face decoder on expression and jaw."""

    name = "face"

    def __init__(
        self, dataset: Dataset, config: FaceStage, head: HeadModel, device: str = "cpu",
        augmenter: Augmenter | None = None, cache: SpeechCache | None = None,
    ) -> None:  # fmt: skip
        if head.identity != dataset.head_model:
            raise TalkingEyesError(
                f"The data is in the basis of '{dataset.head_model}', the head's is '{head.identity}'.",
                "Give the head model of the data with --head.",
            )
        self.config, self.dataset, self._data = config, dataset, fingerprint(dataset)
        train = dataset.split("train")
        self.train = Crops(
            train, config.loop.frames, augmenter=augmenter, cache=cache, recorded=config.recorded
        )  # fmt: skip
        self.validation = Crops(dataset.split("validation"), config.loop.frames, cache=cache)
        torch.manual_seed(config.loop.seed)
        encoder = build_encoder(config.encoder if isinstance(config.encoder, dict) else plain(config.encoder))
        freeze(encoder, config.frozen)
        self.subjects = self.train.subjects
        styles = len(self.subjects) if config.speaker_style else 1
        face = FaceDecoder(dataclasses.replace(config.face, expressions=head.expressions, styles=styles))
        (expression_mean, expression_scale), (jaw_mean, jaw_scale) = (
            statistics(train, channel) for channel in ("expression", "jaw")
        )
        face.set_statistics(torch.cat([expression_mean, jaw_mean]), torch.cat([expression_scale, jaw_scale]))
        self.networks = nn.ModuleDict({"face_encoder": encoder, "face_decoder": face}).to(device)
        self._head = TorchHead(head, _landmarks(head)).to(device)
        self.weights = self._coefficient_weights(face).to(device)

    def _coefficient_weights(self, face: FaceDecoder) -> Tensor:
        """(E + 3,) weights of the normalised coefficients by how far their usual motion carries the lips, mean 1."""
        width = len(face.scale)
        moved = self._points((face.mean + torch.diag(face.scale)).to(self.networks["face_decoder"].mean.device)[None])
        rest = self._points(face.mean.to(moved.device)[None, None])
        reach = (moved - rest).square().sum(-1).mean(-1).sqrt()[0]
        return (0.1 + reach / reach.mean().clamp_min(1e-9)).reshape(width)

    def describe(self) -> dict:
        return {
            "config": plain(self.config), "data": self._data, "head_model": self.dataset.head_model,
            "subjects": self.subjects, "augment": plain(self.train.augmenter.config) if self.train.augmenter else None,
            **({"speech": "kept"} if self.train.speech else {}),
        }  # fmt: skip

    def steps_an_epoch(self) -> int:
        return max(1, len(self.train) // self.config.loop.batch)

    def batch(self, rng: np.random.Generator, share: Share = WHOLE) -> dict[str, Tensor]:
        drawn = self.train.draw(self.config.loop.batch, rng, share)
        return {
            "motion": torch.cat([drawn["expression"], drawn["jaw"]], dim=-1),
            **{name: value for name, value in drawn.items() if name not in MOTION},
        }

    def losses(self, batch: dict[str, Tensor], progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        face = self.networks["face_decoder"]
        speech = hear(self.networks["face_encoder"], batch).float()
        style = self._style(batch, speech)
        past = self._past(speech, style, batch, progress)
        made = face(speech, style, past, batch["present"]).float()
        return self._terms(made, batch["motion"], batch["valid"], speech)

    def _style(self, batch: dict[str, Tensor], like: Tensor) -> Tensor:
        """s of Eq. 1: the speaker's one-hot row where there is a style for each, and one for all where there is one."""
        if self.networks["face_decoder"].config.styles == 1:
            return like.new_ones(len(like), 1)
        return F.one_hot(batch["subject"], len(self.subjects)).to(like)

    def _past(self, speech: Tensor, style: Tensor, batch: dict[str, Tensor], progress: float) -> Tensor:
        """What the decoder is told of the past: the truth with noise, its own prediction, or nothing."""
        c, face, motion = self.config, self.networks["face_decoder"], batch["motion"]
        chance = Chance(batch["chance"])
        choice = chance.uniform(1, 1, like=motion)  # first: what follows draws as many numbers as there are frames
        past = motion + c.past_noise * face.scale * chance.normal(*motion.shape[1:], like=motion)
        own = c.own_past * max(0.0, min(1.0, 2 * progress - 0.2))
        if own > 0:
            # One pass in parallel stands for a roll-out: its past is the truth, so its faults are the network's own.
            with torch.no_grad():
                predicted = face(speech.detach(), style, past, batch["present"]).float()
            past = torch.where(choice < own, predicted, past)
        return torch.where(choice > 1 - c.no_past, face.mean.expand_as(past), past)

    def _terms(self, made: Tensor, true: Tensor, valid: Tensor, speech: Tensor) -> dict[str, Tensor]:
        c, face = self.config, self.networks["face_decoder"]
        points, true_points = self._points(made), self._points(true)
        gap, true_gap = lip_gap(points), lip_gap(true_points)
        unit = face.scale / self.weights.sqrt()
        terms = {
            "vertex": losses.vertex(points, true_points, valid),
            "closure": losses.lip_closure(gap, true_gap, valid),
            "coefficients": losses.reconstruction(made / unit, true / unit, valid),
            "velocity": losses.velocity(made / unit, true / unit, valid),
        }
        if face.config.shut:
            terms["shut"] = losses.lips_shut(face.lips_shut(speech).float(), true_gap, valid)
        terms["total"] = sum(getattr(c, name) * value for name, value in terms.items())
        return terms

    def _points(self, motion: Tensor) -> Tensor:
        """(B, T, 51, 3) landmarks in millimetres of coefficients (B, T, E + 3)."""
        with torch.autocast(motion.device.type, enabled=False):
            flat = motion.float().flatten(0, 1)
            pose = flat.new_zeros(len(flat), len(JOINTS), 3)
            pose[:, JAW] = flat[:, -3:]
            return 1000 * self._head(expression=flat[:, :-3], pose=pose).unflatten(0, motion.shape[:2])

    def validate(self) -> dict[str, float]:
        """Roll-outs on unheard speakers: error in millimetres, and how many shut frames are shut (gap under 1 mm)."""
        device, rng = next(self.networks.parameters()).device, np.random.default_rng(0)
        face, figures = self.networks["face_decoder"], []
        for _ in range(4):
            drawn = self.validation.draw(12, rng)
            true = torch.cat([drawn["expression"], drawn["jaw"]], dim=-1).to(device)
            valid = drawn["valid"].to(device)
            speech = hear(self.networks["face_encoder"], {name: value.to(device) for name, value in drawn.items()})
            made = face.generate(speech)
            terms = {name: value.item() for name, value in self._terms(made, true, valid, speech).items()}
            gap, true_gap = lip_gap(self._points(made))[valid], lip_gap(self._points(true))[valid]
            # A network that says whether the lips are shut is taken at its word: its lips will be.
            shut, said_shut = true_gap < 1.0, face.lips_shut(speech)[valid] > 0 if face.config.shut else gap < 1.0
            both = (shut & said_shut).sum()
            jaw, true_jaw = made[..., -3][valid], true[..., -3][valid]
            self._curves = {
                "jaw, degrees": tuple(np.degrees(motion[0, :, -3].detach().cpu().numpy()) for motion in (made, true)),
                "lip gap, mm": tuple(
                    lip_gap(self._points(motion[:1]))[0].detach().cpu().numpy() for motion in (made, true)
                ),
            }
            figures.append({
                **terms,
                "shut_recall": (both / shut.sum().clamp_min(1)).item(),
                "shut_precision": (both / said_shut.sum().clamp_min(1)).item(),
                "jaw_correlation": torch.corrcoef(torch.stack([jaw, true_jaw]))[0, 1].item(),
                "jaw_deviation_ratio": (jaw.std() / true_jaw.std().clamp_min(1e-6)).item(),
            })  # fmt: skip
        means = {name: float(np.mean([f[name] for f in figures])) for name in figures[0]}
        return {"score": means["total"], **means}

    def curves(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Made and real jaw and lip gap of one clip of the last validation."""
        return self._curves


def _landmarks(head: HeadModel) -> np.ndarray:
    if "face" not in head.landmarks:
        raise TalkingEyesError(
            f"The head '{head.name}' has no face landmarks, by which the face is trained.",
            "Use a head of FLAME's topology or the stand-in.",
        )
    return head.landmarks["face"]


def lip_gap(points: Tensor) -> Tensor:
    """(B, T) mean distance of the inner lips in the unit of the face landmarks (B, T, 51, 3)."""
    upper = points[..., [pair[0] for pair in _INNER_PAIRS], :]
    lower = points[..., [pair[1] for pair in _INNER_PAIRS], :]
    return (upper - lower).square().sum(-1).add(1e-12).sqrt().mean(-1)
