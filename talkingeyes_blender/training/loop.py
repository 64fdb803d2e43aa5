"""The training loop: steps that can stop at any moment and go on as if they had not."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import dataclasses
import json
import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import TalkingEyesError
from .config import LoopConfig

log = logging.getLogger(__name__)


class Stage(Protocol):
    """What a stage gives to the loop."""

    name: str
    networks: nn.ModuleDict
    """What is trained, by the names that a bundle uses."""

    def describe(self) -> dict:
        """Configuration and data, stored in each checkpoint; a run resumes only where it is the same."""

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """A training batch, decided by ``rng`` alone."""

    def losses(self, batch: dict[str, Tensor], progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        """The terms of the loss, their weighted sum as 'total'. ``progress`` runs from 0 to 1."""

    def validate(self) -> dict[str, float]:
        """Figures on the validation split; the least 'score' is the best."""

    def steps_an_epoch(self) -> int: ...


def run(
    stage: Stage, config: LoopConfig, folder: Path, progress: Callable[[int, int, dict], None] | None = None
) -> Path:
    """Train ``stage`` in ``folder`` until its last step and return the path of the best checkpoint.

    ``last.pt`` is written every ``save_every`` steps and at the end, ``best.pt`` at the best validation, both beside
    and then renamed; ``log.jsonl`` has a line for each logged step. Where ``last.pt`` exists the run goes on from it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps = config.steps or config.epochs * stage.steps_an_epoch()
    torch.manual_seed(config.seed)
    parameters = [p for p in stage.networks.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        parameters, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    averaged = copy.deepcopy(stage.networks).requires_grad_(False) if config.ema else None
    step, best = _resume(stage, folder, optimiser, averaged)
    started, first = time.monotonic(), step
    with open(folder / "log.jsonl", "a", encoding="utf-8") as lines:
        while step < steps:
            rate = _learning_rate(config, step, steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            terms = _step(stage, config, step, steps, optimiser, parameters)
            step += 1
            if averaged is not None:
                _average(averaged, stage.networks, min(config.ema, (1 + step) / (10 + step)))
            entry = {"step": step, "rate": rate, **terms}
            if step % config.validate_every == 0 or step == steps:
                figures = _validate(stage, averaged)
                entry["validation"] = figures
                if figures["score"] < best:
                    best = figures["score"]
                    _save(folder / "best.pt", stage, step, best, averaged=averaged)
            if step % 10 == 0 or "validation" in entry:
                entry["seconds_a_step"] = round((time.monotonic() - started) / (step - first), 4)
                lines.write(json.dumps(entry) + "\n")
                lines.flush()
            if step % config.save_every == 0 or step == steps:
                _save(folder / "last.pt", stage, step, best, optimiser, averaged)
            if progress:
                progress(step, steps, entry)
    return folder / "best.pt"


def _step(stage: Stage, config: LoopConfig, step: int, steps: int, optimiser, parameters) -> dict[str, float]:
    stage.networks.train()
    # Each step's randomness comes from its number: a run that was killed sees the same batches and masks again.
    batch = stage.batch(np.random.default_rng([config.seed, step]))
    torch.manual_seed((config.seed << 32) + step)
    generator = torch.Generator().manual_seed((config.seed << 32) + step)
    device = next(iter(parameters)).device
    with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
        terms = stage.losses({k: v.to(device) for k, v in batch.items()}, step / steps, generator)
    if not torch.isfinite(terms["total"]):
        raise TalkingEyesError(
            f"The loss of '{stage.name}' is not a number at step {step}.",
            "Lower the learning rate, and look at the data with check-data.",
        )
    optimiser.zero_grad(set_to_none=True)
    terms["total"].backward()
    nn.utils.clip_grad_norm_(parameters, config.clip)
    optimiser.step()
    return {name: round(value.item(), 6) for name, value in terms.items()}


def _learning_rate(config: LoopConfig, step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return config.learning_rate * warm * (config.final_rate + (1 - config.final_rate) * cosine)


def _average(averaged: nn.Module, networks: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for mean, value in zip(averaged.parameters(), networks.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
        for mean, value in zip(averaged.buffers(), networks.buffers(), strict=True):
            mean.copy_(value)


def _validate(stage: Stage, averaged: nn.ModuleDict | None) -> dict[str, float]:
    kept = stage.networks
    if averaged is not None:
        stage.networks = averaged
    stage.networks.eval()
    try:
        with torch.inference_mode():
            return {name: round(float(value), 6) for name, value in stage.validate().items()}
    finally:
        stage.networks = kept


def _save(path: Path, stage: Stage, step: int, best: float, optimiser=None, averaged=None) -> None:
    state = {
        "stage": stage.name,
        "describe": stage.describe(),
        "step": step,
        "best": best,
        "networks": stage.networks.state_dict(),
    }
    if averaged is not None:
        state["averaged"] = averaged.state_dict()
    if optimiser is not None:
        state["optimiser"] = optimiser.state_dict()
        state["extra"] = stage.extra_state() if hasattr(stage, "extra_state") else {}
    beside = path.with_suffix(".part")
    torch.save(state, beside)
    os.replace(beside, path)


def read_checkpoint(path: Path) -> dict:
    """A checkpoint's content, tensors and plain values alone; a file that is none gives a clear error."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TalkingEyesError(f"There is no checkpoint {path}.", "Train that stage first.") from error
    except Exception as error:  # torch raises many kinds here, all with one meaning
        raise TalkingEyesError(f"{path} is not a checkpoint of this program.", "Train that stage again.") from error


def _resume(stage: Stage, folder: Path, optimiser, averaged) -> tuple[int, float]:
    if not (folder / "last.pt").exists():
        return 0, math.inf
    state = read_checkpoint(folder / "last.pt")
    if state["describe"] != stage.describe():
        raise TalkingEyesError(
            f"{folder} holds a run with another configuration or other data.",
            "Give another folder with --out, or remove that one.",
        )
    stage.networks.load_state_dict(state["networks"])
    optimiser.load_state_dict(state["optimiser"])
    if averaged is not None:
        averaged.load_state_dict(state["averaged"])
    if hasattr(stage, "load_extra_state"):
        stage.load_extra_state(state["extra"])
    log.info("%s goes on from step %d", stage.name, state["step"])
    return state["step"], state["best"]


def plain(config) -> dict:
    """A configuration as plain values that a checkpoint and a bundle can hold."""
    return json.loads(json.dumps(dataclasses.asdict(config)))
