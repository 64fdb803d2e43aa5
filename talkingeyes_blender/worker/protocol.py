"""What Blender and the worker say to each other: one JSON object a line; arrays travel as npz files named in it.

The worker speaks first (``Hello``). Then each ``Request`` is answered by any number of ``Progress``, of ``Piece`` where
it asks for them, and exactly one of ``Done``, ``Failed`` or ``Stopped``, all with the request's ``id``. ``Cancel`` and
``Shutdown`` have no answer of their own. Lines are ASCII, so that no console's encoding can spoil them.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
from typing import Any

VERSION = 1


class ProtocolError(Exception):
    """A line that is not a message of this protocol."""


@dataclasses.dataclass(frozen=True)
class Hello:
    """The worker is there; ``missing`` names the modules that it needs and its Python lacks."""

    version: int
    pid: int
    python: str
    executable: str
    packages: dict[str, str] = dataclasses.field(default_factory=dict)
    missing: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Request:
    """Make a motion from ``duration`` seconds (None: to the end) of the sound file ``audio`` from second ``start`` on.

    ``task`` is 'generate'. With 'generate_takes' there is a motion for each of ``seeds``; those after the first go to
    files beside ``output``. 'resample' keeps all of the motion in the file ``motion`` but ``parts``, and these too but
    in ``frames`` (first, one behind the last; None: all).
    ``settings`` are the fields of ``inference.generator.GenerationSettings``. The answer is written to ``output``.
    With ``pieces``, a folder, 'generate' writes what it has made so far there, piece by piece.
    """

    id: int
    task: str
    audio: str
    output: str
    seed: int
    start: float = 0.0
    duration: float | None = None
    device: str = "auto"
    bundle: str | None = None
    motion: str | None = None
    parts: list[str] = dataclasses.field(default_factory=list)
    frames: list[int] | None = None
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    seeds: list[int] = dataclasses.field(default_factory=list)
    pieces: str | None = None


@dataclasses.dataclass(frozen=True)
class Cancel:
    id: int


@dataclasses.dataclass(frozen=True)
class Shutdown:
    pass


@dataclasses.dataclass(frozen=True)
class Progress:
    """``fraction`` of the job, 0 to 1, and what it is busy with."""

    id: int
    fraction: float
    phase: str


@dataclasses.dataclass(frozen=True)
class Piece:
    """A piece of the motion that is being made lies in ``output``; it begins with the motion's frame ``first``."""

    id: int
    output: str
    first: int


@dataclasses.dataclass(frozen=True)
class Done:
    """The motion lies in ``output``, further ones in ``more``; ``seconds`` of work on ``device``."""

    id: int
    output: str
    device: str
    seconds: float
    more: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Failed:
    """``message`` and ``hint`` are for the user; ``trace`` is for the log, and empty if the fault is not ours.

    ``lacks``: 'graphics memory' or 'memory' where that did not suffice.
    """

    id: int
    message: str
    hint: str = ""
    trace: str = ""
    lacks: str = ""


@dataclasses.dataclass(frozen=True)
class Stopped:
    """The job was cancelled; nothing was written."""

    id: int


_KINDS = (Hello, Request, Cancel, Shutdown, Progress, Piece, Done, Failed, Stopped)
KINDS = {kind.__name__.lower(): kind for kind in _KINDS}

Message = Hello | Request | Cancel | Shutdown | Progress | Piece | Done | Failed | Stopped


def outputs(request: Request) -> list[str]:
    """Return the files that the motions of a request go to."""
    stem, dot, ending = request.output.rpartition(".")
    return [request.output, *(f"{stem}-{n}{dot}{ending}" for n in range(2, len(request.seeds) + 1))]


def encode(message: Message) -> bytes:
    """Return the message as one line, line feed included."""
    fields = {"kind": type(message).__name__.lower(), **dataclasses.asdict(message)}
    return json.dumps(fields, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """Read one line; raise ProtocolError if it is none of ours."""
    try:
        fields = json.loads(line)
        return KINDS[fields.pop("kind")](**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"not a message: {line[:200]!r}") from error
