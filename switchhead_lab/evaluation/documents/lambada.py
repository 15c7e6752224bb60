"""LAMBADA: 5,153 passages whose last word is to be predicted.

Source: Paperno et al., "The LAMBADA dataset" (arXiv:1606.06031). Its test set is published in two
forms, which give different accuracies and are therefore different tasks:

- `lambada_openai`: the text with its original case and punctuation, as used for GPT-2:
  `lambada_test.jsonl`, or `lambada_test_en.jsonl` as on the Hugging Face Hub;
- `lambada_standard`: tokenised and in lower case, as first published:
  `lambada_test_plain_text.jsonl`, or `lambada_test_plain_text.txt` with one passage per line.

A line of a JSONL file is `{"text": ...}`. A document has the field `text`; the word after its last
space is the one to predict.
"""

from pathlib import Path
from typing import Literal

from switchhead_lab.evaluation.documents.task_documents import TaskDocuments
from switchhead_lab.evaluation.documents.task_files import (
    TaskFile,
    find_task_file,
    read_objects,
    read_task_file,
    require_lines,
)

LAMBADA_VERSION = "1"
N_PASSAGES = 5_153
LAMBADA_FOLDERS = (".", "lambada", "data", "lambada/data")
"""Folders of the data root in which the file may be, searched in this order."""

LambadaForm = Literal["lambada_openai", "lambada_standard"]
LAMBADA_FILES: dict[LambadaForm, tuple[str, ...]] = {
    "lambada_openai": ("lambada_test.jsonl", "lambada_test_en.jsonl"),
    "lambada_standard": ("lambada_test_plain_text.jsonl", "lambada_test_plain_text.txt"),
}


def read_lambada(data_root: Path, name: LambadaForm = "lambada_openai") -> TaskDocuments:
    """Read the test set of LAMBADA, without white space around the passages.

    Args:
        data_root: Folder that holds the file, directly or in one of `LAMBADA_FOLDERS`.
        name: Name of the task, which says in which form.

    Raises:
        DataError: If the folder or the file is missing, or the file is not as published.
    """
    file = read_task_file(find_task_file(data_root, LAMBADA_FOLDERS, LAMBADA_FILES[name], name))
    texts = [text.strip() for text in _texts(file)]
    require_lines(file, N_PASSAGES)
    for number, text in enumerate(texts, start=1):
        if " " not in text:
            found = "one word" if text else "empty"
            raise file.error(number, found, "a passage and, after a space, its last word")
    documents = tuple({"text": text} for text in texts)
    return TaskDocuments(name, documents, file.sha256, file.source, LAMBADA_VERSION)


def _texts(file: TaskFile) -> list[str]:
    if file.path.suffix == ".txt":
        return list(file.lines)
    return [record["text"] for record in read_objects(file, ("text",))]
