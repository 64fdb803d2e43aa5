"""Characters that are linked from other files: what of them can be animated here, and how the rest is made so."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..errors import TalkingEyesError
from .head_rig import HeadRig

_OVERRIDE = "Make a library override of it (Object > Library Override > Make), or open its own file."


def fault_of(rig: HeadRig) -> TalkingEyesError | None:
    """Why no take can be written to a rig that is linked, or None where one can."""
    for obj in _objects(rig):
        if not obj.is_editable:
            return TalkingEyesError(f"'{obj.name}' is linked from another file and cannot be animated here.", _OVERRIDE)
    for mesh in _meshes(rig):
        keys = mesh.data.shape_keys
        if keys is not None and not keys.is_editable:
            return TalkingEyesError(
                f"The shape keys of '{mesh.name}' are still linked from another file.",
                "Use Override Shape Keys; Blender's library override of an object leaves them out.",
            )
    return None


def can_override_keys(rig: HeadRig) -> bool:
    """Whether the objects are local or overridden, and only shape keys are still linked."""
    return fault_of(rig) is not None and all(obj.is_editable for obj in _objects(rig))


def override_keys(rig: HeadRig) -> list[str]:
    """Override the meshes of a rig whose shape keys are still linked, and return these objects' names.

    Each object gets an override of its own, so that two overrides of one character speak for themselves.
    """
    names = []
    for mesh in _meshes(rig):
        keys = mesh.data.shape_keys
        if keys is None or keys.is_editable:
            continue
        if not mesh.is_editable:
            raise TalkingEyesError(f"'{mesh.name}' is linked from another file.", _OVERRIDE)
        data = mesh.data.override_create(remap_local_usages=False)
        if data is None:
            raise TalkingEyesError(
                f"Blender cannot override the mesh of '{mesh.name}'.",
                "Make the object local (Object > Relations > Make Local > Selected Objects and Data).",
            )
        data.override_library.is_system_override = False
        mesh.data = data
        names.append(mesh.name)
    return names


def _objects(rig: HeadRig) -> list[bpy.types.Object]:
    return list(dict.fromkeys((rig.armature, *_meshes(rig))))


def _meshes(rig: HeadRig) -> list[bpy.types.Object]:
    return [mesh for mesh in (rig.mesh, *(part.mesh for part in rig.more)) if mesh is not None]
