"""What an encoder hears in a clip, and features kept on disk, so that a clip that was heard once is not heard again.

Features follow from the samples, the encoder's weights and settings, and the code and libraries that apply them: a
hash of all these is the name of their file. The folder is bounded; what was used longest ago goes first. A file that
is damaged is as good as none. Nothing here may keep a motion from being made: a full disk costs the next job its time.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from .speech_encoder import RATE, SpeechEncoder, frame_count

if TYPE_CHECKING:
    from .audio import AudioClip

log = logging.getLogger(__name__)

SHORT = 2 * RATE
"""Samples below which a clip is repeated for the encoders, which measure levels over the whole of it."""

_PAUSE = RATE // 5
"""Samples of silence between the repeats: what follows a short clip is a pause, not its own beginning. Half a second or
silence alone would spoil the levels: log-mel inputs of .8 s cut from longer clips then differ by .26 and .40 from what
they were in place, with this by .18."""

LIMIT = 1 << 30
"""Bytes that a folder of features holds at most, where nothing else is said: ten hours of the starter's, nearly four
of wav2vec2-base's."""

_LARGEST = 0.5
"""Share of the limit that a single clip may take; a longer one would push out all others."""
_ABANDONED = 3600.0
"""Seconds after which a half-written file is nobody's."""
_ENDING = ".features"
_CODE = ("hearing.py", "attention.py", "transformer.py", "*encoder.py")
"""Beside this file: what features are made by."""


def encode(encoder: SpeechEncoder, samples: Tensor, tick: Callable[[int], None]) -> Tensor:
    """(n,) samples to (1, T, S). A short clip is heard several times over, with pauses, and once remembered."""
    frames = frame_count(len(samples))
    if len(samples) < SHORT:
        once = F.pad(samples, (0, _PAUSE))
        samples = once.repeat(-(-SHORT // len(once)))
    return encoder.encode(samples, tick)[:, :frames]


def default_folder() -> Path:
    """Where this system's programs keep what can be made again."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "talkingeyes" / "features"


def feature_key(clip: AudioClip, encoder: SpeechEncoder, weights: str) -> str:
    """Name of the features of ``clip``: a hash of the sound and of all that makes features of it.

    Args:
        weights: hash of the encoder's weights and configuration.
    """
    device = next(encoder.parameters()).device.type
    libraries = [torch.__version__]
    if encoder.config.kind == "wav2vec2":
        libraries.append(importlib.metadata.version("transformers"))
    made_by = [weights, encoder.window, encoder.margin, str(encoder.precision), device, libraries, _code()]
    return hashlib.blake2b(json.dumps([clip.digest, *made_by]).encode(), digest_size=20).hexdigest()


@functools.cache
def _code() -> str:
    digest = hashlib.blake2b(digest_size=16)
    for pattern in _CODE:
        for path in sorted(Path(__file__).parent.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


class FeatureCache:
    """Features by ``feature_key`` in a folder of at most ``limit`` bytes, which any number of processes may share."""

    def __init__(self, folder: str | os.PathLike, limit: int = LIMIT) -> None:
        """A ``limit`` of 0 keeps nothing, and empties the folder of what was kept."""
        self.folder, self.limit = Path(folder), int(limit)
        if self.limit <= 0:
            self._make_room()

    def get(self, key: str) -> Tensor | None:
        """Features (1, T, S) on the CPU, or None where there are none, or none that are whole."""
        path = self._path(key)
        try:
            stored = safetensors.torch.load(path.read_bytes())
            features, digest = stored["features"], stored["digest"]
            if not torch.equal(digest, _digest(features)):
                raise ValueError("its content is not what was written")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
            log.warning("kept features are not used: %s: %s", path.name, error)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the newest goes last
        return features

    def put(self, key: str, features: Tensor) -> None:
        """Keep features (1, T, S), and throw away what was used longest ago, beyond the limit."""
        features = features.detach().to("cpu").contiguous()
        if features.nbytes > _LARGEST * self.limit:
            return
        payload = safetensors.torch.save({"features": features, "digest": _digest(features)})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(payload)
                os.replace(temporary, self._path(key))
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
        except OSError as error:
            log.warning("features are not kept in %s: %s", self.folder, error.strerror)
        self._make_room()

    def _path(self, key: str) -> Path:
        return self.folder / (key + _ENDING)

    def _make_room(self) -> None:
        kept = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    # Another process may take a file away between two looks at it.
                    with contextlib.suppress(OSError):
                        found = entry.stat()
                        if entry.name.endswith(_ENDING):
                            kept.append((found.st_mtime_ns, found.st_size, entry.path))
                        elif entry.name.endswith(".part") and time.time() - found.st_mtime > _ABANDONED:
                            os.unlink(entry.path)
        except OSError:
            return
        size = sum(each[1] for each in kept)
        for _, taken, path in sorted(kept):
            if size <= self.limit:
                return
            with contextlib.suppress(OSError):
                os.unlink(path)
                size -= taken


def _digest(features: Tensor) -> Tensor:
    content = features.contiguous().flatten().view(torch.uint8).numpy()
    found = hashlib.blake2b(content.data, digest_size=16, person=str(tuple(features.shape)).encode()[:16])
    return torch.tensor(list(found.digest()), dtype=torch.uint8)
