"""The command 'evaluate': a training folder or a bundle, beside the baselines, on a split of a dataset."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from ...errors import TalkingEyesError
from ...head.model import HeadModel
from ...head.reading import read_head
from ...head.standin import load_standin
from ...inference.bundle import load_bundle
from ..dataset import Dataset
from ..export import load_networks
from .baselines import Mean, Random, SimilarSample
from .cascade import Cascade
from .components import CORRELATIONS
from .correlation import CorrelationNetwork
from .correlation_training import load_correlation
from .face_scoring import FaceScores, score_face
from .methods import test_clips
from .reproduce import write_json
from .scoring import CHANNELS, Scores, score, score_recorded

_STAGES = ("gaze-vqvae", "speech-to-gaze", "face")
_COLUMNS = (("diversity", "Div."), ("correlation", "Corr."), ("discrepancy", "L2"), ("deviation", "moves"))


def evaluate(
    data: Path, *, training: Path | None = None, weights: Path | None = None, correlation: Path | None = None,
    split: str = "test", clips: int = 40, frames: int = 250, takes: int = 10, head: Path | None = None,
    json_path: Path | None = None, device: str = "cpu", say: Callable[[str], None] = lambda text: None,
) -> str:  # fmt: skip
    """Measure and return the tables as text; ``json_path`` gets the figures clip by clip.

    ``training`` is a folder of stages, ``weights`` a bundle (the starter weights where both are None),
    ``correlation`` a folder with the correlation networks.

    Raises:
        TalkingEyesError: something named is missing, or the data cannot be used.
    """
    dataset = Dataset(data)
    networks, name = _networks(training, weights)
    correlations = {c: n.to(device) for c, n in _correlations(correlation).items()}
    longest = max((n.config.frames for n in correlations.values()), default=0)
    if frames < longest:
        raise TalkingEyesError(
            f"Clips of {frames / 25:g} s are shorter than the correlation networks' window of {longest / 25:g} s.",
            f"Give --seconds {longest / 25:g} or more.",
        )
    test, train = test_clips(dataset.split(split), clips, frames), dataset.split("train")
    results = [score_recorded(test, correlations)]
    baselines = (lambda: Mean(train), lambda: Random(train), lambda: SimilarSample(train))
    for make in baselines:
        method = make()
        say(f"{method.name}: {len(test)} clips")
        results.append(score(method, test, correlations, takes))
    gaze = {key: network for key, network in networks.items() if not key.startswith("face")}
    if {"head_vae", "gaze_decoder", "gaze_vqvae", "gaze_encoder"} <= set(gaze):
        for label, sampled in (("nearest code", False), ("sampled codes", True)):
            say(f"{name}, {label}: {len(test)} clips")
            method = Cascade(f"{name}, {label}", gaze, sampled=sampled, device=device)
            results.append(score(method, test, correlations, takes))
    parts = [f"{len(test)} clips of {frames / 25:g} s, {takes} takes; means with 95 % bootstrap intervals over clips."]
    parts += [_table(channel, results, bool(correlations)) for channel in CHANNELS]
    face = None
    if {"face_encoder", "face_decoder"} <= set(networks):
        say("face")
        model: HeadModel = read_head(head) if head else load_standin()
        face = score_face({k: networks[k].to("cpu") for k in ("face_encoder", "face_decoder")},
                          dataset.split(split), model, clips, frames)  # fmt: skip
        parts.append(_face_text(face))
    if not correlations:
        parts.append("No correlation: train its networks with 'correlation' and name their folder with --correlation.")
    if json_path:
        write_json(
            json_path,
            {
                "split": split, "clips": len(test), "frames": frames, "takes": takes,
                "methods": [result.plain() for result in results], "face": face.plain() if face else None,
            },
        )  # fmt: skip
    return "\n\n".join(parts)


def _networks(training: Path | None, weights: Path | None) -> tuple[dict[str, nn.Module], str]:
    if training is None:
        bundle = load_bundle(weights, "cpu")
        return {**bundle.networks, "gaze_encoder": bundle.gaze_encoder}, bundle.name
    found: dict[str, nn.Module] = {}
    for stage in _STAGES:
        path = training / stage / "best.pt"
        if path.exists():
            found |= load_networks(path)[0]
    if not found:
        raise TalkingEyesError(
            f"{training} holds none of the stages {', '.join(_STAGES)}.", "Train one, or name a bundle with --weights."
        )
    return found, training.name


def _correlations(folder: Path | None) -> dict[str, CorrelationNetwork]:
    if folder is None:
        return {}
    found = {
        channel: load_correlation(folder / name / "best.pt")[0]
        for channel, name in CORRELATIONS.items()
        if (folder / name / "best.pt").exists()
    }
    if not found:
        raise TalkingEyesError(f"{folder} holds no correlation network.", "Train them with 'correlation'.")
    return found


def _table(channel: str, results: list[Scores], correlated: bool) -> str:
    columns = [(key, name) for key, name in _COLUMNS if correlated or key != "correlation"]
    lines = ["| " + channel + " | " + " | ".join(name for _, name in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for result in results:
        if channel in result.values:
            cells = [str(result.interval(channel, k)) if result.has(channel, k) else "-" for k, _ in columns]
            lines.append(f"| {result.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _face_text(face: FaceScores) -> str:
    p = {name: f"{v:.3f} [{low:.3f}, {high:.3f}]" for name, (v, low, high) in face.plain().items()}
    return (
        f"Face ({len(face.lip_error)} clips): LVE {p['lve_mm']} mm (squared {p['lve_squared_mm2']} mm2), "
        f"FDD {p['fdd_mm']} mm, lip closure recall {p['closure_recall']}, precision {p['closure_precision']}, "
        f"F1 {p['closure_f1']}"
    )
