"""wav2vec 2.0 as the speech encoder, through transformers, with its features brought to 25 frames a second."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from ..errors import TalkingEyesError
from .speech_encoder import FRAME, SpeechEncoder


@dataclasses.dataclass(frozen=True)
class Wav2Vec2EncoderConfig:
    kind: str = "wav2vec2"
    layout: dict = dataclasses.field(default_factory=dict)
    """Fields of transformers' Wav2Vec2Config that differ from wav2vec2-base."""


class Wav2Vec2Encoder(SpeechEncoder):
    """The convolutional front end at 50 Hz is interpolated to 25 Hz before the transformer, as FaceFormer does.

    Clips longer than a window are encoded in overlapping windows of 30 s; up to that the clip is encoded whole.
    """

    window = 650
    margin = 50

    def __init__(self, config: Wav2Vec2EncoderConfig = Wav2Vec2EncoderConfig()) -> None:
        super().__init__()
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        self.config = config
        layout = Wav2Vec2Config(**config.layout)
        layout.apply_spec_augment = False
        self.model = Wav2Vec2Model(layout)
        self.feature_dim = layout.hidden_size

    @classmethod
    def from_pretrained(cls, source: str, download: bool = False) -> Wav2Vec2Encoder:
        """Start from a folder in transformers' layout, or from a hub name.

        A hub name is looked up in the local cache; it is downloaded only where ``download`` says that the user agreed.
        """
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        known = dict(local_files_only=not download)
        try:
            layout = Wav2Vec2Config.from_pretrained(source, **known)
            model = Wav2Vec2Model.from_pretrained(source, **known, use_safetensors=None)
        except (OSError, ValueError) as error:
            where = "that folder" if Path(source).is_dir() else "the local model cache"
            raise TalkingEyesError(
                f"The wav2vec 2.0 model '{source}' was not found in {where}.",
                "Give a folder that holds config.json and its weights, or allow the download.",
            ) from error
        encoder = cls(Wav2Vec2EncoderConfig(layout=layout.to_diff_dict()))
        encoder.model.load_state_dict(model.state_dict())
        return encoder

    def prepare(self, samples: Tensor) -> Tensor:
        """(B, T * 640) samples, brought to mean 0 and variance 1 over the clip, as rows of one frame: (B, T, 640)."""
        centred = samples - samples.mean(1, keepdim=True)
        scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-7).sqrt()
        return scaled.view(len(samples), -1, FRAME)

    def features(self, prepared: Tensor) -> Tensor:
        frames = prepared.shape[1]
        # A clip of a frame or two is shorter than the front end's field of view.
        samples = F.pad(prepared.flatten(1), (0, max(0, 1200 - frames * FRAME)))
        spectrum = self.model.feature_extractor(samples)
        aligned = F.interpolate(spectrum, size=frames, mode="linear", align_corners=True).transpose(1, 2)
        hidden, _ = self.model.feature_projection(aligned)
        return self.model.encoder(hidden).last_hidden_state

    def freeze_front_end(self) -> None:
        """Keep the convolutional front end as it is, as FaceFormer, Learn2Talk and TalkingEyes do."""
        for parameter in self.model.feature_extractor.parameters():
            parameter.requires_grad_(False)
