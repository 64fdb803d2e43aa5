"""Which bone and which shape key is which, by the names that FLAME rigs in the wild have."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from collections.abc import Iterable

# The MPI add-on's names come first, then those of the SMPL-X and SUPR families, then what animators call them.
# Names are compared in lower case without a namespace ("mixamorig:") and without anything but letters and digits.
_BONES = {
    "root": ("root", "global"),
    "neck": ("neck", "neck01", "neck1", "head"),
    "jaw": ("jaw", "jawbone", "jawmaster", "lowerjaw", "mandible", "defjaw"),
    "left_eye": ("lefteye", "lefteyesmplhf", "eyeleft", "eyel", "leye", "eyeballleft", "lefteyeball", "defeyel"),
    "right_eye": ("righteye", "righteyesmplhf", "eyeright", "eyer", "reye", "eyeballright", "righteyeball", "defeyer"),
}
_SURE = {
    "root": {"root"},
    "neck": {"neck"},
    "jaw": {"jaw"},
    "left_eye": {"left_eye", "left_eye_smplhf"},
    "right_eye": {"right_eye", "right_eye_smplhf"},
}
_EXPRESSION = re.compile(r"^Exp(?:ression)?_?0*(\d+)$")
_POSE = re.compile(r"^Pose_?0*(\d+)$")
_POSE_COLUMNS = 36
_BLINKS = (
    ("blinkleft", "eyeblinkleft", "blinkl", "eyeblinkl", "leftblink", "lefteyeblink", "eyelidleft"),
    ("blinkright", "eyeblinkright", "blinkr", "eyeblinkr", "rightblink", "righteyeblink", "eyelidright"),
)


def match_bones(names: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """(bone by joint name, joints whose bone was guessed from an unusual name) among the bones of an armature."""
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(_plain(name), name)
    bones, guessed = {}, []
    for joint, variants in _BONES.items():
        name = next((plain[v] for v in variants if v in plain), None)
        if name is not None:
            bones[joint] = name
            if name not in _SURE[joint]:
                guessed.append(joint)
    return bones, tuple(guessed)


def match_expressions(names: Iterable[str]) -> tuple[str | None, ...]:
    """Shape key of each coefficient, in order, from names such as Exp1, Exp001, Expression_7; None for a gap.

    Rigs number from 1 (MPI) or from 0 (SMPL-X); they number from 0 where there is an index 0.
    """
    numbered = _numbered(_EXPRESSION, names)
    if not numbered:
        return ()
    first = 0 if 0 in numbered else 1
    return tuple(numbered.get(i) for i in range(first, max(numbered) + 1))


def match_pose_correctives(names: Iterable[str]) -> dict[int, str]:
    """Shape key by column 0 to 35. Rigs of whole bodies number hundreds of other correctives alike: these are not
    FLAME's, and none is returned."""
    numbered = _numbered(_POSE, names)
    first = 0 if 0 in numbered else 1
    columns = {number - first: name for number, name in numbered.items()}
    return columns if columns and max(columns) < _POSE_COLUMNS else {}


def match_blinks(names: Iterable[str]) -> tuple[str | None, str | None]:
    """Shape keys that shut the left and the right lids, where the names say so."""
    plain = {_plain(name): name for name in names}
    left, right = (next((plain[v] for v in side if v in plain), None) for side in _BLINKS)
    return left, right


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.rpartition(":")[2].lower())


def _numbered(pattern: re.Pattern, names: Iterable[str]) -> dict[int, str]:
    numbered: dict[int, str] = {}
    for name in names:
        match = pattern.match(name)
        if match:
            numbered.setdefault(int(match[1]), name)
    return numbered
