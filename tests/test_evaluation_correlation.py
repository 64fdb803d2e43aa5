"""The correlation network: what it may not see, and that it finds what ties motion to speech and nothing else."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from _datasets import tiny_dataset

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head import arkit
from talkingeyes_blender.training.config import LoopConfig
from talkingeyes_blender.training.dataset import Dataset, Sequence, write_description, write_sequence
from talkingeyes_blender.training.evaluation.correlation import CorrelationConfig, CorrelationNetwork, correlation
from talkingeyes_blender.training.evaluation.correlation_training import (
    CorrelationStage,
    CorrelationTraining,
    load_correlation,
    mirror,
)
from talkingeyes_blender.training.evaluation.trial import try_correlation
from talkingeyes_blender.training.evaluation.windows import EDGE, Decoupled, Recordings
from talkingeyes_blender.training.loop import run

TINY = CorrelationConfig(frames=50, dim=16, features=8, dilations=(1, 2), bands=16)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def tied_sequence(number: int, seconds: float = 12.0) -> Sequence:
    """Noise that comes and goes, and eyes that turn down while it is there."""
    rng = np.random.default_rng(number)
    frames = int(seconds * 25)
    loud = np.repeat(rng.random(frames // 8 + 1) > 0.5, 8)[:frames].astype(np.float32)
    samples = rng.normal(0, 0.2, frames * 640).astype(np.float32) * (0.01 + np.repeat(loud, 640))
    eyes = rng.normal(0, 0.02, (frames, 6))
    eyes[:, [0, 3]] += 0.2 * loud[:, None]
    return Sequence(
        id=f"t{number:02d}", subject=f"s{number}", source="test", head_model=arkit.STANDIN,
        expression=np.zeros((frames, len(arkit.EXPRESSIONS))), jaw=np.zeros((frames, 3)),
        head=rng.normal(0, 0.05, (frames, 3)), eyes=eyes, blink=np.zeros((frames, 2)), valid=np.ones(frames, bool),
        samples=samples,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tied(tmp_path_factory) -> Dataset:
    folder = tmp_path_factory.mktemp("tied")
    sequences = [tied_sequence(i) for i in range(20)]
    for sequence in sequences:
        write_sequence(folder, sequence)
    splits = {s.subject: "validation" if i < 4 else "test" if i < 9 else "train" for i, s in enumerate(sequences)}
    write_description(folder, head_model=arkit.STANDIN, subjects={s.id: s.subject for s in sequences}, splits=splits)
    return Dataset(folder)


def stage(dataset: Dataset, steps: int, **changes) -> CorrelationTraining:
    loop = LoopConfig(steps=steps, batch=8, learning_rate=4e-3, validate_every=steps, save_every=steps)
    return CorrelationTraining(dataset, dataclasses.replace(CorrelationStage(model=TINY, loop=loop), **changes))


class TestNetwork:
    def test_the_cosine_lies_between_0_and_1(self):
        torch.manual_seed(0)
        network = CorrelationNetwork(TINY).eval()
        cosine = network(torch.randn(3, 50 * 640), torch.randn(3, 50, 6))
        assert ((cosine >= 0) & (cosine <= 1)).all()

    def test_the_level_of_the_sound_is_not_heard(self):
        torch.manual_seed(0)
        network = CorrelationNetwork(TINY).eval()
        samples = torch.randn(1, 50 * 640) * 0.1
        torch.testing.assert_close(
            network.speech_features(samples), network.speech_features(3 * samples), atol=1e-4, rtol=0
        )

    def test_correlation_of_takes_is_the_mean_over_windows(self):
        torch.manual_seed(0)
        network = CorrelationNetwork(TINY).eval()
        rng = np.random.default_rng(0)
        samples, takes = rng.normal(size=75 * 640).astype(np.float32), rng.normal(size=(2, 75, 6))
        by_hand = [
            network(torch.from_numpy(samples[None, s * 640 : (s + 50) * 640]),
                    torch.from_numpy(takes[k, None, s : s + 50].astype(np.float32))).item()
            for k in range(2) for s in (0, 25)
        ]  # fmt: skip
        assert correlation(network, samples, takes) == pytest.approx(np.mean(by_hand), abs=1e-5)
        with pytest.raises(ValueError, match="fewer"):
            correlation(network, samples, takes[:, :40])

    def test_a_mirror_twice_is_no_mirror(self):
        motion = np.random.default_rng(0).normal(size=(4, 6))
        np.testing.assert_allclose(mirror(mirror(motion)), motion)
        np.testing.assert_allclose(mirror(np.array([[1.0, 2, 3]])), [[1, -2, -3]])


class TestPairs:
    def test_windows_hold_no_end_and_no_lost_frame(self, tied):
        recordings = Recordings(tied, "eyes", 50)
        starts = recordings[0].starts
        assert starts.min() == EDGE and starts.max() + 50 == 300 - EDGE
        sound, motion = recordings.window(recordings[0], int(starts[0]))
        assert sound.shape == (50 * 640,) and motion.shape == (50, 6)
        sequence = tied[0]
        lost = sequence.valid.copy()
        lost[100] = False

        class One:
            def __len__(self):
                return 1

            def __getitem__(self, index):
                return dataclasses.replace(sequence, valid=lost)

        starts = Recordings(One(), "eyes", 50)[0].starts
        assert not ((starts <= 100) & (starts + 50 > 100)).any()

    def test_a_batch_has_two_windows_of_each_recording_and_the_generator_decides(self, tied):
        one, again = (stage(tied, 1).batch(np.random.default_rng(3)) for _ in range(2))
        assert all(torch.equal(one[name], again[name]) for name in one)
        assert one["samples"].shape == (16, 50 * 640) and one["motion"].shape == (16, 50, 6)

    def test_positives_and_negatives_weigh_alike(self, tied):
        """A network that knows nothing but says one half has the loss of a coin, whatever the size of the batch."""
        training = stage(tied, 1)
        network = training.networks["correlation"]
        network.speech_features = lambda samples: torch.full((len(samples), 4), 0.5)
        network.motion_features = lambda motion: torch.full((len(motion), 4), 0.25)
        terms = training.losses(training.batch(np.random.default_rng(0)), 0, torch.Generator())
        assert terms["total"].item() == pytest.approx(2 * np.log(2), rel=1e-5)

    def test_decoupled_motion_is_another_recordings(self, tied):
        split = tied.split("train")
        dealt = Decoupled(split)
        taken = [
            next(j for j in range(len(split)) if np.array_equal(dealt[i].eyes, split[j].eyes))
            for i in range(len(split))
        ]
        assert sorted(taken) == list(range(len(split)))
        assert all(i != j for i, j in enumerate(taken))
        assert np.array_equal(dealt[0].samples, split[0].samples)

    def test_recordings_that_are_too_short_are_said(self, tmp_path):
        dataset = Dataset(tiny_dataset(tmp_path))
        with pytest.raises(TalkingEyesError, match="two valid windows"):
            stage(dataset, 1).batch(np.random.default_rng(0))


def test_it_finds_what_is_tied_and_nothing_where_nothing_is(tied, tmp_path):
    results = {}
    for decoupled in (False, True):
        training = stage(tied, 120, decoupled=decoupled)
        best = run(training, training.config.loop, tmp_path / str(decoupled))
        network, _ = load_correlation(best)
        results[decoupled] = try_correlation(network, tied.split("test"), decoupled=decoupled)
    assert results[False].shifted.low > 0.75 and results[False].swapped.low > 0.75
    for found in (results[True].shifted, results[True].swapped):
        assert found.low < 0.5 < found.high
    assert "AUC against shifted pairs" in str(results[False])
