"""What must be trained for the tables, each once a seed however many rows use it, and the methods made of it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from ..config import LoopConfig
from ..dataset import Dataset
from ..gaze_vqvae import GazeVQVAETraining
from ..loop import Stage
from ..speech_to_gaze import SpeechToGazeTraining
from .baselines import Mean, Random, SimilarSample
from .cascade import load_cascade, load_vqvae
from .correlation_training import CorrelationTraining
from .methods import Method
from .settings import Setting
from .variants import VariantStage, VariantTraining

CHECKPOINT = "last.pt"
"""The end of the training, as the paper takes it; the best by validation would choose rows by different measures."""


@dataclasses.dataclass(frozen=True)
class Context:
    """Where and with what one seed of a reproduction runs."""

    setting: Setting
    seed: int
    dataset: Dataset
    folder: Path
    """The seed's folder; each component has its own inside."""
    device: str = "cpu"

    def checkpoint(self, component: str) -> Path:
        return self.folder / component / CHECKPOINT


Prepared = tuple[Stage, LoopConfig]


@dataclasses.dataclass(frozen=True)
class Component:
    """One training."""

    name: str
    prepare: Callable[[Context], Prepared]
    needs: tuple[str, ...] = ()


def _codes(channel: str, number: int) -> Callable[[Context], Prepared]:
    def prepare(c: Context) -> Prepared:
        config = c.setting.vqvae_of(channel, c.setting.codes[number], c.seed)
        return GazeVQVAETraining(c.dataset, config, c.device), config.loop

    return prepare


def _ours(codes: str, **changes) -> Callable[[Context], Prepared]:
    def prepare(c: Context) -> Prepared:
        config = c.setting.stage_two_of(c.seed, **changes)
        return SpeechToGazeTraining(c.dataset, config, load_vqvae(c.checkpoint(codes)), c.device), config.loop

    return prepare


def _sampled(c: Context) -> Prepared:
    config = c.setting.sampled_of(c.seed)
    return SpeechToGazeTraining(c.dataset, config, load_vqvae(c.checkpoint("codes-1024")), c.device), config.loop


def _variant(head: str, gaze: str) -> Callable[[Context], Prepared]:
    def prepare(c: Context) -> Prepared:
        base = c.setting.stage_two_of(c.seed)
        config = VariantStage(
            base=base, head=head, gaze=gaze, gaze_vae=c.setting.gaze_vae, head_decoder=c.setting.head_decoder()
        )
        stage = VariantTraining(
            c.dataset, config, device=c.device,
            gaze_vqvae=load_vqvae(c.checkpoint("codes-1024")) if gaze == "vqvae" else None,
            head_vqvae=load_vqvae(c.checkpoint("codes-head")) if head == "vqvae" else None,
        )  # fmt: skip
        return stage, base.loop

    return prepare


def _correlation(channel: str) -> Callable[[Context], Prepared]:
    def prepare(c: Context) -> Prepared:
        config = c.setting.correlation_of(channel, c.seed)
        return CorrelationTraining(c.dataset, config, c.device), config.loop

    return prepare


COMPONENTS = {
    component.name: component
    for component in (
        Component("correlation-eyes", _correlation("eyes")),
        Component("correlation-head", _correlation("head")),
        Component("codes-1024", _codes("eyes", 0)),
        Component("full", _ours("codes-1024"), ("codes-1024",)),
        Component("gaze-vae", _variant("vae", "vae")),
        Component("sampled", _sampled, ("codes-1024",)),
        Component("codes-head", _codes("head", 0)),
        Component("head-vqvae", _variant("vqvae", "vqvae"), ("codes-1024", "codes-head")),
        Component("no-velocity", _ours("codes-1024", velocity_head=0.0, velocity_eyes=0.0), ("codes-1024",)),
        Component("no-regularity", _ours("codes-1024", regularity=0.0), ("codes-1024",)),
        Component("codes-256", _codes("eyes", 3)),
        Component("full-256", _ours("codes-256"), ("codes-256",)),
        Component("codes-2048", _codes("eyes", 1)),
        Component("full-2048", _ours("codes-2048"), ("codes-2048",)),
        Component("codes-512", _codes("eyes", 2)),
        Component("full-512", _ours("codes-512"), ("codes-512",)),
    )
}

CORRELATIONS = {"head": "correlation-head", "eyes": "correlation-eyes"}
UNTRAINED = ("mean", "random", "similar")
SHARED = {"likelihood": "sampled"}
"""Rows that are another use of a training: the likelihood's network with the nearest code."""


def components_of(row: str) -> list[str]:
    """What a row needs trained, in order; the correlation networks are among it."""
    wanted = list(CORRELATIONS.values())
    if row not in UNTRAINED:
        name = SHARED.get(row, row)
        wanted += [*COMPONENTS[name].needs, name]
    return wanted


def method_of(row: str, context: Context) -> Method:
    """The method of a row whose components are trained."""
    train = context.dataset.split("train")
    if row == "mean":
        return Mean(train)
    if row == "random":
        return Random(train)
    if row == "similar":
        return SimilarSample(train)
    name = SHARED.get(row, row)
    codes = {"head_vqvae" if need == "codes-head" else "gaze_vqvae": need for need in COMPONENTS[name].needs}
    return load_cascade(
        row, context.checkpoint(name), sampled=row == "sampled", device=context.device,
        **{key: context.checkpoint(need) for key, need in codes.items()},
    )  # fmt: skip
