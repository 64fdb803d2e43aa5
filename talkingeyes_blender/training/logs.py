"""What a run tells of itself: JSON lines, TensorBoard, and plots of made beside real motion."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np

from ..motion import FPS

log = logging.getLogger(__name__)


class Log:
    """``log.jsonl``, ``tensorboard/`` and ``plots/`` of a run's folder, as if the run had never been interrupted."""

    def __init__(self, folder: Path, step: int) -> None:
        """Lines after ``step``, from which the run goes on, are dropped: they will be written again."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        path = folder / "log.jsonl"
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= step]
        path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._lines = open(path, "a", encoding="utf-8")  # noqa: SIM115  closed by close()
        self._board = _board(folder / "tensorboard", step)

    def write(self, entry: dict) -> None:
        """An entry with its 'step', numbers by name, and figures of a validation under 'validation'."""
        self._lines.write(json.dumps(entry) + "\n")
        self._lines.flush()
        if self._board is None:
            return
        for group, values in (("training", entry), ("validation", entry.get("validation", {}))):
            for name, value in values.items():
                if isinstance(value, (int, float)) and name != "step":
                    self._board.add_scalar(f"{group}/{name}", value, entry["step"])
        if "validation" in entry:
            self._board.flush()

    def plot(self, step: int, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """``plots/STEP.png``: for each name the made beside the real curve (T,), in degrees or another unit."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 2.2 * len(curves)), layout="constrained")
        for axes, (name, (made, real)) in zip(
            figure.subplots(len(curves), squeeze=False)[:, 0], curves.items(), strict=True
        ):
            seconds = np.arange(len(real)) / FPS
            axes.plot(seconds, real, color="0.6", label="real")
            axes.plot(seconds, made, color="tab:red", linewidth=1, label="made")
            axes.set(title=name, xlim=(0, seconds[-1] if len(seconds) > 1 else 1))
            axes.legend(loc="upper right", fontsize="small")
        axes.set_xlabel("seconds")
        (self.folder / "plots").mkdir(exist_ok=True)
        figure.savefig(self.folder / "plots" / f"{step:07d}.png", dpi=80)
        if self._board is not None:
            self._board.add_figure("made beside real", figure, step)

    def close(self) -> None:
        self._lines.close()
        if self._board is not None:
            self._board.close()


def _lines(path: Path) -> list[str]:
    """The whole lines of a log; a kill can leave half a line at its end."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            if isinstance(json.loads(line).get("step"), int):
                lines.append(line)
        except (ValueError, AttributeError):
            continue
    return lines


def _board(folder: Path, step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info("TensorBoard is not installed: the run is logged to log.jsonl alone")
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
