"""Motions as the FLAME parameters that other programs read: under the key names of VHAP and GaussianAvatars.

All arrays are float32, rotations axis-angle vectors in radians with the signs of ``Motion``, lengths in metres.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import os
import zipfile
from pathlib import Path

import numpy as np

from ..errors import TalkingEyesError
from ..files import written_whole
from ..motion import Motion
from . import rotation
from .arkit import STANDIN
from .blink_expressions import blink_by_expressions
from .face_basis import LandmarkBasis
from .model import HeadModel
from .standin import load_standin
from .transfer import solve_transfer

VERSION = 1
AVATAR_EXPRESSIONS = 100
"""Expression coefficients that the GaussianAvatars viewer's head takes."""
_AVATAR_FILE = "flame_param.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class Root:
    """Where the whole head goes, about FLAME's root joint and in FLAME's frame."""

    rotation: np.ndarray
    """(T, 3) axis-angle."""
    translation: np.ndarray
    """(T, 3) metres."""

    @classmethod
    def still(cls, frames: int) -> Root:
        return cls(np.zeros((frames, 3)), np.zeros((frames, 3)))


def write_flame(
    path: str | os.PathLike, motion: Motion, root: Root | None = None, shape: np.ndarray | None = None
) -> None:
    """Write an npz of a motion's FLAME parameters: ``expr``, ``rotation``, ``neck_pose``, ``jaw_pose``, ``eyes_pose``,
    ``translation``, ``shape``, and ours: ``blink``, ``fps``, ``head_model``, ``seed``, ``version``.

    The motion's head is FLAME's neck. ``shape`` (S,) is the identity, none if not given.
    """
    motion.checked()
    values = _poses(motion, root or Root.still(motion.frames)) | {
        "expr": motion.expression,
        "shape": np.zeros(0) if shape is None else np.asarray(shape),
        "blink": motion.blink,
    }
    arrays = {name: np.asarray(array, np.float32) for name, array in values.items()}
    _save(path, arrays | {"fps": motion.fps, "head_model": motion.head_model, "seed": motion.seed, "version": VERSION})


def read_flame(path: str | os.PathLike) -> tuple[Motion, Root, np.ndarray]:
    """Return (motion, root, shape (S,)) of a file of ``write_flame``; raise TalkingEyesError if it is none."""
    values = _load(path)
    missing = {"expr", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "translation"} - set(values)
    if missing:
        raise TalkingEyesError(f"{path} lacks the key '{min(missing)}'.", "It is no file of FLAME parameters.")
    frames = len(values["jaw_pose"])
    motion = Motion(
        expression=values["expr"],
        jaw=values["jaw_pose"],
        head=values["neck_pose"],
        eyes=values["eyes_pose"],
        blink=values.get("blink", np.zeros((frames, 2))),
        seed=int(values.get("seed", 0)),
        head_model=str(values.get("head_model", "")),
        fps=float(values.get("fps", 25.0)),
    ).checked()
    return motion, Root(values["rotation"], values["translation"]), values.get("shape", np.zeros(0, np.float32))


def write_gaussian_avatar(
    path: str | os.PathLike, motion: Motion, root: Root | None = None, avatar: str | os.PathLike | None = None
) -> None:
    """Write what the GaussianAvatars viewer takes as ``--motion_path``.

    The motion's expressions must be in the basis of the avatar's head, FLAME 2023 for the published ones
    (``for_avatar``). Of ``avatar`` (its ``flame_param.npz``, or the PLY or the folder beside it) the first frame says
    where the avatar stands; without one it stands at the origin.
    """
    motion.checked()
    root = root or Root.still(motion.frames)
    if avatar is not None:
        root = _standing(root, Path(avatar))
    count = motion.expression.shape[1]
    if motion.expression[:, AVATAR_EXPRESSIONS:].any():
        raise TalkingEyesError(
            f"The motion has {count} expressions, a GaussianAvatars head {AVATAR_EXPRESSIONS}.",
            "Carry the expressions over to the avatar's FLAME file first.",
        )
    expression = np.zeros((motion.frames, AVATAR_EXPRESSIONS))
    expression[:, :count] = motion.expression[:, :AVATAR_EXPRESSIONS]
    values = _poses(motion, root) | {
        "expr": expression,
        # The viewer only picks a frame of it, so that one vertex stands for all: the whole would be 60 KB a frame.
        "dynamic_offset": np.zeros((motion.frames, 1, 3)),
    }
    _save(path, {name: np.asarray(array, np.float32) for name, array in values.items()})


def for_avatar(motion: Motion, head: HeadModel, source: LandmarkBasis | None = None) -> Motion:
    """The motion with its expressions in the basis of ``head``, its blinks too, since an avatar has no other lids.

    ``source`` is the basis of the motion's own head model, where that is neither ``head``'s nor the stand-in's.
    Where the head's expressions cannot shut its lids, or its landmarks are not known, there are no blinks.
    """
    known = "face" in head.landmarks and head.expressions > 0
    target = LandmarkBasis.from_head(head) if known else None
    expression = carried(motion, head.identity, target, source, head.name).astype(np.float64)
    shut = blink_by_expressions(target) if target is not None else None
    if shut is not None:
        expression = expression + motion.blink.astype(np.float64) @ shut.T
    return motion.replace(expression=expression, blink=np.zeros_like(motion.blink), head_model=head.identity)


def carried(
    motion: Motion, identity: str, target: LandmarkBasis | None, source: LandmarkBasis | None, name: str
) -> np.ndarray:
    """(T, E) the motion's expressions in the basis ``identity``, whose landmarks are ``target``."""
    if motion.head_model == identity:
        return motion.expression
    if source is None and motion.head_model == STANDIN:
        source = LandmarkBasis.from_head(load_standin())
    if source is None or target is None:
        raise TalkingEyesError(
            f"The motion's expressions belong to the head model '{motion.head_model or 'unknown'}', "
            f"and cannot be carried over to '{name}'.",
            "Both heads must have landmarks and expressions.",
        )
    return solve_transfer(source, target).apply(motion.expression, motion.jaw)


def _poses(motion: Motion, root: Root) -> dict[str, np.ndarray]:
    if len(root.rotation) != motion.frames or len(root.translation) != motion.frames:
        raise TalkingEyesError(f"The root has {len(root.rotation)} frames, the motion {motion.frames}.")
    return {
        "rotation": root.rotation,
        "neck_pose": motion.head,
        "jaw_pose": motion.jaw,
        "eyes_pose": motion.eyes,
        "translation": root.translation,
    }


def _standing(root: Root, avatar: Path) -> Root:
    """The root moved to where an avatar stands in its first frame."""
    if avatar.name != _AVATAR_FILE:
        avatar = (avatar if avatar.is_dir() else avatar.parent) / _AVATAR_FILE
    values = _load(avatar)
    try:
        turned, place = (np.asarray(values[key], np.float64).reshape(-1, 3)[0] for key in ("rotation", "translation"))
    except (KeyError, ValueError, IndexError) as error:
        raise TalkingEyesError(
            f"{avatar} does not say where the avatar stands.", "Choose its flame_param.npz."
        ) from error
    turn = rotation.matrix_from_axis_angle(turned)
    return Root(rotation.unwrap_axis_angle(rotation.compose(turned, root.rotation)), root.translation @ turn.T + place)


def _load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise TalkingEyesError(f"{path} could not be read as FLAME parameters ({error}).") from error


def _save(path: str | os.PathLike, values: dict) -> None:
    with written_whole(path) as beside, open(beside, "wb") as stream:
        np.savez_compressed(stream, **values)
