"""Files of a motion for other programs, made without Blender: FLAME parameters, GaussianAvatars, ARKit's curves."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import csv
import os

import numpy as np
import pytest
from _heads import tiny_head
from _motions import standin_motion

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head import rotation
from talkingeyes_blender.head.arkit import BONES, EXPRESSIONS, INDEX
from talkingeyes_blender.head.arkit_curves import (
    ANGLES,
    NAMES,
    arkit_curves,
    turns_of_curves,
    write_arkit_csv,
)
from talkingeyes_blender.head.arkit_values import LOOK_ASIDE_DEGREES, LOOK_DOWN_DEGREES, OPEN_DEGREES
from talkingeyes_blender.head.face_basis import LandmarkBasis
from talkingeyes_blender.head.flame_motion import Root, for_avatar, read_flame, write_flame, write_gaussian_avatar
from talkingeyes_blender.head.landmarks import eye_aspect_ratio
from talkingeyes_blender.head.skinning import pose_vertices
from talkingeyes_blender.head.standin import load_standin
from talkingeyes_blender.training.importing.formats import FORMATS, read_track


def test_flame_parameters_come_back(tmp_path):
    motion = standin_motion(fps=30.0)
    rng = np.random.default_rng(1)
    root = Root(rng.normal(0, 0.1, (30, 3)), rng.normal(0, 0.1, (30, 3)))
    write_flame(tmp_path / "take.npz", motion, root, np.array([0.5, -1.0]))
    back, where, shape = read_flame(tmp_path / "take.npz")
    for name in ("expression", "jaw", "head", "eyes", "blink"):
        assert np.array_equal(getattr(back, name), getattr(motion, name)), name
    assert (back.seed, back.fps, back.head_model) == (motion.seed, 30.0, motion.head_model)
    assert np.allclose(where.rotation, root.rotation) and np.allclose(where.translation, root.translation)
    assert shape.tolist() == [0.5, -1.0]
    assert [path.name for path in tmp_path.iterdir()] == ["take.npz"]


def test_the_importer_of_vhap_reads_them(tmp_path):
    motion = standin_motion()
    write_flame(tmp_path / "take.npz", motion)
    track = read_track("take", [tmp_path / "take.npz"], FORMATS["vhap"], fps=25.0)
    assert np.array_equal(track.expression, motion.expression)
    assert np.allclose(track.jaw.as_matrix(), rotation.matrix_from_axis_angle(motion.jaw), atol=1e-6)
    assert np.allclose(track.eyes[1].as_matrix(), rotation.matrix_from_axis_angle(motion.eyes[:, 3:]), atol=1e-6)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    motion = standin_motion()
    write_flame(tmp_path / "take.npz", motion)
    before = (tmp_path / "take.npz").read_bytes()

    def full(*arguments, **more):
        arguments[0].write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(TalkingEyesError, match=r"take.npz could not be written \(No space left on device\)"):
        write_flame(tmp_path / "take.npz", motion)
    with pytest.raises(TalkingEyesError, match="No such file or directory"):
        write_gaussian_avatar(tmp_path / "gone" / "take.npz", motion)
    assert os.listdir(tmp_path) == ["take.npz"] and (tmp_path / "take.npz").read_bytes() == before
    with pytest.raises(TalkingEyesError, match="is a folder"):
        write_arkit_csv(tmp_path, motion)


def test_a_motion_that_is_none_is_refused(tmp_path):
    broken = standin_motion(jaw=np.full((30, 3), np.nan))
    for write in (write_flame, write_gaussian_avatar, write_arkit_csv):
        with pytest.raises(TalkingEyesError, match="'jaw' holds values that are not numbers"):
            write(tmp_path / "take", broken)
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", expr=np.zeros((3, 4)))
    with pytest.raises(TalkingEyesError, match="could not be read as FLAME parameters"):
        read_flame(tmp_path / "text.npz")
    with pytest.raises(TalkingEyesError, match="lacks the key 'eyes_pose'"):
        read_flame(tmp_path / "other.npz")
    with pytest.raises(TalkingEyesError, match="There is no layout 'xml'"):
        write_arkit_csv(tmp_path / "take.csv", standin_motion(), "xml")
    assert {path.name for path in tmp_path.iterdir()} == {"text.npz", "other.npz"}


# ------------------------------------------------------------------------------------------------ GaussianAvatars


def test_the_keys_of_the_viewer(tmp_path):
    motion = standin_motion()
    write_gaussian_avatar(tmp_path / "take.npz", motion)
    with np.load(tmp_path / "take.npz", allow_pickle=False) as archive:
        values = dict(archive)
    assert {name: array.shape for name, array in values.items()} == {
        "translation": (30, 3), "rotation": (30, 3), "neck_pose": (30, 3), "jaw_pose": (30, 3), "eyes_pose": (30, 6),
        "expr": (30, 100), "dynamic_offset": (30, 1, 3),
    }  # fmt: skip
    assert {array.dtype for array in values.values()} == {np.dtype(np.float32)}


def test_the_avatar_stands_where_it_was_trained(tmp_path):
    motion = standin_motion()
    rng = np.random.default_rng(2)
    turned, place = rng.normal(0, 0.3, (4, 3)), rng.normal(0, 1, (4, 3))
    np.savez(tmp_path / "flame_param.npz", rotation=turned.astype(np.float32), translation=place.astype(np.float32))
    root = Root(rng.normal(0, 0.2, (30, 3)), rng.normal(0, 0.1, (30, 3)))
    for avatar in (tmp_path, tmp_path / "flame_param.npz", tmp_path / "point_cloud.ply"):
        write_gaussian_avatar(tmp_path / "take.npz", motion, root, avatar)
        with np.load(tmp_path / "take.npz") as values:
            # A point that the root carries is carried on as the avatar's first frame carries its own.
            point = np.array([0.1, 0.2, 0.3])
            first = rotation.matrix_from_axis_angle(turned[0])
            inner = rotation.matrix_from_axis_angle(root.rotation) @ point + root.translation
            outer = rotation.matrix_from_axis_angle(values["rotation"]) @ point + values["translation"]
        assert np.allclose(outer, inner @ first.T + place[0], atol=1e-5)
    np.savez(tmp_path / "flame_param.npz", shape=np.zeros(3))
    with pytest.raises(TalkingEyesError, match="does not say where the avatar stands"):
        write_gaussian_avatar(tmp_path / "take.npz", motion, avatar=tmp_path)
    with pytest.raises(TalkingEyesError, match="could not be read as FLAME parameters"):
        write_gaussian_avatar(tmp_path / "take.npz", motion, avatar=tmp_path / "gone" / "point_cloud.ply")


def test_blinks_become_expressions_of_the_avatars_head():
    head = load_standin()
    motion = standin_motion(frames=2, expression=np.zeros((2, 41)), blink=np.array([[0, 0], [1, 1]]))
    driven = for_avatar(motion, head)
    assert not driven.blink.any() and driven.head_model == head.identity
    open_, shut = pose_vertices(head, expression=driven.expression)
    assert max(eye_aspect_ratio(shut, head.landmarks)) < 0.25 * min(eye_aspect_ratio(open_, head.landmarks))


def test_expressions_are_carried_over_to_the_avatars_head():
    head = tiny_head()
    motion = standin_motion(frames=3)
    driven = for_avatar(motion, head)
    assert driven.expression.shape == (3, head.expressions) and driven.head_model == head.identity
    foreign = motion.replace(head_model="flame-100-0123456789ab")
    with pytest.raises(TalkingEyesError, match="belong to the head model 'flame-100-0123456789ab'"):
        for_avatar(foreign, head)
    same = for_avatar(foreign, head, LandmarkBasis.from_head(load_standin()))
    assert np.array_equal(same.expression, driven.expression)


# ---------------------------------------------------------------------------------------------------------- ARKit


def test_all_52_in_the_order_of_live_link():
    assert len(NAMES) == 52 and set(NAMES) == {*EXPRESSIONS, *BONES}
    assert NAMES[:3] == ("eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft") and NAMES[-1] == "tongueOut"


def test_rotations_become_their_curves():
    still = {"expression": np.zeros((4, 41)), "head": np.zeros((4, 3)), "blink": np.zeros((4, 2))}
    jaw, eyes = np.zeros((4, 3)), np.zeros((4, 6))
    jaw[1, 0] = np.radians(OPEN_DEGREES / 2)
    jaw[2, 1] = 0.05  # to the subject's left
    eyes[1, [0, 3]] = np.radians(LOOK_DOWN_DEGREES / 3)
    eyes[2, [1, 4]] = np.radians(LOOK_ASIDE_DEGREES / 5)  # both to the subject's left
    eyes[3, [0, 3]] = -0.1
    curves = dict(zip(NAMES, arkit_curves(standin_motion(4, **still, jaw=jaw, eyes=eyes)).T, strict=True))
    assert curves["jawOpen"] == pytest.approx([0, 0.5, 0, 0])
    assert curves["jawLeft"][2] > 0.2 and not curves["jawRight"].any()
    assert curves["eyeLookDownLeft"] == pytest.approx([0, 1 / 3, 0, 0], abs=1e-6)
    assert curves["eyeLookOutLeft"] == pytest.approx([0, 0, 0.2, 0], abs=1e-6)
    assert curves["eyeLookInRight"] == pytest.approx([0, 0, 0.2, 0], abs=1e-6)
    assert not curves["eyeLookInLeft"].any() and not curves["eyeLookOutRight"].any()
    assert curves["eyeLookUpRight"][3] > 0.2 and not curves["eyeLookUpRight"][:3].any()


def test_curves_say_what_turned():
    motion = standin_motion(60, jaw=np.random.default_rng(0).uniform(0.0, 0.1, (60, 3)) * [2, 1, 0])
    curves = dict(zip(NAMES, arkit_curves(motion).T, strict=True))
    jaw, eyes = turns_of_curves(curves, 60)
    assert np.allclose(jaw, motion.jaw, atol=1e-6)
    for side in (slice(0, 3), slice(3, 6)):
        told, was = (rotation.matrix_from_axis_angle(turn[:, side])[..., 2] for turn in (eyes, motion.eyes))
        small = (np.abs(motion.eyes[:, side]) < 0.3).all(1)  # curves end at 1
        assert small.sum() > 40 and np.allclose(told[small], was[small], atol=1e-5)


def test_blinks_lips_and_limits():
    expression = np.zeros((2, 41))
    expression[:, INDEX["eyeBlinkLeft"]] = 0.3
    expression[1, INDEX["mouthClose"]] = 1.0
    expression[1, INDEX["mouthPucker"]] = 1.7
    expression[1, INDEX["cheekPuff"]] = -0.4
    motion = standin_motion(2, expression=expression, blink=np.array([[0.2, 0.0], [0.9, 1.0]]))
    curves = dict(zip(NAMES, arkit_curves(motion).T, strict=True))
    assert curves["eyeBlinkLeft"] == pytest.approx([0.5, 1.0]) and curves["eyeBlinkRight"] == pytest.approx([0, 1])
    assert curves["mouthClose"][1] == pytest.approx(10 / OPEN_DEGREES)  # as much as jawOpen at 10 degrees
    assert curves["mouthPucker"][1] == 1 and curves["cheekPuff"][1] == 0
    with pytest.raises(TalkingEyesError, match="not to ARKit's"):
        arkit_curves(motion.replace(head_model="flame-100-0123456789ab"))


def test_rows_are_read_back(tmp_path):
    motion = standin_motion(fps=30.0)
    write_arkit_csv(tmp_path / "take.csv", motion)
    with open(tmp_path / "take.csv", newline="", encoding="utf-8") as stream:
        head, *rows = csv.reader(stream)
    assert head == ["time", *NAMES, *ANGLES] and len(rows) == 30
    values = np.array(rows, float)
    assert np.allclose(values[:, 0], np.arange(30) / 30, atol=1e-6)
    assert np.allclose(values[:, 1:53], arkit_curves(motion), atol=1e-6)
    yaw, pitch, roll = values[:, 53:56].T
    around = np.eye(3)[[1, 0, 2]]
    turned = [
        rotation.matrix_from_axis_angle(angle[:, None] * axis)
        for angle, axis in zip((yaw, pitch, roll), around, strict=True)
    ]
    assert np.allclose(turned[0] @ turned[1] @ turned[2], rotation.matrix_from_axis_angle(motion.head), atol=1e-5)


def test_the_layout_of_recordings(tmp_path):
    motion = standin_motion(27)
    write_arkit_csv(tmp_path / "take.csv", motion, "live-link")
    with open(tmp_path / "take.csv", newline="", encoding="utf-8") as stream:
        head, *rows = csv.reader(stream)
    assert head[:4] == ["Timecode", "BlendshapeCount", "EyeBlinkLeft", "EyeLookDownLeft"] and len(head) == 63
    assert head[-9:-6] == ["HeadYaw", "HeadPitch", "HeadRoll"]
    assert [rows[i][0] for i in (0, 24, 25)] == ["00:00:00:00.000", "00:00:00:24.000", "00:00:01:00.000"]
    assert {row[1] for row in rows} == {"61"}
