"""Which shape key is which, on faces whose keys have names that mean something: ARKit's 52, visemes."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from ..head.arkit import BONES, EXPRESSIONS
from ..head.visemes import VISEMES

ARKIT = (*EXPRESSIONS, *BONES)
VISEME_PARTS = tuple(f"viseme_{name}" for name in VISEMES)
PARTS = (*ARKIT, *VISEME_PARTS)
"""All parts of a face that a named key can stand for."""
_FEWEST_ARKIT, _FEWEST_VISEMES, _FEWEST_VOWELS = 6, 3, 2
"""Keys of the mouth from which a face counts as made of them."""
_VOWELS = ("viseme_aa", "viseme_E", "viseme_I", "viseme_O", "viseme_U")

_COPY = re.compile(r"\.\d{3,}$")
_COUNTER = re.compile(r"^[AT]\d\d_")
"""What Character Creator's export puts in front of ARKit's names (A25_Jaw_Open)."""
_LEFT_HALF = " (left)"
_SIDES = {"l": "left", "r": "right", "lft": "left", "rgt": "right"}

# By viseme, other sets' names as words run together: VRM 1 and 0 (VRoid's keys end on MTH_A), Preston Blair,
# Microsoft's 22 as MPFB has them. Each key is the first viseme's that lists it and has none yet.
_VISEME_NAMES = {
    "sil": ("sil", "rest", "neutral", "closed", "sil00", "mthneutral"),
    "PP": ("pp", "mbp", "pbm", "bmp", "m", "pbm21", "explosive"),
    "FF": ("ff", "fv", "f", "fv18", "dentallip"),
    "TH": ("th", "thdh17"),
    "DD": ("dd", "etc", "cdgknrsthyz", "dtn19"),
    "kk": ("kk", "kgng20"),
    "CH": ("ch", "shchjhzh16", "affricate"),
    "SS": ("ss", "sz15"),
    "nn": ("nn", "l", "l14"),
    "RR": ("rr", "r", "r13", "er05"),
    "aa": ("aa", "a", "ai", "ah", "mtha", "aa02", "aaahax01", "mouthopen"),
    "E": ("e", "ee", "eh", "mthe", "eyehuh04"),
    "I": ("i", "ih", "mthi", "yiyihix06", "wide"),
    "O": ("o", "oh", "mtho", "owo8", "ow08", "ao03", "tighto"),
    "U": ("u", "ou", "wq", "w", "mthu", "wuw07", "oo"),
}
_BRANDS = {"viseme", "visemes", "v", "vrc", "vis", "mouth", "phoneme", "mth", "fcl", "vrm", "lip", "lipsync", "face"}
"""Words in front of a viseme's name that say whose it is."""


RIGHT_HALF = " (right)"
"""What is put behind a part's name for the right one of the two keys that some faces have for it."""


def whole(part: str) -> str:
    """The part that a key belongs to which may be its right half."""
    return part.removesuffix(RIGHT_HALF)


def match_arkit(names: Iterable[str]) -> dict[str, str]:
    """Shape key by ARKit's name, in its usual spellings: jawOpen, JawOpen, jaw_open, A25_Jaw_Open, mouthSmile_L,
    Face.M.jawOpen, blendShape1.jawOpen, !ex-jawOpen.

    Where a part that has one key in ARKit has two (ICT FaceKit's browInnerUp_L and _R), the left one stands under its
    name and the right one under the name with ``RIGHT_HALF``.
    """
    found: dict[str, tuple[int, str]] = {}
    for name in names:
        match = _arkit_part(name)
        if match is not None and (match[0] not in found or match[1] < found[match[0]][0]):
            found[match[0]] = (match[1], name)
    halves = {part: found.pop(part)[1] for part in [p for p in found if p.endswith((_LEFT_HALF, RIGHT_HALF))]}
    result = {part: found[part][1] for part in ARKIT if part in found}
    for part in ARKIT:
        left, right = halves.get(f"{part}{_LEFT_HALF}"), halves.get(f"{part}{RIGHT_HALF}")
        if part not in result and left is not None and right is not None:
            result |= {part: left, f"{part}{RIGHT_HALF}": right}
    return result


def match_visemes(names: Iterable[str]) -> dict[str, str]:
    """Shape key by viseme ('viseme_aa', ...), of the sets that `_VISEME_NAMES` knows."""
    found: dict[str, tuple[int, str]] = {}
    for name in names:
        for part, rank in _viseme_parts(name):
            if part not in found or rank < found[part][0]:
                found[part] = (rank, name)
    kept = {part: name for part, (_, name) in found.items()}
    taken: set[str] = set()
    result = {}
    for part in VISEME_PARTS:
        if part in kept and kept[part] not in taken:
            result[part] = kept[part]
            taken.add(kept[part])
    return result


def vocabulary(names: Iterable[str]) -> str:
    """'arkit', 'visemes', or '' for keys that mean nothing by their names."""
    names = list(names)
    if sum(part.startswith(("mouth", "jaw")) for part in match_arkit(names)) >= _FEWEST_ARKIT:
        return "arkit"
    visemes = match_visemes(names)
    vowels = sum(part in visemes for part in _VOWELS)
    return "visemes" if len(visemes) >= _FEWEST_VISEMES and vowels >= _FEWEST_VOWELS else ""


@functools.lru_cache(8192)  # a panel asks at every redraw
def _arkit_part(name: str) -> tuple[str, int] | None:
    """(ARKit's name, or a half of it, 0 for its own spelling, 1 for another, 2 behind a prefix)."""
    local = _COUNTER.sub("", _COPY.sub("", name).rpartition(":")[2].rpartition("|")[2])
    if local in ARKIT:
        return local, 0
    words = _words(local)
    for skipped in range(len(words)):
        part = _ARKIT_PLAIN.get("".join(words[skipped:]))
        if part is not None:
            return part, 1 if not skipped else 2
        half = _ARKIT_PLAIN.get("".join(words[skipped:-1])) if words[-1] in _HALVES else None
        if half is not None:
            return half + _HALVES[words[-1]], 1 if not skipped else 2
    return None


def _words(name: str) -> list[str]:
    """A name's words in lower case, with 'L' and 'R' at its end as sides."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", " ", name)
    words = spaced.lower().split()
    if words and words[-1] in _SIDES:
        words[-1] = _SIDES[words[-1]]
    return words


_HALVES = {"left": _LEFT_HALF, "right": RIGHT_HALF}
_ARKIT_PLAIN = {part.lower(): part for part in ARKIT}
_VISEME_PLAIN = {name: f"viseme_{viseme}" for viseme, others in _VISEME_NAMES.items() for name in others}


@functools.lru_cache(8192)
def _viseme_parts(name: str) -> tuple[tuple[str, int], ...]:
    """(part, 0 for Oculus' own name, 1 with a prefix of a set, 2 without) of a name."""
    local = _COPY.sub("", name).rpartition(":")[2].rpartition("|")[2]
    if local in VISEME_PARTS:
        return ((local, 0),)
    words = re.sub(r"[^A-Za-z0-9]+", " ", local).lower().split()
    first = next((i for i, word in enumerate(words) if word not in _BRANDS), len(words))
    part = _VISEME_PLAIN.get("".join(words[first:]))
    return ((part, 1 if first else 2),) if part is not None else ()
