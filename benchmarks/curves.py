"""What writing a take costs in Blender: ``python -m benchmarks.curves [--seconds 60]``.

Writes a motion to a head with as many expressions as FLAME has, in bulk, as Generate does, and, for comparison, the
first frames of the same channels key by key through ``keyframe_insert``, scaled to the whole (which flatters it: each
key costs more, the more there are).
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import dataclasses
import statistics
import time

import bpy
import numpy as np

from talkingeyes_blender.head.model import HeadModel
from talkingeyes_blender.head.standin import load_standin
from talkingeyes_blender.motion import Motion
from talkingeyes_blender.rig.build import build_head
from talkingeyes_blender.rig.curves import write_take


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene, head = bpy.context.scene, wide_head()
    scene.render.fps = 25
    rig = build_head(bpy.context, head)
    motion = random_motion(round(options.seconds * 25), head.expressions, head.identity)
    seconds = []
    for _ in range(options.repeats):
        began = time.perf_counter()
        write_take(rig, motion, scene=scene)
        seconds.append(time.perf_counter() - began)
    curves = count_curves()
    frames = min(100, motion.frames)
    began = time.perf_counter()
    insert_keys(rig, motion, frames)
    inserted = (time.perf_counter() - began) * motion.frames / frames
    median = statistics.median(seconds)
    print(f"Blender {bpy.app.version_string}, {motion.frames} frames, {curves} curves, median of {options.repeats}")
    print(f"{'bulk, as Generate writes':28s} {median:8.3f} s   (least {min(seconds):.3f}, most {max(seconds):.3f})")
    print(f"{'keyframe_insert':28s} {inserted:8.1f} s   ({inserted / median:.0f} times; {frames} frames, scaled)")


def wide_head(expressions: int = 100) -> HeadModel:
    """The stand-in with its expressions repeated until there are as many as in FLAME."""
    head = load_standin()
    basis = np.tile(head.expression_basis, -(-expressions // head.expressions))[:, :, :expressions]
    return dataclasses.replace(head, expression_basis=basis, expression_names=(), identity="benchmark")


def random_motion(frames: int, expressions: int, head_model: str) -> Motion:
    rng = np.random.default_rng(0)
    return Motion(
        expression=rng.random((frames, expressions)),
        jaw=rng.normal(0, 0.05, (frames, 3)),
        head=rng.normal(0, 0.05, (frames, 3)),
        eyes=rng.normal(0, 0.1, (frames, 6)),
        blink=rng.random((frames, 2)),
        seed=0,
        head_model=head_model,
    )


def count_curves() -> int:
    """Curves of all actions of the scene, in whichever form this Blender keeps them."""
    total = 0
    for action in bpy.data.actions:
        layers = getattr(action, "layers", ())
        bags = [bag for layer in layers for strip in layer.strips for bag in strip.channelbags]
        total += sum(len(bag.fcurves) for bag in bags) if bags else len(action.fcurves)
    return total


def insert_keys(rig, motion: Motion, frames: int) -> None:
    """The same channels, key by key."""
    keys = rig.mesh.data.shape_keys.key_blocks
    names = [key.name for key in keys if key.name.startswith(("Exp", "Pose", "Blink"))]
    bones = [rig.armature.pose.bones[name] for name in ("neck", "jaw", "left_eye", "right_eye")]
    for t in range(frames):
        for i, name in enumerate(names):
            keys[name].value = motion.expression[t, i % motion.expression.shape[1]]
            keys[name].keyframe_insert("value", frame=t)
        for bone in bones:
            path = "rotation_quaternion" if bone.rotation_mode == "QUATERNION" else "rotation_euler"
            bone.keyframe_insert(path, frame=t)


if __name__ == "__main__":
    main()
