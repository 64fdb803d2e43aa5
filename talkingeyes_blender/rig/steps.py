"""Long work on Blender's data in steps, so that a window can draw between them: generators of None with a result.

Whoever leaves such work half done closes the generator, upon which the work takes back what it has done.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
from collections.abc import Generator
from typing import Generic, TypeVar

Result = TypeVar("Result")
Steps = Generator[None, None, Result]


def finish(steps: Steps[Result]) -> Result:
    """Do all steps at once and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as last:
            return last.value


class Work(Generic[Result]):
    """Steps that are done some at a time, and how they ended."""

    def __init__(self, steps: Steps[Result]) -> None:
        self._steps = steps
        self.done = False
        self.result: Result | None = None
        self.error: Exception | None = None

    def go_on(self, seconds: float | None = None) -> bool:
        """Do steps until so many seconds have passed, at least one; without a number, all. Return whether it ended."""
        began = time.perf_counter()
        while not self.done:
            try:
                next(self._steps)
            except StopIteration as last:
                self.done, self.result = True, last.value
            except Exception as error:  # told by whoever asks for the end
                self.done, self.error = True, error
            if seconds is not None and time.perf_counter() - began >= seconds:
                break
        return self.done

    def stop(self, error: Exception) -> None:
        """Leave it half done, for this reason: it takes back what it did."""
        if not self.done:
            self.done, self.error = True, error
            self._steps.close()
