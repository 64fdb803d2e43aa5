"""Runs of training: padded batches, accumulation, processes, kills, what resumes and what is refused."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from _datasets import tiny_dataset, tiny_sequence
from test_training import LOOP, dataset, face_stage, gaze_stage, one_thread, vqvae_stage  # noqa: F401  fixtures

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.inference.encoders import build_encoder
from talkingeyes_blender.training import config as recipes
from talkingeyes_blender.training.batches import Crops, fingerprint
from talkingeyes_blender.training.dataset import Dataset, write_sequence
from talkingeyes_blender.training.loop import freeze, read_checkpoint, run

RUNNER = Path(__file__).with_name("_run_tiny.py")


def stages(data: Dataset, **loop):
    vqvae = vqvae_stage(data, **loop)
    vqvae.config = dataclasses.replace(vqvae.config, reset_after=0)
    networks = copy.deepcopy(vqvae.networks["gaze_vqvae"])
    loop = dataclasses.replace(LOOP, **loop)
    return vqvae, gaze_stage(data, networks, loop=loop, own_past=0.5), face_stage(data, loop=loop)


def terms_of(stage, batch) -> dict[str, float]:
    stage.networks.eval()  # dropout is for each frame of the padding, too
    terms = stage.losses(batch, 0.8, torch.Generator().manual_seed(0))
    return {name: value.item() for name, value in terms.items()}


class TestPadding:
    @pytest.mark.parametrize("which", [0, 1, 2])
    def test_padding_changes_no_loss_of_any_stage(self, dataset, which):  # noqa: F811
        torch.manual_seed(0)
        stage = stages(dataset)[which]
        for parameter in stage.networks.parameters():  # what starts at zero would hide a fault
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
        batch = stage.batch(np.random.default_rng(0))
        # What the padding holds must not matter, and noise that stands for the past ends with the clip.
        padded = {name: pad(value, 17) for name, value in batch.items()}
        stage.config = dataclasses.replace(
            stage.config, **({"past_noise": 0.0} if hasattr(stage.config, "past_noise") else {})
        )
        alone, filled = terms_of(stage, batch), terms_of(stage, padded)
        for name, value in alone.items():
            assert filled[name] == pytest.approx(value, rel=2e-4, abs=2e-6), name

    def test_a_short_clip_is_encoded_as_if_alone(self):
        encoder = build_encoder({"kind": "mel", "dim": 16, "bands": 16}).eval()
        samples = torch.randn(2, 60 * 640)
        present = torch.arange(60)[None] < torch.tensor([[60], [25]])
        together = encoder(samples, present)
        torch.testing.assert_close(together[1, :25], encoder(samples[1:, : 25 * 640])[0])
        torch.testing.assert_close(together[0], encoder(samples[:1])[0])
        assert not together[1, 25:].any()

    def test_frames_of_a_lost_track_may_hold_anything(self, tmp_path):
        folder = tiny_dataset(tmp_path)
        for number in range(6):
            sequence = tiny_sequence(f"s{number:02d}", f"subject{number}", seed=number)
            sequence.valid[30:60] = False
            for channel in ("eyes", "head", "jaw", "expression"):
                getattr(sequence, channel)[30:60] = np.nan
            write_sequence(folder, sequence)
        for stage in stages(Dataset(folder)):
            terms = terms_of(stage, stage.batch(np.random.default_rng(0)))
            assert np.isfinite(list(terms.values())).all(), stage.name


def pad(value: torch.Tensor, frames: int) -> torch.Tensor:
    if value.ndim == 1:
        return value
    if value.ndim == 2 and value.dtype != torch.bool:  # sound
        return torch.cat([value, torch.randn(len(value), frames * 640)], 1)
    if value.dtype == torch.bool:
        return torch.cat([value, torch.zeros(len(value), frames, dtype=torch.bool)], 1)
    return torch.cat([value, torch.full((len(value), frames, value.shape[2]), 0.3)], 1)


class TestShares:
    def test_the_parts_of_a_batch_are_the_batch(self, dataset):  # noqa: F811
        crops = Crops(dataset.split("train"), 30)
        whole = crops.draw(4, np.random.default_rng(5))
        parts = [crops.draw(4, np.random.default_rng(5), (i, 2)) for i in range(2)]
        for name, value in whole.items():
            assert torch.equal(value[0::2], parts[0][name]) and torch.equal(value[1::2], parts[1][name])
        with pytest.raises(TalkingEyesError, match="cannot be parted"):
            crops.draw(5, np.random.default_rng(5), (0, 2))

    @pytest.mark.parametrize("which", [0, 1, 2])
    def test_the_mean_of_the_parts_losses_is_the_batchs(self, dataset, which):  # noqa: F811
        stage = stages(dataset, batch=4, frames=130)[which]  # longer than the sequences: padded
        whole = terms_of(stage, stage.batch(np.random.default_rng(5)))
        parts = [terms_of(stage, stage.batch(np.random.default_rng(5), (i, 2))) for i in range(2)]
        for name, value in whole.items():
            assert np.mean([part[name] for part in parts]) == pytest.approx(value, rel=1e-4), name

    def test_accumulation_trains_as_the_whole_batch_does(self, dataset, tmp_path):  # noqa: F811
        for parts in (1, 2):
            stage = stages(dataset, batch=4, accumulate=parts, ema=0.0)[0]
            run(stage, stage.config.loop, tmp_path / str(parts))
        logs = [(tmp_path / part / "log.jsonl").read_text().splitlines() for part in "12"]
        for one, two in zip(*logs, strict=True):
            assert json.loads(two)["total"] == pytest.approx(json.loads(one)["total"], rel=1e-3)


class TestLogs:
    def test_a_run_leaves_lines_a_board_and_plots(self, dataset, tmp_path):  # noqa: F811
        for stage in stages(dataset):
            folder = tmp_path / stage.name
            run(stage, LOOP, folder)
            entry = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()][-1]
            assert entry["hours_a_second"] > 0 and entry["rate"] == LOOP.learning_rate
            assert list((folder / "tensorboard").glob("events*"))
            assert [p.name for p in sorted((folder / "plots").iterdir())] == ["0000003.png", "0000006.png"]
            if stage.name == "speech-to-gaze":
                wanted = {"perplexity", "codes_used", "eyes_degrees_nearest", "eyes_degrees_true", "head_degrees_true"}
                assert wanted <= set(entry["validation"])

    def test_lines_after_the_checkpoint_are_not_told_twice(self, dataset, tmp_path):  # noqa: F811
        stage = stages(dataset)[0]
        run(stage, LOOP, tmp_path)
        state = read_checkpoint(tmp_path / "last.pt")
        torch.save(state | {"step": 4}, tmp_path / "last.pt")
        with open(tmp_path / "log.jsonl", "a") as lines:
            lines.write('{"step": 9, "to')
        run(stages(dataset)[0], LOOP, tmp_path)
        assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [3, 6]


class TestSwitches:
    @pytest.mark.parametrize("memory", ["feature", "time"])
    @pytest.mark.parametrize("past", [dict(), dict(past_noise=0.1), dict(own_past=1.0)])
    def test_stage_two_learns_with_each(self, dataset, memory, past):  # noqa: F811
        vqvae = vqvae_stage(dataset).networks["gaze_vqvae"]
        config = gaze_stage(dataset, vqvae).config.gaze
        stage = gaze_stage(dataset, vqvae, gaze=dataclasses.replace(config, memory=memory), **past)
        terms = stage.losses(stage.batch(np.random.default_rng(0)), 0.5, torch.Generator())
        terms["total"].backward()
        assert torch.isfinite(terms["total"])
        assert stage.networks["gaze_decoder"].embed_head.weight.grad.abs().sum() > 0

    def test_regularity_draws_to_the_own_or_the_true_code(self, dataset):  # noqa: F811
        vqvae = vqvae_stage(dataset).networks["gaze_vqvae"]
        own, true = (
            terms_of(stage, stage.batch(np.random.default_rng(0)))["regularity"]
            for stage in (gaze_stage(dataset, vqvae, regularity_code=code) for code in ("own", "true"))
        )
        assert own < true  # no code is nearer than the nearest
        with pytest.raises(TalkingEyesError, match="regularity_code"):
            gaze_stage(dataset, vqvae, regularity_code="other")

    def test_each_speaker_has_a_style(self, dataset):  # noqa: F811
        stage = face_stage(dataset, speaker_style=True)
        assert stage.networks["face_decoder"].style.weight.shape[1] == len(stage.subjects) == 4
        style = stage._style({"subject": torch.tensor([2, 0])}, torch.zeros(2, 1))
        assert style.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]

    def test_crops_longer_than_a_z(self, dataset):  # noqa: F811
        vqvae = vqvae_stage(dataset).networks["gaze_vqvae"]
        with pytest.raises(TalkingEyesError, match="window"):
            gaze_stage(dataset, vqvae, loop=dataclasses.replace(LOOP, frames=300))

    def test_frozen_parts(self):
        network = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "ab": torch.nn.Linear(2, 2)})
        freeze(network, ("a", "none"))
        assert [n for n, p in network.named_parameters() if not p.requires_grad] == ["a.weight", "a.bias"]


class TestRefusals:
    def test_the_setting_that_differs_is_named(self, dataset, tmp_path):  # noqa: F811
        run(vqvae_stage(dataset), LOOP, tmp_path)
        with pytest.raises(TalkingEyesError, match=r"another configuration: 'config.loop.batch' was 2 there and is 3"):
            run(vqvae_stage(dataset, batch=3), LOOP, tmp_path)

    def test_other_data_is_refused(self, tmp_path):
        folder = tiny_dataset(tmp_path / "data")
        run(vqvae_stage(Dataset(folder)), LOOP, tmp_path / "run")
        before = fingerprint(Dataset(folder))
        write_sequence(folder, tiny_sequence("s00", "subject0", seed=77))
        assert fingerprint(Dataset(folder)) != before
        with pytest.raises(TalkingEyesError, match="other data"):
            run(vqvae_stage(Dataset(folder)), LOOP, tmp_path / "run")

    @pytest.mark.parametrize("setting", ["loop.nose=3", "loop.clip", "loop.bf16=3", "beta.x=1"])
    def test_settings_that_there_are_not(self, setting):
        with pytest.raises(TalkingEyesError):
            recipes.changed(recipes.paper("gaze-vqvae"), [setting])

    def test_settings(self):
        changed = recipes.changed(recipes.paper("speech-to-gaze"), ["loop.bf16=true", "kl=1", "regularity_code=true"])
        assert changed.loop.bf16 is True and changed.kl == 1.0 and changed.regularity_code == "true"


def start(data: Path, out: Path, which: str, *settings: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
    command = [*launcher, str(RUNNER), str(data), str(out), which, *settings]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(RUNNER.parents[1])}
    return subprocess.Popen(
        [sys.executable, *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]


def killed_and_resumed(data: Path, out: Path, which: str, kills: int, *settings: str) -> int:
    """Kill a run at random moments after its first steps, then let it end; return how many kills met it at work."""
    rng, met = random.Random(kills), 0
    for _ in range(kills):
        process, lines = start(data, out, which, *settings), out / "log.jsonl"
        before = lines.stat().st_mtime_ns if lines.exists() else 0
        while process.poll() is None and not (lines.exists() and lines.stat().st_mtime_ns > before):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.6))
        met += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(start(data, out, which, *settings))
    return met


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("last.pt", "best.pt"):
        first, second = read_checkpoint(one / name), read_checkpoint(other / name)
        assert first["step"] == second["step"] and first["best"] == second["best"]
        for part in ("networks", "averaged"):
            for key, value in first[part].items():
                assert torch.equal(value, second[part][key]), key
    logs = [[json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] for folder in (one, other)]
    timing = {"seconds_a_step", "hours_a_second"}
    plain = [[{k: v for k, v in entry.items() if k not in timing} for entry in log] for log in logs]
    assert plain[0] == plain[1]


class TestKills:
    """SIGKILL, as a machine's own end would be."""

    def test_killed_and_resumed_is_as_never_killed(self, tmp_path):
        data = tiny_dataset(tmp_path / "data")
        settings = ("loop.steps=50", "loop.save_every=7", "loop.validate_every=25")
        finish(start(data, tmp_path / "whole", "gaze-vqvae", *settings))
        killed_and_resumed(data, tmp_path / "killed", "gaze-vqvae", 1, *settings)
        assert_same_run(tmp_path / "whole", tmp_path / "killed")

    @pytest.mark.slow
    @pytest.mark.skipif(not os.environ.get("SLOW"), reason="takes minutes: make test-resume")
    @pytest.mark.parametrize("which", ["gaze-vqvae", "speech-to-gaze", "face"])
    def test_ten_kills(self, tmp_path, which):
        data = tiny_dataset(tmp_path / "data")
        steps = {"gaze-vqvae": 900, "speech-to-gaze": 400, "face": 500}[which]
        settings = (f"loop.steps={steps}", "loop.save_every=7", "loop.validate_every=50")
        finish(start(data, tmp_path / "whole", which, *settings))
        met = killed_and_resumed(data, tmp_path / "killed", which, 10, *settings)
        assert met == 10, "the run was too short: it ended before it was killed"
        assert_same_run(tmp_path / "whole", tmp_path / "killed")


class TestProcesses:
    @pytest.mark.slow
    @pytest.mark.skipif(not os.environ.get("SLOW"), reason="takes half a minute: make test-resume")
    @pytest.mark.parametrize("which", ["gaze-vqvae", "speech-to-gaze", "face"])
    def test_two_processes_have_the_losses_of_one(self, tmp_path, which):
        data = tiny_dataset(tmp_path / "data")
        settings = ["loop.steps=6", "loop.batch=4", "loop.frames=130"]
        if which == "gaze-vqvae":
            settings.append("reset_after=3")
        else:  # dropout has each process' own chance
            parts = ("encoder", "face") if which == "face" else ("encoder", "head", "gaze")
            settings += [f"{part}.dropout=0.0" for part in parts]
        finish(start(data, tmp_path / "one", which, *settings))
        launcher = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
                    "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "29611")  # fmt: skip
        finish(start(data, tmp_path / "two", which, *settings, launcher=launcher))
        one, two = (json.loads((tmp_path / n / "log.jsonl").read_text().splitlines()[0]) for n in ("one", "two"))
        assert two["total"] == pytest.approx(one["total"], rel=1e-4)
        last = [json.loads((tmp_path / n / "log.jsonl").read_text().splitlines()[-1]) for n in ("one", "two")]
        if which != "gaze-vqvae":  # codes are reset to features of the first process' share
            assert last[1]["total"] == pytest.approx(last[0]["total"], rel=1e-3)


@pytest.fixture
def wav2vec2(tmp_path):
    """A folder with a small wav2vec 2.0 in transformers' layout."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    layout = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, layerdrop=0.0,
    )  # fmt: skip
    Wav2Vec2Model(layout).save_pretrained(tmp_path / "w2v")
    return tmp_path / "w2v"


SMALL_FACE = ["loop.frames=30", "face.dim=16", "face.hidden=16", "face.heads=2", "loop.learning_rate=0.01"]


def face_command(data: Dataset, out: Path, encoder: Path, *more: str, steps: int = 2) -> int:
    from talkingeyes_blender.training.__main__ import main

    command = ["face", "--data", str(data.folder), "--out", str(out), "--steps", str(steps), "--batch", "2"]
    return main([*command, "--encoder", str(encoder), *more, *(a for c in SMALL_FACE for a in ("--set", c))])


class TestSpeechCache:
    def test_kept_rows_are_what_the_encoder_hears(self, dataset, wav2vec2, tmp_path):  # noqa: F811
        from talkingeyes_blender.inference.wav2vec2_encoder import Wav2Vec2Encoder
        from talkingeyes_blender.training.speech_cache import SpeechCache, hear

        encoder = Wav2Vec2Encoder.from_pretrained(str(wav2vec2)).eval()
        train = dataset.split("train")
        cache = SpeechCache(tmp_path / "kept", encoder, recipes.FROZEN)
        cache.fill(train)
        frames = train[0].frames
        kept = Crops(train, frames, cache=cache).draw(3, np.random.default_rng(5))
        heard = Crops(train, frames).draw(3, np.random.default_rng(5))
        assert "samples" not in kept and torch.equal(kept["jaw"], heard["jaw"])
        with torch.no_grad():
            apart = (hear(encoder, kept) - hear(encoder, heard)).abs()  # of features about 1 in size; 16 bits a number
            assert apart.mean() < 0.01 and apart.max() < 0.1
            # Padding changes nothing, whatever it holds.
            short = {"prepared": kept["prepared"].clone(), "present": kept["present"].clone()}
            short["present"][1, 40:] = False
            expected = hear(encoder, {"prepared": short["prepared"][1:2, :40], "present": short["present"][1:2, :40]})
            short["prepared"][1, 40:] = 7.0
            assert torch.allclose(hear(encoder, short)[1, :40], expected[0], atol=1e-5)

    def test_a_run_makes_them_once_and_trains_on_them(self, dataset, wav2vec2, tmp_path):  # noqa: F811
        kept = tmp_path / "kept"
        options = ("--no-augment", "--cache-features", str(kept))
        assert face_command(dataset, tmp_path / "a", wav2vec2, *options) == 0
        written = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
        assert len(written) == len(dataset.split("train")) + len(dataset.split("validation"))
        assert face_command(dataset, tmp_path / "b", wav2vec2, *options) == 0
        assert {path: path.stat().st_mtime_ns for path in kept.iterdir()} == written
        logs = [(tmp_path / run / "face" / "log.jsonl").read_text().splitlines()[-1] for run in "ab"]
        assert json.loads(logs[0])["total"] == json.loads(logs[1])["total"]

    def test_what_would_make_them_wrong_is_refused(self, dataset, wav2vec2, tmp_path, capsys):  # noqa: F811
        kept = ("--cache-features", str(tmp_path / "kept"))
        assert face_command(dataset, tmp_path / "a", wav2vec2, *kept) == 1
        assert "heard as they are" in capsys.readouterr().err
        assert face_command(dataset, tmp_path / "a", wav2vec2, "--no-augment", "--set", "frozen=[]", *kept) == 1
        assert "Only a frozen wav2vec 2.0 front end" in capsys.readouterr().err
        damaged = ("--no-augment", *kept)
        assert face_command(dataset, tmp_path / "a", wav2vec2, *damaged) == 0
        for path in (tmp_path / "kept").iterdir():
            path.write_bytes(path.read_bytes()[:50])
        assert face_command(dataset, tmp_path / "b", wav2vec2, *damaged) == 1
        assert "could not be read" in capsys.readouterr().err


class TestPrecision:
    def test_the_running_mean_of_the_weights_is_what_it_says(self, dataset, tmp_path):  # noqa: F811
        """EMA: the mean that is kept, worked out again from the weights of each step."""
        stage = face_stage(dataset, loop=dataclasses.replace(LOOP, steps=6, ema=0.6, save_every=1))
        name, expected = "face_decoder.out.weight", None
        expected = dict(stage.networks.named_parameters())[name].detach().clone()

        def follow(step, _steps, _entry):
            nonlocal expected
            weights = dict(stage.networks.named_parameters())[name].detach()
            decay = min(0.6, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * weights

        run(stage, stage.config.loop, tmp_path, follow)
        state = read_checkpoint(tmp_path / "last.pt")
        assert torch.allclose(state["averaged"][name], expected, atol=1e-6)
        assert not torch.allclose(state["averaged"][name], state["networks"][name], atol=1e-6)
        best = read_checkpoint(tmp_path / "best.pt")
        assert "averaged" in best  # what is exported

    @pytest.mark.parametrize("which", [0, 1, 2])
    def test_bf16_gives_nearly_the_same_loss_and_keeps_weights_in_full(self, dataset, which, tmp_path):  # noqa: F811
        finals = []
        for bf16 in (False, True):
            torch.manual_seed(0)
            stage = stages(dataset, steps=5, bf16=bf16, ema=0.0)[which]
            run(stage, stage.config.loop, tmp_path / str(bf16))
            assert all(p.dtype == torch.float32 for p in stage.networks.parameters())
            lines = (tmp_path / str(bf16) / "log.jsonl").read_text().splitlines()
            finals.append(json.loads(lines[-1])["total"])
        assert finals[0] != finals[1], "bf16 was not used"
        assert finals[1] == pytest.approx(finals[0], rel=0.05)


def test_wav2vec2_is_trained_but_for_its_front_end(dataset, wav2vec2, tmp_path):  # noqa: F811
    from transformers import Wav2Vec2Model

    from talkingeyes_blender.training.export import load_networks

    assert face_command(dataset, tmp_path, wav2vec2, "--no-augment") == 0
    trained = load_networks(tmp_path / "face" / "last.pt")[0]["face_encoder"].model.state_dict()
    before = Wav2Vec2Model.from_pretrained(tmp_path / "w2v").state_dict()
    same = {name: torch.equal(value, trained[name]) for name, value in before.items()}
    assert all(equal for name, equal in same.items() if name.startswith("feature_extractor."))
    assert not all(same.values())


def test_what_the_bundle_says_is_what_the_trained_networks_say(dataset, tmp_path):  # noqa: F811
    """Parity of export: head, eyes, jaw and expression of the generator against the checkpoints' own networks."""
    from talkingeyes_blender.inference.audio import AudioClip
    from talkingeyes_blender.inference.bundle import save_bundle
    from talkingeyes_blender.inference.generator import Generator
    from talkingeyes_blender.inference.settings import GenerationSettings
    from talkingeyes_blender.training.export import collect

    vqvae = vqvae_stage(dataset, steps=40)
    run(vqvae, vqvae.config.loop, tmp_path / "gaze-vqvae")
    networks = collect_stage(tmp_path / "gaze-vqvae")
    gaze, face = gaze_stage(dataset, networks["gaze_vqvae"]), face_stage(dataset, speaker_style=True)
    for stage in (gaze, face):
        run(stage, LOOP, tmp_path / stage.name)
    networks, recipe, head_model = collect(tmp_path)
    save_bundle(tmp_path / "b", networks, name="tiny", head_model=head_model, recipe=recipe, half=False)
    clip = AudioClip(samples=dataset[0].samples)
    motion = Generator(tmp_path / "b", device="cpu").generate(clip, seed=3, settings=GenerationSettings(gaze="argmin"))
    samples = torch.from_numpy(dataset[0].samples)
    # The trainer's own networks, as its checkpoints hold them, in the trainer's own modules.
    for stage in (gaze, face):
        stage.networks.load_state_dict(read_checkpoint(tmp_path / stage.name / "best.pt")["averaged"])
        stage.networks.eval()
    made = face.networks["face_decoder"].generate(face.networks["face_encoder"].encode(samples))[0].numpy()
    np.testing.assert_allclose(motion.jaw, made[:, -3:], atol=1e-5)
    speech = gaze.networks["gaze_encoder"].encode(samples)
    eyes = gaze.networks["gaze_decoder"].generate(speech, torch.from_numpy(motion.head)[None], gaze.vqvae)[0].numpy()
    np.testing.assert_allclose(motion.eyes, eyes, atol=1e-5)


def collect_stage(folder: Path) -> dict:
    from talkingeyes_blender.training.export import load_networks

    return load_networks(folder / "best.pt")[0]
