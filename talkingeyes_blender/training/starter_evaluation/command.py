"""``training evaluate-starter``: the table of the model card."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path

import numpy as np

from ...errors import TalkingEyesError
from ...inference.audio import AudioClip
from ...inference.speech_encoder import RATE
from ..evaluation.intervals import Interval

log = logging.getLogger(__name__)

NAME = "evaluate-starter"
PARTS = ("unheard", "real", "rest", "gaze", "speed")


def add_command(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        NAME, help="measure a bundle of the stand-in's on voices, sounds and recordings that no training heard"
    )
    command.add_argument("--weights", type=Path, help="weight bundle; the starter weights by default")
    command.add_argument("--recordings", type=Path, help="folder of real English recordings; without it no 'real'")
    command.add_argument("--transcripts", type=Path, help="folder of their words (.txt, .lab); default: beside them")
    command.add_argument("--data", type=Path, help="the corpus that the gaze was learned from; without it no 'gaze'")
    command.add_argument("--correlation", type=Path, help="folder of the command 'correlation'")
    command.add_argument("--scanpaths", type=Path, help="real fixations (npz) to hold the corpus' gaze against")
    command.add_argument("--clips", type=int, default=8, help="turns of some 20 s a held-out voice (default 8)")
    command.add_argument("--part", action="append", choices=PARTS, help="one or more; all if absent")
    command.add_argument("--json", type=Path, help="also write the figures here")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..evaluation.reproduce import write_json

    result, text = evaluate(options)
    if options.json:
        write_json(options.json, plain(result))
    print(text)
    return 0


def evaluate(options: argparse.Namespace) -> tuple[dict, str]:
    """All parts that are asked for and can be made: figures by part, and the Markdown of them."""
    import torch

    from ...head.standin import load_standin
    from ...inference.generator import Generator
    from . import real, rest, unheard
    from .mouth import Viewer

    parts = options.part or PARTS
    if options.clips < 1:
        raise TalkingEyesError("No clips are asked for.", "Raise --clips.")
    torch.set_num_threads(1)
    generator = Generator(options.weights, "cpu")
    viewer = Viewer(load_standin())
    result: dict = {"weights": generator.bundle.name}
    if {"unheard", "real", "rest"} & set(parts):
        groups = {}
        for group in unheard.GROUPS:
            try:
                groups[group] = unheard.hear(generator, viewer, group, options.clips)
            except TalkingEyesError as error:
                log.warning("%s", error)
        if not groups:
            raise TalkingEyesError("No held-out voice is installed.", "Install flite, festival or espeak-ng.")
        result["unheard"], threshold = unheard.table(groups)
        result["threshold, mm"] = threshold
        full = float(np.percentile(np.concatenate([c.made.jaw for clips in groups.values() for c in clips]), 95))
        result["jaw, 95 %, degrees"] = full
    if "real" in parts and options.recordings:
        recordings = real.read_recordings(options.recordings, options.transcripts)
        if recordings:
            result["real"] = real.table(real.speak(generator, viewer, recordings), threshold)
            result["real, by the rules"] = real.table(real.by_rule(viewer, recordings), RULES_SHUT)
        else:
            log.warning("No recording in %s has a transcript that could be aligned.", options.recordings)
    if "rest" in parts:
        result["rest"] = rest.table(generator, viewer, full)
    if "gaze" in parts and options.data:
        result |= _gaze(generator, options)
    if "speed" in parts:
        result["speed"] = {"times real time, one thread": speed(generator)}
    return result, markdown(result)


def _gaze(generator, options: argparse.Namespace) -> dict:
    from ..dataset import Dataset
    from ..evaluation.correlation_training import load_correlation
    from ..evaluation.trial import try_correlation
    from . import gaze

    dataset, found = Dataset(options.data), {}
    if options.scanpaths:
        found["scanpaths"] = gaze.against_scanpaths(dataset.split("train"), options.scanpaths)
    generated = gaze.Generated(generator, dataset.split("test"), 3 * options.clips)
    if not len(generated):
        raise TalkingEyesError("The test split holds no recording of ten seconds.", "Use a larger corpus.")
    found["gaze"] = gaze.table(generated)
    ratio = gaze.diversity_ratio(generator, generated)
    found["gaze"]["diversity of ten takes against ten recordings"] = {"ratio": ratio}
    for folder in sorted(options.correlation.glob("*/best.pt")) if options.correlation else ():
        network, _ = load_correlation(folder)
        trial = try_correlation(network, generated)
        row = {"against shifted pairs": trial.shifted, "against swapped pairs": trial.swapped}
        found.setdefault("correlation", {})[trial.channel] = row
    return found


def speed(generator) -> float:
    """Seconds of sound generated in a CPU second of one thread, of half a minute of noise in syllables."""
    rng = np.random.default_rng(0)
    samples = 0.1 * rng.standard_normal(30 * RATE)
    samples *= np.abs(np.sin(np.arange(len(samples)) / RATE * 2 * np.pi * 2.1))
    generator.generate(AudioClip(samples[: 4 * RATE]), 1)
    began = time.process_time()
    generator.generate(AudioClip(samples), 1)
    return 30 / (time.process_time() - began)


RULES_SHUT = 1.0
"""Millimetres of gap at which the corpus' own mouths count as shut."""


def plain(value):
    """JSON's kinds of values; an interval as [value, low, high]."""
    if isinstance(value, Interval):
        return value.plain()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return json.loads(json.dumps(value, default=float))


def markdown(result: dict) -> str:
    """Tables, one a part."""
    parts = [f"Weights: {result['weights']}. Ranges: 95 % bootstrap intervals over clips."]
    for name, head in _HEADS.items():
        if name in result:
            parts.append(f"**{head}**\n\n" + _table(result[name]))
    if "threshold, mm" in result:
        parts.append(
            f"Lips count as shut below a gap of {result['threshold, mm']:.1f} mm, chosen on awb and ked "
            "(each of the two is measured by the other's). "
            f"The jaw's 95th percentile on speech is {result['jaw, 95 %, degrees']:.1f} degrees."
        )
    return "\n\n".join(parts)


_HEADS = {
    "unheard": "Unheard speakers and an unheard language, against the corpus' rules (closure ±40 ms)",
    "real": "Real English, against a forced aligner (closure ±60 ms)",
    "real, by the rules": "The same, of mouths made by the rules from the aligner's times",
    "rest": "Sounds that are no speech: jaw as share of its 95th percentile on speech",
    "scanpaths": "The corpus' shifts of gaze against people's (degrees)",
    "gaze": "Gaze, head and blinks on unheard speech, against the corpus",
    "correlation": "AUC of generated motion with its speech (chance .5)",
    "speed": "Speed",
}


def _table(figures: dict) -> str:
    if any(isinstance(value, dict) for value in figures.values()):
        columns = list(dict.fromkeys(key for row in figures.values() for key in row))
        lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for name, row in figures.items():
            lines.append(f"| {name} | " + " | ".join(_cell(row.get(c)) for c in columns) + " |")
    else:
        lines = ["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in figures.items())]
    return "\n".join(lines)


def _cell(value) -> str:
    if value is None:
        return ""
    if isinstance(value, Interval):
        return f"{value.value:.2f} [{value.low:.2f}, {value.high:.2f}]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
