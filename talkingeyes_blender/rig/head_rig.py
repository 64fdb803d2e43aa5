"""HeadRig: where the parts of a head are in the Blender file, found once and handed to whoever writes to them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import enum
import json

import bpy
import numpy as np

HEAD_MODEL_PROPERTY = "talkingeyes_head_model"
"""On the mesh and the armature object: identity of the basis that the expression keys belong to."""
JOINTS_PROPERTY = "talkingeyes_joints"
"""On the armature's data: the joints' places in FLAME's frame when the rig was built, 15 metres."""
LANDMARKS_PROPERTY = "talkingeyes_landmarks"
"""On the mesh's data: JSON, vertex indices by landmark name as in HeadModel.landmarks."""
REGRESSOR_PROPERTY = "talkingeyes_joint_regressor"
"""On the mesh's data: JSON, for each joint [vertex indices, weights], whose weighted sum is where the joint lies."""
IDENTITY_PROPERTY = "talkingeyes_identity"
"""On the mesh's data: JSON, values of the identity keys for which the joints were placed."""
LIDS_PROPERTY = "talkingeyes_lids"
"""On the mesh's data: JSON, names of the lid keys that we made from the mesh's geometry and may make anew."""
MAP_PROPERTY = "talkingeyes_map"
"""On the armature object: JSON, bones and shape keys that the user chose where names do not tell (see mapping)."""
BLINK_PROPERTY = "talkingeyes_blink_by_expressions"
"""On the mesh object: true to shut the lids by a sum of expressions although there are lid keys."""
LIDS_FOLLOW_PROPERTY = "talkingeyes_lids_follow"
"""On the armature object: how far the lids follow the gaze, 0 not to 1 wholly."""
LAYER_CONSTRAINT = "TalkingEyes "
"""How the names of constraints that we put on a rig's bones begin."""

FLAME_TO_BLENDER = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""From FLAME's frame (Y-up, out of the face is +Z) to the frame of rigs that we build (Z-up, facing -Y)."""


WORDS = {
    "root": "root bone",
    "neck": "neck bone",
    "jaw": "jaw bone",
    "left_eye": "left eye bone",
    "right_eye": "right eye bone",
    "expressions": "expression keys",
    "pose correctives": "pose correctives",
    "lids": "lid keys",
    "identity": "identity keys",
    "head model": "name of the head model",
}
"""What a user reads for the parts of a report; others are called as they are."""


class Family(enum.Enum):
    """Which tool made a rig, as far as names and mesh tell. The value is what a user reads."""

    OURS = "rig of TalkingEyes"
    MPI = "FLAME add-on's rig"
    SMPLX = "SMPL-X or SUPR rig"
    ARKIT = "face with ARKit's keys"
    VISEMES = "face with visemes"
    FLAME_MESH = "FLAME mesh on an armature of its own"
    BARE = "FLAME mesh without a rig"
    OTHER = "rig of another kind"


@dataclasses.dataclass(frozen=True)
class Found:
    """A part of the head and what it is in the file."""

    part: str
    """'armature', 'mesh', 'jaw', 'left_eye', ..., 'expressions', 'lids', ...: see WORDS."""
    name: str

    def __str__(self) -> str:
        return f"{WORDS.get(self.part, self.part)}: {self.name}"


@dataclasses.dataclass(frozen=True)
class Guess(Found):
    """A part that is likely, but not surely, what its name or place says."""

    reason: str

    def __str__(self) -> str:
        return f"{super().__str__()} ({self.reason})"


@dataclasses.dataclass(frozen=True)
class Missing:
    """A part that the head lacks, what is lost with it, and how to get it."""

    part: str
    loss: str = ""
    mend: str = ""

    def __str__(self) -> str:
        return WORDS.get(self.part, self.part)

    @property
    def sentence(self) -> str:
        return f"{self.loss} {self.mend}".strip()


@dataclasses.dataclass(frozen=True)
class RigReport:
    """What the search for a rig's parts came to."""

    family: Family = Family.OTHER
    found: tuple[Found, ...] = ()
    guessed: tuple[Guess, ...] = ()
    missing: tuple[Missing, ...] = ()
    ignored: tuple[Found, ...] = ()
    """What is there and left alone: by the user's choice, or since something else moves the same."""
    obstacles: tuple[str, ...] = ()
    """Sentences: what in the file keeps a part from moving as it should, and what to do about it."""
    fault: str = ""
    """One sentence that says why this is no rig that can be written to; empty for one that is."""
    mend: str = ""
    """What to do about ``fault``."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences: what will not move or may be wrong, and what to do about it."""
        return (*(gap.sentence for gap in self.missing if gap.loss), *self.obstacles)

    def lacks(self, part: str) -> bool:
        return any(gap.part == part for gap in self.missing)


@dataclasses.dataclass(frozen=True, eq=False)
class FaceMesh:
    """A further mesh of a face: its teeth, its lashes."""

    mesh: bpy.types.Object
    keys: dict[str, str]
    """Shape key by part (vocabulary.PARTS)."""


@dataclasses.dataclass(frozen=True, eq=False)
class HeadRig:
    """An armature, a mesh and the names of what moves on them.

    Holds references into Blender's data, which undo and file loading void: find it anew for each operation.
    """

    armature: bpy.types.Object
    """The armature; the mesh itself where a face has shape keys only, and nothing that could turn."""
    mesh: bpy.types.Object | None
    """The mesh with the face's shape keys; None where the armature deforms none."""
    bones: dict[str, str]
    """Bone by joint name (head.model.JOINTS); joints that the rig lacks are absent. 'jaw' is there on
    each rig without a vocabulary."""
    frame: np.ndarray
    """(3, 3) rotation from FLAME's frame to the armature's."""
    expression_keys: tuple[str | None, ...] = ()
    """Shape key of each expression coefficient; None where a number is missing from the row."""
    pose_keys: dict[int, str] = dataclasses.field(default_factory=dict)
    """Shape key by column 0 to 35 of HeadModel.pose_basis."""
    blink_keys: tuple[str | None, str | None] = (None, None)
    """Shape keys that shut the left and the right lids."""
    identity_keys: dict[int, str] = dataclasses.field(default_factory=dict)
    """Shape key by the number in its name, of the keys that say whose face it is."""
    head_model: str = ""
    """Identity of the basis of the expression keys; empty where the file does not say."""
    vocabulary: str = ""
    """'arkit' or 'visemes' on a face whose keys have names that mean something: its expression keys then stand for the
    stand-in's expressions, and ``named_keys`` for the rest."""
    named_keys: dict[str, str] = dataclasses.field(default_factory=dict)
    """Shape key on ``mesh`` by part: ARKit's jawOpen and eyeLook..., or viseme_aa, ..."""
    more: tuple[FaceMesh, ...] = ()
    """Further meshes of the same face with named keys: teeth, tongue, lashes."""
    axes: dict[str, str] = dataclasses.field(default_factory=dict)
    """Chosen axes by joint (mapping.RigMap)."""
    amounts: dict[str, float] = dataclasses.field(default_factory=dict)
    """Chosen factors by joint or part (mapping.RigMap)."""
    report: RigReport = RigReport()

    @property
    def every_named_keys(self) -> list[dict[str, str]]:
        """The named keys of the face's mesh, then of its further ones."""
        return [self.named_keys, *(part.keys for part in self.more)]

    @property
    def has_bones(self) -> bool:
        return self.armature.type == "ARMATURE"

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
