"""The extension's zip: built and validated by Blender's own tool, installed into a fresh Blender, and made to speak."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("bpy")
pytest.importorskip("torch")

from _bundles import tiny_bundle

from talkingeyes_blender.motion import Motion

ROOT = Path(__file__).resolve().parents[1]

INSTALLED = """
    import importlib, json, sys, time
    import bpy

    archive, sound, weights, answer, film = sys.argv[1:6]
    bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default", enable_on_install=True)
    name = next(name for name in bpy.context.preferences.addons.keys() if name.endswith(".talkingeyes_blender"))
    heavy = sorted({"torch", "transformers", "scipy", "soundfile"} & set(sys.modules))

    import addon_utils
    enabling = []
    for _ in range(3):
        addon_utils.disable(name)
        for module in [module for module in sys.modules if module.startswith(name)]:
            del sys.modules[module]
        began = time.process_time()
        addon_utils.enable(name)
        enabling.append(time.process_time() - began)

    chosen = bpy.context.preferences.addons[name].preferences
    chosen.python, chosen.weights, chosen.device = sys.executable, weights, "cpu"
    scene = bpy.context.scene
    bpy.ops.talkingeyes.import_audio(filepath=sound)
    bpy.ops.talkingeyes.add_standin()
    result = bpy.ops.talkingeyes.generate()
    rig = importlib.import_module(name + ".operators.subject").head_of(bpy.context)
    take = importlib.import_module(name + ".rig.takes").current_take(rig)
    importlib.import_module(name + ".operators.memory").recall(take).save(answer)
    logs = importlib.import_module(name + ".preferences").log_folder()
    scene.frame_set(20)
    print("ANSWER", json.dumps({
        "module": name, "heavy": heavy, "enabling": min(enabling), "result": sorted(result), "frames": take.frames,
        "jaw": rig.armature.pose.bones["jaw"].rotation_euler.x, "logs": [str(p) for p in logs.iterdir()],
    }))
    addon_utils.disable(name)
    assert not hasattr(bpy.types.Scene, "talkingeyes") and not hasattr(bpy.types, "TALKINGEYES_OT_generate")
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    spec = importlib.util.spec_from_file_location("build_extension", ROOT / "tools" / "build_extension.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool.build(tmp_path_factory.mktemp("dist"))


def test_the_zip_holds_what_blender_needs_and_nothing_else(archive):
    names = zipfile.ZipFile(archive).namelist()
    for needed in ("__init__.py", "blender_manifest.toml", "worker/launch.py", "assets/standin.npz", "rig/takes.py"):
        assert needed in names
    assert not [n for n in names if n.startswith("training/") or "__pycache__" in n or Path(n).name.startswith(".")]


@pytest.fixture(scope="module")
def installed(archive, tmp_path_factory) -> dict:
    """What the installed add-on came to in a Blender that nobody has used."""
    import soundfile

    folder = tmp_path_factory.mktemp("installed")
    rng = np.random.default_rng(0)
    soundfile.write(folder / "speech.wav", 0.1 * rng.normal(size=24_000).clip(-3, 3), 16_000)
    bundle = tiny_bundle(folder / "bundle")
    script = folder / "script.py"
    script.write_text(textwrap.dedent(INSTALLED))
    arguments = [archive, folder / "speech.wav", bundle, folder / "motion.npz", folder / "film.mp4"]
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        env={**os.environ, "BLENDER_USER_RESOURCES": str(folder / "user")},
        cwd=folder,  # not the repository: only what is installed may be found
        capture_output=True,
        text=True,
        timeout=240,
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert done.returncode == 0 and answers, done.stdout + done.stderr
    return {**json.loads(answers[0][7:]), "folder": folder}


def test_the_installed_addon_makes_a_head_speak(installed):
    assert installed["module"] == "bl_ext.user_default.talkingeyes_blender"
    assert installed["result"] == ["FINISHED"]
    motion = Motion.load(installed["folder"] / "motion.npz")
    assert motion.frames == installed["frames"] == 38
    assert installed["jaw"] != 0


def test_enabling_is_quick_and_loads_nothing_heavy(installed):
    assert installed["heavy"] == []
    assert installed["enabling"] < 0.1  # seconds of work: the clock on the wall tells how busy the machine is


def test_it_writes_only_into_its_own_folder(installed):
    user = str(installed["folder"] / "user")
    assert installed["logs"] and all(path.startswith(user) and ".user" in path for path in installed["logs"])
    package = installed["folder"] / "user" / "extensions" / "user_default" / "talkingeyes_blender"
    assert (package / "blender_manifest.toml").is_file()
    assert not [path for path in package.rglob("*") if path.suffix in (".log", ".part")]
