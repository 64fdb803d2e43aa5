"""Rigs in Blender for tests: of ours, and as other programs make them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy
import numpy as np

from talkingeyes_blender.head.model import JOINTS, PARENTS, HeadModel
from talkingeyes_blender.head.rotation import matrix_from_axis_angle
from talkingeyes_blender.head.skinning import pose_vertices
from talkingeyes_blender.motion import Motion
from talkingeyes_blender.rig.head_rig import HeadRig

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
"""FLAME's frame to one with Z up that faces -Y."""
MPI_NAMES = {joint: joint for joint in JOINTS}
SMPLX_NAMES = {
    "root": "root",
    "neck": "neck",
    "jaw": "jaw",
    "left_eye": "left_eye_smplhf",
    "right_eye": "right_eye_smplhf",
}


def fresh_scene() -> bpy.types.Scene:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


def random_motion(model: HeadModel, /, frames: int = 50, seed: int = 0, **changes) -> Motion:
    rng = np.random.default_rng(seed)
    values = {
        "expression": rng.normal(0, 0.5, (frames, model.expressions)),
        "jaw": rng.normal(0, 0.15, (frames, 3)),
        "head": rng.normal(0, 0.2, (frames, 3)),
        "eyes": rng.normal(0, 0.25, (frames, 6)),
        "blink": rng.uniform(0, 1, (frames, 2)),
        "seed": seed,
        "head_model": model.identity,
    }
    return Motion(**(values | changes))


def expected_vertices(head: HeadModel, motion: Motion, lids: bool = True) -> np.ndarray:
    """(T, V, 3) of the motion by our own skinning, in FLAME's frame; lids follow where the rig has such keys."""
    pose = np.zeros((motion.frames, 5, 3))
    pose[:, 1], pose[:, 2], pose[:, 3:] = motion.head, motion.jaw, motion.eyes.reshape(-1, 2, 3)
    shut = {}
    if lids:
        shut = {"lids": motion.blink, "lid_follow": lid_follow(motion)}
    return pose_vertices(head, expression=motion.expression, pose=pose, **shut)


def lid_follow(motion: Motion) -> np.ndarray:
    """(T, 2) by the contract: elevation of the gaze over 25 degrees, less as the lid shuts, -0.8 to 1.4."""
    gaze = matrix_from_axis_angle(motion.eyes.reshape(-1, 2, 3))[..., :, 2]
    down = np.degrees(np.arcsin(np.clip(-gaze[..., 1], -1, 1)))
    return np.clip(down / 25 * (1 - motion.blink), -0.8, 1.4)


def go_to(scene: bpy.types.Scene, frame: float) -> None:
    whole = int(np.floor(frame))
    scene.frame_set(whole, subframe=float(frame - whole))


def evaluated_vertices(mesh: bpy.types.Object) -> np.ndarray:
    """(V, 3) as Blender's modifiers leave them, in the mesh's frame."""
    vertices = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.vertices
    values = np.empty(3 * len(vertices), np.float32)
    vertices.foreach_get("co", values)
    return values.reshape(-1, 3).astype(float)


def largest_error(scene, rig: HeadRig, head: HeadModel, motion: Motion, frames, axes=Z_UP, lids: bool = True) -> float:
    """Metres between Blender's mesh and our skinning, at worst over all vertices and frames."""
    worst = 0.0
    for frame, expected in zip(frames, expected_vertices(head, motion, lids), strict=True):
        go_to(scene, frame)
        worst = max(worst, np.linalg.norm(evaluated_vertices(rig.mesh) - expected @ axes.T, axis=1).max())
    return worst


def foreign_rig(
    head: HeadModel,
    axes: np.ndarray = Z_UP,
    names: dict[str, str] = MPI_NAMES,
    key_name: str = "Exp{}",
    first: int = 1,
    mode: str = "QUATERNION",
    twisted: bool = False,
    seed: int = 0,
) -> bpy.types.Object:
    """A rig of ``head`` as another program might make it, in a frame of its own, its bones anyhow; returns the mesh.

    It has no lid keys and nothing of ours stored with it.
    """
    rng = np.random.default_rng(seed)
    scene, layer = bpy.context.scene, bpy.context.view_layer
    armature = bpy.data.objects.new("Foreign Rig", bpy.data.armatures.new("Foreign Rig"))
    scene.collection.objects.link(armature)
    for obj in bpy.context.selected_objects:
        obj.select_set(False)
    armature.select_set(True)
    layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    bones = {}
    for joint, parent, place in zip(JOINTS, PARENTS, head.joints @ axes.T, strict=True):
        if joint not in names:
            continue
        bone = armature.data.edit_bones.new(names[joint])
        direction = rng.normal(0, 1, 3) if twisted else np.array([0.0, 0.0, 1.0])
        bone.head, bone.tail = place, place + 0.02 * direction / np.linalg.norm(direction)
        bone.roll = rng.uniform(-3, 3) if twisted else 0.0
        bone.parent = bones.get(JOINTS[parent]) if parent >= 0 else None
        bones[joint] = bone
    bpy.ops.object.mode_set(mode="OBJECT")
    for bone in armature.pose.bones:
        bone.rotation_mode = mode
    data = bpy.data.meshes.new("Foreign")
    rest = head.vertices @ axes.T
    data.from_pydata(rest.tolist(), [], [[i for i in face if i >= 0] for face in head.faces.tolist()])
    mesh = bpy.data.objects.new("Foreign", data)
    scene.collection.objects.link(mesh)
    mesh.parent = armature
    mesh.modifiers.new("Armature", "ARMATURE").object = armature
    for joint, column in zip(JOINTS, head.weights.T, strict=True):
        if joint in names:
            group = mesh.vertex_groups.new(name=names[joint])
            values, of_value = np.unique(column, return_inverse=True)
            for i, value in enumerate(values):
                if value > 0:
                    group.add(np.flatnonzero(of_value == i).tolist(), float(value), "REPLACE")
    mesh.shape_key_add(name="Base", from_mix=False)
    for prefix, basis in ((key_name, head.expression_basis), ("Pose{}", head.pose_basis)):
        for i in range(basis.shape[2]):
            if basis[:, :, i].any():
                key = mesh.shape_key_add(name=prefix.format(i + first), from_mix=False)
                key.data.foreach_set("co", (rest + basis[:, :, i] @ axes.T).astype(np.float32).ravel())
                key.value = 0.0
    return mesh


def dump_animation(owner: bpy.types.ID) -> list:
    """All that a data-block's animation consists of, in plain values: active action, NLA, drivers."""
    data = owner.animation_data
    if data is None:
        return []
    dump = [("use_nla", data.use_nla), ("action", action_dump(data.action)), ("slot", slot_name(data))]
    for track in data.nla_tracks:
        strips = [
            (s.name, s.frame_start, s.frame_end, s.action_frame_start, s.action_frame_end, s.mute, s.influence,
             s.extrapolation, s.blend_type, slot_name(s), action_dump(s.action))
            for s in track.strips
        ]  # fmt: skip
        dump.append(("track", track.name, track.mute, track.is_solo, strips))
    dump += [("driver", curve.data_path, curve.driver.expression) for curve in data.drivers]
    return dump


def slot_name(owner) -> str | None:
    slot = getattr(owner, "action_slot", None)
    return slot.identifier if slot is not None else None


def action_dump(action: bpy.types.Action | None) -> list | None:
    if action is None:
        return None
    return [action.name, *(curve_dump(curve) for curve in every_curve(action))]


def every_curve(action: bpy.types.Action) -> list[bpy.types.FCurve]:
    if not hasattr(action, "layers"):
        return list(action.fcurves)
    return [c for layer in action.layers for strip in layer.strips for bag in strip.channelbags for c in bag.fcurves]


def curve_dump(curve: bpy.types.FCurve) -> tuple:
    points = [
        (tuple(p.co), p.interpolation, tuple(p.handle_left), tuple(p.handle_right)) for p in curve.keyframe_points
    ]
    return curve.data_path, curve.array_index, curve.mute, points


def file_dump() -> dict:
    """What a failed operation must leave as it was: all data-blocks by name, and the animation of each object."""
    kinds = ("objects", "meshes", "armatures", "collections", "materials", "actions", "shape_keys", "worlds", "sounds")
    names = {kind: sorted(item.name for item in getattr(bpy.data, kind)) for kind in kinds}
    owners = [*bpy.data.objects, *bpy.data.shape_keys]
    keys = {
        key.name: [(k.name, k.value, k.slider_min, k.slider_max) for k in key.key_blocks] for key in bpy.data.shape_keys
    }
    actions = {action.name: (action.use_fake_user, dict(action.items())) for action in bpy.data.actions}
    return {**names, "animation": [dump_animation(owner) for owner in owners], "keys": keys, "take": actions}
