"""The one error type that reaches a user."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class TalkingEyesError(Exception):
    """A fault that the user can understand and mend.

    ``message`` is one sentence that says what is wrong; ``hint`` says what to do about it (it may be empty).
    Anything else that escapes is a defect of ours and goes to the log with its trace.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class Cancelled(Exception):
    """The user asked a running job to stop; nothing was written."""
