"""Motion: what the generators make and everyone else reads."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import os
import zipfile

import numpy as np

from .errors import TalkingEyesError
from .files import written_whole

FPS = 25.0
"""Frame rate of the models, in frames per second."""

CHANNELS = {"jaw": 3, "head": 3, "eyes": 6, "blink": 2}
"""Width of the channels whose width is the same on every head model."""

_MAX_ANGLE = 2 * np.pi


@dataclasses.dataclass(frozen=True, eq=False)
class Motion:
    """Facial motion of one head over T frames; frame t is the pose at ``t / fps`` seconds.

    Rotations are axis-angle vectors in radians with FLAME's signs: jaw +x opens, eye +x looks down, eye +y looks to
    the subject's left, head +x nods down, head +y turns to the subject's left.
    """

    expression: np.ndarray
    """(T, E) coefficients in the basis of ``head_model``."""
    jaw: np.ndarray
    """(T, 3) rotation of the jaw relative to the head."""
    head: np.ndarray
    """(T, 3) rotation of the head relative to the torso, about the clip's mean."""
    eyes: np.ndarray
    """(T, 6) rotation of the left, then the right eye, relative to the head."""
    blink: np.ndarray
    """(T, 2) closure of the left, then the right lids, 0 open to 1 shut."""
    seed: int
    head_model: str
    """Identity of the head model whose expression basis the coefficients belong to."""
    fps: float = FPS

    def __post_init__(self) -> None:
        for name in ("expression", *CHANNELS):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), np.float32))
        object.__setattr__(self, "seed", int(self.seed))
        object.__setattr__(self, "fps", float(self.fps))
        object.__setattr__(self, "head_model", str(self.head_model))

    @property
    def frames(self) -> int:
        return len(self.jaw)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.fps

    def replace(self, **changes) -> Motion:
        return dataclasses.replace(self, **changes)

    def checked(self) -> Motion:
        """Return self, or raise TalkingEyesError if it is not a whole, finite, plausible motion."""
        if not (np.isfinite(self.fps) and 1 <= self.fps <= 1000):
            raise TalkingEyesError(f"The motion's frame rate is {self.fps}.", "It must lie between 1 and 1000.")
        if self.expression.ndim != 2 or self.frames == 0:
            raise TalkingEyesError("The motion holds no frames.", "Generate it again.")
        for name, width in {"expression": self.expression.shape[1], **CHANNELS}.items():
            array = getattr(self, name)
            if array.shape != (self.frames, width):
                raise TalkingEyesError(
                    f"The motion's channel '{name}' has the shape {array.shape}, not {(self.frames, width)}.",
                    "The file was not written by this version, or is damaged.",
                )
            if not np.isfinite(array).all():
                raise TalkingEyesError(f"The motion's channel '{name}' holds values that are not numbers.")
        for name in ("jaw", "head", "eyes"):
            if np.abs(getattr(self, name)).max() > _MAX_ANGLE:
                raise TalkingEyesError(
                    f"The motion's channel '{name}' turns by more than a full circle.",
                    "Rotations are axis-angle vectors in radians; these may be degrees.",
                )
        return self

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz beside ``path``, then rename it there, so that no half-written file is ever seen."""
        self.checked()
        with written_whole(path) as beside, open(beside, "wb") as stream:
            np.savez_compressed(stream, **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)})

    @classmethod
    def load(cls, path: str | os.PathLike) -> Motion:
        """Read an npz written by ``save`` (or one with the same keys); raise TalkingEyesError if it is not one."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                values = {f.name: archive[f.name] for f in dataclasses.fields(cls)}
        except KeyError as error:
            raise TalkingEyesError(f"{path} is not a motion: the key {error} is missing.") from error
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise TalkingEyesError(f"{path} could not be read as a motion ({error}).") from error
        values["head_model"] = str(values["head_model"])
        return cls(**{k: v.item() if k in ("seed", "fps") else v for k, v in values.items()}).checked()
