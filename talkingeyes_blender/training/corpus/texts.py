"""What the voices say: sentences where a collection is installed, and strings made for the sounds that are rare there.

Sentences come from the fortune collections of the system, if there are any; they are spoken, never stored. Without
them, and for languages that have none, sentences are put together from a small vocabulary.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import logging
import re
from functools import cache
from pathlib import Path

import numpy as np

log = logging.getLogger(__name__)

_FORTUNES = Path("/usr/share/games/fortunes")
_WORDS = Path("/usr/share/dict/american-english")
_COLLECTIONS = {"en": ".", "de": "de", "es": "es", "it": "it", "cs": "cs", "sk": "sk"}
# Not plain sentences of the language, or not fit for the purpose.
_LEFT_OUT = {
    "art", "ascii-art", "asciiart", "translate-me", "cookie", "banner", "bahnhof", "formiche", "italia", "itatrek",
    "jackfr", "luttazzi", "paolotedeschi", "zuse", "norbert.tretkowski", "channel-debian.fortunes",
    "definizioni", "disclaimer", "leggi", "luke", "perl", "songs-poems", "zippy",
}  # fmt: skip
_LETTERS = r"A-Za-zÀ-ÖØ-öø-ÿĀ-ž"


def _parts(text: str, separator: str | None = None) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split(separator))


_SUBJECTS = _parts(
    """the baker; my mother; our old neighbour; every child; the woman from the pharmacy; a friend of mine; Bob; Emma;
    the farmer; your brother; nobody; the whole family; Peter and Pam; the pilot; some people; the mayor""",
    ";",
)
_VERBS = _parts(
    """bought; never forgets; wants to paint; may have found; brought back; probably moved; always admires; opened; is
    looking for; would not give away; remembered; sold; has been asking about; put down; fixed; borrowed""",
    ";",
)
_OBJECTS = _parts(
    """a bottle of pepper; the blue umbrella; five small boats; an apple; the map of the valley; every wooden box; our
    summer house; a very warm pullover; the piano; something else; the answer; two empty cups; an awful lot of
    money; the first chapter; a few old photographs; the bus to the museum""",
    ";",
)
_ENDINGS = _parts(
    """before the winter; in the afternoon; on the way home; without a map; because of the rain; at last; with both
    hands; when I arrived; for no reason at all; again and again; by the river; as you wished; over there""",
    ";",
)

_FINNISH = _parts(
    """minä sinä hän me te he olen olet on olemme tämä tuo mitä missä milloin kiitos huomenta hyvää päivää talo koira
    kissa mummo pappa poika tyttö äiti isä puu metsä vesi pallo pieni suuri uusi vanha punainen sininen musta
    valkoinen aamulla illalla huomenna eilen nyt aina pöytä kylä yö työ syö juo menee tulee antaa ottaa puhuu kysyy
    vastaa muistaa kaupunki kauppa maito leipä puuro omena lämmin kylmä hyvin huonosti paljon vähän mukaan kanssa
    ilman ennen jälkeen"""
)

_CONSONANTS = _parts("p b m t d k g f v s z sh ch j n l r w y th h br pl sp tr st mp mb nd ft kw")
_VOWELS = _parts("a e i o u ee oo ay ow ah er")
_CODAS = ("", "", "", "m", "n", "p", "b", "t", "k", "s", "f", "l")
_FALLBACK_WORDS = """apple open above other early under eager island orange urban able even idle only ugly each over
ahead away army echo evening iron owl umbrella baby mama papa pepper bubble member maybe move
five voice happy summer number bamboo puppy lamb thumb problem important family beautiful water
quick queen twelve swim language walk we one wonder equal require"""


@cache
def sentences(language: str) -> tuple[str, ...]:
    """Clean sentences of 4 to 20 words from the installed collections of a language; empty if there are none."""
    if language not in _COLLECTIONS:
        return ()
    folder = _FORTUNES / _COLLECTIONS[language]
    found: dict[str, None] = {}
    for path in sorted(folder.glob("*")):
        if not path.is_file() or path.suffix in (".dat", ".u8") or path.name in _LEFT_OUT:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        for entry in text.split("\n%\n"):
            entry = re.sub(r"\n\s*-- .*", "", entry, flags=re.DOTALL)
            for sentence in re.split(r"(?<=[.!?])\s+", re.sub(r"\s+", " ", entry)):
                sentence = sentence.strip(" \"'-*")
                if _is_clean(sentence) and (language != "en" or _is_english(sentence)):
                    found.setdefault(sentence)
    if not found:
        log.info("No fortune collection for '%s' is installed; sentences are made up instead.", language)
    return tuple(found)


def _is_clean(sentence: str) -> bool:
    if not re.fullmatch(rf"[{_LETTERS} ,.;:'!?-]+", sentence):
        return False
    words = sentence.split()
    if not 4 <= len(words) <= 20 or max(map(len, words)) > 15:
        return False
    # Sentence ends inside would make the programs start a second utterance.
    return not re.search(r"[.!?;:]\s*\S", sentence) and sum(c.isupper() for c in sentence) < 0.3 * len(sentence)


_ENGLISH = frozenset(_parts(
    """the an of to and is it you that was for on are with as be at one have this from not by but what all were when we
    there can your which their if do will how about many then them these so some her would make him has two more my
    who his they should could would been because"""
))


def _is_english(sentence: str) -> bool:
    """The folder of the English collections may hold those of other languages too."""
    words = re.findall("[a-z]+", sentence.lower())
    return sentence.isascii() and sum(w in _ENGLISH for w in words) >= 0.2 * len(words)


@cache
def _words() -> tuple[str, ...]:
    try:
        words = _WORDS.read_text(encoding="utf-8").split()
    except OSError:
        words = _FALLBACK_WORDS.split()
    return tuple(w for w in words if re.fullmatch("[a-z]{2,11}", w))


@cache
def _word_lists() -> dict[str, tuple[str, ...]]:
    words = _words()
    return {
        "vowel_initial": tuple(w for w in words if w[0] in "aeiou"),
        "rounded": tuple(w for w in words if "qu" in w or w[0] == "w" or "wa" in w),
        "labial": tuple(w for w in words if len(re.findall("[pbm]", w)) >= 2 or re.search("[fv]", w)),
        "labial_end": tuple(w for w in words if re.search("([mpb]|me|pe|be)$", w)),
    }


def _pick(rng: np.random.Generator, items) -> str:
    return items[int(rng.integers(len(items)))]


def _syllables(rng: np.random.Generator) -> str:
    """One CV, VCV or CVCV string."""
    onset = "" if rng.random() < 0.35 else _pick(rng, _CONSONANTS)
    text = onset + _pick(rng, _VOWELS)
    if rng.random() < 0.75:
        text += _pick(rng, _CONSONANTS) + _pick(rng, _VOWELS)
    return text + _pick(rng, _CODAS)


def _listed(rng: np.random.Generator, words: list[str]) -> str:
    """Words in a row, with commas by chance."""
    commas = _pick(rng, (0.0, 0.2, 0.6))
    text = "".join(w + (", " if rng.random() < commas else " ") for w in words).strip(" ,")
    return text[0].upper() + text[1:] + "."


def _made_up(rng: np.random.Generator) -> str:
    parts = [_pick(rng, p) for p in (_SUBJECTS, _VERBS, _OBJECTS)]
    if rng.random() < 0.8:
        parts.append(_pick(rng, _ENDINGS))
    text = " ".join(parts)
    return text[0].upper() + text[1:] + _pick(rng, (".", ".", ".", "?", "!"))


def draw_text(language: str, rng: np.random.Generator) -> str:
    """One thing to say in a language (``en``, ``de``, ...): a sentence, a word list or syllables.

    A language without sentences of its own gets syllables and, where its voice can read them, English ones: what
    counts is which sounds are made when.
    """
    chance = rng.random()
    if language == "fi":
        count = int(rng.integers(4, 10))
        return _listed(rng, [_pick(rng, _FINNISH) if chance < 0.8 else _syllables(rng) for _ in range(count)])
    if chance < 0.62:
        own = sentences(language)
        if own:
            return _pick(rng, own)
        english = sentences("en")
        return _pick(rng, english) if english and rng.random() < 0.9 else _made_up(rng)
    count = int(rng.integers(3, 9))
    if chance < 0.82:
        # Lists lean to what real recordings got wrong: vowels after a pause, /kw/, closures at a word's end.
        words = _word_lists()[_pick(rng, ("vowel_initial", "rounded", "labial", "labial", "labial_end"))]
        return _listed(rng, [_pick(rng, words or _words()) for _ in range(count)])
    return _listed(rng, [_syllables(rng) for _ in range(count)])
