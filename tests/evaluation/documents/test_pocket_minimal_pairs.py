import re
from collections import Counter

import pytest

from switchhead_lab.errors import DataError
from switchhead_lab.evaluation.documents.pocket_minimal_pairs import PHENOMENA, make_minimal_pairs
from switchhead_lab.evaluation.documents.task_documents import hash_task_documents

ORDERS = {"preposition_order", "adjective_noun_order"}


def test_there_are_at_least_eight_phenomena():
    assert len(PHENOMENA) >= 8


@pytest.mark.parametrize("phenomenon", PHENOMENA)
def test_pairs_are_distinct_and_minimal(phenomenon: str):
    task = make_minimal_pairs(phenomenon)
    assert task.name == f"pocket_minimal_pairs_{phenomenon}"
    assert len(task.documents) == 200
    good = [document["sentence_good"] for document in task.documents]
    bad = [document["sentence_bad"] for document in task.documents]
    assert len({*good}) == 200
    assert not {*good} & {*bad}
    for document in task.documents:
        assert document["phenomenon"] == phenomenon
        words, others = (document[f"sentence_{kind}"].split() for kind in ("good", "bad"))
        assert len(words) == len(others)
        changed = [n for n, pair in enumerate(zip(words, others, strict=True)) if len({*pair}) > 1]
        if phenomenon in ORDERS:
            first, second = changed
            assert second == first + 1
            assert (words[first], words[second]) == (others[second], others[first])
        else:
            assert len(changed) == 1
        assert re.fullmatch(r"[A-Z][A-Za-z ]+\.", document["sentence_good"])


@pytest.mark.parametrize("phenomenon", sorted(PHENOMENA.keys() - ORDERS - {"negative_polarity"}))
def test_each_of_two_forms_is_right_in_half_of_the_pairs(phenomenon: str):
    """A model of the frequency of words alone is right in half of the pairs."""
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for document in make_minimal_pairs(phenomenon).documents:
        words, others = (document[f"sentence_{kind}"].split() for kind in ("good", "bad"))
        for one, other in zip(words, others, strict=True):
            right[one] += one != other
            wrong[other] += one != other
    most_frequent = sum(max(right[word], wrong[word]) for word in right | wrong)
    assert most_frequent / (2 * 200) < 0.75


@pytest.mark.parametrize(
    ("phenomenon", "good", "bad"),
    [
        ("subject_verb_agreement", r" \w+s (are|were|have) ", r"s (is|was|has) "),
        ("determiner_noun_agreement", r" (these|those) \w+s ", r" (these|those) \w+[^s] "),
        ("reflexive_number", r"s \w+ \w+ themselves", r"s \w+ \w+ itself"),
        ("article_form", " an? (?<= a )[^aeiou]| an [aeiou]", " an? (?<= a )[aeiou]| an [^aeiou]"),
        ("verb_form", r"(will|must) \w+[^d] the|has \w+ed the", r"(will|must) \w+ed the"),
    ],
)
def test_the_good_sentence_is_the_grammatical_one(phenomenon: str, good: str, bad: str):
    documents = make_minimal_pairs(phenomenon).documents
    assert any(re.search(good, document["sentence_good"]) for document in documents)
    assert any(re.search(bad, document["sentence_bad"]) for document in documents)
    assert not any(re.search(bad, document["sentence_good"]) for document in documents)
    assert not any(re.search(good, document["sentence_bad"]) for document in documents)


def test_every_word_is_frequent_in_the_training_split(sotu: dict[str, list[str]]):
    counts = Counter(word for text in sotu["train"] for word in re.findall(r"[A-Za-z]+", text))
    used = {
        word.rstrip(".")
        for phenomenon in PHENOMENA
        for document in make_minimal_pairs(phenomenon).documents
        for kind in ("good", "bad")
        for word in document[f"sentence_{kind}"].split()
    }
    assert len(used) > 150
    assert {word: counts[word] for word in used if counts[word] < 30} == {}


def test_pairs_are_pinned_by_their_version():
    """If this fails, the pairs have changed: raise MINIMAL_PAIRS_VERSION, then record the hash."""
    first, second = ([make_minimal_pairs(name) for name in PHENOMENA] for _ in range(2))
    assert first == second
    together = hash_task_documents({task.name: task.sha256} for task in first)
    assert ({task.version for task in first}, together[:16]) == ({"1"}, "49cb65ab8b9d3b89")


def test_unknown_phenomenon_lists_those_known():
    with pytest.raises(DataError, match='no phenomenon "agreement" of minimal pairs; known: subj'):
        make_minimal_pairs("agreement")
