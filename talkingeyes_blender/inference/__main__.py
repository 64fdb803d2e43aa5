"""``python -m talkingeyes_blender.inference``: sound files to motion files, without Blender."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from ..errors import TalkingEyesError
from .audio import read_audio
from .generator import DEVICES, GenerationSettings, Generator
from .settings import GAZE_MODES


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        prog="python -m talkingeyes_blender.inference",
        description="Make facial motion, with gaze, head and blinks, from speech: NAME.npz for each sound file.",
    )
    out.add_argument("audio", nargs="+", type=Path, help="sound files, of any format that libsndfile reads")
    out.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the .npz files go; made if absent")
    out.add_argument("--seed", type=int, default=0, help="of the first take; the next takes have the next seeds")
    out.add_argument("--takes", type=int, default=1, metavar="K", help="motions a file: NAME.npz, NAME.take2.npz, ...")
    out.add_argument("--weights", type=Path, metavar="DIR", help="weight bundle; the starter weights by default")
    out.add_argument("--device", choices=DEVICES, default="auto")
    out.add_argument("--blink-rate", type=float, metavar="R", help="blinks a minute; by default the paper's")
    out.add_argument("--gaze", choices=GAZE_MODES, help="sample codes (new gaze for each seed), or the paper's argmin")
    out.add_argument("--temperature", type=float, help="of sampled codes: below 1 calmer, above 1 more varied")
    out.add_argument("--top-k", type=int, metavar="N", help="sample among the N likeliest codes; 0 for all")
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0, or 1 if any file failed (the others are done all the same)."""
    options = parser().parse_args(arguments)
    if options.takes < 1:
        parser().error("--takes must be 1 or more")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = GenerationSettings(options.blink_rate, options.gaze, options.temperature, options.top_k)
        _make_folder(options.out)
        generator = Generator(options.weights, options.device)
    except TalkingEyesError as error:
        print(error, file=sys.stderr)
        return 1
    failed, written = 0, set()
    with tqdm(total=len(options.audio), unit="file", bar_format="{l_bar}{bar}| [{elapsed}<{remaining}]") as bar:
        for number, path in enumerate(options.audio):
            try:
                targets = [_target(options.out, path, take) for take in range(1, options.takes + 1)]
                if not written.isdisjoint(targets):
                    raise TalkingEyesError(
                        f"The motion of {path} would replace that of an earlier file of this name.", "Rename the sound."
                    )
                written.update(targets)
                _one_file(generator, path, targets, options.seed, settings, bar, number)
            except (TalkingEyesError, OSError) as error:
                failed += 1
                tqdm.write(str(error), file=sys.stderr)
            _advance(bar, number + 1.0, "")
    return 1 if failed else 0


def _one_file(
    generator: Generator,
    path: Path,
    targets: list[Path],
    seed: int,
    settings: GenerationSettings,
    bar: tqdm,
    number: int,
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


def _target(folder: Path, audio: Path, take: int) -> Path:
    return folder / (f"{audio.stem}.npz" if take == 1 else f"{audio.stem}.take{take}.npz")


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
