"""Sentences and words of English prose, by rules without a model.

Texts are divided into paragraphs at blank lines, and paragraphs into sentences after ". ", "! " and
"? " before a capital, unless an abbreviation or an initial precedes.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
"""A word: letters, joined by apostrophes or hyphens."""

_PARAGRAPH_END = re.compile(r"\n\s*\n")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*(?= +[\"'(]*[A-Z])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Messrs|Gen|Col|Capt|Lieut|Hon|No|Nos|Jan|Feb|Aug|Sept|Oct|Nov|Dec"
    r"|vs|viz|etc)|\b[A-Z])\.$"
)
_STAGE_DIRECTION = re.compile(r"[\[(](?:Laughter|Applause)[^\])]*[\])]")
_MIN_SENTENCE_WORDS = 3
"""Shorter ones are mostly headings, salutations and pieces of lists."""


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text in order, each on one line with single spaces.

    Left out are fragments of fewer than 3 words, paragraphs without an end mark, such as headings
    and salutations, and sentences in capitals.
    """
    sentences = []
    for paragraph in _PARAGRAPH_END.split(_STAGE_DIRECTION.sub(" ", text)):
        line = " ".join(paragraph.split())
        if line.rstrip("\"')").endswith((".", "!", "?")):
            sentences += [sentence for sentence in _divide(line) if _is_prose(sentence)]
    return sentences


@lru_cache(maxsize=1024)  # passages overlap: a sentence is in the context of many others
def words_of(sentence: str) -> tuple[str, ...]:
    """Return the words of a sentence, with their case."""
    return tuple(WORD.findall(sentence))


def _divide(line: str) -> Iterator[str]:
    start = 0
    for end in _SENTENCE_END.finditer(line):
        sentence = line[start : end.end()]
        if _ABBREVIATION.search(line[start : end.start()]):
            continue
        yield sentence.strip()
        start = end.end()
    yield line[start:].strip()


def _is_prose(sentence: str) -> bool:
    words = words_of(sentence)
    return len(words) >= _MIN_SENTENCE_WORDS and not sentence.isupper()
