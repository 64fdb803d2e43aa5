"""A take in pieces: the pieces are the take, the take is the one of ``generate``, and Cancel is heard between them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
import torch
from test_inference_generator import CHANNELS, clip, differing, folder, generator  # noqa: F401

from talkingeyes_blender.errors import Cancelled
from talkingeyes_blender.inference.generator import Generator
from talkingeyes_blender.inference.pieces import FIRST
from talkingeyes_blender.inference.settings import GenerationSettings

torch.set_num_threads(1)


@pytest.mark.parametrize("seconds", [0.2, 2.0, 23.4])
@pytest.mark.parametrize("gaze", ["sample", "argmin"])
def test_the_take_is_the_one_of_generate_to_the_bit(folder, generator, seconds, gaze):  # noqa: F811
    sound, settings, pieces = clip(seconds), GenerationSettings(gaze=gaze), []
    reported = []
    made = generator.generate(
        sound, 5, settings, lambda *said: reported.append(said), lambda first, motion: pieces.append((first, motion))
    )
    assert not differing(made, Generator(folder, "cpu").generate(sound, 5, settings))
    assert not differing(made, generator.generate(sound, 5, settings)), "the face is remembered as it would be"
    at = 0
    for first, piece in pieces:
        assert first == at
        at += piece.frames
        for name in CHANNELS:
            np.testing.assert_allclose(getattr(piece, name), getattr(made, name)[first:at], atol=1e-5)
    assert at == made.frames and pieces[0][1].frames == min(FIRST, made.frames)
    fractions = [fraction for fraction, _ in reported]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1.0)


def test_a_known_clip_is_not_heard_again(generator):  # noqa: F811
    sound, phases = clip(13), set()
    generator.generate(sound, 1)
    again, pieces = generator.generate(sound, 2), []
    generator.generate(sound, 2, progress=lambda _, phase: phases.add(phase), on_piece=lambda *p: pieces.append(p))
    assert "Listening to the speech" not in phases
    np.testing.assert_array_equal(np.concatenate([p.expression for _, p in pieces]), again.expression)


def test_cancelled_between_two_pieces(generator):  # noqa: F811
    def stop(first, _piece):
        if first:
            raise Cancelled

    with pytest.raises(Cancelled):
        generator.generate(clip(13), 1, on_piece=stop)
    assert generator.generate(clip(13), 1).frames == 325
