"""Whether the correlation network works: AUC of held-out true pairs against shifted and against swapped ones."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

from ..dataset import Dataset
from .correlation import CorrelationNetwork
from .correlation_training import score_pairs
from .intervals import Interval, bootstrap_auc
from .windows import Decoupled, Recordings


@dataclasses.dataclass(frozen=True)
class Trial:
    """What a trial found; .5 is chance."""

    channel: str
    decoupled: bool
    shifted: Interval
    swapped: Interval
    windows: int
    recordings: int

    def __str__(self) -> str:
        corpus = "motion dealt out among recordings" if self.decoupled else "motion as recorded"
        return (
            f"{self.channel}, {corpus}: AUC against shifted pairs {self.shifted}, against swapped pairs {self.swapped} "
            f"({self.windows} windows of {self.recordings} held-out recordings; 95 % intervals over recordings)"
        )

    def plain(self) -> dict:
        return {
            **dataclasses.asdict(self), "shifted": self.shifted.plain(), "swapped": self.swapped.plain(),
        }  # fmt: skip


def try_correlation(network: CorrelationNetwork, split: Dataset, *, decoupled: bool = False) -> Trial:
    """Score the windows of a split that the network has not seen; ``decoupled`` deals its motion out first."""
    c = network.config
    recordings = Recordings(Decoupled(split, seed=1) if decoupled else split, c.channel, c.frames)
    pairs = score_pairs(network, recordings, seed=1)
    areas = {
        kind: bootstrap_auc(pairs["true"], pairs[kind], pairs["true_of"], pairs[f"{kind}_of"])
        for kind in ("shifted", "swapped")
    }
    return Trial(
        c.channel, decoupled, areas["shifted"], areas["swapped"], len(pairs["true"]), len(set(pairs["true_of"]))
    )
