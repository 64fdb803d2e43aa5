"""The commands of evaluation: correlation, evaluate, reproduce, compare, preference."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

from ...errors import TalkingEyesError

NAMES = ("correlation", "evaluate", "reproduce", "compare", "preference")


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser of ``training``; each sets ``run``."""
    _add_correlation(commands)
    _add_evaluate(commands)
    _add_reproduce(commands)
    _add_compare(commands)
    _add_preference(commands)


def _common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    command.add_argument("--threads", type=int, default=0, help="CPU threads of torch")


def _threads(options: argparse.Namespace) -> None:
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)


def _sound_data(folder: Path) -> None:
    """Refuse a dataset with faults, as training does; what was found sound before is not read again."""
    from ..check_data import refuse_faults
    from ..dataset import Dataset

    refuse_faults(Dataset(folder))


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


# -- correlation


def _add_correlation(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "correlation", help="train the audio-motion correlation networks and try them on held-out pairs"
    )
    command.add_argument("--data", type=Path, required=True, help="dataset folder")
    command.add_argument("--out", type=Path, required=True, help="folder; each channel has its own inside")
    command.add_argument("--channel", choices=("head", "eyes", "both"), default="both")
    command.add_argument("--setting", choices=("small", "full"), default="full")
    command.add_argument("--steps", type=int, help="override the setting's number of steps")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument(
        "--decoupled", action="store_true",
        help="deal motion out among the recordings first: the network must then find nothing",
    )  # fmt: skip
    _common(command)
    command.set_defaults(run=_correlation)


def _correlation(options: argparse.Namespace) -> int:
    from ..loop import run
    from .correlation_training import CorrelationTraining, load_correlation
    from .reproduce import shared_dataset, write_json
    from .settings import setting
    from .trial import try_correlation

    _threads(options)
    chosen = setting(options.setting)
    _sound_data(options.data)
    dataset = shared_dataset(options.data, chosen)
    for channel in ("head", "eyes") if options.channel == "both" else (options.channel,):
        config = dataclasses.replace(chosen.correlation_of(channel, options.seed), decoupled=options.decoupled)
        if options.steps:
            config = dataclasses.replace(config, loop=dataclasses.replace(config.loop, steps=options.steps))
        stage = CorrelationTraining(dataset, config, options.device)
        folder = options.out / (stage.name + ("-decoupled" if options.decoupled else ""))

        def progress(step: int, steps: int, entry: dict, name: str = stage.name) -> None:
            if "validation" in entry or step % 100 == 0:
                _say(f"{name}: step {step} of {steps} {json.dumps(entry.get('validation', {}))}")

        best = run(stage, config.loop, folder, progress)
        network, _ = load_correlation(best)
        result = try_correlation(network.to(options.device), dataset.split("test"), decoupled=options.decoupled)
        write_json(folder / "trial.json", result.plain())
        print(result)
    return 0


# -- evaluate


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("evaluate", help="measure trained networks and the baselines on the test split")
    command.add_argument("--data", type=Path, required=True, help="dataset folder")
    source = command.add_mutually_exclusive_group()
    source.add_argument("--out", type=Path, help="training folder with the stages")
    source.add_argument("--weights", type=Path, help="weight bundle; the starter weights by default")
    command.add_argument("--correlation", type=Path, help="folder of the command 'correlation'; without it no Corr.")
    command.add_argument("--split", choices=("validation", "test", "held_out"), default="test")
    command.add_argument("--clips", type=int, default=40, help="test clips, one a recording")
    command.add_argument("--seconds", type=float, default=10.0, help="length of a clip")
    command.add_argument("--takes", type=int, default=10, help="takes of each clip")
    command.add_argument("--head", type=Path, help="head model of the data; the stand-in by default")
    command.add_argument("--json", type=Path, help="also write the figures here")
    _common(command)
    command.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from .evaluate import evaluate

    if options.takes < 2 or options.clips < 2:
        raise TalkingEyesError("Diversity needs two takes of two clips at least.", "Raise --takes and --clips.")
    _threads(options)
    print(
        evaluate(
            options.data, training=options.out, weights=options.weights, correlation=options.correlation,
            split=options.split, clips=options.clips, frames=round(options.seconds * 25), takes=options.takes,
            head=options.head, json_path=options.json, device=options.device, say=_say,
        )
    )  # fmt: skip
    return 0


# -- reproduce


def _add_reproduce(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "reproduce", help="train and evaluate every row of the paper's tables; the same command resumes it"
    )
    command.add_argument("--data", type=Path, required=True, help="dataset folder")
    command.add_argument("--out", type=Path, required=True, help="folder of the reproduction")
    command.add_argument("--table", type=int, action="append", choices=(3, 5, 6, 7), help="one or more; all if absent")
    command.add_argument("--setting", choices=("small", "full"), default="small")
    command.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    command.add_argument("--jobs", type=int, default=1, help="processes that share the work")
    command.add_argument("--report-only", action="store_true", help="print what is there and train nothing")
    _common(command)
    command.set_defaults(run=_reproduce)


def _reproduce(options: argparse.Namespace) -> int:
    from .report import write_report
    from .reproduce import reproduce
    from .settings import setting
    from .tables import chosen_tables

    _threads(options)
    tables = chosen_tables(options.table)
    if not options.report_only:
        _sound_data(options.data)
        with _helpers(options):
            reproduce(
                options.data, options.out, setting(options.setting), tables, options.seeds, device=options.device,
                say=_say,
            )  # fmt: skip
    print(write_report(options.out, tables, options.seeds, options.setting))
    return 0


@contextlib.contextmanager
def _helpers(options: argparse.Namespace):
    """Further processes with the same command; they take what no other has taken, and end when we do."""
    command = [
        sys.executable, "-m", __package__.rpartition(".")[0], "reproduce", "--data", str(options.data),
        "--out", str(options.out), "--setting", options.setting, "--device", options.device,
        "--threads", str(options.threads), "--seeds", *map(str, options.seeds),
    ]  # fmt: skip
    for table in options.table or ():
        command += ["--table", str(table)]
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(options.jobs - 1)]
    try:
        yield
    finally:
        for process in started:
            if process.poll() is None:
                process.terminate()
            process.wait()


# -- compare and preference


def _add_compare(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("compare", help="motions of ours and the baselines on the same speech, and a page")
    command.add_argument("--data", type=Path, required=True, help="dataset folder")
    command.add_argument("--out", type=Path, required=True, help="folder of the comparison")
    command.add_argument("--weights", type=Path, help="weight bundle of ours; the starter weights by default")
    command.add_argument("--reproduction", type=Path, help="a seed's folder of 'reproduce', for the baseline VAE")
    command.add_argument("--split", choices=("validation", "test", "held_out"), default="test")
    command.add_argument("--clips", type=int, default=5)
    command.add_argument("--seconds", type=float, default=8.0)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--gaze", choices=("sample", "argmin"), help="codes of ours; the bundle's way if absent")
    _common(command)
    command.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> int:
    from .compare import compare

    _threads(options)
    comparison = compare(
        options.data, options.out, weights=options.weights, reproduction=options.reproduction, split=options.split,
        clips=options.clips, frames=round(options.seconds * 25), seed=options.seed, gaze=options.gaze,
        device=options.device, say=_say,
    )  # fmt: skip
    print(f"{comparison}: motions and page are there. The films:")
    print(f"    python tools/compare_films.py {options.out}")
    return 0


def _add_preference(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("preference", help="percentages and p-values of the page's answers")
    command.add_argument("answers", type=Path, nargs="+", help="CSV files that participants saved")
    command.add_argument("--comparison", type=Path, required=True, help="folder of 'compare' that the page came from")
    command.set_defaults(run=_preference)


def _preference(options: argparse.Namespace) -> int:
    from .preference import preference_text, read_answers

    print(preference_text(read_answers(options.answers, options.comparison)))
    return 0
