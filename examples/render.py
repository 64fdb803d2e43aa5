"""Render a talking head to an MP4 with its sound, without a window.

A sound, and a FLAME head of your own or the stand-in:

    blender -b -P render.py -- --audio talk.wav --output talk.mp4 [--head flame2023_Open.pkl] [--seed 7]

The strip and the head that are chosen in a file, with its camera and lights if it has a camera:

    blender -b file.blend -P render.py -- --output talk.mp4

The TalkingEyes extension must be installed in this Blender.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType

import addon_utils
import bpy

ADDON = "talkingeyes_blender"
ENGINES = ("eevee", "workbench", "cycles")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="blender -b [FILE] -P render.py --", description=__doc__.splitlines()[0])
    parser.add_argument("--audio", help="the speech; without it, the sound strip of the opened file")
    parser.add_argument("--head", help="a FLAME .pkl or .npz; without it, the head of the opened file, or the stand-in")
    parser.add_argument("--output", default="talk.mp4", help="the MP4 to write (default: talk.mp4)")
    parser.add_argument("--seed", type=int, help="the same seed makes the same motion (default: the file's)")
    parser.add_argument("--weights", help="folder of a weight bundle (default: as in the add-on's preferences)")
    parser.add_argument("--engine", choices=ENGINES, default="eevee", help="of a new scene (default: eevee)")
    parser.add_argument("--size", type=int, default=720, help="width and height of a new scene (default: 720)")
    parser.add_argument("--samples", type=int, default=16, help="samples a pixel of a new scene (default: 16)")
    parser.add_argument("--fps", type=int, default=25, help="frames a second of a new scene (default: 25)")
    options = parser.parse_args(arguments)
    choose_weights(options.weights)
    scene = bpy.context.scene
    if not bpy.data.filepath:
        if not options.audio:
            parser.error("name the speech with --audio, or open a .blend file that has a sound strip and a head")
        clear(scene, options.fps)
    began = time.perf_counter()
    cast(scene, options.audio, options.head)
    speak(scene, options.seed)
    if scene.camera is None:
        stage(scene, options.engine, options.size, options.samples)
    spoken = time.perf_counter()
    print(f"motion: {spoken - began:.1f} s")
    render_movie(scene, Path(options.output))
    print(f"render: {time.perf_counter() - spoken:.1f} s")
    print(options.output)


def enable_addon() -> str:
    """Return the module of the installed extension, enabled; end with a message if it is not installed."""
    names = [module.__name__ for module in addon_utils.modules()]
    found = [name for name in names if name.startswith("bl_ext.") and name.endswith("." + ADDON)]
    for name in found:
        if all(addon_utils.check(name)) or addon_utils.enable(name, default_set=True) is not None:
            return name
    fault = "could not be enabled; the lines above say why" if found else "is not installed in this Blender"
    install = "blender --command extension install-file -r user_default -e talkingeyes_blender-*.zip"
    sys.exit(f"The TalkingEyes extension {fault}. To install it: {install}")


def choose_weights(folder: str | None) -> None:
    """Set the add-on's preference, for this run of Blender alone."""
    chosen = bpy.context.preferences.addons[enable_addon()].preferences
    if folder is not None:
        chosen.weights = str(Path(folder).resolve())


def addon(part: str) -> ModuleType:
    """Return a module of the add-on."""
    return importlib.import_module(f"{enable_addon()}.{part}")


def clear(scene: bpy.types.Scene, fps: int) -> None:
    """Empty a new scene."""
    bpy.data.batch_remove(list(bpy.data.objects))
    scene.render.fps, scene.render.fps_base = fps, 1.0


def cast(scene: bpy.types.Scene, audio: str | None, head: str | None) -> None:
    """Bring in the speech and the head that are named; the stand-in where the scene has no head."""
    if audio:
        run(bpy.ops.talkingeyes.import_audio, filepath=str(Path(audio).resolve()), fit_range=True)
    if head:
        run(bpy.ops.talkingeyes.build_flame, filepath=str(Path(head).resolve()))
    elif scene.talkingeyes.rig is None:
        run(bpy.ops.talkingeyes.add_standin)


def speak(scene: bpy.types.Scene, seed: int | None = None) -> None:
    """Generate the motion of the scene's head from its strip."""
    if seed is not None:
        scene.talkingeyes.seed = seed
    run(bpy.ops.talkingeyes.generate)


def run(operator, **arguments) -> None:
    """Run an operator; end with its own words if it cannot do its work."""
    try:
        result = operator(**arguments)
    except RuntimeError as error:  # how an operator's report of an error arrives in a script
        sys.exit(str(error).strip())
    if "FINISHED" not in result:
        sys.exit(f"{operator.idname()} was cancelled.")


def stage(scene: bpy.types.Scene, engine: str, size: int, samples: int = 16) -> None:
    """Set up camera, lights and renderer for a portrait."""
    rig = addon("rig.find").find_rig(scene.talkingeyes.rig)
    addon("rig.stage").add_stage(scene, rig)
    size -= size % 2  # H.264 wants even numbers
    addon("rig.stage").prepare_render(scene, engine, (size, size), samples)


def render_movie(scene: bpy.types.Scene, path: Path) -> None:
    """Render the scene's frame range, seen by its camera, with its sound into one MP4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    addon("rig.compat").set_movie_output(scene)
    scene.render.filepath = str(path.resolve())
    _mute_pictures(scene)
    bpy.ops.render.render(animation=True)


def _mute_pictures(scene: bpy.types.Scene) -> None:
    """Keep strips with pictures from taking the camera's place; the sounds stay."""
    scene.render.use_sequencer = True  # without the sequencer there would be no sound
    strips = addon("rig.compat").strip_collection(scene)
    while (meta := next((strip for strip in strips if strip.type == "META"), None)) is not None:
        meta.separate()  # a muted one would mute the sounds in it
    for strip in strips:
        if strip.type != "SOUND":
            strip.mute = True


if __name__ == "__main__":
    try:
        main(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else [])
    except Exception:  # Blender itself would go on, and end as if all were well
        traceback.print_exc()
        sys.exit(1)
