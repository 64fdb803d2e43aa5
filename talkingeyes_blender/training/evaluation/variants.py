"""Stage two with another choice of latent spaces: head by VAE or VQ-VAE, gaze by VAE or VQ-VAE (Table V).

The paper's own choice, head by VAE and gaze by VQ-VAE, is ``training.speech_to_gaze``; here are the other two rows. All
share losses, speech encoder and loop with it.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import TalkingEyesError
from ...inference.encoders import build_encoder
from ...inference.gaze_decoder import GazeDecoder, GazeDecoderConfig
from ...inference.gaze_vqvae import GazeVQVAE
from ...inference.head_vae import HeadVAE, HeadVAEConfig
from .. import losses
from ..batches import Crops, statistics
from ..config import SpeechToGazeStage
from ..dataset import Dataset
from ..loop import plain, read_checkpoint
from ..speech_to_gaze import own_prediction
from .gaze_vae import GazeVAE, GazeVAEConfig

KINDS = ("vae", "vqvae")


@dataclasses.dataclass(frozen=True)
class VariantStage:
    """What a variant trains with."""

    base: SpeechToGazeStage = SpeechToGazeStage()
    """Encoder, head VAE, gaze decoder, loop and weights, as in the paper's own choice."""
    head: str = "vae"
    gaze: str = "vae"
    gaze_vae: GazeVAEConfig = GazeVAEConfig()
    head_decoder: GazeDecoderConfig = GazeDecoderConfig(channels=3)
    head_noise: float = 0.05
    """Noise on the head's true past, as a share of its deviation. Its codes are drawn by their likelihood, which is
    that of the next code after a true past; the gaze's past is as ``base`` has it."""
    head_likelihood: float = 1.0
    """Weight of the head codes' cross-entropy. A head of codes has no latent to draw, and the paper does not say where
    its diversity comes from: here its codes are drawn by their likelihood, which must be learned."""


class VariantTraining:
    """Trains encoder, head and gaze networks of a variant; codebooks and their decoders stay as they are."""

    def __init__(
        self, dataset: Dataset, config: VariantStage, *, gaze_vqvae: GazeVQVAE | None = None,
        head_vqvae: GazeVQVAE | None = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        for part, kind, codes in (("head", config.head, head_vqvae), ("gaze", config.gaze, gaze_vqvae)):
            if kind not in KINDS:
                raise TalkingEyesError(f"The {part} cannot be made by '{kind}'.", "Choose vae or vqvae.")
            if kind == "vqvae" and codes is None:
                raise TalkingEyesError(f"The {part}'s VQ-VAE is missing.", "Train it first.")
        self.name = f"variant-{config.head}-{config.gaze}"
        self.config, self.dataset = config, dataset
        base, train = config.base, dataset.split("train")
        self.train = Crops(train, base.loop.frames)
        self.validation = Crops(dataset.split("validation"), base.loop.frames)
        torch.manual_seed(base.loop.seed)
        _, head_scale = statistics(train, "head")
        eyes_mean, eyes_scale = statistics(train, "eyes")
        self.head_scale, self.eyes_scale = head_scale.to(device), eyes_scale.to(device)
        networks: dict[str, nn.Module] = build_networks(config)
        self.frozen = {
            name: codes.to(device).eval().requires_grad_(False)
            for name, codes in (("head", head_vqvae), ("gaze", gaze_vqvae))
            if codes is not None
        }
        if config.head == "vae":
            networks["head_vae"].set_statistics(head_scale)
        else:
            networks["head_decoder"].set_statistics(head_scale, head_scale, self.frozen["head"])
        if config.gaze == "vae":
            networks["gaze_vae"].set_statistics(eyes_mean, eyes_scale, head_scale)
        else:
            networks["gaze_decoder"].set_statistics(eyes_scale, head_scale, self.frozen["gaze"])
        self.networks = nn.ModuleDict(networks).to(device)

    def describe(self) -> dict:
        return {"config": plain(self.config), "sequences": len(self.dataset), "head_model": self.dataset.head_model}

    def steps_an_epoch(self) -> int:
        return max(1, len(self.train) // self.config.base.loop.batch)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        drawn = self.train.draw(self.config.base.loop.batch, rng)
        return {name: drawn[name] for name in ("samples", "head", "eyes", "valid")}

    def losses(self, batch: dict[str, Tensor], progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        base, valid = self.config.base, batch["valid"]
        speech = self.networks["gaze_encoder"](batch["samples"]).float()
        weight = valid[..., None].float()
        head = batch["head"] - (batch["head"] * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1)
        made_head, terms = self._head(speech, head, valid, generator)
        seen_head = made_head if base.gaze_trains_head else made_head.detach()
        made_eyes, more = self._gaze(speech, seen_head, batch["eyes"], valid, generator)
        terms |= more
        for name, made, true, scale in (
            ("head", made_head, head, self.head_scale),
            ("eyes", made_eyes, batch["eyes"], self.eyes_scale),
        ):
            terms[f"reconstruction_{name}"] = losses.reconstruction(made.float() / scale, true / scale, valid)
            terms[f"velocity_{name}"] = losses.velocity(made.float() / scale, true / scale, valid)
        weights = {"kl_head": base.kl, "kl_eyes": base.kl, "likelihood_head": self.config.head_likelihood}
        weights |= {f"regularity_{part}": base.regularity for part in ("head", "eyes")}
        terms["total"] = sum(
            (weights[name] if name in weights else getattr(base, name)) * value for name, value in terms.items()
        )
        return terms

    def _head(
        self, speech: Tensor, head: Tensor, valid: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.config.head == "vae":
            noise = torch.randn(len(head), self.config.base.head.latent, generator=generator).to(head)
            made, mean, log_variance = self.networks["head_vae"](head, speech, valid, noise)
            return made.float(), {"kl_head": losses.kl_divergence(mean.float(), log_variance.float())}
        decoder, vqvae = self.networks["head_decoder"], self.frozen["head"]
        nothing = torch.zeros_like(head)  # what is to be made is no condition
        made, features, hidden, codes, true_codes = self._coded(
            decoder, vqvae, speech, nothing, head, valid, generator, self.config.head_noise, 0.0
        )
        terms = {"regularity_head": losses.regularity(features, F.embedding(codes, vqvae.codebook), valid)}
        if self.config.head_likelihood:
            logits = decoder.logits(features, hidden, vqvae)
            terms["likelihood_head"] = losses.code_likelihood(logits, true_codes, valid)
        return made, terms

    def _gaze(
        self, speech: Tensor, head: Tensor, eyes: Tensor, valid: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.config.gaze == "vae":
            noise = torch.randn(len(eyes), self.config.gaze_vae.latent, generator=generator).to(eyes)
            made, mean, log_variance = self.networks["gaze_vae"](eyes, speech, head, valid, noise)
            return made.float(), {"kl_eyes": losses.kl_divergence(mean.float(), log_variance.float())}
        decoder, vqvae = self.networks["gaze_decoder"], self.frozen["gaze"]
        made, features, _, codes, _ = self._coded(
            decoder, vqvae, speech, head, eyes, valid, generator, self.config.base.past_noise, self.config.base.own_past
        )
        return made, {"regularity_eyes": losses.regularity(features, F.embedding(codes, vqvae.codebook), valid)}

    def _coded(
        self, decoder: GazeDecoder, vqvae: GazeVQVAE, speech: Tensor, head: Tensor, motion: Tensor, valid: Tensor,
        generator: torch.Generator, noise: float, own: float,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """Eqs. 9 and 10: motion, features, hidden state, chosen codes, true codes."""
        with torch.no_grad(), torch.autocast(motion.device.type, enabled=False):
            true_codes = vqvae.nearest(vqvae.encode(motion, valid))
        past = motion + noise * decoder.eyes_scale * torch.randn(motion.shape, generator=generator).to(motion)
        past_codes = F.embedding(true_codes, vqvae.codebook)
        if own:
            made = own_prediction(decoder, vqvae, speech, head, self.config.base.own_passes)
            chosen = (torch.rand(len(past), 1, 1, generator=generator) < own).to(past.device)
            past, past_codes = torch.where(chosen, made[0], past), torch.where(chosen, made[1], past_codes)
        features, hidden = decoder(speech, head, past, past_codes)
        features = features.float()
        quantised, codes = vqvae.quantise(features)
        return vqvae.decode(quantised).float(), features, hidden, codes, true_codes

    def validate(self) -> dict[str, float]:
        """Losses on unheard speech; the score is what is reconstructed."""
        device, rng = next(self.networks.parameters()).device, np.random.default_rng(0)
        totals: dict[str, float] = {}
        for _ in range(4):
            drawn = self.validation.draw(8, rng)
            batch = {name: drawn[name].to(device) for name in ("samples", "head", "eyes", "valid")}
            for name, value in self.losses(batch, 1.0, torch.Generator().manual_seed(0)).items():
                totals[name] = totals.get(name, 0.0) + value.item() / 4
        head = totals.get("likelihood_head", totals["reconstruction_head"])
        return {"score": totals["reconstruction_eyes"] + head, **totals}


def build_networks(config: VariantStage) -> dict[str, nn.Module]:
    """The networks that a variant trains, with random weights, by the names of its checkpoint."""
    base = config.base
    encoder = build_encoder(base.encoder if isinstance(base.encoder, dict) else plain(base.encoder))
    head = {"head_vae": HeadVAE(base.head)} if config.head == "vae" else {
        "head_decoder": GazeDecoder(config.head_decoder)
    }  # fmt: skip
    gaze = {"gaze_vae": GazeVAE(config.gaze_vae)} if config.gaze == "vae" else {"gaze_decoder": GazeDecoder(base.gaze)}
    return {"gaze_encoder": encoder, **head, **gaze}


def load_variant(path: Path) -> dict[str, nn.Module]:
    """The networks of a variant's checkpoint, running means if there are any."""
    state = read_checkpoint(path)
    if not str(state.get("stage", "")).startswith("variant-"):
        raise TalkingEyesError(f"{path} is no checkpoint of a variant of stage two.")
    stored = state["describe"]["config"]
    config = VariantStage(
        base=SpeechToGazeStage(
            encoder=stored["base"]["encoder"],
            head=HeadVAEConfig(**stored["base"]["head"]),
            gaze=GazeDecoderConfig(**stored["base"]["gaze"]),
        ),
        head=stored["head"], gaze=stored["gaze"], gaze_vae=GazeVAEConfig(**stored["gaze_vae"]),
        head_decoder=GazeDecoderConfig(**stored["head_decoder"]),
    )  # fmt: skip
    networks = build_networks(config)
    weights = state.get("averaged") or state["networks"]
    for name, network in networks.items():
        prefix = name + "."
        network.load_state_dict({k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)})
        network.eval()
    return networks
