"""What training costs: ``python -m benchmarks.training DATA`` prints hours of motion per core-hour for each stage.

Without DATA a small synthetic set is made of noise, whose content does not change the cost. One thread, a few steps
of the real loop after one to warm up; checkpoints and validations are left out.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from talkingeyes_blender.head.standin import load_standin
from talkingeyes_blender.inference.gaze_vqvae import GazeVQVAE
from talkingeyes_blender.training import config as recipes
from talkingeyes_blender.training.dataset import Dataset, Sequence, write_description, write_sequence
from talkingeyes_blender.training.face import FaceTraining
from talkingeyes_blender.training.gaze_vqvae import GazeVQVAETraining
from talkingeyes_blender.training.loop import _step, accelerator_for
from talkingeyes_blender.training.speech_to_gaze import SpeechToGazeTraining


def noise(folder: Path, head) -> Dataset:
    """Twelve sequences of twelve seconds of random motion and sound."""
    rng, names = np.random.default_rng(0), [f"n{i:02d}" for i in range(12)]
    for name in names:
        parts = {"expression": head.expressions, "jaw": 3, "head": 3, "eyes": 6}
        motion = {part: rng.normal(0, 0.1, (300, width)) for part, width in parts.items()}
        write_sequence(folder, Sequence(
            id=name, subject=name, source="noise", head_model=head.identity, blink=np.zeros((300, 2)),
            valid=np.ones(300, bool), samples=rng.normal(0, 0.1, 300 * 640), **motion,
        ))  # fmt: skip
    splits = {name: "validation" if i == 0 else "test" if i == 1 else "train" for i, name in enumerate(names)}
    write_description(folder, head_model=head.identity, subjects={n: n for n in names}, splits=splits)
    return Dataset(folder)


def measure(stage, steps: int) -> tuple[float, float]:
    """Seconds a step of the CPU's or GPU's clock, and hours of motion a step."""
    config = stage.config.loop
    parameters = [p for p in stage.networks.parameters() if p.requires_grad]
    accelerator = accelerator_for(parameters[0].device.type)
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate)

    class Objective(torch.nn.Module):
        def forward(self, *given):
            return stage.losses(*given)

    hours = 0.0
    for step in range(steps + 1):
        if step == 1:
            synchronise(parameters[0])
            began = clock(parameters[0])
            hours = 0.0
        _, frames = _step(accelerator, Objective(), stage, config, step, steps + 1, optimiser, parameters)
        hours += frames / 90000
    synchronise(parameters[0])
    return (clock(parameters[0]) - began) / steps, hours / steps


def synchronise(parameter: torch.Tensor) -> None:
    if parameter.is_cuda:
        torch.cuda.synchronize()


def clock(parameter: torch.Tensor) -> float:
    return time.perf_counter() if parameter.is_cuda else time.process_time()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, help="dataset folder in the stand-in's basis")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="in every stage, whatever the recipe says")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    head = load_standin()
    unit = "core-hour" if options.device == "cpu" else "hour"
    with tempfile.TemporaryDirectory() as scratch:
        dataset = Dataset(options.data) if options.data else noise(Path(scratch), head)
        print(f"{'recipe':8} {'stage':15} {'seconds a step':>15} {'hours of motion a ' + unit:>28}")
        for name in ("paper", "starter"):
            for kind in ("gaze-vqvae", "speech-to-gaze", "face"):
                config = getattr(recipes, name)(kind)
                if options.bf16:
                    config = dataclasses.replace(config, loop=dataclasses.replace(config.loop, bf16=True))
                if kind == "gaze-vqvae":
                    stage, codes = GazeVQVAETraining(dataset, config, options.device), config.model
                elif kind == "face":
                    stage = FaceTraining(dataset, config, head, options.device)
                else:
                    stage = SpeechToGazeTraining(dataset, config, GazeVQVAE(codes), options.device)
                seconds, hours = measure(stage, options.steps)
                print(f"{name:8} {kind:15} {seconds:15.3f} {3600 * hours / seconds:28.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
