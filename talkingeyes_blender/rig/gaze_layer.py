"""A target to look at, and offsets of eyes and head, over whatever take plays: constraints that one can take off again.

Nothing of a take is changed. A hidden armature, the helper, lies in the rig's own place. Its bones have FLAME's axes
whatever the rig's are, and follow the bones that carry the rig's eyes and neck; there each eye is aimed for itself,
which is what makes the eyes converge. The rig's bones copy those turns, as far as the weight says, over their own.
Since they are constraints, lids that follow the gaze follow this one too.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ..errors import TalkingEyesError
from .frame import unit_of
from .head_rig import LAYER_CONSTRAINT, HeadRig
from .parts import BONE_LENGTH, editing
from .takes import owners, refuse_tweak_mode

LOOK_AT, OFFSET = f"{LAYER_CONSTRAINT}Look At", f"{LAYER_CONSTRAINT}Offset"
MADE_PROPERTY = "talkingeyes_look_at_target"
"""On an Empty that we made to be looked at."""

WEIGHT, HEAD_SHARE, RANGE = "talkingeyes_look_at", "talkingeyes_look_at_head", "talkingeyes_look_at_range"
EYES_UP, EYES_LEFT = "talkingeyes_eyes_up", "talkingeyes_eyes_left"
HEAD_UP, HEAD_LEFT, HEAD_TILT = "talkingeyes_head_up", "talkingeyes_head_left", "talkingeyes_head_tilt"

OCULAR_RANGE = 35.0
"""Degrees that an eye turns from straight ahead at most."""
_NECK_RANGE = 60.0
_FAR = 0.1
"""Metres of the head from an eye to where it is aimed at: only the direction counts."""
_AHEAD = 1.0
"""Metres of the head from the eyes to a target that we make."""
_TARGET = "target"


@dataclasses.dataclass(frozen=True)
class Setting:
    """A custom property on the armature object, which one can animate."""

    name: str
    label: str
    description: str
    default: float
    low: float
    high: float


SETTINGS = (
    Setting(WEIGHT, "Strength", "How far the eyes look at the target: 0 is the generated gaze, 1 the target",
            1.0, 0, 1),
    Setting(HEAD_SHARE, "Head Too", "How much of the way to the target the head turns, over its own motion",
            0.0, 0, 1),
    Setting(RANGE, "Eye Range", "Degrees that an eye turns from straight ahead at most", OCULAR_RANGE, 5, 60),
    Setting(EYES_UP, "Eyes Up", "Degrees by which the generated gaze is raised", 0.0, -35, 35),
    Setting(EYES_LEFT, "Eyes Left", "Degrees by which the generated gaze is turned to the head's left", 0.0, -35, 35),
    Setting(HEAD_UP, "Head Up", "Degrees by which the head is raised", 0.0, -60, 60),
    Setting(HEAD_LEFT, "Head Left", "Degrees by which the head is turned to its left", 0.0, -80, 80),
    Setting(HEAD_TILT, "Head Tilt", "Degrees by which the head is tilted to its right", 0.0, -45, 45),
)  # fmt: skip


def has_layer(rig: HeadRig) -> bool:
    """Whether anything of a gaze layer is on the rig."""
    return WEIGHT in rig.armature or any(_constraints(rig))


def helper_of(rig: HeadRig) -> bpy.types.Object | None:
    """The armature that aims the rig's eyes; None without a layer, where the user has deleted it, and on a copy of the
    rig, whose constraints still lead to the helper of the first."""
    helpers = (constraint.target for _, constraint in _constraints(rig))
    return next((helper for helper in helpers if helper is not None and helper.parent == rig.armature), None)


def target_constraint(rig: HeadRig) -> bpy.types.Constraint | None:
    """The constraint whose ``target`` is what the rig looks at, for the panel to show."""
    helper = helper_of(rig)
    bone = helper.pose.bones.get(_TARGET) if helper is not None else None
    return bone.constraints[0] if bone is not None and len(bone.constraints) else None


def add_layer(
    context: bpy.types.Context, rig: HeadRig, target: bpy.types.Object | None = None, weight: float = 1.0
) -> bpy.types.Object:
    """Put a gaze layer on a rig and return what it looks at: ``target``, or an Empty that is made before its face.

    A layer that is there already only gets the target. All or nothing.
    """
    eyes = [joint for joint in ("left_eye", "right_eye") if joint in rig.bones]
    if not eyes:
        raise TalkingEyesError(f"'{rig.name}' has no eye bones, so it cannot look at anything.", "Choose its bones.")
    if not rig.armature.is_editable:
        raise TalkingEyesError(
            f"'{rig.armature.name}' is linked from another file and cannot be constrained here.",
            "Make a library override of it (Object > Library Override > Make), or open its own file.",
        )
    if target is not None and _carried(rig, target):
        raise TalkingEyesError(
            f"'{target.name}' moves with the head itself, which would chase its own tail.",
            "Choose an object that is not fixed to this head.",
        )
    refuse_tweak_mode(rig)
    there = target_constraint(rig)
    if there is not None:
        there.target = target or there.target or _new_target(rig)
        return there.target
    remove_layer(rig)  # what may be left of one whose helper was deleted
    made = None
    try:
        made = target or _new_target(rig)
        for setting in SETTINGS:
            rig.armature[setting.name] = float(weight) if setting.name == WEIGHT else setting.default
            rig.armature.id_properties_ui(setting.name).update(
                default=setting.default, min=setting.low, max=setting.high, description=setting.description
            )
        rig.armature.update_tag()  # or the first evaluation of the drivers misses them
        helper = _add_helper(context, rig, eyes, made)
        for joint in eyes:
            _copy(rig, joint, helper, OFFSET, "eyes offset", "BEFORE", None)
            _copy(rig, joint, helper, LOOK_AT, f"{joint} aim", "REPLACE", "clamp(w,0,1)")
        if "neck" in rig.bones:
            _copy(rig, "neck", helper, LOOK_AT, "neck aim", "BEFORE", "clamp(w*h,0,1)")
            _copy(rig, "neck", helper, OFFSET, "head offset", "BEFORE", None)
    except BaseException:
        remove_layer(rig)
        if made is not None and made != target and made.name in bpy.data.objects:
            bpy.data.objects.remove(made)
        raise
    return made


def remove_layer(rig: HeadRig) -> None:
    """Take the gaze layer off a rig, which is then as it was before. An Empty that we made goes too, unless the user
    has done something with it."""
    armature, helper = rig.armature, helper_of(rig)
    made = target_constraint(rig)
    target = made.target if made is not None else None
    for bone, constraint in list(_constraints(rig)):
        with contextlib.suppress(TypeError):
            constraint.driver_remove("influence")
        bone.constraints.remove(constraint)
    if helper is not None:
        data = helper.data
        bpy.data.objects.remove(helper)
        if not data.users:
            bpy.data.armatures.remove(data)
    if target is not None and target.get(MADE_PROPERTY) and _untouched(target):
        bpy.data.objects.remove(target)
    for setting in SETTINGS:
        if setting.name in armature:
            del armature[setting.name]
    data = armature.animation_data
    if data is not None and data.action is None and not len(data.nla_tracks) and not len(data.drivers):
        armature.animation_data_clear()
    for owner in owners(rig):
        owner.update_tag()


# ---------------------------------------------------------------------------------------------------------- the parts


def _constraints(rig: HeadRig):
    for joint in ("left_eye", "right_eye", "neck"):
        bone = rig.armature.pose.bones[rig.bones[joint]] if joint in rig.bones else None
        for constraint in bone.constraints if bone is not None else ():
            if constraint.type == "COPY_ROTATION" and constraint.name.startswith(LAYER_CONSTRAINT):
                yield bone, constraint


def _carried(rig: HeadRig, target: bpy.types.Object) -> bool:
    """Whether an object moves with the rig's bones, so that looking at it would move it."""
    while target is not None:
        if target == rig.mesh or (target.parent == rig.armature and target.parent_type == "BONE"):
            return True
        target = target.parent
    return False


def _untouched(target: bpy.types.Object) -> bool:
    if target.animation_data or target.parent or target.children or len(target.constraints):
        return False
    # Other heads may look at it too.
    return not any(isinstance(user, bpy.types.Object) for user in bpy.data.user_map(subset=[target])[target])


def _new_target(rig: HeadRig) -> bpy.types.Object:
    """An Empty straight before the rig's eyes."""
    place = _eyes_middle(rig) + _AHEAD * unit_of(rig) * rig.frame[:, 2]
    target = bpy.data.objects.new(f"Look At {rig.name}", None)
    target[MADE_PROPERTY] = True
    target.empty_display_type = "SPHERE"
    matrix = rig.armature.matrix_world
    target.empty_display_size = 0.03 * unit_of(rig) * matrix.median_scale
    target.location = matrix @ Vector(place)
    _collection(rig).objects.link(target)
    return target


def _collection(rig: HeadRig) -> bpy.types.Collection:
    collections = [c for c in rig.armature.users_collection if c.is_editable]
    return collections[0] if collections else bpy.context.scene.collection


def _eyes_middle(rig: HeadRig) -> np.ndarray:
    bones = rig.armature.data.bones
    return np.mean([bones[rig.bones[j]].head_local for j in ("left_eye", "right_eye") if j in rig.bones], 0)


def _add_helper(
    context: bpy.types.Context, rig: HeadRig, eyes: list[str], target: bpy.types.Object
) -> bpy.types.Object:
    """The armature whose bones aim: for each joint a point that is brought within the joint's range, and an aim."""
    unit, axes, bones = unit_of(rig), rig.frame, rig.armature.data.bones
    data = bpy.data.armatures.new(f"{rig.armature.name} Gaze")
    helper = bpy.data.objects.new(f"{rig.armature.name} Gaze", data)
    _collection(rig).objects.link(helper)
    helper.parent = rig.armature
    # Removed with its bones where making it fails: the constraints do not lead to it yet.
    try:
        places = {joint: np.array(bones[rig.bones[joint]].head_local, np.float64) for joint in eyes}
        carriers = {joint: bones[rig.bones[joint]].parent for joint in eyes}
        if "neck" in rig.bones:
            places["neck"], carriers["neck"] = _eyes_middle(rig), bones[rig.bones["neck"]].parent
        with editing(context, helper) as edit_bones:
            for carrier in {bone.name: bone for bone in carriers.values() if bone is not None}.values():
                bone = edit_bones.new(f"carrier {carrier.name}")
                bone.tail = (0.0, unit * BONE_LENGTH, 0.0)
                bone.matrix = Matrix(carrier.matrix_local)
            for name in (_TARGET, "eyes offset", "head offset"):
                _bone(edit_bones, name, _eyes_middle(rig), axes, unit)
            for joint, place in places.items():
                parent = edit_bones.get(f"carrier {carriers[joint].name}") if carriers[joint] is not None else None
                ahead = place + _FAR * unit * axes[:, 2]
                for name, at in (("centre", place), ("front", ahead), ("point", ahead), ("aim", place)):
                    _bone(edit_bones, f"{joint} {name}", at, axes, unit).parent = parent
        for bone in helper.pose.bones:
            bone.rotation_mode = "XYZ"
        _constrain_helper(rig, helper, list(places), {c.name for c in carriers.values() if c is not None}, target)
        helper.hide_render = helper.hide_select = helper.hide_viewport = True
    except BaseException:
        bpy.data.objects.remove(helper)
        bpy.data.armatures.remove(data)
        raise
    return helper


def _bone(edit_bones, name: str, place: np.ndarray, axes: np.ndarray, unit: float) -> bpy.types.EditBone:
    """A bone at ``place`` whose local axes are FLAME's."""
    bone = edit_bones.new(name)
    bone.head, bone.tail = place, place + unit * BONE_LENGTH * axes[:, 1]
    bone.align_roll(Vector(axes[:, 2]))
    return bone


def _constrain_helper(
    rig: HeadRig, helper: bpy.types.Object, joints: list[str], carriers: set[str], target: bpy.types.Object
) -> None:
    bones, far = helper.pose.bones, _FAR * unit_of(rig)
    for name in carriers:
        constraint = bones[f"carrier {name}"].constraints.new("COPY_TRANSFORMS")
        constraint.target, constraint.subtarget = rig.armature, name
    constraint = bones[_TARGET].constraints.new("COPY_LOCATION")
    constraint.target = target
    for joint in joints:
        point = bones[f"{joint} point"]
        constraint = point.constraints.new("COPY_LOCATION")
        constraint.target, constraint.subtarget = helper, _TARGET
        _limit(helper, point, f"{joint} centre", "LIMITDIST_ONSURFACE", far)
        # The ball round the point straight ahead is seen from the eye under the angle of the range. What lies beyond
        # is drawn to its surface; from the side on back to the middle, so that nothing jumps behind the head.
        widest = _limit(helper, point, f"{joint} front", "LIMITDIST_INSIDE", far)
        if joint == "neck":
            widest.distance = far * float(np.sin(np.radians(_NECK_RANGE)))
        else:
            _drive(widest, "distance", f"{far:.9f}*sin(radians(clamp(r,1,89)))", rig, {"r": RANGE})
        aim = bones[f"{joint} aim"].constraints.new("DAMPED_TRACK")
        aim.target, aim.subtarget, aim.track_axis = helper, point.name, "TRACK_Z"
    for name, terms in (
        ("eyes offset", (("-radians(v)", EYES_UP), ("radians(v)", EYES_LEFT))),
        ("head offset", (("-radians(v)", HEAD_UP), ("radians(v)", HEAD_LEFT), ("radians(v)", HEAD_TILT))),
    ):
        for axis, (expression, setting) in enumerate(terms):
            _drive(bones[name], "rotation_euler", expression, rig, {"v": setting}, axis)


def _limit(helper: bpy.types.Object, point: bpy.types.PoseBone, about: str, mode: str, distance: float):
    constraint = point.constraints.new("LIMIT_DISTANCE")
    constraint.target, constraint.subtarget = helper, about
    constraint.owner_space = constraint.target_space = "POSE"
    constraint.limit_mode, constraint.distance = mode, distance
    return constraint


def _copy(
    rig: HeadRig, joint: str, helper: bpy.types.Object, name: str, source: str, mix: str, weight: str | None
) -> None:
    """Let a joint's bone copy the turn of a helper's bone, which has FLAME's axes, about the bone's own."""
    constraint = rig.armature.pose.bones[rig.bones[joint]].constraints.new("COPY_ROTATION")
    constraint.name = name
    constraint.target, constraint.subtarget = helper, source
    constraint.target_space, constraint.owner_space = "LOCAL_OWNER_ORIENT", "LOCAL"
    constraint.mix_mode = mix
    if weight is not None:
        used = {"w": WEIGHT} | ({"h": HEAD_SHARE} if "h" in weight.replace("clamp", "") else {})
        _drive(constraint, "influence", weight, rig, used)


def _drive(owner, path: str, expression: str, rig: HeadRig, names: dict[str, str], index: int = -1) -> None:
    """Let a driver of the kind that untrusted files run too set a property by settings of the armature."""
    driver = owner.driver_add(path, index).driver
    driver.type = "SCRIPTED"
    for name, setting in names.items():
        variable = driver.variables.new()
        variable.name, variable.type = name, "SINGLE_PROP"
        target = variable.targets[0]
        target.id_type, target.id, target.data_path = "OBJECT", rig.armature, f'["{setting}"]'
    driver.expression = expression
