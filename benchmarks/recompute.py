"""The peers' way beside ours: ``python -m benchmarks.recompute`` decodes our own networks with and without a cache.

Published code of this kind (FaceFormer, CodeTalker) runs the decoder over the whole prefix again for every frame. Here
the same networks do that for a few prefixes; what all prefixes would cost is the sum of a quadratic fitted to those,
and marked as such.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks.command import run
from talkingeyes_blender.inference.generator import Generator

SAMPLED = (50, 150, 300, 600, 1000)
"""Frames of the prefixes that are timed."""


@torch.inference_mode()
def recompute(generator: Generator, frames: int) -> float:
    """CPU seconds of one step of face and gaze over a prefix of so many frames."""
    bundle = generator.bundle
    face, gaze, vqvae = bundle.face_decoder, bundle.gaze_decoder, bundle.gaze_vqvae
    speech = torch.randn(1, frames, face.config.speech_dim)
    heard = torch.randn(1, frames, gaze.config.speech_dim)
    motion = torch.zeros(1, frames, face.config.expressions + 3)
    eyes, head = torch.zeros(1, frames, gaze.config.channels), torch.zeros(1, frames, 3)
    codes = torch.zeros(1, frames, vqvae.config.code_dim)
    style = torch.ones(1, face.config.styles)
    took = []
    for _ in range(3):
        began = time.process_time()
        face(speech, style, motion)
        features, hidden = gaze(heard, head, eyes, codes)
        vqvae.decode(vqvae.quantise(features)[0])
        gaze.logits(features[:, -1:], hidden[:, -1:], vqvae)
        took.append(time.process_time() - began)
    return min(took)


@torch.inference_mode()
def cached(generator: Generator, frames: int) -> float:
    """CPU seconds of all frames of face and gaze, as the generator decodes them."""
    from talkingeyes_blender.inference.gaze_decoder import CodeSampler

    bundle = generator.bundle
    face, gaze = bundle.face_decoder, bundle.gaze_decoder
    speech, heard = torch.randn(1, frames, face.config.speech_dim), torch.randn(1, frames, gaze.config.speech_dim)
    began = time.process_time()
    face.generate(speech)
    gaze.generate(heard, torch.zeros(1, frames, 3), bundle.gaze_vqvae, CodeSampler(0))
    return time.process_time() - began


def measure(weights: str | None, seconds: tuple[float, ...] = (60.0, 600.0)) -> list[dict[str, float]]:
    """By length: CPU seconds with the cache and, from the fit, without."""
    torch.set_num_threads(1)
    generator = Generator(weights, "cpu")
    cached(generator, 100)
    fit = np.polyfit(SAMPLED, [recompute(generator, n) for n in SAMPLED], 2)
    results = []
    for length in seconds:
        frames = round(length * 25)
        ours = cached(generator, min(frames, 1500)) * frames / min(frames, 1500)
        theirs = float(np.polyval(fit, np.arange(1, frames + 1)).sum())
        results.append({"seconds": length, "cached": ours, "recomputed": theirs, "ratio": theirs / ours})
    return results


def table(results: list[dict[str, float]]) -> str:
    lines = [
        "face and gaze decoders, CPU seconds of one thread; recomputed: sum of a quadratic fitted to prefixes of "
        + ", ".join(map(str, SAMPLED)) + " frames",
        "", "| sound, s | with the cache | prefix recomputed (extrapolated) | times |", "|---|---|---|---|",
    ]  # fmt: skip
    for r in results:
        lines.append(f"| {r['seconds']:g} | {r['cached']:.2f} | {r['recomputed']:.0f} | {r['ratio']:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run("recompute", __doc__, measure, table)
