"""A tiny dataset in the real layout: noise bursts for speech, a jaw that follows their loudness, eyes that jump."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import numpy as np

from talkingeyes_blender.head import arkit
from talkingeyes_blender.training.dataset import Sequence, write_description, write_sequence


def tiny_sequence(name: str, subject: str, seconds: float = 4.0, seed: int = 0) -> Sequence:
    """``seconds`` of motion that has something to learn in each channel."""
    rng = np.random.default_rng(seed)
    frames = int(seconds * 25)
    loud = np.repeat(rng.random(frames // 5 + 1) > 0.5, 5)[:frames].astype(np.float32)
    samples = rng.normal(0, 0.1, frames * 640).astype(np.float32) * (0.02 + np.repeat(loud, 640))
    gaze = np.repeat(rng.normal(0, 0.15, (frames // 10 + 1, 2)), 10, axis=0)[:frames]
    eyes = np.concatenate([gaze, np.zeros((frames, 1)), gaze, np.zeros((frames, 1))], axis=1)
    expression = np.zeros((frames, len(arkit.EXPRESSIONS)), np.float32)
    expression[:, arkit.INDEX["mouthFunnel"]] = 0.5 * loud
    jaw = np.zeros((frames, 3), np.float32)
    jaw[:, 0] = 0.2 * loud
    head = np.cumsum(rng.normal(0, 0.01, (frames, 3)), axis=0)
    return Sequence(
        id=name, subject=subject, source="test", head_model=arkit.STANDIN, expression=expression, jaw=jaw,
        head=head - head.mean(0), eyes=eyes, blink=np.zeros((frames, 2)), valid=np.ones(frames, bool), samples=samples,
    )  # fmt: skip


def tiny_dataset(folder: Path, sequences: int = 6) -> Path:
    """Write a dataset of a few subjects with all three splits."""
    subjects = {f"s{i:02d}": f"subject{i}" for i in range(sequences)}
    for i, (name, subject) in enumerate(subjects.items()):
        write_sequence(folder, tiny_sequence(name, subject, seed=i))
    splits = {f"subject{i}": ("validation" if i == 1 else "test" if i == 2 else "train") for i in range(sequences)}
    write_description(folder, head_model=arkit.STANDIN, subjects=subjects, splits=splits)
    return folder
