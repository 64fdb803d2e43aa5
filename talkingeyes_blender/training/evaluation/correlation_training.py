"""Training of the correlation network on pairs that belong together and pairs that do not."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import TalkingEyesError
from ..batches import statistics
from ..config import LoopConfig
from ..dataset import Dataset
from ..loop import plain, read_checkpoint
from .correlation import CorrelationConfig, CorrelationNetwork
from .intervals import area_under_curve
from .windows import Decoupled, Recordings


@dataclasses.dataclass(frozen=True)
class CorrelationStage:
    """What the correlation network trains with."""

    model: CorrelationConfig = CorrelationConfig()
    loop: LoopConfig = LoopConfig(
        steps=2000, batch=24, learning_rate=1e-3, warmup=100, final_rate=0.05, weight_decay=0.05, ema=0.99,
        betas=(0.9, 0.98), validate_every=100,
    )  # fmt: skip
    """``batch`` counts recordings; each gives two windows."""
    offset: float = 0.3
    """Constant turn laid over a window's motion, as a share of the channel's deviation: where a person likes to look
    must not become the name by which their voice is known."""
    noise: float = 0.02
    """Noise on each frame, likewise: a tracker's noise must not tell its recording."""
    decoupled: bool = False
    """Train on motion that was dealt out among the recordings: nothing can then be found."""


class CorrelationTraining:
    """Trains ``CorrelationNetwork`` so that its cosine is the probability that a pair belongs together.

    A batch holds two windows of each of its recordings. A pair of one window's speech with its own motion is positive,
    with the motion of the recording's other window a *shifted*, with any other recording's a *swapped* negative, and
    all three count alike. Positives and negatives are so made of the same windows of one length: nothing about the
    sound alone or the motion alone (level, length, a recording's ends, how far one moves) can tell them apart, and who
    speaks, or what the microphone and the tracker are like, cannot tell the shifted ones. Half of the recordings are
    seen as in a mirror, the rest of what ties a voice to a side.
    """

    def __init__(self, dataset: Dataset, config: CorrelationStage, device: str = "cpu") -> None:
        self.config, self.dataset = config, dataset
        self.name = f"correlation-{config.model.channel}"
        train, validation = dataset.split("train"), dataset.split("validation")
        torch.manual_seed(config.loop.seed)
        network = CorrelationNetwork(config.model)
        network.set_statistics(*statistics(train, config.model.channel))
        self.networks = nn.ModuleDict({"correlation": network}).to(device)
        self.train = _recordings(train, config)
        self.validation = _recordings(validation, config)

    def describe(self) -> dict:
        return {"config": plain(self.config), "sequences": len(self.dataset), "head_model": self.dataset.head_model}

    def steps_an_epoch(self) -> int:
        return max(1, len(self.train) // self.config.loop.batch)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        sounds, motions = [], []
        scale = self.networks["correlation"].scale.cpu().numpy()
        refused = 0
        while len(sounds) < 2 * self.config.loop.batch:
            recording = self.train[int(rng.integers(len(self.train)))]
            pair = _two_windows(recording.starts, self.config.model.frames, rng)
            if pair is None:
                refused += 1
                if refused > 50 * self.config.loop.batch:
                    raise TalkingEyesError(
                        f"Hardly any recording has two valid windows of {self.config.model.frames} frames.",
                        "Use longer recordings, or a shorter window.",
                    )
                continue
            mirrored = rng.random() < 0.5
            for start in pair:
                sound, motion = self.train.window(recording, start)
                motion = mirror(motion) if mirrored else motion
                motion = motion + self.config.offset * scale * rng.normal(size=len(scale))
                motion = motion + self.config.noise * scale * rng.normal(size=motion.shape)
                sounds.append(sound)
                motions.append(motion.astype(np.float32))
        return {"samples": torch.from_numpy(np.stack(sounds)), "motion": torch.from_numpy(np.stack(motions))}

    def losses(self, batch: dict[str, Tensor], progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        network = self.networks["correlation"]
        cosine = network.speech_features(batch["samples"]) @ network.motion_features(batch["motion"]).T
        probability = cosine.clamp(1e-4, 1 - 1e-4)
        count = len(cosine)
        own = torch.eye(count, dtype=torch.bool, device=cosine.device)
        shifted = own[torch.arange(count) ^ 1]
        terms = {
            "positive": -probability[own].log().mean(),
            "shifted": -(1 - probability[shifted]).log().mean(),
            "swapped": -(1 - probability[~(own | shifted)]).log().mean(),
        }
        terms["total"] = terms["positive"] + 0.5 * (terms["shifted"] + terms["swapped"])
        return terms

    def validate(self) -> dict[str, float]:
        """AUC on unheard subjects; the score is 1 minus it."""
        pairs = score_pairs(self.networks["correlation"], self.validation)
        areas = {kind: area_under_curve(pairs["true"], pairs[kind]) for kind in ("shifted", "swapped")}
        return {
            "score": 1 - float(np.mean(list(areas.values()))),
            **{f"auc_{kind}": area for kind, area in areas.items()},
            "cosine_true": float(pairs["true"].mean()),
            "cosine_swapped": float(pairs["swapped"].mean()),
        }


def mirror(motion: np.ndarray) -> np.ndarray:
    """Head (T, 3) or eyes (T, 6) as in a mirror: yaw and roll turn about, the eyes change places."""
    turned = motion * np.tile([1, -1, -1], motion.shape[1] // 3)
    return np.concatenate([turned[:, 3:], turned[:, :3]], axis=1) if motion.shape[1] == 6 else turned


def _recordings(split: Dataset, config: CorrelationStage) -> Recordings:
    return Recordings(Decoupled(split) if config.decoupled else split, config.model.channel, config.model.frames)


def _two_windows(starts: np.ndarray, frames: int, rng: np.random.Generator) -> list[int] | None:
    """Starts of two windows that overlap by half at most; None where the recording is too short for two."""
    if not len(starts):
        return None
    first = int(rng.choice(starts))
    others = starts[np.abs(starts - first) >= frames // 2]
    if not len(others):
        return None
    return [first, int(rng.choice(others))]


@torch.inference_mode()
def score_pairs(network: CorrelationNetwork, recordings: Recordings, seed: int = 0) -> dict[str, np.ndarray]:
    """Cosines of the windows of ``recordings`` with their own motion and with others'.

    'true', 'shifted' (the same recording, at least a window away) and 'swapped' (another recording, the same place in
    it where there is one), each with '<kind>_of', the recording's number.
    """
    network.eval()
    frames, rng = network.config.frames, np.random.default_rng(seed)
    windows = [(index, start) for index, starts in recordings.apart(frames // 2) for start in starts]
    if len({index for index, _ in windows}) < 2:
        raise TalkingEyesError(
            f"Fewer than two recordings have {frames} valid frames.", "The correlation needs a larger split."
        )
    device = network.mean.device
    speech, motion = [], []
    for first in range(0, len(windows), 64):
        pieces = [recordings.window(recordings[i], s) for i, s in windows[first : first + 64]]
        speech.append(network.speech_features(torch.from_numpy(np.stack([p[0] for p in pieces])).to(device)).cpu())
        motion.append(network.motion_features(torch.from_numpy(np.stack([p[1] for p in pieces])).to(device)).cpu())
    cosine = (torch.cat(speech) @ torch.cat(motion).T).numpy()
    index = np.array([i for i, _ in windows])
    start = np.array([s for _, s in windows])
    out: dict[str, list] = {f"{kind}{end}": [] for kind in ("true", "shifted", "swapped") for end in ("", "_of")}
    for row in range(len(windows)):
        chosen = {"true": [row]}
        far = np.flatnonzero((index == index[row]) & (np.abs(start - start[row]) >= frames))
        chosen["shifted"] = rng.permutation(far)[:2]
        other = np.flatnonzero(index != index[row])
        # At the same place, so that being early or late in a recording is worth nothing.
        near = other[np.abs(start[other] - start[row]) <= frames // 2]
        chosen["swapped"] = rng.permutation(near if len(near) else other)[:2]
        for kind, columns in chosen.items():
            out[kind].extend(cosine[row, list(columns)])
            out[f"{kind}_of"].extend([index[row]] * len(columns))
    return {name: np.asarray(values) for name, values in out.items()}


def load_correlation(path: Path) -> tuple[CorrelationNetwork, dict]:
    """The network of a checkpoint, running means if there are any, and the checkpoint."""
    state = read_checkpoint(path)
    if not str(state.get("stage", "")).startswith("correlation-"):
        raise TalkingEyesError(f"{path} is no checkpoint of a correlation network.", "Train one with 'correlation'.")
    config = dict(state["describe"]["config"]["model"])
    config["dilations"] = tuple(config["dilations"])
    network = CorrelationNetwork(CorrelationConfig(**config))
    prefix = "correlation."
    weights = state.get("averaged") or state["networks"]
    network.load_state_dict({k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)})
    return network.eval(), state
