"""Make a release: the zip, its hash and its notes, from a clean tree whose versions agree.

    python tools/release.py [--output dist]
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from build_extension import ROOT, SOURCE, build


def newest_changes() -> tuple[str, str]:
    """The changelog's newest version, and what it says of it."""
    sections = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    version, _, text = sections[1].partition("\n")
    return version.strip(), text.strip()


def faults() -> list[str]:
    """What keeps this tree from being a release."""
    extension = tomllib.loads((SOURCE / "blender_manifest.toml").read_text(encoding="utf-8"))["version"]
    package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changes, _ = newest_changes()
    found = []
    if not extension == package == changes:
        found.append(f"blender_manifest.toml says {extension}, pyproject.toml {package}, CHANGELOG.md {changes}.")
    status = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=False)
    if status.stdout.strip():
        found.append("There are changes that were not committed.")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    wrong = faults()
    if wrong:
        sys.exit("Not a release: " + " ".join(wrong))
    archive = build(options.output)
    version, text = newest_changes()
    for path, content in (
        (archive.with_suffix(".zip.sha256"), f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n"),
        (archive.with_suffix(".md"), f"# TalkingEyes {version}\n\n{text}\n"),
    ):
        temporary = path.with_name(path.name + ".part")
        temporary.write_text(content, encoding="utf-8")
        os.replace(temporary, path)
        print(path)
    print(archive)


if __name__ == "__main__":
    main()
