import json
import os
import subprocess
import sys

import pytest

from switchhead_lab.errors import DataError
from switchhead_lab.evaluation.documents.cbt import BLANK
from switchhead_lab.evaluation.documents.passages import sentences_of, words_of
from switchhead_lab.evaluation.documents.pocket_cloze import make_cloze
from switchhead_lab.evaluation.documents.word_classes import classify_words

NAMES = ("pocket_cloze_noun", "pocket_cloze_name")


@pytest.mark.parametrize("corpus", ["small", "sotu"])
@pytest.mark.parametrize("name", NAMES)
def test_one_candidate_is_the_answer(name, corpus: str, sotu, small_texts: list[str]):
    texts = sotu["test"] if corpus == "sotu" else small_texts
    task = make_cloze(name, texts, corpus)
    sentences = [line for text in texts for line in sentences_of(text)]
    contexts = {" ".join(sentences[n : n + 20]) for n in range(len(sentences))}
    classes = classify_words(sentences)
    words = classes.nouns if name == "pocket_cloze_noun" else classes.names
    assert task.name == name
    for document in task.documents:
        context, query = document["context"], document["query"]
        candidates, answer = document["candidates"], document["candidates"][document["answer"]]
        assert len(candidates) == len({*candidates}) == 10
        assert {*candidates} <= words & {*words_of(context)}
        assert query.count(BLANK) == 1
        assert query.replace(BLANK, answer) in sentences
        assert not {*candidates} & {*words_of(query)}
        assert context in contexts
    queries = [document["query"] for document in task.documents]
    assert len({*queries}) == len(queries)


@pytest.mark.parametrize(("name", "n_least"), [(NAMES[0], 150), (NAMES[1], 150)])
def test_the_embedded_corpus_gives_enough_varied_queries(name, n_least: int, sotu):
    task = make_cloze(name, sotu["test"], "sotu, test split")
    assert n_least <= len(task.documents) <= 200
    places = [document["answer"] for document in task.documents]
    answers = [document["candidates"][document["answer"]] for document in task.documents]
    for found in (places, answers):
        assert max(found.count(one) for one in {*found}) < 0.2 * len(found)
    assert {*places} == {*range(10)}
    trained = " ".join(" ".join(text.split()) for text in sotu["train"])
    assert not [one for one in task.documents if one["context"] in trained]


def test_a_larger_corpus_is_thinned_evenly(sotu):
    texts = [*sotu["test"], *sotu["validation"]]
    documents = make_cloze("pocket_cloze_noun", texts, "both").documents
    assert len(documents) == 200
    last = " ".join(" ".join(sentences_of(text)) for text in texts[-3:])
    assert any(document["context"] in last for document in documents)


def test_another_process_makes_the_same_documents(small_texts: list[str]):
    program = (
        "import json, sys\n"
        "from switchhead_lab.evaluation.documents.pocket_cloze import make_cloze\n"
        "print(make_cloze('pocket_cloze_name', json.load(sys.stdin), 'small').sha256)\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps(small_texts),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert printed == {make_cloze("pocket_cloze_name", small_texts, "small").sha256}


def test_texts_without_enough_candidates_are_refused():
    text = " ".join(f"The ship {n} of the line sailed on." for n in range(40))
    with pytest.raises(
        DataError, match="pocket_cloze_noun: a text has no query .*; expected .*; choose another"
    ):
        make_cloze("pocket_cloze_noun", [text], "a text")
