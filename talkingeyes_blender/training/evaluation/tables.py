"""The rows of TalkingEyes' Tables III, V, VI and VII, with the figures that the paper prints, and what they order."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Callable

Means = dict[str, float]
"""'<figure>_<channel>', as in 'diversity_eyes', to a value."""

COLUMNS = {
    "diversity_head": "Div^h", "diversity_eyes": "Div^e", "correlation_head": "Corr^h", "correlation_eyes": "Corr^e",
    "discrepancy_head": "L2^h", "discrepancy_eyes": "L2^e",
}  # fmt: skip
GAZE = ("diversity_eyes", "correlation_eyes", "discrepancy_eyes")


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of a table: ``key`` names the method (one method may stand in several tables)."""

    key: str
    title: str
    paper: tuple[float, ...] | None = None
    """The paper's figures in the order of the table's columns; None where the paper has no such row."""


@dataclasses.dataclass(frozen=True)
class Table:
    number: int
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


TABLES = {
    3: Table(3, "Table III: methods", GAZE, (
        Row("mean", "Mean", (0.0, 0.45685, 0.17162)),
        Row("random", "Random", (0.23383, 0.49117, 0.23989)),
        Row("similar", "Similar Sample", (0.06170, 0.57849, 0.23479)),
        Row("gaze-vae", "VAE", (0.06655, 0.45796, 0.17887)),
        Row("full", "TalkingEyes", (0.26398, 0.60435, 0.26570)),
        Row("sampled", "TalkingEyes, sampled codes"),
        Row("likelihood", "TalkingEyes, likelihood, nearest code"),
    )),
    5: Table(5, "Table V: VAE or VQ-VAE", tuple(COLUMNS), (
        Row("gaze-vae", "Head VAE, gaze VAE", (0.09645, 0.06655, 0.52148, 0.45796, 0.23699, 0.17887)),
        Row("full", "Head VAE, gaze VQ-VAE", (0.05143, 0.26398, 0.51913, 0.60435, 0.22731, 0.26570)),
        Row("head-vqvae", "Head VQ-VAE, gaze VQ-VAE", (0.29852, 0.25439, 0.45164, 0.59900, 0.40460, 0.26225)),
        Row("sampled", "Head VAE, gaze VQ-VAE, sampled"),
        Row("likelihood", "Head VAE, gaze VQ-VAE, likelihood, nearest code"),
    )),
    6: Table(6, "Table VI: losses", tuple(COLUMNS), (
        Row("no-velocity", "without L_vel", (0.05086, 0.24881, 0.48854, 0.59182, 0.22873, 0.26941)),
        Row("no-regularity", "without L_reg", (0.00434, 0.0, 0.35083, 0.45581, 0.48944, 0.19682)),
        Row("full", "Full model", (0.05143, 0.26398, 0.51913, 0.60435, 0.22731, 0.26570)),
        Row("sampled", "Full model, sampled codes"),
        Row("likelihood", "Full model, likelihood, nearest code"),
    )),
    7: Table(7, "Table VII: codes", tuple(COLUMNS), (
        Row("full-2048", "N = 2048", (0.05119, 0.26278, 0.54150, 0.60268, 0.22990, 0.27397)),
        Row("full", "N = 1024", (0.05143, 0.26398, 0.51913, 0.60435, 0.22731, 0.26570)),
        Row("full-512", "N = 512", (0.04966, 0.27578, 0.53699, 0.59932, 0.22959, 0.27345)),
        Row("full-256", "N = 256", (0.05027, 0.31291, 0.52527, 0.58959, 0.22762, 0.32000)),
        Row("sampled", "N = 1024, sampled codes"),
        Row("likelihood", "N = 1024, likelihood, nearest code"),
    )),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Ordering:
    """One thing that the paper's figures say, as a difference that is positive where it holds."""

    text: str
    figure: str
    larger: str
    smaller: str
    holds: Callable[[float, float], bool] = lambda larger, smaller: larger > smaller
    """Whether it holds, given the figure of both."""

    @property
    def rows(self) -> tuple[str, str]:
        return self.larger, self.smaller


STATIONARY = 0.1
"""Gaze counts as stationary in diversity where it has less than this share of the full model's (the paper's is 0)."""

ORDERINGS = (
    Ordering("Mean has diversity 0", "diversity_eyes", "random", "mean", lambda random, mean: mean == 0 < random),
    Ordering("gaze by VQ-VAE is more diverse than by VAE", "diversity_eyes", "full", "gaze-vae"),
    Ordering("head by VQ-VAE is more diverse than by VAE", "diversity_head", "head-vqvae", "full"),
    Ordering("head by VQ-VAE is less correlated than by VAE", "correlation_head", "full", "head-vqvae"),
    Ordering(
        f"without L_reg gaze is stationary: diversity under {STATIONARY:g} of the full model's",
        "diversity_eyes", "full", "no-regularity", lambda full, without: without < STATIONARY * full,
    ),
    Ordering("ours correlates more than Random", "correlation_eyes", "full", "random"),
    Ordering("ours correlates more than VAE", "correlation_eyes", "full", "gaze-vae"),
    Ordering("N = 256 is more diverse than N = 2048", "diversity_eyes", "full-256", "full-2048"),
    # Not in the paper, whose gaze is an argmin: the same with ours, which draws its codes.
    Ordering("with sampled codes: gaze by VQ-VAE is more diverse than by VAE", "diversity_eyes", "sampled", "gaze-vae"),
    Ordering("with sampled codes: more diverse than Random", "diversity_eyes", "sampled", "random"),
    Ordering("with sampled codes: correlates more than Random", "correlation_eyes", "sampled", "random"),
    Ordering("with sampled codes: correlates more than VAE", "correlation_eyes", "sampled", "gaze-vae"),
)  # fmt: skip


def chosen_tables(numbers: list[int] | None) -> list[Table]:
    """Tables by number; all where none is named."""
    return [TABLES[number] for number in (numbers or TABLES)]


def needed_rows(tables: list[Table]) -> list[str]:
    """Keys of the methods that the tables need, each once, in order."""
    return list(dict.fromkeys(row.key for table in tables for row in table.rows))
