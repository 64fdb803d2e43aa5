"""Features kept on disk: the same motion to the bit, a bounded folder, and no harm from damaged files or full disks."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import soundfile
import torch
from _bundles import tiny_bundle, tiny_networks

from talkingeyes_blender.inference import hearing
from talkingeyes_blender.inference.audio import AudioClip
from talkingeyes_blender.inference.generator import Generator
from talkingeyes_blender.inference.hearing import FeatureCache
from talkingeyes_blender.worker.client import Task, Worker

torch.set_num_threads(1)

CHANNELS = ("expression", "jaw", "head", "eyes", "blink")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("weights"), gaze_encoder=True)


def clip(seconds: float = 3.0, seed: int = 0) -> AudioClip:
    return AudioClip(0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 16000)))


def deaf(generator: Generator) -> Generator:
    """A generator whose encoders must not be asked."""
    for encoder in generator._encoders():
        encoder.encode = lambda *_: pytest.fail("the encoder was asked")
    return generator


def same(one, other) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in CHANNELS)


def kept(folder) -> list:
    return sorted(path for path in folder.iterdir() if path.suffix == ".features")


@pytest.mark.parametrize("seconds", [0.3, 3.0])
def test_another_session_hears_nothing_again(weights, tmp_path, seconds):
    sound, plain = clip(seconds), Generator(weights, "cpu")
    motion = plain.generate(sound, 1)
    assert same(motion, Generator(weights, "cpu", FeatureCache(tmp_path)).generate(sound, 1))
    assert len(kept(tmp_path)) == 2, "one for each encoder"
    later = deaf(Generator(weights, "cpu", FeatureCache(tmp_path)))
    assert same(motion, later.generate(sound, 1))
    later = deaf(Generator(weights, "cpu", FeatureCache(tmp_path)))
    assert same(plain.resample(sound, motion, 2), later.resample(sound, motion, 2))


def test_other_sound_weights_or_settings_are_others(weights, tmp_path, monkeypatch):
    generator = Generator(weights, "cpu")
    encoder = generator.bundle.face_encoder

    def key(sound=clip(), generator=generator):
        encoder = generator.bundle.face_encoder
        return hearing.feature_key(sound, encoder, generator.bundle.digest_of(encoder))

    first = key()
    assert key(clip(seed=1)) != first and key(clip()) == first
    assert key(generator=Generator(tiny_bundle(tmp_path / "a", seed=1), "cpu")) != first
    assert key(generator=Generator(weights, "cpu")) == first
    monkeypatch.setattr(encoder, "window", 99)
    assert key() != first
    monkeypatch.undo()
    monkeypatch.setattr(hearing, "_code", lambda: "newer code")
    assert key() != first


def test_the_two_encoders_of_a_bundle_are_told_apart(weights):
    bundle = Generator(weights, "cpu").bundle
    assert bundle.digest_of(bundle.face_encoder) != bundle.digest_of(bundle.gaze_encoder)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_file_is_made_again(weights, tmp_path, damage):
    sound = clip()
    motion = Generator(weights, "cpu", FeatureCache(tmp_path)).generate(sound, 1)
    whole = {path: path.read_bytes() for path in kept(tmp_path)}
    for path, content in whole.items():
        flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        path.write_bytes({"cut": content[:-7], "flipped": flipped, "empty": b"", "text": b"features " * 99}[damage])
    assert same(motion, Generator(weights, "cpu", FeatureCache(tmp_path)).generate(sound, 1))
    assert {path: path.read_bytes() for path in kept(tmp_path)} == whole


def test_features_of_another_shape_are_not_taken(weights, tmp_path):
    sound = clip()
    motion = Generator(weights, "cpu", FeatureCache(tmp_path)).generate(sound, 1)
    for path in kept(tmp_path):
        FeatureCache(tmp_path).put(path.stem, torch.zeros(1, 3, 16))
    assert same(motion, Generator(weights, "cpu", FeatureCache(tmp_path)).generate(sound, 1))


def test_the_folder_is_bounded_and_what_was_used_longest_ago_goes_first(tmp_path):
    features = torch.randn(1, 100, 16)
    size = 6400 + 400
    cache = FeatureCache(tmp_path, 3 * size)
    for number, name in enumerate("abc"):
        cache.put(name, features + number)
        os.utime(tmp_path / f"{name}.features", (1000 + number, 1000 + number))
    assert torch.equal(cache.get("a"), features), "and now it is the newest"
    cache.put("d", features)
    assert [path.stem for path in kept(tmp_path)] == ["a", "c", "d"]
    cache.put("long", torch.randn(1, 400, 16))
    assert [path.stem for path in kept(tmp_path)] == ["a", "c", "d"], "a clip that would push out all others"
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= cache.limit
    FeatureCache(tmp_path, 0)
    assert not kept(tmp_path)


def test_nothing_half_written_stays(tmp_path, monkeypatch, caplog):
    cache = FeatureCache(tmp_path)
    old, new = tmp_path / "x.part", tmp_path / "y.part"
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))

    def full(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        cache.put("a", torch.zeros(1, 2, 3))
    assert "No space left" in caplog.text and cache.get("a") is None
    assert [path.name for path in tmp_path.iterdir()] == ["y.part"], "which another process may be writing"


def test_a_folder_that_cannot_be_made(weights, tmp_path):
    (tmp_path / "file").touch()
    cache = FeatureCache(tmp_path / "file" / "inside")
    sound = clip(0.5)
    assert same(Generator(weights, "cpu", cache).generate(sound, 1), Generator(weights, "cpu").generate(sound, 1))


def test_the_worker_keeps_them_between_two_starts(weights, tmp_path):
    sound, folder, made = tmp_path / "sound.wav", tmp_path / "features", []
    soundfile.write(sound, clip().samples, 16000)
    for _ in range(2):
        worker = Worker(sys.executable, scratch=tmp_path, features=(folder, 1 << 20))
        try:
            made.append(worker.submit(Task("generate", str(sound), 1, device="cpu", bundle=str(weights))).wait())
        finally:
            worker.close()
        used = [path.stat().st_mtime for path in kept(folder)]
        for path in kept(folder):
            os.utime(path, (1, 1))
    assert same(*made)
    assert len(used) == 2 and min(used) > 1, "the second start has used what the first one kept"


def test_the_places_by_system(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    for system, inside in {"linux": tmp_path, "win32": tmp_path / "local", "darwin": hearing.Path.home()}.items():
        monkeypatch.setattr(sys, "platform", system)
        folder = hearing.default_folder()
        assert folder.is_relative_to(inside) and folder.parts[-2:] == ("talkingeyes", "features")


def test_kinds_of_encoders_all_have_a_key():
    networks = tiny_networks()
    assert hearing.feature_key(clip(), networks["face_encoder"], "w")
