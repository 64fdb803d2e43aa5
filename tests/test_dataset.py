"""The folder layout that training reads: what is written comes back, what is wrong is named."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import soundfile

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.training.dataset import (
    Dataset,
    Sequence,
    frame_count,
    is_complete,
    read_sequence,
    subject_split,
    write_description,
    write_sequence,
)


def make(name: str = "a", subject: str = "eva", frames: int = 12, width: int = 5, seed: int = 0) -> Sequence:
    rng = np.random.default_rng(seed)
    return Sequence(
        id=name, subject=subject, source="test", head_model="head-1",
        expression=rng.random((frames, width)), jaw=rng.normal(0, 0.1, (frames, 3)),
        head=rng.normal(0, 0.1, (frames, 3)), eyes=rng.normal(0, 0.1, (frames, 6)), blink=rng.random((frames, 2)),
        valid=np.ones(frames, bool), samples=rng.uniform(-0.5, 0.5, frames * 640 - 100),
        speaking=np.arange(frames) % 2 == 0, phone_start=[0.0, 0.1], phone_end=[0.1, 0.3], phone_name=["a", "m"],
    )  # fmt: skip


def test_what_is_written_comes_back(tmp_path):
    before = make()
    write_sequence(tmp_path, before)
    after = read_sequence(tmp_path, "a")
    for field in dataclasses.fields(Sequence):
        left, right = getattr(before, field.name), getattr(after, field.name)
        if field.name == "samples":
            assert np.abs(left - right).max() < 1e-4
        elif field.name == "expression":
            assert np.abs(left - right).max() < 6e-4
        elif isinstance(left, np.ndarray):
            assert np.array_equal(left, right) and left.dtype == right.dtype, field.name
        else:
            assert left == right, field.name
    assert sorted(p.name for p in (tmp_path / "sequences").iterdir()) == ["a.flac", "a.npz"]
    assert read_sequence(tmp_path, "a", sound=False).samples is None
    assert is_complete(tmp_path, "a")


def test_frame_count():
    assert [frame_count(n) for n in (0, 1, 640, 641, 16000)] == [1, 1, 1, 2, 25]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"jaw": np.zeros((11, 3))}, r"'jaw' has the shape \(11, 3\)"),
        ({"eyes": np.zeros((12, 3))}, "'eyes' has the shape"),
        ({"fps": 30.0}, "30 frames a second"),
        ({"head": np.full((12, 3), 20.0)}, "degrees"),
        ({"expression": np.full((12, 5), np.nan)}, "'expression' holds values that are not numbers"),
        ({"samples": np.zeros(640 * 40)}, "1.60 s of sound"),
        ({"samples": np.full(12 * 640, np.inf)}, "finite numbers"),
        ({"valid": np.ones(3, bool)}, "'valid' has the shape"),
        ({"phone_end": None}, "given together"),
        ({"phone_end": [0.1, 0.05]}, "ends before it starts"),
    ],
)
def test_wrong_sequences_are_refused_and_leave_nothing(tmp_path, change, words):
    with pytest.raises(TalkingEyesError, match=words):
        write_sequence(tmp_path, dataclasses.replace(make(), **change))
    assert not list(tmp_path.rglob("*.*"))


def test_what_is_not_a_number_may_stand_in_lost_frames(tmp_path):
    jaw = np.zeros((12, 3))
    jaw[4] = np.nan
    valid = np.arange(12) != 4
    write_sequence(tmp_path, dataclasses.replace(make(), jaw=jaw, valid=valid))
    assert not read_sequence(tmp_path, "a").valid[4]


def test_foreign_and_damaged_files(tmp_path):
    write_sequence(tmp_path, make())
    npz = tmp_path / "sequences" / "a.npz"
    arrays = dict(np.load(npz))
    np.savez(npz, **{k: v for k, v in arrays.items() if k != "eyes"})
    with pytest.raises(TalkingEyesError, match="lacks the key eyes"):
        read_sequence(tmp_path, "a")
    npz.write_bytes(npz.read_bytes()[:200])
    with pytest.raises(TalkingEyesError, match="could not be read as a sequence"):
        read_sequence(tmp_path, "a")
    assert not is_complete(tmp_path, "a")
    with pytest.raises(TalkingEyesError, match="does not exist"):
        read_sequence(tmp_path, "b")
    # As little as a captured data set must have.
    needed = ("expression", "jaw", "head", "eyes", "blink", "subject", "head_model")
    np.savez(npz, **{k: arrays[k] for k in needed})
    assert read_sequence(tmp_path, "a").valid.all()
    soundfile.write(tmp_path / "sequences" / "a.flac", np.zeros((8000, 2)), 8000)
    with pytest.raises(TalkingEyesError, match="not 16000 Hz mono"):
        read_sequence(tmp_path, "a")


def test_splits_part_subjects(tmp_path):
    subjects = {f"s{i:02d}": f"person-{i // 2}" for i in range(40)}
    for i, (name, subject) in enumerate(subjects.items()):
        write_sequence(tmp_path, make(name, subject, seed=i))
    write_description(
        tmp_path, head_model="head-1", subjects=subjects, held_out=["person-3"], splits={"person-4": "test"}
    )
    dataset = Dataset(tmp_path)
    parts = {name: set(dataset.split(name).ids) for name in ("train", "validation", "test", "held_out")}
    assert sum(map(len, parts.values())) == 40 and set.union(*parts.values()) == set(subjects)
    assert parts["held_out"] == {"s06", "s07"} and {"s08", "s09"} <= parts["test"]
    owners = [{subjects[i] for i in ids} for ids in parts.values()]
    assert sum(map(len, owners)) == 20
    assert dataset[0].id == "s00" and len(dataset) == 40
    # The same from the files alone.
    description = json.loads((tmp_path / "dataset.json").read_text())
    del description["subjects"]
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    assert {n: set(Dataset(tmp_path).split(n).ids) for n in parts} == parts
    with pytest.raises(TalkingEyesError, match="no split 'dev'"):
        dataset.split("dev")


def test_hashed_split_is_8_1_1():
    counts = {"train": 0, "validation": 0, "test": 0}
    for i in range(4000):
        counts[subject_split(f"subject {i}")] += 1
    assert abs(counts["train"] - 3200) < 120 and abs(counts["test"] - 400) < 80


def test_folders_that_are_no_datasets(tmp_path):
    with pytest.raises(TalkingEyesError, match=r"holds no dataset\.json"):
        Dataset(tmp_path)
    write_description(tmp_path, head_model="head-2", subjects={})
    with pytest.raises(TalkingEyesError, match="holds no sequences"):
        Dataset(tmp_path)
    write_sequence(tmp_path, make())
    with pytest.raises(TalkingEyesError, match="in the basis of 'head-1'"):
        Dataset(tmp_path)[0]
    (tmp_path / "dataset.json").write_text('{"version": 7}')
    with pytest.raises(TalkingEyesError, match="version"):
        Dataset(tmp_path)
