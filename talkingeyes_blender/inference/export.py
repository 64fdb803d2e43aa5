"""Further files of a motion beside its npz, for other programs: FLAME parameters, GaussianAvatars, ARKit's curves."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..errors import TalkingEyesError
from ..head.arkit import STANDIN
from ..head.arkit_curves import write_arkit_csv
from ..head.face_basis import LandmarkBasis
from ..head.flame_motion import carried, for_avatar, write_flame, write_gaussian_avatar
from ..head.reading import read_head
from ..head.standin import load_standin
from ..motion import Motion

ENDINGS = {
    "flame": ".flame.npz",
    "gaussian-avatar": ".avatar.npz",
    "arkit-csv": ".arkit.csv",
    "live-link-csv": ".live-link.csv",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("further files of each motion")
    group.add_argument(
        "--also", nargs="+", choices=ENDINGS, default=[], metavar="FORMAT",
        help="; ".join(f"{name}: NAME{ending}" for name, ending in ENDINGS.items()),
    )  # fmt: skip
    group.add_argument(
        "--flame", type=Path, metavar="FILE",
        help="FLAME file whose expressions 'flame' and 'gaussian-avatar' are written in; the avatar's own for that",
    )  # fmt: skip
    group.add_argument(
        "--avatar", type=Path, metavar="DIR",
        help="folder of the avatar (with its flame_param.npz), so that it stays where it stands",
    )  # fmt: skip


class Exporter:
    """Writes the files that were asked for."""

    def __init__(self, formats: Sequence[str] = (), flame: Path | None = None, avatar: Path | None = None) -> None:
        """Raises TalkingEyesError if the head's file cannot be read, or lacks and is needed."""
        self._formats = tuple(dict.fromkeys(formats))
        self._avatar = avatar
        self._head = read_head(flame) if flame is not None else None
        if "gaussian-avatar" in self._formats and self._head is None:
            raise TalkingEyesError(
                "An avatar's motion needs the expressions of its own head.",
                "Name the FLAME file that it was made with (--flame).",
            )

    def targets(self, place: Path) -> list[Path]:
        """The files that go beside the motion ``place`` (NAME.npz)."""
        return [place.with_name(place.stem + ENDINGS[name]) for name in self._formats]

    def write(self, motion: Motion, place: Path) -> None:
        """Write them; each is there whole or not at all."""
        for name, target in zip(self._formats, self.targets(place), strict=True):
            if name == "flame":
                write_flame(target, motion if self._head is None else self._in_basis_of_head(motion))
            elif name == "gaussian-avatar":
                write_gaussian_avatar(target, for_avatar(motion, self._head), avatar=self._avatar)
            else:
                layout = "live-link" if name == "live-link-csv" else "seconds"
                write_arkit_csv(target, self._in_arkits(motion), layout)

    def _in_basis_of_head(self, motion: Motion) -> Motion:
        head = self._head
        target = LandmarkBasis.from_head(head) if "face" in head.landmarks and head.expressions else None
        return motion.replace(
            expression=carried(motion, head.identity, target, None, head.name), head_model=head.identity
        )

    def _in_arkits(self, motion: Motion) -> Motion:
        """The motion in the stand-in's basis; from weights of another head where --flame is that head."""
        standin, head = load_standin(), self._head
        known = head is not None and head.identity == motion.head_model and "face" in head.landmarks
        source = LandmarkBasis.from_head(head) if known else None
        target = LandmarkBasis.from_head(standin)
        return motion.replace(expression=carried(motion, STANDIN, target, source, standin.name), head_model=STANDIN)
