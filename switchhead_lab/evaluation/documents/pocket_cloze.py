"""`pocket_cloze_noun` and `pocket_cloze_name`: a word left out of a sentence, and 10 candidates.

In the form of the Children's Book Test, with the same fields. A document is 21 consecutive
sentences of a text, of which the last is the query. The word left out

- is a common noun, or a name (`word_classes`);
- occurs once in the query and at least once in the context.

The other candidates are 9 words of the same class from the context that do not occur in the query.
Of the words that can be left out, one that was left out least often so far is drawn; the other
candidates and the order are drawn as well, with a fixed seed. Queries are at least 7 sentences
apart, so neighbouring documents share up to two thirds of their context. Of more than 200
documents, evenly spaced ones are kept.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from switchhead_lab.config.zero_shot import ClozeName
from switchhead_lab.evaluation.documents.cbt import BLANK, N_CANDIDATES, N_CONTEXT_SENTENCES
from switchhead_lab.evaluation.documents.made_tasks import (
    Draw,
    draw_of,
    made_task,
    pick,
    require_documents,
    shuffled,
    spread,
)
from switchhead_lab.evaluation.documents.passages import WORD, sentences_of, words_of
from switchhead_lab.evaluation.documents.task_documents import TaskDocument, TaskDocuments
from switchhead_lab.evaluation.documents.word_classes import classify_words

CLOZE_VERSION = "1"
MAX_QUERIES = 200
MIN_STEP = 7
"""Least number of sentences from one query to the next."""


def make_cloze(name: ClozeName, texts: Sequence[str], source: str) -> TaskDocuments:
    """Make one of the two tasks from the texts of a test split.

    Args:
        name: Name of the task, which says which words are left out.
        texts: Texts in the order of the corpus.
        source: Description of the texts, such as "sotu, test split".

    Raises:
        DataError: If no query is usable.
    """
    sentences = [sentences_of(text) for text in texts]
    classes = classify_words(sentence for text in sentences for sentence in text)
    words = classes.nouns if name == "pocket_cloze_noun" else classes.names
    draw = draw_of(name, CLOZE_VERSION)
    used: Counter[str] = Counter()
    found = [document for text in sentences for document in _documents(text, words, used, draw)]
    documents = spread(found, MAX_QUERIES)
    require_documents(name, documents, source, "query with 10 candidates in its passage")
    return made_task(name, documents, source, CLOZE_VERSION)


def _documents(
    sentences: Sequence[str], words: frozenset[str], used: Counter[str], draw: Draw
) -> Iterator[TaskDocument]:
    position = N_CONTEXT_SENTENCES
    while position < len(sentences):
        context = sentences[position - N_CONTEXT_SENTENCES : position]
        document = _leave_out(context, sentences[position], words, used, draw)
        if document is not None:
            yield document
        position += MIN_STEP if document is not None else 1


def _leave_out(
    context: Sequence[str],
    query: str,
    words: frozenset[str],
    used: Counter[str],
    draw: Draw,
) -> TaskDocument | None:
    """Return a document, or None if the passage has no answer or too few other candidates."""
    in_query = words_of(query)
    # Sorted, since the order of sets changes from process to process.
    in_context = sorted({word for line in context for word in words_of(line)} & words)
    answers = [word for word in in_context if in_query.count(word) == 1]
    others = [word for word in in_context if word not in in_query]
    if not answers or len(others) < N_CANDIDATES - 1:
        return None
    # Otherwise a few frequent words, such as "Congress", would be the answer too often.
    fewest = min(used[word] for word in answers)
    answer = pick(draw, [word for word in answers if used[word] == fewest])
    used[answer] += 1
    chosen = shuffled(draw, others)[: N_CANDIDATES - 1]
    candidates = shuffled(draw, [answer, *chosen])
    blanked = WORD.sub(lambda found: BLANK if found[0] == answer else found[0], query)
    return {
        "context": " ".join(context),
        "query": blanked,
        "candidates": candidates,
        "answer": candidates.index(answer),
    }
