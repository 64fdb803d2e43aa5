"""How soon motion follows sound: ``python -m benchmarks.streaming`` pushes sound in blocks of 20 ms.

The latency is what the stream must hear before a frame can be made (``Causality``), and what computing a block takes.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.command import run
from talkingeyes_blender.inference.audio import AudioClip
from talkingeyes_blender.inference.generator import Generator

RATE = 16000


def measure(weights: str | None, seconds: float = 30.0) -> dict[str, float]:
    """Latencies in milliseconds and differences from ``generate`` in degrees and of coefficients."""
    from talkingeyes_blender.inference.audio import read_audio

    torch.set_num_threads(1)
    generator = Generator(weights, "cpu")
    asset = read_audio(Path(__file__).parents[1] / "talkingeyes_blender" / "assets" / "speech.flac").samples
    samples = np.resize(asset, int(seconds * RATE))
    warm = generator.stream(0)
    warm.push(samples[:RATE])
    stream, took, made = generator.stream(1), [], []
    first_heard = first_compute = None
    began_cpu = time.process_time()
    for start in range(0, len(samples), 320):
        began = time.perf_counter()
        motion = stream.push(samples[start : start + 320])
        if motion is not None:
            took.append(time.perf_counter() - began)
            made.append(motion)
            if first_heard is None:
                first_heard, first_compute = (start + 320) / RATE, took[-1]
    cpu = time.process_time() - began_cpu
    last = stream.finish()
    made += [last] if last is not None else []
    whole = generator.generate(AudioClip(samples), 1)
    jaw = np.degrees(np.concatenate([m.jaw[:, 0] for m in made]) - whole.jaw[:, 0])
    head = np.degrees(np.concatenate([m.head for m in made]) - whole.head)
    return {
        "needed": 1000 * stream.causality.latency,
        "first motion after first sound": 1000 * (first_heard + first_compute),
        "a block, median": 1000 * float(np.median(took)),
        "a block, 95 %": 1000 * float(np.percentile(took, 95)),
        "a block, largest": 1000 * float(np.max(took)),
        "cpu": cpu / seconds,
        "jaw": float(np.sqrt(np.mean(jaw**2))),
        "jaw r": float(np.corrcoef(np.concatenate([m.jaw[:, 0] for m in made]), whole.jaw[:, 0])[0, 1]),
        "head": float(np.sqrt(np.mean(head**2))),
    }


def table(r: dict[str, float]) -> str:
    rows = [
        ("sound that must be heard, ms", f"{r['needed']:.0f}"),
        ("first motion after first sound, ms", f"{r['first motion after first sound']:.0f}"),
        ("computing a block of 80 ms: median / 95 % / largest, ms",
         f"{r['a block, median']:.0f} / {r['a block, 95 %']:.0f} / {r['a block, largest']:.0f}"),
        ("CPU seconds a second of sound", f"{r['cpu']:.2f}"),
        ("jaw against generate: RMS degrees; r", f"{r['jaw']:.2f}; {r['jaw r']:.3f}"),
        ("head against generate, same seed: RMS degrees", f"{r['head']:.2f}"),
    ]  # fmt: skip
    return "\n".join(["| streaming | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


if __name__ == "__main__":
    run("streaming", __doc__, measure, table)
