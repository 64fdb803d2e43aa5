"""Films of a comparison, in Blender: one a motion without a name, one a clip with all side by side."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from talkingeyes_blender.head import arkit
from talkingeyes_blender.motion import Motion

pytest.importorskip("bpy")

TOOL = Path(__file__).resolve().parents[1] / "tools" / "compare_films.py"


@pytest.fixture
def comparison(tmp_path):
    (tmp_path / "motions").mkdir()
    (tmp_path / "clips").mkdir()
    soundfile.write(tmp_path / "clips" / "0.wav", np.zeros(6400, np.float32), 16000)
    for code, turn in (("aaaa", 0.4), ("bbbb", -0.4)):
        eyes = np.zeros((10, 6))
        eyes[:, [1, 4]] = turn
        Motion(
            expression=np.zeros((10, len(arkit.EXPRESSIONS))), jaw=np.zeros((10, 3)), head=np.zeros((10, 3)), eyes=eyes,
            blink=np.zeros((10, 2)), seed=0, head_model=arkit.STANDIN,
        ).save(tmp_path / "motions" / f"{code}.npz")  # fmt: skip
    clip = {"recording": "x", "sound": "clips/0.wav", "codes": {"ours": "aaaa", "mean": "bbbb"}}
    titles = {"ours": "TalkingEyes", "mean": "Mean"}
    (tmp_path / "comparison.json").write_text(json.dumps({"version": 1, "titles": titles, "clips": [clip]}))
    return tmp_path


def make(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(TOOL), str(folder), "--frames", "2", "--size", "64"]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_films_are_made_once(comparison):
    first = make(comparison)
    made = sorted(path.relative_to(comparison).as_posix() for path in comparison.rglob("*.mp4"))
    assert made == ["films/aaaa.mp4", "films/bbbb.mp4", "side-by-side/0.mp4"]
    assert all((comparison / name).stat().st_size > 1000 for name in made)
    assert first.stdout.count(".mp4: ") == 3
    assert make(comparison).stdout.count(".mp4: ") == 0


def test_a_folder_that_is_none_is_said(tmp_path):
    run = subprocess.run([sys.executable, str(TOOL), str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 1 and "name a folder that 'training compare' made" in run.stderr
