"""What generating costs: ``python -m benchmarks.generation`` prints seconds, CPU seconds and peak memory by length.

Each length runs in a process of its own, so that its peak memory is its own. The sound is noise in syllables, 44.1 kHz
stereo in a FLAC file: what is said does not change the cost, but decoding and resampling belong to it.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_RATE = 44100

_AGAIN = 60.0
"""Seconds of sound up to which it is also measured what a new session saves by the features that were kept."""


class Stopwatch:
    """Seconds and CPU seconds of named stretches."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}
        self._name, self._wall, self._cpu = "", 0.0, 0.0

    def start(self, name: str) -> None:
        """End the running stretch and begin ``name``; '' only ends."""
        wall, cpu = time.perf_counter(), time.process_time()
        if self._name:
            spent = self.spent.setdefault(self._name, [0.0, 0.0])
            spent[0] += wall - self._wall
            spent[1] += cpu - self._cpu
        self._name, self._wall, self._cpu = name, wall, cpu

    def phases(self, prefix: str) -> Callable[[float, str], None]:
        """A progress callback that starts a stretch with each new phase."""

        def progress(fraction: float, phase: str) -> None:
            if self._name != prefix + phase:
                self.start(prefix + phase)

        return progress


def peak_megabytes() -> float:
    """Peak resident memory of this process."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def write_sound(path: Path, seconds: float) -> None:
    """Noise in four syllables a second, with a pause in each fourth second."""
    import numpy as np
    import soundfile

    random = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", samplerate=_RATE, channels=2, format="FLAC") as file:
        for second in range(-(-int(seconds * 100) // 100)):
            frames = min(_RATE, int(seconds * _RATE) - second * _RATE)
            syllables = np.sin(np.pi * 4 * np.arange(frames) / _RATE) ** 2 * (second % 4 != 3)
            file.write(0.2 * syllables[:, None] * random.standard_normal((frames, 2)))


def measure(sound: Path, weights: str | None, device: str) -> dict[str, Any]:
    """Run one length in this process."""
    watch = Stopwatch()
    watch.start("import")
    from talkingeyes_blender.errors import TalkingEyesError
    from talkingeyes_blender.inference.audio import read_audio
    from talkingeyes_blender.inference.generator import Generator
    from talkingeyes_blender.inference.hearing import FeatureCache

    watch.start("load")
    base = peak_megabytes()
    try:
        generator = Generator(weights, device)
    except TalkingEyesError as error:
        sys.exit(str(error))
    watch.start("read")
    clip = read_audio(sound)
    watch.start("generate: rest")
    motion = generator.generate(clip, 1, progress=watch.phases("generate: "))
    watch.start("resample: rest")
    generator.resample(clip, motion, 2, progress=watch.phases("resample: "))
    watch.start("")
    if clip.duration <= _AGAIN:
        with tempfile.TemporaryDirectory() as folder:
            kept = FeatureCache(folder)
            Generator(weights, device, kept).generate(clip, 1)
            later = Generator(weights, device, kept)
            watch.start("new session, generate again")
            later.generate(clip, 1)
            watch.start("")
            later = Generator(weights, device, kept)
            watch.start("new session, resample")
            later.resample(clip, motion, 2)
            watch.start("")
    return {
        "seconds": clip.duration,
        "frames": motion.frames,
        "device": str(generator.device),
        "weights": generator.bundle.name,
        "spent": watch.spent,
        "memory_after_import": base,
        "memory_peak": peak_megabytes(),
    }


def run(seconds: float, weights: str | None, device: str) -> dict[str, Any]:
    """Run one length in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.flac"
        write_sound(sound, seconds)
        command = [sys.executable, "-m", "benchmarks.generation", "--one", str(sound), "--device", device]
        command += ["--weights", weights] if weights else []
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(done.returncode)  # it has said why
        return json.loads(done.stdout.splitlines()[-1])


def total(result: dict[str, Any], prefix: str) -> list[float]:
    """Seconds and CPU seconds of all stretches whose name begins so."""
    spent = [value for name, value in result["spent"].items() if name.startswith(prefix)]
    return [sum(value[0] for value in spent), sum(value[1] for value in spent)]


def table(results: list[dict[str, Any]]) -> str:
    """The results as a Markdown table, seconds / CPU seconds, and what follows from them."""
    names = list(dict.fromkeys(name for result in results for name in result["spent"]))
    lines = [
        f"weights '{results[0]['weights']}' on {results[0]['device']}; seconds / CPU seconds",
        "",
        "| | " + " | ".join(f"{result['seconds']:g} s of sound" for result in results) + " |",
        "|---" * (len(results) + 1) + "|",
    ]

    def row(name: str, cells: list[str]) -> None:
        lines.append(f"| {name} | " + " | ".join(cells) + " |")

    for name in names:
        spent = [result["spent"].get(name, [0.0, 0.0]) for result in results]
        if max(value[0] for value in spent) >= 0.005:
            row(name, [f"{wall:.2f} / {cpu:.2f}" for wall, cpu in spent])
    for name in ("generate", "resample"):
        row(f"**{name}, whole**", ["{:.2f} / {:.2f}".format(*total(result, name)) for result in results])
    job = [[a + b for a, b in zip(total(r, "read"), total(r, "generate"), strict=True)] for r in results]
    row("read + generate, real-time factor", [f"{j[0] / r['seconds']:.4f}" for j, r in zip(job, results, strict=True)])
    row("resample / generate", [f"{total(r, 'resample')[0] / total(r, 'generate')[0]:.2f}" for r in results])
    row("peak memory, MB", [f"{result['memory_peak']:.0f}" for result in results])
    row("of it after importing torch, MB", [f"{result['memory_after_import']:.0f}" for result in results])
    by_length = {round(result["seconds"]): j for result, j in zip(results, job, strict=True)}
    if 60 in by_length and 600 in by_length:
        ratio = [by_length[600][i] / 600 / (by_length[60][i] / 60) for i in (0, 1)]
        lines += ["", f"cost of a second of sound at 600 s against 60 s: {ratio[0]:.3f} (CPU {ratio[1]:.3f})"]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation", description=__doc__)
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0, 600.0])
    parser.add_argument("--weights", help="weight bundle; the starter weights by default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.weights, options.device)))
        return 0
    results = [run(seconds, options.weights, options.device) for seconds in options.seconds]
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
