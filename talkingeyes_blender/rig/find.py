"""Finding a head rig from the mesh or the armature that the user selected."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

import bpy

from ..errors import TalkingEyesError
from ..head.model import JOINTS
from . import naming
from .frame import flame_frame
from .head_rig import (
    BLINK_PROPERTY,
    HEAD_MODEL_PROPERTY,
    JOINTS_PROPERTY,
    Family,
    Found,
    Guess,
    HeadRig,
    Missing,
    RigReport,
)
from .identity import identity_changed
from .landmark_basis import knows_landmarks
from .mapping import RigMap, read_map
from .obstacles import obstacles, refuse_broken
from .points import is_flame

_SELECT = "Select a head's mesh or its armature, or add the stand-in head."
_LOST = {
    "neck": "The rig has no neck bone, so the head will not move.",
    "left_eye": "The rig has no bone for the left eye, so it will not look around.",
    "right_eye": "The rig has no bone for the right eye, so it will not look around.",
}
_CHOOSE = "Choose another one, or leave the choice empty."


def find_rig(
    obj: bpy.types.Object | None,
    bones: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
) -> HeadRig:
    """Find the parts of the head rig that ``obj``, a mesh or an armature, belongs to.

    ``bones`` names bones by joint and ``keys`` shape keys by their names on rigs of ours (mapping.RigMap), where the
    rig's own names do not say; what was stored with the armature is taken for those not given. What is missing or
    guessed stands in the rig's report; without an armature or a jaw bone there is no rig, and TalkingEyesError says
    why.
    """
    if obj is None:
        raise TalkingEyesError("No head is selected.", _SELECT)
    guesses: list[Guess] = []
    if obj.type == "ARMATURE":
        armature, mesh = obj, None
    elif obj.type == "MESH":
        (armature, guess), mesh = _armature_of(obj), obj
        guesses += [guess] if guess is not None else []
    else:
        raise TalkingEyesError(f"'{obj.name}' is a {obj.type.lower()}, neither a mesh nor an armature.", _SELECT)
    if armature is None:
        raise _unrigged(obj)
    stored = read_map(armature)
    chosen = RigMap({**stored.bones, **(bones or {})}, {**stored.keys, **(keys or {})})
    named, reasons = _bones(armature, chosen.bones)
    guesses += [Guess(joint, named[joint], reason) for joint, reason in reasons.items()]
    mesh, guess = _face_mesh(armature, mesh)
    guesses += [guess] if guess is not None else []
    refuse_broken(armature, mesh)
    blocks = mesh.data.shape_keys.key_blocks if mesh is not None and mesh.data.shape_keys is not None else ()
    names = [key.name for key in blocks]
    expressions, correctives, blinks = _keys(mesh, names, chosen.keys)
    frame, frame_guessed = flame_frame(armature, mesh, named)
    if frame_guessed:
        guesses.append(Guess("front", "-Y, Z up", "neither the bones nor the mesh tell where the head faces"))
    rig = HeadRig(
        armature=armature,
        mesh=mesh,
        bones=named,
        frame=frame,
        expression_keys=expressions,
        pose_keys=correctives,
        blink_keys=blinks,
        identity_keys=naming.match_identity(names),
        head_model=_head_model(mesh, armature),
    )
    return dataclasses.replace(rig, report=_report(rig, tuple(guesses)))


def inspect_rig(obj: bpy.types.Object | None) -> RigReport:
    """What ``find_rig`` finds, as a report even where there is no rig: its ``fault`` then says why."""
    try:
        return find_rig(obj).report
    except TalkingEyesError as error:
        bare = obj is not None and obj.type == "MESH" and is_flame(obj) and _armature_of(obj)[0] is None
        return RigReport(
            family=Family.BARE if bare else Family.OTHER,
            missing=(Missing("armature"),) if bare else (),
            fault=error.message,
            mend=error.hint,
        )


def _unrigged(mesh: bpy.types.Object) -> TalkingEyesError:
    if is_flame(mesh):
        return TalkingEyesError(
            f"The mesh '{mesh.name}' has FLAME's vertices but no armature, so nothing can turn its jaw or eyes.",
            "Build a rig round it: this takes the FLAME file (.pkl or .npz) that it was made with, since weights and "
            "expressions are in there.",
        )
    return TalkingEyesError(
        f"The mesh '{mesh.name}' has no armature, so nothing can turn its jaw or eyes.",
        "Select a head that has an armature, or build one from a FLAME file.",
    )


def _bones(armature: bpy.types.Object, chosen: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(bone by joint, why it is a guess by joint)."""
    existing = [bone.name for bone in armature.data.bones]
    for joint, name in chosen.items():
        if name not in existing:
            raise TalkingEyesError(
                f"The armature '{armature.name}' has no bone '{name}', which was chosen as {joint}.", _CHOOSE
            )
    named, reasons = naming.match_bones(existing)
    named.update(chosen)
    if "jaw" not in named:
        some = ", ".join(existing[:6]) + (", ..." if len(existing) > 6 else "")
        raise TalkingEyesError(
            f"The armature '{armature.name}' has no jaw bone (its bones: {some or 'none'}).",
            "Name the bone that opens the mouth 'jaw', or select the head's own armature.",
        )
    named = {joint: named[joint] for joint in JOINTS if joint in named}
    return named, {joint: reason for joint, reason in reasons.items() if joint not in chosen}


def _keys(
    mesh: bpy.types.Object | None, names: list[str], chosen: Mapping[str, str]
) -> tuple[tuple[str | None, ...], dict[int, str], tuple[str | None, str | None]]:
    """(expressions, correctives by column, lids) by name and by choice."""
    for part, name in chosen.items():
        if name not in names:
            of = f"The mesh '{mesh.name}'" if mesh is not None else "The rig, which has no mesh,"
            raise TalkingEyesError(f"{of} has no shape key '{name}', which was chosen as {part}.", _CHOOSE)
    expressions = list(naming.match_expressions(names))
    correctives = naming.match_pose_correctives(names)
    blinks = list(naming.match_blinks(names))
    for part, name in chosen.items():
        if part.startswith("Exp"):
            place = int(part.removeprefix("Exp")) - 1
            expressions += [None] * (place + 1 - len(expressions))
            expressions[place] = name
        elif part.startswith("Pose"):
            correctives[int(part.removeprefix("Pose")) - 1] = name
        else:
            blinks[int(part == "BlinkRight")] = name
    if mesh is not None and mesh.get(BLINK_PROPERTY):
        blinks = [None, None]
    return tuple(expressions), correctives, (blinks[0], blinks[1])


def _armature_of(mesh: bpy.types.Object) -> tuple[bpy.types.Object | None, Guess | None]:
    """The armature that deforms a mesh; of several the first with a jaw; else the armature it is parented to."""
    candidates = [m.object for m in mesh.modifiers if m.type == "ARMATURE" and m.object is not None]
    parent = mesh.parent
    while parent is not None:
        if parent.type == "ARMATURE":
            candidates.append(parent)
        parent = parent.parent
    candidates = list(dict.fromkeys(candidates))
    if len(candidates) < 2:
        return (candidates[0] if candidates else None), None
    with_jaw = [c for c in candidates if "jaw" in naming.match_bones(b.name for b in c.data.bones)[0]]
    best = (with_jaw or candidates)[0]
    others = "', '".join(c.name for c in candidates if c != best)
    if len(with_jaw) == 1:
        return best, Guess("armature", best.name, f"the mesh has '{others}' too, but no jaw is in there")
    why = "all of them have a jaw" if with_jaw else "none of them has a jaw"
    return best, Guess("armature", best.name, f"the mesh has '{others}' too, and {why}; this one comes first")


def _face_mesh(
    armature: bpy.types.Object, selected: bpy.types.Object | None
) -> tuple[bpy.types.Object | None, Guess | None]:
    """The mesh with the face: the selected one if it has expression keys, else the best of the armature's meshes."""
    meshes = [o for o in bpy.data.objects if o.type == "MESH" and _armature_of(o)[0] == armature]

    def expressions(mesh: bpy.types.Object) -> int:
        keys = mesh.data.shape_keys
        return len(naming.match_expressions(key.name for key in keys.key_blocks)) if keys is not None else 0

    def rank(mesh: bpy.types.Object) -> tuple:
        keys = mesh.data.shape_keys
        names = [key.name for key in keys.key_blocks] if keys is not None else []
        count = expressions(mesh)
        return (mesh == selected and count > 0, count, any(naming.match_blinks(names)), is_flame(mesh),
                mesh == selected, len(mesh.data.vertices))  # fmt: skip

    best = max(meshes, key=rank, default=None)
    rivals = [mesh.name for mesh in meshes if mesh not in (best, selected) and expressions(mesh)]
    if best is None or best == selected or not rivals:
        return best, None
    return best, Guess("mesh", best.name, f"'{rivals[0]}' has expression keys too; select the mesh that is meant")


def _head_model(mesh: bpy.types.Object | None, armature: bpy.types.Object) -> str:
    for obj in (mesh, armature):
        value = obj.get(HEAD_MODEL_PROPERTY) if obj is not None else None
        if isinstance(value, str) and value:
            return value
    return ""


# ------------------------------------------------------------------------------------------------------- the report


def _report(rig: HeadRig, guesses: tuple[Guess, ...]) -> RigReport:
    return RigReport(
        family=_family(rig),
        found=tuple(_found(rig)),
        guessed=guesses,
        missing=tuple(_missing(rig)),
        obstacles=(*_doubts(rig, guesses), *obstacles(rig)),
    )


def _family(rig: HeadRig) -> Family:
    if JOINTS_PROPERTY in rig.armature.data:
        return Family.OURS
    first = next((key for key in rig.expression_keys if key is not None), "")
    number = re.search(r"\d+$", first)
    from_zero = number is not None and (int(number[0]) == 0 or number[0].startswith("0"))
    if from_zero or any("smplhf" in bone for bone in rig.bones.values()):
        return Family.SMPLX
    if all(rig.bones.get(joint) == joint for joint in JOINTS[1:]):
        return Family.MPI
    return Family.FLAME_MESH if rig.mesh is not None and is_flame(rig.mesh) else Family.OTHER


def _found(rig: HeadRig) -> Iterator[Found]:
    yield Found("armature", rig.armature.name)
    if rig.mesh is not None:
        yield Found("mesh", rig.mesh.name)
    for joint, bone in rig.bones.items():
        yield Found(joint, bone)
    keys = [key for key in rig.expression_keys if key is not None]
    if keys:
        yield Found("expressions", f"{len(keys)} keys, {keys[0]} to {keys[-1]}")
    if rig.identity_keys:
        yield Found("identity", f"{len(rig.identity_keys)} keys")
    if rig.pose_keys:
        yield Found("pose correctives", f"{len(rig.pose_keys)} keys")
    if all(rig.blink_keys):
        yield Found("lids", f"{rig.blink_keys[0]}, {rig.blink_keys[1]}")
    if rig.head_model:
        yield Found("head model", rig.head_model)


def _missing(rig: HeadRig) -> Iterator[Missing]:
    for joint, loss in _LOST.items():
        if joint not in rig.bones:
            yield Missing(joint, loss, "Choose its bone, if it has another name.")
    keys = [key for key in rig.expression_keys if key is not None]
    gaps = rig.expressions - len(keys)
    if rig.mesh is None:
        loss = f"The armature '{rig.armature.name}' deforms no mesh, so only bones will move."
        yield Missing("mesh", loss, "Give the head's mesh an armature modifier with this armature.")
    elif not keys:
        loss = "The rig has no expression keys (Exp1, Exp2, ...), so only jaw, head and eyes will move."
        yield Missing("expressions", loss, "Build a rig from a FLAME file to get them.")
    if gaps:
        those = "number is missing" if gaps == 1 else "numbers are missing"
        loss = f"{gaps} {those} between {keys[0]} and {keys[-1]}, and will not move."
        yield Missing(f"{gaps} expressions", loss)
    if not all(rig.blink_keys):
        yield Missing("lids", mend="Make lid keys.")
    if keys and not rig.head_model:
        yield Missing("head model")


def _doubts(rig: HeadRig, guesses: tuple[Guess, ...]) -> Iterator[str]:
    if any(rig.expression_keys) and not knows_landmarks(rig):
        yield (
            "Where the face's landmarks lie on this mesh is not known, so expressions of another head model cannot be "
            "carried over to it."
        )
    for guess in guesses:
        if guess.part == "front":
            yield "Where the head faces could not be told from its bones; it was taken to face -Y with Z up."
        elif guess.part in ("armature", "mesh"):
            yield f"The {guess.part} was taken to be '{guess.name}': {guess.reason}."
    if identity_changed(rig):
        yield (
            "The face's identity keys were changed since its joints were placed, so jaw and eyes turn about the old "
            "ones. Fit the rig to the face."
        )
