"""All of what the product costs, in one run: ``python -m benchmarks [--long] [--out DIR]``.

Prints Markdown tables: generation by length with its bounds, in the starter's and in the papers' layout; takes;
streaming; the peers' way of decoding; the worker; writing curves in Blender; training; a graphics card, if there is
one. Each runs in a process of its own on one thread. ``--long`` adds an hour of sound, and what is not exact.
``results.json`` and ``cost.png`` (cost against length) are written to the folder.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from . import bounds, layouts
from .generation import run as generate
from .generation import table as generation_table
from .generation import total

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def part(module: str, *arguments: str) -> tuple[str, object]:
    """What ``python -m benchmarks.module`` prints, and the JSON that it writes, if it writes any."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.json"
        command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
        takes_json = module not in ("curves", "training")
        done = subprocess.run(
            command + (["--json", str(path)] if takes_json else []), env=ENVIRONMENT, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            return f"({module}: not measured: {(done.stderr.strip().splitlines() or ['failed'])[-1]})", None
        return done.stdout.strip(), json.loads(path.read_text()) if path.exists() else None


def with_bounds(results: list[dict], weights: str | None) -> tuple[str, dict]:
    """The generation's table, and beside its CPU seconds the bound that this machine sets."""
    import torch

    from talkingeyes_blender.inference.bundle import load_bundle

    torch.set_num_threads(1)
    bundle, rows, figures = load_bundle(weights, "cpu"), [], {}
    for result in results:
        seconds = result["seconds"]
        least = bounds.bounds(bundle, seconds)
        spent = total(result, "read")[1] + total(result, "generate")[1]
        figures[f"{seconds:g}"] = {"bounds": least, "cpu": spent, "ratio": spent / sum(least.values())}
        rows.append(
            f"| {seconds:g} | {spent:.2f} | {least['speech encoders']:.2f} | {least['face and gaze decoders']:.2f} | "
            f"{spent / sum(least.values()):.2f} | {seconds / spent:.1f} |"
        )
    head = [
        "",
        "| sound, s | CPU s | bound: encoders (operations) | decoders (bytes) | CPU / bounds | times real time |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    return "\n".join([generation_table(results), *head, *rows]), figures


def plot(curves: dict[str, list[dict]], path: Path) -> None:
    """CPU seconds a second of sound against length."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for name, results in curves.items():
        lengths = [r["seconds"] for r in results]
        axes.plot(lengths, [total(r, "generate")[1] / r["seconds"] for r in results], "o-", label=name)
    axes.set(xscale="log", yscale="log", xlabel="length of the sound, s", ylabel="CPU seconds a second of sound")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--long", action="store_true", help="an hour of sound too, and ten minutes of wav2vec2-base")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    parser.add_argument("--device", default="cpu", help="of generation; the rest is measured on the CPU")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ.update(ENVIRONMENT)
    results: dict = {"cpu": bounds.product_rate() / 1e9}
    print(f"one thread reaches {results['cpu']:.0f} GFLOP/s in a float32 matrix product\n")
    lengths = [10.0, 30.0, 60.0, 600.0, *([3600.0] if options.long else [])]
    curves = {"starter": [generate(seconds, None, options.device) for seconds in lengths]}
    text, results["starter, bounds"] = with_bounds(curves["starter"], None)
    print("## Generation, starter weights\n\n" + text, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        weights = str(layouts.wav2vec2_bundle(Path(folder) / "wav2vec2"))
        lengths = [10.0, 60.0, *([600.0] if options.long else [])]
        curves["wav2vec2-base layout"] = [generate(seconds, weights, options.device) for seconds in lengths]
        text, results["wav2vec2, bounds"] = with_bounds(curves["wav2vec2-base layout"], weights)
        print("\n## Generation, wav2vec2-base layout\n\n" + text, flush=True)
    results |= curves
    for title, module in (
        ("Takes", "takes"), ("Streaming", "streaming"), ("The peers' way of decoding", "recompute"),
        ("Worker", "worker"), ("Curves in Blender", "curves"), ("Training", "training"),
        ("Graphics card", "graphics_card"), *([("What is not exact", "approximations")] if options.long else []),
    ):  # fmt: skip
        text, results[module] = part(module)
        print(f"\n## {title}\n\n{text}", flush=True)
    temporary = options.out / "results.json.part"
    temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, options.out / "results.json")
    plot(curves, options.out / "cost.png")
    print(f"\n{options.out / 'results.json'}\n{options.out / 'cost.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
