"""How long Blender's main thread is held by a job: ``python -m benchmarks.main_thread [seconds of motion ...]``.

A job of the real kind, with the real worker protocol over a generator that answers at once, is polled as the modal
operator polls it. Printed in milliseconds: the submit, the median and the longest tick (the one that receives the
motion among them), what one draw of the panel asks, and the final write, which stands apart. Each as CPU time of the
main thread, and in brackets as time that passed, which on a busy machine is longer.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import statistics
import sys
import tempfile
import time
import types
import wave
from pathlib import Path

import bpy

import talkingeyes_blender
from talkingeyes_blender import preferences

DOUBLE = Path(__file__).resolve().parents[1] / "tests" / "_worker_double.py"
RATE, FPS = 16_000, 25
LENGTHS = (10, 60, 600)


def main() -> None:
    lengths = [int(text) for text in sys.argv[1:]] or LENGTHS
    talkingeyes_blender.register()
    try:
        with tempfile.TemporaryDirectory() as folder:
            preferences.data_folder = lambda: Path(folder)
            for seconds in lengths:
                _measure(Path(folder), seconds)
    finally:
        talkingeyes_blender.unregister()


def _measure(folder: Path, seconds: int) -> None:
    from talkingeyes_blender.operators import jobs, kept, subject
    from talkingeyes_blender.operators.generate import Generate
    from talkingeyes_blender.worker.client import Worker

    bpy.ops.wm.read_factory_settings(use_empty=True)
    sound = folder / "speech.wav"
    with wave.open(str(sound), "wb") as stream:
        stream.setparams((1, 2, RATE, 0, "NONE", ""))
        stream.writeframes(bytes(2 * RATE * seconds))
    bpy.ops.talkingeyes.import_audio(filepath=str(sound))
    bpy.ops.talkingeyes.add_standin()
    context = bpy.context
    worker = Worker(sys.executable, folder, scratch=folder, launcher=DOUBLE)
    try:
        began = _now()
        plan = Generate.plan(types.SimpleNamespace(edited="KEEP"), context)
        task = dataclasses.replace(plan.task, settings={"act": "slow", "frames": seconds * FPS})
        job = worker.submit(task, kept.begin(context, plan))
        submit = _since(began)
        ticks = []
        while job.state == "running":
            time.sleep(jobs.TICK_SECONDS / 5)
            began = _now()
            job.poll()
            ticks.append(_since(began))
        began = _now()
        _asked_by_a_draw(context, subject)
        draw = _since(began)
        began = _now()
        plan = dataclasses.replace(plan, task=dataclasses.replace(plan.task, settings={}))
        plan.apply(context, job.motion)
        jobs.mark_written(job.kept)
        write = _since(began)
    finally:
        worker.close()
    middle = tuple(statistics.median(column) for column in zip(*ticks, strict=True))
    parts = {
        "submit": submit,
        "tick, median": middle,
        f"tick, longest of {len(ticks)}": max(ticks),
        "a draw's questions": draw,
        "final write": write,
    }
    said = ", ".join(f"{name} {1e3 * cpu:.1f} ({1e3 * wall:.1f})" for name, (cpu, wall) in parts.items())
    print(f"{seconds} s of motion, ms: {said}", flush=True)


def _now() -> tuple[float, float]:
    return time.thread_time(), time.perf_counter()


def _since(began: tuple[float, float]) -> tuple[float, float]:
    return time.thread_time() - began[0], time.perf_counter() - began[1]


def _asked_by_a_draw(context: bpy.types.Context, subject) -> tuple:
    """What the panels want to know of the scene in one redraw while a job runs."""
    for ask in (subject.why_no_strip, subject.why_no_head, subject.why_no_take, subject.head_of, subject.takes_of):
        ask(context)
    state = context.window_manager.talkingeyes
    return state.running, state.fraction, state.phase, state.left, state.note


if __name__ == "__main__":
    main()
