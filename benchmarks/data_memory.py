"""What reading a dataset costs: ``python -m benchmarks.data_memory`` prints peak memory and seconds for 1 h and 14 h.

The hours are one sequence of 30 s under many names, which is what the reader sees of any dataset: one file at a time.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.generation import peak_megabytes

SECONDS = 30
HOURS = (1, 14)


def make(folder: Path, hours: float) -> None:
    """Write one sequence, and link it under as many names as the hours need."""
    import numpy as np

    from talkingeyes_blender.head import arkit
    from talkingeyes_blender.training.dataset import Sequence, sequence_paths, write_description, write_sequence

    random, frames = np.random.default_rng(0), SECONDS * 25
    walk = np.cumsum(random.normal(0, 0.01, (frames, 12)), 0).clip(-0.4, 0.4)
    first = Sequence(
        id="00000", subject="a", source="made", head_model=arkit.STANDIN, jaw=walk[:, :3], head=walk[:, 3:6],
        expression=random.normal(0, 0.2, (frames, len(arkit.EXPRESSIONS))), eyes=walk[:, 6:], blink=walk[:, :2] ** 2,
        valid=np.ones(frames, bool), samples=random.normal(0, 0.1, frames * 640),
    )  # fmt: skip
    write_sequence(folder, first)
    names = [f"{number:05d}" for number in range(int(hours * 3600 / SECONDS))]
    for name in names[1:]:
        for path, link in zip(sequence_paths(folder, first.id), sequence_paths(folder, name), strict=True):
            os.link(path, link)
    write_description(folder, head_model=arkit.STANDIN, subjects=dict.fromkeys(names, "a"), splits={"a": "train"})


def read(folder: Path) -> dict[str, float]:
    """Check the dataset, then take 2 000 random sequences of its training split, as the loop does."""
    import numpy as np

    from talkingeyes_blender.training.check_data import find_faults
    from talkingeyes_blender.training.dataset import Dataset

    base, began = peak_megabytes(), time.perf_counter()
    data = Dataset(folder)
    faults = find_faults(data)
    checked, train = time.perf_counter(), data.split("train")
    for index in np.random.default_rng(0).integers(0, len(train), 2000):
        assert train[int(index)].frames == SECONDS * 25
    done = time.perf_counter()
    assert not faults, faults[0]
    return {"base": base, "peak": peak_megabytes(), "check": checked - began, "read": done - checked}


def main() -> None:
    print("| hours of data | sequences | memory before, MB | peak, MB | check-data, s | 2 000 sequences read, s |")
    print("|---|---|---|---|---|---|")
    for hours in HOURS:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), hours)
            command = [sys.executable, "-m", "benchmarks.data_memory", folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        got = json.loads(done.stdout)
        count = int(hours * 3600 / SECONDS)
        print(f"| {hours} | {count} | {got['base']:.0f} | {got['peak']:.0f} | {got['check']:.1f} | {got['read']:.1f} |")


if __name__ == "__main__":
    print(json.dumps(read(Path(sys.argv[1])))) if len(sys.argv) > 1 else main()
