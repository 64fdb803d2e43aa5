"""HeadRig: where the parts of a head are in the Blender file, found once and handed to whoever writes to them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json

import bpy
import numpy as np

HEAD_MODEL_PROPERTY = "talkingeyes_head_model"
"""On the mesh and the armature object: identity of the basis that the expression keys belong to."""
JOINTS_PROPERTY = "talkingeyes_joints"
"""On the armature's data: the joints' places in FLAME's frame when the rig was built, 15 metres."""
LANDMARKS_PROPERTY = "talkingeyes_landmarks"
"""On the mesh's data: JSON, vertex indices by landmark name as in HeadModel.landmarks."""
LIDS_FOLLOW_PROPERTY = "talkingeyes_lids_follow"
"""On the armature object: how far the lids follow the gaze, 0 not to 1 wholly."""

FLAME_TO_BLENDER = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""From FLAME's frame (Y-up, out of the face is +Z) to the frame of rigs that we build (Z-up, facing -Y)."""


@dataclasses.dataclass(frozen=True)
class RigReport:
    """What the search for a rig's parts came to, in words for the user."""

    found: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    guessed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """Sentences: what will not move or may be wrong, and what to do about it."""


@dataclasses.dataclass(frozen=True, eq=False)
class HeadRig:
    """An armature, a mesh and the names of what moves on them.

    Holds references into Blender's data, which undo and file loading void: find it anew for each operation.
    """

    armature: bpy.types.Object
    mesh: bpy.types.Object | None
    """The mesh with the face's shape keys; None where the armature deforms none."""
    bones: dict[str, str]
    """Bone by joint name (head.model.JOINTS); joints that the rig lacks are absent. 'jaw' is always there."""
    frame: np.ndarray
    """(3, 3) rotation from FLAME's frame to the armature's."""
    expression_keys: tuple[str | None, ...] = ()
    """Shape key of each expression coefficient; None where a number is missing from the row."""
    pose_keys: dict[int, str] = dataclasses.field(default_factory=dict)
    """Shape key by column 0 to 35 of HeadModel.pose_basis."""
    blink_keys: tuple[str | None, str | None] = (None, None)
    """Shape keys that shut the left and the right lids."""
    head_model: str = ""
    """Identity of the basis of the expression keys; empty where the file does not say."""
    report: RigReport = RigReport()

    @property
    def name(self) -> str:
        return (self.mesh or self.armature).name

    @property
    def shape_keys(self) -> bpy.types.Key | None:
        return self.mesh.data.shape_keys if self.mesh is not None else None

    @property
    def expressions(self) -> int:
        return len(self.expression_keys)

    @property
    def landmarks(self) -> dict[str, np.ndarray]:
        """Landmark indices that are stored with the mesh, or none."""
        text = self.mesh.data.get(LANDMARKS_PROPERTY) if self.mesh is not None else None
        return {name: np.asarray(values, int) for name, values in json.loads(text).items()} if text else {}
