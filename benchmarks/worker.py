"""What the worker costs: ``python -m benchmarks.worker`` times its start with a first job, and warm jobs."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.command import run
from talkingeyes_blender.worker.client import Task, Worker

SOUND = Path(__file__).parents[1] / "talkingeyes_blender" / "assets" / "speech.flac"


def measure(weights: str | None, warm: int = 3) -> dict[str, float]:
    """Wall seconds of a job of 14 s of speech: the first, which starts the process, and warm ones."""
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(sys.executable, Path(folder), 60.0)
        try:
            took = []
            for seed in range(warm + 1):
                began = time.perf_counter()
                worker.submit(Task("generate", str(SOUND), seed, device="cpu", bundle=weights)).wait()
                took.append(time.perf_counter() - began)
        finally:
            worker.close()
    return {"start and first job": took[0], "warm job, median": statistics.median(took[1:])}


def table(result: dict[str, float]) -> str:
    rows = [f"| {k} | {v:.2f} |" for k, v in result.items()]
    return "\n".join(["| worker, 14 s of speech | seconds |", "|---|---|", *rows])


if __name__ == "__main__":
    run("worker", __doc__, measure, table)
