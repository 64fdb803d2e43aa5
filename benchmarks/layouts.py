"""A bundle in the layout of the papers, with random weights: wav2vec2-base for speech, the rest as in the starter."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from talkingeyes_blender.inference.bundle import load_bundle, save_bundle
from talkingeyes_blender.inference.face_decoder import FaceDecoder
from talkingeyes_blender.inference.gaze_decoder import GazeDecoder
from talkingeyes_blender.inference.head_vae import HeadVAE
from talkingeyes_blender.inference.wav2vec2_encoder import Wav2Vec2Encoder


def wav2vec2_bundle(folder: Path) -> Path:
    """Write the bundle; return its folder. What random weights say costs what trained ones cost."""
    torch.manual_seed(0)
    starter = load_bundle(None, "cpu")
    encoder = Wav2Vec2Encoder()
    width = {"speech_dim": encoder.feature_dim}
    networks = {
        "face_encoder": encoder,
        "face_decoder": FaceDecoder(dataclasses.replace(starter.face_decoder.config, **width)),
        "gaze_vqvae": starter.gaze_vqvae,
        "gaze_decoder": GazeDecoder(dataclasses.replace(starter.gaze_decoder.config, **width)),
        "head_vae": HeadVAE(dataclasses.replace(starter.head_vae.config, **width)),
    }
    networks["gaze_decoder"].set_statistics(torch.full((6,), 0.1), torch.full((3,), 0.05), starter.gaze_vqvae)
    for network in networks.values():
        network.eval()
    save_bundle(folder, networks, name="wav2vec2-base layout, random weights", head_model=starter.head_model)
    return folder
