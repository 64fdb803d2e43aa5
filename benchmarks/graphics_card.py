"""A minute of sound on a graphics card: ``python -m benchmarks.graphics_card``. Without one it says "not measured".

Beside the time stands its bound there: the encoders' operations over what a matrix product reaches on the card, and the
decoders' weights, read once a frame, over what a copy reaches.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks.bounds import encoder_work, weights_a_frame
from benchmarks.command import run
from talkingeyes_blender.inference.audio import AudioClip
from talkingeyes_blender.inference.bundle import load_bundle
from talkingeyes_blender.inference.generator import Generator

SECONDS = 60.0


def _timed(work, device: torch.device, repeats: int) -> float:
    """Seconds of one ``work``, warm and waited for; the least of some."""
    took = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    return min(took[1:])


@torch.inference_mode()
def measure(weights: str | None, name: str = "cuda") -> dict[str, float]:
    """Seconds of generating and their bounds; nothing where there is no such device."""
    if name == "cuda" and not torch.cuda.is_available():
        return {}
    device, rng = torch.device(name), np.random.default_rng(0)
    generator, bundle = Generator(weights, name), load_bundle(weights, "cpu")
    # Another clip each time: what was heard before is remembered.
    clips = iter([AudioClip(0.1 * rng.standard_normal(int(SECONDS * 16000))) for _ in range(4)])
    result = {"generate": _timed(lambda: generator.generate(next(clips), 1), device, 3)}
    left, right = torch.randn(1500, 768, device=device), torch.randn(768, 3072, device=device)
    rate = 2 * 1500 * 768 * 3072 / _timed(lambda: left @ right, device, 5)
    encoders = {id(e): e for e in (bundle.face_encoder, bundle.gaze_encoder)}.values()
    result["bound: encoders, operations"] = SECONDS * sum(encoder_work(e) for e in encoders) / rate
    memory = torch.zeros(1 << 26, device=device)
    bandwidth = 2 * memory.nbytes / _timed(memory.clone, device, 5)
    frames = SECONDS * 25 * sum(4 * a * b for a, b in weights_a_frame(bundle))
    result["bound: decoders, bytes"] = frames / bandwidth
    return result


def table(result: dict[str, float]) -> str:
    if not result:
        return "not measured: there is no CUDA device here"
    rows = [f"| {name} | {value:.3f} |" for name, value in result.items()]
    return "\n".join([f"| {SECONDS:g} s of sound, warm | seconds |", "|---|---|", *rows])


if __name__ == "__main__":
    run("graphics_card", __doc__, measure, table)
