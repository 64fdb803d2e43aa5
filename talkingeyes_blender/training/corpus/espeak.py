"""espeak-ng in a process of its own: texts in, sound and phoneme events out.

The engine keeps state between utterances in globals (the same text then sounds different), cannot be started twice and
may hang on a voice, so that each set of texts gets a fresh process. This file is run as a script and needs nothing but
the standard library. It reads one JSON object from stdin, ``{"voice", "rate", "pitch", "range", "texts"}``, and writes
for each text one JSON line ``{"rate", "samples", "events": [[sample, name], ...]}`` followed by that many int16
samples. With ``--probe`` it only tells, by its exit status, whether the library is there.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ctypes
import json
import sys

_LIBRARIES = ("libespeak-ng.so.1", "libespeak-ng.so", "libespeak-ng.1.dylib", "libespeak-ng.dll")
_SYNCHRONOUS, _PHONEMES_AS_IPA, _PHONEME_EVENT, _UTF8 = 2, 3, 7, 1
_SET_RATE, _SET_PITCH, _SET_RANGE = 1, 3, 4
NO_LIBRARY = 3


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", _EventId),
    )  # fmt: skip


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def load_library() -> ctypes.CDLL | None:
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _answer(library: ctypes.CDLL, request: dict, out) -> None:
    chunks: list[bytes] = []
    events: list[tuple[int, str]] = []

    def receive(wave, count: int, found) -> int:
        if wave and count > 0:
            chunks.append(ctypes.string_at(wave, 2 * count))
        index = 0
        while found[index].type != 0:
            if found[index].type == _PHONEME_EVENT:
                name = bytes(found[index].id.string).split(b"\0")[0].decode("utf-8", "ignore")
                events.append((found[index].sample, name))
            index += 1
        return 0

    callback = _CALLBACK(receive)
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEMES_AS_IPA)
    library.espeak_SetSynthCallback(callback)
    known = library.espeak_SetVoiceByName(request["voice"].encode()) == 0
    for parameter, key in ((_SET_RATE, "rate"), (_SET_PITCH, "pitch"), (_SET_RANGE, "range")):
        library.espeak_SetParameter(parameter, int(request[key]), 0)
    for text in request["texts"]:
        chunks.clear()
        events.clear()
        if known:
            data = text.encode("utf-8")
            library.espeak_Synth(ctypes.c_char_p(data), ctypes.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None)
            library.espeak_Synchronize()
        sound = b"".join(chunks)
        out.write(json.dumps({"rate": rate, "samples": len(sound) // 2, "events": events}).encode() + b"\n" + sound)
    out.flush()


def main() -> int:
    library = load_library()
    if library is None:
        return NO_LIBRARY
    if "--probe" not in sys.argv:
        _answer(library, json.load(sys.stdin), sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
