"""How exact exported heads are: ``python -m benchmarks.exports MOTION.npz [--fps 24] [--keep DIR]``.

The stand-in speaks a motion (a file of ``python -m talkingeyes_blender.inference``) and is exported in each format;
the file is imported again into an empty scene, and all vertices of all frames are compared. Prints a table in Markdown.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import bpy

from talkingeyes_blender.head.standin import load_standin
from talkingeyes_blender.motion import Motion
from talkingeyes_blender.rig.build import build_head
from talkingeyes_blender.rig.curves import write_take
from talkingeyes_blender.rig.export_sample import times
from talkingeyes_blender.rig.export_scene import FORMATS, export_scene, why_missing
from talkingeyes_blender.rig.retarget import motion_for_rig

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))


def main() -> None:
    from _reimport import ENDINGS, largest_difference, marks, played_vertices, reimported, step_of
    from _rigs import fresh_scene

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("motion", type=Path)
    parser.add_argument("--fps", type=int, default=24)
    parser.add_argument("--formats", nargs="+", choices=ENDINGS, default=list(ENDINGS))
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the files stay")
    options = parser.parse_args()
    motion = Motion.load(options.motion)
    folder = options.keep or Path(tempfile.mkdtemp())
    lines = []
    for format_ in options.formats:
        if why_missing(format_):
            lines.append(f"| {FORMATS[format_].name} | {why_missing(format_)} | | |")
            continue
        scene = fresh_scene()
        scene.render.fps = options.fps
        rig = build_head(bpy.context, load_standin(), "Standin")
        take = write_take(rig, motion_for_rig(rig, motion), scene=scene, start_frame=1)
        frames, _ = times(scene, take, "TAKE", "SCENE")
        wanted = played_vertices(scene, rig.mesh, frames)
        rest = marks(rig.mesh)
        path = folder / f"standin{ENDINGS[format_]}"
        began = time.perf_counter()
        export_scene(bpy.context, rig, path, format_, frames, take.name)
        seconds = time.perf_counter() - began
        mesh = max(reimported(path, format_, (options.fps, 1.0)), key=lambda mesh: len(mesh.data.vertices))
        first = 0 if FORMATS[format_].from_zero else int(frames[0])
        worst = largest_difference(mesh, wanted, rest, first, step_of(format_, (options.fps, 1.0)))
        lines.append(
            f"| {FORMATS[format_].name} | {1e3 * worst:.5f} mm | {seconds:.1f} s | {path.stat().st_size / 1e6:.1f} MB |"
        )
    print(f"Blender {bpy.app.version_string}, {len(frames)} frames, {len(rest)} vertices")
    print("| format | largest difference | export takes | file |\n|---|---|---|---|", *lines, sep="\n")


if __name__ == "__main__":
    main()
