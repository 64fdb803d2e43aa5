"""The paper's tables on a given corpus: every training and every row, done once, taken up again where it was stopped.

::

    <out>/setting.json                     what was chosen; another choice needs another folder
    <out>/seed0/<component>/               a training folder, as every stage has; done.json when it is finished
    <out>/seed0/rows/<row>.json            the figures of a row, clip by clip
    <out>/progress.json                    how far all of it is
    <out>/report/                          tables.md, tables.json, tables.png

Several processes may run the same command on the same folder: each takes what no other has taken.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ...errors import TalkingEyesError
from ...files import write_whole
from ..dataset import Dataset
from ..loop import plain, run
from .components import COMPONENTS, CORRELATIONS, Context, components_of, method_of
from .correlation_training import load_correlation
from .locks import claim
from .methods import test_clips
from .scoring import Scores, score, score_recorded
from .settings import Setting
from .tables import Table, needed_rows

log = logging.getLogger(__name__)

Say = Callable[[str], None]

RECORDED = "recorded"
"""The row of the recorded motion itself."""

_WAIT = 5.0


@dataclasses.dataclass(frozen=True)
class Task:
    """A training or the evaluation of a row, for one seed."""

    seed: int
    name: str
    row: bool = False

    def folder(self, out: Path) -> Path:
        return out / f"seed{self.seed}"

    def done_file(self, out: Path) -> Path:
        if self.row:
            return self.folder(out) / "rows" / f"{self.name}.json"
        return self.folder(out) / self.name / "done.json"

    def needs(self) -> list[Task]:
        if self.row:
            wanted = CORRELATIONS.values() if self.name == RECORDED else components_of(self.name)
        else:
            wanted = COMPONENTS[self.name].needs
        return [Task(self.seed, name) for name in wanted]

    def __str__(self) -> str:
        return f"seed {self.seed}, {'row' if self.row else 'training'} {self.name}"


def tasks(tables: Iterable[Table], seeds: Iterable[int]) -> list[Task]:
    """All that the tables need, seed by seed, trainings before the rows that use them."""
    rows = needed_rows(list(tables))
    wanted = {name for row in rows for name in components_of(row)}
    found: list[Task] = []
    for seed in seeds:
        found += [Task(seed, name) for name in COMPONENTS if name in wanted]
        found += [Task(seed, row, row=True) for row in [RECORDED, *rows]]
    return found


def reproduce(
    data: Path,
    out: Path,
    chosen: Setting,
    tables: list[Table],
    seeds: list[int],
    *,
    device: str = "cpu",
    say: Say = log.info,
) -> None:
    """Do what is not done yet; return when all of it is, whoever did it.

    Raises:
        TalkingEyesError: the folder holds a reproduction with other choices, or a training fails.
    """
    dataset = shared_dataset(data, chosen)
    _check_setting(out, chosen, dataset)
    todo = tasks(tables, seeds)
    while True:
        left = [task for task in todo if not task.done_file(out).exists()]
        _write_progress(out, todo)
        if not left:
            return
        worked = False
        for task in left:
            if not all(need.done_file(out).exists() for need in task.needs()):
                continue
            with claim(task.folder(out) / f".{'row-' if task.row else ''}{task.name}.lock") as ours:
                if not ours or task.done_file(out).exists():
                    continue
                done = sum(t.done_file(out).exists() for t in todo)
                say(f"[{done} of {len(todo)} done] {task}")
                _do(task, out, chosen, dataset, device, say)
            worked = True
            break  # what was waiting for this comes next
        if not worked:
            time.sleep(_WAIT)


def shared_dataset(data: Path, chosen: Setting) -> Dataset:
    """The corpus with as many training sequences as the setting takes, spread evenly; the other splits whole."""
    dataset = Dataset(data)
    train = dataset.split("train").ids
    if chosen.sequences and len(train) > chosen.sequences:
        step = len(train) / chosen.sequences
        train = [train[int(i * step)] for i in range(chosen.sequences)]
    kept = set(train) | set(dataset.split("validation").ids) | set(dataset.split("test").ids)
    return dataset.subset([name for name in dataset.ids if name in kept])


def _do(task: Task, out: Path, chosen: Setting, dataset: Dataset, device: str, say: Say) -> None:
    context = Context(chosen, task.seed, dataset, task.folder(out), device)
    began = time.perf_counter()
    if task.row:
        scores = evaluate_row(task.name, context)
        write_json(task.done_file(out), {**scores.plain(), "seconds": round(time.perf_counter() - began, 1)})
        say(f"{task}: {_summary(scores)}")
        return
    folder = task.folder(out) / task.name
    clock = _Clock(folder / "seconds.json")
    stage, loop = COMPONENTS[task.name].prepare(context)

    def progress(step: int, steps: int, entry: dict) -> None:
        clock.tick()
        if step % 100 == 0 or step == steps:
            say(f"{task}: step {step} of {steps}, {clock.seconds:.0f} s, loss {entry['total']:.4g}")

    run(stage, loop, folder, progress)
    steps = loop.steps or loop.epochs * stage.steps_an_epoch()
    windows = 2 if task.name in CORRELATIONS.values() else 1
    frames = chosen.correlation.model.frames if windows == 2 else loop.frames
    hours = steps * loop.batch * windows * frames / 25 / 3600
    write_json(
        task.done_file(out),
        {
            "steps": steps, "seconds": round(clock.seconds, 1), "hours_of_motion": round(hours, 2),
            "hours_of_motion_an_hour": round(hours / max(clock.seconds, 1e-9) * 3600, 1), "device": device,
        },
    )  # fmt: skip


def evaluate_row(row: str, context: Context) -> Scores:
    """Figures of a row on the test clips of its seed's corpus."""
    chosen = context.setting
    clips = test_clips(context.dataset.split("test"), chosen.clips, chosen.frames)
    correlations = {
        channel: load_correlation(context.folder / name / "best.pt")[0].to(context.device)
        for channel, name in CORRELATIONS.items()
    }
    if row == RECORDED:
        return score_recorded(clips, correlations)
    return score(method_of(row, context), clips, correlations, chosen.takes)


def read_scores(out: Path, seed: int, row: str) -> Scores | None:
    """A row's figures, or None where they are not there yet."""
    path = Task(seed, row, row=True).done_file(out)
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Scores(found["name"], found["values"])
    except (OSError, ValueError, KeyError) as error:
        raise TalkingEyesError(f"{path} could not be read ({error}).", "Remove it; it is then made again.") from error


def read_times(out: Path, seed: int) -> dict[str, dict]:
    """What is known of each finished training: steps, seconds, hours of motion."""
    found = {}
    for name in COMPONENTS:
        path = Task(seed, name).done_file(out)
        if path.exists():
            found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write_json(path: Path, content: dict) -> None:
    """Write beside ``path``, then rename, so that the file is whole whenever it is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def _check_setting(out: Path, chosen: Setting, dataset: Dataset) -> None:
    wanted = {"setting": plain(chosen), "sequences": len(dataset), "head_model": dataset.head_model}
    path = out / "setting.json"
    if not path.exists():
        write_json(path, wanted)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TalkingEyesError(f"{path} could not be read ({error}).", "Choose another folder.") from error
    if found != wanted:
        raise TalkingEyesError(
            f"{out} holds a reproduction with another setting or another corpus.", "Choose another folder with --out."
        )


def _write_progress(out: Path, todo: list[Task]) -> None:
    done = [str(task) for task in todo if task.done_file(out).exists()]
    left = [str(task) for task in todo if not task.done_file(out).exists()]
    write_json(out / "progress.json", {"done": len(done), "of": len(todo), "left": left})


def _summary(scores: Scores) -> str:
    parts = []
    for channel, values in scores.values.items():
        parts.append(channel + " " + ", ".join(f"{name} {scores.mean(channel, name):.3f}" for name in values))
    return "; ".join(parts)


class _Clock:
    """Seconds that a training took, over all the times that it was stopped and taken up."""

    def __init__(self, path: Path) -> None:
        self._path, self._before = path, 0.0
        if path.exists():
            try:
                self._before = float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
            except (OSError, ValueError, KeyError):
                log.warning("%s could not be read; the time is counted from here.", path)
        self._began = self._written = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self._before + time.perf_counter() - self._began

    def tick(self) -> None:
        if time.perf_counter() - self._written > 10:
            self._written = time.perf_counter()
            write_json(self._path, {"seconds": round(self.seconds, 1)})
