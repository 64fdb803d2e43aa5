"""The demo: build the extension, install it into a fresh Blender, and let a head speak, by the add-on's own operators.

    python tools/demo.py [--audio talk.wav] [--head flame2023_Open.pkl] [--seed 7] [--out out] [--engine workbench]

Writes demo.mp4, demo.blend, motion.npz and contact-sheet.png into the output folder and prints the seconds of each
phase. Needs a Python with bpy, and with what the worker needs: the one that `make setup` makes.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "talkingeyes_blender" / "assets" / "speech.flac"
SHEET_FRAMES, SHEET_COLUMNS, SHEET_SIZE = 12, 4, 320


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=Path, default=SAMPLE, help="the speech (default: the sample that is shipped)")
    parser.add_argument("--head", type=Path, help="a FLAME .pkl or .npz (default: the stand-in)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weights", type=Path, help="folder of a weight bundle (default: the starter weights)")
    parser.add_argument("--out", type=Path, default=ROOT / "out", help="folder to write to (default: out)")
    parser.add_argument("--engine", choices=("workbench", "eevee", "cycles"), default="workbench")
    parser.add_argument("--size", type=int, default=480, help="width and height of the film (default: 480)")
    parser.add_argument("--samples", type=int, default=4, help="samples a pixel of eevee and cycles (default: 4)")
    options = parser.parse_args()
    for path in (options.audio, options.head):
        if path is not None and not path.is_file():
            sys.exit(f"{path} does not exist.")
    with tempfile.TemporaryDirectory(prefix="talkingeyes-demo-") as folder:
        # A Blender that nobody has used: before bpy is imported, for it reads this then.
        os.environ["BLENDER_USER_RESOURCES"] = folder
        perform(options, Path(folder))


def perform(options: argparse.Namespace, folder: Path) -> None:
    began = time.perf_counter()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with phase("build the extension"):
        archive = load("build_extension", ROOT / "tools" / "build_extension.py").build(ROOT / "dist")
    with phase("install it into a fresh Blender"), quiet():
        import bpy

        bpy.ops.extensions.package_install_files(filepath=str(archive), repo="user_default", enable_on_install=True)
        render = load("render", ROOT / "examples" / "render.py")
        render.choose_weights(options.weights and str(options.weights))
    scene = bpy.context.scene
    with phase("add the head and the speech strip"):
        render.clear(scene, fps=25)
        render.cast(scene, str(options.audio), str(options.head) if options.head else None)
    with phase("generate"):
        render.speak(scene, options.seed)
    with phase("save motion.npz and demo.blend"), quiet():
        render.stage(scene, options.engine, options.size, options.samples)
        save(bpy, render, scene, out)
    with phase("render demo.mp4"), quiet() as tell:
        bpy.app.handlers.render_post.append(lambda scene, *_: tell(f"frame {scene.frame_current} of {scene.frame_end}"))
        render.render_movie(scene, out / "demo.mp4")
        bpy.app.handlers.render_post.clear()
    with phase("render contact-sheet.png"), quiet():
        contact_sheet(bpy, render, scene, folder, out / "contact-sheet.png")
    print(f"{time.perf_counter() - began:7.1f} s  in all")
    for name in ("demo.mp4", "demo.blend", "motion.npz", "contact-sheet.png"):
        print(out / name)


def save(bpy: ModuleType, render: ModuleType, scene, out: Path) -> None:
    """Save the take's motion and the file, its sound packed so that it can be taken elsewhere."""
    rig = render.addon("operators.subject").head_of(bpy.context)
    take = render.addon("rig.takes").current_take(rig)
    render.addon("operators.memory").recall(take).save(out / "motion.npz")
    for sound in bpy.data.sounds:
        sound.pack()
    bpy.context.preferences.filepaths.save_version = 0  # no demo.blend1 beside it
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "demo.blend"), check_existing=False)


def contact_sheet(bpy: ModuleType, render: ModuleType, scene, folder: Path, path: Path) -> None:
    """A dozen moments of the film, evenly spaced, with their times in the speech written on them."""
    from PIL import Image, ImageDraw, ImageFont

    render.addon("rig.compat").set_image_output(scene)
    scene.render.filepath = str(folder / "still.png")
    first, last = scene.frame_start, scene.frame_end
    rows = -(-SHEET_FRAMES // SHEET_COLUMNS)
    sheet = Image.new("RGB", (SHEET_COLUMNS * SHEET_SIZE, rows * SHEET_SIZE))
    font = ImageFont.load_default(size=20)
    for i in range(SHEET_FRAMES):
        frame = round(first + (last - first) * (i + 0.5) / SHEET_FRAMES)
        scene.frame_set(frame)
        bpy.ops.render.render(write_still=True)
        with Image.open(scene.render.filepath) as still:
            picture = still.convert("RGB").resize((SHEET_SIZE, SHEET_SIZE), Image.Resampling.LANCZOS)
        seconds = (frame - first) * scene.render.fps_base / scene.render.fps
        ImageDraw.Draw(picture).text(
            (10, 8), f"{seconds:.2f} s", font=font, fill="white", stroke_width=2, stroke_fill="black"
        )
        sheet.paste(picture, ((i % SHEET_COLUMNS) * SHEET_SIZE, (i // SHEET_COLUMNS) * SHEET_SIZE))
    sheet.save(path)


def load(name: str, path: Path) -> ModuleType:
    """Import a script by its path."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    print(f"{time.perf_counter() - began:7.1f} s  {name}", flush=True)


@contextlib.contextmanager
def quiet() -> Iterator[Callable[[str], None]]:
    """Keep what Blender says about every frame away from the terminal, unless something goes wrong.

    Yields a function that shows a line there which the next one overwrites.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = os.dup(1), os.dup(2)

    def tell(line: str) -> None:
        if os.isatty(terminal[1]):
            os.write(terminal[1], f"  {line}\r".encode())

    with tempfile.TemporaryFile() as said:
        try:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            yield tell
        except BaseException:
            said.seek(0)
            os.write(terminal[1], said.read())
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, place in zip(terminal, (1, 2), strict=True):
                os.dup2(descriptor, place)
                os.close(descriptor)


if __name__ == "__main__":
    main()
