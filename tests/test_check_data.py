"""check-data: each kind of broken data, in the words that a user reads; and that training refuses it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")

from _datasets import tiny_dataset  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.training import check_data  # noqa: E402
from talkingeyes_blender.training.__main__ import main  # noqa: E402
from talkingeyes_blender.training.dataset import Dataset, blink_from_ear  # noqa: E402

BROKEN = "s03"


@pytest.fixture
def folder(tmp_path) -> Path:
    return tiny_dataset(tmp_path / "data", 5)


def npz(folder: Path) -> Path:
    return folder / "sequences" / f"{BROKEN}.npz"


def flac(folder: Path) -> Path:
    return folder / "sequences" / f"{BROKEN}.flac"


def change(**arrays) -> Callable[[Path], None]:
    """Replace keys of a sequence: by a value, by a function of what was there, or by None, which takes them out."""

    def act(folder: Path) -> None:
        with np.load(npz(folder)) as archive:
            values = dict(archive)
        for key, new in arrays.items():
            values[key] = new(values[key]) if callable(new) else new
            if new is None:
                del values[key]
        np.savez(npz(folder), **values)

    return act


def with_nan(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[17, 1] = np.nan
    return array


def sound(samples: np.ndarray, rate: int = 16000) -> Callable[[Path], None]:
    return lambda folder: soundfile.write(flac(folder), samples, rate)


def describe(**entries) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = folder / "dataset.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))

    return act


NOISE = np.random.default_rng(0).normal(0, 0.1, 64000).clip(-1, 1)

CASES = {
    "lengths that differ": (change(eyes=lambda a: a[:-7]), "s03: 'eyes' has 93 frames, 'expression' 100."),
    "motion longer than sound": (
        sound(NOISE[:32000]),
        "s03: it has 100 frames of motion (4.00 s) for 2.00 s of sound.",
    ),
    "not a number": (
        change(jaw=with_nan),
        "s03: 'jaw' holds values that are not numbers, first in frame 17; mark such frames False in 'valid'.",
    ),
    "another rate": (change(fps=30.0), "s03: it runs at 30 frames a second, not 25; 'import' resamples."),
    "degrees": (
        change(head=lambda a: np.full_like(a, 12.5)),
        "s03: 'head' turns by up to 12.5, which in radians is 716 degrees; these may be degrees. Rotations are "
        "axis-angle vectors in radians.",
    ),
    "degrees of a small jaw": (change(jaw=lambda a: np.degrees(a)), "these may be degrees"),
    "eyes that never move": (
        change(eyes=lambda a: np.zeros_like(a)),
        "s03: 'eyes': the eyes never move; a tracker without gaze leaves them at one value.",
    ),
    "a jaw that never moves": (change(jaw=lambda a: np.zeros_like(a)), "s03: 'jaw': the jaw never moves."),
    "no expression": (change(expression=lambda a: 0 * a), "s03: 'expression' is zero throughout."),
    "another basis": (
        change(head_model="flame-2023"),
        "s03: its expressions are in the basis of 'flame-2023', the dataset's in that of 'talkingeyes-standin-1'; "
        "coefficients of different head models cannot be mixed.",
    ),
    "another number of coefficients": (
        change(expression=lambda a: np.concatenate([a, a[:, :9]], 1)),
        "s03: 'expression' has 50 coefficients, the head model 'talkingeyes-standin-1' 41.",
    ),
    "a missing key": (change(blink=None), "s03: it lacks blink."),
    "blinks in percent": (
        change(blink=lambda a: a + 40),
        "s03: 'blink' runs from 40 to 40, not from 0 (open) to 1 (shut).",
    ),
    "no valid frame": (change(valid=lambda a: a & False), "s03: no frame is valid."),
    "nobody": (
        change(subject=" "),
        "s03: 'subject' is empty: without it the same person may be in training and in test.",
    ),
    "somebody else": (change(subject="eve"), "s03: its subject is 'eve', and dataset.json says 'subject3'."),
    "matrices for vectors": (
        change(head=lambda a: np.zeros((len(a), 9))),
        "s03: 'head' has the shape (100, 9), not (100, 3).",
    ),
    "no sound": (lambda folder: flac(folder).unlink(), "s03: its sound s03.flac is not there."),
    "silence": (sound(0 * NOISE), "s03: its sound is silent."),
    "stereo at 44.1 kHz": (
        sound(np.stack([NOISE, NOISE], 1), 44100),
        "s03: its sound has 44100 Hz and 2 channels, not 16000 Hz and one.",
    ),
    "text for sound": (lambda folder: flac(folder).write_text("no sound"), "s03: its sound cannot be read ("),
    "text for motion": (lambda folder: npz(folder).write_text("no motion"), "s03: its .npz cannot be read ("),
    "a pickle": (
        lambda folder: np.savez(npz(folder), jaw=np.array([{}, None], object)),
        "s03: its .npz cannot be read (",
    ),
    "a sequence that is gone": (
        lambda folder: npz(folder).unlink(),
        "s03: it is named in dataset.json, and its .npz is not there.",
    ),
    "nobody to learn from": (
        describe(held_out=[f"subject{i}" for i in range(5)]),
        "dataset.json: no subject is in the split 'train': name subjects differently, or pin them in 'splits'.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_broken_data_is_named_and_refused(folder, capsys, case):
    breaks, words = CASES[case]
    breaks(folder)
    assert main(["check-data", str(folder)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert any(words in line for line in said), said
    assert len(said) == 2, "one fault, and the sum"
    with pytest.raises(TalkingEyesError, match="cannot be learned from") as refusal:
        check_data.refuse_faults(Dataset(folder))
    assert words in str(refusal.value)


def test_training_does_not_begin(folder, tmp_path, capsys):
    change(eyes=lambda a: np.zeros_like(a))(folder)
    assert main(["gaze-vqvae", "--data", str(folder), "--out", str(tmp_path / "run")]) == 1
    assert "the eyes never move" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_all_is_well(folder, capsys):
    assert main(["check-data", str(folder)]) == 0
    assert "5 sequences, 0 of them with faults" in capsys.readouterr().out


def test_frames_that_are_not_valid_may_hold_anything(folder):
    def lose(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[10:20] = np.nan
        return array

    change(eyes=lose, expression=lose, valid=lambda a: (np.arange(len(a)) < 10) | (np.arange(len(a)) >= 20))(folder)
    assert not check_data.find_faults(Dataset(folder))


def test_who_does_not_speak_may_rest(folder):
    change(jaw=lambda a: 0 * a, expression=lambda a: 0 * a, speaking=np.zeros(100, bool))(folder)
    assert not check_data.find_faults(Dataset(folder))


def test_what_was_right_is_not_read_again_until_it_changes(folder, monkeypatch):
    looked = []
    check = check_data.faults_of
    monkeypatch.setattr(check_data, "faults_of", lambda data, name: looked.append(name) or check(data, name))
    check_data.find_faults(Dataset(folder))
    assert looked == ["s00", "s01", "s02", "s03", "s04"]
    looked.clear()
    assert not check_data.find_faults(Dataset(folder)) and looked == []
    change(jaw=with_nan)(folder)
    assert check_data.find_faults(Dataset(folder)) and looked == [BROKEN]
    assert check_data.find_faults(Dataset(folder)) and looked == [BROKEN, BROKEN], "a fault is told each time"


def test_a_folder_that_cannot_be_written_is_checked_all_the_same(folder, monkeypatch):
    def refuse(path: Path, payload: bytes) -> None:
        raise TalkingEyesError(f"{path} could not be written.")

    monkeypatch.setattr(check_data, "write_whole", refuse)
    assert not check_data.find_faults(Dataset(folder))
    assert not (folder / check_data.REMEMBERED).exists()


def test_eye_aspect_ratios_become_blinks(folder):
    ear = np.full((100, 2), 0.32)
    ear[40:44, 0], ear[60, 1] = 0.04, 0.16
    change(blink=None, ear=ear)(folder)
    assert not check_data.find_faults(Dataset(folder))
    blink = Dataset(folder)[3].blink
    assert (blink[40:44, 0] == 1).all() and blink[60, 1] == pytest.approx(0.5) and blink.sum() == pytest.approx(4.5)
    np.testing.assert_array_equal(blink, blink_from_ear(ear).astype(np.float32))
