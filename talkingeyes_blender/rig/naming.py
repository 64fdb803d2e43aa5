"""Which bone and which shape key is which, by the names that FLAME rigs in the wild have."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import functools
import re
from collections.abc import Iterable

# The MPI add-on's names come first, then those of the SMPL-X and SUPR families, then what animators call them.
# Names are compared in lower case without a namespace ("mixamorig:"), without the number of a copy (".001") and without
# anything but letters and digits.
_BONES = {
    "root": ("root", "global"),
    "neck": ("neck", "neck01", "neck1", "head", "ccbasehead", "jbiphead", "jbipchead"),
    "jaw": ("jaw", "jawbone", "jawmaster", "lowerjaw", "mandible", "defjaw", "ccbasejawroot", "jawroot"),
    "left_eye": (
        "lefteye",
        "lefteyesmplhf",
        "eyeleft",
        "eyel",
        "leye",
        "eyeballleft",
        "lefteyeball",
        "defeyel",
        "ccbaseleye",
        "jadjlfaceeye",
    ),
    "right_eye": (
        "righteye",
        "righteyesmplhf",
        "eyeright",
        "eyer",
        "reye",
        "eyeballright",
        "righteyeball",
        "defeyer",
        "ccbasereye",
        "jadjrfaceeye",
    ),
}
_SURE = {
    "root": {"root"},
    "neck": {"neck"},
    "jaw": {"jaw"},
    "left_eye": {"left_eye", "left_eye_smplhf"},
    "right_eye": {"right_eye", "right_eye_smplhf"},
}
_EXPRESSION = re.compile(r"^(?:.*[_\-. ])?Exp(?:ression)?_?0*(\d+)$")
_POSE = re.compile(r"^(?:.*[_\-. ])?Pose_?0*(\d+)$")
_IDENTITY = re.compile(r"^(?:.*[_\-. ])?Shape_?0*(\d+)$")
_POSE_COLUMNS = 36
_BLINKS = (
    ("blinkleft", "eyeblinkleft", "blinkl", "eyeblinkl", "leftblink", "lefteyeblink", "eyelidleft", "eyeleftclosure"),
    ("blinkright", "eyeblinkright", "blinkr", "eyeblinkr", "rightblink", "righteyeblink", "eyelidright",
     "eyerightclosure"),
)
_COPY = re.compile(r"\.\d{3,}$")
"""What Blender adds to a name that another already has."""
_NO_PREFIX = {"upper", "ik", "fk", "mch", "target", "aim", "pole", "lid", "brow", "socket", "ctrl", "tweak", "twist"}
"""Words in front of a bone's name that make it another bone."""


def match_bones(names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """(bone by joint name, why a joint's bone is only a guess by joint name) among the bones of an armature.

    A joint's own name counts first, then its usual names, then those with a copy's number (jaw.001), a namespace
    (mixamorig:Neck) or a prefix (flame_jaw).
    """
    names = list(names)
    bones: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for joint, variants in _BONES.items():
        ranked = sorted((rank, i) for i, name in enumerate(names) if (rank := _rank(name, joint, variants)) is not None)
        if not ranked:
            continue
        best, first = ranked[0]
        bones[joint] = names[first]
        reason = _reason(names[first], joint, best)
        # A copy of the same name is worth a word; another usual name (neck and head) is not.
        rivals = [names[i] for rank, i in ranked[1:] if best > (0, 0, 0) and rank[:2] == best[:2]]
        if rivals:
            also = "', '".join(rivals[:3])
            reason = f"{reason}; '{also}' might be meant as well"
        if reason:
            reasons[joint] = reason
    return bones, reasons


def _rank(name: str, joint: str, variants: tuple[str, ...]) -> tuple[int, int, int] | None:
    """How well a name fits a joint, lowest best: (kind of match, which usual name, whether it is a copy)."""
    copied = int(_COPY.search(name) is not None)
    if name in _SURE[joint]:
        return (0, 0, 0)
    plain = _plain(name)
    if plain in variants:
        return (1, variants.index(plain), copied + 2 * int(_namespace(name) != ""))
    words = [word.lower() for word in re.split(r"[^A-Za-z0-9]+", _COPY.sub("", _local(name))) if word]
    for skipped in range(1, len(words)):
        rest = "".join(words[skipped:])
        if rest in variants and not _NO_PREFIX & set(words[:skipped]):
            return (2, variants.index(rest), copied)
    return None


def _reason(name: str, joint: str, rank: tuple[int, int, int]) -> str:
    if rank[0] == 0:
        return ""
    if rank[0] == 2:
        return f"'{name}' reads like '{joint}' behind a prefix"
    if _COPY.search(name):
        return f"'{name}' is the copy of a name, and the armature has none without the number"
    if _namespace(name):
        return f"'{name}' reads like '{joint}' in a namespace"
    return f"'{name}' is another usual name of it"


def match_expressions(names: Iterable[str]) -> tuple[str | None, ...]:
    """Shape key of each coefficient, in order, from names such as Exp1, Exp001, Expression_7; None for a gap.

    Rigs number from 1 (MPI) or from 0 (SMPL-X); they number from 0 where there is an index 0.
    """
    numbered = _numbered(_EXPRESSION, names)
    if not numbered:
        return ()
    first = 0 if 0 in numbered else 1
    return tuple(numbered.get(i) for i in range(first, max(numbered) + 1))


def match_identity(names: Iterable[str]) -> dict[int, str]:
    """Shape key by number, of the keys that say whose face it is (Shape1, Shape000); their number as it is written."""
    return _numbered(_IDENTITY, names)


def match_pose_correctives(names: Iterable[str]) -> dict[int, str]:
    """Shape key by column 0 to 35. Rigs of whole bodies number hundreds of other correctives alike: these are not
    FLAME's, and none is returned."""
    numbered = _numbered(_POSE, names)
    first = 0 if 0 in numbered else 1
    columns = {number - first: name for number, name in numbered.items()}
    return columns if columns and max(columns) < _POSE_COLUMNS else {}


def match_blinks(names: Iterable[str]) -> tuple[str | None, str | None]:
    """Shape keys that shut the left and the right lids, where the names say so."""
    plain: dict[str, str] = {}
    for name in sorted(names, key=_is_copy):
        plain.setdefault(_plain(name), name)
        plain.setdefault(_plain(_COPY.sub("", _local(name)).rpartition(".")[2]), name)
    left, right = (next((plain[v] for v in side if v in plain), None) for side in _BLINKS)
    return left, right


def _is_copy(name: str) -> bool:
    return _COPY.search(name) is not None


def _namespace(name: str) -> str:
    return name[: len(name) - len(_local(name))]


def _local(name: str) -> str:
    """A name without the namespaces of Maya (head:jaw, group|jaw)."""
    return name.rpartition(":")[2].rpartition("|")[2]


@functools.lru_cache(4096)
def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", _COPY.sub("", _local(name)).lower())


def _numbered(pattern: re.Pattern, names: Iterable[str]) -> dict[int, str]:
    """Names by the number in them; of several with one number the plainest (the shortest, then the first)."""
    numbered: dict[int, str] = {}
    for name in sorted(names, key=len):
        number = _number(pattern, name)
        if number is not None:
            numbered.setdefault(number, name)
    return numbered


@functools.lru_cache(4096)  # a panel asks at every redraw
def _number(pattern: re.Pattern, name: str) -> int | None:
    match = pattern.match(_COPY.sub("", _local(name)))
    return int(match[1]) if match else None
