"""Broken head files, and the very words that a user reads."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from _heads import flame_values, own_extras, tiny_head, write_head

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head.model import JAW, HeadModel
from talkingeyes_blender.head.reading import read_head

FLAME_HINT = "Choose a FLAME model (.pkl or .npz) as its publisher offers it."
MESH_HINT = "Import it into Blender, select it and choose it as the head; a FLAME model (.pkl or .npz) is another file."


HEAD = tiny_head()


def content(**values: np.ndarray) -> bytes:
    """An npz of the tiny head with some keys changed, or left out where the value is None."""
    head = HEAD
    kept = {k: v for k, v in {**flame_values(head), **own_extras(head), **values}.items() if v is not None}
    stream = io.BytesIO()
    np.savez(stream, **kept)
    return stream.getvalue()


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name in names:
            made.writestr(name, b"content")
    return stream.getvalue()


def mirrored() -> bytes:
    head = HEAD
    return content(v_template=head.vertices * [-1, 1, 1])


def z_up() -> bytes:
    head = HEAD
    return content(v_template=head.vertices[:, [0, 2, 1]] * [1, -1, 1])


def without_eyes() -> bytes:
    head = HEAD
    weights = head.weights.copy()
    weights[:, 1] += weights[:, 3:].sum(1)
    weights[:, 3:] = 0
    # FLAME's number of vertices, so that its landmarks, and with them its lids, are looked for.
    extra = 5023 - len(weights)
    values = flame_values(head)
    return content(
        v_template=np.concatenate([head.vertices, np.zeros((extra, 3))]),
        weights=np.concatenate([weights, np.tile([0.0, 1, 0, 0, 0], (extra, 1))]),
        shapedirs=None,
        posedirs=np.zeros((5023, 3, 36)),
        J_regressor=np.concatenate([values["J_regressor"], np.zeros((5, extra))], 1),
        **dict.fromkeys(own_extras(head)),
    )


CASES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "nothing": (lambda: b"", "head.pkl is empty.", "Download it again."),
    "login page": (
        lambda: b"<!DOCTYPE html><html><body>Please sign in</body></html>",
        "head.pkl is a web page, not a head model.",
        "Log in on the publisher's page and download the model again.",
    ),
    "git lfs": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 53023716\n",
        "head.pkl is a Git LFS pointer, not a head model.",
        "Fetch the file with 'git lfs pull'.",
    ),
    "publisher's zip": (
        lambda: archive("FLAME2023/readme.txt", "FLAME2023/flame2023.pkl"),
        "head.pkl is a zip archive, not a head model.",
        "Unpack it and choose 'FLAME2023/flame2023.pkl' out of it.",
    ),
    "checkpoint": (
        lambda: archive("archive/data.pkl", "archive/data/0", "archive/version"),
        "head.pkl is a PyTorch file, not a head model.",
        FLAME_HINT,
    ),
    "gzip": (
        lambda: b"\x1f\x8b\x08\x00" + bytes(60),
        "head.pkl is a packed archive, not a head model.",
        "Unpack it and choose the model that is in it.",
    ),
    "obj": (
        lambda: b"# exported\no head\nv 0 0 0\n",
        "head.pkl is a mesh without FLAME's bases, not a head model.",
        MESH_HINT,
    ),
    "ply": (
        lambda: b"ply\nformat ascii 1.0\n",
        "head.pkl is a mesh without FLAME's bases, not a head model.",
        MESH_HINT,
    ),
    "blend": (
        lambda: b"BLENDER-v405RENDH" + bytes(40),
        "head.pkl is a Blender file, not a head model.",
        "Open or append it, then choose its head in the panel.",
    ),
    "broken off": (
        lambda: content()[:5000],
        "head.pkl is neither a pickle nor an npz, or it is damaged.",
        FLAME_HINT,
    ),
    "a program": (
        lambda: b"cos\nsystem\n(S'echo'\ntR.",
        "head.pkl: The file asks for 'os.system', which a head model has no need of; nothing of it was run.",
        "Take the head model from its publisher's own page.",
    ),
    "a list": (
        lambda: pickle.dumps([1, 2]),
        "head.pkl holds one value of the type 'list', not a head model.",
        FLAME_HINT,
    ),
    "no template": (lambda: content(v_template=None), "head.pkl: The key 'v_template' is missing.", FLAME_HINT),
    "no weights": (lambda: content(weights=None), "head.pkl: The key 'weights' is missing.", FLAME_HINT),
    "a body": (
        lambda: content(kintree_table=np.zeros((2, 55), int)),
        "head.pkl: The model has 55 joints; a FLAME head has 5 (root, neck, jaw, left_eye, right_eye).",
        "Bodies (SMPL, SMPL-X) have another mesh; take FLAME itself.",
    ),
    "millimetres": (
        lambda: content(v_template=1000 * HEAD.vertices),
        "head.pkl: The head is 245 units large; units are metres.",
        "Scale the model to metres.",
    ),
    "cut shapes": (
        lambda: content(shapedirs=np.zeros((594, 3, 150)), shape_count=None),
        "head.pkl: 'shapedirs' has 150 columns, and the file does not say how many of them are identity shapes.",
        "Use the whole model (300 + 100 columns), or add the number of identity shapes as 'shape_count'.",
    ),
    "flat correctives": (
        lambda: content(posedirs=np.zeros((36, 1782))),
        "head.pkl: 'posedirs' has the shape (36, 1782), not (594, 3, 36).",
        FLAME_HINT,
    ),
    "not a number": (
        lambda: content(shapedirs=np.full((594, 3, 11), np.nan)),
        "head.pkl: 'shapedirs' holds values that are not numbers.",
        FLAME_HINT,
    ),
    "wrong faces": (
        lambda: content(f=np.full((4, 3), 600), faces=None),
        "head.pkl: 'f' names vertices that the head does not have.",
        FLAME_HINT,
    ),
    "broken faces": (
        lambda: content(f=np.full((4, 3), 1.5), faces=None),
        "head.pkl: 'f' does not hold whole numbers.",
        FLAME_HINT,
    ),
    "mirrored": (
        mirrored,
        "head.pkl: The head is mirrored, or its axes are not FLAME's.",
        "Turn it so that +X is the subject's left, +Y up and +Z out of the face.",
    ),
    "z-up": (
        z_up,
        "head.pkl: The head is mirrored, or its axes are not FLAME's.",
        "Turn it so that +X is the subject's left, +Y up and +Z out of the face.",
    ),
    "no joints": (
        lambda: content(J_regressor=np.zeros((5, 594))),
        "head.pkl: 'J_regressor' puts the joints out of their places in the head.",
        FLAME_HINT,
    ),
    "no eyeballs": (
        without_eyes,
        "head.pkl: No eyeball hangs on the joint 'left_eye'.",
        "Its vertices need a skin weight of 1 to that joint.",
    ),
    "another mesh": (
        lambda: content(**dict.fromkeys(own_extras(HEAD)), shapedirs=None),
        "head.pkl: The mesh of 594 vertices is not FLAME's, and the file does not name its landmarks.",
        "Add 'landmark_face' (51 vertex indices, iBUG points 17 to 67) and 'landmark_pupils' (left, right).",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_words_for_a_broken_head_file(tmp_path: Path, name: str) -> None:
    make, message, hint = CASES[name]
    (tmp_path / "head.pkl").write_bytes(make())
    with pytest.raises(TalkingEyesError) as caught:
        read_head(tmp_path / "head.pkl")
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert [path.name for path in tmp_path.iterdir()] == ["head.pkl"]


def still(head: HeadModel) -> HeadModel:
    weights = head.weights.copy()
    weights[:, 1] += weights[:, JAW]
    weights[:, JAW] = 0
    return dataclasses.replace(head, weights=weights)


NO_JAW = "No vertex follows the jaw, so the mouth will not open by it; choose the model with a jaw."
NAMED_NO_JAW = (
    "This model's name says that its expressions open the mouth without the jaw; here the jaw is turned, so take the "
    "model with a jaw where the mouth looks wrong."
)
NO_EXPRESSIONS = (
    "The file has no expressions: jaw, head, eyes and lids will move, the lips will not shape sounds; choose a model "
    "with 'shapedirs'."
)
NO_CORRECTIVES = "The file has no pose correctives: an open jaw may look pinched at the corners of the mouth."


@pytest.mark.parametrize(
    ("name", "head", "changes", "expected"),
    [
        ("flame2023", HEAD, {}, ()),
        ("flame2023_no_jaw", HEAD, {}, (NAMED_NO_JAW,)),
        ("flame2023_no_jaw", still(HEAD), {}, (NO_JAW,)),
        ("head", HEAD, {"shapedirs": None}, (NO_EXPRESSIONS,)),
        ("head", HEAD, {"shapedirs": np.zeros((594, 3, 11))}, (NO_EXPRESSIONS,)),
        ("head", HEAD, {"posedirs": np.zeros((594, 3, 36))}, (NO_CORRECTIVES,)),
    ],
)
def test_the_words_for_a_head_that_will_not_do_all(
    tmp_path: Path, name: str, head: HeadModel, changes: dict, expected: tuple[str, ...]
) -> None:
    assert read_head(write_head(tmp_path / f"{name}.npz", head, **changes)).warnings == expected
