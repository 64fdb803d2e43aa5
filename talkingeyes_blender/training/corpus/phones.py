"""What can be seen of each speech sound: phone alphabets of the speech programs mapped to visible classes.

Phones that look alike share a class (p, b and m close the lips; which of them it is cannot be seen). A diphthong is
two classes in a row.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from functools import cache

SILENCE = "silence"

CLASSES = (
    SILENCE, "plosive_lips", "nasal_lips", "lip_teeth", "dental", "alveolar", "lateral", "sibilant", "postalveolar",
    "velar", "r", "w", "j", "h",
    "a", "ae", "uh", "aw", "eh", "schwa", "e", "ih", "i", "o", "oo", "u", "er", "y",
)  # fmt: skip
"""Visible classes; articulation.py says what each does."""

CLOSED_LIPS = frozenset({"plosive_lips", "nasal_lips"})

_CMU = {
    "aa": "a", "ae": "ae", "ah": "uh", "ao": "aw", "aw": "a oo", "ax": "schwa", "axr": "er", "ay": "a ih", "eh": "eh",
    "er": "er", "ey": "e ih", "ih": "ih", "ix": "ih", "iy": "i", "ow": "o oo", "oy": "aw ih", "uh": "oo", "uw": "u",
    "b": "plosive_lips", "p": "plosive_lips", "m": "nasal_lips", "em": "nasal_lips", "f": "lip_teeth", "v": "lip_teeth",
    "th": "dental", "dh": "dental", "t": "alveolar", "d": "alveolar", "n": "alveolar", "en": "alveolar",
    "dx": "alveolar", "nx": "alveolar", "l": "lateral", "el": "lateral", "s": "sibilant", "z": "sibilant",
    "sh": "postalveolar", "zh": "postalveolar", "ch": "postalveolar", "jh": "postalveolar", "k": "velar", "g": "velar",
    "ng": "velar", "r": "r", "w": "w", "y": "j", "hh": "h", "hv": "h", "pau": SILENCE, "sil": SILENCE, "h#": SILENCE,
    "brth": SILENCE, "ssil": SILENCE,
}  # fmt: skip

_ROMANCE = {
    "a": "a", "e": "e", "E": "eh", "i": "i", "o": "o", "O": "aw", "u": "u", "ax": "schwa", "@": "schwa",
    "b": "plosive_lips", "p": "plosive_lips", "m": "nasal_lips", "f": "lip_teeth", "v": "lip_teeth", "nf": "alveolar",
    "t": "alveolar", "d": "alveolar", "n": "alveolar", "r": "lateral", "rr": "lateral", "l": "lateral", "L": "j",
    "J": "j", "j": "j", "w": "w", "s": "sibilant", "z": "sibilant", "ts": "sibilant", "dz": "sibilant",
    "S": "postalveolar", "Z": "postalveolar", "tS": "postalveolar", "dZ": "postalveolar", "k": "velar", "g": "velar",
    "ng": "velar", "#": SILENCE, "_": SILENCE, "pau": SILENCE,
}  # fmt: skip

_CZECH = {
    "a": "a", "e": "eh", "i": "i", "o": "o", "u": "u", "b": "plosive_lips", "p": "plosive_lips", "m": "nasal_lips",
    "f": "lip_teeth", "v": "lip_teeth", "c": "sibilant", "dz": "sibilant", "s": "sibilant", "z": "sibilant",
    "c~": "postalveolar", "dz~": "postalveolar", "s~": "postalveolar", "z~": "postalveolar", "r~": "postalveolar",
    "r~*": "postalveolar", "d": "alveolar", "t": "alveolar", "n": "alveolar", "d~": "j", "t~": "j", "n~": "j",
    "n*": "velar", "ch": "velar", "g": "velar", "k": "velar", "h": "h", "j": "j", "l": "lateral", "r": "lateral",
    "#": SILENCE, "_": SILENCE, "pau": SILENCE,
}  # fmt: skip

_FINNISH = {
    "a": "a", "e": "e", "i": "i", "o": "o", "u": "u", "y": "y", "7": "y", "&": "ae", "@": "schwa",
    "p": "plosive_lips", "b": "plosive_lips", "m": "nasal_lips", "f": "lip_teeth", "v": "lip_teeth", "T": "dental",
    "D": "dental", "t": "alveolar", "d": "alveolar", "n": "alveolar", "s": "sibilant", "z": "sibilant",
    "S": "postalveolar", "Z": "postalveolar", "k": "velar", "g": "velar", "N": "velar", "l": "lateral", "L": "lateral",
    "r": "lateral", "j": "j", "w": "w", "h": "h", "#": SILENCE, "##": SILENCE, "_": SILENCE, "pau": SILENCE,
}  # fmt: skip

_IPA = {
    "ɑ": "a", "a": "a", "ɐ": "uh", "æ": "ae", "ʌ": "uh", "ɔ": "aw", "ɒ": "aw", "ɛ": "eh", "ε": "eh", "œ": "y",
    "ə": "schwa", "ᵻ": "ih", "e": "e",
    "ɘ": "schwa", "ɪ": "ih", "i": "i", "ɨ": "ih", "ɯ": "ih", "o": "o", "ɤ": "uh", "ɵ": "o",
    "ʊ": "oo", "u": "u", "ʉ": "u", "y": "y", "ø": "y", "ʏ": "y", "ɜ": "er", "ɚ": "er", "ɝ": "er", "ɞ": "er",
    "p": "plosive_lips", "b": "plosive_lips", "ɓ": "plosive_lips", "m": "nasal_lips", "ɱ": "lip_teeth", "β": "w",
    "ɸ": "w", "f": "lip_teeth", "v": "lip_teeth", "ʋ": "lip_teeth", "θ": "dental", "ð": "dental", "t": "alveolar",
    "d": "alveolar", "ʈ": "alveolar", "ɖ": "alveolar", "ɗ": "alveolar", "n": "alveolar", "ɳ": "alveolar",
    "ɾ": "alveolar", "r": "lateral", "ɹ": "r", "ɻ": "r", "ɽ": "lateral", "l": "lateral", "ɫ": "lateral",
    "ɭ": "lateral", "ɬ": "lateral", "ɮ": "lateral", "s": "sibilant", "z": "sibilant", "ʃ": "postalveolar",
    "ʒ": "postalveolar", "ɕ": "postalveolar", "ʑ": "postalveolar", "ʂ": "postalveolar", "ʐ": "postalveolar",
    "k": "velar", "ɡ": "velar", "g": "velar", "ɠ": "velar", "x": "velar", "ɣ": "velar", "ŋ": "velar", "q": "velar",
    "ɢ": "velar", "χ": "velar", "ʁ": "velar", "ʀ": "velar", "ɴ": "velar", "c": "j", "ɟ": "j", "ç": "j", "ʝ": "j",
    "ɲ": "j", "ʎ": "j", "j": "j", "w": "w", "ʍ": "w", "ɥ": "w", "h": "h", "ɦ": "h", "ħ": "h", "ʕ": "h", "ʔ": "h",
}  # fmt: skip

_AFFRICATES = {
    "tʃ": "postalveolar", "dʒ": "postalveolar", "tɕ": "postalveolar", "dʑ": "postalveolar", "tʂ": "postalveolar",
    "dʐ": "postalveolar", "ʈʂ": "postalveolar", "ts": "sibilant", "dz": "sibilant", "pf": "plosive_lips lip_teeth",
}  # fmt: skip

_TABLES = {"cmu": _CMU, "italian": _ROMANCE, "catalan": _ROMANCE, "czech": _CZECH, "finnish": _FINNISH}
ALPHABETS = (*_TABLES, "ipa")


@cache
def visible_classes(phone: str, alphabet: str) -> tuple[str, ...]:
    """The visible classes of one phone, in order; empty if it cannot be seen or is no sound (a language switch).

    Raises KeyError for an unknown alphabet.
    """
    if alphabet == "ipa":
        return _ipa_classes(phone)
    table = _TABLES[alphabet]
    for name in (phone, phone.rstrip("1:"), phone.rstrip("0123:")):
        if name in table:
            return tuple(table[name].split())
    return ()


def _ipa_classes(phone: str) -> tuple[str, ...]:
    if phone in ("", "_", "_:", "_!", "_|"):
        return (SILENCE,)
    if phone.startswith("("):
        return ()
    for affricate, name in _AFFRICATES.items():
        if phone.startswith(affricate):
            return tuple(name.split())
    classes = [_IPA[letter] for letter in phone if letter in _IPA]
    # A long vowel may be written twice; two alike in a row look like one.
    return tuple(c for i, c in enumerate(classes) if i == 0 or c != classes[i - 1])
