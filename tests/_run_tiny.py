"""Train the tests' tiny setting in a process of its own: ``_run_tiny.py DATA OUT STAGE [KEY=VALUE ...]``."""

# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: E402
from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import torch
from test_training import face_stage, gaze_stage, vqvae_stage

from talkingeyes_blender.training import config as recipes
from talkingeyes_blender.training.dataset import Dataset
from talkingeyes_blender.training.gaze_vqvae import GazeVQVAETraining
from talkingeyes_blender.training.loop import run


def main(folder: str, out: str, which: str, *settings: str) -> None:
    torch.set_num_threads(1)
    data = Dataset(folder)
    if which == "gaze-vqvae":
        stage = GazeVQVAETraining(data, recipes.changed(vqvae_stage(data).config, list(settings)))
    elif which == "face":
        stage = face_stage(data, **vars(recipes.changed(face_stage(data).config, list(settings))))
    else:
        vqvae = vqvae_stage(data).networks["gaze_vqvae"]
        stage = gaze_stage(data, vqvae, **vars(recipes.changed(gaze_stage(data, vqvae).config, list(settings))))
    run(stage, stage.config.loop, Path(out))


main(*sys.argv[1:])
