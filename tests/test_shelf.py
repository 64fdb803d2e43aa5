"""Motions that outlive their Blender, the time that is left, and which memory did not suffice."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.motion import Motion
from talkingeyes_blender.worker import out_of_memory, shelf
from talkingeyes_blender.worker.pace import Pace, words
from talkingeyes_blender.worker.shelf import Shelf


def motion(seed: int = 1) -> Motion:
    zeros = np.zeros((2, 6))
    return Motion(zeros, zeros[:, :3], zeros[:, :3], zeros, zeros[:, :2], seed, "tiny")


def put(place: Shelf, seed: int, session: str = shelf.SESSION, age: float = 0.0):
    kept = place.begin(strip="Talk", seed=seed)
    motion(seed).save(kept.output)
    kept.note(session=session, made=time.time() - age)
    os.utime(kept.output, (time.time() - age,) * 2)
    return kept


def test_a_motion_is_there_again_with_what_it_was_for(tmp_path):
    place = Shelf(tmp_path / "motions")
    assert place.lost() is None and place.finished() == []
    kept = place.begin(strip="Talk", seed=3)
    assert place.lost() is None, "it is not made yet"
    for number in (1, 2, 10):
        motion(number).save(kept.output if number == 1 else kept.output.with_stem(f"motion-{number}"))
    found = Shelf(tmp_path / "motions").lost()
    assert found.record["strip"] == "Talk" and [each.seed for each in found.motions()] == [1, 2, 10]
    found.discard()
    found.discard()
    assert place.lost() is None and not list(place.folder.iterdir())


def test_what_was_written_stays_until_it_is_saved_and_longer_if_blender_crashed(tmp_path):
    place = Shelf(tmp_path)
    mine, crashed = put(place, 1), put(place, 2, session="another", age=3600)
    mine.note(written=True)
    crashed.note(written=True)
    assert place.lost().record["seed"] == 2
    place.forget_written()
    assert [kept.record["seed"] for kept in place.finished()] == [2]


def test_another_blender_at_work_is_left_alone(tmp_path):
    place = Shelf(tmp_path)
    theirs = put(place, 1, session="another")
    place.begin(seed=2)  # theirs too: not finished
    assert place.lost() is None
    place.forget_written()
    place.tidy()
    assert theirs.finished and len(list(tmp_path.iterdir())) == 2


def test_only_so_many_stay(tmp_path):
    place = Shelf(tmp_path)
    for seed in range(shelf.KEPT + 4):
        put(place, seed, age=1000 - seed)
    seeds = [kept.record["seed"] for kept in place.finished()]
    assert seeds == list(range(shelf.KEPT + 3, 3, -1))


def test_rubbish_is_passed_over_and_goes_away(tmp_path):
    place = Shelf(tmp_path)
    for number, text in enumerate(("", "[]", "{}", json.dumps({"made": 1.0}))):
        (tmp_path / f"job-{number}").mkdir()
        (tmp_path / f"job-{number}" / "record.json").write_text(text)
    (tmp_path / "job-9").mkdir()
    assert place.lost() is None
    old = time.time() - 2 * shelf.UNFINISHED_SECONDS
    for folder in tmp_path.iterdir():
        os.utime(folder, (old, old))
    (tmp_path / "not ours").mkdir()
    place.tidy()
    assert [folder.name for folder in tmp_path.iterdir()] == ["not ours"]
    damaged = place.begin()
    damaged.output.write_bytes(b"PK")
    with pytest.raises(TalkingEyesError, match="could not be read as a motion"):
        place.lost().motions()


def test_a_disk_that_takes_nothing_keeps_nobody_from_generating(tmp_path):
    (tmp_path / "file").write_text("")
    assert Shelf(tmp_path / "file" / "motions").begin() is None
    assert Shelf(tmp_path / "file" / "motions").lost() is None


def test_the_time_left_is_measured():
    pace = Pace()
    assert pace.seconds_left(0.0) is None
    for now in range(10):
        pace.mark(0.0, now)  # starting up: no speed can be read off it
    for step in range(1, 41):
        pace.mark(step / 100, 10 + step)
    assert pace.seconds_left(50.0) == pytest.approx(60.0, rel=0.1)
    assert Pace().seconds_left() is None
    early = Pace()
    early.mark(0.01, 0.0)
    early.mark(0.5, 1.0)
    assert early.seconds_left(1.0) is None, "a second is too short to tell"


def test_the_time_left_follows_a_slower_phase_and_does_not_stand_still():
    pace = Pace()
    for step in range(51):
        pace.mark(step / 100, step / 10)  # 5 s for the first half
    for step in range(1, 11):
        pace.mark(0.5 + step / 100, 5 + step * 2)  # then a fifth of ... 20 s for a tenth
    assert pace.seconds_left(25.0) == pytest.approx(80.0, rel=0.3)
    assert pace.seconds_left(60.0) > pace.seconds_left(25.0), "nothing moves: it takes longer than was thought"


def test_the_time_left_in_words():
    said = [words(seconds) for seconds in (None, 0.2, 33, 59, 61, 200, 5400)]
    assert said == ["", *(f"about {t} left" for t in ("5 s", "35 s", "60 s", "1 min", "3 min", "1.5 h"))]


def test_whose_memory_did_not_suffice():
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as fault:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory.lacking(fault.value) == out_of_memory.CPU, fault.value
    with pytest.raises(MemoryError) as fault:
        np.empty(1 << 60, np.uint8)
    assert out_of_memory.lacking(fault.value) == out_of_memory.CPU
    wrapped = TalkingEyesError("It failed.")
    wrapped.__cause__ = torch.cuda.OutOfMemoryError("CUDA out of memory.")
    assert out_of_memory.lacking(wrapped) == out_of_memory.GPU
    assert out_of_memory.lacking(RuntimeError("MPS backend out of memory (allocated 9 GB)")) == out_of_memory.GPU
    for other in (RuntimeError("shape mismatch"), OSError("out of memory"), ZeroDivisionError(), Exception()):
        assert out_of_memory.lacking(other) == ""
    out_of_memory.give_back()  # without a card: no effect
