"""What a Blender file holds, as one hash: to show that an operation that failed has changed nothing."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterator

import bpy
import numpy as np

_BULK = {
    ("Mesh", "vertices"): ("co", 3),
    ("Mesh", "loops"): ("vertex_index", 1),
    ("Mesh", "polygons"): ("loop_start", 1),
    ("ShapeKey", "data"): ("co", 3),
    ("FCurve", "keyframe_points"): ("co", 2),
}
"""Collections that are too long to be walked: which of their numbers stand for them."""
_LEFT_OUT = {
    *("rna_type", "original", "session_uid", "users", "is_updated", "is_updated_data", "is_evaluated", "tag"),
    *("use_nodes", "node_tree", "depsgraph", "preview"),
    "uv_sculpt",  # asking Blender 4.2 for it crashes
    *("points", "edges", "attributes", "color_attributes", "uv_layers", "normals"),
    *("loop_triangles", "loop_triangle_polygons", "corner_normals", "vertex_normals", "polygon_normals"),
}
"""What Blender keeps for itself, derives from the rest, or is too much and not ours."""


def scene_hash() -> str:
    """Return a hash of every data-block in the file, all properties, curves, strips and custom properties included."""
    if bpy.app.version < (5, 0, 0):
        collections.deque(describe(), 0)  # there, asking for settings of Cycles makes them, and so changes the file
    digest = hashlib.sha256()
    for line in describe():
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def describe() -> Iterator[str]:
    ours_not = {"all_ids", "window_managers", "screens", "workspaces", "brushes", "palettes", "texts", "libraries"}
    for collection in sorted(p.identifier for p in bpy.data.bl_rna.properties if p.type == "COLLECTION"):
        if collection in ours_not:
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
        value = struct[key]
        if isinstance(value, bpy.types.bpy_struct):
            yield f"{path}[{key!r}]"
        elif not hasattr(value, "to_dict"):
            yield f"{path}[{key!r}] = {_plain(value)}"
        elif len(value):  # asking for a group of settings makes an empty one
            yield f"{path}[{key!r}] = {value.to_dict()}"
    for prop in struct.bl_rna.properties:
        name = prop.identifier
        if name in _LEFT_OUT:
            continue
        value = getattr(struct, name)
        if prop.type == "POINTER":
            if isinstance(value, bpy.types.ID) and not value.is_embedded_data:
                yield f"{path}.{name} = {type(value).__name__} {value.name_full}"
            else:
                yield from _walk(value, f"{path}.{name}", above)
        elif prop.type == "COLLECTION":
            bulk = _BULK.get((type(struct).__name__, name))
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
