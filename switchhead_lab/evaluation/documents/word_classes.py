"""Common nouns and names of English texts, by counting and without a model.

Words that open a sentence are not counted, since all of them have a capital. A word is a name if
most of its occurrences have a capital. A word is a common noun if it has none and often ends a noun
phrase: a determiner precedes it, and a comma, an end mark or one of a few function words follows.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from switchhead_lab.evaluation.documents.passages import WORD

_FUNCTION_WORDS = """
a about above across after again against all almost alone along already also although always am
among an and another any anything are around as at away back be became because become been before
being below beside besides between beyond both but by can cannot could did do does doing done down
during each either else enough even ever every everything few first for former forth forward from
further had has have having he hence her here hers herself him himself his how however i if in
indeed instead into is it its itself just last later latter least less like likewise longer many
may me might more most much must my myself neither never next no nobody none nor not nothing now of
off often on once one ones only onto or other others otherwise ought our ours ourselves out over
own perhaps quite rather same second shall she should since so some something sometimes soon still
such than that the their theirs them themselves then there thereby therefore therein thereof these
they thing things third this those though three through throughout thus to today together tomorrow
tonight too toward towards two under until up upon us very was way we well were what whatever when
where whereas whether which while who whole whom whose why will with within without would yet you
your yours
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())

MIN_NOUN_FRAMES = 2
"""Least number of noun phrases that a common noun ends."""
MIN_NOUN_SHARE = 0.2
"""Least share of a common noun's occurrences in which it ends a noun phrase."""
MIN_NAME_SHARE = 0.75
"""Least share of a name's occurrences within sentences that have a capital."""
MIN_NAME_COUNT = 2
"""Least number of occurrences of a name within sentences."""
MIN_WORD_LETTERS = 3

_TITLES = frozenset({"Mr", "Mrs", "Ms", "Dr", "St", "Messrs", "Hon"})
_DETERMINER_WORDS = "the a an this that these those our its their his my your every no"
_DETERMINERS = frozenset(_DETERMINER_WORDS.split())
_WORDS_AFTER_NOUNS = """
of is are was were has have had will would shall should can may must and or in to for by on with
from at which that who than as under between upon when where
"""
_AFTER_NOUNS = frozenset(_WORDS_AFTER_NOUNS.split())
_TOKEN = re.compile(rf"{WORD.pattern}|[.,;:!?]")


@dataclass(frozen=True)
class WordClasses:
    """Common nouns and names of some texts, both with their case."""

    nouns: frozenset[str]
    names: frozenset[str]


def classify_words(sentences: Iterable[str]) -> WordClasses:
    """Find the common nouns and names of sentences.

    Args:
        sentences: All sentences of the texts; counts are over all of them.
    """
    counts: Counter[str] = Counter()
    frames: Counter[str] = Counter()
    for sentence in sentences:
        tokens = _TOKEN.findall(sentence)
        for before, word, after in zip(tokens, tokens[1:], [*tokens[2:], "."], strict=False):
            counts[word] += 1
            ends_phrase = after in _AFTER_NOUNS or not after[0].isalpha()
            if before.lower() in _DETERMINERS and ends_phrase:
                frames[word] += 1
    return WordClasses(
        frozenset(word for word in counts if _is_noun(word, counts, frames)),
        frozenset(word for word in counts if _is_name(word, counts)),
    )


def _is_noun(word: str, counts: Counter[str], frames: Counter[str]) -> bool:
    return (
        word.islower()
        and _is_usable(word)
        and frames[word] >= max(MIN_NOUN_FRAMES, MIN_NOUN_SHARE * counts[word])
    )


def _is_name(word: str, counts: Counter[str]) -> bool:
    n_lower = counts[word.lower()]
    return (
        word.istitle()
        and _is_usable(word)
        and counts[word] >= max(MIN_NAME_COUNT, MIN_NAME_SHARE * (counts[word] + n_lower))
    )


def _is_usable(word: str) -> bool:
    return (
        len(word) >= MIN_WORD_LETTERS
        and word.isalpha()
        and word not in _TITLES
        and word.lower() not in FUNCTION_WORDS
    )
