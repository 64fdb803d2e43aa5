"""Lips that are decided to be shut are shut on the stand-in, and others are apart."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from _bundles import tiny_networks
from test_inference_generator import clip

from talkingeyes_blender.head import arkit
from talkingeyes_blender.head.standin import load_standin
from talkingeyes_blender.inference import closing
from talkingeyes_blender.inference.bundle import save_bundle
from talkingeyes_blender.inference.face_decoder import FaceDecoder
from talkingeyes_blender.inference.generator import Generator
from talkingeyes_blender.training.starter_evaluation.mouth import Viewer

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def viewer():
    return Viewer(load_standin())


def faces(ajar: float = 0.0) -> np.ndarray:
    """Jaws of 1 to 14 degrees with what opens lips in speech."""
    degrees = np.linspace(1.0, 14.0, 27)
    face = np.zeros((len(degrees), len(arkit.EXPRESSIONS) + 3), np.float32)
    face[:, -3] = np.radians(degrees)
    for name in ("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight"):
        face[:, arkit.INDEX[name]] = 0.2
    face[:, arkit.INDEX["mouthClose"]] = ajar * degrees / arkit.MOUTH_CLOSE_JAW_DEGREES
    return face


def gap(viewer, face: np.ndarray) -> np.ndarray:
    return viewer(face[:, :-3], face[:, -3:]).gap


@pytest.mark.parametrize("ajar", [0.0, 0.5, 0.9])
def test_shut_lips_meet_and_others_part(viewer, ajar):
    face = faces(ajar)
    shut = closing.decide(face, np.ones(len(face)), arkit.STANDIN)
    assert gap(viewer, shut).max() < 1.0
    apart = closing.decide(face, np.zeros(len(face)), arkit.STANDIN)
    wide = np.degrees(face[:, -3]) > 3
    assert gap(viewer, apart)[wide].min() > 1.2
    assert np.array_equal(shut[:, -3:], face[:, -3:]) and np.array_equal(face, faces(ajar))


def test_it_closes_the_more_the_surer_and_without_a_step(viewer):
    face = np.repeat(faces()[[10]], 101, axis=0)
    gaps = gap(viewer, closing.decide(face, np.linspace(0, 1, 101), arkit.STANDIN, shut_at=0.6))
    assert np.all(np.diff(gaps) <= 1e-3) and np.abs(np.diff(gaps)).max() < 0.12 * gaps[0]
    assert gaps[50] == pytest.approx(gaps[0], abs=1e-3) and gaps[71] < 1.0


def test_a_basis_without_names_is_left_as_it_is():
    face = np.ones((4, 53), np.float32)
    assert closing.decide(face, np.ones(4), "flame2023") is face


def test_a_generator_with_such_a_decoder_takes_it_at_its_word(tmp_path, viewer):
    networks = tiny_networks()
    torch.manual_seed(0)
    old = networks["face_decoder"]
    face = FaceDecoder(dataclasses.replace(old.config, shut=8)).eval()
    face.load_state_dict(old.state_dict(), strict=False)
    networks["face_decoder"] = face
    for name, bias in (("always", 30.0), ("never", -30.0)):
        with torch.no_grad():
            face.shut[-1].bias.fill_(bias)
            face.mean[-3], face.out.weight[-3] = 0.15, 0.0
        save_bundle(tmp_path / name, networks, name=name, head_model=arkit.STANDIN, generation={"shut_at": 0.6})
    sound = clip(2.0)
    always, never = (Generator(tmp_path / name, "cpu").face(sound) for name in ("always", "never"))
    close = arkit.INDEX["mouthClose"]
    degrees = np.degrees(always[:, -3])
    assert np.allclose(always[:, close], degrees / arkit.MOUTH_CLOSE_JAW_DEGREES, atol=1e-4)
    assert (never[:, close] <= 0.71 * degrees / arkit.MOUTH_CLOSE_JAW_DEGREES).all()
    stream = Generator(tmp_path / "always", "cpu").stream(1)
    motion = stream.push(sound.samples)
    assert np.allclose(
        motion.expression[:, close], np.degrees(motion.jaw[:, 0]) / arkit.MOUTH_CLOSE_JAW_DEGREES, atol=1e-4
    )
