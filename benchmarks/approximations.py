"""What is not exact, and by how much: ``python -m benchmarks.approximations`` prints its effect on the motion.

Attention in windows and bfloat16 products, each against wav2vec 2.0 over the whole clip in float32. Neither touches the
starter's own encoder, whose windows are exact (tested). The transformer has wav2vec2-base's layout and random weights;
what it makes of the clip is mapped to the features of the starter's encoders (least squares, damped so that the first
half of the clip tells most about the second), and the starter's decoders make the motion of that. So the motion is of
the size of real motion, but what is random attends to all frames alike, and what is trained does not: measure your own
weights with --encoder FOLDER, in transformers' layout.

A sampled gaze that once takes another code goes on otherwise; it is therefore measured in the paper's way (argmin), and
beside all stands what another seed changes.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import torch

from talkingeyes_blender.head.skinning import pose_vertices
from talkingeyes_blender.head.standin import load_standin
from talkingeyes_blender.inference.audio import AudioClip, read_audio
from talkingeyes_blender.inference.generator import GenerationSettings, Generator, _Heard
from talkingeyes_blender.inference.speech_encoder import RATE, SpeechEncoder
from talkingeyes_blender.inference.wav2vec2_encoder import Wav2Vec2Encoder
from talkingeyes_blender.motion import Motion

SOUND = Path(__file__).parents[1] / "talkingeyes_blender" / "assets" / "speech.flac"
_WHOLE = 1 << 30
_DAMPINGS = (1e-3, 1e-2, 1e-1, 1.0)
_EVERY = 5
"""Frames from one to the next whose mesh is compared."""


@dataclasses.dataclass(frozen=True)
class Way:
    """How the encoder runs; a window of ``_WHOLE`` is the reference."""

    name: str
    window: int = _WHOLE
    margin: int = 50
    precision: torch.dtype = torch.float32


WAYS = (
    Way("windows of up to 34 s (as we do)", Wav2Vec2Encoder.window, Wav2Vec2Encoder.margin),
    Way("windows of up to 17 s", Wav2Vec2Encoder.window // 2),
    Way("bfloat16", precision=torch.bfloat16),
)


def long_speech(seconds: float) -> AudioClip:
    """The sample speech again and again, each time a little faster or slower and higher or lower."""
    samples, pieces, wanted = read_audio(SOUND).samples, [], int(seconds * RATE)
    for number in range(wanted // len(samples) * 2 + 2):
        speed = 0.85 + 0.3 * (number * 0.618 % 1)
        at = np.arange(0, len(samples) - 1, speed)
        pieces.append(np.interp(at, np.arange(len(samples)), samples).astype(np.float32))
    return AudioClip(np.concatenate(pieces)[:wanted])


def encode(encoder: SpeechEncoder, clip: AudioClip, way: Way) -> tuple[torch.Tensor, float]:
    """Features (T, S) and the CPU seconds that they took."""
    encoder.window, encoder.margin, encoder.precision = way.window, way.margin, way.precision
    began = time.process_time()
    features = encoder.encode(torch.from_numpy(clip.samples))[0]
    return features, time.process_time() - began


def _fit(inputs: torch.Tensor, wanted: torch.Tensor, damping: float) -> torch.Tensor:
    damped = inputs.T @ inputs + damping * len(inputs) * torch.eye(inputs.shape[1])
    return torch.linalg.solve(damped, inputs.T @ wanted)


class Decoders:
    """The starter's decoders, told by another encoder."""

    def __init__(self, clip: AudioClip, features: torch.Tensor) -> None:
        self._clip, self._generator = clip, Generator(None, "cpu")
        self._generator.generate(clip, 1)
        heard = self._generator._heard[clip.digest]
        self._own = [heard.face_features[0], heard.gaze_features[0]]
        self._mean, self._scale = features.mean(0), features.std(0) + 1e-6
        inputs, half = self._inputs(features), len(features) // 2

        def missed(damping: float) -> float:
            maps = [_fit(inputs[:half], own[:half], damping) for own in self._own]
            return self._missed(inputs[half:], [own[half:] for own in self._own], maps)

        damping = min(_DAMPINGS, key=missed)
        self._maps = [_fit(inputs, own, damping) for own in self._own]
        self.explained = 1 - self._missed(inputs, self._own, self._maps)
        """Share of the variance of the starter's features that the mapped ones have."""

    @staticmethod
    def _missed(inputs: torch.Tensor, wanted: list[torch.Tensor], maps: list[torch.Tensor]) -> float:
        pairs = zip(wanted, maps, strict=True)
        left = [(own - inputs @ m).square().sum() / (own - own.mean(0)).square().sum() for own, m in pairs]
        return float(np.mean(left))

    def _inputs(self, features: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad((features - self._mean) / self._scale, (0, 1), value=1.0)

    def motion(self, features: torch.Tensor, seed: int = 1) -> Motion:
        mapped = [(self._inputs(features) @ m)[None] for m in self._maps]
        self._generator._heard[self._clip.digest] = _Heard(*mapped)
        return self._generator.generate(self._clip, seed, GenerationSettings(gaze="argmin", blink_rate=0))


def differences(one: Motion, other: Motion) -> dict[str, list[float]]:
    """Mean and largest difference: face in mm (the skin point that moves most), jaw, head and eyes in degrees."""
    head, meshes = load_standin(), []
    for motion in (one, other):
        pose = np.zeros((len(motion.jaw[::_EVERY]), 5, 3), np.float32)
        pose[:, 2] = motion.jaw[::_EVERY]
        frames = zip(motion.expression[::_EVERY], pose, strict=True)
        meshes.append(np.concatenate([pose_vertices(head, expression=e[None], pose=p[None]) for e, p in frames]))
    apart = {"face, mm": 1000 * np.linalg.norm(meshes[0] - meshes[1], axis=-1).max(1)}
    for name, a, b in (
        ("jaw, degrees", one.jaw, other.jaw), ("head, degrees", one.head, other.head),
        ("eyes, degrees", one.eyes[:, :3], other.eyes[:, :3]),
    ):  # fmt: skip
        apart[name] = np.degrees(np.linalg.norm(a - b, axis=-1))
    return {name: [float(values.mean()), float(values.max())] for name, values in apart.items()}


@torch.inference_mode()
def measure(encoder: SpeechEncoder, lengths: tuple[float, ...]) -> list[dict]:
    torch.set_num_threads(1)
    results = []
    for seconds in lengths:
        clip = long_speech(seconds)
        whole, spent = encode(encoder, clip, Way("whole"))
        decoders = Decoders(clip, whole)
        reference = decoders.motion(whole)
        base = {"seconds": seconds, "explained": decoders.explained}
        results.append(base | {"way": "whole clip, float32", "cpu": spent})
        for way in WAYS:
            features, spent = encode(encoder, clip, way)
            apart = differences(reference, decoders.motion(features))
            results.append(base | {"way": way.name, "cpu": spent, "apart": apart})
        results.append(base | {"way": "another seed", "apart": differences(reference, decoders.motion(whole, 2))})
    return results


def table(results: list[dict]) -> str:
    names = list(next(r["apart"] for r in results if "apart" in r))
    lines = [
        "differences from the whole clip in float32: mean / largest", "",
        "| sound, s | encoder | its CPU s | " + " | ".join(names) + " |", "|---" * (3 + len(names)) + "|",
    ]  # fmt: skip
    for r in results:
        cells = ["{:.3f} / {:.3f}".format(*r["apart"][name]) if "apart" in r else "" for name in names]
        spent = f"{r['cpu']:.1f}" if "cpu" in r else ""
        lines.append(f"| {r['seconds']:g} | {r['way']} | {spent} | " + " | ".join(cells) + " |")
    explained = ", ".join(f"{e:.2f}" for e in dict.fromkeys(r["explained"] for r in results))
    return "\n".join([*lines, "", f"share of the starter's features that the mapped ones have: {explained}"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.approximations", description=__doc__)
    parser.add_argument("--encoder", help="wav2vec 2.0 in transformers' layout; random weights by default")
    parser.add_argument("--seconds", type=float, nargs="+", default=[60.0, 120.0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    encoder = Wav2Vec2Encoder.from_pretrained(options.encoder) if options.encoder else Wav2Vec2Encoder()
    results = measure(encoder.eval(), tuple(options.seconds))
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
