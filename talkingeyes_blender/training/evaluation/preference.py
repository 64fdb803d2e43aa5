"""What the answers of the forced-choice study say: how often ours was preferred, and how likely that is by chance."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from scipy.stats import binomtest

from ...errors import TalkingEyesError
from .page import CSV_COLUMNS

OURS = "ours"

PAPER = {"mean": (85, 3.3e-9), "random": (86, 7.5e-15), "similar": (93, 5.7e-22), "vae": (83, 5.7e-10)}
"""Table IV: percentage in which ours was preferred, and p (of an ANOVA)."""


@dataclasses.dataclass(frozen=True)
class Preference:
    """Answers to ours against one baseline."""

    baseline: str
    title: str
    ours: int
    answers: int
    participants: int

    @property
    def percentage(self) -> float:
        return 100 * self.ours / self.answers

    @property
    def p_value(self) -> float:
        """Two-sided exact binomial test against a fair coin; answers count as independent."""
        return float(binomtest(self.ours, self.answers, 0.5).pvalue)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the percentage (Wilson)."""
        found = binomtest(self.ours, self.answers, 0.5).proportion_ci(method="wilson")
        return 100 * float(found.low), 100 * float(found.high)


def read_answers(files: Sequence[Path], comparison: Path) -> list[Preference]:
    """The preferences in the answers that participants saved.

    Raises:
        TalkingEyesError: a file is no such answers, or answers another comparison, or one participant's come twice.
    """
    titles, films, pairs = _read_comparison(comparison)
    counts: dict[str, list] = {}
    seen: dict[str, Path] = {}
    for file in files:
        for line, row in _rows(file):
            where = f"{file}, line {line}"
            if seen.setdefault(row["participant"], file) != file:
                raise TalkingEyesError(
                    f"{file} and {seen[row['participant']]} are both of the participant '{row['participant']}'.",
                    "Give each answer once.",
                )
            shown = {row["left"], row["right"]}
            if shown not in pairs:
                raise TalkingEyesError(f"{where}: this pair is not of the comparison in {comparison}.", "Name its own.")
            if row["chosen"] not in shown:
                raise TalkingEyesError(f"{where}: what was chosen was not shown.", "The file has been changed.")
            baseline = next(films[film] for film in shown if films[film] != OURS)
            entry = counts.setdefault(baseline, [0, 0, set()])
            entry[0] += films[row["chosen"]] == OURS
            entry[1] += 1
            entry[2].add(row["participant"])
    if not counts:
        raise TalkingEyesError("The files hold no answers.", "Let participants finish the page and save.")
    return [
        Preference(name, titles[name], counts[name][0], counts[name][1], len(counts[name][2]))
        for name in titles
        if name in counts
    ]


def preference_text(preferences: Sequence[Preference]) -> str:
    """A Markdown table beside Table IV."""
    lines = [
        "| ours against | preferred, % | 95 % | p | answers | participants | paper, % (p) |", "|---" * 7 + "|",
    ]  # fmt: skip
    for one in preferences:
        low, high = one.interval
        paper = "{} ({:.1e})".format(*PAPER[one.baseline]) if one.baseline in PAPER else ""
        lines.append(
            f"| {one.title} | {one.percentage:.0f} | {low:.0f}-{high:.0f} | {one.p_value:.2g} | {one.answers} | "
            f"{one.participants} | {paper} |"
        )
    lines.append("")
    lines.append("p: exact binomial test, two-sided, answers taken as independent; the paper's p is of an ANOVA.")
    return "\n".join(lines)


def _read_comparison(folder: Path) -> tuple[dict[str, str], dict[str, str], list[set[str]]]:
    path = folder / "comparison.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        clips = [dict(clip["codes"]) for clip in found["clips"]]
        titles = dict(found["titles"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TalkingEyesError(f"{path} could not be read ({error}).", "Name a folder that 'compare' made.") from error
    films = {code: name for clip in clips for name, code in clip.items()}
    pairs = [{clip[OURS], code} for clip in clips for name, code in clip.items() if name != OURS]
    return titles, films, pairs


def _rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if not set(CSV_COLUMNS[:5]) <= set(reader.fieldnames or ()):
                raise TalkingEyesError(
                    f"{file} lacks the columns {', '.join(CSV_COLUMNS[:5])}.", "Give files that the page saved."
                )
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TalkingEyesError(f"{file} could not be read ({error}).") from error
    for number, row in enumerate(rows, 2):
        if any(row[column] is None for column in CSV_COLUMNS[:5]):
            raise TalkingEyesError(f"{file}, line {number} is cut off.", "Give the file as the page saved it.")
    return list(enumerate(rows, 2))
