"""What this machine reaches, measured in the same run, and what the networks must do at least.

An encoder's bound is its floating-point operations over what a matrix product of its size reaches. A decoder that goes
frame by frame reads all its weights for each: its bound is those bytes over what a chain of small products that reads
as many reaches.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from talkingeyes_blender.inference.bundle import Bundle
from talkingeyes_blender.inference.speech_encoder import RATE, SpeechEncoder


@torch.inference_mode()
def product_rate(rows: int = 750, inner: int = 768, columns: int = 3072, repeats: int = 12) -> float:
    """Floating-point operations a CPU second of one matrix product of this size, in float32."""
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    left @ right
    began = time.process_time()
    for _ in range(repeats):
        left @ right
    return repeats * 2 * rows * inner * columns / (time.process_time() - began)


def reading_rate(sizes: list[tuple[int, int]], repeats: int = 200) -> float:
    """Bytes a CPU second of one-row products with weights of these (in, out) sizes, one after the other, in numpy."""
    rng = np.random.default_rng(0)
    chain = [(rng.random(a, np.float32), rng.random((a, b), np.float32)) for a, b in sizes]
    for x, weight in chain:
        x.dot(weight)
    began = time.process_time()
    for _ in range(repeats):
        for x, weight in chain:
            x.dot(weight)
    return repeats * sum(4 * a * b for a, b in sizes) / (time.process_time() - began)


@torch.inference_mode()
def encoder_work(encoder: SpeechEncoder, seconds: float = 10.0) -> float:
    """Floating-point operations for a second of sound."""
    counter = FlopCounterMode(display=False)
    with counter:
        encoder.encode(torch.randn(int(seconds * RATE)) * 0.1)
    return counter.get_total_flops() / seconds


def weights_a_frame(bundle: Bundle) -> list[tuple[int, int]]:
    """(in, out) of every product that one frame of face and gaze decoding takes."""
    face, gaze, vqvae = bundle.face_decoder, bundle.gaze_decoder, bundle.gaze_vqvae
    modules = [face.stack, face.out, face.embed_past_motion, gaze.stack, gaze.out, gaze.embed_eyes]
    modules += [vqvae.decode_stack, vqvae.decode_out]
    if gaze.config.jumps:
        modules.append(gaze.jump)
    sizes = [
        (layer.in_features, layer.out_features)
        for module in modules
        for layer in module.modules()
        if isinstance(layer, nn.Linear)
    ]
    return [*sizes, (vqvae.config.code_dim, vqvae.config.codes)]


def bounds(bundle: Bundle, seconds: float) -> dict[str, float]:
    """CPU seconds that a clip of so many seconds must take at least, by phase, at the rates measured now."""
    encoders = [bundle.face_encoder]
    if bundle.gaze_encoder is not bundle.face_encoder:
        encoders.append(bundle.gaze_encoder)
    rate = product_rate()
    sizes = weights_a_frame(bundle)
    return {
        "speech encoders": seconds * sum(encoder_work(encoder) for encoder in encoders) / rate,
        "face and gaze decoders": seconds * 25 * sum(4 * a * b for a, b in sizes) / reading_rate(sizes),
    }
