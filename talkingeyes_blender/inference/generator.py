"""Speech to motion: one class that makes a ``Motion`` from a clip and a seed, and new gaze under a kept head."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import TalkingEyesError
from ..motion import Motion
from .audio import AudioClip
from .blinks import make_blinks
from .bundle import Bundle, load_bundle
from .gaze_decoder import CodeSampler, nearest_code
from .settings import GenerationSettings
from .silence import mouth_gain, rest_where_silent
from .speech_encoder import RATE, SpeechEncoder

__all__ = ["GenerationSettings", "Generator", "pick_device"]

log = logging.getLogger(__name__)

Progress = Callable[[float, str], None]
"""Told the fraction done, 0 to 1, and the phase; it may raise Cancelled."""

DEVICES = ("auto", "cuda", "mps", "cpu")

SHORT = 2 * RATE
"""Samples below which a clip is repeated for the encoders, which measure levels over the whole of it."""

_PAUSE = RATE // 2
"""Samples of silence between the repeats: what follows a short clip is a pause, not its own beginning."""

_BLOCK = 250
"""Frames between two reports while decoding, and so the time that a Cancel takes to be heard."""

_KEPT_CLIPS = 4
_KEPT_BYTES = 256 << 20
"""Bounds of what is remembered of earlier clips; the newest is always kept."""

_COSTS = {"mel": 0.2, "wav2vec2": 7.5, "face": 0.6, "head": 0.1, "gaze": 3.2, "blinks": 0.01}
"""CPU seconds a minute of sound, measured: the shares of the progress."""


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; 'auto' is CUDA where there is one, else Apple's, else the CPU.

    Raises:
        TalkingEyesError: no such device on this machine.
    """
    usable = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available, "cpu": lambda: True}
    if name == "auto":
        name = next(kind for kind, there in usable.items() if there())
    kind = name.partition(":")[0]
    if kind not in usable:
        raise TalkingEyesError(f"The device '{name}' is not known.", f"Choose one of {', '.join(DEVICES)}.")
    if not usable[kind]():
        raise TalkingEyesError(
            f"The installed torch finds no {kind.upper()} device on this machine.",
            "Choose the CPU, or install a torch that is made for it.",
        )
    return torch.device(name)


@dataclasses.dataclass(eq=False)
class _Heard:
    """What depends on a clip alone: both encoders' features (1, T, S), and expression and jaw (T, E + 3) once made."""

    face_features: Tensor
    gaze_features: Tensor
    face: np.ndarray | None = None

    @property
    def bytes(self) -> int:
        tensors = {id(t): t.nbytes for t in (self.face_features, self.gaze_features)}
        return sum(tensors.values()) + (0 if self.face is None else self.face.nbytes)


class _Phases:
    """Turns frames done in a phase into the fraction of the whole."""

    def __init__(self, report: Progress | None, costs: dict[str, float]) -> None:
        self._report = report or (lambda fraction, phase: None)
        self._costs, self._total, self._done = costs, sum(costs.values()), 0.0

    @contextlib.contextmanager
    def phase(self, text: str, key: str, frames: int) -> Iterator[Callable[[int], None]]:
        """Report the phase's start; yield what is to be called with the number of frames that it has done."""
        cost = self._costs.get(key, 0.0)

        def tick(done: int) -> None:
            self._report(min(1.0, (self._done + cost * min(1.0, done / frames)) / self._total), text)

        tick(0)
        yield tick
        self._done += cost


class Generator:
    """The networks of one weight bundle on one device, loaded once, and features of the last few clips.

    One seed gives three independent streams: for the head's latent, for sampled gaze, for blinks. What is drawn is
    drawn on the CPU; the same seed gives the same motion on the same device. The face has no randomness.
    """

    def __init__(self, bundle: str | os.PathLike | None = None, device: str = "auto") -> None:
        """Load ``bundle`` (a folder; None for the starter weights) onto ``device``.

        Raises:
            TalkingEyesError: no such device, or the bundle is missing, damaged or of another version.
        """
        self.device = pick_device(device)
        self.bundle: Bundle = load_bundle(bundle, self.device)
        self._heard: collections.OrderedDict[str, _Heard] = collections.OrderedDict()
        log.info("bundle '%s' from %s on %s", self.bundle.name, self.bundle.folder, self.device)

    def generate(
        self,
        clip: AudioClip,
        seed: int,
        settings: GenerationSettings = GenerationSettings(),
        progress: Progress | None = None,
    ) -> Motion:
        """Face, head, gaze and blinks for a clip: its ``clip.frames`` frames at 25 a second."""
        return self.generate_takes(clip, [seed], settings, progress)[0]

    def generate_takes(
        self,
        clip: AudioClip,
        seeds: Sequence[int],
        settings: GenerationSettings = GenerationSettings(),
        progress: Progress | None = None,
    ) -> list[Motion]:
        """One motion a seed, each the same as ``generate`` makes of it. The speech and the face are worked out once."""
        settings = settings.with_defaults(self.bundle.generation)
        streams = [_Streams(seed) for seed in seeds]
        takes = {"head": _COSTS["head"], "gaze": _COSTS["gaze"], "blinks": _COSTS["blinks"]}
        heard = self._heard.get(clip.digest)
        costs = {key: cost * len(streams) for key, cost in takes.items()} | self._costs_of_hearing(heard)
        if heard is None or heard.face is None:
            costs["face"] = _COSTS["face"]
        with torch.inference_mode(), _repeatable():
            phases = _Phases(progress, costs)
            heard = self._hear(clip, phases)
            face = self._face(clip, heard, phases)
            phases = _Phases(
                progress and (lambda done, text: progress(begun + done * (1 - begun), text)), takes
            ) if False else phases
            return [self._take(clip, heard, face, stream, settings, phases) for stream in streams]
