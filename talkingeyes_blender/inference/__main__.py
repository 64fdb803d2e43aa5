"""``python -m talkingeyes_blender.inference``: sound files to motion files, without Blender.

Started by ``accelerate launch`` or ``torchrun`` in several processes, on one machine or many, each takes its part of
the files and the card of its number.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from ..errors import TalkingEyesError
from . import hearing
from .audio import read_audio
from .export import Exporter, add_options
from .generator import DEVICES, PRECISIONS, GenerationSettings, Generator
from .settings import GAZE_MODES

ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf")
"""Of the files that are looked for in folders; files that are named may have any."""


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        prog="python -m talkingeyes_blender.inference",
        description="Make facial motion, with gaze, head and blinks, from speech: NAME.npz for each sound file.",
    )
    out.add_argument(
        "audio", nargs="+", type=Path, help="sound files, of any format that libsndfile reads, or folders of them"
    )
    out.add_argument("--resume", action="store_true", help="leave out the files whose motions are there already")
    out.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the .npz files go; made if absent")
    out.add_argument("--seed", type=int, default=0, help="of the first take; the next takes have the next seeds")
    out.add_argument("--takes", type=int, default=1, metavar="K", help="motions a file: NAME.npz, NAME.take2.npz, ...")
    out.add_argument("--weights", type=Path, metavar="DIR", help="weight bundle; the starter weights by default")
    out.add_argument("--device", choices=DEVICES, default="auto")
    out.add_argument(
        "--precision", choices=PRECISIONS, default="float32",
        help="of wav2vec 2.0's products; bfloat16 takes about half the time (docs/speed.md)",
    )  # fmt: skip
    out.add_argument("--blink-rate", type=float, metavar="R", help="blinks a minute; by default the paper's")
    out.add_argument("--gaze", choices=GAZE_MODES, help="sample codes (new gaze for each seed), or the paper's argmin")
    out.add_argument("--temperature", type=float, help="of sampled codes: below 1 calmer, above 1 more varied")
    out.add_argument("--top-k", type=int, metavar="N", help="sample among the N likeliest codes; 0 for all")
    kept = out.add_mutually_exclusive_group()
    kept.add_argument(
        "--features", type=Path, metavar="DIR", default=hearing.default_folder(),
        help="where what is heard in each sound is kept, 1 GB at most, so that it is not listened to again; "
        "%(default)s by default",
    )  # fmt: skip
    kept.add_argument("--no-features", action="store_true", help="keep none, and use none")
    add_options(out)
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0, or 1 if any file failed (the others are done all the same)."""
    options = parser().parse_args(arguments)
    if options.takes < 1:
        parser().error("--takes must be 1 or more")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = GenerationSettings(options.blink_rate, options.gaze, options.temperature, options.top_k)
        exporter = Exporter(options.also, options.flame, options.avatar)
        _make_folder(options.out)
        sounds = find_sounds(options.audio)
        number, processes, device = share(options.device)
        features = None if options.no_features else hearing.FeatureCache(options.features)
        generator = Generator(options.weights, device, features, options.precision)
    except TalkingEyesError as error:
        print(error, file=sys.stderr)
        return 1
    plans, failed = _plans(sounds, options.out, options.takes, exporter)
    # Dealt out before what is done is left out: each process must come to the same dealing at any time.
    mine = plans[number::processes]
    if options.resume:
        mine = [plan for plan in mine if not all(target.is_file() for target in _all_targets(plan[1], exporter))]
    if number == 0:
        for fault in failed:
            tqdm.write(fault, file=sys.stderr)
    with tqdm(total=len(mine), unit="file", bar_format="{l_bar}{bar}| [{elapsed}<{remaining}]") as bar:
        for done, (path, targets) in enumerate(mine):
            try:
                targets[0].parent.mkdir(parents=True, exist_ok=True)
                _one_file(generator, path, targets, options.seed, settings, bar, done, exporter)
            except (TalkingEyesError, OSError) as error:
                failed.append(str(error))
                tqdm.write(str(error), file=sys.stderr)
            _advance(bar, done + 1.0, "")
    return 1 if failed else 0


def find_sounds(given: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Sound files, each with its place under the output folder, without ending; folders are looked through.

    The order is the same in each process: the longest files first, so that none is left with a long one at the end.

    Raises:
        TalkingEyesError: a folder holds no sound.
    """
    found = []
    for path in given:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
            if not inside:
                raise TalkingEyesError(f"The folder {path} holds no sound files.", f"Looked for {', '.join(ENDINGS)}.")
            found += [(file, file.relative_to(path).with_suffix("")) for file in inside]
        else:
            found.append((path, Path(path.stem)))
    if len(found) == len(given):
        return found
    return sorted(found, key=lambda pair: (-pair[0].stat().st_size if pair[0].is_file() else 0, pair[0]))


def share(device: str) -> tuple[int, int, str]:
    """This process's number, how many there are, and its device, as torch's launchers tell them in the environment."""
    number, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1 and device in ("auto", "cuda"):
        import torch

        if torch.cuda.is_available():
            device = f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"
    return number, processes, device


def _plans(
    sounds: Sequence[tuple[Path, Path]], folder: Path, takes: int, exporter: Exporter
) -> tuple[list[tuple[Path, list[Path]]], list[str]]:
    """Each sound with the files that its takes go to; and what is wrong with the sounds that are left out."""
    plans, faults, taken = [], [], set()
    for path, place in sounds:
        targets = [_target(folder / place, take) for take in range(1, takes + 1)]
        if not taken.isdisjoint(_all_targets(targets, exporter)):
            faults.append(f"The motion of {path} would replace that of an earlier file of this name. Rename the sound.")
            continue
        taken.update(_all_targets(targets, exporter))
        plans.append((path, targets))
    return plans, faults


def _one_file(
    generator: Generator,
    path: Path,
    targets: list[Path],
    seed: int,
    settings: GenerationSettings,
    bar: tqdm,
    number: int,
    exporter: Exporter,
) -> None:
    """Write one motion a target; those of a file are all made before the first is written."""
    motions = generator.generate_takes(
        read_audio(path),
        range(seed, seed + len(targets)),
        settings,
        lambda done, phase: _advance(bar, number + done, f"{path.name}: {phase}"),
    )
    for motion, target in zip(motions, targets, strict=True):
        motion.save(target)
        exporter.write(motion, target)


def _all_targets(targets: Sequence[Path], exporter: Exporter) -> list[Path]:
    """Motions, and what goes beside them."""
    return [path for target in targets for path in (target, *exporter.targets(target))]


def _target(place: Path, take: int) -> Path:
    return place.with_name(f"{place.name}.npz" if take == 1 else f"{place.name}.take{take}.npz")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TalkingEyesError(
            f"The folder {folder} could not be made ({error.strerror}).", "Choose another."
        ) from error


def _advance(bar: tqdm, done: float, text: str) -> None:
    bar.set_description_str(text, refresh=False)
    bar.update(done - bar.n)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
