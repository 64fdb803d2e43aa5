"""How large a reproduction is: 'small' for two CPU cores and an hour a seed, 'full' as the paper."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

from ...errors import TalkingEyesError
from ...inference.gaze_decoder import GazeDecoderConfig
from ...inference.gaze_vqvae import GazeVQVAEConfig
from ...inference.head_vae import HeadVAEConfig
from ...inference.mel_encoder import MelEncoderConfig
from .. import config as recipes
from ..config import GazeVQVAEStage, LoopConfig, SpeechToGazeStage
from .correlation import CorrelationConfig
from .correlation_training import CorrelationStage
from .gaze_vae import GazeVAEConfig

_WINDOW = HeadVAEConfig().window
"""Frames between the knots of a VAE's latent: with the whole window it is one code for all frames, as in the paper. The
starter recipe spreads it, because a single code is hardly used."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """Everything that all rows of all tables share."""

    name: str
    vqvae: GazeVQVAEStage
    """Stage one; the number of codes and the channel are set row by row."""
    stage_two: SpeechToGazeStage
    """Stage two as in the paper; rows change one thing of it."""
    correlation: CorrelationStage
    gaze_vae: GazeVAEConfig
    sequences: int
    """Training sequences that are used; 0 for all."""
    clips: int
    takes: int
    frames: int
    """Frames of a test clip."""
    codes: tuple[int, int, int, int] = (1024, 2048, 512, 256)
    """The paper's N first, then those of Table VII."""

    def vqvae_of(self, channel: str, codes: int, seed: int) -> GazeVQVAEStage:
        width = {"eyes": 6, "head": 3}[channel]
        return dataclasses.replace(
            self.vqvae, channel=channel, loop=dataclasses.replace(self.vqvae.loop, seed=seed),
            model=dataclasses.replace(self.vqvae.model, codes=codes, channels=width),
        )  # fmt: skip

    def stage_two_of(self, seed: int, **changes) -> SpeechToGazeStage:
        return dataclasses.replace(self.stage_two, loop=dataclasses.replace(self.stage_two.loop, seed=seed), **changes)

    def sampled_of(self, seed: int) -> SpeechToGazeStage:
        """Stage two as the shipped weights have it, for codes that are drawn: a likelihood of the true code, the code
        before as the past, a part of the likelihood for jumps, and the squared errors of the eyes turned down."""
        return self.stage_two_of(
            seed, gaze=dataclasses.replace(self.stage_two.gaze, past="code", jumps=self.codes[0]), likelihood=1.0,
            reconstruction_eyes=0.1, velocity_eyes=0.1, regularity=0.05, past_noise=0.05, own_past=0.0,
            gaze_trains_head=False,
        )  # fmt: skip

    def head_decoder(self) -> GazeDecoderConfig:
        return dataclasses.replace(self.stage_two.gaze, channels=3)

    def correlation_of(self, channel: str, seed: int) -> CorrelationStage:
        return dataclasses.replace(
            self.correlation, model=dataclasses.replace(self.correlation.model, channel=channel),
            loop=dataclasses.replace(self.correlation.loop, seed=seed),
        )  # fmt: skip


def _small() -> Setting:
    """The paper's losses; networks and steps that two CPU cores train in about an hour, ten stages and more a seed."""
    speech, code = 64, 32
    return Setting(
        name="small",
        vqvae=GazeVQVAEStage(
            model=GazeVQVAEConfig(dim=96, layers=2, hidden=192, code_dim=code),
            loop=LoopConfig(
                steps=600, batch=16, frames=125, learning_rate=1e-3, warmup=50, final_rate=0.05, ema=0.99, bf16=True,
                betas=(0.9, 0.98), validate_every=300, save_every=100,
            ),
        ),
        stage_two=SpeechToGazeStage(
            encoder=MelEncoderConfig(dim=speech),
            head=HeadVAEConfig(speech_dim=speech, dim=96, layers=2, hidden=192, latent=32, knot_every=_WINDOW),
            gaze=GazeDecoderConfig(speech_dim=speech, code_dim=code, dim=128, layers=2, hidden=256),
            own_past=1.0,
            own_passes=2,
            gaze_trains_head=True,
            loop=LoopConfig(
                steps=320, batch=12, frames=250, learning_rate=1e-3, warmup=50, final_rate=0.05, ema=0.99, bf16=True,
                betas=(0.9, 0.98), validate_every=160, save_every=100,
            ),
        ),
        correlation=CorrelationStage(
            loop=LoopConfig(
                steps=400, batch=24, learning_rate=1e-3, warmup=50, final_rate=0.05, weight_decay=0.05, ema=0.98,
                betas=(0.9, 0.98), validate_every=200, save_every=100,
            )
        ),
        gaze_vae=GazeVAEConfig(speech_dim=speech, dim=96, layers=2, hidden=192, latent=32, knot_every=_WINDOW),
        sequences=500, clips=24, takes=8, frames=250,
    )  # fmt: skip


def _full() -> Setting:
    """The paper's sizes and its 100 epochs; for a GPU."""
    stage_two = recipes.paper("speech-to-gaze")
    stage_two = dataclasses.replace(
        stage_two, loop=dataclasses.replace(stage_two.loop, bf16=True), own_past=1.0,
        gaze_trains_head=True, head=dataclasses.replace(stage_two.head, knot_every=_WINDOW),
    )  # fmt: skip
    return Setting(
        name="full",
        vqvae=recipes.paper("gaze-vqvae"),
        stage_two=stage_two,
        correlation=CorrelationStage(
            model=CorrelationConfig(dim=128),
            loop=LoopConfig(
                steps=6000, batch=48, learning_rate=5e-4, warmup=200, final_rate=0.05, weight_decay=0.05, ema=0.995,
                betas=(0.9, 0.98), validate_every=250,
            ),
        ),
        gaze_vae=GazeVAEConfig(speech_dim=stage_two.gaze.speech_dim, knot_every=_WINDOW),
        sequences=0, clips=200, takes=10, frames=250,
    )  # fmt: skip


def setting(name: str) -> Setting:
    """A setting by name."""
    settings = {"small": _small, "full": _full}
    if name not in settings:
        raise TalkingEyesError(f"There is no setting '{name}'.", f"Choose one of {', '.join(settings)}.")
    return settings[name]()
