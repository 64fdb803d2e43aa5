"""From the click to motion on the head: ``python -m benchmarks.preview [seconds ...] [--head F] [--weights F]``.

The operator's own steps with the real worker, ticked as a window ticks them: seconds until the first piece plays on the
head and until the take is written, with the worker fresh and warm, and in brackets the CPU seconds of the worker until
then; and for how long a tick that shows a piece holds the main thread.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import types
import wave
from pathlib import Path

import bpy
import numpy as np

import talkingeyes_blender
from talkingeyes_blender import preferences

RATE = 16_000
LENGTHS = (60, 600)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.preview")
    parser.add_argument("seconds", nargs="*", type=int, default=LENGTHS)
    parser.add_argument("--head", help="a FLAME file; the stand-in where none is named")
    parser.add_argument("--weights")
    options = parser.parse_args()
    talkingeyes_blender.register()
    try:
        with tempfile.TemporaryDirectory() as folder:
            preferences.data_folder = lambda: Path(folder)
            preferences.read = lambda context: preferences.Choices(sys.executable, "cpu", options.weights)
            for seconds in options.seconds:
                for state in ("fresh", "warm"):
                    _measure(Path(folder), seconds, state, options.head)
                _close()
    finally:
        talkingeyes_blender.unregister()


def _close() -> None:
    from talkingeyes_blender.operators import jobs

    jobs.close()


def _measure(folder: Path, seconds: int, state: str, head: str | None) -> None:
    from talkingeyes_blender.operators import jobs
    from talkingeyes_blender.operators.generate import Generate

    class Window(jobs.JobOperator):
        bl_label, bl_idname, edited = "Generate", "talkingeyes.generate", "KEEP"
        plan = Generate.plan

        def report(self, kind, text) -> None:
            print(f"  {text}")

        def _leave_window(self, _context) -> None:
            jobs._leave()

    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.talkingeyes.import_audio(filepath=str(_speech(folder, seconds, seed=len(list(folder.glob("*.wav"))))))
    if head is None:
        bpy.ops.talkingeyes.add_standin()
    else:
        bpy.ops.talkingeyes.build_flame(filepath=head)
    bpy.context.scene.talkingeyes.preview = True
    tick = types.SimpleNamespace(type="TIMER", value="NOTHING")
    window, began, first, held = Window(), time.perf_counter(), None, []
    spent = _spent()
    window._begin(bpy.context, watched=True)
    result = {"PASS_THROUGH"}
    while result == {"PASS_THROUGH"}:
        time.sleep(jobs.TICK_SECONDS)
        shown, wall, cpu = window._preview._shown, time.perf_counter(), time.thread_time()
        result = window.modal(bpy.context, tick)
        if result == {"PASS_THROUGH"}:
            bpy.context.view_layer.update()
            held.append((time.thread_time() - cpu, time.perf_counter() - wall, window._preview._shown > shown))
            if first is None and window._preview._shown:
                first = time.perf_counter() - began, _spent() - spent
            if window._job.state == "running":
                now = _spent()
    whole = time.perf_counter() - began, max(now, _spent()) - spent
    first = first or whole
    showing = sorted(each[:2] for each in held if each[2]) or [(0.0, 0.0)]
    print(
        f"{seconds} s of sound, worker {state}: first motion after {first[0]:.2f} s ({first[1]:.2f}), take after "
        f"{whole[0]:.2f} s ({whole[1]:.2f}); "
        f"{len(showing)} pieces, a tick that shows one {1e3 * showing[len(showing) // 2][0]:.0f} ms of the main "
        f"thread's time (at most {1e3 * showing[-1][0]:.0f}; by the clock at most "
        f"{1e3 * max(wall for _, wall in showing):.0f})",
        flush=True,
    )


def _spent() -> float:
    """CPU seconds of the worker, where the system tells; 0 before it runs."""
    from talkingeyes_blender.operators import jobs

    pid = jobs._worker.pid if jobs._worker is not None else None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _speech(folder: Path, seconds: int, seed: int) -> Path:
    """Something like syllables."""
    t = np.arange(seconds * RATE) / RATE
    samples = 0.2 * np.sin(2 * np.pi * 3 * t) ** 2 * np.random.default_rng(seed).normal(size=len(t)).clip(-3, 3)
    path = folder / f"speech {seed}.wav"
    with wave.open(str(path), "wb") as stream:
        stream.setparams((1, 2, RATE, 0, "NONE", ""))
        stream.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


if __name__ == "__main__":
    main()
