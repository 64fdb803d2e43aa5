"""Motions of other head models carried over to a rig."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import logging

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..head.arkit import EXPRESSIONS, STANDIN
from ..head.face_basis import LandmarkBasis
from ..head.standin import load_standin
from ..head.transfer import Transfer, solve_transfer
from ..head.transfer_report import TransferReport, transfer_report
from ..head.visemes import fit_visemes
from ..motion import Motion
from .find import find_rig
from .head_rig import HEAD_MODEL_PROPERTY, HeadRig
from .landmark_basis import landmark_basis
from .named_channels import standin_basis

log = logging.getLogger(__name__)

_KEPT = 16
_solved: dict[str, Transfer] = {}
"""The last transfers of this session, by the content of both bases: a rig of one identity is solved once."""


def motion_for_rig(rig: HeadRig, motion: Motion, source: LandmarkBasis | None = None) -> Motion:
    """The motion with its expressions in the rig's basis; everything else as it is.

    A motion of the rig's own head model is returned unchanged. Others are carried over by landmarks, from the bundled
    stand-in, from another head of that model in the file, or from ``source``; lips and lids that it shuts are shut on
    the rig. On a rig whose expressions or landmarks are not known the motion comes back without expressions, and the
    jaw alone shuts the lips; the rig's report says so.
    """
    if not rig.expressions:
        return _by_the_jaw_alone(rig, motion, source)
    if motion.head_model == rig.head_model:
        return motion
    transfer = transfer_to_rig(rig, motion.head_model, source)
    if transfer is None:
        log.warning("no landmarks on '%s': expressions are left out", rig.name)
        return _by_the_jaw_alone(rig, motion, source)
    if motion.expression.shape[1] != transfer.matrix.shape[1]:
        raise TalkingEyesError(
            f"The motion has {motion.expression.shape[1]} expressions, its head model '{motion.head_model}' has "
            f"{transfer.matrix.shape[1]}.",
            "The motion was made by another version; generate it again.",
        )
    return motion.replace(expression=transfer.apply(motion.expression, motion.jaw), head_model=rig.head_model)


def _by_the_jaw_alone(rig: HeadRig, motion: Motion, source: LandmarkBasis | None) -> Motion:
    """Without expressions, the jaw opened by as much as the lips part: they are shut where the motion shuts them."""
    jaw = motion.jaw
    if motion.expression.any():
        basis = source or (standin_basis() if motion.head_model == STANDIN else None)
        if basis is not None and basis.displacements.shape[2] == motion.expression.shape[1]:
            jaw = fit_visemes(basis, motion.expression.astype(np.float64), jaw.astype(np.float64), {}).turns(jaw)
    return motion.replace(expression=np.zeros((motion.frames, 0)), jaw=jaw, head_model=rig.head_model)


def transfer_to_rig(rig: HeadRig, head_model: str, source: LandmarkBasis | None = None) -> Transfer | None:
    """What carries expressions of ``head_model`` to the rig, or None where the rig's landmarks are not known.

    Raises TalkingEyesError where nothing in the file is of that head model, and no ``source`` is given.
    """
    # Named keys stand for the stand-in's expressions, wherever they lie on the rig's mesh.
    target = standin_basis() if rig.vocabulary else landmark_basis(rig)
    return None if target is None else _transfer(source or _source(rig, head_model), target)


def report_for_rig(rig: HeadRig, head_model: str = STANDIN) -> TransferReport | None:
    """How well the rig can make the expressions of ``head_model``, or None where they are its own or none are made."""
    if not rig.expressions or rig.head_model == head_model:
        return None
    transfer = transfer_to_rig(rig, head_model)
    if transfer is None:
        return None
    return transfer_report(transfer, EXPRESSIONS if head_model == STANDIN else ())


def _transfer(source: LandmarkBasis, target: LandmarkBasis) -> Transfer:
    key = _content(source, target)
    transfer = _solved.pop(key, None)
    if transfer is None:
        transfer = solve_transfer(source, target)
        log.info("expressions carried over by landmarks, %.0f %% of their motion", 100 * transfer.reached.mean())
    # Put last again: the first is the one that was not asked for longest.
    _solved[key] = transfer
    while len(_solved) > _KEPT:
        del _solved[next(iter(_solved))]
    return transfer


def _content(*bases: LandmarkBasis) -> str:
    digest = hashlib.sha256()
    for basis in bases:
        hinge = (None,) if basis.jaw is None else (basis.jaw.share, basis.jaw.joint, basis.jaw.correctives)
        for array in (basis.points, basis.displacements, *hinge):
            digest.update(b"-" if array is None else f"{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


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
