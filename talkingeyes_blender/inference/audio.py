"""Sound files to what the encoders take: one channel of float32 at 16 kHz.

A file is known by its content and not by its name: libsndfile gets the bytes alone, so that an MP3 named .wav plays and
a text named .wav does not. It is read, mixed and resampled in blocks, so that memory holds little more than the result.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import math
import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
import scipy.signal
import soundfile

from ..errors import TalkingEyesError
from .speech_encoder import RATE, frame_count

MAX_SECONDS = 2 * 3600.0
"""Longer clips are refused: at 25 frames a second this is far beyond what a scene holds."""

_RATES = (1000, 1_000_000)
_BLOCK_SECONDS = 10.0
_MAX_BLOCK = 1 << 22
"""Samples, over all channels, that are read at a time."""
_LOUDEST = 8.0
"""Full scale is 1. Files of floats may overshoot it; what lies beyond this was meant as integers."""
_FILTER_REACH = 10
"""Zero crossings of the resampling filter on each side, as in scipy's own."""

_CONVERT = "Convert it to WAV, FLAC, OGG or MP3 first, for instance with: ffmpeg -i FILE sound.wav"


@dataclasses.dataclass(frozen=True, eq=False)
class AudioClip:
    """A stretch of sound: (n,) float32 samples, one channel, 16 000 a second."""

    samples: np.ndarray
    rate: int = RATE

    def __post_init__(self) -> None:
        samples = np.ascontiguousarray(self.samples, np.float32)
        if self.rate != RATE or samples.ndim != 1 or not len(samples):
            raise TalkingEyesError(
                f"A clip of shape {samples.shape} at {self.rate} Hz was given.",
                f"It must be (n,) samples at {RATE} Hz.",
            )
        if not np.isfinite(samples).all():
            raise TalkingEyesError(
                "The sound holds samples that are not numbers (NaN or infinite).", "Export it again."
            )
        object.__setattr__(self, "samples", samples)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate

    @property
    def frames(self) -> int:
        """Motion frames that the clip has."""
        return frame_count(len(self.samples))

    @functools.cached_property
    def digest(self) -> str:
        """Hash of the samples: equal for equal sound, whatever file and trim it came from."""
        return hashlib.blake2b(self.samples.data, digest_size=16).hexdigest()


def read_audio(source: str | os.PathLike | bytes, start: float = 0.0, duration: float | None = None) -> AudioClip:
    """Read ``duration`` seconds (None: to the end) of a sound file, or of a file's bytes, from second ``start`` on.

    Any container, rate and number of channels that libsndfile reads; channels are averaged. A trim that reaches beyond
    the end of the sound ends with it.

    Raises:
        TalkingEyesError: no such file, no sound in it, a format that is not read, samples that are not numbers, or a
            trim that leaves nothing.
    """
    _check_trim(start, duration)
    name = "The sound" if isinstance(source, bytes) else f"The sound file {os.fspath(source)}"
    with _opened(source, name) as stream:
        sound = _recognised(stream, name)
        with sound:
            return AudioClip(_read(sound, name, float(start), duration))


def _check_trim(start: float, duration: float | None) -> None:
    if not (math.isfinite(start) and start >= 0):
        raise TalkingEyesError(f"The trim starts at {start} s.", "It must start at 0 or later.")
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise TalkingEyesError(
            f"The trim is {duration:g} s long, so there is no sound to work on.", "Make it longer than 0 s."
        )


# -- opening


class _Nameless:
    """A stream without a name, for soundfile takes the format from a name where it finds one."""

    def __init__(self, stream: BinaryIO) -> None:
        self.read, self.readinto, self.seek, self.tell = stream.read, stream.readinto, stream.seek, stream.tell


@contextlib.contextmanager
def _opened(source: str | os.PathLike | bytes, name: str) -> Iterator[BinaryIO]:
    try:
        stream = io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")  # noqa: SIM115
    except FileNotFoundError as error:
        raise TalkingEyesError(f"{name} does not exist.", "Check the path; the file may have been moved.") from error
    except IsADirectoryError as error:
        raise TalkingEyesError(f"{name} is a folder.", "Choose a sound file.") from error
    except (OSError, ValueError) as error:
        if not isinstance(source, bytes) and os.path.isdir(source):  # Windows calls it a lack of permission
            raise TalkingEyesError(f"{name} is a folder.", "Choose a sound file.") from error
        reason = getattr(error, "strerror", None) or error
        raise TalkingEyesError(f"{name} could not be opened ({reason}).", "Check that you may read it.") from error
    with stream:
        yield stream


def _recognised(stream: BinaryIO, name: str) -> soundfile.SoundFile:
    head = stream.read(400)
    stream.seek(0)
    if not head:
        raise TalkingEyesError(f"{name} is empty.", "It may not have been written to the end: export it again.")
    try:
        sound = soundfile.SoundFile(_Nameless(stream))
    except soundfile.LibsndfileError as error:
        kind = _other_kind(head)
        if kind:
            raise TalkingEyesError(f"{name} is {kind}, which is not read here.", _CONVERT) from error
        raise TalkingEyesError(
            f"{name} is not sound in a format that is known here, whatever its name ends with.", _CONVERT
        ) from error
    if not _RATES[0] <= sound.samplerate <= _RATES[1]:
        rate = sound.samplerate
        sound.close()
        raise TalkingEyesError(f"{name} has {rate} samples a second.", f"{_RATES[0]} to {_RATES[1]} can be read.")
    return sound


def _other_kind(head: bytes) -> str | None:
    """Name what libsndfile does not read but people have, by its first bytes."""
    if head[4:8] == b"ftyp":
        return "an MP4, M4A or QuickTime file"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "a Matroska or WebM video"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "an AVI video"
    if head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"):
        return "a Windows Media file"
    if head.startswith(b"FLV"):
        return "a Flash video"
    if head.startswith(b"\x00\x00\x01\xba") or (len(head) > 376 and head[0] == head[188] == head[376] == 0x47):
        return "an MPEG video"
    if head.startswith((b"\xff\xf1", b"\xff\xf9")):
        return "an AAC stream"
    if head.startswith(b"\x0b\x77"):
        return "an AC-3 stream"
    if head.startswith(b"#!AMR"):
        return "an AMR recording"
    if all(byte >= 32 or byte in b"\t\n\r" for byte in head):
        return "a text"
    return None


# -- reading


def _read(sound: soundfile.SoundFile, name: str, start: float, duration: float | None) -> np.ndarray:
    rate, total = sound.samplerate, sound.frames
    first = round(start * rate)
    wanted = None if duration is None else max(1, round(duration * rate))
    if first and first >= total:
        raise TalkingEyesError(
            f"{name} is {total / rate:.2f} s long, and the trim starts at {start:.2f} s.", "Let it start earlier."
        )
    try:
        if first:
            sound.seek(first)
        blocks = _finite(_mono_blocks(sound, wanted), name, start, rate)
        samples = np.concatenate([np.empty(0, np.float32), *_resampled(blocks, rate)])
    except soundfile.LibsndfileError as error:
        raise TalkingEyesError(f"{name} is damaged: {error.error_string}", "Export it again.") from error
    if not len(samples):
        raise TalkingEyesError(f"{name} holds no sound there.", "Export it again, or change the trim.")
    peak = max(samples.max(), -samples.min())
    if peak > _LOUDEST:
        samples /= peak
    return samples


def _mono_blocks(sound: soundfile.SoundFile, wanted: int | None) -> Iterator[np.ndarray]:
    """(n,) float32 blocks until ``wanted`` samples, or to the end: a header may promise more than there is."""
    block = max(1, min(int(_BLOCK_SECONDS * sound.samplerate), _MAX_BLOCK // sound.channels))
    done = 0
    while wanted is None or done < wanted:
        part = sound.read(block if wanted is None else min(block, wanted - done), dtype="float32", always_2d=True)
        if not len(part):
            return
        done += len(part)
        if done > MAX_SECONDS * sound.samplerate:
            raise TalkingEyesError(
                f"The sound is longer than {MAX_SECONDS / 3600:g} hours.", "Trim it, and work on one part at a time."
            )
        yield part[:, 0] if sound.channels == 1 else part.mean(axis=1)


def _finite(blocks: Iterable[np.ndarray], name: str, start: float, rate: int) -> Iterator[np.ndarray]:
    done = 0
    for block in blocks:
        if not np.isfinite(block).all():
            at = start + (done + int(np.argmin(np.isfinite(block)))) / rate
            raise TalkingEyesError(
                f"{name} holds samples that are not numbers (NaN or infinite), the first at {at:.3f} s.",
                "Export it again, or trim that part away.",
            )
        done += len(block)
        yield block


def _resampled(blocks: Iterable[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """The blocks at 16 kHz: the same samples as scipy.signal.resample_poly would make of the whole."""
    if rate == RATE:
        yield from blocks
        return
    divisor = math.gcd(rate, RATE)
    up, down = RATE // divisor, rate // divisor
    reach = _FILTER_REACH * max(up, down)
    kernel = scipy.signal.firwin(2 * reach + 1, 1 / max(up, down), window=("kaiser", 5.0)).astype(np.float32)
    # Cuts at multiples of ``down`` fall on whole samples at 16 kHz; margins cover what the filter reaches.
    margin = -(-(reach // up + 1) // down) * down
    step = -(-int(_BLOCK_SECONDS * rate) // down) * down
    head = margin // down * up

    held = np.zeros(margin, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= step + 2 * margin:
            part = scipy.signal.resample_poly(held[: step + 2 * margin], up, down, window=kernel)
            yield part[head : head + step // down * up]
            held = held[step:]
    if len(held) > margin:
        yield scipy.signal.resample_poly(held, up, down, window=kernel)[head:]
