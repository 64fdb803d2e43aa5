"""Speech to motion: one class that makes a ``Motion`` from a clip and a seed, and new gaze under a kept head."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import TalkingEyesError
from ..motion import FPS, Motion
from . import pieces, resampling
from .audio import AudioClip
from .blinks import make_blinks
from .bundle import load_bundle
from .closing import decide_lips
from .fixating import Fixating
from .gaze_decoder import CodeSampler
from .hearing import FeatureCache, encode, feature_key
from .settings import GenerationSettings
from .silence import mouth_gain, rest_where_silent
from .speech_encoder import SpeechEncoder
from .stepping import one_thread
from .streaming import Causality, Stream

__all__ = ["DEVICES", "GenerationSettings", "Generator", "pick_device"]

log = logging.getLogger(__name__)

Progress = Callable[[float, str], None]
"""Told the fraction done, 0 to 1, and the phase; it may raise Cancelled."""

DEVICES = ("auto", "cuda", "mps", "cpu")

PRECISIONS = ("float32", "bfloat16")

_BLOCK = 250
"""Frames between two reports while decoding, and so the time that a Cancel takes to be heard."""

_KEPT_CLIPS = 4
_KEPT_BYTES = 256 << 20
"""Bounds of what is remembered of earlier clips; the newest is kept however long it is."""

_TAKES_AT_ONCE = 16
"""Takes whose gaze is decoded side by side."""

_COSTS = {"mel": 0.1, "wav2vec2": 7.2, "face": 0.15, "head": 0.05, "gaze": 0.9}
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


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The number format in which wav2vec 2.0 takes its products; 'bfloat16' only where the device has such products.

    Raises:
        TalkingEyesError: it has none, or the name is not known.
    """
    if name not in PRECISIONS:
        raise TalkingEyesError(f"The precision '{name}' is not known.", f"Choose one of {', '.join(PRECISIONS)}.")
    if name == "float32":
        return torch.float32
    if device.type == "cpu":
        asked = [getattr(torch.cpu, ask, None) for ask in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
        there = any(ask() for ask in asked if ask is not None)
    else:
        there = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if not there:
        raise TalkingEyesError(f"This {device.type.upper()} has no products of bfloat16 numbers.", "Choose float32.")
    return torch.bfloat16


class Generator:
    """The networks of one weight bundle on one device, loaded once, and what the last few clips had in common.

    One seed gives three independent streams: for the head's latent, for sampled gaze and for blinks. All is drawn on
    the CPU; the same seed gives the same motion on the same device. The face has no randomness.
    """

    def __init__(
        self,
        bundle: str | os.PathLike | None = None,
        device: str = "auto",
        features: FeatureCache | None = None,
        precision: str = "float32",
    ) -> None:
        """Load ``bundle`` (a folder; None for the starter weights) onto ``device`` (one of ``DEVICES``).

        ``features``: where what the encoders hear is kept beyond this object's life; None keeps it nowhere.
        ``precision``: one of ``PRECISIONS``, for wav2vec 2.0; the compact encoder is always exact.

        Raises:
            TalkingEyesError: no such device or precision, or the bundle is missing, damaged or of another version.
        """
        self.device = pick_device(device)
        self.bundle = load_bundle(bundle, self.device)
        dtype = pick_precision(precision, self.device)
        for encoder in self._encoders():
            if encoder.config.kind == "wav2vec2":
                encoder.precision = dtype
        self._features = features
        self._heard: collections.OrderedDict[str, _Heard] = collections.OrderedDict()
        log.info("bundle '%s' from %s on %s", self.bundle.name, self.bundle.folder, self.device)

    def generate(
        self,
        clip: AudioClip,
        seed: int,
        settings: GenerationSettings = GenerationSettings(),
        progress: Progress | None = None,
        on_piece: pieces.OnPiece | None = None,
    ) -> Motion:
        """Face, head, gaze and blinks: ``clip.frames`` frames at 25 a second.

        ``on_piece`` is given the motion piece by piece while the rest is made (``pieces``); it changes nothing.
        """
        if on_piece is not None:
            settings = settings.with_defaults(self.bundle.generation)
            return self._in_pieces(clip, Streams(seed), settings, progress, on_piece)
        return self.generate_takes(clip, [seed], settings, progress)[0]

    def generate_takes(
        self,
        clip: AudioClip,
        seeds: Sequence[int],
        settings: GenerationSettings = GenerationSettings(),
        progress: Progress | None = None,
    ) -> list[Motion]:
        """One motion a seed; speech and face are worked out once, and gaze for many takes at a time.

        Each is the motion that ``generate`` makes of its seed, but for the rounding of sums, which may differ with
        the number of takes and, once in about a million draws, decide for another code.
        """
        settings = settings.with_defaults(self.bundle.generation)
        takes = [Streams(seed) for seed in seeds]
        groups = [takes[first : first + _TAKES_AT_ONCE] for first in range(0, len(takes), _TAKES_AT_ONCE)]
        cost = len(takes) * _COSTS["head"] + sum(_cost_of_gaze(len(group)) for group in groups)
        phases = _Phases(progress, self._cost_of_speech(clip, face=True) + cost)
        heard = self._hear(clip, phases)
        self._make_face(clip, heard, phases)
        return [motion for group in groups for motion in self._takes(clip, heard, group, settings, phases)]

    def face(self, clip: AudioClip, progress: Progress | None = None) -> np.ndarray:
        """Expression and jaw alone, (T, E + 3), as in ``generate``."""
        phases = _Phases(progress, self._cost_of_speech(clip, face=True) + 1e-9)
        heard = self._hear(clip, phases)
        self._make_face(clip, heard, phases)
        return heard.face.copy()

    def resample(
        self,
        clip: AudioClip,
        motion: Motion,
        seed: int,
        parts: Collection[str] = ("gaze",),
        frames: Sequence[int] | None = None,
        settings: GenerationSettings = GenerationSettings(),
        progress: Progress | None = None,
    ) -> Motion:
        """The motion with ``parts`` (of ``resampling.PARTS``) drawn anew by ``seed``; all else, its own seed too, kept.

        Args:
            frames: first frame and the one behind the last, None for all. New frames are joined to the kept ones
                without a jump (``resampling``), and these stay as they are to the bit.

        Without ``frames``, the seed that made a motion gives back its parts. Where the head is drawn and the gaze is
        not, the eyes stay as they are, and look elsewhere with the head. Under a kept head codes are sampled even where
        the settings say 'argmin', which could only repeat itself.

        Raises:
            TalkingEyesError: the motion was not made for a clip of this length, or the parts or frames are none.
        """
        if motion.frames != clip.frames or motion.fps != FPS:
            raise TalkingEyesError(
                f"The motion has {motion.frames} frames at {motion.fps:g} a second, "
                f"the sound {clip.frames} at {FPS:g}.",
                "Choose the sound, and the trim, that the motion was generated from.",
            )
        parts = resampling.checked_parts(parts, frames)
        first, last = resampling.checked_range(frames, motion.frames)
        settings = settings.with_defaults(self.bundle.generation)
        if "head" not in parts:
            settings = dataclasses.replace(settings, gaze="sample")
        choice = resampling.CANDIDATES if last < clip.frames and settings.gaze == "sample" else 1
        costs = {
            "head": _COSTS["head"] * resampling.CANDIDATES,
            "gaze": _cost_of_gaze(choice)
            * resampling.frames_to_draw(self.bundle.gaze_decoder, first, last)
            / clip.frames,
        }
        cost = self._cost_of_speech(clip, face="face" in parts) if parts != {"blinks"} else 1e-9
        phases = _Phases(progress, cost + sum(costs[part] for part in parts if part in costs))
        draws = [Streams(seed, number) for number in range(resampling.CANDIDATES)]
        heard = self._hear(clip, phases) if parts != {"blinks"} else None
        made = motion
        if "blinks" in parts:
            drawn = make_blinks(clip.frames, draws[0].blinks(), settings.blink_rate)
            made = made.replace(blink=resampling.join_blinks(motion.blink, drawn, first, last))
        if "face" in parts:
            self._make_face(clip, heard, phases)
            face = {"expression": heard.face[:, :-3], "jaw": heard.face[:, -3:]}
            made = made.replace(**face, head_model=self.bundle.head_model)
        if "head" in parts:
            with phases.phase("Moving the head", costs["head"], clip.frames) as tick:
                made = made.replace(head=self._head_anew(heard, motion.head, draws, first, last, tick))
        if "gaze" in parts:
            eyes = self._gaze_anew(heard, made, draws[:choice], first, last, settings, phases, costs["gaze"])
            made = made.replace(eyes=resampling.join_gaze(motion, eyes, made, first))
        return made.checked()

    def _gaze_anew(
        self,
        heard: _Heard,
        motion: Motion,
        draws: list[Streams],
        first: int,
        last: int,
        settings: GenerationSettings,
        phases: _Phases,
        cost: float,
    ) -> np.ndarray:
        """Eyes (K, last - first, 6) for a motion whose head and earlier eyes stay."""
        sampler, bundle = _sampler(draws, settings), self.bundle
        head = torch.from_numpy(motion.head)[None].to(self.device)
        frames = resampling.frames_to_draw(bundle.gaze_decoder, first, last)
        with phases.phase("Moving the eyes", cost, frames) as tick, one_thread(self.device):
            drawn = resampling.draw_gaze(
                bundle.gaze_decoder, bundle.gaze_vqvae, heard.gaze_features, head, motion.eyes, first, last, sampler,
                len(draws), _BLOCK, tick,
            )  # fmt: skip
        return resampling.fixate(drawn, motion.head, motion.eyes, first, settings.fixate)

    def _head_anew(
        self, heard: _Heard, kept: np.ndarray, draws: list[Streams], first: int, last: int, tick: Callable[[int], None]
    ) -> np.ndarray:
        """Head (T, 3) with other frames from ``first`` up to ``last``."""
        vae = self.bundle.head_vae
        if (first, last) == (0, len(kept)):
            return _array(vae.generate(heard.gaze_features, draws[0].head(), tick))[0]
        margin = vae.config.overlap
        low, high = max(0, first - margin), min(len(kept), last + margin)
        speech = heard.gaze_features[:, low:high].expand(len(draws), -1, -1)
        drawn = _array(vae.generate(speech, [streams.head() for streams in draws], tick))
        return resampling.join_head(kept, drawn[:, first - low : last - low], first, last)

    def stream(
        self,
        seed: int,
        settings: GenerationSettings = GenerationSettings(),
        causality: Causality = Causality(),
    ) -> Stream:
        """Begin a speech that comes in by and by: push blocks of samples, get blocks of motion.

        Raises:
            TalkingEyesError: the bundle's encoder cannot hear a clip in parts.
        """
        settings = settings.with_defaults(self.bundle.generation)
        return Stream(self.bundle, self.device, Streams(seed), settings, causality)

    # -- the phases

    def _cost_of_speech(self, clip: AudioClip, face: bool) -> float:
        heard, cost = self._heard.get(clip.digest), 0.0
        if heard is None:
            cost += sum(_COSTS[encoder.config.kind] for encoder in self._encoders())
        if face and (heard is None or heard.face is None):
            cost += _COSTS["face"]
        return cost

    def _encoders(self) -> list[SpeechEncoder]:
        """The face's encoder, and the gaze's where it is another."""
        encoders = [self.bundle.face_encoder, self.bundle.gaze_encoder]
        return encoders[: 1 if encoders[0] is encoders[1] else 2]

    def _hear(self, clip: AudioClip, phases: _Phases) -> _Heard:
        heard = self._heard.get(clip.digest)
        if heard is None:
            features = []
            for encoder in self._encoders():
                with phases.phase("Listening to the speech", _COSTS[encoder.config.kind], clip.frames) as tick:
                    features.append(self._listen(encoder, clip, tick))
            heard = self._heard[clip.digest] = _Heard(features[0], features[-1])
            self._forget()
        self._heard.move_to_end(clip.digest)
        return heard

    def _listen(self, encoder: SpeechEncoder, clip: AudioClip, tick: Callable[[int], None]) -> Tensor:
        """What the encoder hears, or what is kept of it, (1, T, S)."""
        key = None
        if self._features is not None:
            key = feature_key(clip, encoder, self.bundle.digest_of(encoder))
            kept = self._features.get(key)
            if kept is not None and kept.shape == (1, clip.frames, encoder.feature_dim):
                return kept.to(self.device)
        features = encode(encoder, torch.from_numpy(clip.samples).to(self.device), tick)
        if key is not None:
            self._features.put(key, features)
        return features

    def _make_face(self, clip: AudioClip, heard: _Heard, phases: _Phases) -> None:
        if heard.face is not None:
            return
        with phases.phase("Moving the face", _COSTS["face"], clip.frames) as tick, one_thread(self.device):
            face = self.bundle.face_decoder.generate(heard.face_features, block=_BLOCK, tick=tick)
        self._keep_face(heard, face, mouth_gain(clip.samples))

    def _keep_face(self, heard: _Heard, face: Tensor, gain: np.ndarray) -> None:
        decided = decide_lips(self.bundle, _array(face[0]), heard.face_features)
        heard.face = rest_where_silent(decided, gain, self.bundle.head_model)

    def _in_pieces(
        self,
        clip: AudioClip,
        streams: Streams,
        settings: GenerationSettings,
        progress: Progress | None,
        on_piece: pieces.OnPiece,
    ) -> Motion:
        """``generate``, but face and gaze side by side."""
        cost = _cost_of_gaze(1)
        phases = _Phases(progress, self._cost_of_speech(clip, face=True) + _COSTS["head"] + cost)
        heard = self._hear(clip, phases)
        with phases.phase("Moving the head", _COSTS["head"], clip.frames) as tick:
            head = self.bundle.head_vae.generate(heard.gaze_features, [streams.head()], tick)
        gain, blink = mouth_gain(clip.samples), make_blinks(clip.frames, streams.blinks(), settings.blink_rate)
        ready = pieces.Ready(heard.face_features, heard.gaze_features, heard.face, head, gain, blink, streams.seed)
        sampler = _sampler([streams], settings)
        cost += 0.0 if heard.face is not None else _COSTS["face"]
        with phases.phase("Moving the face and the eyes", cost, clip.frames) as tick, one_thread(self.device):
            face, eyes = pieces.decode(self.bundle, ready, sampler, settings.fixate, _BLOCK, on_piece, tick)
        if face is not None:
            self._keep_face(heard, face, gain)
        return self._motions(heard, _array(head), self._fixated(eyes, head, settings), [blink], [streams])[0]

    def _takes(
        self, clip: AudioClip, heard: _Heard, takes: list[Streams], settings: GenerationSettings, phases: _Phases
    ) -> list[Motion]:
        speech = heard.gaze_features.expand(len(takes), -1, -1)
        with phases.phase("Moving the head", len(takes) * _COSTS["head"], clip.frames) as tick:
            heads = self.bundle.head_vae.generate(speech, [streams.head() for streams in takes], tick)
        eyes = self._gaze(heard, heads, takes, settings, phases)
        blinks = [make_blinks(clip.frames, streams.blinks(), settings.blink_rate) for streams in takes]
        return self._motions(heard, _array(heads), eyes, blinks, takes)

    def _motions(
        self, heard: _Heard, heads: np.ndarray, eyes: np.ndarray, blinks: list[np.ndarray], takes: list[Streams]
    ) -> list[Motion]:
        return [
            Motion(
                expression=heard.face[:, :-3],
                jaw=heard.face[:, -3:],
                head=heads[number],
                eyes=eyes[number],
                blink=blinks[number],
                seed=streams.seed,
                head_model=self.bundle.head_model,
                fps=FPS,
            ).checked()
            for number, streams in enumerate(takes)
        ]

    def _gaze(
        self, heard: _Heard, head: Tensor, takes: list[Streams], settings: GenerationSettings, phases: _Phases
    ) -> np.ndarray:
        """Eyes (K, T, 6) for heads (K, T, 3)."""
        sampler = _sampler(takes, settings)
        speech = heard.gaze_features.expand(len(takes), -1, -1)
        cost, frames = _cost_of_gaze(len(takes)), head.shape[1]
        with phases.phase("Moving the eyes", cost, frames) as tick, one_thread(self.device):
            eyes = self.bundle.gaze_decoder.generate(
                speech, head, self.bundle.gaze_vqvae, sampler, block=_BLOCK, tick=tick
            )
        return self._fixated(eyes, head, settings)

    def _fixated(self, eyes: Tensor, head: Tensor, settings: GenerationSettings) -> np.ndarray:
        heads = _array(head.expand(len(eyes), -1, -1))
        return np.stack([Fixating(settings.fixate)(*pair) for pair in zip(_array(eyes), heads, strict=True)])

    def _forget(self) -> None:
        """Drop the clips that were used longest ago, beyond the bounds."""
        while len(self._heard) > 1 and (
            len(self._heard) > _KEPT_CLIPS or sum(heard.bytes for heard in self._heard.values()) > _KEPT_BYTES
        ):
            self._heard.popitem(last=False)


@dataclasses.dataclass(eq=False)
class _Heard:
    """What depends on a clip alone: features (1, T, S) for face and gaze; expression and jaw (T, E + 3) once made."""

    face_features: Tensor
    gaze_features: Tensor
    face: np.ndarray | None = None

    @property
    def bytes(self) -> int:
        shared = self.gaze_features is self.face_features
        tensors = (self.face_features,) if shared else (self.face_features, self.gaze_features)
        return sum(t.nbytes for t in tensors) + (0 if self.face is None else self.face.nbytes)


class Streams:
    """Independent sources of chance from one seed, so that another seed for one of them leaves the others alone."""

    def __init__(self, seed: int, candidate: int = 0) -> None:
        """``candidate``: the first, or another choice from the same seed."""
        self.seed = int(seed)
        if not -(2**63) <= self.seed < 2**63:
            raise TalkingEyesError(f"The seed {seed} is too large.", "It must fit into 64 bits.")
        self._head, self._gaze, self._blinks = np.random.SeedSequence(
            self.seed % 2**64, spawn_key=(2 + candidate,) if candidate else ()
        ).spawn(3)

    def head(self) -> torch.Generator:
        return torch.Generator().manual_seed(_number(self._head))

    def gaze(self) -> int:
        return _number(self._gaze)

    def blinks(self) -> np.random.Generator:
        return np.random.default_rng(self._blinks)


def _number(sequence: np.random.SeedSequence) -> int:
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


class _Phases:
    """Turns what is done of a phase into the fraction of the whole, by what phases cost."""

    def __init__(self, report: Progress | None, total: float) -> None:
        self._report, self._total, self._done = report or (lambda fraction, phase: None), total, 0.0

    @contextlib.contextmanager
    def phase(self, text: str, cost: float, frames: int) -> Iterator[Callable[[int], None]]:
        """Report that the phase begins; yield what is to be called with the number of its frames that are done."""

        def tick(done: int) -> None:
            self._report(min(1.0, (self._done + cost * min(1.0, done / frames)) / self._total), text)

        tick(0)
        yield tick
        self._done += cost


def _sampler(takes: list[Streams], settings: GenerationSettings) -> CodeSampler | None:
    """What draws the codes of takes; None where the nearest are taken."""
    if settings.gaze != "sample":
        return None
    return CodeSampler([streams.gaze() for streams in takes], settings.temperature, settings.top_k)


def _cost_of_gaze(takes: int) -> float:
    """Takes side by side share the reading of the weights, but each has a past of its own."""
    return _COSTS["gaze"] * (0.55 + 0.45 * takes)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
