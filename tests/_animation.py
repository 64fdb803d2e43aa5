"""All animation data of a Blender file as one hash: actions with slots and curves, NLA, shape keys, custom properties.

``_scene.scene_hash`` takes in everything and is slow; this one can be asked a hundred times.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
from collections.abc import Iterator

import bpy
from _scene import _plain, _walk


def animation_hash() -> str:
    digest = hashlib.sha256()
    for line in describe_animation():
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def describe_animation() -> Iterator[str]:
    for action in bpy.data.actions:
        yield from _walk(action, f"action {action.name}", frozenset())
    for collection in (bpy.data.objects, bpy.data.shape_keys, bpy.data.meshes, bpy.data.armatures, bpy.data.scenes):
        for block in collection:
            path = f"{type(block).__name__} {block.name}"
            for key in sorted(block.keys()):
                if not hasattr(block[key], "to_dict"):
                    yield f"{path}[{key!r}] = {_plain(block[key])}"
            if block.animation_data is not None:
                yield from _walk(block.animation_data, f"{path} animation", frozenset())
    for keys in bpy.data.shape_keys:
        for key in keys.key_blocks:
            yield f"{keys.name} {key.name} = {key.value} {key.slider_min} {key.slider_max} {key.mute}"
    for obj in bpy.data.objects:
        for bone in obj.pose.bones if obj.pose is not None else ():
            turn = bone.rotation_mode, *bone.rotation_quaternion, *bone.rotation_euler, *bone.rotation_axis_angle
            yield f"{obj.name} {bone.name} = {turn} {tuple(bone.location)} {tuple(bone.scale)}"
    for scene in bpy.data.scenes:
        yield f"{scene.name} {scene.sync_mode} {scene.frame_start} {scene.frame_end}"
