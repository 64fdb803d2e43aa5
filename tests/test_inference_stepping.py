"""One frame at a time is what the modules compute all at once, in numpy as in torch with state that lies still."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import logging
import types

import pytest

torch = pytest.importorskip("torch")

from _bundles import tiny_networks  # noqa: E402

from talkingeyes_blender.inference import stepping, stepping_torch  # noqa: E402
from talkingeyes_blender.inference.face_decoder import FaceSteps  # noqa: E402
from talkingeyes_blender.inference.gaze_decoder import CodeSampler, GazeSteps  # noqa: E402
from talkingeyes_blender.inference.transformer import CausalTransformer  # noqa: E402

KITS = [stepping, stepping_torch]
torch.set_num_threads(1)


def tensor(values, batch: int):
    return torch.as_tensor(values).reshape(batch, -1)


@pytest.mark.parametrize("kit", KITS)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("memory", "slots", "positions"), [(0, 1, False), (10, 1, True), (10, 2, False)])
def test_steps_are_the_stack(kit, batch, memory, slots, positions):
    torch.manual_seed(0)
    stack = CausalTransformer(
        16, 2, 4, 24, window=7, period=3, memory_dim=memory, radius=2, slots=slots, positions=positions
    ).eval()
    for parameter in stack.parameters():  # biases and the scores of places are zero at first
        parameter.data += 0.1 * torch.randn(parameter.shape)
    frames = 20
    x = torch.randn(batch, frames, 16)
    told = torch.randn(batch, slots * frames, memory) if memory else None
    with torch.inference_mode():
        whole = stack(x, stack.remember(told) if memory else None)
        steps = kit.CausalSteps(stack, batch)
        made = []
        for first, last in ((0, 9), (9, frames)):  # two stretches of the memory, with what their frames can reach
            low, high = max(0, first - 2), min(frames, last + 2)
            steps.remember(told[:, low * slots : high * slots] if memory else None, first - low)
            made += [tensor(steps(kit.state(x[:, t])), batch) for t in range(first, last)]
    assert torch.allclose(torch.stack(made, 1), whole, atol=1e-5)
    assert not torch.allclose(whole[:, 1:], whole[:, :-1], atol=0.1)


@pytest.mark.parametrize("mean", [0.0, 30.0])
def test_a_norm_folded_into_a_product(mean):
    torch.manual_seed(1)
    norm, linear, x = torch.nn.LayerNorm(64), torch.nn.Linear(64, 32), mean + torch.randn(5, 64)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    with torch.inference_mode():
        expected = linear(norm(x))
        folded = stepping._NormAffine(norm, linear)
        for one in (tensor(folded(x.numpy()), 5), torch.stack([tensor(folded(row.numpy()), 1)[0] for row in x])):
            assert torch.allclose(one, expected, atol=1e-5 * (1 + mean))


def test_what_kits_offer_agrees():
    torch.manual_seed(2)
    one, other = 10 * torch.randn(2, 50), 10 * torch.randn(2, 50)
    for name, arguments in {
        "log_add": (one, other), "squared": (one,), "not_below_zero": (one,), "among_largest": (one, 7),
        "rows": (one, torch.tensor([1, 0, 1])),
    }.items():  # fmt: skip
        expected = getattr(stepping_torch, name)(*arguments)
        arrays = [each.numpy() if isinstance(each, torch.Tensor) else each for each in arguments]
        assert torch.allclose(torch.as_tensor(getattr(stepping, name)(*arrays)), expected, atol=1e-5), name
    assert torch.isfinite(stepping_torch.among_largest(one, 7)).sum(1).tolist() == [7, 7]


# -- whole decoders


class Playback:
    """Does what a CUDA graph does: the step runs on memory that must lie where it lay when it was recorded."""

    def __init__(self, step, owner) -> None:
        self._step, self._owner, self._places = step, owner, None

    def __call__(self) -> None:
        places = {id(t): t.data_ptr() for t in tensors_of(self._owner)}
        if self._places is None:
            self._places = places
        assert places == self._places, "state that a recording reads has moved"
        self._step()


def tensors_of(thing, seen: set | None = None):
    """All tensors that can be reached from an object of ours."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, (torch.nn.Module, str, CodeSampler)):
        return
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        yield thing
    elif isinstance(thing, (list, tuple)):
        for each in thing:
            yield from tensors_of(each, seen)
    elif isinstance(thing, types.FunctionType):
        for cell in thing.__closure__ or ():
            yield from tensors_of(cell.cell_contents, seen)
    elif type(thing).__module__.startswith("talkingeyes_blender"):
        for each in vars(thing).values():
            yield from tensors_of(each, seen)


@contextlib.contextmanager
def torch_steps(monkeypatch, played_back: bool = True):
    with monkeypatch.context() as patch:
        patch.setattr(stepping, "kit_for", lambda device: stepping_torch)
        if played_back:
            patch.setattr(stepping_torch, "captured", lambda step, device: Playback(step, step.__self__))
        yield


class Sampler(CodeSampler):
    """Leads as tensors, on a CPU too."""

    def lead(self, batch, codes, device):
        return torch.as_tensor(super().lead(batch, codes, device))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("past", "memory"), [("motion", "feature"), ("code", "time")])
@pytest.mark.parametrize("chance", [None, dict(temperature=1.0), dict(temperature=0.7, top_k=5), dict(temperature=0.0)])
def test_gaze_is_the_same_with_state_that_lies_still(monkeypatch, batch, past, memory, chance):
    networks = tiny_networks(past=past, memory=memory)
    decoder, vqvae = networks["gaze_decoder"], networks["gaze_vqvae"]
    torch.manual_seed(0)
    speech, head = torch.randn(batch, 60, 16), 0.1 * torch.randn(batch, 60, 3)

    def make(kind):
        sampler = kind(list(range(batch)), **chance) if chance is not None else None
        return decoder.generate(speech, head, vqvae, sampler, block=13)

    ours = make(CodeSampler)
    with torch_steps(monkeypatch):
        other = make(Sampler)
    assert ours.shape == other.shape == (batch, 60, 6)
    assert torch.allclose(ours, other, atol=1e-5)
    # Without chance, gaze may stay where it is.
    assert not (chance or {}).get("temperature") or ours.std(1).min() > 1e-3


@pytest.mark.parametrize("batch", [1, 2])
def test_the_face_is_the_same_with_state_that_lies_still(monkeypatch, batch):
    decoder = tiny_networks()["face_decoder"]
    torch.manual_seed(0)
    speech = torch.randn(batch, 60, 16)
    ours = decoder.generate(speech, block=13)
    with torch_steps(monkeypatch):
        assert torch.allclose(ours, decoder.generate(speech, block=13), atol=1e-5)
    with torch.inference_mode():
        style = torch.ones(batch, decoder.config.styles)
        assert torch.allclose(decoder(speech, style, ours), ours, atol=1e-4), "and what the module makes of its past"


def test_a_longer_stretch_is_recorded_anew(monkeypatch):
    decoder, recorded = tiny_networks()["face_decoder"], []
    speech = torch.randn(1, 60, 16)
    whole = decoder.generate(speech)
    with torch_steps(monkeypatch, played_back=False):
        monkeypatch.setattr(
            stepping_torch, "captured", lambda step, device: recorded.append(step) or Playback(step, step.__self__)
        )
        steps = FaceSteps(decoder, 1)
        made = torch.cat([steps(speech[:, :4], 0, 2), steps(speech[:, :42], 2, 38), steps(speech[:, 38:], 2, 20)], 1)
    assert len(recorded) == 3, "at first, for the first stretch, and for the longer one"
    assert torch.allclose(made, whole, atol=1e-5)


def test_what_cannot_be_recorded_runs_as_it_is(caplog):
    """On a machine without CUDA a recording fails, as it may with a card for other reasons."""
    if torch.cuda.is_available():
        pytest.skip("here it can be recorded")
    ran = []
    step = stepping_torch.Captured(lambda: ran.append(len(ran)))
    with caplog.at_level(logging.WARNING):
        for _ in range(6):
            step()
    assert ran == list(range(6))
    assert caplog.text.count("without a CUDA graph") == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_recording_is_the_step(monkeypatch):
    networks = tiny_networks()
    decoder, vqvae = (networks[name].to("cuda") for name in ("gaze_decoder", "gaze_vqvae"))
    speech, head = torch.randn(2, 60, 16, device="cuda"), torch.randn(2, 60, 3, device="cuda")
    recorded = GazeSteps(decoder, vqvae, 2)(speech, head, 0, 60)
    monkeypatch.setattr(stepping_torch, "captured", lambda step, device: step)
    assert torch.allclose(recorded, GazeSteps(decoder, vqvae, 2)(speech, head, 0, 60), atol=1e-4)
