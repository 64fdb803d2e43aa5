"""Trained networks as a method: speech encoder, head by VAE or codes, gaze by VAE or codes."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import TalkingEyesError
from ...inference.gaze_decoder import CodeSampler
from ...inference.gaze_vqvae import GazeVQVAE
from ..export import load_networks
from ..loop import read_checkpoint
from .methods import Speech, Takes
from .variants import load_variant

_KEPT = 64
"""Clips whose speech features are remembered."""


class Cascade:
    """Head from speech, gaze from speech and head.

    ``networks`` are named as in checkpoints: ``gaze_encoder``; ``head_vae`` or ``head_decoder`` with ``head_vqvae``;
    ``gaze_vae`` or ``gaze_decoder`` with ``gaze_vqvae``. Gaze takes the nearest code, as in the paper, unless
    ``sampled``; head codes are drawn by their likelihood always, for else nothing would be left to chance.
    """

    def __init__(
        self, name: str, networks: dict[str, nn.Module], *, sampled: bool = False, temperature: float = 1.0,
        top_k: int = 0, device: str = "cpu",
    ) -> None:  # fmt: skip
        pairs = (("head_vae", ("head_decoder", "head_vqvae")), ("gaze_vae", ("gaze_decoder", "gaze_vqvae")))
        for one, others in pairs:
            if one not in networks and not all(other in networks for other in others):
                raise TalkingEyesError(
                    f"'{name}' has neither {one} nor {' with '.join(others)}.", "Give the checkpoints of both stages."
                )
        self.name, self.device = name, torch.device(device)
        self.networks = {key: network.to(device).eval() for key, network in networks.items()}
        self._sampled, self._temperature, self._top_k = sampled, temperature, top_k
        self._heard: collections.OrderedDict[str, Tensor] = collections.OrderedDict()

    @torch.inference_mode()
    def takes(self, speech: Speech, seeds: Sequence[int], head: np.ndarray | None = None) -> Takes:
        heard = self._hear(speech)
        if head is None:
            heads = self._heads(speech, heard, seeds)
        else:
            heads = torch.from_numpy(np.asarray(head, np.float32)).to(self.device).expand(len(seeds), -1, -1)
        features = heard.expand(len(seeds), -1, -1)
        if "gaze_vae" in self.networks:
            eyes = torch.cat([
                self.networks["gaze_vae"].generate(heard, one[None], _torch_rng(speech, seed, "gaze"))
                for seed, one in zip(seeds, heads, strict=True)
            ])  # fmt: skip
        else:
            sampler = self._sampler(speech, seeds, "gaze") if self._sampled else None
            eyes = self.networks["gaze_decoder"].generate(features, heads, self.networks["gaze_vqvae"], sampler)
        return Takes(eyes.float().cpu().numpy(), heads.float().cpu().numpy())

    def _hear(self, speech: Speech) -> Tensor:
        if speech.id not in self._heard:
            samples = torch.from_numpy(np.asarray(speech.samples, np.float32)).to(self.device)
            self._heard[speech.id] = self.networks["gaze_encoder"].encode(samples)
            while len(self._heard) > _KEPT:
                self._heard.popitem(last=False)
        return self._heard[speech.id]

    def _heads(self, speech: Speech, heard: Tensor, seeds: Sequence[int]) -> Tensor:
        if "head_vae" in self.networks:
            vae = self.networks["head_vae"]
            return torch.cat([vae.generate(heard, _torch_rng(speech, seed, "head")) for seed in seeds])
        features = heard.expand(len(seeds), -1, -1)
        nothing = features.new_zeros(*features.shape[:2], 3)
        return self.networks["head_decoder"].generate(
            features, nothing, self.networks["head_vqvae"], self._sampler(speech, seeds, "head codes")
        )

    def _sampler(self, speech: Speech, seeds: Sequence[int], purpose: str) -> CodeSampler:
        """Chance for each row of a batch, so that a take depends on its own seed alone."""
        numbers = [int(speech.rng(seed, purpose).integers(2**62)) for seed in seeds]
        return CodeSampler(numbers, self._temperature, self._top_k)


def _torch_rng(speech: Speech, seed: int, purpose: str) -> torch.Generator:
    return torch.Generator().manual_seed(int(speech.rng(seed, purpose).integers(2**62)))


def load_vqvae(path: Path) -> GazeVQVAE:
    """The VQ-VAE of a stage-one checkpoint, of gaze or of head."""
    networks, _ = load_networks(path)
    if "gaze_vqvae" not in networks:
        raise TalkingEyesError(f"{path} is no checkpoint of the stage gaze-vqvae.", "Name that stage's best.pt.")
    return networks["gaze_vqvae"]


def load_cascade(
    name: str, stage_two: Path, *, gaze_vqvae: Path | None = None, head_vqvae: Path | None = None,
    sampled: bool = False, device: str = "cpu",
) -> Cascade:  # fmt: skip
    """A method of a stage-two checkpoint (the paper's or a variant's) and the checkpoints of the codes it needs."""
    stage = str(read_checkpoint(stage_two).get("stage", ""))
    networks = load_variant(stage_two) if stage.startswith("variant-") else load_networks(stage_two)[0]
    for key, path in (("gaze_vqvae", gaze_vqvae), ("head_vqvae", head_vqvae)):
        if path is not None:
            networks[key] = load_vqvae(path)
    return Cascade(name, networks, sampled=sampled, device=device)
