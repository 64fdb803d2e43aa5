"""Resampling of parts, for all frames and for some: what is kept, and how new frames are joined to it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
import torch
from _bundles import tiny_bundle
from test_inference_generator import CHANNELS, clip, differing

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head.rotation import angle_between, matrix_from_axis_angle
from talkingeyes_blender.inference import resampling
from talkingeyes_blender.inference.audio import read_audio
from talkingeyes_blender.inference.blinks import ENVELOPE, make_blinks
from talkingeyes_blender.inference.gaze_decoder import CodeSampler, GazeSteps
from talkingeyes_blender.inference.generator import Generator
from talkingeyes_blender.inference.settings import GenerationSettings
from talkingeyes_blender.motion import Motion

torch.set_num_threads(1)

GAZE, HEAD, BLINKS = ("gaze",), ("head", "gaze"), ("blinks",)
CHANGED = {GAZE: {"eyes"}, HEAD: {"head", "eyes"}, BLINKS: {"blink"}}


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    return Generator(tiny_bundle(tmp_path_factory.mktemp("weights"), past="code"), "cpu")


@pytest.fixture(scope="module")
def sound():
    return clip(8)


@pytest.fixture(scope="module")
def motion(generator, sound):
    return generator.generate(sound, 5)


def frame_speed(vectors: np.ndarray) -> np.ndarray:
    """(T - 1,) degrees from frame to frame; of the faster eye."""
    return np.degrees(
        np.max(
            [np.linalg.norm(np.diff(vectors[:, i : i + 3], axis=0), axis=1) for i in range(0, vectors.shape[1], 3)], 0
        )
    )


# -- all frames


@pytest.mark.parametrize("parts", [GAZE, HEAD, BLINKS, ("blinks", "gaze"), ("head", "gaze", "blinks")])
def test_parts_change_and_nothing_else(generator, sound, motion, parts):
    other = generator.resample(sound, motion, 6, parts)
    assert differing(motion, other) == set().union(*(CHANGED[p] for p in (GAZE, HEAD, BLINKS) if set(p) <= set(parts)))
    assert other.seed == motion.seed
    assert not differing(motion, generator.resample(sound, motion, 5, parts)), "its own seed gives back the parts"


def test_a_new_head_is_that_of_its_seed(generator, sound, motion):
    other = generator.resample(sound, motion, 6, ("head", "gaze", "blinks"))
    assert not differing(other, generator.generate(sound, 6))


def test_all_parts_of_another_seed(generator, sound, motion):
    blank = motion.replace(**{name: 0 * getattr(motion, name) for name in CHANNELS})
    assert not differing(generator.resample(sound, blank, 6, resampling.PARTS), generator.generate(sound, 6))
    assert differing(motion, generator.resample(sound, motion, 6, ("head",))) == {"head"}


def test_the_paper_s_gaze_follows_a_new_head(generator, sound):
    paper = GenerationSettings(gaze="argmin")
    one = generator.generate(sound, 5, paper)
    other = generator.resample(sound, one, 6, HEAD, settings=paper)
    assert not differing(other.replace(blink=one.blink), generator.generate(sound, 6, paper).replace(blink=one.blink))


# -- some frames


@pytest.mark.parametrize("frames", [(60, 140), (0, 50), (150, 200), (97, 102), (0, 200)])
@pytest.mark.parametrize("parts", [GAZE, HEAD, BLINKS])
def test_frames_outside_are_kept(generator, sound, motion, parts, frames):
    other = generator.resample(sound, motion, 6, parts, frames)
    assert differing(motion, other) <= CHANGED[parts]
    for name in CHANNELS:
        kept, new = getattr(motion, name), getattr(other, name)
        assert np.array_equal(kept[: frames[0]], new[: frames[0]]), name
        assert np.array_equal(kept[frames[1] :], new[frames[1] :]), name
    again = generator.resample(sound, motion, 6, parts, frames)
    assert not differing(other, again), "the same seed makes the same"


@pytest.mark.parametrize("parts", [GAZE, HEAD, BLINKS])
def test_seeds_differ_inside(generator, sound, motion, parts):
    one, other = (generator.resample(sound, motion, seed, parts, (50, 170)) for seed in (6, 7))
    assert differing(one, other) == differing(one, motion) == CHANGED[parts]


def test_seams_are_no_jumps(generator, sound, motion):
    """What is left at the last frame is what the kept motion moves there anyway; the head nowhere hurries."""
    usual = frame_speed(motion.head).max()
    farthest = np.degrees(np.linalg.norm(np.ptp(motion.eyes, axis=0)[:3]))
    for seed in range(8):
        for first, last in ((50, 120), (80, 100), (30, 190)):
            other = generator.resample(sound, motion, seed, HEAD, (first, last))
            eyes, head = frame_speed(other.eyes), frame_speed(other.head)
            assert eyes[last - 1] <= frame_speed(motion.eyes)[last - 1] + 0.6
            assert eyes.max() <= 1.5 * farthest, "no farther than from one glance of the clip to another"
            assert head[first - 1] <= usual + 0.5 and head[last - 1] <= usual + 0.5
            assert head[first:last].max() <= usual * 2 + 1.01


def test_real_seams(testdata):
    """With the starter's weights: no seam moves eyes or head faster than the clip does elsewhere."""
    generator = Generator(None, "cpu")
    for path in sorted((testdata / "speech").iterdir())[:1]:
        sound = read_audio(path, duration=8.0)
        motion = generator.generate(sound, 1)
        third = motion.frames // 3
        for parts in (GAZE, HEAD):
            for seed in (2, 3, 4):
                other = generator.resample(sound, motion, seed, parts, (third, 2 * third))
                assert differing(motion, other) == CHANGED[parts]
                for channel in ("eyes", "head"):
                    new, kept = frame_speed(getattr(other, channel)), frame_speed(getattr(motion, channel))
                    assert new[[third - 1, 2 * third - 1]].max() <= kept.max()
                    assert new[2 * third - 1] <= kept[2 * third - 1] + 0.6
                assert np.degrees(np.abs(other.eyes - motion.eyes)).max() > 1


def test_a_past_is_taken_as_the_decoders_own(generator, sound, motion):
    """Given the true codes, the decoder goes on exactly as it did."""
    decoder, vqvae = generator.bundle.gaze_decoder, generator.bundle.gaze_vqvae
    speech = generator._heard[sound.digest].gaze_features if sound.digest in generator._heard else None
    assert speech is not None
    head = torch.from_numpy(motion.head)[None]
    codes = []

    class Likeliest(CodeSampler):
        def choose(self, kit, logits, lead):
            codes.append(torch.tensor([logits.argmax(-1)]))
            return codes[-1]

    likeliest = Likeliest(0)
    with torch.inference_mode():
        whole = GazeSteps(decoder, vqvae, 1, likeliest)(speech, head, 0, motion.frames)
        drawn = torch.stack(codes, 1)
        for begin in (0, 100 - resampling.reach(decoder, 100)):
            steps = GazeSteps(decoder, vqvae, 1, likeliest)
            rebuilt = steps.follow(speech, head, begin, whole[:, begin:100], drawn[:, begin:100])
            torch.testing.assert_close(rebuilt, whole[:, 99])
            torch.testing.assert_close(steps(speech, head, 100, motion.frames - 100), whole[:, 100:])


def test_the_decoder_looks_no_further_back_than_it_is_shown(generator, sound, motion):
    reach = resampling.reach(generator.bundle.gaze_decoder, 150)
    assert 0 < reach < 150
    old = motion.eyes.copy()
    old[: 150 - reach - 30] += 0.1
    one = generator.resample(sound, motion, 6, GAZE, (150, 180))
    other = generator.resample(sound, motion.replace(eyes=old), 6, GAZE, (150, 180))
    np.testing.assert_array_equal(one.eyes[150:], other.eyes[150:])


def test_progress_of_some_frames(generator, sound, motion):
    seen = []
    generator.resample(sound, motion, 6, HEAD, (50, 120), progress=lambda done, phase: seen.append((done, phase)))
    fractions = [done for done, _ in seen]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("parts", "frames", "words"),
    [
        (GAZE, (-1, 20), "no frames -1 to 19"),
        (GAZE, (20, 201), "no frames 20 to 200"),
        (GAZE, (20, 20), "no frames"),
        (GAZE, (20, 23), "3 frames are too few"),
        (("face",), (20, 60), "face of some frames"),
        (("brows",), None, "'brows' is not known"),
        ((), None, "No part"),
    ],
)
def test_what_cannot_be_resampled(generator, sound, motion, parts, frames, words):
    with pytest.raises(TalkingEyesError, match=words):
        generator.resample(sound, motion, 6, parts, frames)


# -- the parts' joints


def test_blinks_are_whole():
    kept = np.zeros((100, 2), np.float32)
    for start in (28, 50, 68, 90):  # the first and the third reach over the borders
        kept[start : start + 5] = ENVELOPE[:, None]
    drawn = np.zeros_like(kept)
    for start in (27, 33, 40, 62, 68):
        drawn[start : start + 5] = ENVELOPE[:, None]
    out = resampling.join_blinks(kept, drawn, 30, 70)
    expected = np.zeros_like(kept)
    for start in (28, 40, 68, 90):
        expected[start : start + 5] = ENVELOPE[:, None]
    np.testing.assert_array_equal(out[:, 0], expected[:, 0])


def test_blinks_of_any_draw_are_whole():
    for seed in range(200):
        random = np.random.default_rng(seed)
        kept, drawn = make_blinks(150, random, 60), make_blinks(150, random, 60)
        first, last = sorted(random.choice(140, 2, False).tolist())
        out = resampling.join_blinks(kept, drawn, first, last)
        np.testing.assert_array_equal(out[:first], kept[:first])
        np.testing.assert_array_equal(out[last:], kept[last:])
        shut = np.flatnonzero(np.diff(np.pad((out[:, 0] > 0).astype(int), 1)))
        lengths = shut[1::2] - shut[::2]
        assert set(lengths) <= {5}, (seed, lengths)
        assert not len(lengths) or (shut[2::2] - shut[1:-1:2]).min(initial=9) >= 2


def test_lids_that_stay_shut_stay_shut():
    kept = np.ones((60, 2), np.float32)
    np.testing.assert_array_equal(resampling.join_blinks(kept, np.zeros_like(kept), 20, 40), kept)


def test_a_head_far_away_is_not_reached_in_a_hurry():
    kept = np.zeros((100, 3), np.float32)
    drawn = np.tile(np.float32([0, 1, 0]), (1, 20, 1))
    head = resampling.join_head(kept, drawn, 40, 60)
    assert 0 < frame_speed(head).max() <= 1.01
    assert frame_speed(head)[[39, 59]].max() < 0.2, "and gently"
    long = resampling.join_head(kept, np.tile(np.float32([0, 0.3, 0]), (1, 80, 1)), 10, 90)
    assert long[50, 1] == pytest.approx(0.3, abs=1e-3)
    assert angle_between(long[9], long[10]) < np.radians(0.1)


def test_the_nearest_head_is_taken():
    kept = np.zeros((100, 3), np.float32)
    drawn = np.stack([np.tile(np.float32([0, y, 0]), (60, 1)) for y in (0.5, -0.1, 0.3)])
    assert resampling.join_head(kept, drawn, 20, 80)[50, 1] == pytest.approx(-0.1, abs=1e-3)


def gazes(*stretches: tuple[int, float]) -> np.ndarray:
    """(T, 6) eyes that fixate so many frames at so many degrees to the left, one after the other."""
    yaw = np.radians(np.concatenate([np.full(n, y) for n, y in stretches]))
    return np.stack([0 * yaw, yaw, 0 * yaw] * 2, 1).astype(np.float32)


def joined(kept, drawn, blink=None, first=20):
    still = np.zeros((len(kept), 3), np.float32)
    blink = np.zeros((len(kept), 2), np.float32) if blink is None else blink
    motion = Motion(still[:, :0], still, still, kept, blink, 0, "none")
    return np.degrees(resampling.join_gaze(motion, drawn, motion, first)[:, 1])


def test_eyes_land_by_a_saccade_and_rest():
    kept = gazes((100, 0.0))
    yaw = joined(kept, gazes((60, 12.0))[None])
    steps = np.abs(np.diff(yaw[20:]))
    assert (steps > 0.1).sum() == 1, "12 degrees take 54 ms: about a frame"
    assert abs(yaw[20]) == pytest.approx(12, abs=0.1) and abs(yaw[79]) < 1e-6
    large = joined(kept, gazes((60, 30.0))[None])
    assert (np.abs(np.diff(large[20:])) > 0.1).sum() == 2, "30 degrees take two"


def test_a_saccade_that_is_made_anyway_lands_there():
    yaw = joined(gazes((100, 0.0)), gazes((47, 12.0), (13, 20.0))[None])
    assert np.flatnonzero(np.abs(np.diff(yaw[20:])) > 0.1).tolist() == [46]
    assert set(np.round(yaw[20:80])) == {12, 0}


def test_eyes_go_over_behind_shut_lids():
    blink = np.zeros((100, 2), np.float32)
    blink[68:73] = ENVELOPE[:, None]
    yaw = joined(gazes((100, 0.0)), gazes((60, 6.0))[None], blink)
    change = int(np.abs(np.diff(yaw[20:])).argmax()) + 21
    assert 69 <= change <= 71 or blink[change].min() > 0.8


def test_the_gaze_that_ends_nearest_is_taken():
    yaw = joined(gazes((100, 0.0)), np.stack([gazes((60, 15.0)), gazes((60, -3.0)), gazes((60, 9.0))]))
    assert yaw[30] == pytest.approx(-3)


def test_eyes_near_enough_glide():
    yaw = joined(gazes((100, 0.0)), gazes((60, 0.4))[None])
    assert np.abs(np.diff(yaw[20:])).max() < 0.25


def test_eyes_look_at_the_same_from_under_another_head():
    random = np.random.default_rng(0)
    old, new = random.uniform(-0.2, 0.2, (2, 50, 3))
    flat = random.uniform(-0.15, 0.15, (50, 2))
    eyes = np.concatenate([flat, np.zeros((50, 1))] * 2, 1)
    there = resampling.look_there(eyes, old, new)

    def aim(head, each):
        return (matrix_from_axis_angle(head) @ matrix_from_axis_angle(each[:, :3]))[:, :, 2]

    np.testing.assert_allclose(aim(new, there), aim(old, eyes), atol=1e-9)
    np.testing.assert_array_equal(resampling.look_there(eyes, old, old), eyes)
