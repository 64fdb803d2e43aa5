"""Build the extension's zip with Blender's own extension tool, and validate it.

    python tools/build_extension.py [--output dist] [--blender /path/to/blender]

Blender's tool comes with the bpy module; with --blender, the executable's is used instead. Prints the zip's path.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "talkingeyes_blender"


def extension_tool(blender: str | None) -> list[str]:
    """Return the command to which 'build ...' or 'validate ...' is appended."""
    if blender is not None:
        return [blender, "--factory-startup", "--command", "extension"]
    spec = importlib.util.find_spec("bpy")
    found = sorted(Path(spec.origin).parent.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py")) if spec else []
    if not found:
        sys.exit("Blender's extension tool was not found: install bpy here, or name Blender with --blender.")
    return [sys.executable, str(found[-1])]


def build(output: Path, blender: str | None = None) -> Path:
    """Write the zip into ``output`` and return its path; raise CalledProcessError if Blender's tool refuses it."""
    manifest = tomllib.loads((SOURCE / "blender_manifest.toml").read_text(encoding="utf-8"))
    output.mkdir(parents=True, exist_ok=True)
    archive = output / f"{manifest['id']}-{manifest['version']}.zip"
    tool = extension_tool(blender)
    for arguments in (
        ["validate", str(SOURCE)],
        ["build", "--source-dir", str(SOURCE), "--output-filepath", str(archive)],
        ["validate", str(archive)],
    ):
        done = subprocess.run(tool + arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            print(done.stdout, file=sys.stderr)
            raise subprocess.CalledProcessError(done.returncode, tool + arguments, done.stdout)
    return archive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder for the zip (default: dist)")
    parser.add_argument("--blender", help="a Blender executable whose extension tool to use")
    options = parser.parse_args()
    print(build(options.output, options.blender))


if __name__ == "__main__":
    main()
