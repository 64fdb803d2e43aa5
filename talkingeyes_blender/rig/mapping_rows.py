"""The rig mapping as a table of plain values: what each part of a head is in the file, by name, by choice or not."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import bpy

from ..errors import TalkingEyesError
from ..head.arkit import EXPRESSIONS
from ..head.arkit_values import BLINKS, JAW, LOOKS
from ..head.model import JOINTS
from . import naming
from .find import armature_of, face_meshes, find_rig
from .head_rig import WORDS
from .mapping import RigMap, read_map, store_map
from .named import key_names, named_keys, relatives, vocabulary_of_mesh
from .vocabulary import ARKIT, PARTS, VISEME_PARTS

GROUPS = ("Bones", "Jaw", "Lids and Eyes", "Mouth", "Brows, Cheeks, Nose", "Visemes")
FOUND, GUESSED, CHOSEN, IGNORED, MISSING, LOST = "found", "guessed", "chosen", "ignored", "missing", "lost"
_BLINKS_OF_OURS = {"BlinkLeft": BLINKS[0], "BlinkRight": BLINKS[1]}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table."""

    part: str
    """A joint, or a part that a key moves."""
    label: str
    group: str
    name: str
    """Bone or shape key; empty where there is none."""
    state: str
    reason: str = ""
    """Why a part was guessed or is ignored."""
    axes: str = ""
    amount: float = 1.0

    @property
    def is_bone(self) -> bool:
        return self.part in JOINTS


@dataclasses.dataclass(frozen=True)
class Table:
    """The mapping of one rig."""

    armature: str
    """Object that the choice is stored with."""
    mesh: str
    """Object whose shape keys can be chosen; empty without any."""
    rows: tuple[Row, ...]
    fault: str = ""
    """Why the rig cannot be used as it is."""

    def row(self, part: str) -> Row | None:
        return next((row for row in self.rows if row.part == part), None)

    def count(self, *states: str) -> int:
        return sum(row.state in states for row in self.rows)


def holder(obj: bpy.types.Object | None) -> bpy.types.Object:
    """The object that keeps the mapping of the rig which ``obj`` belongs to, however little of it was found."""
    try:
        return find_rig(obj).armature
    except TalkingEyesError:
        if obj is None or obj.type not in ("MESH", "ARMATURE"):
            raise
    return obj if obj.type == "ARMATURE" else armature_of(obj) or obj


def table(obj: bpy.types.Object) -> Table:
    """The mapping of the rig that ``obj``, a mesh or an armature, belongs to; also of one that is not whole."""
    armature = holder(obj)
    choice = read_map(armature)
    rig, fault = None, ""
    try:
        rig = find_rig(obj)
    except TalkingEyesError as error:
        fault = str(error)
    meshes = face_meshes(armature) if armature.type == "ARMATURE" else relatives(armature)
    mesh = rig.mesh if rig is not None else max(meshes, key=lambda m: len(key_names(m)), default=None)
    names = key_names(mesh) if mesh is not None else []
    bones = [bone.name for bone in armature.data.bones] if armature.type == "ARMATURE" else []
    left = {gap.part: gap for gap in rig.report.ignored} if rig is not None else {}
    guessed = {gap.part: gap.reason for gap in rig.report.guessed} if rig is not None else {}
    found = naming.match_bones(bones)[0]
    which = vocabulary_of_mesh(mesh, choice.keys) if mesh is not None else ""
    keys = (
        named_keys(names, which, choice.keys)
        if which
        else dict(zip(_BLINKS_OF_OURS, naming.match_blinks(names), strict=True))
    )
    for more in rig.more if rig is not None else ():
        keys = {**more.keys, **keys}
    rows = []
    for part in (*(JOINTS[1:] if bones else ()), *_key_parts(which, keys, choice)):
        group = "Bones" if part in JOINTS else _group(part)
        name = (choice.bones if part in JOINTS else choice.keys).get(part)
        chosen = name is not None
        name = name or (found if part in JOINTS else keys).get(part) or ""
        existing = bones if part in JOINTS else {n for m in meshes for n in key_names(m)}
        if chosen and name not in existing:
            state, reason = LOST, "it is not there any more"
        elif not name:
            state, reason = MISSING, ""
        elif choice.ignored.get(part) or part in left:
            state, reason = IGNORED, left[part].reason if part in left else "as you chose"
        elif chosen:
            state, reason = CHOSEN, ""
        else:
            state, reason = (GUESSED, guessed[part]) if part in guessed else (FOUND, "")
        label = WORDS.get(part, _spaced(part)).removesuffix(" bone").capitalize() if part in JOINTS else _spaced(part)
        rows.append(
            Row(part, label, group, name, state, reason, choice.axes.get(part, ""), choice.amounts.get(part, 1.0))
        )
    return Table(armature.name, mesh.name if mesh is not None and names else "", tuple(rows), fault)


def change(obj: bpy.types.Object, part: str, **changes: object) -> None:
    """Set a part's 'name', 'ignored', 'axes' or 'amount' in the mapping of a rig; None takes a choice back.

    TalkingEyesError where the rig is linked from another file, so that nothing can be stored with it.
    """
    armature = holder(obj)
    refuse_linked(armature)
    kind = "bones" if part in JOINTS else "keys"
    fields = {{"name": kind, "amount": "amounts"}.get(name, name): value for name, value in changes.items()}
    store_map(armature, read_map(armature).with_part(part, **fields))


def refuse_linked(obj: bpy.types.Object) -> None:
    if not obj.is_editable:
        raise TalkingEyesError(
            f"'{obj.name}' is linked from another file and cannot be changed here.",
            "Make a library override of it (Object > Library Override > Make), or open its own file.",
        )


def _key_parts(which: str, keys: dict[str, str], choice: RigMap) -> list[str]:
    """Parts that lines are shown for: all of the rig's vocabulary, and whatever else was found or chosen."""
    if not which:
        wanted = {"BlinkLeft", "BlinkRight"}
        return [*(p for p in _BLINKS_OF_OURS if p in wanted), *(p for p in choice.keys if p not in _BLINKS_OF_OURS)]
    wanted = set(ARKIT) if which == "arkit" else {*VISEME_PARTS, *BLINKS, *LOOKS}
    wanted |= set(keys) | {part for part in choice.keys if part in PARTS}
    order = [part for group in GROUPS for part in PARTS if _group(part) == group]
    return [part for part in order if part in wanted]


def _group(part: str) -> str:
    if part in VISEME_PARTS:
        return "Visemes"
    if part in JAW or part == "jawForward":
        return "Jaw"
    if part.startswith(("eye", "Blink")):
        return "Lids and Eyes"
    return "Mouth" if part.startswith(("mouth", "tongue")) or part not in EXPRESSIONS else "Brows, Cheeks, Nose"


def _spaced(part: str) -> str:
    if part.startswith("viseme_"):
        return part.removeprefix("viseme_")
    return "".join(f" {c.lower()}" if c.isupper() else c for c in part).strip().capitalize()
