"""What enabling the add-on costs: ``python -m benchmarks.enable`` prints seconds for the zip in fresh Blenders."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "bl_ext.user_default.talkingeyes_blender"
HEAVY = ("torch", "transformers", "scipy", "soundfile")
RUNS = 3


def measure(archive: str) -> None:
    """Install the zip in this process, enable it, draw nothing, and print the seconds."""
    import bpy  # first: it makes its own modules, like the next, known

    import addon_utils  # isort: skip

    bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default", enable_on_install=False)
    began = time.perf_counter()
    addon_utils.enable(NAME, default_set=False)
    seconds = time.perf_counter() - began
    if not hasattr(bpy.types.Scene, "talkingeyes"):
        sys.exit("the add-on was not enabled")
    print(f"enabled in {seconds:.4f} s; imported: {[name for name in HEAVY if name in sys.modules] or 'nothing heavy'}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = runpy.run_path(str(ROOT / "tools" / "build_extension.py"))["build"](Path(folder))
        for run in range(RUNS):
            command = [sys.executable, "-m", "benchmarks.enable", str(archive)]
            environment = os.environ | {"BLENDER_USER_RESOURCES": str(Path(folder) / str(run))}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            said = [line for line in done.stdout.splitlines() if line.startswith("enabled")]
            sys.exit(done.stdout + done.stderr) if done.returncode else print(f"run {run + 1}: {said[-1]}")


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
