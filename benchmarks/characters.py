"""What the character presets do to generated motion: spread and shifts of the eyes, blinks, spread of the head.

    python benchmarks/characters.py [--seeds 4] [--bundle FOLDER] [--audio FILE]

Prints a table in Markdown. A shift of gaze is a run of frames in which the left eye turns by more than 50 degrees a
second; spreads are standard deviations of pitch and yaw together, in degrees.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from talkingeyes_blender import characters  # noqa: E402
from talkingeyes_blender.inference.audio import read_audio  # noqa: E402
from talkingeyes_blender.inference.generator import GenerationSettings, Generator  # noqa: E402
from talkingeyes_blender.motion import Motion  # noqa: E402

_SHIFT = 50.0
COLUMNS = ("eyes' sd (°)", "shifts a second", "blinks a minute", "head's sd (°)", "jaw's sd (°)")


def measured(motion: Motion, settings: dict[str, object]) -> np.ndarray:
    """(5,) of COLUMNS, of a motion as it is written with a preset's parts and strengths."""

    def strength(part: str) -> float:
        return float(settings[f"strength_{part}"]) if settings[f"write_{part}"] else 0.0

    eyes = np.degrees(motion.eyes[:, :2]) * strength("gaze")
    speed = np.linalg.norm(np.diff(eyes, axis=0), axis=1) * motion.fps
    shut = motion.blink.max(1) * strength("blinks") > 0.5
    head = np.degrees(motion.head[:, :2]) * strength("head")
    jaw = np.degrees(motion.jaw[:, 0]) * strength("face")
    return np.array([
        np.hypot(*eyes.std(0)),
        _runs(speed > _SHIFT) / motion.duration,
        60 * _runs(shut) / motion.duration,
        np.hypot(*head.std(0)),
        jaw.std(),
    ])  # fmt: skip


def _runs(mask: np.ndarray) -> int:
    """How many runs of true values there are."""
    return int((np.diff(np.concatenate([[0], mask.astype(int)])) == 1).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4, help="how many takes of each (default: 4)")
    parser.add_argument("--bundle", help="folder of a weight bundle (default: the bundled one)")
    parser.add_argument("--audio", default=str(ROOT / "talkingeyes_blender" / "assets" / "speech.flac"))
    options = parser.parse_args()
    generator, clip = Generator(options.bundle, "cpu"), read_audio(options.audio)
    print("| character | " + " | ".join(COLUMNS) + " |")
    print("|---|" + "---|" * len(COLUMNS))
    for name, preset in characters.BUILT_IN.items():
        rate = None if preset["blink_preset"] == "PAPER" else preset["blink_rate"]
        settings = GenerationSettings(
            blink_rate=rate, gaze=preset["gaze_choice"], temperature=preset["gaze_temperature"]
        )
        takes = [measured(generator.generate(clip, seed, settings), preset) for seed in range(1, options.seeds + 1)]
        mean, spread = np.mean(takes, 0), np.std(takes, 0)
        print(f"| {name} | " + " | ".join(f"{m:.1f} ± {s:.1f}" for m, s in zip(mean, spread, strict=True)) + " |")


if __name__ == "__main__":
    main()
