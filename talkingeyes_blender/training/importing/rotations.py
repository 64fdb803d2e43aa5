"""Rotations in the forms that trackers write, brought to another frame rate and about their mean.

Everything passes through scipy's ``Rotation``; interpolation is along the shortest turn, never in the numbers.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from ...errors import TalkingEyesError

FORMS = {
    "axis_angle": 3,
    "euler_xyz": 3,
    "euler_zyx": 3,
    "quaternion_wxyz": 4,
    "quaternion_xyzw": 4,
    "six": 6,
    "matrix": 9,
}
"""Numbers that a rotation has in each form; 'six' is the first two rows of its matrix, as PyTorch3D and with it most
trackers write what Zhou et al. (2019) proposed."""


def from_form(values: np.ndarray, form: str = "axis_angle", degrees: bool = False) -> Rotation:
    """(N, numbers of the form) to N rotations.

    Raises:
        TalkingEyesError: the form is not known, or the values have another width.
    """
    if form not in FORMS:
        raise TalkingEyesError(f"The form of rotation '{form}' is not known.", f"Choose one of {', '.join(FORMS)}.")
    values = np.asarray(values, np.float64).reshape(len(values), -1)
    if values.shape[1] != FORMS[form]:
        raise TalkingEyesError(
            f"A rotation as '{form}' has {FORMS[form]} numbers, not {values.shape[1]}.",
            "Name the form that the file is in.",
        )
    if form == "axis_angle":
        return Rotation.from_rotvec(values, degrees=degrees)
    if form.startswith("euler"):
        return Rotation.from_euler(form[-3:], values, degrees=degrees)
    if form == "quaternion_wxyz":
        return Rotation.from_quat(values[:, [1, 2, 3, 0]])
    if form == "quaternion_xyzw":
        return Rotation.from_quat(values)
    if form == "matrix":
        return Rotation.from_matrix(values.reshape(-1, 3, 3))
    first, second = values[:, :3], values[:, 3:]
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    second = second - (first * second).sum(1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=1, keepdims=True)
    return Rotation.from_matrix(np.stack([first, second, np.cross(first, second)], 1))


def at_times(rotations: Rotation, times: np.ndarray, wanted: np.ndarray) -> Rotation:
    """The rotations, known at ``times`` (N,), at ``wanted`` (M,) seconds; beyond the ends they stay."""
    if len(times) == 1:
        return Rotation.concatenate([rotations] * len(wanted))
    return Slerp(times, rotations)(np.clip(wanted, times[0], times[-1]))


def about_mean(rotations: Rotation, counted: np.ndarray | None = None) -> Rotation:
    """How the head turns from its mean pose, in its own axes: M^-1 R. ``counted`` (N,) bool are those of the mean.

    A constant turn of the camera, which trackers mix into the head's, goes away with the mean.
    """
    chosen = rotations if counted is None or not counted.any() else rotations[counted]
    return chosen.mean().inv() * rotations
