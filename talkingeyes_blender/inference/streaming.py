"""Speech to motion while the speech goes on: what ``Generator.stream`` returns.

The networks are those of ``generate``; what is left out is the future. Sound is taken in blocks of a few frames, and a
block's motion is made when ``ahead`` more frames have been heard. Face and gaze look no further than that, the head's
windows are decoded from what there is of them, and levels are those of the last seconds, not of the clip. What was
given away is never changed, and what comes later does not change it: whatever pieces the sound comes in, the motion is
the same. How far it is from that of ``generate`` is in docs/design.md.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import TalkingEyesError
from ..motion import FPS, Motion
from .blinks import blinks
from .closing import decide_lips
from .face_decoder import FaceSteps
from .fixating import Fixating
from .gaze_decoder import CodeSampler, GazeSteps
from .head_vae import HeadSteps
from .mel_encoder import MelEncoder, MelStream
from .settings import GenerationSettings
from .silence import mouth_gain, rest_where_silent
from .speech_encoder import FRAME, RATE
from .stepping import one_thread

if TYPE_CHECKING:
    from .bundle import Bundle
    from .generator import Streams


@dataclasses.dataclass(frozen=True)
class Causality:
    """How much of what is to come a frame may know, and how much of the past is kept. Frames are 40 ms."""

    block: int = 2
    """Frames that are made at a time."""
    ahead: int = 3
    """Frames that must have been heard after a block before it is made."""
    history: int = 250
    """Frames over which levels are measured."""

    def __post_init__(self) -> None:
        if self.block < 1 or self.ahead < 0 or self.history < 25:
            raise TalkingEyesError(
                f"Blocks of {self.block} frames, {self.ahead} ahead, {self.history} remembered cannot be made.",
                "Choose a block of at least 1, ahead of at least 0 and a history of at least 25 frames.",
            )

    @property
    def latency(self) -> float:
        """Seconds from the sound of a frame's own moment until it can be made, at most; computing comes on top."""
        return (self.block + self.ahead) / FPS


class Stream:
    """One speech, from its first sample on. Memory and cost a second do not grow."""

    def __init__(
        self, bundle: Bundle, device: torch.device, streams: Streams, settings: GenerationSettings, causality: Causality
    ) -> None:
        if not all(isinstance(e, MelEncoder) for e in (bundle.face_encoder, bundle.gaze_encoder)):
            raise TalkingEyesError(
                f"The speech encoder of the weights '{bundle.name}' hears whole clips only.",
                "Choose weights with the compact encoder, such as the starter weights, for streaming.",
            )
        self.causality = causality
        self._bundle, self._device, self._seed = bundle, device, streams.seed
        encoders = [bundle.face_encoder, bundle.gaze_encoder]
        self._ears = [MelStream(e, causality.history) for e in encoders[: 1 if encoders[0] is encoders[1] else 2]]
        sampler = None
        if settings.gaze == "sample":
            sampler = CodeSampler(streams.gaze(), settings.temperature, settings.top_k)
        with one_thread(device):
            self._face = FaceSteps(bundle.face_decoder, 1)
            self._gaze = GazeSteps(bundle.gaze_decoder, bundle.gaze_vqvae, 1, sampler)
            self._head = HeadSteps(bundle.head_vae, streams.head())
        self._fixate = Fixating(settings.fixate)
        self._blinks = blinks(streams.blinks(), settings.blink_rate)
        self._blink = next(self._blinks, None)
        self._samples = np.zeros(0, np.float32)
        """What was pushed and not yet heard."""
        self._past = np.zeros(0, np.float32)
        """The last seconds of what was heard, for its level."""
        self._heard = self._made = 0
        """Frames."""
        self._kept: tuple[Tensor, Tensor] | None = None
        """Features for face and gaze (1, n, S) of the frames from ``_low`` to ``_made``."""
        self._heads = torch.zeros(1, 0, 3, device=device)
        """Head motion of the same frames."""
        self._low = 0
        self._ended = False

    @property
    def frames(self) -> int:
        """Frames that were made so far."""
        return self._made

    def push(self, samples: np.ndarray) -> Motion | None:
        """Take in (n,) float32 samples at 16 kHz that follow; return the motion that can be made now, if any.

        Raises:
            TalkingEyesError: after ``finish``, or the samples are not numbers or not one channel.
        """
        samples = np.asarray(samples, np.float32)
        if self._ended:
            raise TalkingEyesError("The stream was finished.", "Begin another one.")
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise TalkingEyesError(
                f"The stream was given sound of shape {samples.shape} that is not one channel of finite numbers.",
                f"Give (n,) samples at {RATE} Hz.",
            )
        self._samples = np.concatenate([self._samples, samples])
        c, made = self.causality, []
        while len(self._samples) >= (self._made + c.block + c.ahead - self._heard) * FRAME:
            made.append(self._block(c.block, c.ahead))
        return self._joined(made)

    def finish(self) -> Motion | None:
        """Make what is left, None if that is nothing; the stream then takes no more sound."""
        self._ended = True
        frames = self._heard + -(-len(self._samples) // FRAME)
        self._samples = np.pad(self._samples, (0, (frames - self._heard) * FRAME - len(self._samples)))
        c, made = self.causality, []
        while self._made < frames:
            count = min(c.block, frames - self._made)
            made.append(self._block(count, min(c.ahead, frames - self._made - count)))
        return self._joined(made)

    @torch.inference_mode()
    def _block(self, count: int, ahead: int) -> list[np.ndarray]:
        first, last = self._made, self._made + count
        wanted = (last + ahead - self._heard) * FRAME
        new, self._samples = self._samples[:wanted], self._samples[wanted:]
        self._heard = last + ahead
        self._past = np.concatenate([self._past, new])[-self.causality.history * FRAME :]
        with one_thread(self._device):
            sound = torch.from_numpy(new).to(self._device)
            heard = [ear.hear(sound, first) for ear in self._ears]
            both = (heard[0], heard[-1])
            if self._kept is not None:
                both = tuple(torch.cat([kept, fresh], 1) for kept, fresh in zip(self._kept, both, strict=True))
            speech_for_face, speech = both
            at = first - self._low
            head, ahead_of = self._head(speech, self._low, first, count)
            heads = torch.cat([self._heads, head, ahead_of], 1)
            near = max(0, at - self._bundle.gaze_decoder.config.radius)
            eyes = self._gaze(speech[:, near:], heads[:, near:], at - near, count)
            near = max(0, at - self._bundle.face_decoder.config.radius)
            face = self._face(speech_for_face[:, near:], at - near, count)
            heard_now = speech_for_face[:, at : at + count]
        self._made = last
        reach = min(self._head.reach, last - self._bundle.gaze_decoder.config.radius)
        drop = max(0, reach - self._low)
        keep = slice(drop, last - self._low)
        self._kept, self._heads = tuple(part[:, keep] for part in both), heads[:, keep]
        self._low += drop
        face = decide_lips(self._bundle, face[0].float().cpu().numpy(), heard_now)
        # The last of the past are the frames that were just heard; the block's own lie ``ahead`` before them.
        gain = mouth_gain(self._past)[-count - ahead :][:count]
        face = rest_where_silent(face, gain, self._bundle.head_model)
        head = head[0].float().cpu().numpy()
        return [face, head, self._fixate(eyes[0].float().cpu().numpy(), head), self._lids(first, last)]

    def _lids(self, first: int, last: int) -> np.ndarray:
        closure = np.zeros((last - first, 2), np.float32)
        while self._blink is not None:
            start, envelope = self._blink
            low, high = max(first, start), min(last, start + len(envelope))
            if low < high:
                closure[low - first : high - first] = envelope[low - start : high - start]
            if start + len(envelope) > last:
                break
            self._blink = next(self._blinks, None)
        return closure

    def _joined(self, blocks: list[list[np.ndarray]]) -> Motion | None:
        if not blocks:
            return None
        face, head, eyes, blink = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return Motion(
            expression=face[:, :-3], jaw=face[:, -3:], head=head, eyes=eyes, blink=blink, seed=self._seed,
            head_model=self._bundle.head_model, fps=FPS,
        ).checked()  # fmt: skip
