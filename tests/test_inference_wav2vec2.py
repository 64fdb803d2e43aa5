"""wav2vec 2.0 behind the speech encoders' interface, with a tiny model that the tests make themselves."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
import warnings

import pytest
import torch
from _bundles import tiny_networks

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head import arkit
from talkingeyes_blender.inference import wav2vec2_encoder
from talkingeyes_blender.inference.bundle import load_bundle, save_bundle
from talkingeyes_blender.inference.encoders import build_encoder
from talkingeyes_blender.inference.wav2vec2_encoder import Wav2Vec2Encoder, Wav2Vec2EncoderConfig

transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)

LAYOUT = dict(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, conv_dim=[8] * 7,
    num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
)  # fmt: skip


def speech(samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model in transformers' own layout."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("wav2vec2")
    transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**LAYOUT)).eval().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder):
    return Wav2Vec2Encoder.from_pretrained(str(folder)).eval()


def test_loading_keeps_layout_and_weights(folder, encoder):
    original = transformers.Wav2Vec2Model.from_pretrained(folder).eval()
    assert encoder.feature_dim == 16
    for name, tensor in original.state_dict().items():
        assert torch.equal(tensor, encoder.model.state_dict()[name]), name


def test_features_are_transformers_own_at_25_fps(folder, encoder):
    """Against the library's forward, whose front end is made to interpolate in the same place."""
    original = transformers.Wav2Vec2Model.from_pretrained(folder).eval()
    samples = speech(640 * 30)
    front = original.feature_extractor.forward

    def at_25(values):
        return torch.nn.functional.interpolate(front(values), size=30, mode="linear", align_corners=True)

    original.feature_extractor.forward = at_25
    normal = (samples - samples.mean()) / (samples.var(unbiased=False) + 1e-7).sqrt()
    with torch.inference_mode():
        expected = original(normal[None]).last_hidden_state
        assert torch.allclose(encoder(samples[None]), expected, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 300, 640, 641, 1281, 3200, 16000, 16001])
def test_one_feature_a_motion_frame(encoder, samples):
    out = encoder.encode(speech(samples))
    assert out.shape == (1, max(1, -(-samples // 640)), 16)
    assert torch.isfinite(out).all()


def test_silence_is_finite(encoder):
    assert torch.isfinite(encoder.encode(torch.zeros(16000))).all()


def test_a_clip_within_a_window_is_encoded_whole_and_a_longer_one_in_windows(encoder, monkeypatch):
    samples = speech(640 * 50)
    with torch.inference_mode():
        whole = encoder(samples[None])
    assert torch.equal(encoder.encode(samples), whole)
    monkeypatch.setattr(encoder, "window", 12)
    monkeypatch.setattr(encoder, "margin", 8)
    ticks, rows, features = [], [], encoder.features
    monkeypatch.setattr(encoder, "features", lambda prepared: rows.append(prepared.shape[1]) or features(prepared))
    windowed = encoder.encode(samples, ticks.append)
    assert windowed.shape == whole.shape and ticks == [10, 20, 30, 40, 50]
    assert rows == [18, 26, 26, 26, 18], "no window sees more than its margins"
    # Its attention differs by window; its features are of the same kind.
    assert torch.nn.functional.cosine_similarity(windowed, whole, dim=-1).min() > 0.9


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("frames", [11, 50, 53])
def test_the_front_end_in_pieces_is_that_of_the_whole_clip(monkeypatch, norm, frames):
    torch.manual_seed(3)
    encoder = Wav2Vec2Encoder(Wav2Vec2EncoderConfig(layout=LAYOUT | {"feat_extract_norm": norm})).eval()
    samples = 0.3 + speech(640 * frames) * torch.linspace(0, 3, 640 * frames)  # what comes early says little of levels
    with torch.inference_mode():
        whole = encoder.prepare(samples[None])
        monkeypatch.setattr(wav2vec2_encoder, "_PIECE", 10)
        front, heard = encoder.model.feature_extractor.forward, []
        monkeypatch.setattr(encoder.model.feature_extractor, "forward", lambda x: heard.append(x.shape) or front(x))
        pieces = encoder.prepare(samples[None])
    assert whole.std() > 1e-3 and not heard, "the whole clip was not run at once"
    assert torch.allclose(pieces, whole, atol=1e-4 * float(whole.abs().max()))


def test_the_front_end_can_be_frozen(folder):
    encoder = Wav2Vec2Encoder.from_pretrained(str(folder))
    encoder.freeze_front_end()
    frozen = {name.split(".")[1] for name, parameter in encoder.named_parameters() if not parameter.requires_grad}
    assert frozen == {"feature_extractor"}


def test_the_configuration_goes_through_json(encoder):
    stored = json.loads(json.dumps(dataclasses.asdict(encoder.config)))
    again = build_encoder(stored).eval()
    again.load_state_dict(encoder.state_dict())
    samples = speech(5000)
    assert torch.equal(again.encode(samples), encoder.encode(samples))


def test_in_a_bundle(tmp_path, encoder):
    networks = tiny_networks() | {"face_encoder": encoder}
    save_bundle(tmp_path, networks, name="w2v", head_model=arkit.STANDIN, half=False)
    loaded = load_bundle(tmp_path)
    assert isinstance(loaded.gaze_encoder, Wav2Vec2Encoder)
    samples = speech(9000)
    assert torch.equal(loaded.face_encoder.encode(samples), encoder.encode(samples))


@pytest.mark.parametrize("source", ["facebook/no-such-model-xyz", "no such name!", "/nowhere/at/all"])
def test_a_name_that_is_not_in_the_cache(source, monkeypatch):
    """Without the user's word nothing is fetched, and the fault is said in our words."""
    import socket

    def no_network(*_args, **_kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    with pytest.raises(TalkingEyesError, match="not found in the local model cache") as caught:
        Wav2Vec2Encoder.from_pretrained(source)
    assert "folder" in caught.value.hint and source in caught.value.message


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(TalkingEyesError, match="not found in that folder"):
        Wav2Vec2Encoder.from_pretrained(str(tmp_path))


def test_a_folder_with_another_model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 8}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(TalkingEyesError):
            Wav2Vec2Encoder.from_pretrained(str(tmp_path))


def test_an_unknown_kind():
    with pytest.raises(TalkingEyesError, match="'whisper' is not known"):
        build_encoder({"kind": "whisper"})


def test_the_default_layout_is_base():
    assert Wav2Vec2EncoderConfig().layout == {}
    assert transformers.Wav2Vec2Config().hidden_size == 768
