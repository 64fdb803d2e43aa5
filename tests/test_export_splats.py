"""A Gaussian avatar driven by our motion file, as its viewer would drive it: the picture must move."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from _motions import standin_motion
from _splats import draw, driven_vertices, place, read_avatar, read_motion, triangles, write_avatar

from talkingeyes_blender.head.flame_motion import for_avatar, write_gaussian_avatar
from talkingeyes_blender.head.model import LEFT_EYE, RIGHT_EYE
from talkingeyes_blender.head.standin import load_standin

WINDOW = (-0.105, 0.105, -0.12, 0.155)
STILL, JAW, EYES, BLINK, HEAD = range(5)


@pytest.fixture(scope="module")
def head():
    return load_standin()


@pytest.fixture(scope="module")
def pictures(head, tmp_path_factory):
    """(5, H, W, 3): at rest, jaw open, eyes to the subject's left, eyes shut, head to the subject's left."""
    folder = tmp_path_factory.mktemp("avatar")
    zero = {name: np.zeros((5, width)) for name, width in (("expression", 41), ("jaw", 3), ("head", 3), ("eyes", 6))}
    zero["jaw"][JAW, 0] = np.radians(16)
    zero["eyes"][EYES, [1, 4]] = np.radians(25)
    zero["head"][HEAD, 1] = np.radians(20)
    blink = np.zeros((5, 2))
    blink[BLINK] = 1
    motion = standin_motion(5, **zero, blink=blink)
    write_avatar(folder / "point_cloud.ply", head)
    np.savez(
        folder / "flame_param.npz",
        rotation=np.zeros((2, 3), np.float32),
        translation=np.array([[0.004, 0.01, 0.3], [9, 9, 9]], np.float32),
        shape=np.zeros(300, np.float32),
    )
    write_gaussian_avatar(folder / "motion.npz", for_avatar(motion, head), avatar=folder / "point_cloud.ply")

    splats, values, faces = read_avatar(folder / "point_cloud.ply"), read_motion(folder / "motion.npz"), triangles(head)
    found = [draw(splats, *place(splats, driven_vertices(head, values, frame), faces), WINDOW) for frame in range(5)]
    if os.environ.get("TALKINGEYES_LOOK"):
        from PIL import Image

        sheet = (255 * np.concatenate(found, 1).clip(0, 1)).astype(np.uint8)
        Image.fromarray(sheet).resize((2 * sheet.shape[1], 2 * sheet.shape[0])).save(
            Path(os.environ["TALKINGEYES_LOOK"]) / "splats.png"
        )
    return np.array(found)


def rows(low: float, high: float, height: int) -> slice:
    """Of pixels between two heights in metres, where the avatar stands 1 cm up."""
    bottom, top = WINDOW[2:]
    scale = height / (top - bottom)
    return slice(int((top - 0.01 - high) * scale), int((top - 0.01 - low) * scale))


def change(pictures, frame: int, part: slice) -> float:
    """How much a part of the picture differs from rest, mean of all pixels there."""
    return float(np.abs(pictures[frame] - pictures[STILL])[part].mean())


def test_there_is_a_face(pictures):
    assert 0.3 < (pictures[STILL].sum(-1) > 0.1).mean() < 0.95
    assert np.isfinite(pictures).all() and pictures.max() < 1.5


def test_the_jaw_opens(pictures, head):
    height = pictures.shape[1]
    eyes = head.joints[LEFT_EYE, 1]
    below, above = rows(eyes - 0.15, eyes - 0.05, height), rows(eyes - 0.01, eyes + 0.08, height)
    assert change(pictures, JAW, below) > 0.02
    assert change(pictures, JAW, above) < 0.02 * change(pictures, JAW, below)
    mouth = pictures[:, rows(eyes - 0.09, eyes - 0.045, height), 46:76].sum(-1)
    assert (mouth[JAW] < 0.7).sum() > 30 > (mouth[STILL] < 0.7).sum()  # one looks into it


def test_the_eyes_turn_and_shut(pictures, head):
    height, width = pictures.shape[1:3]
    eyes = head.joints[[LEFT_EYE, RIGHT_EYE], 1].mean()
    band = rows(eyes - 0.012, eyes + 0.012, height)
    for joint in (LEFT_EYE, RIGHT_EYE):
        middle = int((head.joints[joint, 0] + 0.004 - WINDOW[0]) / (WINDOW[1] - WINDOW[0]) * width)
        part = pictures[:, band, middle - 12 : middle + 12]
        iris = (part[..., 2] - part[..., 0] - 0.1).clip(0)
        dark = np.exp(-8 * part[..., 0])  # iris, pupil and lashes
        centre = (dark.sum(1) * np.arange(24)).sum(1) / dark.sum((1, 2))
        assert centre[EYES] - centre[STILL] > 1  # to the subject's left, which is the picture's right
        assert iris[BLINK].sum() < 0.02 * iris[STILL].sum()
    assert change(pictures, EYES, rows(eyes - 0.12, eyes - 0.03, height)) < 0.01 * change(pictures, EYES, band)


def test_the_head_turns(pictures):
    weights = pictures.sum(-1)
    x = np.arange(pictures.shape[2])
    middle = (weights.sum(1) * x).sum(1) / weights.sum((1, 2))
    assert middle[HEAD] - middle[STILL] > 1
