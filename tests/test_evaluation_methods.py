"""Baselines, variants and the reproduction: each method's contract, and the whole of it in a tiny setting."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from _datasets import tiny_sequence

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head import arkit
from talkingeyes_blender.inference.gaze_decoder import GazeDecoderConfig
from talkingeyes_blender.inference.gaze_vqvae import GazeVQVAEConfig
from talkingeyes_blender.inference.head_vae import HeadVAEConfig
from talkingeyes_blender.inference.mel_encoder import MelEncoderConfig
from talkingeyes_blender.training.__main__ import main
from talkingeyes_blender.training.config import GazeVQVAEStage, LoopConfig, SpeechToGazeStage
from talkingeyes_blender.training.dataset import Dataset, write_description, write_sequence
from talkingeyes_blender.training.evaluation import methods, settings, tables
from talkingeyes_blender.training.evaluation.baselines import Mean, Random, SimilarSample
from talkingeyes_blender.training.evaluation.cascade import Cascade
from talkingeyes_blender.training.evaluation.components import COMPONENTS, Context, method_of
from talkingeyes_blender.training.evaluation.correlation import CorrelationConfig
from talkingeyes_blender.training.evaluation.correlation_training import CorrelationStage
from talkingeyes_blender.training.evaluation.gaze_vae import GazeVAEConfig
from talkingeyes_blender.training.evaluation.locks import claim
from talkingeyes_blender.training.evaluation.report import write_report
from talkingeyes_blender.training.evaluation.reproduce import Task, reproduce, tasks
from talkingeyes_blender.training.evaluation.variants import VariantStage, VariantTraining, build_networks
from talkingeyes_blender.training.speech_to_gaze import SpeechToGazeTraining

LOOP = LoopConfig(steps=2, batch=2, frames=50, learning_rate=1e-3, validate_every=2, save_every=1)
TINY = settings.Setting(
    name="tiny",
    vqvae=GazeVQVAEStage(model=GazeVQVAEConfig(dim=16, layers=1, heads=2, hidden=16, code_dim=8), loop=LOOP),
    stage_two=SpeechToGazeStage(
        encoder=MelEncoderConfig(dim=16, bands=16, dilations=(1,), fine_dilations=(1,)),
        head=HeadVAEConfig(speech_dim=16, latent=4, dim=16, layers=1, heads=2, hidden=16),
        gaze=GazeDecoderConfig(speech_dim=16, code_dim=8, dim=16, layers=1, heads=2, hidden=16, window=20, radius=4),
        loop=LOOP,
    ),
    correlation=CorrelationStage(
        model=CorrelationConfig(frames=50, dim=16, features=8, dilations=(1,), bands=16),
        loop=dataclasses.replace(LOOP, ema=0.9),
    ),
    gaze_vae=GazeVAEConfig(speech_dim=16, latent=4, dim=16, layers=1, hidden=16),
    sequences=3, clips=2, takes=2, frames=60, codes=(16, 24, 12, 8),
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    sequences = [tiny_sequence(f"s{i:02d}", f"subject{i}", seconds=8.0, seed=i) for i in range(9)]
    for sequence in sequences:
        write_sequence(folder, sequence)
    splits = {f"subject{i}": "validation" if i in (0, 1) else "test" if i in (2, 3) else "train" for i in range(9)}
    write_description(folder, head_model=arkit.STANDIN, subjects={s.id: s.subject for s in sequences}, splits=splits)
    return folder


@pytest.fixture(scope="module")
def dataset(corpus) -> Dataset:
    return Dataset(corpus)


@pytest.fixture(scope="module")
def clips(dataset):
    return methods.test_clips(dataset.split("test"), 2, 60)


class TestClips:
    def test_a_clip_is_cut_from_the_recording_with_its_sound(self, dataset, clips):
        clip = clips[0]
        sequence = next(s for s in dataset if s.id == clip.speech.id)
        np.testing.assert_array_equal(clip.eyes, sequence.eyes[25:85])
        np.testing.assert_array_equal(clip.speech.samples, sequence.samples[25 * 640 : 85 * 640])
        np.testing.assert_allclose(clip.head.mean(0), 0, atol=1e-6)
        assert clip.speech.frames == 60

    def test_too_short_a_split_is_said(self, dataset):
        with pytest.raises(TalkingEyesError, match="fewer than two recordings"):
            methods.test_clips(dataset.split("test"), 2, 500)


class TestBaselines:
    def test_mean_is_the_training_mean_for_each_frame_and_take(self, dataset, clips):
        train = dataset.split("train")
        made = Mean(train).takes(clips[0].speech, [0, 1])
        expected = np.concatenate([s.eyes for s in train]).mean(0)
        np.testing.assert_allclose(made.eyes, np.broadcast_to(expected, (2, 60, 6)), atol=1e-6)
        assert made.head is None

    @pytest.mark.parametrize("kind", [Random, SimilarSample])
    def test_takes_are_stretches_of_training_gaze_and_follow_their_seeds(self, dataset, clips, kind):
        train = dataset.split("train")
        method = kind(train)
        made = method.takes(clips[0].speech, range(9))
        again = method.takes(clips[0].speech, [3])
        np.testing.assert_array_equal(made.eyes[3], again.eyes[0])
        recorded = [s.eyes for s in train]
        for take in made.eyes:
            assert any(
                np.array_equal(take, eyes[start : start + 60]) for eyes in recorded for start in range(len(eyes) - 59)
            )
        assert len({take.tobytes() for take in made.eyes}) > 1

    def test_the_most_similar_sound_is_the_sound_itself(self, dataset):
        train = dataset.split("train")
        sequence = train[1]
        speech = methods.Speech("x", sequence.samples[6 * 5 * 640 : (6 * 5 + 60) * 640])
        made = SimilarSample(train, nearest=1).takes(speech, [0])
        np.testing.assert_array_equal(made.eyes[0], sequence.eyes[30:90])


def random_cascade(head: str, gaze: str, **changes) -> Cascade:
    torch.manual_seed(0)
    base, tiny = TINY.stage_two, TINY
    networks = build_networks(
        VariantStage(base=base, head=head, gaze=gaze, gaze_vae=tiny.gaze_vae, head_decoder=tiny.head_decoder())
    )
    from talkingeyes_blender.inference.gaze_vqvae import GazeVQVAE

    for name, channel in (("head_vqvae", "head"), ("gaze_vqvae", "eyes")):
        vqvae = GazeVQVAE(tiny.vqvae_of(channel, 16, 0).model)
        torch.nn.init.normal_(vqvae.codebook)
        networks[name] = vqvae
    return Cascade("random", networks, **changes)


class TestCascade:
    @pytest.mark.parametrize(("head", "gaze"), [("vae", "vae"), ("vae", "vqvae"), ("vqvae", "vqvae")])
    def test_a_take_is_its_seeds_whatever_is_made_beside_it(self, clips, head, gaze):
        method = random_cascade(head, gaze, sampled=True)
        made = method.takes(clips[0].speech, [5, 6, 7])
        again = method.takes(clips[0].speech, [7])
        np.testing.assert_allclose(made.head[2], again.head[0], atol=1e-5)
        np.testing.assert_allclose(made.eyes[2], again.eyes[0], atol=1e-4)
        assert made.head.shape == (3, 60, 3) and made.eyes.shape == (3, 60, 6)
        assert np.abs(made.head[0] - made.head[1]).max() > 1e-4

    def test_with_a_given_head_the_papers_gaze_is_fixed(self, clips):
        method = random_cascade("vae", "vqvae")
        made = method.takes(clips[0].speech, [0, 1], head=clips[0].head)
        np.testing.assert_allclose(made.eyes[0], made.eyes[1], atol=1e-6)
        np.testing.assert_array_equal(made.head[1], clips[0].head.astype(np.float32))

    def test_what_is_missing_is_named(self):
        with pytest.raises(TalkingEyesError, match="gaze_decoder with gaze_vqvae"):
            Cascade("half", {"head_vae": torch.nn.Linear(1, 1), "gaze_encoder": torch.nn.Linear(1, 1)})


class TestVariants:
    @pytest.mark.parametrize(("head", "gaze"), [("vae", "vae"), ("vqvae", "vqvae")])
    def test_all_that_is_trained_gets_a_gradient_and_codes_get_none(self, dataset, head, gaze):
        codes = random_cascade("vae", "vqvae").networks
        config = VariantStage(
            base=TINY.stage_two, head=head, gaze=gaze, gaze_vae=TINY.gaze_vae, head_decoder=TINY.head_decoder()
        )
        training = VariantTraining(dataset, config, gaze_vqvae=codes["gaze_vqvae"], head_vqvae=codes["head_vqvae"])
        terms = training.losses(training.batch(np.random.default_rng(0)), 0, torch.Generator().manual_seed(0))
        terms["total"].backward()
        without = {n for n, p in training.networks.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
        # The paper's losses have no likelihood of gaze, so its sharpness is not learned; a head knows none before it.
        assert without <= {"gaze_decoder.log_sharpness", "head_decoder.embed_head.weight"}
        assert all(p.grad is None for p in codes["gaze_vqvae"].parameters())

    def test_codes_must_be_given(self, dataset):
        with pytest.raises(TalkingEyesError, match="VQ-VAE is missing"):
            VariantTraining(dataset, VariantStage(base=TINY.stage_two, head="vqvae"))


class TestReproduce:
    def test_every_row_in_a_tiny_setting(self, corpus, tmp_path):
        chosen = tables.chosen_tables(None)
        said: list[str] = []
        reproduce(corpus, tmp_path, TINY, chosen, [0], say=said.append)
        assert all(task.done_file(tmp_path).exists() for task in tasks(chosen, [0]))
        text = write_report(tmp_path, chosen, [0], "tiny")
        for row in (row for table in chosen for row in table.rows):
            line = next(line for line in text.splitlines() if line.startswith(f"| {row.title} |"))
            assert "| - |" not in line, line
        assert "not measured" not in text
        assert "Mean has diversity 0: came out (1 of 1 seeds)" in text
        report = json.loads((tmp_path / "report" / "tables.json").read_text())
        assert report["tables"]["3"]["mean"]["ours"]["diversity_eyes"][0] == 0
        assert report["times"]["0"]["full"]["steps"] == 2
        assert (tmp_path / "report" / "tables.png").stat().st_size > 10_000
        assert json.loads((tmp_path / "progress.json").read_text())["left"] == []

        # Done is done: nothing is trained again, and what was lost is made again and nothing else.
        times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("done.json")}
        (tmp_path / "seed0" / "rows" / "mean.json").unlink()
        said.clear()
        reproduce(corpus, tmp_path, TINY, chosen, [0], say=said.append)
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("done.json")} == times
        assert any("row mean" in line for line in said) and not any("training" in line for line in said)

        # The same networks make the same takes.
        dataset = Dataset(corpus)
        context = Context(TINY, 0, dataset, tmp_path / "seed0")
        clip = methods.test_clips(dataset.split("test"), 2, 60)[0]
        one, again = (method_of("head-vqvae", context).takes(clip.speech, [0]) for _ in range(2))
        np.testing.assert_array_equal(one.eyes, again.eyes)

    def test_another_setting_in_the_same_folder_is_refused(self, corpus, tmp_path):
        chosen = tables.chosen_tables([3])
        (tmp_path / "setting.json").write_text('{"setting": "another"}')
        with pytest.raises(TalkingEyesError, match="another setting"):
            reproduce(corpus, tmp_path, TINY, chosen, [0])

    def test_a_table_needs_its_own_trainings_alone(self):
        names = {task.name for task in tasks(tables.chosen_tables([7]), [0]) if not task.row}
        assert "codes-256" in names and "head-vqvae" not in names and "no-velocity" not in names
        assert {task.name for task in tasks(tables.chosen_tables(None), [0]) if not task.row} == set(COMPONENTS)

    def test_what_another_process_has_claimed_is_left_to_it(self, tmp_path):
        with claim(tmp_path / "a.lock") as first, claim(tmp_path / "a.lock") as second:
            assert first and not second
        with claim(tmp_path / "a.lock") as third:
            assert third
        assert Task(1, "full").needs() == [Task(1, "codes-1024")]

    def test_the_command_names_what_is_wrong(self, tmp_path, capsys):
        assert main(["reproduce", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
        assert "holds no dataset.json" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


class TestGazeTrainsHead:
    @pytest.mark.parametrize("joined", [False, True])
    def test_the_gazes_losses_reach_the_head_where_they_are_let(self, dataset, joined):
        nothing = dict.fromkeys(("reconstruction_head", "velocity_head", "kl"), 0.0)
        config = TINY.stage_two_of(0, gaze_trains_head=joined, own_past=1.0, **nothing)
        vqvae = random_cascade("vae", "vqvae").networks["gaze_vqvae"]
        training = SpeechToGazeTraining(dataset, config, vqvae)
        terms = training.losses(training.batch(np.random.default_rng(0)), 0, torch.Generator().manual_seed(0))
        terms["total"].backward()
        gradients = [p.grad for p in training.networks["head_vae"].parameters() if p.grad is not None]
        assert (sum(float(gradient.abs().sum()) for gradient in gradients) > 0) == joined
