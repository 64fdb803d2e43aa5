"""A take as numbers for other programs: FLAME parameters, the GaussianAvatars viewer's motion, ARKit's curves.

A motion comes as it plays, read off the rig with what was edited by hand; or as it was generated, given by the caller.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..head.arkit import STANDIN
from ..head.arkit_curves import write_arkit_csv
from ..head.face_basis import LandmarkBasis
from ..head.flame_motion import Root, carried, for_avatar, write_flame, write_gaussian_avatar
from ..head.model import HeadModel
from ..head.standin import load_standin
from ..motion import Motion
from .blinks import blink_expressions
from .export_sample import Progress, identity, sample_motion, times
from .head_rig import HeadRig
from .landmark_basis import landmark_basis
from .takes import Take

Path = str | os.PathLike


def played(
    context: bpy.types.Context,
    rig: HeadRig,
    take: Take | None,
    span: str = "TAKE",
    rate: str = "MOTION",
    progress: Progress | None = None,
) -> tuple[Motion, Root]:
    """The motion as the rig plays it, over ``span`` and at ``rate`` (see ``export_sample.times``)."""
    if span == "TAKE" and take is not None and not take.active:
        raise TalkingEyesError(f"The take '{take.name}' does not play.", "Choose it first.")
    frames, fps = times(context.scene, take, span, rate)
    return sample_motion(context, rig, frames, fps, take.seed if take is not None else 0, progress)


def export_flame(
    path: Path, rig: HeadRig, motion: Motion, root: Root | None = None, head: HeadModel | None = None
) -> None:
    """Write FLAME parameters; the expressions in the motion's own basis, or in that of ``head``."""
    if head is not None:
        motion = motion.replace(
            expression=carried(motion, head.identity, _basis_of(head), _source(rig, motion), head.name),
            head_model=head.identity,
        )
    write_flame(path, motion, root, identity(rig))


def export_gaussian_avatar(
    path: Path,
    rig: HeadRig,
    motion: Motion,
    root: Root | None = None,
    head: HeadModel | None = None,
    avatar: Path | None = None,
) -> None:
    """Write the motion file of the GaussianAvatars viewer, for an avatar made with the FLAME file ``head``.

    Without ``head`` the rig must be one of that file: its own expressions are written.
    """
    if head is not None:
        motion = for_avatar(motion, head, _source(rig, motion))
    elif motion.head_model == STANDIN:
        raise TalkingEyesError(
            "The motion's expressions are the stand-in's, which an avatar does not know.",
            "Choose the FLAME file that the avatar was made with.",
        )
    elif motion.head_model != rig.head_model:
        raise TalkingEyesError(
            f"The motion's expressions belong to the head model '{motion.head_model}', not to the rig's.",
            "Choose the FLAME file that the avatar was made with.",
        )
    else:
        shut = blink_expressions(rig) if motion.blink.any() else None
        if shut is not None:
            expression = motion.expression + motion.blink @ shut.T
            motion = motion.replace(expression=expression, blink=np.zeros_like(motion.blink))
    write_gaussian_avatar(path, motion, root, avatar)


def export_arkit(path: Path, rig: HeadRig, motion: Motion, layout: str = "seconds") -> None:
    """Write a CSV of ARKit's curves; expressions of another basis than the stand-in's are carried over."""
    standin = load_standin()
    if motion.head_model != STANDIN:
        expression = carried(motion, STANDIN, LandmarkBasis.from_head(standin), _source(rig, motion), standin.name)
        motion = motion.replace(expression=expression, head_model=STANDIN)
    write_arkit_csv(path, motion, layout)


def _source(rig: HeadRig, motion: Motion) -> LandmarkBasis | None:
    """What the motion's expressions do to the points of a face, where the rig can tell."""
    return landmark_basis(rig) if motion.head_model == rig.head_model and rig.expressions else None


def _basis_of(head: HeadModel) -> LandmarkBasis | None:
    return LandmarkBasis.from_head(head) if "face" in head.landmarks and head.expressions else None
