"""Tiny weight bundles with random weights, for tests that need a whole generator and no sense in its motion."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from talkingeyes_blender.head import arkit
from talkingeyes_blender.inference.bundle import save_bundle
from talkingeyes_blender.inference.face_decoder import FaceDecoder, FaceDecoderConfig
from talkingeyes_blender.inference.gaze_decoder import GazeDecoder, GazeDecoderConfig
from talkingeyes_blender.inference.gaze_vqvae import GazeVQVAE, GazeVQVAEConfig
from talkingeyes_blender.inference.head_vae import HeadVAE, HeadVAEConfig
from talkingeyes_blender.inference.mel_encoder import MelEncoder, MelEncoderConfig


def tiny_networks(
    gaze_encoder: bool = False, memory: str = "feature", past: str = "motion", seed: int = 0
) -> dict[str, nn.Module]:
    """Networks of a bundle with windows of a second or less, whose motion has plausible sizes and is not constant."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = MelEncoderConfig(dim=16, bands=20, dilations=(1, 2), fine_dilations=(1,))
        networks = {
            "face_encoder": MelEncoder(encoder),
            "face_decoder": FaceDecoder(
                FaceDecoderConfig(
                    speech_dim=16, expressions=len(arkit.EXPRESSIONS), dim=16, heads=2, hidden=24, window=9
                )
            ),
            "gaze_vqvae": GazeVQVAE(
                GazeVQVAEConfig(codes=32, code_dim=8, dim=16, layers=2, heads=2, hidden=24, decoder_window=7)
            ),
            "gaze_decoder": GazeDecoder(
                GazeDecoderConfig(
                    speech_dim=16,
                    code_dim=8,
                    dim=16,
                    layers=2,
                    heads=2,
                    hidden=24,
                    window=11,
                    radius=3,
                    memory=memory,
                    past=past,
                )
            ),
            "head_vae": HeadVAE(
                HeadVAEConfig(
                    speech_dim=16, latent=4, dim=16, layers=1, heads=2, hidden=24, window=30, overlap=8, radius=9
                )
            ),
        }
        if gaze_encoder:
            networks["gaze_encoder"] = MelEncoder(encoder)
        stir(networks)
    return {name: network.eval() for name, network in networks.items()}


def stir(networks: dict[str, nn.Module]) -> None:
    """Give what starts at zero or next to it (the face's output, codes, places, biases) values that show."""
    with torch.no_grad():
        for network in networks.values():
            for name, parameter in network.named_parameters():
                if parameter.ndim == 1 or name.endswith("place"):
                    parameter.add_(0.2 * torch.randn_like(parameter))
        face, vqvae, gaze = networks["face_decoder"], networks["gaze_vqvae"], networks["gaze_decoder"]
        face.out.weight.normal_(std=0.3)
        face.set_statistics(torch.full_like(face.mean, 0.1), torch.full_like(face.scale, 0.1))
        vqvae.codebook.normal_()
        vqvae.set_statistics(torch.full((6,), 0.01), torch.full((6,), 0.1))
        if gaze.config.past == "code":
            gaze.out.reset_parameters()
        gaze.out.weight.mul_(5)  # as far out as the codes are, or the shortest code would always be the nearest
        gaze.log_sharpness.fill_(-0.2)  # and yet left to chance where codes are sampled
        for layer in gaze.stack.layers:
            layer.attend_memory.out.weight.mul_(4)
        gaze.set_statistics(torch.full((6,), 0.1), torch.full((3,), 0.05))
        networks["head_vae"].set_statistics(torch.full((3,), 0.05))


def tiny_bundle(folder: Path, **choices) -> Path:
    """Save ``tiny_networks`` as a bundle for the stand-in head in ``folder``; return it."""
    save_bundle(
        folder,
        tiny_networks(**choices),
        name="tiny",
        head_model=arkit.STANDIN,
        recipe={"note": "random weights, for tests"},
        generation={"gaze": "sample", "temperature": 1.0, "top_k": 0},
    )
    return folder
