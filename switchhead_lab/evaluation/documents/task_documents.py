"""The documents of one task, with what identifies them."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

TaskDocument = dict[str, Any]
"""Fields of one document: strings, lists of strings and integers."""


@dataclass(frozen=True)
class TaskDocuments:
    """Documents of a task, in a fixed order.

    Attributes:
        name: Name of the task.
        documents: One dictionary per document, all with the same fields.
        sha256: Of the bytes of the file that the documents are read from; of the documents
            themselves (`hash_task_documents`) if they are made.
        source: Path of the file, or a description of what the documents are made from.
        version: Version of the reader or maker; raised when the same input gives other documents.
    """

    name: str
    documents: tuple[TaskDocument, ...]
    sha256: str
    source: str
    version: str


def hash_task_documents(documents: Iterable[TaskDocument]) -> str:
    """Return the SHA-256 of documents, written as JSON with sorted keys, one per line."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(json.dumps(document, sort_keys=True).encode("ascii") + b"\n")
    return digest.hexdigest()
