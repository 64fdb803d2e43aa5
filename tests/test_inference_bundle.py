"""Weight bundles: what is saved comes back, and what is wrong is refused with words."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from _bundles import tiny_bundle, tiny_networks

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head import arkit
from talkingeyes_blender.inference import bundle as bundles
from talkingeyes_blender.inference.bundle import load_bundle, save_bundle
from talkingeyes_blender.inference.gaze_decoder import GazeDecoder
from talkingeyes_blender.inference.gaze_vqvae import GazeVQVAE

torch.set_num_threads(1)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tiny_bundle(tmp_path / "weights")


def describe(folder: Path) -> dict:
    return json.loads((folder / "bundle.json").read_text())


def alter(folder: Path, change) -> None:
    """Change the description through ``change(described)``."""
    described = describe(folder)
    change(described)
    (folder / "bundle.json").write_text(json.dumps(described))


def refill(folder: Path, key: str, change) -> None:
    """Change the tensors of a network, with a right hash."""
    entry = describe(folder)["networks"][key]
    tensors = safetensors.torch.load_file(folder / entry["file"])
    change(tensors)
    safetensors.torch.save_file(tensors, folder / entry["file"])
    digest = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
    alter(folder, lambda described: described["networks"][key].update(sha256=digest))


def refusal(folder: Path, *words: str) -> TalkingEyesError:
    with pytest.raises(TalkingEyesError) as caught:
        load_bundle(folder)
    for word in words:
        assert word in caught.value.message, caught.value
    return caught.value


def save(folder: Path, networks, **choices) -> None:
    save_bundle(folder, networks, **{"name": "tiny", "head_model": arkit.STANDIN, **choices})


# -- what is saved comes back


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("gaze_encoder", [True, False])
def test_round_trip(tmp_path, half, gaze_encoder):
    networks = tiny_networks(gaze_encoder=gaze_encoder, memory="time")
    save(tmp_path, networks, half=half, recipe={"epochs": 3}, generation={"top_k": 7}, model_card="# Tiny\n")
    loaded = load_bundle(tmp_path)
    assert (loaded.name, loaded.head_model, loaded.fps) == ("tiny", arkit.STANDIN, 25.0)
    assert loaded.recipe == {"epochs": 3} and loaded.generation == {"top_k": 7}
    assert (tmp_path / "MODEL_CARD.md").read_text() == "# Tiny\n"
    assert set(loaded.networks) == set(networks)
    assert (loaded.gaze_encoder is loaded.face_encoder) == (not gaze_encoder)
    for key, network in networks.items():
        other = loaded.networks[key]
        assert dataclasses.asdict(other.config) == dataclasses.asdict(network.config)
        assert not other.training and not any(parameter.requires_grad for parameter in other.parameters())
        assert set(other.state_dict()) == set(network.state_dict())
        for name, tensor in network.state_dict().items():
            stored = other.state_dict()[name]
            assert stored.dtype == torch.float32
            exact = not half or tensor.ndim < 2
            assert torch.equal(stored, tensor) if exact else torch.allclose(stored, tensor, rtol=1e-3, atol=1e-6), name


def test_half_halves_the_files(tmp_path):
    size = {}
    for half in (True, False):
        save(tmp_path / str(half), tiny_networks(), half=half)
        size[half] = sum(path.stat().st_size for path in (tmp_path / str(half)).glob("*.safetensors"))
    assert size[True] < 0.8 * size[False]  # tiny networks are mostly headers


def test_values_that_half_cannot_hold_stay_whole(tmp_path):
    networks = tiny_networks()
    with torch.no_grad():
        networks["head_vae"].decode_out.weight[0, 0] = 1e6
    save(tmp_path, networks)
    assert load_bundle(tmp_path).head_vae.decode_out.weight[0, 0] == 1e6


def test_saving_over_another_leaves_one_bundle_and_other_files(folder):
    (folder / "MODEL_CARD.md").write_text("kept")
    (folder / "notes.safetensors").write_bytes(b"another's")
    before = set(folder.iterdir())
    save(folder, tiny_networks(seed=1, gaze_encoder=True), name="second")
    assert load_bundle(folder).name == "second"
    named = {entry["file"] for entry in describe(folder)["networks"].values()}
    assert {path.name for path in folder.iterdir()} == named | {"bundle.json", "MODEL_CARD.md", "notes.safetensors"}
    assert before & set(folder.iterdir()) == {folder / n for n in ("bundle.json", "MODEL_CARD.md", "notes.safetensors")}


def test_saving_again_mends_a_damaged_file(folder):
    path = folder / describe(folder)["networks"]["head_vae"]["file"]
    path.write_bytes(b"damaged")
    tiny_bundle(folder)
    assert load_bundle(folder).name == "tiny"


@pytest.mark.parametrize("step", range(6))
def test_a_save_that_fails_leaves_the_old_bundle(folder, monkeypatch, step):
    """The disk fills at each file in turn, the description last."""
    kept, files = load_bundle(folder).head_vae.state_dict(), set(folder.iterdir())
    replace, count = os.replace, 0

    def full(source, target):
        nonlocal count
        count += 1
        if count > step:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(TalkingEyesError, match=r"could not be written \(No space left on device\)"):
        save(folder, tiny_networks(seed=1), name="second")
    monkeypatch.undo()
    loaded = load_bundle(folder)
    assert loaded.name == "tiny"
    assert all(torch.equal(tensor, kept[name]) for name, tensor in loaded.head_vae.state_dict().items())
    assert set(folder.iterdir()) == files


def test_saving_where_one_may_not(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TalkingEyesError, match="could not be written"):
        save(tmp_path / "file", tiny_networks())


def test_saving_what_is_no_bundle(tmp_path):
    whole = tiny_networks()
    with pytest.raises(TalkingEyesError, match="lacks head_vae"):
        save(tmp_path, {key: network for key, network in whole.items() if key != "head_vae"})
    with pytest.raises(TalkingEyesError, match="unknown lips"):
        save(tmp_path, whole | {"lips": whole["head_vae"]})
    with pytest.raises(TalkingEyesError, match="code_dim and the gaze VQ-VAE's are 8 and 64"):
        save(tmp_path, whole | {"gaze_vqvae": GazeVQVAE()})
    with pytest.raises(TalkingEyesError, match="jumps and the gaze VQ-VAE's codes are 31 and 32"):
        config = dataclasses.replace(whole["gaze_decoder"].config, jumps=31)
        save(tmp_path, whole | {"gaze_decoder": GazeDecoder(config)})
    with torch.no_grad():
        whole["face_decoder"].out.bias[0] = float("nan")
    with pytest.raises(TalkingEyesError, match=r"face_decoder.*not finite.*out\.bias"):
        save(tmp_path, whole)
    assert not (tmp_path / "bundle.json").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_bundle_made_on_cuda_works_on_the_cpu(tmp_path):
    networks = tiny_networks()
    save(tmp_path, {key: network.cuda() for key, network in networks.items()})
    assert load_bundle(tmp_path, "cpu").head_vae.decode_out.weight.device.type == "cpu"
    assert load_bundle(tmp_path, "cuda").head_vae.decode_out.weight.device.type == "cuda"


# -- what is wrong is refused


def test_no_bundle_there(tmp_path):
    refusal(tmp_path, "no weight bundle in", "bundle.json is missing")
    refusal(tmp_path / "nowhere", "no weight bundle in")
    (tmp_path / "file").touch()
    refusal(tmp_path / "file", "no weight bundle in")


@pytest.mark.parametrize(
    ("text", "words"), [("{", "not JSON"), ("[]", "does not describe"), ('{"version": "1"}', "does not describe")]
)
def test_a_description_that_is_none(folder, text, words):
    (folder / "bundle.json").write_text(text)
    refusal(folder, words)


def test_another_version(folder):
    alter(folder, lambda described: described.update(version=2))
    assert "Update" in refusal(folder, "version 2", "reads version 1").hint
    alter(folder, lambda described: described.update(version=0))
    assert "newer weights" in refusal(folder, "version 0").hint


@pytest.mark.parametrize("key", ["name", "head_model", "fps", "networks"])
def test_a_description_with_gaps(folder, key):
    alter(folder, lambda described: described.pop(key))
    refusal(folder, f"does not say its '{key}'")


def test_another_frame_rate(folder):
    alter(folder, lambda described: described.update(fps=30))
    refusal(folder, "30 frames a second")


def test_a_network_that_is_not_described(folder):
    alter(folder, lambda described: described["networks"].pop("gaze_decoder"))
    refusal(folder, "lacks gaze_decoder")


def test_a_flipped_bit(folder):
    path = folder / describe(folder)["networks"]["gaze_vqvae"]["file"]
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    assert "damaged or was exchanged" in refusal(folder, path.name, "SHA-256").hint


def test_a_missing_file(folder):
    path = folder / describe(folder)["networks"]["head_vae"]["file"]
    path.unlink()
    refusal(folder, path.name, "is missing")


def test_a_pickle_is_not_read(folder):
    """A file that would act when it is unpickled is refused, its hash being right."""
    mark = folder / "acted"

    class Hostile:
        def __reduce__(self):
            return (Path.touch, (mark,))

    data = pickle.dumps(Hostile())
    entry = describe(folder)["networks"]["head_vae"]
    (folder / entry["file"]).write_bytes(data)
    alter(folder, lambda d: d["networks"]["head_vae"].update(sha256=hashlib.sha256(data).hexdigest()))
    refusal(folder, "not a safetensors file")
    alter(folder, lambda d: d["networks"]["head_vae"].update(file="head_vae.pt"))
    refusal(folder, "not a .safetensors file beside it")
    assert not mark.exists()


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/x.safetensors", "a\\..\\x.safetensors", 7, None, ""])
def test_a_file_outside_the_folder(folder, name):
    alter(folder, lambda described: described["networks"]["head_vae"].update(file=name))
    refusal(folder, "not a .safetensors file beside it")


def test_weights_of_other_shapes(folder):
    alter(folder, lambda described: described["networks"]["gaze_decoder"]["config"].update(layers=3))
    refusal(folder, "do not fit their configuration", "is missing")
    alter(folder, lambda described: described["networks"]["gaze_decoder"]["config"].update(layers=2, hidden=25))
    refusal(folder, "has the shape")


def test_weights_that_lack_or_add_or_are_not_numbers(folder):
    refill(folder, "head_vae", lambda tensors: tensors.update(more=torch.zeros(1)))
    refusal(folder, "'more' is unknown")
    refill(folder, "head_vae", lambda tensors: (tensors.pop("more"), tensors.pop("scale")))
    refusal(folder, "'scale' is missing")
    refill(folder, "head_vae", lambda tensors: tensors.update(scale=torch.tensor([1.0, float("inf"), 1.0])))
    refusal(folder, "'scale' holds values that are not finite")


def test_an_unknown_encoder_and_unknown_settings(folder):
    alter(folder, lambda described: described["networks"]["face_encoder"]["config"].update(kind="whisper"))
    refusal(folder, "speech encoder 'whisper' is not known")
    alter(folder, lambda described: described["networks"]["face_encoder"]["config"].update(kind="mel", colour="red"))
    refusal(folder, "configuration of 'face_encoder'", "colour")
    alter(folder, lambda described: described["networks"]["face_encoder"].update(config=None))
    refusal(folder, "does not describe 'face_encoder' rightly")


def test_networks_that_do_not_fit_together(tmp_path):
    tiny_bundle(tmp_path)
    wide = tiny_bundle(tmp_path / "b", gaze_encoder=True)
    entry = describe(wide)["networks"]["gaze_encoder"]
    assert load_bundle(wide).gaze_encoder.feature_dim == 16
    described = describe(wide)
    described["networks"]["gaze_encoder"] = entry | {"config": entry["config"] | {"dim": 24}}
    (wide / "bundle.json").write_text(json.dumps(described))
    refusal(wide, "do not fit their configuration")


def test_the_default_is_inside_the_package(monkeypatch, folder):
    package = Path(bundles.__file__).parents[1]
    assert (package / "weights") == bundles.DEFAULT
    monkeypatch.setattr(bundles, "DEFAULT", folder)
    assert load_bundle().folder == folder
