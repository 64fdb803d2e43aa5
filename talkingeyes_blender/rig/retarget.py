"""Motions of other head models carried over to a rig."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import logging

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..head.arkit import STANDIN
from ..head.standin import load_standin
from ..head.transfer import LandmarkBasis, Transfer, solve_transfer
from ..motion import Motion
from .find import find_rig
from .head_rig import HEAD_MODEL_PROPERTY, HeadRig
from .landmark_basis import landmark_basis

log = logging.getLogger(__name__)

_solved: dict[str, Transfer] = {}
"""Transfers of this session, by the content of both bases."""


def motion_for_rig(rig: HeadRig, motion: Motion, source: LandmarkBasis | None = None) -> Motion:
    """The motion with its expressions in the rig's basis; everything else as it is.

    A motion of the rig's own head model is returned unchanged. Others are carried over by landmarks, from the bundled
    stand-in, from another head of that model in the file, or from ``source``. On a rig whose expressions or landmarks
    are not known the motion comes back without expressions; the rig's report says so.
    """
    if not rig.expressions:
        return motion.replace(expression=np.zeros((motion.frames, 0)), head_model=rig.head_model)
    if motion.head_model == rig.head_model:
        return motion
    target = landmark_basis(rig)
    if target is None:
        log.warning("no landmarks on '%s': expressions are left out", rig.name)
        return motion.replace(expression=np.zeros((motion.frames, 0)), head_model=rig.head_model)
    transfer = _transfer(source or _source(rig, motion.head_model), target)
    if motion.expression.shape[1] != transfer.matrix.shape[1]:
        raise TalkingEyesError(
            f"The motion has {motion.expression.shape[1]} expressions, its head model '{motion.head_model}' has "
            f"{transfer.matrix.shape[1]}.",
            "The motion was made by another version; generate it again.",
        )
    return motion.replace(expression=transfer.apply(motion.expression), head_model=rig.head_model)


def _transfer(source: LandmarkBasis, target: LandmarkBasis) -> Transfer:
    digest = hashlib.sha256()
    for array in (source.points, source.displacements, source.jaw, target.points, target.displacements, target.jaw):
        digest.update(b"-" if array is None else array.tobytes())
    key = digest.hexdigest()
    if key not in _solved:
        _solved[key] = solve_transfer(source, target)
        log.info("expressions carried over by landmarks, %.0f %% of their motion", 100 * _solved[key].reached.mean())
    return _solved[key]


def _source(rig: HeadRig, identity: str) -> LandmarkBasis:
    if identity == STANDIN:
        return LandmarkBasis.from_head(load_standin())
    for obj in bpy.data.objects:
        if obj.type == "MESH" and obj != rig.mesh and obj.get(HEAD_MODEL_PROPERTY) == identity:
            basis = landmark_basis(find_rig(obj))
            if basis is not None:
                return basis
    named = f"the rig's keys to '{rig.head_model}'" if rig.head_model else "and the rig does not name its own"
    raise TalkingEyesError(
        f"The motion's expressions belong to the head model '{identity}', {named}.",
        f"Build a rig from the file of '{identity}', or, if this rig has its expressions, write that name into the "
        f"custom property '{HEAD_MODEL_PROPERTY}' of its mesh.",
    )
