"""The worker's private environment: which torch for which machine, and making it for real with small wheels."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from talkingeyes_blender.errors import Cancelled, TalkingEyesError
from talkingeyes_blender.worker import environment
from talkingeyes_blender.worker.environment import FAULTS, Setup, python_in, remove, status
from talkingeyes_blender.worker.torch_builds import Build, Machine, choose, cuda_in

# -- which torch


@pytest.mark.parametrize(
    ("machine", "name", "index"),
    [
        (Machine("Linux", "x86_64"), "CPU", "whl/cpu"),
        (Machine("Windows", "AMD64"), "CPU", "whl/cpu"),
        (Machine("Linux", "x86_64", cuda=(13, 1)), "CUDA 13.0", "whl/cu130"),
        (Machine("Windows", "AMD64", cuda=(12, 9)), "CUDA 12.8", "whl/cu128"),
        (Machine("Windows", "AMD64", cuda=(12, 4)), "CUDA 11.8", "whl/cu118"),
        (Machine("Linux", "x86_64", cuda=(10, 2)), "CPU", "whl/cpu"),
        (Machine("Linux", "x86_64", rocm=(6, 4)), "ROCm 6.4", "whl/rocm6.4"),
        (Machine("Linux", "x86_64", rocm=(7, 1)), "ROCm 6.4", "whl/rocm6.4"),
        (Machine("Linux", "x86_64", rocm=(5, 7)), "CPU", "whl/cpu"),
        (Machine("Windows", "AMD64", rocm=(6, 4)), "CPU", "whl/cpu"),
        (Machine("Linux", "x86_64", cuda=(12, 8), rocm=(6, 4)), "CUDA 12.8", "whl/cu128"),
        (Machine("Linux", "aarch64"), "CPU", "whl/cpu"),
        (Machine("Darwin", "arm64"), "Metal", None),
        (Machine("Darwin", "x86_64"), "CPU", None),
    ],
)
def test_the_build_suits_the_machine(machine, name, index):
    build = choose(machine)
    assert build.name == name
    assert build.index is None if index is None else build.index.endswith(index)
    assert build.index is None or build.index.startswith("https://download.pytorch.org/")


def test_who_wants_the_cpu_downloads_no_cuda():
    assert choose(Machine("Linux", "x86_64", cuda=(13, 0)), cpu_only=True).name == "CPU"


def test_what_the_user_should_know_is_said():
    assert "Update the driver" in choose(Machine("Linux", "x86_64", cuda=(10, 2))).note.replace("update", "Update")
    assert "Intel Macs" in choose(Machine("Darwin", "x86_64")).note
    assert choose(Machine("Darwin", "x86_64")).requirements[0] == "torch==2.2.2"


@pytest.mark.parametrize("machine", [Machine("Windows", "ARM64"), Machine("Linux", "i686"), Machine("Plan 9", "mips")])
def test_machines_that_torch_is_not_made_for(machine):
    with pytest.raises(TalkingEyesError, match="PyTorch is not made for"):
        choose(machine)


def test_the_drivers_cuda_is_read():
    text = "| NVIDIA-SMI 570.86.15   Driver Version: 570.86.15   CUDA Version: 12.8  |"
    assert cuda_in(text) == (12, 8) and cuda_in("No devices were found") is None


# -- making it

BUILD = Build("CPU", None, 10, 10, ("torch", "soundfile"))


def wheel(folder: Path, name: str) -> Path:
    """A wheel with one module that says who it is."""
    folder.mkdir(exist_ok=True)
    files = {
        f"{name}.py": f"name = {name!r}\n",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    files[f"{name}-1.0.dist-info/RECORD"] = record + f"{name}-1.0.dist-info/RECORD,,\n"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in files.items():
            archive.writestr(inside, text)
    return path


@pytest.fixture
def wheels(tmp_path) -> Path:
    for name in BUILD.requirements:
        wheel(tmp_path / "wheels of Zoë", name)
    return tmp_path / "wheels of Zoë"


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "an environment, ä"


@pytest.fixture(autouse=True)
def tried(monkeypatch):
    """The motion that is made for a trial needs the real torch; here its packages must be there and importable."""

    def attempt(setup: Setup) -> None:
        code = "import torch, soundfile; print(torch.name, soundfile.name)"
        done = subprocess.run([python_in(setup.folder), "-c", code], capture_output=True, text=True, check=False)
        if done.returncode:
            raise TalkingEyesError("It does not work.", done.stderr)
        setup._packages = {"torch": "1.0"}

    monkeypatch.setattr(Setup, "_try", attempt)


def test_an_environment_is_made_found_and_removed(folder, wheels, tmp_path):
    assert status(folder).state == "absent"
    setup = Setup(folder, BUILD, wheels=wheels, log_path=tmp_path / "setup.log", cache=tmp_path / "cache")
    setup.wait()
    assert setup.state == "done" and setup.fraction == 1
    assert status(folder) == environment.Status("ready", "CPU", "1.0")
    assert json.loads((folder / "environment.json").read_text())["made_from"] == sys.executable
    said = (tmp_path / "setup.log").read_text(encoding="utf-8")
    assert "-m venv" in said and "Successfully installed torch-1.0" in said
    inside = subprocess.run([python_in(folder), "-c", "import numpy"], capture_output=True, check=False)
    assert inside.returncode, "nothing of ours reaches into it"
    remove(folder)
    assert not folder.exists() and status(folder).state == "absent"


def test_a_set_up_goes_on_where_it_stopped(folder, wheels):
    soundfile = next(wheels.glob("soundfile*"))
    soundfile.rename(wheels.parent / soundfile.name)
    with pytest.raises(TalkingEyesError, match="A package was not found for this Python"):
        Setup(folder, BUILD, wheels=wheels).wait()
    assert status(folder).state == "unfinished"
    config = (folder / "pyvenv.cfg").stat().st_mtime_ns
    (wheels.parent / soundfile.name).rename(soundfile)
    Setup(folder, BUILD, wheels=wheels).wait()
    assert status(folder).ready and (folder / "pyvenv.cfg").stat().st_mtime_ns == config


def test_an_environment_that_does_not_work_is_not_ready(folder, wheels, monkeypatch):
    def attempt(setup: Setup) -> None:
        raise TalkingEyesError("The worker lacks something.", "Mend it.")

    monkeypatch.setattr(Setup, "_try", attempt)
    with pytest.raises(TalkingEyesError, match="lacks something"):
        Setup(folder, BUILD, wheels=wheels).wait()
    assert status(folder).state == "unfinished"


@pytest.mark.skipif(os.name == "nt", reason="Windows copies the Python instead of linking to it")
def test_an_environment_whose_python_is_gone_is_made_again(folder, wheels):
    Setup(folder, BUILD, wheels=wheels).wait()
    for path in (folder / "bin").glob("python*"):
        path.unlink()
        path.symlink_to("/nowhere/python")
    assert status(folder).state == "broken"
    Setup(folder, BUILD, wheels=wheels).wait()
    assert status(folder).ready


@pytest.mark.skipif(os.name == "nt", reason="looks into /proc")
def test_cancelling_leaves_no_process_and_can_go_on(folder, wheels):
    setup = Setup(folder, BUILD, wheels=wheels)
    while setup._process is None:
        time.sleep(0.005)
    pid = setup._process.pid
    setup.cancel()
    with pytest.raises(Cancelled):
        setup.wait()
    assert setup.state == "cancelled" and not Path(f"/proc/{pid}").exists()
    Setup(folder, BUILD, wheels=wheels).wait()
    assert status(folder).ready


def test_a_python_that_cannot_be_used(folder, tmp_path):
    with pytest.raises(TalkingEyesError, match="cannot be started"):
        Setup(folder, BUILD, python=str(tmp_path / "no" / "python")).wait()
    if os.name == "posix":
        other = tmp_path / "python"
        other.write_text("#!/bin/sh\nexit 1\n")
        other.chmod(0o755)
        with pytest.raises(TalkingEyesError, match=r"is older than 3\.10, or of 32 bits"):
            Setup(folder, BUILD, python=str(other)).wait()
    assert not folder.exists()


def test_a_folder_of_the_users_is_not_removed(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "cat.png").write_bytes(b"cat")
    with pytest.raises(TalkingEyesError, match="is not an environment of TalkingEyes"):
        remove(tmp_path / "pictures")
    assert (tmp_path / "pictures" / "cat.png").exists()


class Quiet(Setup):
    """Does nothing, and can be told what pip says."""

    def _run(self) -> None:
        pass


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("WARNING: Retrying ... NewConnectionError('<pip...>: [Errno 101] Network is unreachable')", "not be reached"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))", "not trusted"),
        ("ERROR: Could not find a version that satisfies the requirement torch", "not found for this Python"),
        ("The virtual environment was not created because ensurepip is not available.", "cannot make environments"),
        ("PermissionError: [WinError 5] Access is denied: 'torch_cpu.dll'", "could not be written"),
        ("error: something else\nbye", "pip ended with the exit code 2: error: something else"),
    ],
)
def test_what_went_wrong_is_said_with_what_to_do(folder, said, words):
    error = Quiet(folder, BUILD, log_path=folder / "log")._fault(["python", "-m", "pip"], 2, said.splitlines())
    assert words in error.message and error.hint
    assert len(FAULTS) == 6


def test_progress_only_grows_and_names_what_is_done(folder):
    setup = Quiet(folder, Build("CPU", None, 300, 1000))
    setup._begin("Installing torch")
    assert not setup._hear("Progress 90000000 of 180000000") and setup.fraction == pytest.approx(0.03 + 0.72 * 0.45)
    before = setup.fraction
    setup._hear("Progress 1 of 5000")
    assert setup.fraction == before
    assert setup._hear("Downloading https://download.pytorch.org/whl/cpu/torch-2.13.0.whl (190 MB)")
    assert setup.detail == "Downloading torch-2.13.0.whl" and setup.seconds_left > 0


@pytest.mark.skipif("TALKINGEYES_TEST_SETUP" not in os.environ, reason="installs torch: make test-setup")
def test_the_real_thing(folder, tmp_path, monkeypatch):
    monkeypatch.undo()
    requirement = os.environ["TALKINGEYES_TEST_SETUP"]
    build = Build("CPU", None, 300, 1200, (requirement, "numpy", "scipy", "soundfile", "safetensors"))
    setup = Setup(folder, build, log_path=tmp_path / "setup.log")
    phases = set()
    while setup.state == "running":
        phases.add(setup.phase)
        time.sleep(0.1)
    setup.wait()
    assert phases == set(environment.SHARES)
    there = status(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    print(f"\n{there} in {time.monotonic() - setup._began:.0f} s, {size / 1e6:.0f} MB")
    assert there.ready and there.torch.startswith("2.")
