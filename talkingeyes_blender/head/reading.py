"""Reading a head model from a FLAME file (.pkl or .npz) or from one of ours, checked to the last number."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import logging
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TalkingEyesError
from . import flame
from .landmarks import COUNT
from .model import JAW, JOINTS, LEFT_EYE, NECK, PARENTS, RIGHT_EYE, HeadModel, Material, basis_identity
from .unpickling import array_from, load_pickle

log = logging.getLogger(__name__)

_HINT = "Choose a FLAME model (.pkl or .npz) as its publisher offers it."
_LARGEST = 4 * 2**30
_FLAME_EXPRESSIONS = 100
_ROUNDING = 1e-6


def read_head(path: str | os.PathLike) -> HeadModel:
    """Read a head model; what the file is is told by its content, not by its name.

    Understood: FLAME 2019, 2020, 2023 and 2023 Open as pickles (chumpy and scipy are not needed), the same keys as an
    npz, and an npz with our further keys (docs of ``HeadModel``). Raises TalkingEyesError, in one sentence, for
    anything else. The columns of ``shapedirs`` are identity first, expression last; how many are expressions is said
    by ``shape_count`` (ours) or ``supr_expression_metadata`` (FLAME 2023 Open), else they are the last 100 of 400 or
    more, as in every FLAME release; with fewer columns the file must say. A file without ``shapedirs`` has no shapes.
    """
    path = Path(path)
    values = _values(path)
    try:
        head = _head(values, path.stem)
        return dataclasses.replace(head, warnings=_warnings(head, path.stem))
    except TalkingEyesError as error:
        raise TalkingEyesError(f"{path.name}: {error.message}", error.hint) from error


# ---------------------------------------------------------------------------------------------- the file


def _values(path: Path) -> dict[str, Any]:
    """The top level of the file: names to arrays, or to what ``array_from`` makes arrays of."""
    try:
        with open(path, "rb") as stream:
            start = stream.read(200)
            stream.seek(0)
            if not start:
                raise TalkingEyesError(f"{path.name} is empty.", "Download it again.")
            _refuse_others(path, start)
            values = _npz_values(path) if start[:2] == b"PK" else load_pickle(stream)
    except TalkingEyesError as error:
        if path.name in error.message:
            raise
        raise TalkingEyesError(f"{path.name}: {error.message}", error.hint) from error
    except OSError as error:
        raise TalkingEyesError(f"{path} could not be read ({error.strerror or error}).", _HINT) from error
    except (ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        log.debug("%s is not a head model", path, exc_info=True)
        raise TalkingEyesError(f"{path.name} is neither a pickle nor an npz, or it is damaged.", _HINT) from error
    if not isinstance(values, dict):
        kind = type(values).__name__.strip("_")
        raise TalkingEyesError(f"{path.name} holds one value of the type '{kind}', not a head model.", _HINT)
    return values


def _refuse_others(path: Path, start: bytes) -> None:
    """Say it by its name where a file begins like one that users choose by mistake."""
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    kinds = (
        (text.startswith((b"<!doctype", b"<html", b"<?xml")), "a web page", "Log in on the publisher's page and "
         "download the model again."),
        (text.startswith(b"version https://git-lfs"), "a Git LFS pointer", "Fetch the file with 'git lfs pull'."),
        (start[:2] == b"\x1f\x8b" or start[:4] == b"7z\xbc\xaf" or start[:4] == b"Rar!", "a packed archive",
         "Unpack it and choose the model that is in it."),
        (text.startswith((b"ply", b"solid ", b"v ", b"# ", b"o ", b"mtllib")) or start[:4] == b"glTF"
         or start[:18] == b"Kaydara FBX Binary", "a mesh without FLAME's bases",
         "Import it into Blender, select it and choose it as the head; a FLAME model (.pkl or .npz) is another file."),
        (text.startswith(b"blender"), "a Blender file", "Open or append it, then choose its head in the panel."),
    )  # fmt: skip
    for found, kind, hint in kinds:
        if found:
            raise TalkingEyesError(f"{path.name} is {kind}, not a head model.", hint)


def _npz_values(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name.endswith("data.pkl") for name in names):
            raise TalkingEyesError(f"{path.name} is a PyTorch file, not a head model.", _HINT)
        if not any(name.endswith(".npy") for name in names):
            inside = [name for name in names if name.endswith((".pkl", ".npz"))]
            held = f"choose '{inside[0]}' out of it" if inside else "choose the model that is in it"
            raise TalkingEyesError(f"{path.name} is a zip archive, not a head model.", f"Unpack it and {held}.")
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                continue
            if member.file_size > _LARGEST:
                raise TalkingEyesError(f"The array '{member.filename}' would take {member.file_size >> 30} GB.", _HINT)
            with archive.open(member) as stream:
                values[member.filename[: -len(".npy")]] = _npy_value(stream, member.file_size)
    return values


def _npy_value(stream: Any, size: int) -> Any:
    version = np.lib.format.read_magic(stream)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if header is None:
        raise ValueError(f"npy version {version}")
    shape, fortran, dtype = header(stream)
    if dtype.hasobject:
        # numpy stores such an array as a pickle; it goes through the same list of what is allowed.
        objects = array_from(load_pickle(stream))
        return objects.item() if objects.size == 1 else objects
    count = int(np.prod(shape, dtype=np.int64))
    if not 0 <= count * dtype.itemsize <= size:
        raise ValueError("an array's content does not fit its shape")
    content = stream.read(count * dtype.itemsize)
    return np.frombuffer(content, dtype, count).reshape(shape, order="F" if fortran else "C")


# ---------------------------------------------------------------------------------------------- the model


def _head(values: dict[str, Any], name: str) -> HeadModel:
    vertices = _numbers(values, "v_template", (None, 3))
    count = len(vertices)
    if not count:
        raise TalkingEyesError("The head model has no vertices.", _HINT)
    extent = np.ptp(vertices, axis=0).max()
    if not 0.05 < extent < 2:
        raise TalkingEyesError(f"The head is {extent:.3g} units large; units are metres.", "Scale the model to metres.")
    faces = _faces(values, count)
    _check_tree(values)
    weights = _numbers(values, "weights", (count, len(JOINTS)))
    sums = weights.sum(1, keepdims=True)
    if weights.min() < -1e-6 or np.abs(sums - 1).max() > 1e-2:
        raise TalkingEyesError("The skin weights are not shares that add up to 1.", _HINT)
    shapes, expressions = _bases(values, count)
    landmarks = _landmarks(values, count)
    file_name = _text(values, "name")
    head = HeadModel(
        name=file_name or name,
        vertices=vertices,
        faces=faces,
        shape_basis=shapes,
        expression_basis=expressions,
        pose_basis=_correctives(values, count),
        weights=np.maximum(weights, 0) / np.maximum(weights, 0).sum(1, keepdims=True),
        joint_regressor=_numbers(values, "J_regressor", (len(JOINTS), count)),
        identity=_text(values, "identity") or basis_identity(expressions),
        expression_names=_names(values, "expression_names", expressions.shape[2]),
        shape_names=_names(values, "shape_names", shapes.shape[2]),
        landmarks=landmarks,
        lids=_optional(values, "lids", (count, 3, 2), np.float32),
        lid_follow=_optional(values, "lid_follow", (count, 3, 2), np.float32),
        vertex_tint=_optional(values, "vertex_tint", (count, 3), np.float32),
        **_materials(values, len(faces)),
    )
    _check_joints(head)
    if "face" in landmarks:
        return head
    if not flame.has_topology(head):
        raise TalkingEyesError(
            f"The mesh of {count} vertices is not FLAME's, and the file does not name its landmarks.",
            "Add 'landmark_face' (51 vertex indices, iBUG points 17 to 67) and 'landmark_pupils' (left, right).",
        )
    return flame.completed(head)


def _faces(values: dict[str, Any], count: int) -> np.ndarray:
    key = "faces" if "faces" in values else "f"
    faces = _numbers(values, key, (None, None), np.int64)
    if faces.shape[1] not in (3, 4) or not len(faces):
        raise TalkingEyesError(f"'{key}' has the shape {faces.shape}; faces are triangles or quads.", _HINT)
    if faces.shape[1] == 3:
        faces = np.concatenate([faces, np.full((len(faces), 1), -1)], 1)
    if faces[:, :3].min() < 0 or faces[:, 3].min() < -1 or faces.max() >= count:
        raise TalkingEyesError(f"'{key}' names vertices that the head does not have.", _HINT)
    return faces.astype(np.int32)


def _check_tree(values: dict[str, Any]) -> None:
    tree = _numbers(values, "kintree_table", (2, None), np.int64)
    if tree.shape[1] != len(JOINTS):
        raise TalkingEyesError(
            f"The model has {tree.shape[1]} joints; a FLAME head has {len(JOINTS)} ({', '.join(JOINTS)}).",
            "Bodies (SMPL, SMPL-X) have another mesh; take FLAME itself." if tree.shape[1] > len(JOINTS) else _HINT,
        )
    # The root's parent is -1, written as an unsigned number in FLAME's own files.
    if tuple(tree[0, 1:]) != PARENTS[1:] or tuple(tree[1]) != tuple(range(len(JOINTS))):
        raise TalkingEyesError("The joints hang together otherwise than FLAME's.", _HINT)


def _check_joints(head: HeadModel) -> None:
    low, high = head.vertices.min(0), head.vertices.max(0)
    margin = 0.25 * (high - low).max()
    if ((head.joints < low - margin) | (head.joints > high + margin)).any() or np.ptp(head.joints, axis=0).max() < 1e-3:
        raise TalkingEyesError("'J_regressor' puts the joints out of their places in the head.", _HINT)
    left, right, neck = (head.joints[joint] for joint in (LEFT_EYE, RIGHT_EYE, NECK))
    if left[0] <= right[0] or min(left[1], right[1]) <= neck[1] or min(left[2], right[2]) <= neck[2]:
        raise TalkingEyesError(
            "The head is mirrored, or its axes are not FLAME's.",
            "Turn it so that +X is the subject's left, +Y up and +Z out of the face.",
        )


def _warnings(head: HeadModel, stem: str) -> tuple[str, ...]:
    """What a user has to know of a head that can be read, but will not do all."""
    found = []
    if head.weights[:, JAW].max() < 0.5:
        found.append("No vertex follows the jaw, so the mouth will not open by it; choose the model with a jaw.")
    elif re.search(r"no_?jaw", stem, re.IGNORECASE):
        found.append(
            "This model's name says that its expressions open the mouth without the jaw; here the jaw is turned, so "
            "take the model with a jaw where the mouth looks wrong."
        )
    if not head.expression_basis.any():
        found.append(
            "The file has no expressions: jaw, head, eyes and lids will move, the lips will not shape sounds; choose a "
            "model with 'shapedirs'."
        )
    if not head.pose_basis.any():
        found.append("The file has no pose correctives: an open jaw may look pinched at the corners of the mouth.")
    return tuple(found)


def _bases(values: dict[str, Any], count: int) -> tuple[np.ndarray, np.ndarray]:
    if "shapedirs" not in values:
        return np.zeros((count, 3, 0), np.float32), np.zeros((count, 3, 0), np.float32)
    both = _numbers(values, "shapedirs", (count, 3, None), np.float32)
    columns = both.shape[2]
    metadata = values.get("supr_expression_metadata")
    if "shape_count" in values:
        shapes = int(_numbers(values, "shape_count", (), np.int64))
    elif isinstance(metadata, dict) and isinstance(metadata.get("n_expr"), int):
        shapes = columns - metadata["n_expr"]
    elif columns >= 4 * _FLAME_EXPRESSIONS:
        shapes = columns - _FLAME_EXPRESSIONS
    else:
        # 150 columns may be 50 + 100 or 100 + 50: a guess here would turn faces into other people's.
        raise TalkingEyesError(
            f"'shapedirs' has {columns} columns, and the file does not say how many of them are identity shapes.",
            "Use the whole model (300 + 100 columns), or add the number of identity shapes as 'shape_count'.",
        )
    if not 0 <= shapes <= columns:
        raise TalkingEyesError(
            f"The file counts {shapes} identity shapes among {columns} columns of 'shapedirs'.", _HINT
        )
    return np.ascontiguousarray(both[:, :, :shapes]), np.ascontiguousarray(both[:, :, shapes:])


def _correctives(values: dict[str, Any], count: int) -> np.ndarray:
    basis = _numbers(values, "posedirs", (count, 3, 9 * (len(JOINTS) - 1)), np.float32)
    # FLAME's eyes have no correctives but rounding, 0.2 micrometres of it; a rig need not carry keys for that.
    basis[:, :, np.abs(basis).max((0, 1)) < _ROUNDING] = 0
    return basis


def _landmarks(values: dict[str, Any], count: int) -> dict[str, np.ndarray]:
    lengths = {"face": COUNT, "pupils": 2}
    landmarks = {}
    for key in values:
        if not str(key).startswith("landmark_"):
            continue
        name = key.removeprefix("landmark_")
        indices = _numbers(values, key, (lengths.get(name),), np.int64)
        if len(indices) and not 0 <= indices.min() <= indices.max() < count:
            raise TalkingEyesError(f"'{key}' names vertices that the head does not have.", _HINT)
        landmarks[name] = indices
    return landmarks


def _materials(values: dict[str, Any], faces: int) -> dict[str, Any]:
    if "face_material" not in values:
        return {}
    names = _strings(values, "material_names")
    count = len(names)
    colors = _numbers(values, "material_colors", (count, 3))
    numbers = {
        field: _optional(values, f"material_{field}", (count,)) for field in ("roughness", "subsurface", "emission")
    }
    of_face = _numbers(values, "face_material", (faces,), np.int32)
    if of_face.min() < 0 or of_face.max() >= count:
        raise TalkingEyesError("'face_material' names materials that the file does not hold.", _HINT)
    materials = tuple(
        Material(
            names[i], tuple(map(float, colors[i])), **{k: float(v[i]) for k, v in numbers.items() if v is not None}
        )
        for i in range(count)
    )
    return {"face_material": of_face, "materials": materials}


# ---------------------------------------------------------------------------------------------- single values


def _numbers(values: dict[str, Any], key: str, shape: tuple[int | None, ...], dtype: type = np.float64) -> np.ndarray:
    """The array at ``key``, finite, of ``shape`` (None: any length) and cast; else TalkingEyesError."""
    if key not in values:
        raise TalkingEyesError(f"The key '{key}' is missing.", _HINT)
    try:
        array = array_from(values[key])
    except ValueError as error:
        raise TalkingEyesError(f"'{key}' is damaged: {error}.", _HINT) from error
    if array.dtype.kind not in "biuf":
        raise TalkingEyesError(f"'{key}' does not hold numbers.", _HINT)
    if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise TalkingEyesError(f"'{key}' has the shape {array.shape}, not ({wanted}).", _HINT)
    if array.dtype.kind == "f" and np.issubdtype(dtype, np.integer) and not (array == np.floor(array)).all():
        raise TalkingEyesError(f"'{key}' does not hold whole numbers.", _HINT)
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and np.isfinite(cast).all()):
        raise TalkingEyesError(f"'{key}' holds values that are not numbers.", _HINT)
    return cast.copy(order="C") if not cast.flags.c_contiguous else cast


def _optional(
    values: dict[str, Any], key: str, shape: tuple[int | None, ...], dtype: type = np.float64
) -> np.ndarray | None:
    return _numbers(values, key, shape, dtype) if key in values else None


def _strings(values: dict[str, Any], key: str) -> tuple[str, ...]:
    if key not in values:
        raise TalkingEyesError(f"The key '{key}' is missing.", _HINT)
    array = array_from(values[key])
    if array.ndim != 1 or (array.size and array.dtype.kind not in "SU"):
        raise TalkingEyesError(f"'{key}' is not a list of names.", _HINT)
    return tuple(array.astype(str).tolist())


def _names(values: dict[str, Any], key: str, count: int) -> tuple[str, ...]:
    names = _strings(values, key) if key in values else ()
    if names and len(names) != count:
        raise TalkingEyesError(f"'{key}' holds {len(names)} names for {count} shapes.", _HINT)
    return names


def _text(values: dict[str, Any], key: str) -> str:
    value = values.get(key, "")
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "SU":
        value = value.astype(str).item()
    if not isinstance(value, str):
        raise TalkingEyesError(f"'{key}' is not a text.", _HINT)
    return value
