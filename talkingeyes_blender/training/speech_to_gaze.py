"""Stage two: speech to head and speech to gaze, trained together (TalkingEyes, Section IV-D)."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import TalkingEyesError
from ..inference.encoders import build_encoder
from ..inference.gaze_decoder import CodeSampler, GazeDecoder
from ..inference.gaze_vqvae import GazeVQVAE
from ..inference.head_vae import HeadVAE
from . import losses
from .augment import Augmenter
from .batches import WHOLE, Chance, Crops, Share, fingerprint, statistics
from .config import SpeechToGazeStage
from .dataset import Dataset
from .loop import freeze, plain
from .speech_cache import SpeechCache, hear

CHANNELS = ("samples", "prepared", "head", "eyes", "valid", "present", "chance")


class SpeechToGazeTraining:
    """Trains the speech encoder, the head VAE and the cross-modal decoder; codes and D_VQ stay as they are."""

    name = "speech-to-gaze"

    def __init__(
        self, dataset: Dataset, config: SpeechToGazeStage, vqvae: GazeVQVAE, device: str = "cpu",
        augmenter: Augmenter | None = None, cache: SpeechCache | None = None,
    ) -> None:  # fmt: skip
        if config.regularity_code not in ("own", "true"):
            raise TalkingEyesError(
                f"There is no regularity_code '{config.regularity_code}'.", "Choose own (Eq. 14) or true (CodeTalker)."
            )
        if config.loop.frames > config.head.window:
            raise TalkingEyesError(
                f"Crops of {config.loop.frames} frames do not fit into the head's window of {config.head.window}.",
                "Choose a smaller loop.frames, or a larger head.window (a whole clip has then one z).",
            )
        if vqvae.config.code_dim != config.gaze.code_dim:
            raise TalkingEyesError(
                f"The VQ-VAE's codes are {vqvae.config.code_dim} wide, the decoder's {config.gaze.code_dim}.",
                "Train both with one configuration.",
            )
        self.config, self.dataset, self._data = config, dataset, fingerprint(dataset)
        self._codes = hashlib.sha256(vqvae.codebook.detach().cpu().numpy().tobytes()).hexdigest()[:16]
        train = dataset.split("train")
        self.train = Crops(train, config.loop.frames, augmenter=augmenter, cache=cache)
        self.validation = Crops(dataset.split("validation"), config.loop.frames, cache=cache)
        self.vqvae = vqvae.to(device).eval().requires_grad_(False)
        torch.manual_seed(config.loop.seed)
        encoder = build_encoder(config.encoder if isinstance(config.encoder, dict) else plain(config.encoder))
        freeze(encoder, config.frozen)
        head, gaze = HeadVAE(config.head), GazeDecoder(config.gaze)
        _, head_scale = statistics(train, "head")
        _, eyes_scale = statistics(train, "eyes")
        head.set_statistics(head_scale)
        gaze.set_statistics(eyes_scale, head_scale, vqvae)
        self.networks = nn.ModuleDict({"gaze_encoder": encoder, "head_vae": head, "gaze_decoder": gaze}).to(device)

    def describe(self) -> dict:
        return {
            "config": plain(self.config), "data": self._data, "head_model": self.dataset.head_model,
            "codes": self._codes, "augment": plain(self.train.augmenter.config) if self.train.augmenter else None,
            **({"speech": "kept"} if self.train.speech else {}),
        }  # fmt: skip

    def steps_an_epoch(self) -> int:
        return max(1, len(self.train) // self.config.loop.batch)

    def batch(self, rng: np.random.Generator, share: Share = WHOLE) -> dict[str, Tensor]:
        drawn = self.train.draw(self.config.loop.batch, rng, share)
        return {name: drawn[name] for name in CHANNELS if name in drawn}

    def losses(self, batch: dict[str, Tensor], progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        c, networks, valid, present = self.config, self.networks, batch["valid"], batch["present"]
        chance = Chance(batch["chance"])
        speech = hear(networks["gaze_encoder"], batch).float()
        # The clip's mean pose is no motion; the head is kept about it, as in the data.
        weight = valid[..., None].float()
        head = batch["head"] - (batch["head"] * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1)
        noise = chance.normal(c.head.latent, like=head)
        made_head, mean, log_variance = networks["head_vae"](head, speech, present, noise)
        eyes = batch["eyes"]
        gaze = networks["gaze_decoder"]
        with torch.no_grad(), torch.autocast(eyes.device.type, enabled=False):
            true_features = self.vqvae.encode(eyes, present)
            true_codes = self.vqvae.nearest(true_features)
        past, past_codes = self._past(eyes, true_features, true_codes, chance)
        if c.own_past:
            chosen = Chance(batch["chance"], 1)
            past, past_codes = self._own_past(speech, made_head.float(), past, past_codes, present, chosen)
        seen_head = made_head.float() if c.gaze_trains_head else made_head.float().detach()
        features, hidden = gaze(speech, seen_head, past, past_codes, present)
        features = features.float()
        quantised, codes = self.vqvae.quantise(features)
        made_eyes = self.vqvae.decode(quantised).float()
        drawn_to = codes if c.regularity_code == "own" else true_codes
        unit = networks["head_vae"].scale
        made_head, true_head = made_head.float() / unit, head / unit
        made_eyes, true_eyes = made_eyes / gaze.eyes_scale, eyes / gaze.eyes_scale
        terms = {
            "reconstruction_head": losses.reconstruction(made_head, true_head, valid),
            "reconstruction_eyes": losses.reconstruction(made_eyes, true_eyes, valid),
            "velocity_head": losses.velocity(made_head, true_head, valid),
            "velocity_eyes": losses.velocity(made_eyes, true_eyes, valid),
            "kl": losses.kl_divergence(mean.float(), log_variance.float()),
            "regularity": losses.regularity(features, F.embedding(drawn_to, self.vqvae.codebook), valid),
        }
        if c.likelihood:
            logits = gaze.logits(features, hidden, self.vqvae)
            terms["likelihood"] = losses.code_likelihood(logits, true_codes, valid)
        terms["total"] = sum(getattr(c, name) * value for name, value in terms.items())
        return terms

    def _past(self, eyes: Tensor, features: Tensor, codes: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
        """True motion and features of true codes as the decoder's past, with noise that stands for its own faults.

        Motion has it everywhere, codes in one frame of ten: noise in each would hide that a fixation lasts.
        """
        noise, gaze = self.config.past_noise, self.networks["gaze_decoder"]
        if noise:
            eyes = eyes + noise * gaze.eyes_scale * chance.normal(*eyes.shape[1:], like=eyes)
            strayed = features + 0.5 * gaze.code_scale * chance.normal(*features.shape[1:], like=features)
            astray = chance.uniform(*codes.shape[1:], like=codes) < 0.1
            codes = torch.where(astray, self.vqvae.nearest(strayed), codes)
        return eyes, F.embedding(codes, self.vqvae.codebook)

    @torch.no_grad()
    def _own_past(
        self,
        speech: Tensor,
        head: Tensor,
        past: Tensor,
        past_codes: Tensor,
        present: Tensor,
        chance: Chance,
    ) -> tuple[Tensor, Tensor]:
        """Give a share of the sequences their own prediction as the past, as the paper's autoregression has it."""
        own, own_codes = own_prediction(
            self.networks["gaze_decoder"], self.vqvae, speech, head, self.config.own_passes, present
        )
        chosen = chance.uniform(1, 1, like=past) < self.config.own_past
        return torch.where(chosen, own, past), torch.where(chosen, own_codes, past_codes)

    def validate(self) -> dict[str, float]:
        """Losses on unheard speech, and how far generated motion moves against the data's motion, in degrees."""
        device, rng = next(self.networks.parameters()).device, np.random.default_rng(0)
        totals: dict[str, float] = {}
        for _ in range(4):
            batch = self.validation.draw(8, rng)
            batch = {name: batch[name].to(device) for name in CHANNELS if name in batch}
            for name, value in self.losses(batch, 1.0, torch.Generator().manual_seed(0)).items():
                totals[name] = totals.get(name, 0.0) + value.item() / 4
        speech = hear(self.networks["gaze_encoder"], batch)
        head = self.networks["head_vae"].generate(speech, torch.Generator().manual_seed(0))
        gaze = self.networks["gaze_decoder"]
        sampled = gaze.generate(speech, head, self.vqvae, CodeSampler(0))
        nearest = gaze.generate(speech, head, self.vqvae)

        valid = batch["valid"]

        def spread(motion: Tensor) -> float:
            deviations = [each[seen].std(0) for each, seen in zip(motion, valid, strict=True) if seen.sum() > 1]
            return float(np.degrees(torch.stack(deviations).mean().item()))

        self._curves = {
            f"{name}, degrees": tuple(np.degrees(motion[0, :, axis].detach().cpu().numpy()) for motion in (made, true))
            for name, made, true, axis in (
                ("gaze to the left", sampled if self.config.likelihood else nearest, batch["eyes"], 1),
                ("gaze down", sampled if self.config.likelihood else nearest, batch["eyes"], 0),
                ("head to the left", head, batch["head"], 1),
                ("head down", head, batch["head"], 0),
            )
        }
        codes = self.vqvae.nearest(self.vqvae.encode(nearest))
        use = torch.bincount(codes.flatten(), minlength=self.vqvae.config.codes).double()
        share = use / use.sum()

        return {
            "score": totals["likelihood" if self.config.likelihood else "reconstruction_eyes"]
            + totals["reconstruction_head"],
            **totals,
            "head_degrees": spread(head),
            "head_degrees_true": spread(batch["head"]),
            "eyes_degrees_sampled": spread(sampled),
            "eyes_degrees_nearest": spread(nearest),
            "eyes_degrees_true": spread(batch["eyes"]),
            "codes_used": int((use > 0).sum()),
            "perplexity": torch.exp(-(share * share.clamp_min(1e-12).log()).sum()).item(),
            "sharpness": gaze.sharpness().item(),
        }

    def curves(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Made and real gaze and head of one clip of the last validation, in degrees."""
        return self._curves


@torch.no_grad()
def own_prediction(
    decoder: GazeDecoder, vqvae: GazeVQVAE, speech: Tensor, head: Tensor, passes: int, present: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What a decoder makes of speech (B, T, S) and head (B, T, 3) by its own past: motion, and features of its codes.

    The roll-out is approached by passes in parallel: the first knows no past, each next one the prediction of the one
    before. So nothing of the truth leaks into it, and a decoder that repeats its past, which is nearly right where the
    past is true, has nothing to repeat.
    """
    own = vqvae.mean.expand(*speech.shape[:2], -1)
    codes = own.new_zeros(*speech.shape[:2], vqvae.config.code_dim)
    for _ in range(passes):
        features, _ = decoder(speech, head, own, codes, present)
        quantised, numbers = vqvae.quantise(features.float())
        own, codes = vqvae.decode(quantised).float(), F.embedding(numbers, vqvae.codebook)
    return own, codes
