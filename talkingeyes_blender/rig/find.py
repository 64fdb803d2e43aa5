"""Finding a head rig from the mesh or the armature that the user selected."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

import bpy

from ..errors import TalkingEyesError
from ..head.arkit import EXPRESSIONS, STANDIN
from ..head.arkit_values import BLINKS, LOOKS
from ..head.model import JOINTS
from . import compat, naming
from .channels import ROTATION_PATHS, bone_path
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
from .lid_keys import has_lid_landmarks
from .mapping import read_map
from .named import (
    expression_keys,
    further_meshes,
    is_still,
    key_names,
    named_keys,
    relatives,
    superseded,
    vocabulary_of_mesh,
)
from .obstacles import obstacles, refuse_broken
from .points import is_flame
from .takes import clips
from .vocabulary import ARKIT, VISEME_PARTS, whole

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
        # Teeth or lashes may be selected; the face is whichever of its relatives has the most keys.
        best, _ = _face_mesh(relatives(obj), obj, read_map(obj).keys)
        if not vocabulary_of_mesh(best, read_map(best).keys):
            raise _unrigged(obj)
        armature = mesh = best
    stored = read_map(armature)
    chosen = dataclasses.replace(stored, bones={**stored.bones, **(bones or {})}, keys={**stored.keys, **(keys or {})})
    named, reasons = _bones(armature, chosen.bones)
    meshes = face_meshes(armature)
    mesh, guess = _face_mesh(meshes, mesh, chosen.keys)
    blocks = mesh.data.shape_keys.key_blocks if mesh is not None and mesh.data.shape_keys is not None else ()
    names = [key.name for key in blocks]
    which = vocabulary_of_mesh(mesh, chosen.keys) if mesh is not None else ""
    if "jaw" not in named and not which:
        raise _no_jaw(armature)
    guesses += [Guess(joint, named[joint], reason) for joint, reason in reasons.items()]
    guesses += [guess] if guess is not None else []
    refuse_broken(armature, mesh)
    frame, frame_guessed = flame_frame(armature, mesh, named)
    if frame_guessed and named:
        guesses.append(Guess("front", "-Y, Z up", "neither the bones nor the mesh tell where the head faces"))
    every = set(names).union(*(key_names(other) for other in meshes if which))
    _refuse_lost(mesh, every, chosen.keys)
    ignored = {part: "as you chose" for part, left in chosen.ignored.items() if left}
    common = {"armature": armature, "mesh": mesh, "frame": frame, "axes": dict(chosen.axes)}
    common |= {"amounts": dict(chosen.amounts), "identity_keys": naming.match_identity(names)}
    if which:
        found = named_keys(names, which, chosen.keys)
        usable = {part: name for part, name in found.items() if whole(part) not in ignored}
        usable_bones = {joint: bone for joint, bone in named.items() if joint not in ignored}
        ignored = superseded(usable, usable_bones, mesh, chosen.ignored) | ignored
        usable = {part: name for part, name in usable.items() if whole(part) not in ignored}
        rig = HeadRig(
            **common,
            bones={joint: bone for joint, bone in named.items() if joint not in ignored},
            expression_keys=expression_keys(usable),
            blink_keys=tuple(usable.get(part) for part in BLINKS),
            head_model=STANDIN,
            vocabulary=which,
            named_keys=usable,
            more=further_meshes(meshes, mesh, which, chosen.keys, set(ignored)),
        )
    else:
        found = {}
        expressions, correctives, blinks = _keys(mesh, names, chosen.keys)
        rig = HeadRig(
            **common,
            bones={joint: bone for joint, bone in named.items() if joint not in ignored},
            expression_keys=tuple(None if f"Exp{i + 1}" in ignored else key for i, key in enumerate(expressions)),
            pose_keys={i: key for i, key in correctives.items() if f"Pose{i + 1}" not in ignored},
            blink_keys=tuple(
                None if part in ignored else key for part, key in zip(("BlinkLeft", "BlinkRight"), blinks, strict=True)
            ),
            head_model=_head_model(mesh, armature),
        )
    left = tuple(
        Guess(part, {**found, **named}[part], reason) for part, reason in ignored.items() if part in {**found, **named}
    )
    return dataclasses.replace(rig, report=_report(rig, tuple(g for g in guesses if g.part not in ignored), left))


def face_meshes(armature: bpy.types.Object) -> list[bpy.types.Object]:
    """The meshes that an armature moves; round a mesh without one those that hang on it or beside it."""
    if armature.type != "ARMATURE":
        return relatives(armature)
    return [o for o in bpy.data.objects if o.type == "MESH" and _armature_of(o)[0] == armature]


def armature_of(mesh: bpy.types.Object) -> bpy.types.Object | None:
    """The armature that moves a mesh, if there is one."""
    return _armature_of(mesh)[0]


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
    existing = [bone.name for bone in armature.data.bones] if armature.type == "ARMATURE" else []
    for joint, name in chosen.items():
        if name not in existing:
            raise TalkingEyesError(
                f"The armature '{armature.name}' has no bone '{name}', which was chosen as {joint}.", _CHOOSE
            )
    named, reasons = naming.match_bones(existing)
    if "neck" in named and "neck" not in chosen:
        head = _skull(armature, named)
        if head is not None:
            reasons["neck"] = f"'{head}' is where the skull turns, '{named['neck']}' lies below"
            named["neck"] = head
    named.update(chosen)
    named = {joint: named[joint] for joint in JOINTS if joint in named}
    return named, {joint: reason for joint, reason in reasons.items() if joint not in chosen}


def _no_jaw(armature: bpy.types.Object) -> TalkingEyesError:
    existing = [bone.name for bone in armature.data.bones]
    some = ", ".join(existing[:6]) + (", ..." if len(existing) > 6 else "")
    return TalkingEyesError(
        f"The armature '{armature.name}' has no jaw bone (its bones: {some or 'none'}).",
        "Name the bone that opens the mouth 'jaw' or choose it under Rig Mapping, or select the head's own armature.",
    )


def _refuse_lost(mesh: bpy.types.Object | None, existing: set[str], chosen: Mapping[str, str]) -> None:
    for part, name in chosen.items():
        if name not in existing:
            of = f"The mesh '{mesh.name}'" if mesh is not None else "The rig, which has no mesh,"
            raise TalkingEyesError(f"{of} has no shape key '{name}', which was chosen as {part}.", _CHOOSE)


def _skull(armature: bpy.types.Object, named: Mapping[str, str]) -> str | None:
    """The head's own bone above a neck's: FLAME's neck joint lies at the skull's base, as that bone does.

    A neck that takes of ours turn already stays what it is.
    """
    neck, jaw = named["neck"], named.get("jaw")
    bones = armature.data.bones
    if naming.is_head(neck):
        return None
    below = set() if jaw is None else {bone.name for bone in bones[jaw].parent_recursive}
    for bone in bones:
        if naming.is_head(bone.name) and (jaw is None or bone.name in below):
            if bones[neck] not in bone.parent_recursive or _turned_by_takes(armature, neck):
                return None
            return bone.name
    return None


def _turned_by_takes(armature: bpy.types.Object, bone: str) -> bool:
    paths = {bone_path(bone, path) for path in ROTATION_PATHS}
    strips = [clip.strip for clip in clips(armature)]
    return any(curve.data_path in paths for s in strips for curve in compat.Curves(s.action, compat.slot_of(s)))


def _keys(
    mesh: bpy.types.Object | None, names: list[str], chosen: Mapping[str, str]
) -> tuple[tuple[str | None, ...], dict[int, str], tuple[str | None, str | None]]:
    """(expressions, correctives by column, lids) by name and by choice."""
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
        elif part in ("BlinkLeft", "BlinkRight"):
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
    meshes: list[bpy.types.Object], selected: bpy.types.Object | None, chosen: Mapping[str, str]
) -> tuple[bpy.types.Object | None, Guess | None]:
    """The mesh with the face: the selected one if it has expression keys, else the best of the armature's meshes.

    Of meshes with named keys it is the one with the most, whichever is selected: teeth and lashes have some too.
    """

    def expressions(mesh: bpy.types.Object) -> int:
        return len(naming.match_expressions(key_names(mesh)))

    def named(mesh: bpy.types.Object) -> int:
        which = vocabulary_of_mesh(mesh, chosen)
        return len(named_keys(key_names(mesh), which, chosen)) if which else 0

    def rank(mesh: bpy.types.Object) -> tuple:
        count = expressions(mesh)
        return (mesh == selected and count > 0, count, named(mesh), any(naming.match_blinks(key_names(mesh))),
                is_flame(mesh), mesh == selected, len(mesh.data.vertices))  # fmt: skip

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


def _report(rig: HeadRig, guesses: tuple[Guess, ...], ignored: tuple[Guess, ...] = ()) -> RigReport:
    return RigReport(
        family=_family(rig),
        found=tuple(_found(rig)),
        guessed=guesses,
        missing=tuple(gap for gap in _missing(rig) if gap.part not in {left.part for left in ignored}),
        ignored=ignored,
        obstacles=(*_doubts(rig, guesses), *obstacles(rig)),
    )


def _family(rig: HeadRig) -> Family:
    if rig.vocabulary:
        return Family.ARKIT if rig.vocabulary == "arkit" else Family.VISEMES
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
    if rig.has_bones:
        yield Found("armature", rig.armature.name)
    if rig.mesh is not None:
        yield Found("mesh", rig.mesh.name)
    for joint, bone in rig.bones.items():
        yield Found(joint, bone)
    if rig.vocabulary:
        yield from _found_named(rig)
        return
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


def _found_named(rig: HeadRig) -> Iterator[Found]:
    visemes = [part for part in VISEME_PARTS if part in rig.named_keys]
    arkit = [part for part in ARKIT if part in rig.named_keys]
    if visemes:
        yield Found("visemes", f"{len(visemes)} keys, {rig.named_keys[visemes[0]]} to {rig.named_keys[visemes[-1]]}")
    if arkit:
        yield Found("ARKit's keys", f"{len(arkit)} of {len(ARKIT)}")
    if all(rig.blink_keys):
        yield Found("lids", f"{rig.blink_keys[0]}, {rig.blink_keys[1]}")
    for more in rig.more:
        yield Found("further mesh", f"{more.mesh.name}, {len(more.keys)} keys")


def _missing_named(rig: HeadRig) -> Iterator[Missing]:
    """What a face of named keys cannot do: by bone or by key, either is enough."""
    has = set(rig.named_keys).union(*(part.keys for part in rig.more))
    choose = "Choose its bone or its key under Rig Mapping, if it has another name."
    if "neck" not in rig.bones:
        yield Missing("neck", "There is no neck or head bone, so the head will not move.", choose)
    for side in ("left", "right"):
        looks = {part for part in LOOKS if part.endswith(side.capitalize())}
        if f"{side}_eye" not in rig.bones and not looks <= has:
            loss = f"Neither a bone nor keys turn the {side} eye, so it will not look around."
            yield Missing(f"{side}_eye", loss, choose)
    if rig.vocabulary == "arkit" and "jaw" not in rig.bones and "jawOpen" not in has:
        yield Missing("jaw", "Neither a bone nor the key jawOpen opens the jaw, so the mouth will not open.", choose)
    elif rig.vocabulary == "arkit" and "jaw" not in rig.bones and is_still(rig.mesh, rig.named_keys.get("jawOpen")):
        loss = f"The key '{rig.named_keys['jawOpen']}' moves nothing, so the mouth will not open."
        yield Missing("jaw", loss, "Give it a shape, or choose another key or bone under Rig Mapping.")
    if not set(BLINKS) <= has:
        yield Missing("lids", "There is no key for each eye that shuts its lids, so it will not blink.", choose)
    if rig.vocabulary == "arkit":
        lost = [part for part in EXPRESSIONS if part not in has and part not in BLINKS]
        if lost:
            some = ", ".join(lost[:4]) + (f" and {len(lost) - 4} more" if len(lost) > 4 else "")
            yield Missing(f"{len(lost)} of ARKit's keys", f"There is no key for {some}; that will not move.", choose)
    else:
        lost = [part.removeprefix("viseme_") for part in VISEME_PARTS[1:] if part not in has]
        if lost:
            yield Missing(f"the visemes {', '.join(lost)}", "", "The nearest of the others stand in for them.")


_GET_FLAME_KEYS = "Build a rig from a FLAME file to get them."
_GET_NAMED_KEYS = "Give the face shape keys with ARKit's names or visemes (MPFB loads both as face units)."
_CHOOSE_LIDS = "Choose the keys that shut each eye under Rig Mapping."


def _missing(rig: HeadRig) -> Iterator[Missing]:
    if rig.vocabulary:
        yield from _missing_named(rig)
        return
    for joint, loss in _LOST.items():
        if joint not in rig.bones:
            yield Missing(joint, loss, "Choose its bone, if it has another name.")
    keys = [key for key in rig.expression_keys if key is not None]
    gaps = rig.expressions - len(keys)
    if rig.mesh is None:
        loss = f"The armature '{rig.armature.name}' deforms no mesh, so only bones will move."
        yield Missing("mesh", loss, "Give the head's mesh an armature modifier with this armature.")
    elif not keys:
        loss = "The rig has no expression keys that are known by name, so only jaw, head and eyes will move."
        yield Missing("expressions", loss, _GET_FLAME_KEYS if is_flame(rig.mesh) else _GET_NAMED_KEYS)
    if gaps:
        those = "number is missing" if gaps == 1 else "numbers are missing"
        loss = f"{gaps} {those} between {keys[0]} and {keys[-1]}, and will not move."
        yield Missing(f"{gaps} expressions", loss)
    if not all(rig.blink_keys):
        yield Missing("lids", mend="Make lid keys." if has_lid_landmarks(rig) else _CHOOSE_LIDS)
    if keys and not rig.head_model:
        yield Missing("head model")


def _doubts(rig: HeadRig, guesses: tuple[Guess, ...]) -> Iterator[str]:
    if any(rig.expression_keys) and not rig.vocabulary and not knows_landmarks(rig):
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
