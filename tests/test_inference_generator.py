"""The generator: one seed, one motion; new gaze under a kept head; clips of any length; cancelling."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from _bundles import tiny_bundle

from talkingeyes_blender.errors import Cancelled, TalkingEyesError
from talkingeyes_blender.head import arkit
from talkingeyes_blender.inference import generator as generators
from talkingeyes_blender.inference.audio import AudioClip, read_audio
from talkingeyes_blender.inference.generator import Generator, pick_device
from talkingeyes_blender.inference.hearing import encode
from talkingeyes_blender.inference.settings import GenerationSettings

torch.set_num_threads(1)

CHANNELS = ("expression", "jaw", "head", "eyes", "blink")
MOUTH = [arkit.INDEX[name] for name in ("mouthClose", "mouthFunnel", "mouthSmileLeft", "jawForward")]


def clip(seconds: float, seed: int = 0) -> AudioClip:
    """Noise in syllables of changing colour."""
    random = np.random.default_rng(seed)
    n = max(1, round(seconds * 16000))
    sound = random.standard_normal(n + 64)
    dull, sharp = np.convolve(sound, np.ones(30) / 5, "same")[:n], np.diff(sound)[:n]
    at = np.arange(n) / 16000
    mix = np.sin(2 * np.pi * 1.3 * at + seed) ** 2
    return AudioClip(0.1 * (mix * dull + (1 - mix) * sharp) * (0.05 + np.sin(2 * np.pi * 2.1 * at) ** 2))


def silent(seconds: float) -> AudioClip:
    return AudioClip(np.zeros(round(seconds * 16000), np.float32))


def differing(one, other) -> set[str]:
    return {name for name in CHANNELS if not np.array_equal(getattr(one, name), getattr(other, name))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def generator(folder):
    return Generator(folder, "cpu")


@pytest.fixture
def encodings(generator, monkeypatch):
    """Frames of each clip that the face encoder was given."""
    seen, encode = [], generator.bundle.face_encoder.encode

    def counted(samples, tick=None):
        seen.append(len(samples))
        return encode(samples, tick)

    monkeypatch.setattr(generator.bundle.face_encoder, "encode", counted)
    return seen


# -- what comes out


@pytest.mark.parametrize("seconds", [1 / 16000, 0.03, 0.2, 0.5, 1.99, 2.0, 3.21])
def test_any_length(generator, seconds):
    sound = clip(seconds)
    motion = generator.generate(sound, 1)
    frames = max(1, int(np.ceil(len(sound.samples) / 640)))
    assert motion.frames == frames == sound.frames
    assert motion.fps == 25 and motion.seed == 1 and motion.head_model == arkit.STANDIN
    for name, width in {"expression": 41, "jaw": 3, "head": 3, "eyes": 6, "blink": 2}.items():
        assert getattr(motion, name).shape == (frames, width)
        assert np.isfinite(getattr(motion, name)).all()


def test_it_moves(generator):
    motion = generator.generate(clip(6), 1)
    for name in CHANNELS:
        assert getattr(motion, name).std(axis=0).max() > 1e-3, name


def test_a_seed_gives_one_motion(folder, generator):
    sound = clip(4)
    first = generator.generate(sound, 5)
    assert not differing(first, generator.generate(sound, 5)), "warm"
    assert not differing(first, Generator(folder, "cpu").generate(sound, 5)), "fresh"
    assert differing(first, generator.generate(sound, 6)) == {"head", "eyes", "blink"}, "the face has no randomness"


@pytest.mark.parametrize("seed", [0, -1, 2**31 - 1, -(2**63), 2**63 - 1, np.int64(3)])
def test_any_seed(generator, seed, tmp_path):
    motion = generator.generate(clip(0.4), seed)
    motion.save(tmp_path / "m.npz")
    assert type(motion).load(tmp_path / "m.npz").seed == seed


def test_the_streams_of_a_seed_are_independent():
    draws = [_first_draws(seed) for seed in range(50)]
    assert len({number for draw in draws for number in draw}) == 150, "no stream repeats another, of any seed"


def _first_draws(seed: int) -> tuple[int, int, int]:
    streams = generators.Streams(seed)
    return streams.head().initial_seed(), streams.gaze(), int(streams.blinks().integers(2**63))


def test_a_seed_beyond_64_bits(generator):
    with pytest.raises(TalkingEyesError, match="too large"):
        generator.generate(clip(0.4), 2**64)


def test_other_sound_moves_another_face(generator):
    one, other = generator.generate(clip(3), 1), generator.generate(clip(3, seed=9), 1)
    assert {"expression", "jaw", "head"} <= differing(one, other)
    assert np.array_equal(one.blink, other.blink), "blinks know the seed and the length alone"


def test_a_long_clip_in_pieces_equals_one_piece(generator, monkeypatch):
    """Windows of encoding and blocks of decoding leave no seam."""
    sound = clip(12)
    monkeypatch.setattr(generators, "_BLOCK", 10_000)
    whole = generator.generate(sound, 1, GenerationSettings(gaze="argmin"))
    generator._heard.clear()
    monkeypatch.setattr(generators, "_BLOCK", 37)
    monkeypatch.setattr(generator.bundle.face_encoder, "window", 50)
    pieces = generator.generate(sound, 1, GenerationSettings(gaze="argmin"))
    for name in CHANNELS:
        assert np.abs(getattr(whole, name) - getattr(pieces, name)).max() < 1e-4, name


def test_a_short_clip_is_heard_as_in_a_longer_one(generator):
    """Repeated for its levels, a short clip's features differ less from those in place than they would without."""
    sound = clip(8)
    samples = torch.from_numpy(sound.samples)
    encoder = generator.bundle.face_encoder
    whole = encoder.encode(samples)
    errors = {"repeated": 0.0, "alone": 0.0}
    for first in range(10, 180, 13):
        part = samples[first * 640 : (first + 10) * 640]
        there = whole[:, first : first + 10]
        errors["repeated"] += (encode(encoder, part, lambda done: None) - there).abs().mean().item()
        errors["alone"] += (encoder.encode(part) - there).abs().mean().item()
    assert errors["repeated"] < errors["alone"]


def test_two_encoders(tmp_path):
    motion = Generator(tiny_bundle(tmp_path, gaze_encoder=True), "cpu").generate(clip(2.5), 1)
    shared = Generator(tiny_bundle(tmp_path, gaze_encoder=False), "cpu").generate(clip(2.5), 1)
    assert {"head", "eyes"} <= differing(motion, shared)


def test_joined_by_time(tmp_path):
    assert Generator(tiny_bundle(tmp_path, memory="time"), "cpu").generate(clip(2.5), 1).frames == 63


# -- silence


@pytest.mark.parametrize("seconds", [0.2, 5.0])
def test_silence_gives_a_still_mouth(generator, seconds):
    motion = generator.generate(silent(seconds), 1)
    assert not motion.jaw.any() and not motion.expression[:, MOUTH].any()
    assert motion.expression[:, arkit.INDEX["browInnerUp"]].any()


def test_the_mouth_is_still_in_the_pauses_alone(generator):
    sound = AudioClip(np.concatenate([clip(2).samples, np.zeros(32000, np.float32), clip(2, 1).samples]))
    motion = generator.generate(sound, 1)
    at = np.arange(motion.frames) / 25
    pause = (at > 2.25) & (at < 3.75)
    assert not motion.jaw[pause].any() and not motion.expression[pause][:, MOUTH].any()
    assert (np.abs(motion.jaw[at < 1.9]).max(axis=1) > 0).all()
    assert np.abs(motion.jaw[at > 4.3]).max() > 1e-2


# -- takes and resampling


def test_takes_are_what_their_seeds_give(generator, encodings):
    sound = clip(3)
    takes = generator.generate_takes(sound, [3, 4, 5])
    assert [take.seed for take in takes] == [3, 4, 5] and len(encodings) == 1
    for take in takes:
        generator._heard.clear()
        alone = generator.generate(sound, take.seed)
        assert differing(take, alone) <= {"head", "eyes"}
        assert np.abs(take.head - alone.head).max() < 1e-5 and np.abs(take.eyes - alone.eyes).max() < 1e-5
    assert generator.generate_takes(sound, []) == []


def test_resampling_changes_the_eyes_alone(generator, encodings):
    sound = clip(4)
    motion = generator.generate(sound, 5)
    other = generator.resample(sound, motion, 6)
    assert differing(motion, other) == {"eyes"}
    assert (other.seed, other.head_model, other.fps) == (motion.seed, motion.head_model, motion.fps)
    assert np.abs(other.eyes - motion.eyes).max() > 0.02
    assert not differing(motion, generator.resample(sound, motion, 5)), "the first seed gives back its eyes"
    assert len(encodings) == 1, "the speech was encoded once"


def test_resampling_follows_the_head_that_is_there(generator):
    sound = clip(4)
    motion = generator.generate(sound, 5)
    turned = generator.resample(sound, motion.replace(head=motion.head + 0.2), 5)
    assert differing(motion, turned) == {"head", "eyes"}


def test_resampling_does_not_need_the_face(generator):
    sound = clip(2)
    motion = generator.generate(sound, 5)
    generator._heard.clear()
    generator.resample(sound, motion, 6)
    assert generator._heard[sound.digest].face is None
    assert not differing(motion, generator.generate(sound, 5))


def test_resampling_needs_the_motions_own_sound(generator):
    motion = generator.generate(clip(2), 5)
    with pytest.raises(TalkingEyesError, match="50 frames at 25 a second, the sound 75 at 25"):
        generator.resample(clip(3), motion, 1)
    with pytest.raises(TalkingEyesError, match="at 30 a second"):
        generator.resample(clip(2), motion.replace(fps=30), 1)


# -- settings


def test_argmin_has_no_chance_under_a_kept_head(generator):
    sound = clip(4)
    paper = GenerationSettings(gaze="argmin")
    one = generator.generate(sound, 5, paper)
    assert not differing(one, generator.generate(sound, 5, GenerationSettings(top_k=1)))
    assert differing(one, generator.generate(sound, 5)) == {"eyes"}
    again = generator.resample(sound, one, 6, settings=paper)
    assert differing(one, again) == {"eyes"}, "resampling samples whatever the mode"


def test_a_low_temperature_nears_the_argmin(generator):
    sound = clip(5)
    paper = generator.generate(sound, 5, GenerationSettings(gaze="argmin")).eyes
    far = [
        np.abs(generator.generate(sound, 5, GenerationSettings(temperature=t)).eyes - paper).mean() for t in (0, 0.2, 3)
    ]
    assert far[0] == 0 and far[1] < far[2]


def test_blink_rate(generator):
    sound = clip(10)
    rates = {rate: generator.generate(sound, 5, GenerationSettings(blink_rate=rate)) for rate in (0, 20, 80, None)}
    shut = {rate: (motion.blink[:, 0] == 1).sum() for rate, motion in rates.items()}
    assert shut[0] == 0 < shut[20] < shut[80]
    assert all(differing(rates[None], motion) == {"blink"} for rate, motion in rates.items() if rate is not None)


def test_the_bundle_fills_what_is_left_open(folder, tmp_path):
    described = json.loads((folder / "bundle.json").read_text())
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    described["generation"] = {"gaze": "argmin"}
    (tmp_path / "bundle.json").write_text(json.dumps(described))
    sound, argmin = clip(2), Generator(tmp_path, "cpu")
    sample = Generator(folder, "cpu")
    paper = argmin.generate(sound, 1)
    assert not differing(paper, sample.generate(sound, 1, GenerationSettings(gaze="argmin")))
    assert not differing(argmin.generate(sound, 1, GenerationSettings(gaze="sample")), sample.generate(sound, 1))
    described["generation"] = {"gaze": "guess"}
    (tmp_path / "bundle.json").write_text(json.dumps(described))
    with pytest.raises(TalkingEyesError, match="'gaze' is 'guess'"):
        Generator(tmp_path, "cpu").generate(sound, 1)


@pytest.mark.parametrize(
    "bad",
    [
        dict(blink_rate=-1), dict(blink_rate=1000), dict(blink_rate=float("nan")), dict(blink_rate="fast"),
        dict(gaze="guess"), dict(temperature=-0.1), dict(temperature=float("inf")), dict(top_k=-1), dict(top_k=True),
        dict(top_k=2.5),
    ],
)  # fmt: skip
def test_bad_settings(bad):
    with pytest.raises(TalkingEyesError, match=f"'{next(iter(bad))}' is"):
        GenerationSettings(**bad)


# -- memory, progress, cancelling, devices


def test_features_of_a_few_clips_are_kept(generator, encodings):
    sounds = [clip(1, seed) for seed in range(6)]
    for sound in sounds:
        generator.generate(sound, 1)
    assert len(encodings) == 6 and len(generator._heard) == 4
    generator.generate(sounds[2], 1)
    assert len(encodings) == 6, "the last four are there"
    generator.generate(clip(1, 7), 1)
    generator.generate(sounds[2], 1)
    assert len(encodings) == 7, "and the one used last stays longest"
    generator.generate(sounds[0], 1)
    assert len(encodings) == 8


def test_what_is_kept_is_bounded(generator, monkeypatch):
    monkeypatch.setattr(generators, "_KEPT_BYTES", 40_000)
    for seed in range(3):
        generator.generate(clip(4, seed), 1)
    assert sum(heard.bytes for heard in generator._heard.values()) < 60_000
    generator.generate(clip(20), 1)
    assert list(generator._heard) == [clip(20).digest], "the newest is kept, however long"


def test_progress_is_even_and_whole(generator, monkeypatch):
    monkeypatch.setattr(generators, "_BLOCK", 20)
    sound, seen = clip(6), []
    generator.generate(sound, 1, progress=lambda done, phase: seen.append((done, phase)))
    fractions, phases = zip(*seen, strict=True)
    assert fractions[0] == 0 and fractions[-1] == pytest.approx(1)
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(fractions))
    assert list(dict.fromkeys(phases)) == [
        "Listening to the speech", "Moving the face", "Moving the head", "Moving the eyes",
    ]  # fmt: skip
    again = []
    generator.generate_takes(sound, [1, 2], progress=lambda done, phase: again.append((done, phase)))
    assert again[0] == (0, "Moving the head"), "what is known takes no time"
    assert [done for done, _ in again] == sorted(done for done, _ in again)
    assert again[-1][0] == pytest.approx(1)


def test_cancelling_anywhere(generator, monkeypatch):
    monkeypatch.setattr(generators, "_BLOCK", 20)
    sound, calls = clip(3), []
    expected = generator.generate(sound, 1, progress=lambda done, phase: calls.append(phase))
    for stop in range(len(calls)):
        count = iter(range(1000))

        def progress(done: float, phase: str, stop=stop, count=count) -> None:
            if next(count) == stop:
                raise Cancelled

        generator._heard.clear()
        with pytest.raises(Cancelled):
            generator.generate(sound, 1, progress=progress)
        assert torch.get_num_threads() == 1
    assert not differing(expected, generator.generate(sound, 1)), "and it works on"


def test_threads_are_given_back(generator):
    torch.set_num_threads(2)
    try:
        during = []
        generator.generate(clip(2), 1, progress=lambda done, phase: during.append((phase, torch.get_num_threads())))
        assert torch.get_num_threads() == 2
        assert ("Moving the eyes", 1) in during and ("Listening to the speech", 2) in during
    finally:
        torch.set_num_threads(1)


def test_devices():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cuda", "mps", "cpu")
    with pytest.raises(TalkingEyesError, match="'tpu' is not known"):
        pick_device("tpu")
    for kind, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if there:
            assert pick_device(kind).type == kind
        else:
            with pytest.raises(TalkingEyesError, match=f"no {kind.upper()} device"):
                pick_device(kind)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_makes_nearly_the_same_motion(folder):
    sound = clip(4)
    paper = GenerationSettings(gaze="argmin")
    cuda, cpu = (Generator(folder, device).generate(sound, 1, paper) for device in ("cuda", "cpu"))
    assert np.abs(cuda.expression - cpu.expression).max() < 1e-2
    assert np.abs(cuda.head - cpu.head).max() < 1e-3


def test_diverged_weights_are_not_passed_on(generator):
    with torch.no_grad():
        generator.bundle.face_decoder.out.bias[0] = float("nan")
    with pytest.raises(TalkingEyesError, match="'expression' holds values that are not numbers"):
        generator.generate(clip(1), 1)


def test_real_recordings(generator, testdata):
    for path in sorted((testdata / "speech").iterdir()):
        sound = read_audio(path, start=1.0, duration=2.2)
        assert generator.generate(sound, 1).frames == sound.frames
