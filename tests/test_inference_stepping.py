"""One frame at a time is what the modules compute all at once."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from talkingeyes_blender.inference.stepping import CausalSteps  # noqa: E402
from talkingeyes_blender.inference.transformer import CausalTransformer  # noqa: E402


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("memory", "slots", "positions"), [(0, 1, False), (10, 1, True), (10, 2, False)])
def test_steps_are_the_stack(batch, memory, slots, positions):
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
        steps = CausalSteps(stack, batch)
        made = []
        for first in (0, 9):  # two stretches of the memory, with what lies within reach of their frames
            low, high = max(0, first - 2), min(frames, first + 13)
            if memory:
                steps.remember(told[:, low * slots : high * slots])
            made += [steps(x[:, t], t - low) for t in range(first, frames if first else 9)]
    assert torch.allclose(torch.stack(made, 1), whole, atol=1e-5)
    assert not torch.allclose(whole[:, 1:], whole[:, :-1], atol=0.1)
