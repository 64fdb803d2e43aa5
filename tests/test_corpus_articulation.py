"""Phones to the visible mouth."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from talkingeyes_blender.head.arkit import EXPRESSIONS, INDEX, MOUTH_CLOSE_JAW_DEGREES
from talkingeyes_blender.training.corpus import phones
from talkingeyes_blender.training.corpus.articulation import Manner, pose_mouth
from talkingeyes_blender.training.corpus.prosody import Prosody, find_phrases

EVEN = Manner()


def pose(names: str, step: float = 0.16, manner: Manner = EVEN, loudness: float = 0.0, accents=()):
    """Pose 0.5 s of silence, the named classes of ``step`` seconds each, and 0.5 s of silence."""
    segments, at = [(0.0, 0.5, phones.SILENCE)], 0.5
    for name in names.split():
        segments.append((at, at + step, name))
        at += step
    segments.append((at, at + 0.5, phones.SILENCE))
    frames = int((at + 0.5) * 25)
    count = int((at + 0.5) * 100)
    prosody = Prosody(np.full(count, loudness), np.zeros(count), find_phrases(segments), tuple(accents))
    expression, jaw = pose_mouth(segments, prosody, frames, manner)
    return segments, expression, np.degrees(jaw[:, 0])


def during(segments, name, values):
    """The frame nearest the middle of the first segment of a class."""
    middle = next((a + b) / 2 for a, b, n in segments if n == name)
    return values[round(middle * 25)]


def test_shapes_ranges_and_rest():
    _, expression, jaw = pose("plosive_lips a nasal_lips i lip_teeth u dental ae sibilant o postalveolar r er")
    assert expression.shape == (len(jaw), 41) and expression.dtype == np.float32
    assert expression.min() >= 0 and expression.max() <= 1
    rest = slice(0, 9)
    assert np.all(jaw[rest] == 0) and np.all(expression[rest] == 0)
    assert np.all(jaw[-8:] == 0) and np.all(expression[-8:] == 0)
    for name in EXPRESSIONS:
        if name.startswith(("eyeBlink", "eyeWide", "eyeSquint")):
            assert not expression[:, INDEX[name]].any()


@pytest.mark.parametrize("lips", ["plosive_lips", "nasal_lips"])
@pytest.mark.parametrize("vowel", ["a", "i", "u", "schwa"])
@pytest.mark.parametrize("step", [0.07, 0.11, 0.16])
def test_lips_are_shut_on_bilabials_and_only_there(lips, vowel, step):
    segments, expression, jaw = pose(f"{vowel} {lips} {vowel} alveolar {vowel}", step)
    gap = jaw - MOUTH_CLOSE_JAW_DEGREES * expression[:, INDEX["mouthClose"]]
    assert abs(during(segments, lips, gap)) < 0.15
    assert during(segments, lips, jaw) < 4
    assert during(segments, lips, expression[:, INDEX["mouthPressLeft"]]) > 0.1
    assert during(segments, "alveolar", gap) > 0.5
    assert during(segments, "alveolar", expression[:, INDEX["mouthPressLeft"]]) < 0.1


def test_vowels_look_like_themselves():
    def at(name):
        segments, expression, jaw = pose(f"alveolar {name} alveolar", 0.2)
        found = {n: float(during(segments, name, expression[:, INDEX[n]])) for n in EXPRESSIONS}
        return found | {"jaw": float(during(segments, name, jaw))}

    a, i, u = at("a"), at("i"), at("u")
    assert 11 < a["jaw"] < 15.5 and i["jaw"] < 0.5 * a["jaw"] and u["jaw"] < 0.5 * a["jaw"]
    assert u["mouthPucker"] > 0.6 and a["mouthPucker"] < 0.1 and i["mouthPucker"] < 0.1
    assert i["mouthStretchLeft"] > 0.2 and i["mouthSmileLeft"] > 2 * u["mouthSmileLeft"]
    assert a["mouthLowerDownLeft"] > 0.3
    assert at("postalveolar")["mouthFunnel"] > 0.35
    assert at("dental")["tongueOut"] > 0.1 > at("alveolar")["tongueOut"]
    f = at("lip_teeth")
    assert f["mouthRollLower"] > 0.4 and f["mouthUpperUpLeft"] > 0.1 and f["jaw"] < 4
    # On f the lips must not look shut.
    assert f["jaw"] - MOUTH_CLOSE_JAW_DEGREES * f["mouthClose"] > 0.5


def test_coarticulation_rounds_ahead():
    """The t of /tu/ is rounder than that of /ti/."""
    pucker = {}
    for vowel in ("u", "i"):
        segments, expression, _ = pose(f"schwa alveolar {vowel}", 0.1)
        pucker[vowel] = during(segments, "alveolar", expression[:, INDEX["mouthPucker"]])
    assert pucker["u"] > pucker["i"] + 0.15


def test_a_long_silence_shuts_the_mouth_and_a_short_one_need_not():
    for gap, shut in ((0.18, True), (0.05, False)):
        segments = [(0.0, 0.5, "silence"), (0.5, 0.7, "a"), (0.7, 0.7 + gap, "silence"), (0.7 + gap, 1.1, "a")]
        prosody = Prosody(np.zeros(200), np.zeros(200), find_phrases(segments), ())
        _, jaw = pose_mouth(segments, prosody, 40, EVEN)
        lowest = np.degrees(jaw[17:24, 0]).min()
        assert (lowest < 0.4) == shut


def test_loudness_opens_and_speakers_differ():
    jaw = {level: pose("alveolar a alveolar", 0.2, loudness=level)[2].max() for level in (-15.0, 0.0, 10.0)}
    assert jaw[-15.0] < 0.85 * jaw[0.0] and jaw[10.0] > 1.1 * jaw[0.0]
    _, lopsided, _ = pose("i", manner=Manner(side=0.1))
    left, right = lopsided[:, INDEX["mouthStretchLeft"]], lopsided[:, INDEX["mouthStretchRight"]]
    assert left.max() > 1.15 * right.max()


def test_brows_follow_accents():
    _, expression, _ = pose("a i a i a i a i", accents=[(1.0, 1.0, 2.0)])
    brow = expression[:, INDEX["browInnerUp"]]
    assert abs(int(brow.argmax()) - 25) <= 1 and brow.max() > 0.3
    wide = (brow > 0.02).sum() * 40
    assert 280 <= wide <= 680
    assert not expression[:, INDEX["browDownLeft"]].any()
    _, low, _ = pose("a i a i a i a i", accents=[(1.0, 1.0, -1.0)])
    assert low[:, INDEX["browDownLeft"]].max() > 0.2 and not low[:, INDEX["browInnerUp"]].any()


def test_motion_is_smooth():
    _, expression, jaw = pose("plosive_lips a nasal_lips i alveolar u dental ae sibilant o", 0.1)
    assert np.abs(np.diff(jaw)).max() < 10
    assert np.abs(np.diff(expression, axis=0)).max() < 0.65


def test_phone_maps():
    assert phones.visible_classes("ay", "cmu") == ("a", "ih")
    assert phones.visible_classes("a1", "italian") == ("a",)
    assert phones.visible_classes("tʃ", "ipa") == ("postalveolar",)
    assert phones.visible_classes("aɪ", "ipa") == ("a", "ih")
    assert phones.visible_classes("uː", "ipa") == ("u",)
    assert phones.visible_classes("pf", "ipa") == ("plosive_lips", "lip_teeth")
    assert phones.visible_classes("(en)", "ipa") == () and phones.visible_classes("?", "cmu") == ()
    assert phones.visible_classes("r~*", "czech") == ("postalveolar",)
    assert phones.visible_classes("&:", "finnish") == ("ae",)
    for alphabet in phones.ALPHABETS:
        with_lips = [p for p in ("p", "b", "m") if set(phones.visible_classes(p, alphabet)) <= phones.CLOSED_LIPS]
        assert with_lips == ["p", "b", "m"]
    tables = (phones._CMU, phones._ROMANCE, phones._CZECH, phones._FINNISH, phones._IPA, phones._AFFRICATES)
    assert {c for table in tables for entry in table.values() for c in entry.split()} <= set(phones.CLASSES)
    with pytest.raises(KeyError):
        phones.visible_classes("a", "klingon")
