"""wav2vec 2.0 as the speech encoder, through transformers, with its features brought to 25 frames a second."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import TalkingEyesError
from .speech_encoder import FRAME, SpeechEncoder

_PIECE = 100
"""Frames that the convolutional front end hears at a time. Of 250, its layers take memory that the system has to hand
out anew each time, which costs a third more; fewer than 50 repeat more at their borders."""


@dataclasses.dataclass(frozen=True)
class Wav2Vec2EncoderConfig:
    kind: str = "wav2vec2"
    layout: dict = dataclasses.field(default_factory=dict)
    """Fields of transformers' Wav2Vec2Config that differ from wav2vec2-base."""


class Wav2Vec2Encoder(SpeechEncoder):
    """The convolutional front end at 50 Hz is interpolated to 25 Hz before the transformer, as FaceFormer does.

    Clips up to 34 s are encoded whole, longer ones in overlapping windows of up to 34 s. What that does to the motion
    is in docs/speed.md.
    """

    window = 750
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
        """(B, T * 640) samples to what the front end hears in them, at 25 Hz: (B, T, channels).

        The samples are brought to mean 0 and variance 1 over the clip, and so is, in the layouts with a GroupNorm,
        each channel of the first convolution. Where nothing is trained, that is measured in a first pass and the front
        end then runs over pieces of the clip: its first layers would else take 6.5 MB a second.
        """
        centred = samples - samples.mean(1, keepdim=True)
        scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-7).sqrt()
        frames = samples.shape[1] // FRAME
        # A clip of a frame or two is shorter than the front end's field of view.
        scaled = F.pad(scaled, (0, max(0, 1200 - samples.shape[1])))
        if torch.is_grad_enabled() or frames <= _PIECE:
            spectrum = self.model.feature_extractor(scaled)
            return F.interpolate(spectrum, size=frames, mode="linear", align_corners=True).transpose(1, 2)
        front_ends = [_FrontEnd(self.model.feature_extractor, clip) for clip in scaled]
        pieces = [(t, min(t + _PIECE, frames)) for t in range(0, frames, _PIECE)]
        return torch.stack([torch.cat([front.at(frames, *piece) for piece in pieces]) for front in front_ends])

    def features(self, prepared: Tensor) -> Tensor:
        hidden, _ = self.model.feature_projection(prepared)
        return self.model.encoder(hidden).last_hidden_state

    def freeze_front_end(self) -> None:
        """Keep the convolutional front end as it is, as FaceFormer, Learn2Talk and TalkingEyes do."""
        for parameter in self.model.feature_extractor.parameters():
            parameter.requires_grad_(False)


class _FrontEnd:
    """The convolutions of wav2vec 2.0 over any part of a clip, equal to what they make of the whole."""

    def __init__(self, extractor: nn.Module, samples: Tensor) -> None:
        """``samples`` (n,), normalised."""
        self._layers, self._samples = list(extractor.conv_layers), samples
        kernels, strides = zip(*((c.conv.kernel_size[0], c.conv.stride[0]) for c in self._layers), strict=True)
        self._stride = math.prod(strides)
        self._field = 1 + sum((k - 1) * math.prod(strides[:i]) for i, k in enumerate(kernels))
        self._outputs = (len(samples) - self._field) // self._stride + 1
        if isinstance(getattr(self._layers[0], "layer_norm", None), nn.GroupNorm):
            self._layers[0] = self._with_levels_of_the_clip(self._layers[0])

    def _with_levels_of_the_clip(self, layer: nn.Module) -> Callable[[Tensor], Tensor]:
        """The first layer with its GroupNorm, whose groups are single channels, folded into the convolution.

        A channel's mean and variance over the clip follow from those of the ten samples that its filter sees at a
        time, and need no convolution.
        """
        conv, norm = layer.conv, layer.layer_norm
        views = self._samples.unfold(0, conv.kernel_size[0], conv.stride[0])
        total = square = 0.0
        for part in views.split(_PIECE * FRAME // conv.stride[0]):
            part = part.double()
            total, square = total + part.sum(0), square + part.T @ part
        mean = total / len(views)
        spread = square / len(views) - torch.outer(mean, mean)
        filters = conv.weight[:, 0].double()
        variance = torch.einsum("ck,kl,cl->c", filters, spread, filters).clamp_min(0)
        factor = norm.weight.double() * (variance + norm.eps).rsqrt()
        weight = (factor[:, None] * filters)[:, None].to(conv.weight.dtype)
        # A bias of the convolution's own would go with the mean.
        bias = (norm.bias.double() - factor * (filters @ mean)).to(conv.weight.dtype)
        return lambda x: layer.activation(F.conv1d(x, weight, bias, conv.stride))

    def at(self, frames: int, first: int, last: int) -> Tensor:
        """Frames ``first`` to ``last`` of ``frames``, interpolated with the ends aligned: (last - first, C)."""
        place = torch.arange(first, last, dtype=torch.float64, device=self._samples.device)
        place = place * ((self._outputs - 1) / max(1, frames - 1))
        low = place.floor().long().clamp(max=self._outputs - 1)
        start, end = int(low[0]), min(int(low[-1]) + 2, self._outputs)
        out = self._run(start, end)
        before, after = out[low - start], out[(low + 1 - start).clamp(max=end - start - 1)]
        return torch.lerp(before, after, (place - low)[:, None].to(out.dtype))

    def _run(self, first: int, last: int) -> Tensor:
        """Outputs ``first`` to ``last`` at 50 Hz: (last - first, C)."""
        x = self._samples[None, None, first * self._stride : (last - 1) * self._stride + self._field]
        for layer in self._layers:
            x = layer(x)
        return x[0].T
