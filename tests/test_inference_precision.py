"""bfloat16 products: where they are allowed, what they touch, and that they change a motion little."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
import torch
from _bundles import tiny_bundle

from benchmarks import approximations
from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.inference import generator as generators
from talkingeyes_blender.inference.audio import AudioClip
from talkingeyes_blender.inference.generator import Generator, pick_precision
from talkingeyes_blender.inference.wav2vec2_encoder import Wav2Vec2Encoder, Wav2Vec2EncoderConfig

torch.set_num_threads(1)

CPU = torch.device("cpu")
LAYOUT = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, conv_dim=[32] * 7,
    num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder():
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    return Wav2Vec2Encoder(Wav2Vec2EncoderConfig(layout=LAYOUT)).eval()


@pytest.mark.parametrize("there", [False, True])
def test_only_where_the_processor_has_it(monkeypatch, there):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: there)
    assert pick_precision("float32", CPU) == torch.float32
    if there:
        assert pick_precision("bfloat16", CPU) == torch.bfloat16
    else:
        with pytest.raises(TalkingEyesError, match="no products of bfloat16") as caught:
            pick_precision("bfloat16", CPU)
        assert "float32" in caught.value.hint


def test_an_unknown_one():
    with pytest.raises(TalkingEyesError, match="'float8' is not known"):
        pick_precision("float8", CPU)


def test_the_compact_encoder_is_always_exact(monkeypatch, tmp_path):
    monkeypatch.setattr(generators, "pick_precision", lambda name, device: torch.bfloat16)
    folder = tiny_bundle(tmp_path)
    clip = AudioClip(0.1 * np.random.default_rng(0).standard_normal(32000))
    one, other = (Generator(folder, "cpu", precision=name).generate(clip, 1) for name in generators.PRECISIONS)
    assert np.array_equal(one.expression, other.expression)


def test_products_are_taken_in_it_and_features_come_in_float32(encoder, monkeypatch):
    samples = 0.1 * torch.randn(640 * 130, generator=torch.Generator().manual_seed(0))
    exact = encoder.encode(samples)
    monkeypatch.setattr(encoder, "precision", torch.bfloat16)
    rounded = encoder.encode(samples)
    assert rounded.dtype == torch.float32 and not torch.equal(rounded, exact)
    assert (rounded - exact).square().mean().sqrt() < 0.03 * exact.std()


def test_the_benchmark_of_what_is_not_exact(encoder, monkeypatch):
    ways = (
        approximations.Way("the same"), approximations.Way("windows", 20, 5),
        approximations.Way("bfloat16", precision=torch.bfloat16),
    )  # fmt: skip
    monkeypatch.setattr(approximations, "WAYS", ways)
    results = approximations.measure(encoder, (3.0,))
    apart = {result["way"]: result["apart"] for result in results if "apart" in result}
    assert set(apart) == {"the same", "windows", "bfloat16", "another seed"}
    assert all(value == [0, 0] for value in apart["the same"].values())
    assert apart["windows"]["face, mm"][1] > 0 and apart["another seed"]["head, degrees"][1] > 0.5
    assert approximations.table(results).count("\n| 3 |") == 5
