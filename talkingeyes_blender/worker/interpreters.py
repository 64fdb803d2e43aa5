"""Which Python runs the worker."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

VARIABLE = "TALKINGEYES_PYTHON"


def candidates(preference: str = "") -> list[str]:
    """Return the Pythons to try, best first.

    One that the user named, in the preferences or in the environment variable ``TALKINGEYES_PYTHON``, is the only one.
    Otherwise: the Python that runs us, those of an active environment, and those on the search path.
    """
    named = preference.strip() or os.environ.get(VARIABLE, "").strip()
    if named:
        return [str(_executable(Path(os.path.expandvars(named)).expanduser()))]
    found = [sys.executable]
    found += [str(_in_environment(Path(os.environ[v]))) for v in ("VIRTUAL_ENV", "CONDA_PREFIX") if os.environ.get(v)]
    found += [shutil.which(name) for name in ("python3", "python")]
    unique = {os.path.normcase(os.path.abspath(path)): path for path in found if path and _usable(path)}
    return list(unique.values())


def _executable(path: Path) -> Path:
    """The folder of an environment stands for its Python, a bare name for what the search path makes of it."""
    if path.is_dir():
        return _in_environment(path)
    return Path((path.name == str(path) and shutil.which(path.name)) or path)


def _in_environment(folder: Path) -> Path:
    if os.name == "nt":
        inside = folder / "Scripts" / "python.exe"
        return inside if inside.exists() else folder / "python.exe"
    return folder / "bin" / "python"


def _usable(path: str) -> bool:
    """Whether it is a Python at all: Blender may name itself, and Windows has empty files that lead to its shop."""
    return Path(path).name.lower().startswith("python") and os.path.isfile(path) and os.path.getsize(path) > 0


def environment(python: str) -> dict[str, str]:
    """Return our environment, without what would make another Python than ours look for its modules in ours."""
    if os.path.normcase(os.path.abspath(python)) == os.path.normcase(os.path.abspath(sys.executable)):
        return dict(os.environ)
    ours = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "PYTHONPLATLIBDIR", "__PYVENV_LAUNCHER__")
    return {name: value for name, value in os.environ.items() if name not in ours}
