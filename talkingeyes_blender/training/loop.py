"""The training loop: steps that can stop at any moment and go on as if they had not."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn

from ..errors import TalkingEyesError
from .batches import WHOLE, Share
from .checkpoints import read_checkpoint, refuse_other_run, save_checkpoint
from .config import LoopConfig
from .logs import Log

__all__ = ["Stage", "accelerator_for", "freeze", "plain", "read_checkpoint", "run"]

log = logging.getLogger(__name__)


class Stage(Protocol):
    """What a stage gives to the loop."""

    name: str
    networks: nn.ModuleDict
    """What is trained, by the names that a bundle uses."""

    def describe(self) -> dict:
        """Configuration and data, stored in each checkpoint; a run resumes only where it is the same."""

    def batch(self, rng: np.random.Generator, share: Share = WHOLE) -> dict[str, Tensor]:
        """A training batch, decided by ``rng`` alone, or the share of it that is asked for."""

    def losses(self, batch: dict[str, Tensor], progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        """The terms of the loss, their weighted sum as 'total'. ``progress`` runs from 0 to 1."""

    def validate(self) -> dict[str, float]:
        """Figures on the validation split; the least 'score' is the best."""

    def steps_an_epoch(self) -> int: ...

    # A stage may also have extra_state() and load_extra_state(state), kept with the checkpoints, and curves(): made
    # beside real motion of one clip by name, which is plotted at each validation.


class _Objective(nn.Module):
    """A stage's losses as a module, which is what accelerate can spread over devices."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage, self.networks = stage, stage.networks

    def forward(self, batch: dict[str, Tensor], progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        terms = self.stage.losses(batch, progress, generator)
        return {name: value if name == "total" else value.detach() for name, value in terms.items()}


def accelerator_for(device: str = "cpu") -> Accelerator:
    """What carries the devices: of this process alone, or of all that ``accelerate launch`` has started."""
    # A weight of zero, or a switch, leaves some parameters without a gradient.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    try:
        return Accelerator(cpu=device == "cpu", kwargs_handlers=[unused])
    except (ValueError, RuntimeError) as error:
        raise TalkingEyesError(f"The device '{device}' cannot be used here ({error}).", "Try --device cpu.") from error


def run(
    stage: Stage, config: LoopConfig, folder: Path, progress: Callable[[int, int, dict], None] | None = None
) -> Path:
    """Train ``stage`` in ``folder`` until its last step and return the path of the best checkpoint.

    ``last.pt`` is written every ``save_every`` steps and at the end, ``best.pt`` at the best validation; ``log.jsonl``
    has a line for each tenth step. Where ``last.pt`` exists the run goes on from it. Started by ``accelerate launch``,
    each process takes its share of each batch, and the first one validates and writes.
    """
    parameters = [p for p in stage.networks.parameters() if p.requires_grad]
    accelerator = accelerator_for(parameters[0].device.type)
    steps = config.steps or config.epochs * stage.steps_an_epoch()
    optimiser = torch.optim.AdamW(  # without weight decay this is Adam
        parameters, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
    )
    averaged = copy.deepcopy(stage.networks).requires_grad_(False) if config.ema else None
    step, best = _resume(stage, folder, optimiser, averaged)
    objective = _Objective(stage)
    if accelerator.num_processes > 1:
        objective = accelerator.prepare(objective)
    first, busy = step, 0.0
    lines = Log(folder, step) if accelerator.is_main_process else None
    while step < steps:
        began = time.monotonic()
        for group in optimiser.param_groups:
            group["lr"] = _learning_rate(config, step, steps)
        terms, frames = _step(accelerator, objective, stage, config, step, steps, optimiser, parameters)
        step += 1
        if averaged is not None:
            _average(averaged, stage.networks, min(config.ema, (1 + step) / (10 + step)))
        busy += time.monotonic() - began
        entry = {"step": step, "rate": optimiser.param_groups[0]["lr"], **terms}
        if accelerator.is_main_process:
            if step % config.validate_every == 0 or step == steps:
                entry["validation"], curves = _validate(stage, averaged)
                if curves:
                    lines.plot(step, curves)
                if entry["validation"]["score"] < best:
                    best = entry["validation"]["score"]
                    save_checkpoint(folder / "best.pt", _state(stage, step, best, averaged=averaged))
            if step % 10 == 0 or "validation" in entry:
                pace = busy / (step - first)
                entry |= {"seconds_a_step": round(pace, 4), "hours_a_second": round(frames / 90000 / pace, 6)}
                lines.write(entry)
            if step % config.save_every == 0 or step == steps:
                save_checkpoint(folder / "last.pt", _state(stage, step, best, averaged, optimiser))
            if progress:
                progress(step, steps, entry)
    if lines:
        lines.close()
    accelerator.wait_for_everyone()
    return folder / "best.pt"


def _step(
    accelerator: Accelerator, objective: nn.Module, stage: Stage, config: LoopConfig, step: int, steps: int, optimiser,
    parameters: list[nn.Parameter],
) -> tuple[dict[str, float], int]:  # fmt: skip
    """One step of the optimiser: the terms of its loss, and how many valid frames it has seen."""
    stage.networks.train()
    rank, parts = accelerator.process_index, config.accumulate
    optimiser.zero_grad(set_to_none=True)
    sums: dict[str, Tensor] = {}
    for part in range(parts):
        share = (rank * parts + part, accelerator.num_processes * parts)
        # Each step's randomness comes from its number: a run that was killed sees the same batches and masks again.
        rng = np.random.default_rng([config.seed, step])
        batch = stage.batch(rng) if share == WHOLE else stage.batch(rng, share)
        seed = (config.seed << 32) + step + (share[0] << 52)
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        device = parameters[0].device
        waits = part + 1 < parts and accelerator.num_processes > 1
        with accelerator.no_sync(objective) if waits else contextlib.nullcontext():
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
                terms = objective({k: v.to(device) for k, v in batch.items()}, step / steps, generator)
            (terms["total"] / parts).backward()
        terms["frames"] = batch["valid"].sum().to(device) * parts if "valid" in batch else terms["total"] * 0
        for name, value in terms.items():
            sums[name] = sums.get(name, 0) + value.detach().double() / parts
    if accelerator.num_processes > 1:
        sums = accelerator.reduce(sums, "mean")
    if not torch.isfinite(sums["total"]):
        raise TalkingEyesError(
            f"The loss of '{stage.name}' is not a number at step {step}.",
            "Lower the learning rate, and look at the data with check-data.",
        )
    if config.clip:
        nn.utils.clip_grad_norm_(parameters, config.clip)
    optimiser.step()
    frames = int(sums.pop("frames").item() * accelerator.num_processes)
    return {name: round(value.item(), 6) for name, value in sums.items()}, frames


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


def _validate(stage: Stage, averaged: nn.ModuleDict | None) -> tuple[dict[str, float], dict]:
    kept = stage.networks
    if averaged is not None:
        stage.networks = averaged
    stage.networks.eval()
    try:
        with torch.inference_mode():
            figures = {name: round(float(value), 6) for name, value in stage.validate().items()}
            return figures, stage.curves() if hasattr(stage, "curves") else {}
    finally:
        stage.networks = kept


def _state(stage: Stage, step: int, best: float, averaged=None, optimiser=None) -> dict:
    """A checkpoint's content; the optimiser's state is in those to resume from."""
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
    return state


def _resume(stage: Stage, folder: Path, optimiser, averaged) -> tuple[int, float]:
    if not (folder / "last.pt").exists():
        return 0, math.inf
    state = read_checkpoint(folder / "last.pt")
    refuse_other_run(folder, state["describe"], stage.describe())
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


def freeze(network: nn.Module, parts: tuple[str, ...]) -> None:
    """Keep what ``parts`` name (the beginnings of parameters' names) as it is; parts it has not are passed over."""
    for name, parameter in network.named_parameters():
        if any(name == part or name.startswith(part + ".") for part in parts):
            parameter.requires_grad_(False)
