"""Batched likelihoods against a direct computation, token by token."""

import math
import random

import pytest
import torch

from switchhead_lab.evaluation.sequence_scoring import Scoring, score_sequences
from switchhead_lab.trained.generation import TokenReader

T = 16  # seq_len of the tiny models
MODELS = [
    ("dense", "xl", 2),
    ("switchhead", "xl", 2),
    ("dense", "xl", 3),
    ("dense", "rope", 1),
    ("switchhead", "rope", 1),
    ("dense", "rope", 2),
]


def scorings(n: int = 12, longest: int = 5 * T) -> list[Scoring]:
    """Return sequences of many lengths; some share a long beginning."""
    draw = random.Random(0)
    shared = [draw.randrange(256) for _ in range(longest)]
    found = []
    for number in range(n):
        length = draw.randrange(2, longest)
        tokens = [draw.randrange(256) for _ in range(length)]
        if number % 3 == 0:
            tokens = [*shared[: 3 * T + 2], *tokens[:7]]
        found.append(Scoring(tokens, draw.randrange(1, len(tokens))))
    return found


@torch.inference_mode()
def direct(model, scoring: Scoring) -> tuple[float, bool]:
    """Return the likelihood of a continuation, reading one token after the other."""
    reader = TokenReader(model.next_token)
    nats, is_greedy = 0.0, True
    for number, token in enumerate(scoring.tokens):
        if number >= scoring.n_context:
            logits = reader.predict()
            nats += float(logits.log_softmax(0)[token])
            is_greedy &= int(logits.argmax()) == token
        reader.read(token)
    return nats, is_greedy


@pytest.mark.parametrize(("attention", "positions", "multiple"), MODELS)
def test_a_batch_gives_what_reading_token_by_token_gives(
    make_model, attention: str, positions: str, multiple: int
) -> None:
    model = make_model(attention, positions, multiple)
    window = model.next_token.window
    given = [
        one for one in scorings() if window is None or len(one.tokens) - 1 <= window
    ] or scorings(longest=T)
    for found, one in zip(score_sequences(model.next_token, given), given, strict=True):
        nats, is_greedy = direct(model, one)
        assert found.nats == pytest.approx(nats, abs=1e-4)
        assert found.is_greedy == is_greedy


@pytest.mark.parametrize(("attention", "positions", "multiple"), MODELS)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_results_do_not_depend_on_batch_size_or_order(
    make_model, batch_size: int, attention: str, positions: str, multiple: int
) -> None:
    model = make_model(attention, positions, multiple).next_token
    given = scorings()
    expected = [one.nats for one in score_sequences(model, given)]
    found = score_sequences(model, given[::-1], batch_size)
    assert [one.nats for one in found[::-1]] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("positions", ["xl", "rope"])
def test_the_last_token_changes_nothing_before_it(make_model, positions: str) -> None:
    model = make_model("switchhead", positions).next_token
    tokens = list(range(40, 40 + T - 2))
    before = Scoring(tokens[:-1], 3)
    first, second = Scoring(tokens, 3), Scoring([*tokens[:-1], 7], 3)
    alone, one, other = score_sequences(model, [before, first, second])
    last = [
        score_sequences(model, [Scoring(scoring.tokens, len(tokens) - 1)])[0].nats
        for scoring in (first, second)
    ]
    assert one.nats - last[0] == pytest.approx(alone.nats, abs=1e-4)
    assert other.nats - last[1] == pytest.approx(alone.nats, abs=1e-4)
    assert last[0] != pytest.approx(last[1], abs=1e-3)


def test_a_model_with_a_window_sees_the_last_tokens_of_a_long_context(make_model) -> None:
    model = make_model("dense", "rope", 1).next_token
    assert model.window == T
    context = [random.Random(1).randrange(256) for _ in range(50)]
    long, cut = Scoring([*context, 5, 6], 50), Scoring([*context[-(T - 1) :], 5, 6], T - 1)
    found, expected = score_sequences(model, [long, cut])
    assert found == expected


def test_a_continuation_beyond_the_window_is_scored_whole(make_model) -> None:
    model = make_model("dense", "rope", 1).next_token
    tokens = [random.Random(2).randrange(256) for _ in range(2 * T + 6)]
    (found,) = score_sequences(model, [Scoring(tokens, 1)])
    parts = [
        Scoring(tokens[: T + 1], 1),
        Scoring(tokens[T : 2 * T + 1], 1),
        Scoring(tokens[T + 5 :], T - 4),
    ]
    assert found.nats == pytest.approx(
        sum(one.nats for one in score_sequences(model, parts)), abs=1e-4
    )


def test_an_empty_continuation_is_certain(make_model) -> None:
    (found,) = score_sequences(make_model().next_token, [Scoring([1, 2], 2)])
    assert (found.nats, found.is_greedy) == (0.0, True)


def test_progress_counts_every_sequence(make_model) -> None:
    seen: list[tuple[int, int]] = []
    score_sequences(make_model().next_token, scorings(7), 2, lambda *counts: seen.append(counts))
    assert seen[-1] == (7, 7)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_equal_beginnings_are_read_once(make_model, monkeypatch) -> None:
    model = make_model().next_token
    shared = list(range(4 * T))
    given = [Scoring([*shared, number], 4 * T) for number in range(10)]
    read, rows = model.read, []
    monkeypatch.setattr(
        model, "read", lambda tokens, memory: rows.append(len(tokens)) or read(tokens, memory)
    )
    score_sequences(model, given)
    # Three chunks of the shared beginning, then one chunk of the ten sequences.
    assert rows == [1, 1, 1, 10]


@torch.inference_mode()
def test_only_the_likeliest_continuation_is_greedy(make_model) -> None:
    model = make_model("switchhead")
    reader, tokens = TokenReader(model.next_token), [7]
    for _ in range(T + 3):
        reader.read(tokens[-1])
        tokens.append(int(reader.predict().argmax()))
    other = [*tokens[:-1], (tokens[-1] + 1) % 256]
    found = score_sequences(model.next_token, [Scoring(tokens, 2), Scoring(other, 2)])
    assert [one.is_greedy for one in found] == [True, False]


class Undecided:
    """A model that always predicts tokens 1 and 2 with equal likelihood."""

    seq_len, window, device = T, None, torch.device("cpu")

    def read(self, tokens_BT, memory):
        return torch.zeros(*tokens_BT.shape, 1), memory

    def logits(self, hidden_ND):
        return torch.tensor([[1.0, 2.0, 2.0]]).repeat(len(hidden_ND), 1)


def test_the_first_of_equally_likely_tokens_is_the_greedy_one() -> None:
    found = score_sequences(Undecided(), [Scoring([0, token], 1) for token in range(3)])
    assert [one.is_greedy for one in found] == [False, True, False]
    assert found[1].nats == found[2].nats == pytest.approx(-math.log(2 + math.exp(-1)))
