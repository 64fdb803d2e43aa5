"""Recordings in a folder and the words that are said in them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import functools
import re
from pathlib import Path

from ...errors import TalkingEyesError

SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif")
TRANSCRIPTS = (".txt", ".lab")


def find_sounds(folder: Path) -> list[Path]:
    """All sound files under a folder, in order.

    Raises:
        TalkingEyesError: no such folder, or no sound in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise TalkingEyesError(f"The folder {folder} does not exist.", "Name the folder that holds the recordings.")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SOUNDS and p.is_file())
    if not found:
        raise TalkingEyesError(
            f"{folder} holds no sound file.", f"Sounds end in {', '.join(SOUNDS)}; put them there or in folders inside."
        )
    return found


def transcript_of(sound: Path, folder: Path | None = None) -> str | None:
    """The words of a recording from a text file of its name, beside it or in ``folder``; None where there is none.

    A line of a .lab file may begin with times (``0.00 0.52 word``, as Audacity and HTK write it); they are left out.
    LibriSpeech's own files are read too: a line of ``84-121123.trans.txt`` holds a recording's name and its words.

    Raises:
        TalkingEyesError: the file is no text.
    """
    for place in (folder, sound.parent):
        for suffix in TRANSCRIPTS if place is not None else ():
            path = Path(place) / (sound.stem + suffix)
            if not path.is_file():
                continue
            lines = _text(path).splitlines()
            words = " ".join(re.sub(r"^(\s*\d+(\.\d+)?\s+){1,2}(?=\S)", "", line).strip() for line in lines)
            return words.strip()
    for place in (folder, sound.parent):
        for path in sorted(Path(place).glob("*.trans.txt")) if place is not None else ():
            words = _listed(path).get(sound.stem)
            if words:
                return words
    return None


@functools.lru_cache(maxsize=8)
def _listed(path: Path) -> dict[str, str]:
    """Recording to words, of a file with one a line."""
    lines = (line.strip().partition(" ") for line in _text(path).splitlines())
    return {name: words.strip() for name, _, words in lines}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TalkingEyesError(f"{path} could not be read ({error}).", "Save it as UTF-8 text.") from error
