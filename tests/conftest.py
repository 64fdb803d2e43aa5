"""What all tests share."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))


def pytest_configure(config: pytest.Config) -> None:
    # Two busy torch processes on few cores slow each other tenfold.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def testdata() -> Path:
    """Folder with recordings and heads that cannot be shipped; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("TALKINGEYES_TESTDATA") or ROOT.parent / "shared" / "testdata")
    if not folder.is_dir():
        pytest.skip(f"test data is not at {folder} (set TALKINGEYES_TESTDATA)")
    return folder


@pytest.fixture
def scene():
    """An empty scene of 25 frames a second."""
    from _rigs import fresh_scene

    scene = fresh_scene()
    scene.render.fps = 25
    return scene


@pytest.fixture
def head():
    from _heads import tiny_head

    return tiny_head()


@pytest.fixture
def rig(scene, head):
    """The tiny head, built in the scene, under the name of Ann."""
    import bpy

    from talkingeyes_blender.rig.build import build_head

    return build_head(bpy.context, head, "Ann")


_status = 0


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    global _status
    _status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave Blender 4.2's module before it crashes, at the interpreter's end, over any property with a callback."""
    bpy = sys.modules.get("bpy")
    if bpy is not None and bpy.app.version < (4, 3, 0):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_status)
