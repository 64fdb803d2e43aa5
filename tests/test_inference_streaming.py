"""Streaming: the same motion however the sound comes in, nothing that the future changes, bounded memory."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from _bundles import tiny_bundle
from test_inference_generator import CHANNELS, clip

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.inference import mel_encoder
from talkingeyes_blender.inference.generator import Generator
from talkingeyes_blender.inference.mel_encoder import MelEncoder, MelEncoderConfig, MelStream
from talkingeyes_blender.inference.streaming import Causality
from talkingeyes_blender.motion import Motion

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    return Generator(tiny_bundle(tmp_path_factory.mktemp("weights")), "cpu")


def streamed(generator, samples, sizes, seed=3, **keywords) -> dict[str, np.ndarray]:
    stream = generator.stream(seed, **keywords)
    made, at = [], 0
    while at < len(samples):
        size = sizes[len(made) % len(sizes)]
        made.append(stream.push(samples[at : at + size]))
        at += size
    made = [motion for motion in [*made, stream.finish()] if motion is not None]
    assert stream.finish() is None and all(isinstance(motion, Motion) for motion in made)
    return {name: np.concatenate([getattr(motion, name) for motion in made]) for name in CHANNELS}


def test_pieces_of_any_size_give_the_same_motion(generator):
    samples = clip(13.7).samples  # more than one window of the head, and more than the history
    whole = streamed(generator, samples, [len(samples)])
    assert all(len(channel) == -(-len(samples) // 640) for channel in whole.values())
    for sizes in ([640], [977], [5, 4000, 123]):
        parts = streamed(generator, samples, sizes)
        for name in CHANNELS:
            assert np.array_equal(parts[name], whole[name]), name
    assert whole["eyes"].std() > 0 and whole["head"].std() > 0 and whole["jaw"].std() > 0


def test_what_comes_later_changes_nothing(generator):
    one, other = clip(6, seed=1).samples, clip(6, seed=2).samples
    frames, causality = 75, Causality()
    both = np.concatenate([one[: frames * 640], other[frames * 640 :]])
    first, second = (streamed(generator, samples, [len(samples)]) for samples in (one, both))
    same = frames - causality.ahead - causality.block + 1
    for name in CHANNELS:
        assert np.array_equal(first[name][:same], second[name][:same]), name
    assert not np.array_equal(first["jaw"][same + 8 :], second["jaw"][same + 8 :])


def test_the_latency_is_what_it_says(generator):
    causality = Causality(block=2, ahead=3)
    stream = generator.stream(1, causality=causality)
    heard = 0
    for _ in range(60):
        motion = stream.push(np.full(160, 0.01, np.float32))
        heard += 160
        assert heard / 16000 - stream.frames / 25 <= causality.latency
        if motion is not None:
            assert motion.frames == 2
    assert causality.latency == pytest.approx(0.2)


def test_where_all_is_heard_ahead_a_stream_makes_what_generate_makes(generator, monkeypatch):
    """Nothing is left of the causal setting then but the level of speech that has only begun, which is taken out."""
    monkeypatch.setattr(mel_encoder, "_CREST", 99.0)
    sound = clip(3.0)
    made = generator.generate(sound, 7)
    other = streamed(generator, sound.samples, [len(sound.samples)], 7, causality=Causality(block=75, ahead=0))
    for name in CHANNELS:
        assert np.allclose(getattr(made, name), other[name], atol=1e-5), name


def test_rows_of_a_stream_are_those_of_the_clip():
    """The encoder's spectra, put together from pieces, against those of the clip in one."""
    torch.manual_seed(0)
    encoder = MelEncoder(MelEncoderConfig(dim=8, dilations=(1,), fine_dilations=(1,))).eval()
    samples = torch.randn(640 * 30) * 0.1
    samples[:3200] *= 10  # loud enough that the loudest row is not the level
    stream = MelStream(encoder, 250)
    pieces = [stream.hear(samples[i * 640 : (i + 3) * 640], i) for i in range(0, 30, 3)]
    again = MelStream(encoder, 250).hear(samples, 0)
    assert pieces[-1].shape == (1, 3, 8) and torch.allclose(pieces[-1], again[:, -3:], atol=1e-5)
    assert stream._whole >= 4 * 29 and len(stream._tail) < 640


def test_memory_does_not_grow(generator):
    stream = generator.stream(1)
    sizes = []
    for i in range(40):
        stream.push(clip(1.0, seed=i).samples)
        if i >= 25:
            kept = [*stream._kept, stream._heads, *(ear._spectra for ear in stream._ears)]
            sizes.append(sum(part.numel() for part in kept) + len(stream._past) + len(stream._samples))
    # A window of the head that is nearly over is kept until it is: the sum goes up and down, and not up and up.
    assert max(sizes) <= 1.1 * min(sizes)


@pytest.mark.parametrize("bad", [np.zeros((4, 2), np.float32), np.array([0.0, np.nan], np.float32)])
def test_bad_sound_is_refused_and_the_stream_goes_on(generator, bad):
    stream = generator.stream(1)
    with pytest.raises(TalkingEyesError, match="one channel of finite numbers"):
        stream.push(bad)
    assert stream.push(np.zeros(16000, np.float32)).frames >= 20
    stream.finish()
    with pytest.raises(TalkingEyesError, match="finished"):
        stream.push(np.zeros(10, np.float32))


def test_a_stream_without_sound_and_settings_that_cannot_be(generator):
    assert generator.stream(1).finish() is None
    with pytest.raises(TalkingEyesError, match="cannot be made"):
        Causality(block=0)


def test_an_encoder_that_hears_whole_clips_is_refused(generator, monkeypatch):
    networks = {**generator.bundle.networks, "face_encoder": torch.nn.Identity()}
    monkeypatch.setattr(generator, "bundle", dataclasses.replace(generator.bundle, networks=networks))
    with pytest.raises(TalkingEyesError, match="hears whole clips only"):
        generator.stream(1)
