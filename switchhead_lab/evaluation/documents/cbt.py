r"""Children's Book Test: 20 sentences of a book, and the next one with a word left out.

Source: Hill et al., "The Goldilocks Principle" (arXiv:1511.02301); files of CBTest.tgz, folder
`CBTest/data`: `cbtest_CN_test_2500ex.txt` (common nouns) and `cbtest_NE_test_2500ex.txt` (named
entities). An example has lines numbered from 1 to 21 and ends with a blank line; the last line is
`21 QUERY\tANSWER\t\tCANDIDATE|CANDIDATE|...`, with five letters X in place of the word left out.

A document has the fields `context` (the 20 sentences, joined by spaces), `query`, `candidates` (10
words) and `answer` (the index of the right one). Texts stay tokenised as published.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from switchhead_lab.errors import DataError
from switchhead_lab.evaluation.documents.task_documents import TaskDocument, TaskDocuments
from switchhead_lab.evaluation.documents.task_files import (
    FETCH,
    TaskFile,
    find_task_file,
    read_task_file,
)

CBT_VERSION = "1"
N_EXAMPLES = 2_500
N_CONTEXT_SENTENCES = 20
N_CANDIDATES = 10
BLANK = "X" * 5
"""Mark of the word left out, as in the published files."""
CBT_FOLDERS = (".", "data", "cbt", "cbt/data", "CBTest", "CBTest/data")
"""Folders of the data root in which the files may be, searched in this order."""

CbtWords = Literal["cbt_cn", "cbt_ne"]
CBT_FILES: dict[CbtWords, str] = {
    "cbt_cn": "cbtest_CN_test_2500ex.txt",
    "cbt_ne": "cbtest_NE_test_2500ex.txt",
}


def read_cbt(data_root: Path, name: CbtWords) -> TaskDocuments:
    """Read one test set of the Children's Book Test.

    Args:
        data_root: Folder that holds the file, directly or in one of `CBT_FOLDERS`.
        name: `cbt_cn` for common nouns, `cbt_ne` for named entities.

    Raises:
        DataError: If the folder or the file is missing, or the file is not as published.
    """
    file = read_task_file(find_task_file(data_root, CBT_FOLDERS, (CBT_FILES[name],), name))
    documents = tuple(_read_examples(file))
    if len(documents) != N_EXAMPLES:
        raise DataError(f"{file.source}: {len(documents)} examples; expected {N_EXAMPLES}; {FETCH}")
    return TaskDocuments(name, documents, file.sha256, file.source, CBT_VERSION)


def _read_examples(file: TaskFile) -> Iterator[TaskDocument]:
    sentences: list[str] = []
    for number, line in enumerate(file.lines, start=1):
        if not line.strip() and not sentences:
            continue
        wanted = len(sentences) + 1
        label, _, sentence = line.partition(" ")
        if label != str(wanted):
            found = f'starts with "{label[:20]}"' if line.strip() else "blank"
            raise file.error(number, found, f'"{wanted} " and sentence {wanted} of the example')
        if wanted <= N_CONTEXT_SENTENCES:
            sentences.append(sentence.strip())
            continue
        yield {"context": " ".join(sentences), **_read_query(file, number, sentence)}
        sentences = []
    if sentences:
        raise file.error(
            len(file.lines),
            f"the file ends after sentence {len(sentences)} of an example",
            f"{N_CONTEXT_SENTENCES} sentences and a query",
        )


def _read_query(file: TaskFile, number: int, line: str) -> TaskDocument:
    fields = line.split("\t")
    if len(fields) != 4:
        raise file.error(
            number,
            f"{len(fields) - 1} tabs",
            "the query, a tab, the answer, two tabs and the candidates",
        )
    query, answer, candidates = fields[0].strip(), fields[1].strip(), fields[3].strip().split("|")
    if BLANK not in query:
        raise file.error(number, f"no {BLANK} in the query", f"{BLANK} for the word left out")
    if len(candidates) != N_CANDIDATES:
        raise file.error(
            number, f"{len(candidates)} candidates", f"{N_CANDIDATES} candidates, separated by |"
        )
    if answer not in candidates:
        raise file.error(
            number,
            f'the answer "{answer}" is not a candidate ({", ".join(candidates)})',
            "the answer among the candidates",
        )
    return {"query": query, "candidates": candidates, "answer": candidates.index(answer)}
