"""From checkpoints to the weight bundle that the generators load."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..errors import TalkingEyesError
from ..inference.encoders import build_encoder
from ..inference.face_decoder import FaceDecoder, FaceDecoderConfig
from ..inference.gaze_decoder import GazeDecoder, GazeDecoderConfig
from ..inference.gaze_vqvae import GazeVQVAE, GazeVQVAEConfig
from ..inference.head_vae import HeadVAE, HeadVAEConfig
from .batches import Crops
from .dataset import Dataset
from .loop import read_checkpoint

_NETWORKS = {
    "gaze-vqvae": {"gaze_vqvae": ("model", GazeVQVAE, GazeVQVAEConfig)},
    "speech-to-gaze": {
        "head_vae": ("head", HeadVAE, HeadVAEConfig),
        "gaze_decoder": ("gaze", GazeDecoder, GazeDecoderConfig),
    },
    "face": {"face_decoder": ("face", FaceDecoder, FaceDecoderConfig)},
}
WIDENED = (0.5, 3.0)
"""By how much the head's prior may be narrowed or widened."""

_ENCODERS = {"speech-to-gaze": "gaze_encoder", "face": "face_encoder"}


def load_networks(path: Path) -> tuple[dict[str, nn.Module], dict]:
    """The networks of a stage's checkpoint by the bundle's names, running means if there are any; the checkpoint."""
    state = read_checkpoint(path)
    stage, config = state["stage"], state["describe"]["config"]
    if stage not in _NETWORKS:
        raise TalkingEyesError(f"{path} is a checkpoint of the unknown stage '{stage}'.")
    weights = state.get("averaged") or state["networks"]
    networks: dict[str, nn.Module] = {}
    for name, (key, network, settings) in _NETWORKS[stage].items():
        fields = dict(config[key])
        if name == "face_decoder":
            fields["expressions"] = weights["face_decoder.mean"].shape[0] - 3
            fields["styles"] = weights["face_decoder.style.weight"].shape[1]
        networks[name] = network(settings(**fields))
    if stage in _ENCODERS:
        networks[_ENCODERS[stage]] = build_encoder(config["encoder"])
    for name, network in networks.items():
        prefix = name + "."
        network.load_state_dict({k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)})
        network.eval()
    return networks, state


def collect(folder: Path) -> tuple[dict[str, nn.Module], dict, str]:
    """All networks of a training folder, the recipe that made them, and the head model they belong to."""
    networks: dict[str, nn.Module] = {}
    recipe: dict = {}
    head_model = ""
    for stage in _NETWORKS:
        found, state = load_networks(folder / stage / "best.pt")
        networks |= found
        recipe[stage] = {"steps": state["step"], **state["describe"]}
        if stage == "face":
            head_model = state["describe"]["head_model"]
    return networks, recipe, head_model


@torch.inference_mode()
def fit_head_prior(networks: dict[str, nn.Module], dataset: Dataset, crops: int = 600) -> HeadVAE:
    """The head VAE with a prior fitted to what its encoder says of crops of the training split (``HeadVAEConfig``)."""
    old = networks["head_vae"]
    fitted = HeadVAE(dataclasses.replace(old.config, prior="fitted")).eval()
    fitted.load_state_dict(old.state_dict(), strict=False)
    encoder = networks.get("gaze_encoder") or networks["face_encoder"]
    drawn = Crops(dataset.split("train"), old.config.window)
    rng, codes = np.random.default_rng(0), []
    for _ in range(-(-crops // 8)):
        batch = drawn.draw(8, rng)
        weight = batch["valid"][..., None].float()
        head = batch["head"]
        posture = (head * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1)
        whole = batch["present"].all(1)  # a code of half a window says little of a whole one
        if whole.any():
            speech = encoder(batch["samples"][whole])
            codes.append((*fitted.encode((head - posture)[whole], speech, batch["valid"][whole]), posture[whole][:, 0]))
    if sum(len(mean) for mean, *_ in codes) <= old.config.latent:
        raise TalkingEyesError(
            f"The dataset has too few recordings of {old.config.window / 25:g} s to fit the head's prior.",
            "Leave --fit-prior out.",
        )
    fitted.fit_prior(*(torch.cat(parts) for parts in zip(*codes, strict=True)))
    _match_spread(fitted, encoder, dataset.split("validation"))
    return fitted


def _match_spread(vae: HeadVAE, encoder: nn.Module, split: Dataset, clips: int = 48, seconds: float = 40.0) -> None:
    """Widen the fitted prior until generated heads deviate from their mean as far as recorded ones do.

    The decoder makes less of a latent than the recording had, as squared errors ask of it, so latents drawn as widely
    as the encoder's give heads that move too little. ``split`` is one that was not trained on: there more is made of
    speech, and less of the latent.
    """
    speeches, recorded, factor = [], [], vae.latent_factor.clone()
    for index in np.random.default_rng(1).permutation(len(split)):
        sequence, frames = split[int(index)], int(seconds * 25)
        silent = sequence.speaking is not None and sequence.speaking.mean() < 0.3
        if sequence.duration < vae.config.window / 25 or silent or not sequence.valid.all():
            continue
        recorded.append(sequence.head[:frames])
        speeches.append(encoder.encode(torch.from_numpy(sequence.samples[: frames * 640])))
        if len(recorded) == clips:
            break
    if not recorded:
        return

    def deviation(heads: list[np.ndarray]) -> np.ndarray:
        return np.sqrt(np.mean([head.var(0) for head in heads], axis=0))

    wanted = deviation(recorded)

    def ratio(widened: float) -> float:
        vae.latent_factor.copy_(factor * widened)
        made = [vae.generate(each, torch.Generator().manual_seed(n))[0].numpy() for n, each in enumerate(speeches)]
        return float(np.mean(deviation(made) / wanted))

    low, high = WIDENED
    for _ in range(9):
        middle = (low + high) / 2
        low, high = (middle, high) if ratio(middle) < 1 else (low, middle)
    vae.latent_factor.copy_(factor * (low + high) / 2)
