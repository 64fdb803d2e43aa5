"""Ours and the baselines on the same speech: motions for films, and the page of the forced-choice study (Table IV).

::

    <out>/comparison.json      what stands behind each film's code name
    <out>/clips/<n>.wav        the speech
    <out>/motions/<code>.npz   the motion of one method on it; tools/compare_films.py makes films/<code>.mp4 of it
    <out>/page.html            the study; it knows code names only

Only the eyes differ: face, head and blinks of a clip are ours in all of its motions.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import soundfile

from ...errors import TalkingEyesError
from ...inference.audio import AudioClip
from ...inference.generator import Generator
from ...inference.settings import GenerationSettings
from ..dataset import RATE, Dataset
from .baselines import Mean, Random, SimilarSample
from .cascade import load_cascade
from .components import CHECKPOINT
from .methods import Method, test_clips
from .page import page_html
from .reproduce import write_json

OURS = "ours"
TITLES = {OURS: "TalkingEyes", "mean": "Mean", "random": "Random", "similar": "Similar Sample", "vae": "VAE"}
VERSION = 1


def code_name(seed: int, clip: int, method: str) -> str:
    """A name that does not tell the method."""
    return hashlib.sha256(f"{seed}|{clip}|{method}".encode()).hexdigest()[:10]


def compare(
    data: Path, out: Path, *, weights: Path | None = None, reproduction: Path | None = None, split: str = "test",
    clips: int = 5, frames: int = 200, seed: int = 0, gaze: str | None = None, device: str = "cpu",
    say: Callable[[str], None] = lambda text: None,
) -> Path:  # fmt: skip
    """Make the motions, the sounds and the page in ``out`` and return the path of its comparison.json.

    ``reproduction`` is a seed's folder of 'reproduce' whose training 'gaze-vae' is the baseline VAE; without it there
    is none.

    Raises:
        TalkingEyesError: something named is missing, or the folder holds another comparison.
    """
    description = out / "comparison.json"
    if description.exists():
        raise TalkingEyesError(f"{out} holds a comparison already.", "Choose another folder, or remove it.")
    dataset = Dataset(data)
    generator = Generator(weights, device)
    if generator.bundle.head_model != dataset.head_model:
        say(f"the films show {generator.bundle.head_model}; the data is of {dataset.head_model}")
    train = dataset.split("train")
    methods: dict[str, Method] = {"mean": Mean(train), "random": Random(train), "similar": SimilarSample(train)}
    if reproduction is not None:
        methods["vae"] = load_cascade("VAE", reproduction / "gaze-vae" / CHECKPOINT, device=device)
    chosen = test_clips(dataset.split(split), clips, frames)
    for folder in ("clips", "motions", "films"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    entries = []
    for number, clip in enumerate(chosen):
        say(f"clip {number + 1} of {len(chosen)}")
        sound = f"clips/{number}.wav"
        soundfile.write(out / sound, clip.speech.samples, RATE, subtype="PCM_16")
        ours = generator.generate(AudioClip(clip.speech.samples), seed, GenerationSettings(gaze=gaze))
        motions = {OURS: ours}
        for name, method in methods.items():
            motions[name] = ours.replace(eyes=method.takes(clip.speech, [seed], head=ours.head).eyes[0])
        codes = {}
        for name, motion in motions.items():
            codes[name] = code_name(seed, number, name)
            motion.save(out / "motions" / f"{codes[name]}.npz")
        entries.append({"recording": clip.speech.id, "sound": sound, "codes": codes})
    trials = [
        (entry["codes"][OURS], entry["codes"][name]) for entry in entries for name in entry["codes"] if name != OURS
    ]
    (out / "page.html").write_text(page_html(trials, seed), encoding="utf-8")
    write_json(
        description,
        {
            "version": VERSION, "seed": seed, "frames": frames, "weights": generator.bundle.name,
            "titles": {name: TITLES[name] for name in (OURS, *methods)}, "clips": entries,
        },
    )  # fmt: skip
    return description
