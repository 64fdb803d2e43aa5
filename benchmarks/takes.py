"""What many takes of one speech cost against one: ``python -m benchmarks.takes`` prints CPU seconds by number."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks.command import run
from talkingeyes_blender.inference.audio import AudioClip
from talkingeyes_blender.inference.generator import Generator


def measure(weights: str | None, numbers: tuple[int, ...] = (1, 4, 16), seconds: float = 60.0) -> dict[str, float]:
    """CPU seconds by number of takes, each of a clip that was not heard before."""
    torch.set_num_threads(1)
    generator, rng, result = Generator(weights, "cpu"), np.random.default_rng(0), {}
    generator.generate(AudioClip(0.1 * rng.standard_normal(32000)), 1)
    for number in numbers:
        clip = AudioClip(0.1 * rng.standard_normal(int(16000 * seconds)))
        began = time.process_time()
        generator.generate_takes(clip, list(range(number)))
        result[str(number)] = time.process_time() - began
    return result


def table(result: dict[str, float]) -> str:
    lines = ["| takes of 60 s | CPU seconds | times one |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {k} | {v:.2f} | {v / result['1']:.2f} |" for k, v in result.items())])


if __name__ == "__main__":
    run("takes", __doc__, measure, table)
