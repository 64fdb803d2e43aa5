"""Finding a head rig from the mesh or the armature that the user selected."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import bpy

from ..errors import TalkingEyesError
from ..head.model import JOINTS
from . import naming
from .frame import flame_frame
from .head_rig import HEAD_MODEL_PROPERTY, HeadRig, RigReport
from .landmark_basis import knows_landmarks
from .points import is_flame

_SELECT = "Select a head's mesh or its armature, or add the stand-in head."
_WORDS = {"neck": "neck bone", "left_eye": "left eye bone", "right_eye": "right eye bone"}
_LOSS = {
    "neck": "The rig has no neck bone, so the head will not move.",
    "left_eye": "The rig has no bone for the left eye, so it will not look around.",
    "right_eye": "The rig has no bone for the right eye, so it will not look around.",
}


def find_rig(obj: bpy.types.Object | None, bones: Mapping[str, str] | None = None) -> HeadRig:
    """Find the parts of the head rig that ``obj``, a mesh or an armature, belongs to.

    ``bones`` names bones by joint (head.model.JOINTS) where the rig's own names do not say. What is missing or guessed
    stands in the rig's report; without an armature or a jaw bone there is no rig, and TalkingEyesError says why.
    """
    if obj is None:
        raise TalkingEyesError("No head is selected.", _SELECT)
    if obj.type == "ARMATURE":
        armature, mesh = obj, None
    elif obj.type == "MESH":
        armature, mesh = _armature_of(obj), obj
    else:
        raise TalkingEyesError(f"'{obj.name}' is a {obj.type.lower()}, neither a mesh nor an armature.", _SELECT)
    if armature is None:
        hint = "Select the head that has an armature, or build a rig from the FLAME file that this mesh was made with."
        raise TalkingEyesError(f"The mesh '{obj.name}' has no armature, so nothing can turn its jaw or eyes.", hint)
    named, guessed_joints = _bones(armature, bones or {})
    mesh = _face_mesh(armature, mesh)
    keys = mesh.data.shape_keys if mesh is not None else None
    names = [key.name for key in keys.key_blocks] if keys is not None else []
    frame, frame_guessed = flame_frame(armature, mesh, named)
    expressions = naming.match_expressions(names)
    rig = HeadRig(
        armature=armature,
        mesh=mesh,
        bones=named,
        frame=frame,
        expression_keys=expressions,
        pose_keys=naming.match_pose_correctives(names),
        blink_keys=naming.match_blinks(names),
        head_model=_head_model(mesh, armature),
    )
    return _with_report(rig, guessed_joints, frame_guessed)


def _bones(armature: bpy.types.Object, chosen: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    existing = [bone.name for bone in armature.data.bones]
    for joint, name in chosen.items():
        if joint not in JOINTS or name not in existing:
            raise TalkingEyesError(
                f"The armature '{armature.name}' has no bone '{name}', which was chosen as {joint}.",
                "Choose another bone, or leave the choice empty.",
            )
    named, guessed = naming.match_bones(existing)
    named.update(chosen)
    if "jaw" not in named:
        some = ", ".join(existing[:6]) + (", ..." if len(existing) > 6 else "")
        raise TalkingEyesError(
            f"The armature '{armature.name}' has no jaw bone (its bones: {some or 'none'}).",
            "Name the bone that opens the mouth 'jaw', or select the head's own armature.",
        )
    return {joint: named[joint] for joint in JOINTS if joint in named}, tuple(j for j in guessed if j not in chosen)


def _armature_of(mesh: bpy.types.Object) -> bpy.types.Object | None:
    """The armature that deforms a mesh; of several the one with a jaw; else the armature it is parented to."""
    candidates = [m.object for m in mesh.modifiers if m.type == "ARMATURE" and m.object is not None]
    parent = mesh.parent
    while parent is not None:
        if parent.type == "ARMATURE" and parent not in candidates:
            candidates.append(parent)
        parent = parent.parent
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    with_jaw = (c for c in candidates if "jaw" in naming.match_bones(b.name for b in c.data.bones)[0])
    return next(with_jaw, candidates[0])


def _face_mesh(armature: bpy.types.Object, selected: bpy.types.Object | None) -> bpy.types.Object | None:
    """The mesh with the face: the selected one if it has expression keys, else the best of the armature's meshes."""
    meshes = [o for o in bpy.data.objects if o.type == "MESH" and _armature_of(o) == armature]

    def rank(mesh: bpy.types.Object) -> tuple:
        keys = mesh.data.shape_keys
        names = [key.name for key in keys.key_blocks] if keys is not None else []
        count = len(naming.match_expressions(names))
        return (mesh == selected and count > 0, count, any(naming.match_blinks(names)), is_flame(mesh),
                mesh == selected, len(mesh.data.vertices))  # fmt: skip

    return max(meshes, key=rank, default=None)


def _head_model(mesh: bpy.types.Object | None, armature: bpy.types.Object) -> str:
    for obj in (mesh, armature):
        value = obj.get(HEAD_MODEL_PROPERTY) if obj is not None else None
        if isinstance(value, str) and value:
            return value
    return ""


def _with_report(rig: HeadRig, guessed_joints: tuple[str, ...], frame_guessed: bool) -> HeadRig:
    found = [f"{joint} = {bone}" for joint, bone in rig.bones.items()]
    missing = [word for joint, word in _WORDS.items() if joint not in rig.bones]
    guessed = [f"{joint} = {rig.bones[joint]}" for joint in guessed_joints]
    warnings = [text for joint, text in _LOSS.items() if joint not in rig.bones]
    keys = [key for key in rig.expression_keys if key is not None]
    if keys:
        found.append(f"{len(keys)} expression keys ({keys[0]} to {keys[-1]})")
        gaps = rig.expressions - len(keys)
        if gaps:
            missing.append(f"{gaps} expression keys")
            warnings.append(f"{gaps} numbers are missing between {keys[0]} and {keys[-1]}; these will not move.")
    else:
        missing.append("expression keys")
        warnings.append(
            "The rig has no expression keys (Exp1, Exp2, ...), so only jaw, head and eyes will move. "
            "Build a rig from a FLAME file to get them."
        )
    if keys and not knows_landmarks(rig):
        warnings.append(
            "Where the face's landmarks lie on this mesh is not known, so expressions of another head model cannot be "
            "carried over to it."
        )
    if rig.pose_keys:
        found.append(f"{len(rig.pose_keys)} pose correctives")
    if all(rig.blink_keys):
        found.append(f"lids = {rig.blink_keys[0]}, {rig.blink_keys[1]}")
    else:
        missing.append("lid keys")
    if not rig.head_model and keys:
        missing.append("the name of its head model")
    if frame_guessed:
        guessed.append("facing -Y, Z up")
        warnings.append("Where the head faces could not be told from its bones; it was taken to face -Y with Z up.")
    report = RigReport(tuple(found), tuple(missing), tuple(guessed), tuple(warnings))
    return dataclasses.replace(rig, report=report)
