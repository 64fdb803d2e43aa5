"""A take as numbers for other programs: FLAME parameters, the GaussianAvatars viewer's motion, ARKit's curves.

A motion comes as it plays, read off the rig with what was edited by hand; or as it was generated, given by the caller.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
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
from .export_sample import Progress, Sampler, identity, times
from .head_rig import HeadRig
from .landmark_basis import landmark_basis
from .takes import Take

Path = str | os.PathLike


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """What of a rig its files need: asked first, so that they can be written while Blender goes on."""

    head_model: str
    identity: np.ndarray
    basis: LandmarkBasis | None
    """What the motion's expressions do to the points of a face, where that is needed and the rig can tell."""
    shut: np.ndarray | None
    """(E, 2) what shuts the lids by expressions, where that is needed."""


def known(rig: HeadRig, head_model: str, carried_over: bool, blinks: bool = False) -> Known:
    """Ask a rig for a motion of ``head_model`` that is carried over to another basis, or whose ``blinks`` become
    expressions."""
    basis = landmark_basis(rig) if carried_over and head_model == rig.head_model and rig.expressions else None
    shut = blink_expressions(rig) if blinks and not carried_over else None
    return Known(rig.head_model, identity(rig), basis, shut)


def sampler(
    scene: bpy.types.Scene, rig: HeadRig, take: Take | None, span: str = "TAKE", rate: str = "MOTION"
) -> Sampler:
    """What reads the motion as the rig plays it, over ``span`` and at ``rate`` (see ``export_sample.times``)."""
    if span == "TAKE" and take is not None and not take.active:
        raise TalkingEyesError(f"The take '{take.name}' does not play.", "Choose it first.")
    frames, fps = times(scene, take, span, rate)
    return Sampler(rig, frames, fps, take.seed if take is not None else 0)


def played(
    context: bpy.types.Context,
    rig: HeadRig,
    take: Take | None,
    span: str = "TAKE",
    rate: str = "MOTION",
    progress: Progress | None = None,
) -> tuple[Motion, Root]:
    """The motion as the rig plays it, read in one go."""
    reading = sampler(context.scene, rig, take, span, rate)
    reading.read(context, progress=progress)
    return reading.motion()


def export_flame(
    path: Path, known: Known, motion: Motion, root: Root | None = None, head: HeadModel | None = None
) -> None:
    """Write FLAME parameters; the expressions in the motion's own basis, or in that of ``head``."""
    if head is not None:
        motion = motion.replace(
            expression=carried(motion, head.identity, _basis_of(head), known.basis, head.name),
            head_model=head.identity,
        )
    write_flame(path, motion, root, known.identity)


def export_gaussian_avatar(
    path: Path,
    known: Known,
    motion: Motion,
    root: Root | None = None,
    head: HeadModel | None = None,
    avatar: Path | None = None,
) -> None:
    """Write the motion file of the GaussianAvatars viewer, for an avatar made with the FLAME file ``head``.

    Without ``head`` the rig must be one of that file: its own expressions are written.
    """
    if head is not None:
        motion = for_avatar(motion, head, known.basis)
    elif motion.head_model == STANDIN:
        raise TalkingEyesError(
            "The motion's expressions are the stand-in's, which an avatar does not know.",
            "Choose the FLAME file that the avatar was made with.",
        )
    elif motion.head_model != known.head_model:
        raise TalkingEyesError(
            f"The motion's expressions belong to the head model '{motion.head_model}', not to the rig's.",
            "Choose the FLAME file that the avatar was made with.",
        )
    elif known.shut is not None and motion.blink.any():
        expression = motion.expression + motion.blink @ known.shut.T
        motion = motion.replace(expression=expression, blink=np.zeros_like(motion.blink))
    write_gaussian_avatar(path, motion, root, avatar)


def export_arkit(path: Path, known: Known, motion: Motion, layout: str = "seconds") -> None:
    """Write a CSV of ARKit's curves; expressions of another basis than the stand-in's are carried over."""
    standin = load_standin()
    if motion.head_model != STANDIN:
        expression = carried(motion, STANDIN, LandmarkBasis.from_head(standin), known.basis, standin.name)
        motion = motion.replace(expression=expression, head_model=STANDIN)
    write_arkit_csv(path, motion, layout)


def _basis_of(head: HeadModel) -> LandmarkBasis | None:
    return LandmarkBasis.from_head(head) if "face" in head.landmarks and head.expressions else None
