"""``python -m talkingeyes_blender.inference``, end to end on a tiny bundle."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from _bundles import tiny_bundle
from _heads import tiny_head, write_head

from talkingeyes_blender.head import arkit
from talkingeyes_blender.head.flame_motion import read_flame
from talkingeyes_blender.inference.__main__ import main
from talkingeyes_blender.motion import Motion

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    return str(tiny_bundle(tmp_path_factory.mktemp("weights")))


@pytest.fixture(autouse=True)
def features(tmp_path, monkeypatch) -> Path:
    """Where the command keeps what it heard."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "talkingeyes" / "features"


@pytest.fixture
def sounds(tmp_path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    random = np.random.default_rng(0)
    soundfile.write(folder / "one.wav", 0.1 * random.standard_normal((44100, 2)), 44100)
    soundfile.write(folder / "two.wav", 0.1 * random.standard_normal(12000), 22050, format="FLAC")
    (folder / "text.wav").write_text("not sound " * 50)
    (folder / "empty.wav").touch()
    return folder


def test_as_a_command(sounds, weights, tmp_path):
    out = tmp_path / "new" / "out"
    done = subprocess.run(
        [
            sys.executable, "-m", "talkingeyes_blender.inference", *map(str, sorted(sounds.iterdir())),
            "--out", str(out), "--seed", "7", "--weights", weights, "--device", "cpu", "--takes", "2",
        ],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert {path.name for path in out.iterdir()} == {"one.npz", "one.take2.npz", "two.npz", "two.take2.npz"}
    assert "text.wav is a text" in done.stderr and "empty.wav is empty" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert "100%" in done.stderr
    with np.load(out / "one.npz", allow_pickle=False) as archive:
        assert set(archive) == {"fps", "expression", "jaw", "head", "eyes", "blink", "seed", "head_model"}
        assert archive["fps"] == 25 and archive["seed"] == 7 and archive["head_model"] == arkit.STANDIN
        shapes = {name: archive[name].shape for name in ("expression", "jaw", "head", "eyes", "blink")}
    assert shapes == {"expression": (25, 41), "jaw": (25, 3), "head": (25, 3), "eyes": (25, 6), "blink": (25, 2)}
    assert Motion.load(out / "two.npz").frames == 14
    assert Motion.load(out / "one.take2.npz").seed == 8
    if os.name == "posix":
        assert (out / "two.npz").stat().st_mode & 0o044 == 0o044, "others of the studio can read it"


def run(capsys, *arguments) -> tuple[int, str]:
    code = main([str(argument) for argument in arguments])
    return code, capsys.readouterr().err


def test_all_good_is_zero_and_repeats(sounds, weights, tmp_path, capsys):
    for out in ("a", "b"):
        assert run(capsys, sounds / "one.wav", "--out", tmp_path / out, "--weights", weights, "--device", "cpu")[0] == 0
    one, other = (Motion.load(tmp_path / out / "one.npz") for out in ("a", "b"))
    assert np.array_equal(one.eyes, other.eyes) and one.seed == 0


def test_what_was_heard_is_kept_if_one_wants(sounds, weights, tmp_path, capsys, features):
    command = [sounds / "one.wav", "--out", tmp_path / "out", "--weights", weights, "--device", "cpu"]
    assert run(capsys, *command, "--no-features")[0] == 0 and not features.exists()
    assert run(capsys, *command, "--features", tmp_path / "mine")[0] == 0 and not features.exists()
    assert len(list((tmp_path / "mine").iterdir())) == 1
    assert run(capsys, *command)[0] == 0
    assert [path.name for path in features.iterdir()] == [path.name for path in (tmp_path / "mine").iterdir()]


def test_settings_arrive(sounds, weights, tmp_path, capsys):
    def motion(*more: str) -> Motion:
        code, errors = run(
            capsys, sounds / "one.wav", "--out", tmp_path, "--weights", weights, "--device", "cpu", *more
        )
        assert code == 0, errors
        return Motion.load(tmp_path / "one.npz")

    plain = motion()
    assert not motion("--blink-rate", "0").blink.any()
    argmin = motion("--gaze", "argmin")
    assert not np.array_equal(argmin.eyes, plain.eyes)
    assert np.array_equal(motion("--top-k", "1").eyes, argmin.eyes)
    assert np.array_equal(motion("--temperature", "0").eyes, argmin.eyes)


def test_two_files_of_one_name(sounds, weights, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "one.flac").write_bytes((sounds / "one.wav").read_bytes())
    code, errors = run(
        capsys, sounds / "one.wav", other / "one.flac", "--out", tmp_path / "out", "--weights", weights, "--device=cpu"
    )
    assert code == 1 and "one.flac would replace" in errors
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one.npz"]


def test_a_folder_in_two_processes_and_again(sounds, weights, tmp_path, capsys, monkeypatch):
    for name in ("a/one.wav", "a/two.mp3", "b/one.flac", "ü/three.ogg"):
        (sounds / name).parent.mkdir(exist_ok=True)
        (sounds / name).write_bytes((sounds / "two.wav").read_bytes())
    (sounds / "notes.txt").write_text("no sound")
    (sounds / "empty.wav").unlink()
    arguments = (sounds, "--out", tmp_path / "out", "--weights", weights, "--device", "cpu", "--takes", "2", "--resume")
    monkeypatch.setenv("WORLD_SIZE", "2")
    made = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        before = set((tmp_path / "out").rglob("*.npz"))
        run(capsys, *arguments)
        made.append({str(p.relative_to(tmp_path / "out")) for p in set((tmp_path / "out").rglob("*.npz")) - before})
    assert len(made[0] | made[1]) == 12 and len(made[0]) == 6, "each file once, text.wav passed over"
    assert {"a/one.npz", "a/one.take2.npz", "b/one.npz", "ü/three.npz", "one.npz", "two.npz"} <= made[0] | made[1]
    monkeypatch.delenv("WORLD_SIZE"), monkeypatch.delenv("RANK")
    (tmp_path / "out" / "a" / "one.take2.npz").unlink()
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npz")}
    code, errors = run(capsys, *arguments)
    assert code == 1 and "text.wav is a text" in errors
    again = {path.name for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp}
    assert again == {"one.npz"} and (tmp_path / "out" / "a" / "one.take2.npz").is_file()


def test_a_folder_without_sounds(weights, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    code, errors = run(capsys, tmp_path / "in", "--out", tmp_path / "out", "--weights", weights, "--device", "cpu")
    assert code == 1 and "holds no sound files" in errors


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--weights", "nowhere"], "no weight bundle in nowhere"), (["--blink-rate", "-3"], "'blink_rate' is -3"),
        (["--temperature", "nan"], "'temperature' is nan"), (["--top-k", "-1"], "'top_k' is -1"),
    ],
)  # fmt: skip
def test_what_cannot_start(sounds, weights, tmp_path, capsys, more, words):
    arguments = [sounds / "one.wav", "--out", tmp_path / "out", "--weights", weights, "--device", "cpu", *more]
    code, errors = run(capsys, *arguments)
    assert code == 1 and words in errors and "Traceback" not in errors


def test_an_out_that_is_a_file(sounds, weights, tmp_path, capsys):
    (tmp_path / "out").touch()
    code, errors = run(capsys, sounds / "one.wav", "--out", tmp_path / "out", "--weights", weights)
    assert code == 1 and "could not be made" in errors


def test_bad_usage(capsys):
    for arguments in ([], ["x.wav"], ["x.wav", "--out", "o", "--takes", "0"], ["x.wav", "--out", "o", "--gaze", "up"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
    capsys.readouterr()


def test_further_files(sounds, weights, tmp_path, capsys):
    head = write_head(tmp_path / "head.npz", tiny_head())
    options = ["--out", tmp_path / "out", "--weights", weights, "--device", "cpu", "--takes", 2]
    formats = ["--also", "flame", "gaussian-avatar", "arkit-csv", "live-link-csv"]
    code, errors = run(capsys, sounds / "one.wav", *options, *formats)
    assert code == 1 and "Name the FLAME file that it was made with (--flame)." in errors
    assert not (tmp_path / "out").exists()
    code, errors = run(capsys, sounds / "one.wav", *options, *formats, "--flame", head)
    assert code == 0, errors
    endings = (".npz", ".flame.npz", ".avatar.npz", ".arkit.csv", ".live-link.csv")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{name}{ending}" for name in ("one", "one.take2") for ending in endings
    }
    motion = Motion.load(tmp_path / "out" / "one.npz")
    flame, _, _ = read_flame(tmp_path / "out" / "one.flame.npz")
    assert flame.head_model == tiny_head().identity and np.array_equal(flame.jaw, motion.jaw)
    assert len((tmp_path / "out" / "one.arkit.csv").read_text().splitlines()) == motion.frames + 1
    (tmp_path / "out" / "one.arkit.csv").unlink()
    assert run(capsys, sounds / "one.wav", *options, *formats, "--flame", head, "--resume")[0] == 0
    assert (tmp_path / "out" / "one.arkit.csv").is_file()
    code, errors = run(capsys, sounds / "one.wav", *options, "--also", "flame", "--flame", tmp_path / "gone.pkl")
    assert code == 1 and "gone.pkl could not be read" in errors and "Traceback" not in errors
