"""What shuts the lids of a rig that has no keys for it: a sum of its expressions."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np

from ..head.blink_expressions import blink_by_expressions
from .head_rig import HeadRig
from .landmark_basis import landmark_basis


def blink_expressions(rig: HeadRig) -> np.ndarray | None:
    """(E, 2) coefficients that shut the left and the right lids, or None where the rig's expressions cannot."""
    basis = landmark_basis(rig)
    return None if basis is None else blink_by_expressions(basis)
