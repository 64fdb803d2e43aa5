"""Training: losses, crops, the loop that resumes, the three stages and their export."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from _bundles import tiny_bundle
from _datasets import tiny_dataset

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.inference.encoders import build_encoder
from talkingeyes_blender.inference.face_decoder import FaceDecoderConfig
from talkingeyes_blender.inference.gaze_decoder import GazeDecoderConfig
from talkingeyes_blender.inference.gaze_vqvae import GazeVQVAEConfig
from talkingeyes_blender.inference.head_vae import HeadVAE, HeadVAEConfig
from talkingeyes_blender.inference.mel_encoder import MelEncoderConfig
from talkingeyes_blender.training import config as recipes
from talkingeyes_blender.training import losses
from talkingeyes_blender.training.batches import Crops, statistics
from talkingeyes_blender.training.config import FaceStage, GazeVQVAEStage, LoopConfig, SpeechToGazeStage
from talkingeyes_blender.training.dataset import Dataset
from talkingeyes_blender.training.export import WIDENED, _match_spread, collect, load_networks
from talkingeyes_blender.training.gaze_vqvae import GazeVQVAETraining
from talkingeyes_blender.training.loop import read_checkpoint, run
from talkingeyes_blender.training.speech_to_gaze import SpeechToGazeTraining
from talkingeyes_blender.training.starting import start_from

LOOP = LoopConfig(steps=6, batch=2, frames=40, learning_rate=1e-3, validate_every=3, save_every=2, ema=0.9)
ENCODER = MelEncoderConfig(dim=16, bands=16, dilations=(1, 2), fine_dilations=(1,))
VQVAE = GazeVQVAEConfig(codes=16, code_dim=8, dim=16, layers=1, heads=2, hidden=16)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return Dataset(tiny_dataset(tmp_path_factory.mktemp("data")))


def vqvae_stage(dataset: Dataset, **changes) -> GazeVQVAETraining:
    stage = GazeVQVAEStage(model=VQVAE, loop=dataclasses.replace(LOOP, **changes), reset_after=2)
    return GazeVQVAETraining(dataset, stage)


def gaze_stage(dataset: Dataset, vqvae, **changes) -> SpeechToGazeTraining:
    stage = SpeechToGazeStage(
        encoder=ENCODER,
        head=HeadVAEConfig(speech_dim=16, latent=4, dim=16, layers=1, heads=2, hidden=16),
        gaze=GazeDecoderConfig(speech_dim=16, code_dim=8, dim=16, layers=1, heads=2, hidden=16, window=20, radius=4),
        loop=LOOP, likelihood=1.0, past_noise=0.1,
    )  # fmt: skip
    return SpeechToGazeTraining(dataset, dataclasses.replace(stage, **changes), vqvae)


def face_stage(dataset: Dataset, **changes):
    from talkingeyes_blender.head.standin import load_standin
    from talkingeyes_blender.training.face import FaceTraining

    stage = FaceStage(
        encoder=ENCODER, face=FaceDecoderConfig(speech_dim=16, dim=16, hidden=16, heads=2), loop=LOOP,
        closure=0.5, coefficients=1.0, velocity=1.0, past_noise=0.1, own_past=0.5, no_past=0.3,
    )  # fmt: skip
    return FaceTraining(dataset, dataclasses.replace(stage, **changes), load_standin())


class TestLosses:
    def test_padding_adds_nothing(self):
        torch.manual_seed(0)
        made, true = torch.randn(2, 9, 4), torch.randn(2, 9, 4)
        valid = torch.ones(2, 9, dtype=torch.bool)
        padded_valid = torch.nn.functional.pad(valid, (0, 5))

        def pad(x):
            return torch.cat([x, torch.full((2, 5, *x.shape[2:]), 7.0)], 1)

        for loss in (losses.reconstruction, losses.velocity, losses.regularity):
            torch.testing.assert_close(loss(pad(made), pad(true), padded_valid), loss(made, true, valid))
        points, true_points = torch.randn(2, 9, 5, 3), torch.randn(2, 9, 5, 3)
        torch.testing.assert_close(
            losses.vertex(pad(points), pad(true_points), padded_valid), losses.vertex(points, true_points, valid)
        )

    def test_equations_by_hand(self):
        valid = torch.ones(1, 2, dtype=torch.bool)
        made, true = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.0], [1.0]]])
        assert losses.reconstruction(made, true, valid) == pytest.approx((1 + 4) / 2)
        assert losses.velocity(made, true, valid) == pytest.approx((2 - 1) ** 2)
        mean, log_variance = torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2)
        assert losses.kl_divergence(mean, log_variance) == pytest.approx(2.0)  # mean^2 / 2
        logits, codes = torch.log(torch.tensor([[[0.25, 0.75]]])), torch.tensor([[1]])
        assert losses.code_likelihood(logits, codes, valid[:, :1]) == pytest.approx(-np.log(0.75), rel=1e-5)

    def test_regularity_moves_features_and_not_codes(self):
        features = torch.randn(1, 3, 2, requires_grad=True)
        codes = torch.randn(1, 3, 2, requires_grad=True)
        losses.regularity(features, codes, torch.ones(1, 3, dtype=torch.bool)).backward()
        assert features.grad.abs().sum() > 0
        assert codes.grad is None

    def test_an_open_lip_on_a_closure_costs_more_than_the_same_error_on_a_vowel(self):
        valid = torch.ones(1, 1, dtype=torch.bool)

        def cost(true: float) -> float:
            return losses.lip_closure(torch.tensor([[true + 2.0]]), torch.tensor([[true]]), valid).item()

        assert cost(0.0) > 5 * cost(10.0)


class TestCrops:
    def test_the_generator_alone_decides(self, dataset):
        crops = Crops(dataset.split("train"), 30)
        first, again = crops.draw(4, np.random.default_rng(3)), crops.draw(4, np.random.default_rng(3))
        other = crops.draw(4, np.random.default_rng(4))
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not torch.equal(first["samples"], other["samples"])
        assert first["samples"].shape == (4, 30 * 640)

    def test_a_sequence_shorter_than_the_crop_is_padded_and_marked(self, dataset):
        batch = Crops(dataset.split("train"), 130).draw(2, np.random.default_rng(0))
        assert batch["valid"].sum(1).tolist() == [100, 100]
        assert torch.equal(batch["eyes"][0, 129], batch["eyes"][0, 99])

    def test_a_share_of_the_crops_comes_from_recordings(self, dataset, tmp_path):
        for path in sorted((dataset.folder / "sequences").iterdir()):
            (tmp_path / "sequences").mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / "sequences" / path.name)
        one = dataset.split("train").ids[0]
        for path in (tmp_path / "sequences").glob(f"{one}.*"):
            path.rename(path.with_name(f"rec-{path.name}"))
        text = (dataset.folder / "dataset.json").read_text(encoding="utf-8").replace(f'"{one}"', f'"rec-{one}"')
        (tmp_path / "dataset.json").write_text(text, encoding="utf-8")
        train = Dataset(tmp_path).split("train")
        real = train.ids.index(f"rec-{one}")

        def share(**options) -> float:
            crops, rng = Crops(train, 30, **options), np.random.default_rng(0)
            return float(np.mean([crops._index(rng) == real for _ in range(400)]))

        assert share(recorded=0.6) == pytest.approx(0.6, abs=0.08)
        assert share() == pytest.approx(1 / len(train), abs=0.08)
        assert share(recorded=1.0) == 1.0

    def test_memory_is_bounded(self, dataset):
        crops = Crops(dataset.split("train"), 30, memory=150_000)
        crops.draw(20, np.random.default_rng(0))
        assert len(crops._cache) == 1

    def test_statistics(self, dataset):
        mean, deviation = statistics(dataset, "eyes")
        values = np.concatenate([s.eyes for s in dataset])
        np.testing.assert_allclose(mean, values.mean(0), atol=1e-5)
        np.testing.assert_allclose(deviation[:2], values.std(0)[:2], rtol=1e-3)
        assert deviation[2] > 0  # the eyes never roll: the floor holds


class TestLoop:
    def test_a_killed_run_goes_on_as_if_it_had_not_been(self, dataset, tmp_path):
        whole = tmp_path / "whole"
        run(vqvae_stage(dataset), LOOP, whole)

        class Killed(Exception):
            pass

        def kill(step: int, steps: int, entry: dict) -> None:
            if step == 3:
                raise Killed

        broken = tmp_path / "broken"
        with pytest.raises(Killed):
            run(vqvae_stage(dataset), LOOP, broken, kill)
        run(vqvae_stage(dataset), LOOP, broken)
        first, second = read_checkpoint(whole / "last.pt"), read_checkpoint(broken / "last.pt")
        assert first["step"] == second["step"] == 6
        for part in ("networks", "averaged"):
            for name, value in first[part].items():
                assert torch.equal(value, second[part][name]), name

    def test_another_configuration_is_refused(self, dataset, tmp_path):
        run(vqvae_stage(dataset), LOOP, tmp_path)
        with pytest.raises(TalkingEyesError, match="another configuration"):
            run(vqvae_stage(dataset, batch=3), LOOP, tmp_path)

    def test_the_log_has_the_losses(self, dataset, tmp_path):
        run(vqvae_stage(dataset), LOOP, tmp_path)
        entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert {"step", "total", "codebook", "commitment", "validation"} <= set(entries[-1])
        assert {"codes_used", "perplexity", "error_degrees"} <= set(entries[-1]["validation"])

    def test_a_file_that_is_no_checkpoint(self, tmp_path):
        (tmp_path / "best.pt").write_text("nothing")
        with pytest.raises(TalkingEyesError, match="not a checkpoint"):
            read_checkpoint(tmp_path / "best.pt")
        with pytest.raises(TalkingEyesError, match="no checkpoint"):
            read_checkpoint(tmp_path / "absent.pt")


class TestStages:
    def test_gaze_vqvae_learns_and_revives_codes(self, dataset, tmp_path):
        stage = vqvae_stage(dataset, steps=150, learning_rate=3e-3, ema=0.0)
        before = stage.validate()
        run(stage, stage.config.loop, tmp_path)
        stage.networks.eval()
        after = stage.validate()
        assert after["error_degrees"] < 0.6 * before["error_degrees"]
        assert after["codes_used"] >= 8

    @pytest.mark.parametrize("past", ["motion", "code"])
    def test_speech_to_gaze_trains_all_but_the_codes(self, dataset, past):
        vqvae = vqvae_stage(dataset).networks["gaze_vqvae"]
        gaze = dataclasses.replace(gaze_stage(dataset, vqvae).config.gaze, past=past)
        stage = gaze_stage(dataset, vqvae, gaze=gaze)
        # It starts at zero where the past is a code, and would stop the gradient at the first step.
        torch.nn.init.normal_(stage.networks["gaze_decoder"].out.weight, std=0.1)
        terms = stage.losses(stage.batch(np.random.default_rng(0)), 0.5, torch.Generator().manual_seed(0))
        terms["total"].backward()
        without = [n for n, p in stage.networks.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert without == []
        assert all(p.grad is None for p in vqvae.parameters())
        assert {"reconstruction_head", "velocity_eyes", "kl", "regularity", "likelihood"} <= set(terms)

    def test_speech_to_gaze_validates(self, dataset):
        figures = gaze_stage(dataset, vqvae_stage(dataset).networks["gaze_vqvae"]).validate()
        assert np.isfinite(list(figures.values())).all()
        assert figures["eyes_degrees_true"] > 1

    def test_code_widths_must_agree(self, dataset):
        vqvae = vqvae_stage(dataset).networks["gaze_vqvae"]
        with pytest.raises(TalkingEyesError, match="wide"):
            gaze_stage(dataset, vqvae, gaze=GazeDecoderConfig(speech_dim=16, code_dim=4))

    def test_face_learns_the_jaw_from_loudness(self, dataset, tmp_path):
        stage = face_stage(dataset, loop=dataclasses.replace(LOOP, steps=150, learning_rate=5e-3, ema=0.0))
        run(stage, stage.config.loop, tmp_path)
        stage.networks.eval()
        figures = stage.validate()
        assert figures["jaw_correlation"] > 0.6

    def test_face_refuses_data_of_another_head(self, dataset):
        from talkingeyes_blender.head.standin import load_standin
        from talkingeyes_blender.training.face import FaceTraining

        head = dataclasses.replace(load_standin(), identity="another")
        with pytest.raises(TalkingEyesError, match="basis"):
            FaceTraining(dataset, FaceStage(), head)

    @pytest.mark.parametrize("stage", ["gaze-vqvae", "speech-to-gaze", "face"])
    def test_recipes_are_whole(self, stage):
        for recipe in (recipes.paper, recipes.starter):
            assert recipe(stage).loop.batch > 0
        with pytest.raises(TalkingEyesError):
            recipes.paper("nose")


def test_from_data_to_a_bundle_that_speaks(dataset, tmp_path):
    from talkingeyes_blender.inference.audio import AudioClip
    from talkingeyes_blender.inference.bundle import save_bundle
    from talkingeyes_blender.inference.generator import Generator

    for stage in (vqvae_stage(dataset), face_stage(dataset)):
        run(stage, LOOP, tmp_path / stage.name)
    vqvae = vqvae_stage(dataset).networks["gaze_vqvae"]
    run(gaze_stage(dataset, vqvae), LOOP, tmp_path / "speech-to-gaze")
    networks, recipe, head_model = collect(tmp_path)
    save_bundle(tmp_path / "bundle", networks, name="tiny", head_model=head_model, recipe=recipe)
    sequence = dataset[0]
    clip = AudioClip(samples=sequence.samples)
    motion = Generator(tmp_path / "bundle", device="cpu").generate(clip, seed=1)
    assert motion.frames == sequence.frames
    assert motion.head_model == dataset.head_model
    # What the add-on makes is what the trained network makes: the head's jaw, from the same features.
    encoder, face = networks["face_encoder"], networks["face_decoder"]
    expected = face.generate(encoder.encode(torch.from_numpy(sequence.samples)))[0, :, -3:].numpy()
    np.testing.assert_allclose(motion.jaw, expected, atol=5e-3)


def test_heads_are_drawn_as_widely_as_recorded_ones_move(dataset):
    """A decoder that makes little of its latent: the prior is widened until the heads move as far as the data's."""
    torch.manual_seed(0)
    small = HeadVAEConfig(
        speech_dim=16, latent=4, dim=16, layers=1, heads=2, hidden=16, window=50, overlap=10, prior="fitted"
    )
    vae = HeadVAE(small)
    encoder = build_encoder(dataclasses.asdict(ENCODER)).eval()
    vae.eval().set_statistics(statistics(dataset.split("train"), "head")[1])
    speech = encoder.encode(torch.from_numpy(dataset.split("train")[0].samples))

    def deviation() -> float:
        made = [vae.generate(speech, torch.Generator().manual_seed(n))[0] for n in range(8)]
        return torch.stack([m.std(0) for m in made]).mean().item()

    with torch.no_grad():
        vae.decode_out.weight.mul_(0.1)
        before = deviation()
        _match_spread(vae, encoder, dataset.split("train"))
    assert vae.latent_factor.abs().max() <= WIDENED[1] + 1e-5
    assert deviation() > 1.2 * before


def test_a_training_begins_with_the_weights_of_another(dataset, tmp_path):
    """From a checkpoint and from a bundle; other sizes are refused in a sentence, another basis begins anew."""
    torch.manual_seed(0)
    first = face_stage(dataset)
    run(first, dataclasses.replace(LOOP, steps=2, save_every=2), tmp_path / "face")
    torch.manual_seed(1)
    weights = load_networks(tmp_path / "face" / "best.pt")[0]

    other = face_stage(dataset)
    start_from(other.networks, tmp_path / "face" / "best.pt", dataset.head_model)
    for name, network in other.networks.items():
        for key, value in weights[name].state_dict().items():
            assert torch.equal(network.state_dict()[key], value), (name, key)

    wide = face_stage(dataset, encoder=dataclasses.replace(ENCODER, dim=24))
    with pytest.raises(TalkingEyesError, match="other sizes"):
        start_from(wide.networks, tmp_path / "face" / "best.pt", dataset.head_model)

    anew = face_stage(dataset)
    before = {key: value.clone() for key, value in anew.networks["face_decoder"].state_dict().items()}
    start_from(anew.networks, tmp_path / "face" / "best.pt", "another head")
    assert all(torch.equal(before[k], v) for k, v in anew.networks["face_decoder"].state_dict().items())
    assert torch.equal(anew.networks["face_encoder"].first.weight, weights["face_encoder"].first.weight), (
        "what hears is the same for every head"
    )

    bundle = tiny_bundle(tmp_path / "bundle")
    with pytest.raises(TalkingEyesError, match="other sizes"):
        start_from(first.networks, bundle, dataset.head_model)
