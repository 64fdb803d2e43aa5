"""Work that is shared out to processes, one job each, as the corpora of voices and of recordings are made."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Job = TypeVar("Job")
Made = TypeVar("Made")


def share_out(work: Callable[[Job], Made], jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Made]]:
    """Each job with what ``work`` made of it, as they are done; in this process where ``workers`` is 1.

    ``work`` and the jobs must be picklable. What it raises ends the others.
    """
    if workers <= 1 or len(jobs) < 2:
        for job in jobs:
            yield job, work(job)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(work, job): job for job in jobs}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
