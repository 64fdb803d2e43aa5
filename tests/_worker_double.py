"""Run as a script in place of worker/launch.py: the real server over a generator that obeys its settings.

The protocol, cancelling and dying are what is tested with it; speech is not.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "talkingeyes_blender" / "worker"))

import launch


@dataclasses.dataclass(frozen=True)
class Settings:
    """``act``: what the generator does, by default as the environment says; ``frames``: how much it answers."""

    act: str = os.environ.get("TALKINGEYES_DOUBLE", "answer")
    frames: int = 50
    blink_rate: float | None = None
    gaze: str | None = None
    temperature: float | None = None


class ObedientGenerator:
    device = "cpu"

    def __init__(self, device: str) -> None:
        self.device = device

    def generate(self, clip, seed, settings, progress, on_piece=None):
        from talkingeyes_blender.errors import TalkingEyesError

        print("a library prints to stdout")
        os.write(1, b"and another writes to its file descriptor\n")
        progress(0.25, "Thinking")
        if settings.act == "refuse":
            raise TalkingEyesError("It does not please.", "Ask otherwise.")
        if settings.act == "crash":
            raise ZeroDivisionError("of ours")
        if settings.act == "out of memory":
            raise MemoryError
        if settings.act == "full card" and self.device != "cpu":
            torch = sys.modules["torch"] = types.ModuleType("torch")
            torch.OutOfMemoryError = type("OutOfMemoryError", (RuntimeError,), {})
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        if on_piece is not None:
            whole = self.motion(seed, settings.frames)
            for first in range(0, settings.frames, 20):
                on_piece(first, cut(whole, first, min(settings.frames, first + 20)))
                if first == 20 and settings.act == "die after pieces":
                    os.kill(os.getpid(), signal.SIGKILL)
                if first == 20 and settings.act == "refuse after pieces":
                    raise TalkingEyesError("It does not please any more.", "Ask otherwise.")
                while first == 20 and settings.act == "work after pieces":
                    progress(0.5, "Working")
                    time.sleep(0.01)
        if settings.act == "slow":
            for step in range(100):
                progress(step / 100, "Working")
                time.sleep(0.01)
        if settings.act == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if settings.act == "spawn":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            Path(clip, "child").write_text(str(child.pid))
        while settings.act in ("work", "spawn"):
            progress(0.5, "Working")
            time.sleep(0.01)
        if settings.act == "deaf":
            time.sleep(600)
        return self.motion(seed, settings.frames)

    def motion(self, seed, size):
        import numpy as np

        from talkingeyes_blender.head import arkit
        from talkingeyes_blender.motion import Motion

        rng = np.random.default_rng(seed)
        return Motion(
            expression=rng.uniform(0, 0.2, (size, len(arkit.EXPRESSIONS))),
            jaw=rng.uniform(0, 0.2, (size, 3)),
            head=rng.uniform(0, 0.2, (size, 3)),
            eyes=rng.uniform(0, 0.2, (size, 6)),
            blink=rng.uniform(0, 1, (size, 2)),
            seed=seed,
            head_model=arkit.STANDIN,
        )

    def generate_takes(self, clip, seeds, settings, progress):
        return [self.generate(clip, seed, settings, progress) for seed in seeds]

    def resample(self, clip, motion, seed, parts, frames, settings, progress):
        """Another number in the frames of each part."""
        names = {"face": ("expression", "jaw"), "head": ("head",), "gaze": ("eyes",), "blinks": ("blink",)}
        first, last = frames or (0, motion.frames)
        changes = {}
        for name in (name for part in parts for name in names[part]):
            changes[name] = getattr(motion, name).copy()
            changes[name][first:last] = seed / 100
        return motion.replace(**changes)


def cut(motion, first, last):
    names = ("expression", "jaw", "head", "eyes", "blink")
    return motion.replace(**{name: getattr(motion, name)[first:last] for name in names})


def load(bundle, device):
    return ObedientGenerator(device)


def main() -> int:
    requests, events = launch.take_streams()
    launch.load_package()
    from importlib import import_module

    audio, generator = types.ModuleType("audio"), types.ModuleType("generator")
    audio.read_audio = lambda path, start, duration: path
    generator.GenerationSettings = Settings
    sys.modules["talkingeyes_blender.inference.audio"] = audio
    sys.modules["talkingeyes_blender.inference.generator"] = generator
    server = import_module("talkingeyes_blender.worker.server")
    return server.main(sys.argv[1:], requests, events, load=load)


if __name__ == "__main__":
    sys.exit(main())
