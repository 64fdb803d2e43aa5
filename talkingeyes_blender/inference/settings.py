"""What a user may choose about a generation."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..errors import TalkingEyesError
from .blinks import RATE_MAX

GAZE_MODES = ("sample", "argmin")
"""'sample' draws codes by their likelihood; 'argmin' takes the nearest code, as the paper does (Eq. 5)."""


@dataclasses.dataclass(frozen=True)
class GenerationSettings:
    """Choices of one generation; None leaves a choice to the weight bundle, and blinks to the paper."""

    blink_rate: float | None = None
    """Blinks a minute, on average; 0 for none, None for the paper's N(40.10, 15.42)."""
    gaze: str | None = None
    """One of ``GAZE_MODES``."""
    temperature: float | None = None
    """Of sampled codes: below 1 calmer, above 1 more varied."""
    top_k: int | None = None
    """Sampled codes are among this many likeliest; 0 for all."""
    fixate: float | None = None
    """Degrees by which gaze must leave a fixation to end it (``fixating``); 0 leaves gaze as the codes have it."""

    def __post_init__(self) -> None:
        for name, kind, least, most in (
            ("blink_rate", "number", 0, RATE_MAX),
            ("temperature", "number", 0, 100),
            ("top_k", "whole number", 0, 1 << 20),
            ("fixate", "number", 0, 30),
        ):
            value = getattr(self, name)
            if value is None:
                continue
            accepted = int if kind == "whole number" else (int, float)
            if isinstance(value, bool) or not isinstance(value, accepted) or not math.isfinite(value):
                raise TalkingEyesError(f"The setting '{name}' is {value!r}.", f"It must be a {kind}.")
            if not least <= value <= most:
                raise TalkingEyesError(f"The setting '{name}' is {value:g}.", f"It must be {least:g} to {most:g}.")
        if self.gaze is not None and self.gaze not in GAZE_MODES:
            raise TalkingEyesError(f"The setting 'gaze' is {self.gaze!r}.", f"It must be {' or '.join(GAZE_MODES)}.")

    def with_defaults(self, defaults: dict[str, Any]) -> GenerationSettings:
        """Fill what was left open from ``defaults`` (a bundle's), and then from our own."""
        own = {"gaze": "sample", "temperature": 1.0, "top_k": 0, "fixate": 0.0}
        filled = {
            name: next(v for v in (getattr(self, name), defaults.get(name), own[name]) if v is not None) for name in own
        }
        return dataclasses.replace(self, **filled)
