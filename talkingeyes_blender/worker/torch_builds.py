"""Which build of torch suits a machine: a choice from facts about it, so that every machine's can be tested on any."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from ..errors import TalkingEyesError

INDEX = "https://download.pytorch.org/whl/"
"""PyTorch's own index of wheels; a folder of it each kind of build."""

CUDA = ((13, 0), (12, 8), (12, 6), (11, 8))
"""CUDA releases that torch is built for, newest first; a driver runs those up to its own."""
ROCM = ((6, 4), (6, 3), (6, 2))
OLDEST_PYTHON = (3, 10)


@dataclasses.dataclass(frozen=True)
class Machine:
    """What the choice depends on."""

    system: str
    """'Linux', 'Windows' or 'Darwin', as ``platform.system`` says."""
    processor: str
    """'x86_64', 'AMD64', 'arm64', 'aarch64', as ``platform.machine`` says."""
    cuda: tuple[int, int] | None = None
    """Newest CUDA that the NVIDIA driver runs."""
    rocm: tuple[int, int] | None = None
    """AMD's ROCm, if it is installed."""


@dataclasses.dataclass(frozen=True)
class Build:
    """A build of torch."""

    name: str
    """'CPU', 'CUDA 12.8', 'ROCm 6.4', 'Metal'."""
    index: str | None
    """Where pip finds it; None for PyPI."""
    download_megabytes: int
    disk_megabytes: int
    """Of the whole environment, about."""
    requirements: tuple[str, ...] = ("torch", "numpy", "scipy", "soundfile", "safetensors")
    note: str = ""
    """What the user should know of the choice."""


def choose(machine: Machine, cpu_only: bool = False) -> Build:
    """The build for a machine.

    Raises:
        TalkingEyesError: torch is not made for it.
    """
    processor = machine.processor.lower()
    if machine.system == "Darwin":
        if processor == "arm64":
            return Build("Metal", None, 160, 900)
        # The last torch for Intel Macs was made against numpy 1.
        old = ("torch==2.2.2", "numpy<2", "scipy", "soundfile", "safetensors")
        return Build("CPU", None, 230, 900, old, "PyTorch has ended its support of Intel Macs with version 2.2.")
    if processor in ("x86_64", "amd64"):
        note = ""
        if machine.cuda and not cpu_only:
            for release in CUDA:
                if release <= machine.cuda:
                    number = f"{release[0]}{release[1]}"
                    return Build(f"CUDA {release[0]}.{release[1]}", f"{INDEX}cu{number}", 3300, 8000)
            runs = f"{machine.cuda[0]}.{machine.cuda[1]}"
            note = f"The NVIDIA driver runs CUDA {runs}, and torch needs 11.8: update the driver to use the card."
        if machine.rocm and machine.system == "Linux" and not cpu_only:
            for release in ROCM:
                if release <= machine.rocm:
                    number = f"{release[0]}.{release[1]}"
                    return Build(f"ROCm {number}", f"{INDEX}rocm{number}", 4500, 16000)
        return Build("CPU", f"{INDEX}cpu", 300, 1200, note=note)
    if machine.system == "Linux" and processor in ("aarch64", "arm64"):
        return Build("CPU", f"{INDEX}cpu", 250, 1000)
    raise TalkingEyesError(
        f"PyTorch is not made for {machine.system} on {machine.processor}.",
        "Generate on another computer, with python -m talkingeyes_blender.inference.",
    )


def this_machine() -> Machine:
    """The computer that we run on; asks the NVIDIA driver's own program, which takes a moment."""
    return Machine(platform.system(), platform.machine(), _cuda(), _rocm())


def cuda_in(text: str) -> tuple[int, int] | None:
    """The CUDA release in what nvidia-smi prints."""
    found = re.search(r"CUDA Version:\s*(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _cuda() -> tuple[int, int] | None:
    if sys.platform == "darwin":
        return None
    quiet = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(["nvidia-smi"], capture_output=True, text=True, timeout=20, check=False, **quiet)
        return cuda_in(done.stdout)
    return None


def _rocm(root: Path = Path("/opt/rocm")) -> tuple[int, int] | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        numbers = (root / ".info" / "version").read_text(encoding="utf-8").strip().split(".")
        return int(numbers[0]), int(numbers[1])
    return None
