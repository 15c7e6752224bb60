"""Where the documents of tasks come from: local files, the hub, or the embedded corpus."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from switchhead_lab.config.zero_shot import BLIMP
from switchhead_lab.data.corpora import read_sotu
from switchhead_lab.errors import ConfigError
from switchhead_lab.evaluation.documents.blimp import BLIMP_VERSION, read_blimp
from switchhead_lab.evaluation.documents.cbt import CBT_VERSION, read_cbt
from switchhead_lab.evaluation.documents.lambada import LAMBADA_VERSION, read_lambada
from switchhead_lab.evaluation.documents.pocket_tasks import make_pocket_task
from switchhead_lab.evaluation.documents.task_documents import (
    TaskDocument,
    TaskDocuments,
    hash_task_documents,
)
from switchhead_lab.evaluation.tasks import Task

_HUB_PATHS = {
    "lambada_openai": ("EleutherAI/lambada_openai", "default", "test"),
    "cbt_cn": ("cam-cst/cbt", "CN", "test"),
    "cbt_ne": ("cam-cst/cbt", "NE", "test"),
}
_HUB_BLIMP = "nyu-mll/blimp"


@cache
def read_documents(task: Task, data_root: Path | None) -> TaskDocuments:
    """Return the documents of a task, read or made once for all models.

    Args:
        task: The task.
        data_root: Folder of the published files; None for the hub. Pocket tasks need neither.

    Raises:
        ConfigError: If the hub has to be used and cannot be reached.
        DataError: If a file is missing or not as published.
    """
    if task.suite == "pocket":
        return make_pocket_task(task.name, _test_texts(), "sotu, test split")
    if data_root is None:
        return _from_hub(task)
    if task.group == BLIMP:
        return _blimp(data_root)[task.name]
    match task.name:
        case "cbt_cn" | "cbt_ne" as words:
            return read_cbt(data_root, words)
        case _:
            return read_lambada(data_root)


@cache
def _test_texts() -> tuple[str, ...]:
    """Return the texts of the embedded corpus that no model is trained on."""
    return tuple("".join(document.blocks()) for document in read_sotu().splits["test"])


@cache
def _blimp(data_root: Path) -> dict[str, TaskDocuments]:
    return {one.name: one for one in read_blimp(data_root)}


def _from_hub(task: Task) -> TaskDocuments:
    import datasets

    name = task.name.removeprefix(f"{BLIMP}_")
    path, config, split = _HUB_PATHS.get(task.name, (_HUB_BLIMP, name, "train"))
    try:
        rows = list(datasets.load_dataset(path, config, split=split))
    # The hub's client raises errors of several libraries.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"{task.name}: {path} cannot be fetched from the Hugging Face hub: {reason}; give the "
            "folder of the published files as --data-root"
        ) from None
    if task.kind == "cloze":
        documents = tuple(_cloze(row) for row in rows)
        version = CBT_VERSION
    else:
        documents = tuple(dict(row) for row in rows)
        version = BLIMP_VERSION if task.group == BLIMP else LAMBADA_VERSION
    return TaskDocuments(
        task.name, documents, hash_task_documents(documents), f"{path}, {config}", version
    )


def _cloze(row: TaskDocument) -> TaskDocument:
    candidates: Sequence[str] = row["options"]
    return {
        "context": " ".join(sentence.strip() for sentence in row["sentences"]),
        "query": row["question"],
        "candidates": list(candidates),
        "answer": candidates.index(row["answer"]),
    }
