"""How much faster than the sound a bundle generates, on one CPU thread."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

import numpy as np
import torch

from ...inference.audio import AudioClip
from ...inference.generator import Generator
from ...inference.speech_encoder import RATE

SECONDS = 60.0


def table(generator: Generator, samples: np.ndarray, runs: int = 3) -> dict:
    """Times real time of the whole way from samples to motion; ``samples`` are repeated to a minute.

    Processor time is what the machine needs, however busy it is with other work; the best of ``runs``.
    """
    count = int(SECONDS * RATE)
    sound = np.resize(samples, count).astype(np.float32)
    torch.set_num_threads(1)
    generator.generate(AudioClip(sound[: 3 * RATE]), 0)
    processor, wall = [], []
    for run in range(runs):
        # A clip that was heard before would be remembered.
        clip = AudioClip(np.roll(sound, run + 1))
        began, began_wall = time.process_time(), time.perf_counter()
        generator.generate(clip, run)
        processor.append(time.process_time() - began)
        wall.append(time.perf_counter() - began_wall)
    return {
        "times real time, processor": SECONDS / min(processor),
        "times real time, wall clock, busy machine": SECONDS / min(wall),
    }
