"""Track: a face as a tracker saw it, and its way into a ``Sequence`` of the dataset."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ...errors import TalkingEyesError
from ...motion import FPS
from ..dataset import RATE, SAMPLES_PER_FRAME, Sequence, blink_from_ear, frame_count
from .rotations import about_mean, at_times

LONGEST_DIFFERENCE = 1.0
"""Seconds by which sound and track may differ in length before they are taken for two recordings."""


@dataclasses.dataclass(frozen=True, eq=False)
class Track:
    """N frames of one face, as they were stored."""

    id: str
    fps: float
    expression: np.ndarray
    """(N, E)."""
    head: tuple[Rotation, ...]
    """N rotations each, from the outermost on (global, neck, ...): what is composed to the head's."""
    jaw: Rotation
    eyes: tuple[Rotation, Rotation] | None = None
    """Left and right; None where the tracker has no gaze."""
    blink: np.ndarray | None = None
    """(N, 2) closure."""
    ear: np.ndarray | None = None
    """(N, 2) aspect ratios, left and right."""
    shape: np.ndarray | None = None
    """(S,)."""
    valid: np.ndarray | None = None
    """(N,) bool."""
    sound: Path | np.ndarray | None = None
    """A sound file, or samples at 16 kHz."""

    def sequence(self, *, subject: str, source: str, head_model: str, coefficients: int = 0) -> Sequence:
        """The track at 25 frames a second, as long as its sound.

        Args:
            subject, source, head_model: what the dataset shall say of it.
            coefficients: of the head model's expression basis; fewer are filled with zeros, as trackers use the first
                50 of FLAME's 100. 0 keeps what there is.

        Raises:
            TalkingEyesError: no sound, another length, more coefficients than the basis has.
        """
        frames = len(self.expression)
        for name, count in self._lengths().items():
            if count != frames:
                raise TalkingEyesError(f"Track '{self.id}': '{name}' has {count} frames, its expression {frames}.")
        samples = self._samples()
        times = np.arange(frames) / self.fps
        length, heard = frames / self.fps, len(samples) / RATE
        if abs(length - heard) > LONGEST_DIFFERENCE:
            raise TalkingEyesError(
                f"Track '{self.id}' lasts {length:.2f} s at {self.fps:g} frames a second, its sound {heard:.2f} s.",
                "Check the frame rate (--fps), and that the sound belongs to it.",
            )
        kept = max(1, min(round(length * FPS), frame_count(len(samples))))
        samples = samples[: kept * SAMPLES_PER_FRAME]
        wanted = np.arange(kept) / FPS
        seen = self._seen()
        if not seen.any():
            raise TalkingEyesError(f"Track '{self.id}' has no frame that holds numbers throughout.")
        # Between two frames of which one was lost nothing is known; what stands there is only a bridge.
        valid = np.interp(wanted, times, seen.astype(float)) > 0.999
        times = times[seen]

        def plain(values: np.ndarray) -> np.ndarray:
            values = np.asarray(values, np.float64)[seen]
            return np.stack([np.interp(wanted, times, column) for column in values.T], 1)

        def turned(rotations: Rotation) -> Rotation:
            return at_times(rotations[seen], times, wanted)

        head = turned(self.head[0])
        for inner in self.head[1:]:
            head = head * turned(inner)
        eyes = self.eyes or (Rotation.identity(frames),) * 2
        expression = plain(self.expression)
        return Sequence(
            id=self.id,
            subject=subject,
            source=source,
            head_model=head_model,
            expression=self._filled(expression, coefficients),
            jaw=turned(self.jaw).as_rotvec(),
            head=about_mean(head, valid).as_rotvec(),
            eyes=np.concatenate([turned(eye).as_rotvec() for eye in eyes], 1),
            blink=self._closure(plain, kept),
            valid=valid,
            samples=samples,
            shape=self.shape,
        ).checked()

    def _lengths(self) -> dict[str, int]:
        named = {"blink": self.blink, "ear": self.ear, "valid": self.valid, "jaw": self.jaw}
        lengths = {name: len(value) for name, value in named.items() if value is not None}
        lengths |= {f"head {i}": len(part) for i, part in enumerate(self.head)}
        return lengths | {f"eye {i}": len(eye) for i, eye in enumerate(self.eyes or ())}

    def _seen(self) -> np.ndarray:
        """(N,) bool: frames that the tracker vouches for and that hold numbers throughout."""
        seen = np.isfinite(self.expression).all(1)
        for values in (self.blink, self.ear):
            if values is not None:
                seen &= np.isfinite(values).all(1)
        return seen if self.valid is None else seen & self.valid.astype(bool)

    def _closure(self, plain, kept: int) -> np.ndarray:
        if self.blink is not None:
            return np.clip(plain(self.blink), 0, 1)
        return blink_from_ear(plain(self.ear)) if self.ear is not None else np.zeros((kept, 2))

    def _filled(self, expression: np.ndarray, coefficients: int) -> np.ndarray:
        width = expression.shape[1]
        if coefficients and width > coefficients:
            raise TalkingEyesError(
                f"Track '{self.id}' has {width} expression coefficients, the head model {coefficients}.",
                "Name the head model that it was tracked with.",
            )
        return np.pad(expression, ((0, 0), (0, max(0, coefficients - width))))

    def _samples(self) -> np.ndarray:
        if self.sound is None:
            raise TalkingEyesError(
                f"Track '{self.id}' has no sound.", "Put a sound file of its name beside it, or name the folder."
            )
        if isinstance(self.sound, np.ndarray):
            return self.sound.astype(np.float32)
        from ...inference.audio import read_audio

        return read_audio(self.sound).samples
