"""Head files: FLAME's in all their forms, ours, and everything that is neither; hostile pickles run nothing."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pickle
import pickletools
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _heads import flame_values, foreign_classes, own_extras, tiny_head, write_flame_pickle, write_head

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head.model import HeadModel, basis_identity
from talkingeyes_blender.head.reading import read_head
from talkingeyes_blender.head.skinning import pose_vertices
from talkingeyes_blender.head.unpickling import Refused, array_from, load_pickle

ARRAYS = ("vertices", "shape_basis", "expression_basis", "pose_basis", "weights", "joint_regressor")


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return tiny_head()


def assert_same(read: HeadModel, head: HeadModel, atol: float = 1e-6) -> None:
    for name in ARRAYS:
        assert np.allclose(getattr(read, name), getattr(head, name), atol=atol), name
    assert read.vertices.dtype == read.weights.dtype == np.float64 and read.expression_basis.dtype == np.float32
    pose = np.full((5, 3), 0.2)
    assert np.allclose(pose_vertices(read, pose=pose), pose_vertices(head, pose=pose), atol=10 * atol)


# ---------------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("protocol", range(6))
def test_a_flame_pickle_of_2020_in_every_protocol(tmp_path: Path, head: HeadModel, protocol: int) -> None:
    read = read_head(write_flame_pickle(tmp_path / "generic_model.pkl", head, protocol=protocol))
    assert_same(read, head)
    assert read.name == "generic_model" and read.identity == head.identity and read.expressions == 8


def test_a_pickle_of_plain_arrays(tmp_path: Path, head: HeadModel) -> None:
    assert_same(read_head(write_flame_pickle(tmp_path / "a.pkl", head, chumpy=False, sparse=False)), head)


def as_python_2(values: Any) -> bytes:
    """A protocol-2 pickle with byte strings where Python 2 wrote them: for all strings and for arrays' contents."""

    class Pickler(pickle._Pickler):
        dispatch = dict(pickle._Pickler.dispatch)

        def save_text(self, text: str | bytes) -> None:
            raw = text.encode("latin1") if isinstance(text, str) else text
            self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
            self.memoize(text)

        dispatch[str] = dispatch[bytes] = save_text

    import io

    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(values)
    return stream.getvalue()


def test_a_pickle_as_python_2_wrote_it(tmp_path: Path, head: HeadModel) -> None:
    path = tmp_path / "generic_model.pkl"
    values = {**flame_values(head), **own_extras(head)}
    with foreign_classes() as classes:
        values["shapedirs"] = classes["Ch"](x=values["shapedirs"])
        values["J_regressor"] = classes["csc_matrix"](values["J_regressor"])
        path.write_bytes(as_python_2(values).replace(b"numpy._core", b"numpy.core"))
    content = path.read_bytes()
    assert b"_codecs" not in content and b"cchumpy.ch\nCh" in content and b"cscipy.sparse.csc\ncsc_matrix" in content
    assert_same(read_head(path), head)


def without_frames(content: bytes) -> bytes:
    frames = [position for code, _, position in pickletools.genops(content) if code.name == "FRAME"]
    for position in reversed(frames):
        content = content[:position] + content[position + 9 :]
    return content


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("protocol", [2, 5])
def test_pickles_of_numpy_1_and_of_numpy_2(tmp_path: Path, head: HeadModel, protocol: int, new: bool) -> None:
    path = write_flame_pickle(tmp_path / "a.pkl", head, chumpy=False, sparse=False, protocol=protocol)
    content = without_frames(path.read_bytes())
    assert b"numpy" in content
    for module in (b"multiarray", b"numeric"):
        old_name, new_name = b"numpy.core." + module, b"numpy._core." + module
        wrong, right = (old_name, new_name) if new else (new_name, old_name)
        content = content.replace(b"c" + wrong + b"\n", b"c" + right + b"\n")
        content = content.replace(bytes([len(wrong)]) + wrong, bytes([len(right)]) + right)
    assert (b"numpy._core" in content) is new
    path.write_bytes(content)
    assert_same(read_head(path), head)


def test_a_chumpy_selection(tmp_path: Path, head: HeadModel) -> None:
    values = {**flame_values(head), **own_extras(head)}
    wide = np.concatenate([values["shapedirs"], np.ones((*head.vertices.shape, 3))], 2)
    picked = np.arange(wide.size).reshape(wide.shape)[:, :, : values["shapedirs"].shape[2]]
    with foreign_classes() as classes:
        for shape in (values["shapedirs"].shape, None):
            selection = classes["Select"](a=classes["Ch"](x=wide), idxs=picked.ravel(), preferred_shape=shape)
            values["shapedirs"] = selection
            (tmp_path / f"{shape is None}.pkl").write_bytes(pickle.dumps(values, protocol=2))
    assert_same(read_head(tmp_path / "False.pkl"), head)
    with pytest.raises(TalkingEyesError, match="'shapedirs' has the shape"):
        read_head(tmp_path / "True.pkl")


@pytest.mark.parametrize("kind", ["csc_matrix", "csr_matrix", "coo_matrix"])
def test_sparse_matrices(kind: str) -> None:
    dense = np.random.default_rng(0).normal(0, 1, (5, 40)) * (np.random.default_rng(1).random((5, 40)) < 0.2)
    with foreign_classes() as classes:
        content = pickle.dumps(classes[kind](dense))
    assert np.array_equal(array_from(load_pickle(content)), dense)


@pytest.mark.parametrize("kind", ["csc", "csr", "coo"])
@pytest.mark.parametrize("array", [False, True])
def test_sparse_matrices_of_the_real_scipy(kind: str, array: bool) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.arange(35.0).reshape(5, 7) * (np.arange(35).reshape(5, 7) % 3 == 0)
    matrix = getattr(sparse, f"{kind}_{'array' if array else 'matrix'}")(dense)
    assert np.array_equal(array_from(load_pickle(pickle.dumps(matrix))), dense)


def test_numbers_of_all_kinds_come_back() -> None:
    values = {
        "float16": np.arange(4, dtype=np.float16), "big": np.arange(4, dtype=">f8"), "bool": np.array([True, False]),
        "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)), "scalar": np.float32(1.5),
        "text": np.array(["ab", "c"]), "empty": np.zeros((0, 3)), "zero": np.array(7), "list": [1, 2.5],
        "objects": np.array([1, "a", None], object),
    }  # fmt: skip
    for protocol in range(6):
        read = load_pickle(pickle.dumps(values, protocol=protocol))
        for name, value in values.items():
            assert np.array_equal(array_from(read[name]), np.asarray(value)), (name, protocol)
    assert array_from(read["big"]).dtype == ">f8"


def test_an_npz_of_flames_keys(tmp_path: Path, head: HeadModel) -> None:
    path = tmp_path / "flame.npz"
    np.savez_compressed(path, **flame_values(head), **own_extras(head))
    assert_same(read_head(path), head)


def test_an_npz_is_known_by_its_content(tmp_path: Path, head: HeadModel) -> None:
    (tmp_path / "a.npz").rename(write_head(tmp_path / "a.npz", head).with_suffix(".pkl"))
    assert_same(read_head(tmp_path / "a.pkl"), head)
    write_flame_pickle(tmp_path / "b.npz", head)
    assert_same(read_head(tmp_path / "b.npz"), head)


def test_objects_in_an_npz_go_through_the_same_list(tmp_path: Path, head: HeadModel) -> None:
    values: dict = {**flame_values(head), **own_extras(head)}
    with foreign_classes() as classes:
        for key, thing in (("J_regressor", classes["csc_matrix"](values["J_regressor"])),
                           ("shapedirs", classes["Ch"](x=values["shapedirs"]))):  # fmt: skip
            values[key] = np.empty((), object)
            values[key][()] = thing
        np.savez(tmp_path / "a.npz", **values)
    assert_same(read_head(tmp_path / "a.npz"), head)


def test_our_own_keys(tmp_path: Path, head: HeadModel) -> None:
    tint = np.linspace(0.5, 1, 3 * len(head.vertices)).reshape(-1, 3)
    path = write_head(
        tmp_path / "own.npz",
        head,
        vertex_tint=tint,
        identity=np.array("ours-1"),
        expression_names=np.array([f"e{i}" for i in range(8)]),
        shape_names=np.array(["a", "b", "c"]),
        expression_basis=None,
        shapedirs=np.concatenate([head.shape_basis, head.expression_basis], 2).astype(np.float16),
    )
    read = read_head(path)
    assert_same(read, head, atol=1e-5)
    assert (read.name, read.identity) == ("tiny", "ours-1")
    assert read.expression_names[2] == "e2" and read.shape_names == ("a", "b", "c")
    assert np.array_equal(read.faces, head.faces) and read.faces.dtype == np.int32
    assert {k: v.tolist() for k, v in read.landmarks.items()} == {k: v.tolist() for k, v in head.landmarks.items()}
    assert np.array_equal(read.lids, head.lids) and np.array_equal(read.lid_follow, head.lid_follow)
    assert read.materials == head.materials and np.array_equal(read.face_material, head.face_material)
    assert np.allclose(read.vertex_tint, tint)


def test_the_identity_is_a_hash_of_the_expressions(tmp_path: Path, head: HeadModel) -> None:
    values = {**flame_values(head), **own_extras(head)}
    np.savez(tmp_path / "a.npz", **values)
    shapedirs = values["shapedirs"].copy()
    shapedirs[:, :, 0] *= 2
    np.savez(tmp_path / "b.npz", **{**values, "shapedirs": shapedirs})
    shapedirs = values["shapedirs"].copy()
    shapedirs[:, :, -1] *= 2
    np.savez(tmp_path / "c.npz", **{**values, "shapedirs": shapedirs})
    a, b, c = (read_head(tmp_path / f"{name}.npz").identity for name in "abc")
    assert a == b == basis_identity(head.expression_basis) and a != c


# ---------------------------------------------------------------------------------------------- identity, expression


def wide(head: HeadModel, columns: int) -> dict[str, np.ndarray]:
    values = {**flame_values(head), **own_extras(head)}
    del values["shape_count"]
    rng = np.random.default_rng(0)
    return {**values, "shapedirs": rng.normal(0, 1e-3, (len(head.vertices), 3, columns)).astype(np.float32)}


def test_400_columns_are_300_and_100(tmp_path: Path, head: HeadModel) -> None:
    values = wide(head, 400)
    np.savez(tmp_path / "a.npz", **values)
    read = read_head(tmp_path / "a.npz")
    assert read.shape_basis.shape[2] == 300 and read.expressions == 100
    assert np.array_equal(read.expression_basis, values["shapedirs"][:, :, 300:])


def test_fewer_columns_must_say_what_they_are(tmp_path: Path, head: HeadModel) -> None:
    values = wide(head, 150)
    np.savez(tmp_path / "a.npz", **values)
    with pytest.raises(TalkingEyesError, match="150 columns") as caught:
        read_head(tmp_path / "a.npz")
    assert "shape_count" in caught.value.hint
    np.savez(tmp_path / "b.npz", **values, shape_count=100)
    assert read_head(tmp_path / "b.npz").expressions == 50
    np.savez(tmp_path / "c.npz", **values, shape_count=151)
    with pytest.raises(TalkingEyesError, match="151 identity shapes"):
        read_head(tmp_path / "c.npz")


def test_2023_open_says_how_many_expressions_it_has(tmp_path: Path, head: HeadModel) -> None:
    values = wide(head, 150) | {"supr_expression_metadata": {"n_expr": 60, "expr_components": "last_60"}}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(values))
    read = read_head(tmp_path / "a.pkl")
    assert read.expressions == 60 and read.shape_basis.shape[2] == 90


def test_a_file_without_shapes(tmp_path: Path, head: HeadModel) -> None:
    read = read_head(write_head(tmp_path / "a.npz", head, shapedirs=None, expression_names=None))
    assert read.expressions == 0 and read.shape_basis.shape == (len(head.vertices), 3, 0)
    assert np.allclose(pose_vertices(read, expression=np.zeros(0)), head.vertices)


# ---------------------------------------------------------------------------------------------- FLAME's topology


def test_flame_gets_its_landmarks_lids_and_eyes(testdata: Path) -> None:
    head = read_head(testdata / "flame2023-open-without-shapedirs.npz")
    assert len(head.vertices) == 5023 and len(head.faces) == 9976 and (head.faces[:, 3] == -1).all()
    assert len(head.landmarks["face"]) == 51 and head.landmarks["pupils"].tolist() == [4051, 4597]
    assert head.lids.shape == head.lid_follow.shape == (5023, 3, 2) and head.lids.any()
    named = {m.name: head.face_material == i for i, m in enumerate(head.materials)}
    eyes = (head.faces[:, :3] >= 3931).all(1)
    assert (named["sclera"] | named["iris"] | named["pupil"])[eyes].all() and named["skin"][~eyes].mean() > 0.9
    left = eyes & (head.faces[:, :3] < 4477).all(1)
    assert named["pupil"][left].sum() == 32 + 2 * 32 and named["iris"][left].sum() == 2 * 2 * 32, "whole rings"
    assert abs(named["pupil"].sum() - 2 * 96) < 20 and abs(named["iris"].sum() - 2 * 128) < 20
    middle = head.vertices[head.faces[:, :3]].mean(1)
    outline = head.vertices[head.landmarks["face"][31:43]]
    low, high = outline.min(0) - 0.002, outline.max(0) + 0.002
    assert ((middle[named["lips"]] > low) & (middle[named["lips"]] < high))[:, :2].all() and named["lips"].sum() > 100
    assert ((named["lips"]) & (np.abs(middle[:, 0]) < 0.004) & (middle[:, 2] > outline[:, 2].min())).any()


def test_flame_with_teeth(testdata: Path, tmp_path: Path) -> None:
    with np.load(testdata / "flame2023-open-without-shapedirs.npz") as archive:
        values = {k: archive[k] for k in ("v_template", "f", "posedirs", "weights", "J_regressor", "kintree_table")}
    teeth = np.random.default_rng(0).normal([0, -0.045, 0.05], 0.004, (120, 3))
    values["v_template"] = np.concatenate([values["v_template"], teeth])
    values["f"] = np.concatenate([values["f"], 5023 + np.arange(120).reshape(40, 3)])
    values["posedirs"] = np.concatenate([values["posedirs"], np.zeros((120, 3, 36))])
    values["weights"] = np.concatenate([values["weights"], np.tile([0, 1.0, 0, 0, 0], (120, 1))])
    values["J_regressor"] = np.concatenate([values["J_regressor"], np.zeros((5, 120))], 1)
    np.savez(tmp_path / "teeth.npz", **values)
    head = read_head(tmp_path / "teeth.npz")
    assert "face" in head.landmarks and (head.face_material[-40:] == 5).all()
    assert head.materials[5].name == "teeth" and not head.lids[5023:].any()


def test_flames_number_of_vertices_is_not_enough(testdata: Path, tmp_path: Path) -> None:
    with np.load(testdata / "flame2023-open-without-shapedirs.npz") as archive:
        values = {k: archive[k] for k in ("v_template", "f", "posedirs", "weights", "J_regressor", "kintree_table")}
    order = np.random.default_rng(0).permutation(5023)
    for key in ("v_template", "posedirs", "weights"):
        values[key] = values[key][order]
    values["J_regressor"] = values["J_regressor"][:, order]
    values["f"] = np.argsort(order)[values["f"]]
    np.savez(tmp_path / "a.npz", **values)
    with pytest.raises(TalkingEyesError, match=r"not FLAME's.*landmarks"):
        read_head(tmp_path / "a.npz")


# ---------------------------------------------------------------------------------------------- what is refused


def test_another_topology_must_name_its_landmarks(tmp_path: Path, head: HeadModel) -> None:
    np.savez(tmp_path / "a.npz", **flame_values(head), shape_count=3)
    with pytest.raises(TalkingEyesError, match="594 vertices") as caught:
        read_head(tmp_path / "a.npz")
    assert "landmark_face" in caught.value.hint


BROKEN = {
    "v_template": [(None, "missing"), (np.zeros((5, 2)), "shape"), (np.zeros((0, 3)), "no vertices")],
    "faces": [
        (np.zeros((4, 5), int), "triangles or quads"), (np.full((4, 3), 9999), "does not have"),
        (np.full((4, 3), -1), "does not have"), (np.zeros((0, 3), int), "triangles or quads"),
    ],
    "shapedirs": [
        (np.zeros((594, 11)), "shape"), (np.full((594, 3, 11), np.nan), "not numbers"),
        (np.full((594, 3, 11), np.inf), "not numbers"), (np.full((594, 3, 11), "a"), "does not hold numbers"),
    ],
    "posedirs": [(None, "missing"), (np.zeros((594, 3, 207)), "shape"), (np.zeros((36, 1782)), "shape")],
    "weights": [(None, "missing"), (np.zeros((594, 5)), "add up"), (np.zeros((594, 55)), "shape"),
                (np.tile([2.0, -1, 0, 0, 0], (594, 1)), "add up")],
    "J_regressor": [(None, "missing"), (np.zeros((594, 5)), "shape"), (np.full((5, 594), np.nan), "not numbers")],
    "kintree_table": [(None, "missing"), (np.zeros((2, 55), int), "55 joints"),
                      (np.array([[-1, 0, 1, 2, 3], range(5)]), "otherwise"), (np.zeros((2, 5), complex), "numbers")],
    "landmark_face": [
        (np.arange(68), "shape"), (np.full(51, 600), "does not have"), (np.full(51, -1), "does not have"),
    ],
    "landmark_pupils": [(np.arange(3), "shape")],
    "identity": [(np.arange(3), "not a text")],
    "expression_names": [(np.array(["a", "b"]), "2 names for 8"), (np.arange(8), "not a list of names")],
    "face_material": [(np.full(564, 9), "materials"), (np.zeros(3, int), "shape")],
    "material_names": [(None, "missing")],
    "lids": [(np.zeros((3, 3, 2)), "shape")],
}  # fmt: skip


@pytest.mark.parametrize(("key", "value", "message"), [(k, v, m) for k, cases in BROKEN.items() for v, m in cases])
def test_broken_values_are_named(tmp_path: Path, head: HeadModel, key: str, value: Any, message: str) -> None:
    path = write_head(tmp_path / "broken.npz", head, **{key: value})
    with pytest.raises(TalkingEyesError, match=message) as caught:
        read_head(path)
    assert caught.value.message.startswith("broken.npz: ") and caught.value.message.count(".npz") == 1
    assert "no vertices" in message or key in str(caught.value) or key in ("weights", "kintree_table", "face_material")


def test_a_head_in_millimetres(tmp_path: Path, head: HeadModel) -> None:
    with pytest.raises(TalkingEyesError, match="metres"):
        read_head(write_head(tmp_path / "a.npz", head, v_template=1000 * head.vertices))


NOT_HEADS = {
    "empty": (b"", "is empty"),
    "text": (b"v_template is what a head file would hold\nbut this is a letter\n" * 20, "neither"),
    "html": (b"<!DOCTYPE html><html><body>Please log in</body></html>", "is a web page"),
    "noise": (bytes(range(256)) * 40, "neither"),
    "zip magic": (b"PK\x03\x04 and nothing more", "neither"),
    "a list": (pickle.dumps([1, 2, 3]), "the type 'list', not a head"),
    "a number": (pickle.dumps(3), "the type 'int', not a head"),
    "another dict": (pickle.dumps({"a": 1}), "'v_template' is missing"),
    "half": (pickle.dumps({"v_template": np.zeros((100, 3))})[:900], "neither"),
}


@pytest.mark.parametrize("name", NOT_HEADS)
def test_files_that_are_no_heads(tmp_path: Path, name: str) -> None:
    content, message = NOT_HEADS[name]
    (tmp_path / "file.pkl").write_bytes(content)
    with pytest.raises(TalkingEyesError, match=message) as caught:
        read_head(tmp_path / "file.pkl")
    assert "file.pkl" in caught.value.message and "\n" not in caught.value.message


def test_random_bytes_never_escape_as_another_error(tmp_path: Path, head: HeadModel) -> None:
    rng = np.random.default_rng(0)
    whole = write_flame_pickle(tmp_path / "a.pkl", head).read_bytes()
    npz = write_head(tmp_path / "a.npz", head).read_bytes()
    for i in range(150):
        source = bytearray(whole if i % 2 else npz)
        for _ in range(3):
            # Headers and opcodes lie at the ends; the middle is numbers.
            at = int(rng.integers(0, 2000)) * int(rng.choice([1, -1]))
            source[at] = rng.integers(256)
        (tmp_path / "b").write_bytes(source[: int(rng.integers(10, len(source)))] if i % 3 == 0 else source)
        try:
            read_head(tmp_path / "b")
        except TalkingEyesError as error:
            assert error.message


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pkl", tmp_path):
        with pytest.raises(TalkingEyesError, match="could not be read"):
            read_head(path)


def test_an_npz_that_is_not_whole(tmp_path: Path, head: HeadModel) -> None:
    path = write_head(tmp_path / "a.npz", head)
    content = bytearray(path.read_bytes())
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    content[len(content) // 3] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(content)
    for name in ("cut", "flipped"):
        with pytest.raises(TalkingEyesError, match="neither a pickle nor an npz, or it is damaged"):
            read_head(tmp_path / f"{name}.npz")


def test_an_array_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("v_template.npy", "w") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)})
    with pytest.raises(TalkingEyesError, match="damaged"):
        read_head(tmp_path / "a.npz")


# ---------------------------------------------------------------------------------------------- hostile pickles


class Calls:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def by_name(name: str, argument: bytes = b"U\x04echo") -> bytes:
    """A protocol-2 pickle that calls what is called ``name`` (as in 'os.system') with one argument."""
    module, _, attribute = name.rpartition(".")
    return b"\x80\x02c" + module.encode() + b"\n" + attribute.encode() + b"\n" + argument + b"\x85R."


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("container", ["pkl", "npz"])
def test_a_command_is_refused_before_it_runs(tmp_path: Path, head: HeadModel, protocol: int, container: str) -> None:
    trace = tmp_path / "it-ran"
    command = Calls(os.system, f"{sys.executable} -c \"open(r'{trace}', 'w')\"")
    path = tmp_path / f"head.{container}"
    if container == "pkl":
        path.write_bytes(pickle.dumps({**flame_values(head), "note": [command]}, protocol=protocol))
    else:
        with zipfile.ZipFile(path, "w") as archive, archive.open("v_template.npy", "w") as stream:
            np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
            stream.write(pickle.dumps(command, protocol=protocol))
    with pytest.raises(TalkingEyesError, match=r"(posix|nt)\.system") as caught:
        read_head(path)
    assert not trace.exists() and path.name in caught.value.message
    if os.name == "posix":
        pickle.loads(pickle.dumps(command))
        assert trace.exists(), "the command of this test does run when it is let"


@pytest.mark.parametrize(
    "name",
    [
        "builtins.eval", "__builtin__.eval", "builtins.exec", "builtins.getattr", "builtins.__import__",
        "builtins.open", "os.system", "posix.system", "subprocess.Popen", "importlib.import_module",
        "runpy.run_path", "pickle.loads", "numpy.load", "numpy.fromfile", "numpy.memmap", "numpy.f2py.compile",
        "numpy.testing._private.utils.runstring", "numpy.distutils.exec_command.exec_command",
        "numpy.core.multiarray.fromfile", "numpy.lib.npyio.load", "numpy.core._internal._ctypes",
        "numpy.ndarray.tofile", "numpy.vectorize", "numpy.matrix", "scipy.sparse.csc.os", "scipy.sparse._csc.warn",
        "scipy.sparse.load_npz", "scipy.io.loadmat", "_codecs.lookup", "_codecs.open", "codecs.encode",
        "copyreg.__newobj__", "copy_reg.constructor", "collections.namedtuple", "functools.partial",
        "operator.attrgetter", "types.FunctionType", "types.CodeType",
        "chumpyx.ch.Ch", "my.chumpy.ch.Ch", "chumpy/../os.system",
    ],
)  # fmt: skip
def test_only_exact_names_are_allowed(name: str) -> None:
    with pytest.raises(Refused) as caught:
        load_pickle(by_name(name))
    assert name in caught.value.message


def test_dotted_names_reach_into_nothing() -> None:
    # Protocol 4 takes a path of attributes for a name.
    for module, name in (("numpy", "ndarray.__class__"), ("numpy", "dtype.__init__.__globals__"),
                         ("chumpy.ch", "Ch.__init__.__globals__"), ("builtins", "object.__subclasses__")):  # fmt: skip
        text = b"".join(b"\x8c" + bytes([len(x)]) + x.encode() for x in (module, name))
        with pytest.raises(Refused):
            load_pickle(b"\x80\x04" + text + b"\x93.")


def test_what_is_allowed_can_do_no_harm(tmp_path: Path) -> None:
    marker = tmp_path / "file"
    marker.write_text("content")
    path = b"U" + bytes([len(str(marker))]) + str(marker).encode()
    for name in ("numpy.core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype", "numpy.core.multiarray.scalar",
                 "numpy.core.numeric._frombuffer", "_codecs.encode", "copy_reg._reconstructor", "__builtin__.object",
                 "__builtin__.set", "__builtin__.bytes", "chumpy.ch.Ch", "collections.OrderedDict",
                 "scipy.sparse.csc.csc_matrix", "chumpy.os.system"):  # fmt: skip
        for argument in (path, b"cnumpy\nndarray\n", b"K\x05", b"N", b"J\xff\xff\xff\x7f"):
            try:
                made = load_pickle(by_name(name, argument))
            except (TalkingEyesError, ValueError):
                continue
            assert type(made).__module__.startswith("talkingeyes_blender") or isinstance(made, bytes | frozenset | dict)
            assert made is None or not isinstance(made, bytes) or len(made) < 100
    assert marker.read_text() == "content"


def test_a_reconstructor_makes_only_stand_ins() -> None:
    for module, name in ((b"__builtin__", b"set"), (b"_codecs", b"encode")):
        content = b"ccopy_reg\n_reconstructor\n(c" + module + b"\n" + name + b"\nc__builtin__\nobject\nNtR."
        with pytest.raises(Refused, match="class that is not allowed"):
            load_pickle(content)


def test_allowed_names_cannot_be_changed() -> None:
    with pytest.raises(Refused, match="change a function"):
        load_pickle(b"\x80\x02c_codecs\nencode\n}U\x05_callU\x01xsb.")
    before = dict(vars(type(load_pickle(by_name("numpy.dtype")))))
    for content in (
        b"\x80\x02cnumpy\ndtype\n}U\x05numpyU\x01xsb.",
        b"\x80\x02cnumpy\ndtype\nN}U\x05numpyU\x01xs\x86b.",
    ):
        with pytest.raises(ValueError):
            load_pickle(content)
    assert dict(vars(type(load_pickle(by_name("numpy.dtype"))))) == before


def test_extension_codes_and_outside_objects_are_refused() -> None:
    with pytest.raises((Refused, ValueError)):
        load_pickle(b"\x80\x02\x82\x01.")
    with pytest.raises(Refused, match="outside"):
        load_pickle(b"\x80\x02U\x01aQ.")


def test_a_hostile_array_does_not_get_its_memory() -> None:
    # A header that asks for a terabyte, with ten bytes behind it.
    class Huge:
        def __reduce__(self) -> tuple:
            state = (1, (10**6, 10**6), np.dtype(np.uint8), False, b"0123456789")
            return np.zeros(0).__reduce__()[0], (np.ndarray, (0,), b"b"), state

    with pytest.raises(ValueError, match="does not fit its shape"):
        array_from(load_pickle(pickle.dumps(Huge())))


def test_a_selection_of_itself_ends() -> None:
    # A chumpy object whose source is itself.
    content = b"\x80\x02cchumpy.ch\nCh\n)\x81q\x00}(U\x01ah\x00U\x04idxsK\x00ub."
    with pytest.raises(ValueError):
        array_from(load_pickle(content))
