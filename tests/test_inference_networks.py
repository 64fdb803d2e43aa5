"""The networks of inference: what is cached, chunked and windowed equals what is computed whole."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import pytest
import torch
from _bundles import tiny_networks

from talkingeyes_blender.inference.attention import CausalWindowAttention, KeyValueCache, NearAttention
from talkingeyes_blender.inference.gaze_decoder import CodeSampler, GazeDecoder, GazeDecoderConfig
from talkingeyes_blender.inference.mel_encoder import MelEncoder, MelEncoderConfig, mel_filters
from talkingeyes_blender.inference.transformer import CausalTransformer, LocalTransformer, periodic_position

torch.set_num_threads(1)

FRAMES = 45
"""Several times every window of the tiny networks."""


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(one: torch.Tensor, other: torch.Tensor, within: float = 1e-5) -> bool:
    return one.shape == other.shape and (one - other).abs().max().item() <= within


# -- attention and stacks


@pytest.mark.parametrize("pieces", [[45], [1] * 45, [7, 1, 1, 20, 3, 13], [30, 1, 14]])
def test_causal_stack_agrees_whole_chunked_and_by_frame(pieces):
    torch.manual_seed(0)
    stack = CausalTransformer(16, 2, 2, 24, window=11, period=5, memory_dim=6, radius=3).eval()
    for layer in stack.layers:
        torch.nn.init.normal_(layer.attend_memory.place)
    x, memory = normal(2, FRAMES, 16), normal(2, FRAMES, 6, seed=2)
    with torch.inference_mode():
        remembered = stack.remember(memory)
        whole = stack(x, remembered)
        state, parts = stack.begin(), []
        for first, last in itertools.pairwise([0, *itertools.accumulate(pieces)]):
            parts.append(stack(x[:, first:last], remembered, first, state))
    assert close(whole, torch.cat(parts, dim=1))


@pytest.mark.parametrize("slots", [1, 2])
def test_near_attention_by_frame_equals_whole(slots):
    torch.manual_seed(0)
    attention = NearAttention(12, 6, 3, radius=4, slots=slots)
    torch.nn.init.normal_(attention.place)
    x, memory = normal(3, 20, 12), normal(3, 20 * slots, 6, seed=2)
    with torch.inference_mode():
        remembered = attention.remember(memory)
        whole = attention(x, remembered)
        by_frame = [attention(x[:, t : t + 1], remembered, t) for t in range(20)]
    assert close(whole, torch.cat(by_frame, dim=1), 1e-6)


def test_near_attention_with_one_slot_is_a_linear_layer():
    torch.manual_seed(0)
    attention = NearAttention(12, 6, 3, radius=0)
    memory = normal(2, 9, 6)
    expected = attention.out(attention.key_value(memory).chunk(2, dim=-1)[1])
    assert close(attention(normal(2, 9, 12), attention.remember(memory)), expected, 1e-6)


def test_causal_attention_sees_its_window_and_no_more():
    torch.manual_seed(0)
    attention = CausalWindowAttention(8, 2, window=5, period=2)
    x = normal(1, 12, 8)
    changed = x.clone()
    changed[:, 3] += 1.0
    with torch.inference_mode():
        moved = (attention(x) - attention(changed)).abs().amax(-1)[0] > 1e-7
    assert moved.tolist() == [3 <= t < 3 + 5 for t in range(12)]


def test_cache_stays_bounded():
    cache = KeyValueCache(window=6)
    for step in range(100):
        keys, _ = cache.append(torch.full((1, 1, 1, 2), float(step)), torch.zeros(1, 1, 1, 2))
        assert keys[0, 0, :, 0].tolist() == [float(t) for t in range(max(0, step - 5), step + 1)]
    assert cache._keys.shape[2] == 12


def test_positions_depend_on_time_and_not_on_the_batch():
    assert close(periodic_position(7, 23, 6, 25, torch.zeros(1)), periodic_position(30, 0, 6, 25, torch.zeros(1))[23:])
    stack = CausalTransformer(16, 1, 2, 24, window=8, positions=True).eval()
    x = normal(1, 1, 16).expand(3, 9, 16)
    out = stack(x)
    assert close(out[0], out[2])
    assert not close(out[:, 0], out[:, 1], 1e-3)


def test_padded_frames_do_not_change_the_others():
    torch.manual_seed(0)
    stack = LocalTransformer(8, 2, 2, 16, radius=4).eval()
    x = normal(2, 20, 8)
    valid = torch.ones(2, 20, dtype=torch.bool)
    valid[1, 13:] = False
    with torch.inference_mode():
        padded, alone = stack(x, valid), stack(x[1:, :13])
    assert torch.isfinite(padded).all()
    assert close(padded[1:, :13], alone)


# -- speech encoder


@pytest.mark.parametrize("window", [1, 10, 16, 44])
def test_encoder_windows_equal_whole(window):
    torch.manual_seed(0)
    encoder = MelEncoder(MelEncoderConfig(dim=12, bands=16, dilations=(1, 2), fine_dilations=(1, 2))).eval()
    encoder.window = window
    samples = 0.1 * normal(FRAMES * 640 - 123) * (normal(FRAMES * 640 - 123, seed=2).cumsum(0).sin())
    done = []
    assert window == 44 or window + 2 * encoder.margin < FRAMES
    with torch.inference_mode():
        assert close(encoder.encode(samples, done.append), encoder(samples[None]))
    assert done[-1] == FRAMES and done == sorted(done)


def _mel(level_seconds: float) -> MelEncoder:
    config = MelEncoderConfig(dim=12, bands=16, dilations=(1, 2), fine_dilations=(1,), level_seconds=level_seconds)
    return MelEncoder(config).eval()


def _talk(seconds: float, seed: int) -> torch.Tensor:
    count = int(seconds * 16000)
    return 0.1 * normal(count, seed=seed) * normal(count, seed=seed + 1).cumsum(0).mul(0.02).sin()


def test_levels_around_each_instant_are_those_of_a_clip_of_that_length():
    talk = _talk(4.0, 1)[None]
    assert torch.equal(_mel(4.0).prepare(talk), _mel(0.0).prepare(talk))
    # Of a longer clip, the middle of its first window: what comes after it is not heard.
    longer = torch.cat([talk, _talk(8.0, 3)[None]], 1)
    whole, around = _mel(0.0).prepare(talk)[0], _mel(4.0).prepare(longer)[0]
    assert len(around) == 1200 and torch.isfinite(around).all()
    assert (around[190:201] - whole[190:201]).abs().max() < 0.02


def test_a_speaker_who_is_10_db_quieter_than_the_one_before_is_heard_alike():
    loud, quiet = _talk(8.0, 1), _talk(8.0, 3)
    encoder = _mel(4.0)
    alone = encoder.prepare(quiet[None])[0]
    after = encoder.prepare(torch.cat([loud, quiet * 10**-0.5])[None])[0][800:]
    assert (after - alone)[300:].abs().max() < 0.02
    plain = _mel(0.0).prepare(torch.cat([loud, quiet * 10**-0.5])[None])[0][800:]
    assert (plain - alone)[300:].abs().mean() > 0.1


def test_a_pause_is_not_raised_to_speech():
    tone = torch.cat([_talk(8.0, 1), 0.001 * _talk(12.0, 3)])[None]
    energy = _mel(4.0).prepare(tone)[0, 1500:, -1]
    speech = _mel(4.0).prepare(tone)[0, :600, -1]
    assert energy.quantile(0.9) < speech.quantile(0.9) - 1.0


@pytest.mark.parametrize("samples", [1, 160, 640, 641, 3200])
def test_encoder_takes_the_shortest_clips(samples):
    encoder = tiny_networks()["face_encoder"]
    out = encoder.encode(0.1 * normal(samples))
    assert out.shape == (1, max(1, -(-samples // 640)), 16)
    assert torch.isfinite(out).all()


def test_encoder_does_not_mix_a_batch():
    encoder = tiny_networks()["face_encoder"]
    samples = torch.stack([0.1 * normal(6400), 0.01 * normal(6400, seed=5)])
    with torch.inference_mode():
        assert close(encoder(samples)[1], encoder(samples[1:])[0])


def test_encoder_ignores_the_recording_level():
    """Half the volume is the same speech; what is left of the difference comes from the logarithm's floor."""
    encoder = tiny_networks()["face_encoder"]
    samples = 0.2 * normal(1, 64000) * torch.linspace(0, 30, 64000).sin()
    with torch.inference_mode():
        assert close(encoder.prepare(samples), encoder.prepare(0.5 * samples), 0.05)


def test_mel_filters_cover_the_band():
    filters = mel_filters(64)
    assert torch.allclose(filters.sum(1), torch.ones(64), atol=1e-5)
    centres = filters.argmax(1)
    assert (centres[1:] >= centres[:-1]).all()
    assert centres[0] * 16000 / 512 < 120 and centres[-1] * 16000 / 512 > 7000


# -- gaze


def uncached_gaze(decoder, vqvae, speech, head) -> torch.Tensor:
    """Eqs. 9 and 10 as they are written: each frame from the whole past, everything computed anew."""
    batch, frames = speech.shape[:2]
    eyes, codes = torch.zeros(batch, frames, 6), []
    past = torch.zeros(batch, frames, vqvae.config.code_dim)
    for t in range(frames):
        features, _ = decoder(speech, head, eyes, past)
        codes.append(vqvae.nearest(features[:, t]))
        past[:, t] = vqvae.codebook[codes[-1]]
        eyes[:, t] = vqvae.decode(vqvae.codebook[torch.stack(codes, dim=1)])[:, t]
    return eyes


@pytest.mark.parametrize("past", ["motion", "code"])
@pytest.mark.parametrize("memory", ["feature", "time"])
@pytest.mark.parametrize("block", [500, 13, 1])
def test_cached_gaze_equals_uncached(memory, block, past):
    networks = tiny_networks(memory=memory, past=past)
    decoder, vqvae = networks["gaze_decoder"], networks["gaze_vqvae"]
    speech, head = normal(3, FRAMES, 16), 0.05 * normal(3, FRAMES, 3, seed=2)
    with torch.inference_mode():
        cached = decoder.generate(speech, head, vqvae, block=block)
        assert close(cached, uncached_gaze(decoder, vqvae, speech, head))
    # Told its code, a clip may stay at one for good; not all of them do.
    moved = cached.std(dim=1).amax(-1)
    assert (moved.min() if past == "motion" else moved.max()) > 1e-3, "a constant would pass for anything"


@pytest.mark.parametrize("memory", ["feature", "time"])
def test_gaze_of_a_batch_is_that_of_each(memory):
    networks = tiny_networks(memory=memory)
    decoder, vqvae = networks["gaze_decoder"], networks["gaze_vqvae"]
    speech, head = normal(3, FRAMES, 16), 0.05 * normal(3, FRAMES, 3, seed=2)
    together = decoder.generate(speech, head, vqvae)
    for one in range(3):
        alone = decoder.generate(speech[one : one + 1], head[one : one + 1], vqvae)
        assert close(together[one : one + 1], alone)
    assert not close(together[0], together[1], 1e-2)


def test_gaze_decoder_with_the_past_given_agrees_in_chunks():
    decoder = tiny_networks()["gaze_decoder"]
    speech, head, eyes = normal(2, FRAMES, 16), 0.05 * normal(2, FRAMES, 3, seed=2), 0.1 * normal(2, FRAMES, 6, seed=3)
    with torch.inference_mode():
        whole, _ = decoder(speech, head, eyes)
        remembered = decoder.stack.remember(decoder.memory(speech, head))
        state, parts = decoder.stack.begin(), []
        for first, last in itertools.pairwise([0, 17, 18, 40, FRAMES]):
            query = decoder.embed_past(eyes[:, max(0, first - 1) : last - 1])
            if first == 0:
                query = torch.cat([decoder.start.expand(2, 1, -1), query], dim=1)
            parts.append(decoder.predict(decoder.stack(query, remembered, first, state), None))
    assert close(whole, torch.cat(parts, dim=1))


def test_gaze_sees_speech_and_head_within_its_radius_only():
    decoder = tiny_networks()["gaze_decoder"]
    speech, head, eyes = normal(1, 30, 16), 0.05 * normal(1, 30, 3, seed=2), 0.1 * normal(1, 30, 6, seed=3)
    for source in (speech, head):
        before, _ = decoder(speech, head, eyes)
        source[:, 15] += 1.0
        moved = (decoder(speech, head, eyes)[0] - before).abs().amax(-1)[0] > 1e-7
        source[:, 15] -= 1.0
        assert moved[12:15].all() and not moved[:12].any()  # and later frames through the past, as they should


@pytest.mark.parametrize("choice", ["memory", "past"])
def test_gaze_decoder_refuses_what_it_does_not_know(choice):
    with pytest.raises(ValueError, match=choice):
        GazeDecoder(GazeDecoderConfig(**{choice: "both"}))


def test_nearest_is_the_least_distance():
    vqvae = tiny_networks()["gaze_vqvae"]
    features = normal(2, 9, 8)
    brute = ((features[:, :, None] - vqvae.codebook) ** 2).sum(-1)
    assert torch.allclose(vqvae.distances(features), brute, atol=1e-4)
    assert torch.equal(vqvae.nearest(features), brute.argmin(-1))
    logits = tiny_networks()["gaze_decoder"].logits(features, features, vqvae)
    assert torch.equal(logits.argmax(-1), vqvae.nearest(features))


def test_jumps_reach_codes_that_no_distance_would():
    vqvae = tiny_networks()["gaze_vqvae"]
    decoder = GazeDecoder(GazeDecoderConfig(speech_dim=16, code_dim=8, dim=16, heads=2, hidden=24, jumps=32))
    hidden, features = normal(4, 16), vqvae.codebook[:4]
    with torch.no_grad():
        decoder.log_sharpness.fill_(0.5)
        stay = decoder.logits(features, hidden, vqvae).softmax(-1)
        assert torch.equal(stay.argmax(-1), torch.arange(4))
        # Untrained, half as likely all together as to stay, and alike among themselves.
        assert torch.allclose(stay[0, 4:], torch.full((28,), (1 / 64) / (1 + 0.5)), rtol=0.05)
        decoder.jump.bias[20] = 3.0
        assert (decoder.logits(features, hidden, vqvae).argmax(-1) == 20).all()


def test_quantising_passes_the_gradient_straight_through():
    vqvae = tiny_networks()["gaze_vqvae"]
    features = normal(1, 4, 8).requires_grad_()
    quantised, codes = vqvae.quantise(features)
    assert close(quantised, vqvae.codebook[codes])
    quantised.sum().backward()
    assert torch.equal(features.grad, torch.ones_like(features))


def test_vqvae_decodes_the_past_alone_and_encodes_without_padding():
    vqvae = tiny_networks()["gaze_vqvae"]
    codes = torch.randint(32, (2, FRAMES), generator=torch.Generator().manual_seed(0))
    quantised = vqvae.codebook[codes]
    with torch.inference_mode():
        whole = vqvae.decode(quantised)
        assert close(whole[:, :20], vqvae.decode(quantised[:, :20]))
        state = vqvae.begin()
        pieces = [quantised[:, :3], quantised[:, 3:4], quantised[:, 4:30], quantised[:, 30:]]
        assert close(whole, torch.cat([vqvae.decode(piece, state) for piece in pieces], dim=1))
        eyes = 0.1 * normal(2, FRAMES, 6)
        valid = torch.arange(FRAMES)[None] < torch.tensor([[FRAMES], [30]])
        assert close(vqvae.encode(eyes, valid)[1:, :30], vqvae.encode(eyes[1:, :30]))


# -- sampled codes


def test_sampler_repeats_with_its_seed():
    logits = 3 * normal(50, 1, 32)

    def codes(seed: int) -> list[int]:
        sampler = CodeSampler(seed)
        return [sampler(row).item() for row in logits]

    assert codes(5) == codes(5)
    assert codes(5) != codes(6)


def test_sampler_draws_by_likelihood():
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0]).expand(20000, 4)
    counts = torch.bincount(CodeSampler(0, temperature=2.0)(logits), minlength=4) / 20000
    assert torch.allclose(counts, (logits[0] / 2).softmax(-1), atol=0.015)


def test_sampler_bounds():
    logits = normal(400, 32)
    assert torch.equal(CodeSampler(0, top_k=1)(logits), logits.argmax(-1))
    assert torch.equal(CodeSampler(0, temperature=0.0)(logits), logits.argmax(-1))
    rank = (logits > logits.gather(1, CodeSampler(0, 5.0, top_k=3)(logits)[:, None])).sum(1)
    assert rank.max() == 2
    assert (logits > logits.gather(1, CodeSampler(0, 5.0, top_k=99)(logits)[:, None])).sum(1).max() > 20


# -- head


def test_head_within_a_window_is_one_decode():
    head = tiny_networks()["head_vae"]
    speech = normal(2, 30, 16)
    generated = head.generate(speech, torch.Generator().manual_seed(4))
    latent = torch.randn(2, 4, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        assert torch.equal(generated, head.decode(latent, speech))


@pytest.mark.parametrize("frames", [31, 52, 53, 100])
def test_long_head_is_blended_from_windows(frames):
    """Windows of 30 frames that share 8: alone each is its own decode, shared frames lie between."""
    head = tiny_networks()["head_vae"]
    speech, done = normal(1, frames, 16), []
    generated = head.generate(speech, torch.Generator().manual_seed(4), done.append)
    random, shares = torch.Generator().manual_seed(4), torch.zeros(frames)
    lowest, highest = torch.full((1, frames, 3), 1e9), torch.full((1, frames, 3), -1e9)
    for first in range(0, frames, 22):
        last = min(first + 30, frames)
        if first and last - first <= 8:  # the window before reaches the end
            break
        with torch.inference_mode():
            part = head.decode(torch.randn(1, 4, generator=random), speech[:, first:last])
        lowest[:, first:last] = torch.minimum(lowest[:, first:last], part)
        highest[:, first:last] = torch.maximum(highest[:, first:last], part)
        shares[first:last] += 1
    assert shares.min() == 1 and shares.max() == (2 if frames > 30 else 1)
    assert (generated >= lowest - 1e-6).all() and (generated <= highest + 1e-6).all()
    assert close(generated[:, shares == 1], lowest[:, shares == 1])
    gap = (highest - lowest)[:, shares == 2].abs().max()
    assert gap > 1e-3, "the windows must differ for the blend to mean anything"
    assert done[-1] == frames


def test_head_latents_differ_by_window_and_seed():
    head = tiny_networks()["head_vae"]
    speech = normal(1, 1, 16).expand(1, 100, 16)
    one, other = (head.generate(speech, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert not close(one, other, 1e-3)
    assert not close(one[:, 10], one[:, 90], 1e-4)


def test_head_vae_reconstructs_from_its_own_mean():
    head = tiny_networks()["head_vae"]
    motion, speech = 0.05 * normal(2, 20, 3), normal(2, 20, 16, seed=2)
    valid = torch.arange(20)[None] < torch.tensor([[20], [12]])
    with torch.inference_mode():
        rebuilt, mean, log_variance = head(motion, speech, noise=torch.zeros(2, 4))
        assert close(rebuilt, head.decode(mean, speech))
        padded, alone = head.encode(motion, speech, valid), head.encode(motion[1:, :12], speech[1:, :12])
        assert close(padded[0][1:], alone[0]) and close(padded[1][1:], alone[1])
        shifted, _, _ = head(motion, speech, noise=torch.ones(2, 4))
        assert close(shifted, head.decode(mean + (0.5 * log_variance).exp(), speech))


# -- face


@pytest.mark.parametrize("block", [500, 13, 1])
def test_cached_face_equals_uncached(block):
    face = tiny_networks()["face_decoder"]
    speech, style = normal(3, FRAMES, 16), torch.ones(3, 1)
    with torch.inference_mode():
        cached = face.generate(speech, style, block=block)
        motion = torch.zeros_like(cached)
        for t in range(FRAMES):
            motion[:, t] = face(speech, style, motion)[:, t]
    assert close(cached, motion)
    assert cached.std(dim=1).mean() > 1e-2, "a constant would pass for anything"


def test_face_of_a_batch_is_that_of_each():
    face = tiny_networks()["face_decoder"]
    speech = normal(2, FRAMES, 16)
    together = face.generate(speech)
    assert close(together[1:], face.generate(speech[1:]))
    assert not close(together[0], together[1], 1e-2)


def test_face_hears_two_frames_ahead():
    face = tiny_networks()["face_decoder"]
    speech = normal(1, 20, 16)
    before = face.generate(speech)
    speech[:, 10] += 1.0
    moved = (face.generate(speech) - before).abs().amax(-1)[0] > 1e-7
    assert moved[8:].all() and not moved[:8].any()
