"""All pocket tasks by name."""

from collections.abc import Callable, Sequence
from functools import partial

from switchhead_lab.config.files import near_miss
from switchhead_lab.config.zero_shot import LAST_WORD, MINIMAL_PAIRS, POCKET_CLOZE
from switchhead_lab.errors import DataError
from switchhead_lab.evaluation.documents.pocket_cloze import make_cloze
from switchhead_lab.evaluation.documents.pocket_last_word import make_last_word
from switchhead_lab.evaluation.documents.pocket_minimal_pairs import (
    PHENOMENA,
    make_minimal_pairs,
)
from switchhead_lab.evaluation.documents.task_documents import TaskDocuments

_FROM_TEXTS: dict[str, Callable[[Sequence[str], str], TaskDocuments]] = {
    LAST_WORD: make_last_word,
    **{name: partial(make_cloze, name) for name in POCKET_CLOZE},
}
POCKET_TASKS: tuple[str, ...] = (
    *_FROM_TEXTS,
    *(f"{MINIMAL_PAIRS}_{phenomenon}" for phenomenon in PHENOMENA),
)
"""Names of all pocket tasks."""


def make_pocket_task(name: str, texts: Sequence[str], source: str) -> TaskDocuments:
    """Make the documents of one pocket task.

    Args:
        name: One of `POCKET_TASKS`.
        texts: Texts of a corpus's test split, in its order; minimal pairs do not use them.
        source: Description of the texts, such as "sotu, test split".

    Raises:
        DataError: If the name is unknown or the texts yield no document.
    """
    if name in _FROM_TEXTS:
        return _FROM_TEXTS[name](texts, source)
    if name in POCKET_TASKS:
        return make_minimal_pairs(name.removeprefix(f"{MINIMAL_PAIRS}_"))
    raise DataError(
        f'no pocket task "{name}"{near_miss(name, list(POCKET_TASKS))}; '
        f"known: {', '.join(POCKET_TASKS)}"
    )
