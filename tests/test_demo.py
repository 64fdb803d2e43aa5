"""tools/demo.py, whole: from the sources to a film with the speech in it, in step."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("bpy")
pytest.importorskip("torch")
aud = pytest.importorskip("aud")

import scipy.signal  # noqa: E402
import soundfile  # noqa: E402
from _bundles import tiny_bundle  # noqa: E402

from talkingeyes_blender.motion import Motion  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
RATE = 48_000


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    rng = np.random.default_rng(0)
    words = (np.arange(RATE) // (RATE // 8) % 2) * 0.2 * rng.normal(size=RATE).clip(-3, 3)
    soundfile.write(folder / "words.wav", scipy.signal.lfilter([0.2], [1, -0.8], words), RATE)
    command = [sys.executable, str(ROOT / "tools" / "demo.py"), "--audio", str(folder / "words.wav")]
    command += ["--weights", str(tiny_bundle(folder / "bundle")), "--out", str(folder / "out"), "--size", "64"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in all" in done.stdout and "EGL" not in done.stdout + done.stderr
    return folder


def test_it_writes_what_it_promises_and_nothing_else(made):
    assert {path.name for path in (made / "out").iterdir()} == {
        "demo.mp4",
        "demo.blend",
        "motion.npz",
        "contact-sheet.png",
    }
    assert Motion.load(made / "out" / "motion.npz").frames == 25


def test_the_film_has_the_sound_in_step(made):
    heard = aud.Sound(str(made / "out" / "demo.mp4"))
    assert heard.specs[0] == RATE
    heard = heard.data().mean(1)
    given, _ = soundfile.read(made / "words.wav")
    assert np.abs(heard).max() > 0.05, "the film is silent"
    lag = scipy.signal.correlate(heard, given).argmax() - (len(given) - 1)
    assert abs(lag) / RATE < 0.03


def test_the_contact_sheet_shows_a_dozen_different_pictures(made):
    from PIL import Image

    sheet = np.asarray(Image.open(made / "out" / "contact-sheet.png").convert("RGB"), float)
    tiles = sheet.reshape(3, 320, 4, 320, 3).swapaxes(1, 2).reshape(12, -1)
    assert all(tile.std() > 10 for tile in tiles)
    assert all(np.abs(one - other).mean() > 0.1 for one, other in itertools.pairwise(tiles))
