"""The command line that the benchmarks of a weight bundle share."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run(name: str, about: str, measure: Callable[[str | None], Any], table: Callable[[Any], str]) -> None:
    """Measure the bundle that is named (the starter weights otherwise), print the table, write JSON where asked for."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument("--weights", help="weight bundle; the starter weights by default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure(options.weights)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
