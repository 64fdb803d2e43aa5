"""The command line of training: ``python -m talkingeyes_blender.training STAGE ...``."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import TalkingEyesError
from .evaluation.cli import NAMES as EVALUATION
from .evaluation.cli import add_commands
from .starter_evaluation.command import NAME as STARTER
from .starter_evaluation.command import add_command as add_starter

STAGES = ("gaze-vqvae", "speech-to-gaze", "face")


def main(argv: list[str] | None = None) -> int:
    """Run one command; return 0, or 1 after one sentence on stderr that says what went wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        if arguments[:1] == ["corpus"] and any(a.partition("=")[0] == "--recordings" for a in arguments):
            from .corpus.recordings import main as from_recordings

            return from_recordings(arguments[1:])
        if arguments[:1] == ["corpus"]:
            from .corpus.build import main as build

            return build(arguments[1:]) or 0
        if arguments[:1] == ["check-data"]:
            from .check_data import main as check

            return check(arguments[1:])
        if arguments[:1] == ["import"]:
            from .importing.command import main as bring_in

            return bring_in(arguments[1:])
        options = _parser().parse_args(arguments)
        return options.run(options)
    except TalkingEyesError as error:
        print(f"Error: {error}", file=sys.stderr)
        logging.getLogger(__name__).debug("trace", exc_info=True)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from the last checkpoint.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m talkingeyes_blender.training",
        description="Train the generators on a dataset in the layout of docs/data.md. 'corpus' makes a synthetic one.",
    )
    names = ("corpus", "import", "check-data", *STAGES, "export", *EVALUATION, STARTER)
    commands = parser.add_subparsers(required=True, metavar=" | ".join(names))
    for stage in STAGES:
        command = commands.add_parser(stage, help=f"train the stage '{stage}'; the same command resumes it")
        command.add_argument("--data", type=Path, required=True, help="dataset folder")
        command.add_argument("--out", type=Path, required=True, help="training folder; the stage has its own inside")
        command.add_argument("--recipe", choices=("paper", "starter"), default="paper")
        command.add_argument("--device", default="cpu", help="cpu, cuda or mps; several by accelerate launch")
        command.add_argument("--steps", type=int, help="override the recipe's number of steps")
        command.add_argument("--batch", type=int, help="override the recipe's batch size")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE",
            help="override any field of the recipe, as in --set loop.bf16=true",
        )  # fmt: skip
        if stage != "gaze-vqvae":
            command.add_argument(
                "--encoder", metavar="DIR", help="wav2vec 2.0 to start from: a folder in transformers' layout"
            )
            command.add_argument(
                "--cache-features", type=Path, metavar="DIR",
                help="keep what the encoder's frozen front end hears in this folder; needs --no-augment",
            )  # fmt: skip
        command.add_argument(
            "--start", type=Path, metavar="WEIGHTS", help="begin with these weights: a bundle's folder or a checkpoint"
        )
        command.add_argument("--no-augment", action="store_true", help="hear the recordings as they are")
        command.add_argument("--threads", type=int, default=0, help="CPU threads of torch")
        if stage == "face":
            command.add_argument("--head", type=Path, help="head model of the data; the stand-in by default")
        command.set_defaults(run=_train, stage=stage)
    export = commands.add_parser("export", help="make the weight bundle of a training folder")
    export.add_argument("--out", type=Path, required=True, help="training folder with the three stages")
    export.add_argument("--bundle", type=Path, required=True, help="folder of the bundle to write")
    export.add_argument("--name", default="own weights")
    export.add_argument("--card", type=Path, help="model card (Markdown) to put in the bundle")
    export.add_argument("--gaze", choices=("sample", "argmin"), default="sample", help="how these weights choose codes")
    export.add_argument("--temperature", type=float, default=1.0)
    export.add_argument("--top-k", type=int, default=0)
    export.add_argument(
        "--fit-prior", type=Path, metavar="DATA", help="draw heads as widely as this dataset's speakers move them"
    )
    export.add_argument("--fixate", type=float, default=0.0, help="degrees by which gaze must leave a fixation; 0: off")
    export.add_argument("--shut-at", type=float, default=0.5, help="probability from which the lips are shut")
    export.set_defaults(run=_export)
    add_commands(commands)
    add_starter(commands)
    return parser


def _train(options: argparse.Namespace) -> int:
    import torch

    from . import config as recipes
    from .augment import Augmenter
    from .check_data import NO_GAZE, refuse_faults
    from .dataset import Dataset
    from .loop import accelerator_for, run

    if options.threads:
        torch.set_num_threads(options.threads)
    stage_config = getattr(recipes, options.recipe)(options.stage)
    changes = {name: getattr(options, name) for name in ("steps", "batch", "seed") if getattr(options, name)}
    stage_config = dataclasses.replace(stage_config, loop=dataclasses.replace(stage_config.loop, **changes))
    encoder = None
    if getattr(options, "encoder", None):
        from ..inference.wav2vec2_encoder import Wav2Vec2Encoder

        encoder = Wav2Vec2Encoder.from_pretrained(options.encoder)
        stage_config = recipes.with_encoder(stage_config, encoder)
    stage_config = recipes.changed(stage_config, options.set)
    accelerator = accelerator_for(options.device)
    options.device = str(accelerator.device)
    dataset = Dataset(options.data)
    quiet = not accelerator.is_main_process
    with tqdm(total=len(dataset), unit="sequence", desc="check-data", leave=False, disable=quiet) as bar:
        passed = (NO_GAZE,) if options.stage == "face" else ()
        refuse_faults(dataset, lambda done: bar.update(done - bar.n), passed)
    folder = options.out / options.stage
    augmenter = None
    if options.stage != "gaze-vqvae" and not options.no_augment:
        augmenter = Augmenter(stage_config.loop.seed, _voices(dataset))
    cache = None
    if getattr(options, "cache_features", None):
        cache = _speech_cache(options, encoder, stage_config.frozen, dataset, accelerator)
    stage = _stage(options, stage_config, dataset, augmenter, cache)
    if encoder is not None:
        stage.networks["face_encoder" if options.stage == "face" else "gaze_encoder"].load_state_dict(
            encoder.state_dict()
        )
    if options.start and not (folder / "last.pt").exists():
        from .starting import start_from

        start_from(stage.networks, options.start, dataset.head_model)
    with tqdm(unit="step", desc=options.stage, dynamic_ncols=True, disable=quiet) as bar:

        def progress(step: int, steps: int, entry: dict) -> None:
            bar.total, bar.n = steps, step
            if "validation" in entry:
                tqdm.write(f"{step}: " + json.dumps(entry["validation"]))
            if step % 10 == 0:
                bar.set_postfix(loss=entry["total"])

        best = run(stage, stage_config.loop, folder, progress)
    if not quiet:
        print(best)
    return 0


def _speech_cache(options: argparse.Namespace, encoder, frozen: tuple[str, ...], dataset, accelerator):
    """The kept features, all of them made; of several processes the first one makes them."""
    from .speech_cache import SpeechCache

    cache = SpeechCache(options.cache_features, encoder if encoder is None else encoder.to(options.device), frozen)
    if accelerator.is_main_process:
        parts = [dataset.split(name) for name in ("train", "validation")]
        with tqdm(total=sum(map(len, parts)), unit="sequence", desc="speech features", leave=False) as bar:
            for part in parts:
                cache.fill(part, lambda _done: bar.update())
    accelerator.wait_for_everyone()
    return cache


def _stage(options: argparse.Namespace, stage_config, dataset, augmenter, cache=None):
    if options.stage == "gaze-vqvae":
        from .gaze_vqvae import GazeVQVAETraining

        return GazeVQVAETraining(dataset, stage_config, options.device)
    if options.stage == "speech-to-gaze":
        from .export import load_networks
        from .speech_to_gaze import SpeechToGazeTraining

        networks, _ = load_networks(options.out / "gaze-vqvae" / "best.pt")
        return SpeechToGazeTraining(dataset, stage_config, networks["gaze_vqvae"], options.device, augmenter, cache)
    from ..head.reading import read_head
    from ..head.standin import load_standin
    from .face import FaceTraining

    head = read_head(options.head) if options.head else load_standin()
    return FaceTraining(dataset, stage_config, head, options.device, augmenter, cache)


def _voices(dataset, count: int = 60) -> list[np.ndarray]:
    """A few clips of the training speakers, from which the augmentation mixes babble."""
    train = dataset.split("train")
    chosen = np.unique(np.linspace(0, len(train) - 1, min(count, len(train))).astype(int))
    return [train[int(i)].samples[: 16000 * 8] for i in chosen]


def _export(options: argparse.Namespace) -> int:
    from ..inference.bundle import save_bundle
    from .dataset import Dataset
    from .export import collect, fit_head_prior

    networks, recipe, head_model = collect(options.out)
    if options.fit_prior:
        networks["head_vae"] = fit_head_prior(networks, Dataset(options.fit_prior))
    card = options.card.read_text(encoding="utf-8") if options.card else None
    generation = {"gaze": options.gaze, "temperature": options.temperature, "top_k": options.top_k,
                  "fixate": options.fixate}  # fmt: skip
    if networks["face_decoder"].config.shut:
        generation["shut_at"] = options.shut_at
    save_bundle(
        options.bundle, networks, name=options.name, head_model=head_model, recipe=recipe, generation=generation,
        model_card=card,
    )  # fmt: skip
    print(options.bundle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
