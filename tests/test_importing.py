"""import: small sources in each layout become datasets whose numbers are known."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("scipy")

from _heads import tiny_head, write_head  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.training.__main__ import main  # noqa: E402
from talkingeyes_blender.training.check_data import NO_GAZE, find_faults  # noqa: E402
from talkingeyes_blender.training.dataset import Dataset, Sequence  # noqa: E402
from talkingeyes_blender.training.importing.rotations import about_mean, at_times, from_form  # noqa: E402

SECONDS = 4
RNG = np.random.default_rng(0)


def times(fps: float, frames: int | None = None) -> np.ndarray:
    return np.arange(frames or int(SECONDS * fps)) / fps


def swing(t: np.ndarray, axis: int, size: float) -> np.ndarray:
    """(N, 3) a turn to and fro about one axis, once in two seconds."""
    out = np.zeros((len(t), 3))
    out[:, axis] = size * np.sin(np.pi * t)
    return out


def sound(path: Path, seconds: float = SECONDS, rate: int = 48000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, RNG.normal(0, 0.1, int(seconds * rate)).clip(-1, 1), rate)
    return path


def brought(source: Path, layout: str, out: Path, *more: str) -> Dataset:
    arguments = ["import", layout, str(source), "--out", str(out), *more]
    if not any(word.startswith("--head") for word in more):
        arguments += ["--head-model", "flame-2023"]
    assert main(arguments) == 0
    return Dataset(out)


def assert_swings(sequence: Sequence, key: str, axis: int, size: float, columns: slice = slice(0, 3)) -> None:
    """A channel is the swing at 25 frames a second, about its mean where it is the head's."""
    expected = swing(times(25, sequence.frames), axis, size)
    if key == "head":
        expected[:, axis] -= expected[:, axis].mean()
    inside = slice(0, sequence.frames - 2)  # the last moments may lie beyond the track
    np.testing.assert_allclose(getattr(sequence, key)[inside, columns], expected[inside], atol=4e-3)


def test_vhap(tmp_path):
    t = times(30)
    (tmp_path / "in" / "anna").mkdir(parents=True)
    camera = np.tile([0.2, 0.5, -0.1], (len(t), 1))
    values = {
        "shape": np.arange(300.0), "expr": np.tile(t[:-1, None], (1, 100)),  # one frame short, as in some files
        "rotation": camera, "neck_pose": swing(t, 1, 0.3), "jaw_pose": swing(t, 0, 0.15),
        "eyes_pose": np.concatenate([swing(t, 1, 0.2), swing(t, 0, 0.1)], 1), "translation": np.zeros((len(t), 3)),
    }  # fmt: skip
    np.savez(tmp_path / "in" / "anna" / "talk.npz", **{k: v.astype(np.float32) for k, v in values.items()})
    sound(tmp_path / "in" / "anna" / "talk.wav")
    data = brought(tmp_path / "in", "vhap", tmp_path / "out", "--fps", "30")
    sequence = data[0]
    assert (sequence.id, sequence.subject, sequence.source, sequence.head_model) == (
        "anna_talk", "anna", "vhap", "flame-2023",
    )  # fmt: skip
    assert sequence.frames == 99 and sequence.valid.all()
    np.testing.assert_allclose(sequence.expression[:, 7], times(25, 99), atol=0.03)
    np.testing.assert_array_equal(sequence.shape, np.arange(300))
    assert_swings(sequence, "jaw", 0, 0.15)
    assert_swings(sequence, "head", 1, 0.3)
    assert_swings(sequence, "eyes", 1, 0.2)
    assert_swings(sequence, "eyes", 0, 0.1, slice(3, 6))
    assert not find_faults(data)


def test_deca_one_mat_a_frame(tmp_path):
    from scipy.io import savemat

    t = times(25)
    for k, moment in enumerate(t):
        path = tmp_path / "in" / "bob" / "clip1" / f"{k:05d}.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        pose = np.concatenate([swing(t, 0, 0.2)[k], swing(t, 0, 0.12)[k]])
        savemat(path, {"exp": np.full((1, 50), moment), "pose": pose[None], "shape": np.ones((1, 100))})
    audio = sound(tmp_path / "sounds" / "bob" / "clip1.flac").parents[1]
    data = brought(tmp_path / "in", "deca", tmp_path / "out", "--fps", "25", "--audio", str(audio))
    sequence = data[0]
    assert (sequence.id, sequence.subject, sequence.frames) == ("bob_clip1", "bob", 100)
    assert_swings(sequence, "head", 0, 0.2)
    assert_swings(sequence, "jaw", 0, 0.12)
    np.testing.assert_allclose(sequence.expression[:, 0], t, atol=2e-3)
    assert [fault.text for fault in find_faults(data)] == [NO_GAZE]


def test_emoca_folders(tmp_path):
    t = times(25)
    for k in range(len(t)):
        folder = tmp_path / "in" / "video" / f"{k:06d}_000"
        folder.mkdir(parents=True)
        np.save(folder / "exp.npy", np.full(50, 0.1 * k))
        np.save(folder / "pose.npy", np.concatenate([swing(t, 1, 0.2)[k], swing(t, 0, 0.12)[k]]))
        np.save(folder / "shape.npy", np.zeros(100))
    sound(tmp_path / "in" / "video.wav")
    sequence = brought(tmp_path / "in", "emoca", tmp_path / "out", "--fps", "25")[0]
    assert (sequence.id, sequence.frames) == ("video", 100)
    assert_swings(sequence, "head", 1, 0.2)
    assert sequence.expression[50, 3] == pytest.approx(5.0)


def test_smirk_pickles_with_lids(tmp_path):
    t = times(30)
    (tmp_path / "in").mkdir()
    lids = np.stack([(np.abs(t - 1) < 0.1), (np.abs(t - 2) < 0.1)], 1).astype(np.float32)
    values = {
        "expression_params": np.zeros((len(t), 50)) + t[:, None], "pose_params": swing(t, 2, 0.1),
        "jaw_params": swing(t, 0, 0.1), "eyelid_params": lids, "shape_params": np.zeros((len(t), 300)),
    }  # fmt: skip
    (tmp_path / "in" / "cara.pkl").write_bytes(pickle.dumps(values))
    sound(tmp_path / "in" / "cara.wav")
    sequence = brought(tmp_path / "in", "smirk", tmp_path / "out", "--fps", "30")[0]
    assert sequence.blink[25, 0] == 1 and sequence.blink[25, 1] == 0 and sequence.blink[50, 1] == 1
    assert_swings(sequence, "head", 2, 0.1)


def test_metrical_tracker_frames(tmp_path):
    torch = pytest.importorskip("torch")
    t = times(25)
    jaw, eye = Rotation.from_rotvec(swing(t, 0, 0.1)), Rotation.from_rotvec(swing(t, 1, 0.2))
    turn = Rotation.from_rotvec(swing(t, 0, 0.15))

    def six(rotation: Rotation) -> np.ndarray:
        return rotation.as_matrix()[:, :2].reshape(-1, 6)

    for k in range(len(t)):
        path = tmp_path / "in" / "dora" / f"{k:05d}.frame"
        path.parent.mkdir(parents=True, exist_ok=True)
        flame = {
            "exp": np.full((1, 100), 0.01 * k), "shape": np.zeros((1, 300)), "jaw": six(jaw)[k : k + 1],
            "eyes": np.tile(six(eye)[k : k + 1], 2), "eyelids": np.zeros((1, 2)), "R": turn.as_matrix()[k][None],
        }  # fmt: skip
        torch.save({"flame": {key: torch.tensor(value) for key, value in flame.items()}}, path)
    sound(tmp_path / "in" / "dora.wav")
    sequence = brought(tmp_path / "in", "metrical", tmp_path / "out", "--fps", "25")[0]
    assert_swings(sequence, "jaw", 0, 0.1)
    assert_swings(sequence, "eyes", 1, 0.2, slice(3, 6))
    assert_swings(sequence, "head", 0, 0.15)


def test_beat2_at_30_frames_a_second(tmp_path):
    t = times(30)
    poses = np.zeros((len(t), 165))
    poses[:, 36:39], poses[:, 45:48] = swing(t, 1, 0.1), swing(t, 1, 0.2)
    poses[:, 66:69], poses[:, 69:72], poses[:, 72:75] = swing(t, 0, 0.1), swing(t, 1, 0.1), swing(t, 1, 0.1)
    poses[:, :3] = [1.0, 2.0, 0.5]  # the body's own turn is not the head's
    (tmp_path / "in").mkdir()
    np.savez(
        tmp_path / "in" / "2_scott_0_1_1.npz", poses=poses, expressions=np.zeros((len(t), 100)) + t[:, None],
        betas=np.zeros(300), mocap_frame_rate=30, model="smplx2020", gender="neutral",
    )  # fmt: skip
    sound(tmp_path / "wave16k" / "2_scott_0_1_1.wav", rate=16000)
    arguments = ("--audio", str(tmp_path / "wave16k"), "--subject", r"^\d+_([a-z]+)_")
    sequence = brought(tmp_path / "in", "beat2", tmp_path / "out", *arguments)[0]
    assert sequence.subject == "scott" and sequence.frames == 100
    assert_swings(sequence, "head", 1, 0.3)


def test_unils_records(tmp_path):
    lmdb = pytest.importorskip("lmdb")
    t = times(25)
    motion = np.concatenate(
        [np.zeros((100, 100)) + t[:, None], swing(t, 1, 0.2), swing(t, 0, 0.1), swing(t, 1, 0.1), swing(t, 0, 0.1)], 1
    )
    audio = RNG.normal(0, 0.1, 64000).astype(np.float32)
    with lmdb.open(str(tmp_path / "in"), map_size=2**24) as database, database.begin(write=True) as transaction:
        transaction.put(b"eve/001", pickle.dumps({"motion": motion.astype(np.float32), "audio": audio}))
    sequence = brought(tmp_path / "in", "unils", tmp_path / "out")[0]
    assert (sequence.id, sequence.subject, sequence.frames) == ("eve_001", "eve", 100)
    assert_swings(sequence, "head", 1, 0.2)
    assert_swings(sequence, "eyes", 0, 0.1, slice(3, 6))
    np.testing.assert_allclose(sequence.samples, audio, atol=1e-4)


def test_bare_arrays_by_a_mapping(tmp_path):
    t, folder = times(25), tmp_path / "in"
    (folder / "motion").mkdir(parents=True)
    np.save(folder / "motion" / "Zoë 1_exp.npy", np.zeros((100, 50)) + t[:, None])
    np.save(folder / "motion" / "Zoë 1_pose.npy", np.concatenate([np.degrees(swing(t, 1, 0.2)), swing(t, 0, 0.1)], 1))
    eyes = Rotation.from_rotvec(swing(t, 1, 0.15)).as_quat()
    np.save(folder / "motion" / "Zoë 1_eye.npy", np.concatenate([eyes, eyes], 1))
    sound(folder / "wav" / "Zoë 1.wav")
    mapping = {
        "each": "motion/{clip}_exp.npy", "fps": 25, "expression": "motion/{clip}_exp.npy",
        "jaw": {"file": "motion/{clip}_pose.npy", "columns": [3, 6], "sign": [-1, 1, 1]},
        "head": {"file": "motion/{clip}_pose.npy", "columns": [0, 3], "degrees": True},
        "eyes": {"file": "motion/{clip}_eye.npy", "form": "quaternion_xyzw"},
        "sound": "wav/{clip}.wav", "subject": r"^(\w+) ",
    }  # fmt: skip
    (tmp_path / "map.json").write_text(json.dumps(mapping))
    data = brought(folder, "npy", tmp_path / "out", "--mapping", str(tmp_path / "map.json"))
    sequence = data[0]
    assert (sequence.id, sequence.subject) == ("Zoë_1", "Zoë")
    assert_swings(sequence, "head", 1, 0.2)
    assert_swings(sequence, "jaw", 0, -0.1)
    assert_swings(sequence, "eyes", 1, 0.15, slice(3, 6))


def write_vhap(path: Path, **changes) -> Path:
    t = times(25)
    values = {
        "expr": np.zeros((100, 50)) + t[:, None], "rotation": swing(t, 1, 0.2), "jaw_pose": swing(t, 0, 0.1),
        "eyes_pose": np.tile(swing(t, 1, 0.1), 2),
    } | changes  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{key: value for key, value in values.items() if value is not None})
    return path


def test_lost_frames_are_bridged_and_marked(tmp_path):
    jaw = swing(times(25), 0, 0.1)
    jaw[40:50] = np.nan
    write_vhap(tmp_path / "in" / "a.npz", jaw_pose=jaw)
    sound(tmp_path / "in" / "a.wav")
    sequence = brought(tmp_path / "in", "vhap", tmp_path / "out", "--fps", "25")[0]
    assert not sequence.valid[40:50].any() and sequence.valid[:39].all() and sequence.valid[51:].all()
    assert np.isfinite(sequence.jaw).all()


def test_coefficients_fill_the_basis_of_the_head(tmp_path):
    head = write_head(tmp_path / "flame.npz", tiny_head())
    width = tiny_head().expressions
    write_vhap(tmp_path / "in" / "a.npz", expr=np.ones((100, width - 2)) * times(25)[:, None])
    sound(tmp_path / "in" / "a.wav")
    sequence = brought(tmp_path / "in", "vhap", tmp_path / "out", "--fps", "25", "--head", str(head))[0]
    assert sequence.expression.shape == (100, width) and not sequence.expression[:, -2:].any()
    assert sequence.head_model


def test_an_import_goes_on_and_a_bad_clip_is_named_and_passed_over(tmp_path, capsys, monkeypatch):
    for name in ("a", "b", "c"):
        write_vhap(tmp_path / "in" / f"{name}.npz", **({"jaw_pose": None} if name == "b" else {}))
        sound(tmp_path / "in" / f"{name}.wav")
    arguments = ["import", "vhap", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--fps", "25"]
    arguments += ["--head-model", "flame-2023"]
    assert main(arguments) == 1
    assert "b: " in (said := capsys.readouterr()).err and "lacks the key 'jaw_pose'" in said.err
    assert "2 sequences" in said.out and "1 clips could not be imported" in said.out
    assert Dataset(tmp_path / "out").ids == ["a", "c"]
    stamp = (tmp_path / "out" / "sequences" / "a.npz").stat().st_mtime_ns
    write_vhap(tmp_path / "in" / "b.npz")
    assert main(arguments) == 0
    assert Dataset(tmp_path / "out").ids == ["a", "b", "c"]
    assert (tmp_path / "out" / "sequences" / "a.npz").stat().st_mtime_ns == stamp


def test_two_clips_of_one_name(tmp_path, capsys):
    for name in ("a/b", "a_b"):
        write_vhap(tmp_path / "in" / f"{name}.npz")
        sound(tmp_path / "in" / f"{name}.wav")
    arguments = ("--out", str(tmp_path / "out"), "--fps", "25", "--head-model", "flame-2023")
    assert "would be stored under the name of" in refusal(capsys, "vhap", str(tmp_path / "in"), *arguments)
    assert Dataset(tmp_path / "out").ids == ["a_b"]


def refusal(capsys, *arguments: str) -> str:
    assert main(["import", *arguments]) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "more", "words"),
    [
        ({"expr": None}, (), "a.npz lacks the key 'expr'; it holds eyes_pose, jaw_pose, rotation."),
        ({"jaw_pose": np.zeros((50, 3))}, (), "has 100 frames of expression and 50 of the jaw."),
        ({"expr": np.full((100, 50), np.nan)}, (), "Track 'a' has no frame that holds numbers throughout."),
        ({}, ("--fps", "50"), "Track 'a' lasts 2.00 s at 50 frames a second, its sound 4.00 s. Check the frame rate"),
        ({}, ("--subject", "^(x+)"), "The pattern '^(x+)' finds no subject in 'a'."),
        ({"rotation": np.zeros((100, 4))}, (), "A rotation as 'axis_angle' has 3 numbers, not 4."),
    ],
)
def test_what_is_wrong_with_a_clip(tmp_path, capsys, changes, more, words):
    write_vhap(tmp_path / "in" / "a.npz", **changes)
    sound(tmp_path / "in" / "a.wav")
    arguments = ["--head-model", "flame-2023", "--out", str(tmp_path / "out"), "--fps", "25", *more]
    assert words in refusal(capsys, "vhap", str(tmp_path / "in"), *arguments)
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_what_is_missing_is_said(tmp_path, capsys):
    source, out = write_vhap(tmp_path / "in" / "a.npz").parent, str(tmp_path / "out")
    assert "Expressions mean nothing without the head model" in refusal(capsys, "vhap", str(source), "--out", out)
    named = ("--out", out, "--head-model", "flame-2023")
    assert "Nothing says how many frames a second" in refusal(capsys, "vhap", str(source), *named)
    assert "Track 'a' has no sound." in refusal(capsys, "vhap", str(source), "--fps", "25", *named)
    assert "does not exist" in refusal(capsys, "vhap", str(source / "nowhere"), *named)
    assert "Bare arrays need a mapping file." in refusal(capsys, "npy", str(source), *named)
    (tmp_path / "map.json").write_text('{"each": "{clip}.npy", "expression": "x", "jaw": "y", "smile": 1}')
    said = refusal(capsys, "npy", str(source), *named, "--mapping", str(tmp_path / "map.json"))
    assert "says 'smile', which is not understood" in said


def test_bases_are_not_mixed(tmp_path, capsys):
    write_vhap(tmp_path / "in" / "a.npz")
    sound(tmp_path / "in" / "a.wav")
    brought(tmp_path / "in", "vhap", tmp_path / "out", "--fps", "25")
    arguments = ("--out", str(tmp_path / "out"), "--fps", "25", "--head-model", "flame-2020")
    assert "in the basis of 'flame-2023', not of 'flame-2020'" in refusal(
        capsys, "vhap", str(tmp_path / "in"), *arguments
    )


def test_a_hostile_pickle_is_refused(tmp_path, capsys):
    class Hostile:
        def __reduce__(self):
            return Path.mkdir, (tmp_path / "witness",)

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.pkl").write_bytes(pickle.dumps({"expression_params": Hostile()}))
    arguments = ("--out", str(tmp_path / "out"), "--fps", "25", "--head-model", "flame-2023")
    assert "a.pkl" in refusal(capsys, "smirk", str(tmp_path / "in"), *arguments)
    assert not (tmp_path / "witness").exists()


def test_rotations_are_interpolated_as_rotations():
    ends = Rotation.from_rotvec([[0, 0, 3.0], [0, 0, -3.0]])  # 16.2 degrees apart the short way
    half = at_times(ends, np.array([0.0, 1.0]), np.array([0.5])).as_rotvec()[0]
    assert abs(abs(half[2]) - np.pi) < 1e-9
    turned = Rotation.from_rotvec([[0.1, 0.9, 0.0]]) * Rotation.from_rotvec(swing(times(25), 0, 0.2) - [0.05, 0, 0])
    about = about_mean(turned).as_rotvec()
    np.testing.assert_allclose(
        about[:, 0], swing(times(25), 0, 0.2)[:, 0] - swing(times(25), 0, 0.2)[:, 0].mean(), atol=2e-3
    )
    assert np.abs(about[:, 1:]).max() < 1e-9, "a nod stays a nod though the camera looked from the side"


def test_forms_of_rotations():
    turn = Rotation.from_rotvec(RNG.normal(0, 0.5, (6, 3)))
    quaternion = turn.as_quat()
    for form, values in {
        "axis_angle": turn.as_rotvec(), "euler_xyz": turn.as_euler("xyz"), "euler_zyx": turn.as_euler("zyx"),
        "quaternion_xyzw": quaternion, "quaternion_wxyz": quaternion[:, [3, 0, 1, 2]],
        "six": turn.as_matrix()[:, :2].reshape(6, 6) * 2.0, "matrix": turn.as_matrix(),
    }.items():  # fmt: skip
        np.testing.assert_allclose((from_form(values, form) * turn.inv()).magnitude(), 0, atol=1e-7, err_msg=form)
    with pytest.raises(TalkingEyesError, match="is not known"):
        from_form(np.zeros((1, 3)), "gibbs")
