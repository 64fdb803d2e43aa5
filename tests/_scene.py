"""What a Blender file holds, as one hash: to show that an operation that failed has changed nothing."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
from collections.abc import Iterator

import bpy
import numpy as np

_PASSED_OVER = {"rna_type", "original", "session_uid", "users", "is_updated", "is_updated_data", "is_evaluated", "tag"}
_BULK = {
    ("Mesh", "vertices"): ("co", 3),
    ("Mesh", "loops"): ("vertex_index", 1),
    ("Mesh", "polygons"): ("loop_start", 1),
    ("ShapeKey", "data"): ("co", 3),
    ("FCurve", "keyframe_points"): ("co", 2),
}
"""Collections that are too long to be walked: which of their numbers stand for them."""
_LEFT_OUT = {"node_tree", "depsgraph", "points", "edges", "attributes", "color_attributes", "uv_layers", "loop_triangles", "corner_normals",
            "vertex_normals", "polygon_normals", "loop_triangle_polygons", "normals", "preview"}  # fmt: skip


def scene_hash() -> str:
    """Return a hash of every data-block in the file, all properties, curves, strips and custom properties included."""
    digest = hashlib.sha256()
    for line in describe():
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def describe() -> Iterator[str]:
    for collection in sorted(p.identifier for p in bpy.data.bl_rna.properties if p.type == "COLLECTION"):
        if collection in ("window_managers", "screens", "workspaces", "brushes", "palettes", "texts", "libraries"):
            continue
        for block in getattr(bpy.data, collection):
            yield from _walk(block, f"{collection}[{block.name_full}]", frozenset())


def _walk(struct: bpy.types.bpy_struct | None, path: str, above: frozenset[tuple[int, type]]) -> Iterator[str]:
    if struct is None:
        yield f"{path} = None"
        return
    if (struct.as_pointer(), type(struct)) in above or len(above) > 12:
        return
    above = above | {(struct.as_pointer(), type(struct))}
    for key in sorted(struct.keys()) if isinstance(struct, bpy.types.ID | bpy.types.Bone | bpy.types.PoseBone) else ():
        yield f"{path}[{key!r}] = {struct[key]!r}" if not hasattr(struct[key], "as_pointer") else f"{path}[{key!r}]"
    for prop in struct.bl_rna.properties:
        name = prop.identifier
        if name in _PASSED_OVER or name in _LEFT_OUT:
            continue
        value = getattr(struct, name)
        if prop.type == "POINTER":
            if value is None or isinstance(value, bpy.types.ID) and not value.is_embedded_data:
                kind = type(value).__name__
                if kind == "Key" or value is None:
                    yield f"{path}.{name} = {kind}"
                else:
                    yield f"{path}.{name} = {kind} {value.name_full}"
            else:
                yield from _walk(value, f"{path}.{name}", above)
        elif prop.type == "COLLECTION":
            bulk = next((b for (kind, n), b in _BULK.items() if n == name and isinstance(struct, getattr(bpy.types, kind))), None)
            if bulk is not None:
                numbers = np.empty(len(value) * bulk[1], np.float32 if bulk[1] > 1 else np.int32)
                value.foreach_get(bulk[0], numbers)
                yield f"{path}.{name} = {len(value)} {hashlib.sha256(numbers.tobytes()).hexdigest()}"
                continue
            yield f"{path}.{name} has {len(value)}"
            for i, item in enumerate(value):
                if isinstance(item, bpy.types.ID):
                    yield f"{path}.{name}[{i}] = {item.name_full}"
                else:
                    yield from _walk(item, f"{path}.{name}[{i}]", above)
        else:
            yield f"{path}.{name} = {_plain(value)}"


def _plain(value: object) -> str:
    if hasattr(value, "__iter__") and not isinstance(value, str | bytes):
        return repr([_plain(item) for item in value] if not isinstance(value, set) else sorted(value))
    return repr(value)
