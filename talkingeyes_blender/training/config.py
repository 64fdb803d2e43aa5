"""What each stage trains with. The defaults are the paper's; ``starter`` is the recipe of the shipped weights.

TalkingEyes, Section V-A: Adam, learning rate 1e-4, 100 epochs in both stages, lambda_1 = 1e-4, N = 1024.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json

from ..errors import TalkingEyesError
from ..inference.face_decoder import FaceDecoderConfig
from ..inference.gaze_decoder import GazeDecoderConfig
from ..inference.gaze_vqvae import GazeVQVAEConfig
from ..inference.head_vae import HeadVAEConfig
from ..inference.mel_encoder import MelEncoderConfig

FROZEN = ("model.feature_extractor",)
"""wav2vec 2.0's convolutional front end; the compact encoder has no such part, and is trained whole."""


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """How long, how large, how fast."""

    steps: int = 0
    """Optimiser steps; 0 takes ``epochs``."""
    epochs: int = 100
    batch: int = 16
    """Sequences of one optimiser step, over all processes and steps of accumulation."""
    accumulate: int = 1
    """Parts in which a process works through its share of a batch, one after the other, to save memory."""
    frames: int = 250
    """Frames of each crop."""
    learning_rate: float = 1e-4
    warmup: int = 0
    final_rate: float = 1.0
    """Share of the learning rate that a cosine schedule ends at; 1 keeps it constant."""
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's, and its default: the paper names no others."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.0
    """Decay of the weights' running mean that is validated and exported; 0 has none."""
    bf16: bool = False
    validate_every: int = 500
    save_every: int = 250
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class GazeVQVAEStage:
    """Stage one: self-reconstruction of eye motion (Eq. 7)."""

    model: GazeVQVAEConfig = GazeVQVAEConfig()
    loop: LoopConfig = LoopConfig()
    beta: float = 0.25
    velocity: float = 0.0
    """Weight of a velocity term, which Eq. 7 does not have."""
    reset_after: int = 100
    """Steps after which a code that no feature chose is put on a random feature of the batch; 0 never does."""
    channel: str = "eyes"
    """What is put into codes: 'eyes', or 'head' for the ablation of Table V; the model's ``channels`` must fit."""


@dataclasses.dataclass(frozen=True)
class SpeechToGazeStage:
    """Stage two: head VAE and cross-modal decoder together (Eqs. 8 to 15), D_VQ and its codes frozen."""

    encoder: MelEncoderConfig | dict = MelEncoderConfig()
    head: HeadVAEConfig = HeadVAEConfig()
    gaze: GazeDecoderConfig = GazeDecoderConfig()
    loop: LoopConfig = LoopConfig()
    reconstruction_head: float = 1.0
    reconstruction_eyes: float = 1.0
    velocity_head: float = 1.0
    velocity_eyes: float = 1.0
    kl: float = 1e-4
    """lambda_1."""
    regularity: float = 1.0
    regularity_code: str = "own"
    """Which code Eq. 14 draws a feature to: its 'own' nearest, as the paper writes, or the 'true' one (CodeTalker)."""
    likelihood: float = 0.0
    """Weight of the codes' cross-entropy, which the paper does not have and sampled codes need."""
    frozen: tuple[str, ...] = FROZEN
    """Parts of the speech encoder that stay as they are, as the paper trains "part of the speech encoder"."""
    past_noise: float = 0.0
    """Noise on the past eye motion in teacher forcing, as a share of its standard deviation."""
    own_past: float = 0.0
    """Share of sequences whose past is the decoder's own prediction, as in the paper's autoregression; the others are
    given the true past."""
    own_passes: int = 3
    """Passes in parallel by which that prediction is approached."""
    gaze_trains_head: bool = False
    """Let the gaze's losses reach the head VAE through the predicted head, as Eqs. 9 and 15 have it (the paper's head
    breaks down without L_reg, a term of the gaze alone: Table VI). The head's latent then tells of the gaze too, by
    which gaze gets its variety where it takes the nearest code. Without it the head is trained by its own losses."""


@dataclasses.dataclass(frozen=True)
class FaceStage:
    """Learn2Talk's student on coefficients: expression and jaw from speech (Eqs. 1 to 3)."""

    encoder: MelEncoderConfig | dict = MelEncoderConfig()
    face: FaceDecoderConfig = FaceDecoderConfig()
    loop: LoopConfig = LoopConfig()
    vertex: float = 1.0
    """Weight of Eq. 3 on the head model's face landmarks, in millimetres."""
    closure: float = 0.0
    """Weight of the lip gap's error, in millimetres."""
    shut: float = 0.0
    """Weight of the cross-entropy of the lips being shut, for a decoder that says so (``face.shut``)."""
    speaker_style: bool = True
    """A row of B (Eq. 1) for each training speaker; without, one manner for all. The add-on speaks in their mean."""
    coefficients: float = 0.0
    """Weight of the squared error of normalised coefficients."""
    velocity: float = 0.0
    """Weight of the squared error of normalised coefficients' first difference."""
    frozen: tuple[str, ...] = FROZEN
    past_noise: float = 0.0
    own_past: float = 0.0
    """Share of sequences that are given the network's own prediction as the past, from the middle of the training on;
    it grows to that share from none."""
    no_past: float = 0.0
    """Share of sequences that are given no past at all, so that speech is listened to."""
    recorded: float = 0.0
    """Share of crops from recordings of real voices, where the data holds made ones too; 0 draws all alike."""


def changed(config, settings: list[str]):
    """A configuration with fields overridden by 'name=value', where a name may lead inside, as in 'loop.clip=0.5'."""
    for setting in settings:
        name, equals, text = setting.partition("=")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if not equals:
            raise TalkingEyesError(f"'{setting}' sets nothing.", "Write it as name=value.")
        config = _with(config, name.split("."), value, name)
    return config


def _with(config, path: list[str], value, name: str):
    fields = [field.name for field in dataclasses.fields(config)] if dataclasses.is_dataclass(config) else []
    if path[0] not in fields:
        raise TalkingEyesError(f"The recipe has no '{name}'.", f"There are {', '.join(fields) or 'no fields in it'}.")
    old = getattr(config, path[0])
    if len(path) > 1:
        value = _with(old, path[1:], value, name)
    elif isinstance(old, str) and not isinstance(value, str):
        value = json.dumps(value)
    elif isinstance(old, tuple) and isinstance(value, list):
        value = tuple(value)
    elif isinstance(old, float) and type(value) is int:
        value = float(value)
    elif old is not None and type(value) is not type(old) and not isinstance(old, dict) and path[0] != "encoder":
        raise TalkingEyesError(f"'{name}' is {old!r} in the recipe; {value!r} is of another kind.", "See config.py.")
    return dataclasses.replace(config, **{path[0]: value})


def with_encoder(config, encoder):
    """A stage's configuration for another speech encoder, such as wav2vec 2.0, whose features may be wider."""
    parts = {
        part: dataclasses.replace(getattr(config, part), speech_dim=encoder.feature_dim)
        for part in ("head", "gaze", "face")
        if hasattr(config, part)
    }
    return dataclasses.replace(config, encoder=dataclasses.asdict(encoder.config), **parts)


def starter(stage: str, frames_of_model: dict | None = None):
    """The recipe of the shipped weights: small networks, made on a CPU in about two hours a core."""
    if stage == "gaze-vqvae":
        return GazeVQVAEStage(
            model=GazeVQVAEConfig(dim=128, layers=2, hidden=256, code_dim=32),
            loop=LoopConfig(
                steps=3000,
                batch=16,
                frames=125,
                learning_rate=1e-3,
                warmup=100,
                final_rate=0.05,
                ema=0.99,
                betas=(0.9, 0.98),
            ),
            velocity=1.0,
        )
    if stage == "speech-to-gaze":
        encoder = MelEncoderConfig(dim=96)
        return SpeechToGazeStage(
            encoder=encoder,
            head=HeadVAEConfig(speech_dim=96, dim=128, layers=2, hidden=256, latent=80, knot_every=10),
            gaze=GazeDecoderConfig(speech_dim=96, code_dim=32, dim=192, layers=3, hidden=384, past="code", jumps=1024),
            loop=LoopConfig(
                steps=3000,
                batch=12,
                frames=250,
                learning_rate=6e-4,
                warmup=100,
                final_rate=0.05,
                ema=0.998,
                bf16=True,
                betas=(0.9, 0.98),
            ),
            reconstruction_eyes=0.1,
            velocity_eyes=0.1,
            regularity=0.05,
            likelihood=1.0,
            past_noise=0.05,
        )
    if stage == "face":
        return FaceStage(
            encoder=MelEncoderConfig(dim=192, dropout=0.0, level_seconds=4.0),
            face=FaceDecoderConfig(speech_dim=192, shut=64),
            loop=LoopConfig(
                steps=10500, batch=16, frames=100, learning_rate=1.2e-3, warmup=200, final_rate=0.03, weight_decay=0.01,
                ema=0.998, bf16=True, betas=(0.9, 0.98),
            ),
            speaker_style=False,
            closure=0.5,
            shut=1.0,
            coefficients=1.0,
            velocity=2.0,
            past_noise=0.2,
            own_past=0.7,
            no_past=0.3,
            recorded=0.4,
        )  # fmt: skip
    raise TalkingEyesError(f"There is no stage '{stage}'.", "Choose gaze-vqvae, speech-to-gaze or face.")


def paper(stage: str):
    """The papers' configuration, with the compact encoder unless another is named."""
    stages = {"gaze-vqvae": GazeVQVAEStage, "speech-to-gaze": SpeechToGazeStage, "face": FaceStage}
    if stage not in stages:
        raise TalkingEyesError(f"There is no stage '{stage}'.", "Choose gaze-vqvae, speech-to-gaze or face.")
    if stage == "gaze-vqvae":
        return GazeVQVAEStage()
    dim = MelEncoderConfig().dim
    if stage == "face":
        return FaceStage(face=FaceDecoderConfig(speech_dim=dim))
    return SpeechToGazeStage(head=HeadVAEConfig(speech_dim=dim), gaze=GazeDecoderConfig(speech_dim=dim))
