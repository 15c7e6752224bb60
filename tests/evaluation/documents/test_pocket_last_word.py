import pytest

from switchhead_lab.errors import DataError
from switchhead_lab.evaluation.documents.passages import sentences_of, words_of
from switchhead_lab.evaluation.documents.pocket_last_word import make_last_word
from switchhead_lab.evaluation.documents.word_classes import FUNCTION_WORDS

CONTEXT = [
    "The ship from the harbor of Lima brought flour and sugar to all the people of the town.",
    "It was the first ship of the year in that harbor, and the people were glad to see it at last.",
    "They had asked the Governor for bread, but the Governor had sold all of the bread to others.",
    "No man could say how long the new flour would last in so large a town.",
]


def passages(*targets: str) -> list[str]:
    text = " ".join([*CONTEXT, *targets])
    return [document["text"] for document in make_last_word([text], "a text").documents]


def test_passage_ends_in_a_word_of_its_context_without_end_mark():
    assert passages("So they all went down to the harbor.", "They sailed on the next ship!") == [
        " ".join([*CONTEXT, "So they all went down to the harbor"])
    ]


@pytest.mark.parametrize(
    "target",
    [
        "So they all went down to the mill.",  # not in the context
        "So they all went down to the Harbor.",  # nor with this capital
        "This was what they had asked for.",  # a function word
        "Then they saw the great man.",  # three letters
        "Of all ships this was the ship to ship.",  # occurs before it in the sentence
        "See the old harbor.",  # too short
        "So they went to the harbor of 1790.",  # ends in a number
    ],
)
def test_other_sentences_are_no_targets(target: str):
    good = "So they all went down to the harbor."
    assert passages(target, good) == [" ".join([*CONTEXT[1:], target, good[:-1]])]
    with pytest.raises(
        DataError, match="pocket_last_word: a text has no passages .*; expected .*; choose another"
    ):
        passages(target)


def test_passages_of_the_embedded_corpus(sotu: dict[str, list[str]]):
    task = make_last_word(sotu["test"], "sotu, test split")
    texts = [document["text"] for document in task.documents]
    assert task.name == "pocket_last_word"
    assert task.source == "sotu, test split"
    assert 300 <= len(texts) <= 1_000
    assert len({*texts}) == len(texts)
    whole = " ".join(line for text in sotu["test"] for line in sentences_of(text))
    trained = " ".join(" ".join(text.split()) for text in sotu["train"])
    for text in texts:
        assert text.split() == text.split(" ")
        *context, last = text.split(" ")
        assert last in words_of(" ".join(context))
        assert last.isascii()
        assert len(last) >= 4
        assert last.lower() not in FUNCTION_WORDS
        assert f"{text}." in whole or f"{text}!" in whole or f"{text}?" in whole
        assert len(words_of(text)) >= 55
        assert text not in trained
    # Each sentence is in one passage only.
    used = [line for text in texts for line in sentences_of(f"{text}.") if len(line) > 60]
    assert len(used) - len({*used}) < 0.01 * len(used)


def test_the_same_texts_give_the_same_passages(small_texts: list[str]):
    first, second = (make_last_word(small_texts, "small") for _ in range(2))
    assert first == second
    assert first.documents
    assert first.sha256 != make_last_word(small_texts[:1], "small").sha256
