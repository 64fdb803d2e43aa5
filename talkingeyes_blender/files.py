"""Files that are there whole or not at all."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import TalkingEyesError


@contextlib.contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a name beside ``path``, of the same ending, to write to; what lies there then takes the place of ``path``.

    If the block raises, nothing remains and an older file stays as it was. OSErrors become TalkingEyesErrors.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise TalkingEyesError(f"{path} is a folder.", "Name a file in it.")
        # A folder of its own: an exporter may write beside the file that it was told to write.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-", suffix=".part") as folder:
            beside = Path(folder) / path.name
            yield beside
            os.replace(beside, path)
    except OSError as error:
        raise TalkingEyesError(
            f"{path} could not be written ({error.strerror or error}).",
            "Choose a folder that is there, can be written and has space.",
        ) from error


def write_whole(path: str | os.PathLike, data: bytes) -> None:
    """``written_whole`` with what is to lie there."""
    with written_whole(path) as beside:
        beside.write_bytes(data)
