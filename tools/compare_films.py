"""Films of a comparison that `training compare` made: one for each motion, and one a clip with all side by side.

    python tools/compare_films.py FOLDER [--engine workbench|eevee|cycles] [--size 360] [--head FILE] [--only side]

Needs Blender's ``bpy`` module (or: blender -b -P tools/compare_films.py -- FOLDER ...). A film that is there already is
not made again. The films that the page shows carry no name; those side by side do.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path

import bpy

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from talkingeyes_blender.head.model import HeadModel  # noqa: E402
from talkingeyes_blender.head.reading import read_head  # noqa: E402
from talkingeyes_blender.head.standin import load_standin  # noqa: E402
from talkingeyes_blender.motion import Motion  # noqa: E402
from talkingeyes_blender.rig import compat  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.retarget import motion_for_rig  # noqa: E402
from talkingeyes_blender.rig.stage import add_stage, prepare_render  # noqa: E402
from talkingeyes_blender.rig.strips import add_sound  # noqa: E402

SPACING = 0.42
"""Metres between two heads side by side, and the height of their picture."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="compare_films.py", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of 'training compare'")
    parser.add_argument("--engine", choices=("workbench", "eevee", "cycles"), default="workbench")
    parser.add_argument("--size", type=int, default=360, help="width and height of one head's picture")
    parser.add_argument("--samples", type=int, default=8, help="samples a pixel of eevee and cycles")
    parser.add_argument("--head", type=Path, help="a FLAME .pkl or .npz; the stand-in by default")
    parser.add_argument("--only", choices=("single", "side"), help="only the page's films, or only those side by side")
    parser.add_argument("--frames", type=int, help="no more than so many frames of each")
    options = parser.parse_args(arguments)
    options.size -= options.size % 2
    description = options.folder / "comparison.json"
    if not description.is_file():
        sys.exit(f"{description} does not exist: name a folder that 'training compare' made.")
    comparison = json.loads(description.read_text(encoding="utf-8"))
    head = read_head(options.head) if options.head else load_standin()
    for number, clip in enumerate(comparison["clips"]):
        sound = options.folder / clip["sound"]
        if options.only != "side":
            for code in clip["codes"].values():
                film(options, head, [(None, code)], sound, options.folder / "films" / f"{code}.mp4")
        if options.only != "single":
            named = [(comparison["titles"][name], code) for name, code in clip["codes"].items()]
            film(options, head, named, sound, options.folder / "side-by-side" / f"{number}.mp4")


def film(options, head: HeadModel, shown: list[tuple[str | None, str]], sound: Path, path: Path) -> None:
    """Render the motions ``shown`` (name to write below or None, code) beside each other with the sound."""
    if path.exists():
        return
    began = time.perf_counter()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 25, 1.0
    rigs = []
    for place, (_, code) in enumerate(shown):
        motion = Motion.load(options.folder / "motions" / f"{code}.npz")
        rig = build_head(bpy.context, head)
        write_take(rig, motion_for_rig(rig, motion), scene=scene, start_frame=1)
        rigs.append(rig)
        # Subjects face -Y, so the viewer's right is +X.
        rig.armature.location.x += (place - (len(shown) - 1) / 2) * SPACING
    add_sound(scene, sound.resolve(), 1)
    scene.frame_start = 1
    scene.frame_end = min(motion.frames, options.frames or motion.frames)
    bpy.context.view_layer.update()
    stage(scene, rigs, [name for name, _ in shown], options)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}")
    compat.set_movie_output(scene)
    scene.render.use_sequencer = True
    scene.render.filepath = str(beside.resolve())
    for strip in compat.strip_collection(scene):
        strip.mute = strip.type != "SOUND"
    bpy.ops.render.render(animation=True)
    os.replace(beside, path)
    print(f"{path}: {time.perf_counter() - began:.1f} s", flush=True)


def stage(scene: bpy.types.Scene, rigs: list, names: list[str | None], options) -> None:
    """Camera and lights for one head, or for a row of them, each seen from straight ahead."""
    middle = rigs[len(rigs) // 2]
    add_stage(scene, middle)
    prepare_render(scene, options.engine, (options.size * len(rigs), options.size), options.samples)
    camera = scene.camera
    camera.location.x -= middle.armature.location.x
    if len(rigs) == 1:
        return
    # In parallel projection nobody is seen from the side. The scale is the picture's height, as the stage has it.
    camera.data.type, camera.data.ortho_scale = "ORTHO", SPACING
    for rig, name in zip(rigs, names, strict=True):
        if name:
            label(scene, name, rig.armature.location.x, camera.location.z - 0.46 * SPACING)


def label(scene: bpy.types.Scene, text: str, x: float, z: float) -> None:
    """A name below a head."""
    curve = bpy.data.curves.new(text, "FONT")
    curve.body, curve.size, curve.align_x = text, 0.022, "CENTER"
    written = bpy.data.objects.new(text, curve)
    written.location = (x, -0.3, z)
    written.rotation_euler = (math.pi / 2, 0, 0)
    written.color = (0.05, 0.05, 0.05, 1)
    scene.collection.objects.link(written)


if __name__ == "__main__":
    main(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:])
