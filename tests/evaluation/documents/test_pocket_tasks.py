import pytest

from switchhead_lab.config.zero_shot import tasks_named
from switchhead_lab.errors import DataError
from switchhead_lab.evaluation.documents.pocket_tasks import POCKET_TASKS, make_pocket_task
from switchhead_lab.evaluation.documents.task_documents import hash_task_documents


def test_every_task_has_its_own_name_documents_and_hash(sotu: dict[str, list[str]]):
    tasks = [make_pocket_task(name, sotu["test"], "sotu, test split") for name in POCKET_TASKS]
    assert [task.name for task in tasks] == list(POCKET_TASKS)
    assert all(name.startswith("pocket_") for name in POCKET_TASKS)
    assert len({*POCKET_TASKS}) == len(POCKET_TASKS) >= 11
    assert len({task.sha256 for task in tasks}) == len(tasks)
    for task in tasks:
        assert task.sha256 == hash_task_documents(task.documents)
        assert task.version == "1"
        assert len({tuple(document) for document in task.documents}) == 1


def test_the_tasks_of_the_suite_are_those_that_can_be_made():
    assert [task.name for task in tasks_named(["pocket"])] == list(POCKET_TASKS)


# If one of these fails, the documents have changed: raise the version of the task, then record the
# new hash, so that accuracies on different documents are never compared.
@pytest.mark.parametrize(
    ("name", "pinned"),
    [
        ("pocket_last_word", "88b08c44774398f5"),
        ("pocket_cloze_noun", "edda16692c8480cb"),
        ("pocket_cloze_name", "acb8054afd5154c7"),
    ],
)
def test_documents_of_the_embedded_corpus_are_pinned_by_their_version(name: str, pinned: str, sotu):
    task = make_pocket_task(name, sotu["test"], "sotu, test split")
    assert (task.version, task.sha256[:16]) == ("1", pinned)


def test_unknown_task_suggests_one():
    with pytest.raises(
        DataError, match=r'no pocket task "pocket_lastword" \(did you mean "pocket_last_word"\?\)'
    ):
        make_pocket_task("pocket_lastword", [], "none")
