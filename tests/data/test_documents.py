import hashlib

import pytest

from switchhead_lab.data.documents import (
    SPLITS,
    Document,
    corpus_of_documents,
)
from switchhead_lab.errors import DataError


def ids_of(corpus):
    return {split: [document.id for document in corpus.splits[split]] for split in SPLITS}


def test_whole_documents_are_assigned_by_rank_of_their_hash():
    documents = [Document(f"d{number}", "x" * 100) for number in range(40)]
    ranked = sorted((d.id for d in documents), key=lambda i: hashlib.sha256(i.encode()).hexdigest())
    ids = ids_of(corpus_of_documents("c", documents, "here"))
    assert set(ids["validation"]) == set(ranked[:2])
    assert set(ids["test"]) == set(ranked[2:4])
    assert set(ids["train"]) == set(ranked[4:])


def test_split_fills_by_bytes_and_keeps_the_given_order():
    documents = [Document(f"d{number}", "é" * (number + 1)) for number in range(60)]
    corpus = corpus_of_documents("c", documents, "here")
    for split in ("validation", "test"):
        sizes = [document.n_bytes for document in corpus.splits[split]]
        assert sum(sizes) >= 0.05 * corpus.n_bytes > sum(sizes) - max(sizes)
    order = [document.id for document in documents]
    for ids in ids_of(corpus).values():
        assert ids == sorted(ids, key=order.index)
    assert corpus.n_bytes == 2 * 60 * 61 // 2
    assert corpus.n_documents == 60


def test_too_few_documents_say_how_many_are_needed():
    with pytest.raises(DataError, match=r"^here: 2 documents.*at least 3"):
        corpus_of_documents("c", [Document("a", "a"), Document("b", "b")], "here")


def test_a_split_without_documents_is_an_error():
    ids = sorted("abc", key=lambda i: hashlib.sha256(i.encode()).hexdigest())
    sizes = dict(zip(ids, (1, 1000, 1), strict=True))
    with pytest.raises(DataError, match="no document is left for train"):
        corpus_of_documents("c", [Document(i, "x" * sizes[i]) for i in "abc"], "here")
