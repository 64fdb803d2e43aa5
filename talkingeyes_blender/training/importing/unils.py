"""UniLS-Talk: an LMDB of clips, each with 16 kHz sound and motion (T, 112) at 25 frames a second.

Motion is expression (100), head (3), jaw (3), left eye (3), right eye (3), axis-angle. How the database names its
records is not documented: here a record is an npz or a pickle of a dict with the keys 'motion' and 'audio', which
``--motion-key`` and ``--audio-key`` may name otherwise.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ...errors import TalkingEyesError
from .files import values_from
from .track import Track

WIDTH = 112


def unils_tracks(
    source: Path, motion_key: str = "motion", audio_key: str = "audio"
) -> Iterator[tuple[str, Callable[[], Track]]]:
    """Names of the database's clips, each with a function that reads it.

    Raises:
        TalkingEyesError: the package lmdb is not installed, or there is no database.
    """
    try:
        import lmdb
    except ImportError as error:
        raise TalkingEyesError("Reading UniLS-Talk needs the package lmdb.", "Install it: pip install lmdb.") from error
    try:
        database = lmdb.open(str(source), readonly=True, lock=False, subdir=source.is_dir())
    except lmdb.Error as error:
        raise TalkingEyesError(f"{source} is no LMDB database ({error}).", "Name its folder.") from error
    with database, database.begin() as transaction:
        for key, _ in transaction.cursor():
            name = key.decode("utf-8", "replace")

            def read(key: bytes = key, name: str = name) -> Track:
                return _track(name, bytes(transaction.get(key)), motion_key, audio_key)

            yield name, read


def _track(name: str, content: bytes, motion_key: str, audio_key: str) -> Track:
    values = values_from(content)
    for key in (motion_key, audio_key):
        if key not in values:
            raise TalkingEyesError(
                f"The record '{name}' has no '{key}'; it holds {', '.join(sorted(values)) or 'nothing'}.",
                "Name the keys: --motion-key, --audio-key.",
            )
    motion = np.asarray(values[motion_key], np.float64)
    if motion.ndim != 2 or motion.shape[1] != WIDTH:
        raise TalkingEyesError(f"The record '{name}' has motion of the shape {motion.shape}, not (frames, {WIDTH}).")
    valid = np.isfinite(motion).all(1)
    turns = np.where(valid[:, None], motion, 0.0)
    samples = np.asarray(values[audio_key]).ravel()
    if samples.dtype.kind == "i":
        samples = samples / float(np.iinfo(samples.dtype).max)
    return Track(
        id=name,
        fps=25.0,
        expression=motion[:, :100],
        head=(Rotation.from_rotvec(turns[:, 100:103]),),
        jaw=Rotation.from_rotvec(turns[:, 103:106]),
        eyes=(Rotation.from_rotvec(turns[:, 106:109]), Rotation.from_rotvec(turns[:, 109:112])),
        valid=valid,
        sound=samples.astype(np.float32),
    )
