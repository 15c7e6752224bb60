import hashlib
import random
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from switchhead_lab.config.data import ListOpsData, TextData
from switchhead_lab.config.files import parse
from switchhead_lab.data import listops
from switchhead_lab.data.labelled import Example
from switchhead_lab.data.listops import CLOSING, FIRST_OPERATOR, evaluate, render
from switchhead_lab.errors import ConfigError, DataError

OPERATORS = ["MIN", "MAX", "MED", "SM"]
DEFAULT = ListOpsData(kind="listops")
SMALL = ListOpsData(kind="listops", n_train=20, n_validation=5, n_test=5)


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Example]]:
    """The examples of the default configuration."""
    return listops.generate_splits(DEFAULT)


@pytest.fixture(scope="module")
def examples(splits) -> list[Example]:
    return [example for part in splits.values() for example in part]


def read(text: str, operators: Iterable[str] = OPERATORS) -> list[int]:
    """Return the tokens of a text."""
    names = [None, *map(str, range(10)), "]", *(f"[{name}" for name in operators)]
    return [names.index(word) for word in text.split()]


def depths_and_arguments(tokens: bytes) -> tuple[int, list[int]]:
    """Return the deepest nesting and how many arguments each operator has."""
    deepest, opened, counts = 0, [], []
    for token in tokens:
        if token == CLOSING:
            counts.append(opened.pop())
            continue
        if opened:
            opened[-1] += 1
        if token >= FIRST_OPERATOR:
            opened.append(0)
            deepest = max(deepest, len(opened))
    return deepest, counts


def test_first_examples_stay_the_same():
    found = listops.generate_splits(SMALL)
    texts = [(part[0].value, render(part[0].tokens, SMALL.operators)) for part in found.values()]
    assert texts == [
        (5, "[MED 5 6 ]"),
        (3, "[SM 6 [SM [MIN 5 0 3 6 4 ] [MED 0 4 ] ] 5 ]"),
        (3, "[SM 2 2 9 ]"),
    ]


def test_all_examples_of_the_default_stay_the_same(examples: list[Example]):
    contents = b"".join(tokens + bytes([value]) for tokens, value in examples)
    assert hashlib.sha256(contents).hexdigest() == (
        "aec235a36f638d07f5185f0f4152c81ee3c7cf3280ac38384aa948539bba5374"
    )


def test_only_the_stable_method_of_random_is_used(monkeypatch: pytest.MonkeyPatch):
    class OnlyRandom:
        def __init__(self, seed: str) -> None:
            self.random = random.Random(seed).random

    expected = listops.generate_splits(SMALL)
    monkeypatch.setattr(listops, "Random", OnlyRandom)
    assert listops.generate_splits(SMALL) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[MIN 4 7 ]", 4),
        ("[MAX 2 9 [MIN 4 7 ] 0 ]", 9),
        ("[MED 1 2 ]", 1),
        ("[MED 9 3 8 4 ]", 6),
        ("[MED 9 0 5 ]", 5),
        ("[SM 9 8 7 ]", 4),
        ("[SM [MED 7 2 5 ] [MIN 9 3 ] [MAX 1 0 ] ]", 9),
        ("[MIN [SM 5 5 ] [MAX [SM 6 6 ] 1 ] ]", 0),
    ],
)
def test_values_computed_by_hand(text: str, value: int):
    tokens = read(text)
    assert evaluate(tokens, OPERATORS) == value
    assert evaluate(np.array([*tokens, 0, 0], dtype=np.uint8), OPERATORS) == value
    assert render([*tokens, 0, 0], OPERATORS) == text


def test_operator_tokens_follow_the_order_of_the_configuration():
    tokens = read("[SM 1 [MIN 3 2 ] ]", ["SM", "MIN"])
    assert tokens == [12, 2, 13, 4, 3, 11, 11]
    assert evaluate(tokens, ["SM", "MIN"]) == 3
    assert evaluate(tokens, ["MAX", "SM"]) == 5
    assert render(tokens, ["MAX", "SM"]) == "[MAX 1 [SM 3 2 ] ]"


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [0, 0],
        read("[MIN 1 2"),
        read("[MIN 1 2 ] ]"),
        read("[MIN 1 2 ] 3"),
        read("[MIN 1 2 ] [MAX 3"),
        read("[MIN 1 [MAX ] ]"),
        read("]"),
        [*read("[MIN 1"), 0, *read("2 ]")],
        [*read("[MIN 1 2 ]"), 99],
        [16, *read("1 2 ]")],
    ],
    ids=str,
)
def test_invalid_expressions_are_rejected(tokens: list[int]):
    with pytest.raises(DataError, match="not one ListOps expression"):
        evaluate(tokens, OPERATORS)


def test_values_agree_with_the_reader_and_with_python(examples: list[Example]):
    functions = {
        "MIN": lambda *values: min(values),
        "MAX": lambda *values: max(values),
        "MED": lambda *values: int(np.median(values)),
        "SM": lambda *values: sum(values) % 10,
    }
    for tokens, value in examples:
        assert evaluate(tokens, OPERATORS) == value
    for tokens, value in examples[::100]:
        program = render(tokens, OPERATORS).replace(" ", ",").replace("[", "").replace("]", ")")
        for name in OPERATORS:
            program = program.replace(f"{name},", f"{name}(")
        assert eval(program, functions) == value


def test_no_example_occurs_twice(splits, examples: list[Example]):
    assert {split: len(part) for split, part in splits.items()} == {
        "train": 50_000,
        "validation": 1000,
        "test": 1000,
    }
    assert len({tokens for tokens, _ in examples}) == 52_000


def test_lengths_depths_and_arguments_cover_their_ranges(examples: list[Example]):
    lengths = Counter(len(tokens) for tokens, _ in examples)
    assert sorted(lengths) == list(range(4, 51))
    assert min(lengths.values()) > 250
    described = [depths_and_arguments(tokens) for tokens, _ in examples]
    depths = Counter(depth for depth, _ in described)
    assert sorted(depths) == [1, 2, 3, 4, 5]
    # Uniform, except that few distinct expressions of depth 1 exist.
    assert all(count / len(examples) > 0.2 for depth, count in depths.items() if depth > 1)
    assert depths[1] / len(examples) > 0.1
    arguments = Counter(count for _, counts in described for count in counts)
    assert sorted(arguments) == [2, 3, 4, 5]
    assert min(arguments.values()) > 0.1 * arguments.total()


def test_classes_and_positions_of_nesting_are_balanced(examples: list[Example]):
    classes = Counter(value for _, value in examples)
    assert sorted(classes) == list(range(10))
    assert max(classes.values()) / len(examples) < 0.15
    nested = [tokens for tokens, _ in examples if len(tokens) == 8 and tokens.count(CLOSING) == 2]
    # Two operators and four digits: [A [B d d] d d], [A d [B d d] d] or [A d d [B d d]], or three
    # digits inside; the inner operator may be anywhere.
    places = Counter(tokens.index(max(tokens[1:]), 1) for tokens in nested)
    assert set(places) >= {1, 2, 3}
    assert min(places[place] for place in (1, 2)) > 0.25 * len(nested)


def test_the_deepest_argument_has_no_preferred_position(examples: list[Example]):
    first, n_pairs = 0, 0
    for tokens, _ in examples[:20_000]:
        level, deepest = 0, []
        for token in tokens[1:-1]:
            if token >= FIRST_OPERATOR:
                level += 1
                deepest = [*deepest, 1] if level == 1 else [*deepest[:-1], max(deepest[-1], level)]
            level -= token == CLOSING
        if len(deepest) == 2 and deepest[0] != deepest[1]:
            n_pairs += 1
            first += deepest[0] > deepest[1]
    assert n_pairs > 2000
    assert 0.45 < first / n_pairs < 0.55


def shares(part: list[Example], key) -> dict[int, float]:
    return {name: count / len(part) for name, count in Counter(map(key, part)).items()}


@pytest.mark.parametrize(
    "key",
    [
        lambda example: example.value,
        lambda example: depths_and_arguments(example.tokens)[0],
        lambda example: len(example.tokens) // 10,
        lambda example: example.tokens[0],
    ],
    ids=["class", "depth", "length", "operator"],
)
def test_splits_have_the_same_distribution(splits, key):
    expected = shares(splits["train"], key)
    for split in ("validation", "test"):
        found = shares(splits[split], key)
        assert found.keys() == expected.keys()
        for name, share in expected.items():
            deviation = (share * (1 - share) / len(splits[split])) ** 0.5
            assert abs(found[name] - share) < 4 * deviation, (split, name)


def test_scarce_examples_are_spread_evenly_over_splits():
    """All 400 expressions of four tokens are drawn: they must not all end up in the first split."""
    data = DEFAULT.model_copy(
        update={"max_depth": 1, "max_length": 5}
        | {"n_train": 2000, "n_validation": 1000, "n_test": 1000}
    )
    for part in listops.generate_splits(data).values():
        assert abs(sum(len(tokens) == 4 for tokens, _ in part) / len(part) - 0.1) < 0.04


def test_limits_on_length_are_kept():
    data = SMALL.model_copy(update={"min_length": 30, "max_length": 33, "n_train": 500})
    part = listops.generate_splits(data)["train"]
    assert {len(tokens) for tokens, _ in part} == {30, 31, 32, 33}
    assert {depths_and_arguments(tokens)[0] for tokens, _ in part} == {2, 3, 4, 5}


def test_depth_may_be_as_deep_as_the_length_allows():
    data = SMALL.model_copy(update={"max_arguments": 2, "min_length": 61, "max_length": 61})
    data = parse(ListOpsData, data.model_dump() | {"max_depth": 20}, "test")
    for tokens, _ in listops.generate_splits(data)["train"]:
        assert len(tokens) == 61
        assert tokens.count(CLOSING) == 20


@pytest.mark.parametrize("update", [{"seed": 1}, {"max_arguments": 4}, {"max_length": 40}])
def test_another_configuration_has_other_examples(update):
    other = listops.generate_splits(SMALL.model_copy(update=update))
    assert other["train"] != listops.generate_splits(SMALL)["train"]


TINY = {"kind": "listops", "max_depth": 1, "max_length": 4, "n_validation": 50, "n_test": 50}


def test_all_distinct_examples_can_be_used_but_no_more():
    data = parse(ListOpsData, {**TINY, "n_train": 300}, "test")
    found = listops.generate_splits(data)
    assert len({tokens for part in found.values() for tokens, _ in part}) == 4 * 10 * 10
    data = parse(ListOpsData, {**TINY, "n_train": 301}, "test")
    with pytest.raises(DataError) as error:
        listops.generate_splits(data)
    for part in ("n_train=301", "401 distinct", "only 400 were found", "max_length=4", "raise"):
        assert part in str(error.value)


def test_impossible_lengths_end_in_an_error():
    """With two arguments, an expression has 4, 7, 10, ... tokens."""
    values = {"max_arguments": 2, "max_depth": 2, "min_length": 8, "max_length": 9}
    data = parse(ListOpsData, {"kind": "listops", **values}, "test")
    with pytest.raises(DataError, match="only 0 were found with .*max_arguments=2"):
        listops.generate_splits(data)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"max_length": 9},
            "max_depth=5 needs 16 tokens but max_length=9; use a max_depth in 1..2",
        ),
        ({"max_depth": 1, "min_length": 8}, "gives at most 7 tokens; use a min_length in 4..7"),
        ({"min_length": 51}, "min_length=51 but max_length=50"),
        ({"operators": ["SM", "SM"]}, "has duplicates"),
        ({"operators": []}, "operators"),
        ({"operators": ["SUM"]}, "'MIN', 'MAX', 'MED' or 'SM'"),
        ({"max_length": 5000}, "4096"),
    ],
)
def test_configurations_without_examples_are_rejected(values, message: str):
    with pytest.raises(ConfigError, match=message):
        parse(ListOpsData, {"kind": "listops", **values}, "test")


def test_a_text_corpus_cannot_be_named_listops():
    with pytest.raises(ConfigError, match='use data.kind="listops"'):
        parse(TextData, {"corpus": "listops"}, "test")
