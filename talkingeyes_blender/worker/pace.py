"""How long a job will still take, from how fast it went so far."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections
import time

FIRST_SECONDS = 2.0
"""Nothing is said before so much time, and FIRST_PROGRESS, have passed: it would be a guess."""
FIRST_PROGRESS = 0.03


class Pace:
    """Told each progress (``mark``), it says the seconds that are left, or None where it cannot know.

    Only the later half of the time counts, since the phases of a job differ in speed; a job that stands still gets
    slower by the second, so that no number stays where nothing moves. Starting up, before the first progress, says
    nothing about the speed.
    """

    def __init__(self) -> None:
        self._marks: collections.deque[tuple[float, float]] = collections.deque(maxlen=4096)

    def mark(self, fraction: float, now: float | None = None) -> None:
        if fraction > (self._marks[-1][1] if self._marks else 0.0):
            self._marks.append((time.monotonic() if now is None else now, fraction))

    def seconds_left(self, now: float | None = None) -> float | None:
        if not self._marks:
            return None
        now = time.monotonic() if now is None else now
        (began, first), (latest, last) = self._marks[0], self._marks[-1]
        if now - began < FIRST_SECONDS or last - first < FIRST_PROGRESS:
            return None
        middle = (began + latest) / 2
        since, fraction = next(mark for mark in reversed(self._marks) if mark[0] <= middle)
        return (1.0 - last) * (now - since) / (last - fraction)


def words(seconds: float | None) -> str:
    """'about 20 s left', as coarse as it is known; '' for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"about {max(5, 5 * round(seconds / 5))} s left"
    if seconds < 3600:
        return f"about {max(1, round(seconds / 60))} min left"
    return f"about {seconds / 3600:.1f} h left"
