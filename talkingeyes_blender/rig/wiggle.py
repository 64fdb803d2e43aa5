"""Moving one part of a rig for a moment, to see that it is the right one, and putting it back."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..head.model import JOINTS
from .channels import bone_channels
from .find import face_meshes, find_rig
from .mapping_rows import holder, table
from .named import key_names, relatives

# Degrees that a part is turned by when it is tested: nod (+ opens, + down), then aside.
_TURNS = {"root": (0, 10), "neck": (12, 12), "jaw": (14, 0), "left_eye": (18, 22), "right_eye": (18, 22)}


class Wiggle:
    """A test of one part: ``at`` moves it, ``restore`` puts it back. Holds names only between its calls."""

    def __init__(self, obj: bpy.types.Object, part: str) -> None:
        now = table(obj)
        row = now.row(part)
        if row is None or not row.name:
            raise TalkingEyesError(f"The rig has nothing for '{part}'.", "Choose its bone or key first.")
        self.part, self.name, self.armature = part, row.name, now.armature
        self.amount = row.amount
        armature = holder(obj)
        if part in JOINTS:
            bone = armature.pose.bones[row.name]
            self.before = [(now.armature, bone.rotation_mode, list(_rotation(bone)))]
            self.turns = self._turns(obj, bone)
        else:
            meshes = face_meshes(armature) if armature.type == "ARMATURE" else relatives(armature)
            having = [mesh for mesh in meshes if row.name in key_names(mesh)]
            if not having:
                raise TalkingEyesError(f"No mesh has the shape key '{row.name}' any more.", "Choose another one.")
            self.before = [(mesh.name, "", mesh.data.shape_keys.key_blocks[row.name].value) for mesh in having]

    def at(self, phase: float) -> None:
        """Show the part at ``phase`` 0 to 1 of its test: rest, its one way, its other way, rest."""
        if self.part in JOINTS:
            bone = bpy.data.objects[self.armature].pose.bones[self.name]
            count = len(self.turns)
            _set_rotation(bone, self.turns[min(count - 1, max(0, round(phase * (count - 1))))])
            return
        value = self.amount * float(np.sin(np.pi * phase)) ** 2
        for name, _, _ in self.before:
            mesh = bpy.data.objects.get(name)
            if mesh is not None and self.name in key_names(mesh):
                mesh.data.shape_keys.key_blocks[self.name].value = value

    def restore(self) -> None:
        """Put the part back; what was deleted or renamed meanwhile is passed over."""
        for name, mode, value in self.before:
            obj = bpy.data.objects.get(name)
            if obj is None:
                continue
            if self.part in JOINTS:
                bone = obj.pose.bones.get(self.name)
                if bone is not None and bone.rotation_mode == mode:
                    _set_rotation(bone, value)
            elif obj.data.shape_keys is not None and self.name in obj.data.shape_keys.key_blocks:
                obj.data.shape_keys.key_blocks[self.name].value = value

    def _turns(self, obj: bpy.types.Object, bone: bpy.types.PoseBone) -> list[list[float]]:
        """Rotations through a test, in the bone's own mode."""
        try:
            rig = find_rig(obj)
        except TalkingEyesError as error:
            raise TalkingEyesError(f"This cannot be tested yet: {error.message}", error.hint) from error
        if self.part not in rig.bones:
            raise TalkingEyesError(f"'{self.name}' is ignored.", "Switch it on first.")
        nod, aside = np.radians(_TURNS[self.part])
        phase = np.linspace(0, 1, 49)
        wave = np.sin(2 * np.pi * phase)
        if aside and nod:
            # First down and up, then to its left and right.
            wave = np.sin(4 * np.pi * phase)
            vectors = np.stack([nod * wave * (phase < 0.5), aside * wave * (phase >= 0.5), 0 * phase], 1)
        else:
            vectors = np.stack([nod * np.abs(wave), aside * wave, 0 * phase], 1)
        channels = bone_channels(rig, self.part, vectors, np.arange(len(phase)))
        frames = np.arange(len(phase))
        return np.stack([np.interp(frames, c.frames, c.values) for c in channels], 1).tolist()


def movement(obj: bpy.types.Object, part: str) -> tuple[int, float]:
    """(how many vertices a part moves, by how much at most in the scene's units), and all is as before."""
    armature = holder(obj)
    meshes = face_meshes(armature) if armature.type == "ARMATURE" else relatives(armature)
    wiggle = Wiggle(obj, part)
    moved, most = 0, 0.0
    try:
        rest = [_points(mesh) for mesh in meshes]
        for phase in (0.125, 0.25, 0.5, 0.625):
            wiggle.at(phase)
            away = [np.linalg.norm(_points(mesh) - points, axis=1) for mesh, points in zip(meshes, rest, strict=True)]
            largest = max((float(a.max(initial=0.0)) for a in away), default=0.0)
            if largest > most:
                most, moved = largest, sum(int((a > 0.02 * largest).sum()) for a in away)
    finally:
        wiggle.restore()
        bpy.context.view_layer.update()
    return moved, most


def _points(mesh: bpy.types.Object) -> np.ndarray:
    bpy.context.view_layer.update()
    vertices = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.vertices
    values = np.empty(3 * len(vertices), np.float32)
    vertices.foreach_get("co", values)
    return values.reshape(-1, 3).astype(np.float64)


def _rotation(bone: bpy.types.PoseBone):
    if bone.rotation_mode == "QUATERNION":
        return bone.rotation_quaternion
    return bone.rotation_axis_angle if bone.rotation_mode == "AXIS_ANGLE" else bone.rotation_euler


def _set_rotation(bone: bpy.types.PoseBone, values: list[float]) -> None:
    rotation = _rotation(bone)
    for i, value in enumerate(values):
        rotation[i] = value
