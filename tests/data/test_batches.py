import itertools

import numpy as np
import pytest

from switchhead_lab.data.batches import IGNORE, TokenBatches, evaluation_token_batches
from switchhead_lab.errors import DataError


def make_tokens(n_tokens: int) -> np.ndarray:
    """Return distinct ids, equal to their positions."""
    return np.arange(n_tokens, dtype=np.uint16)


def test_training_batches_are_a_function_of_the_step():
    def inputs(seed: int) -> list[list[int]]:
        batches = TokenBatches(make_tokens(1000), batch_size=3, seq_len=7, seed=seed)
        return batches.at(123).inputs_BT.tolist()

    assert inputs(5) == inputs(5)
    assert inputs(5) != inputs(6)


def test_training_batch_has_shape_type_and_shifted_targets():
    batch = TokenBatches(make_tokens(1000), batch_size=3, seq_len=7, seed=0).at(0)
    assert batch.inputs_BT.shape == batch.targets.shape == (3, 7)
    assert batch.inputs_BT.dtype == batch.targets.dtype == np.int64
    assert ((batch.inputs_BT + 1) % 1000 == batch.targets).all()
    assert batch.n_targets == 21


def test_rows_continue_within_an_epoch_and_restart_after_it():
    batches = TokenBatches(make_tokens(1000), batch_size=3, seq_len=7, seed=0)
    assert batches.steps_per_epoch == 999 // 21
    for step in range(3 * batches.steps_per_epoch):
        batch = batches.at(step)
        assert batch.starts_stream == (step % batches.steps_per_epoch == 0)
        if not batch.starts_stream:
            last = batches.at(step - 1).targets[:, -1]
            assert batch.inputs_BT[:, 0].tolist() == last.tolist()


@pytest.mark.parametrize(
    ("n_tokens", "batch_size", "seq_len"), [(1000, 3, 7), (43, 3, 7), (22, 3, 7)]
)
def test_no_target_occurs_twice_in_an_epoch(n_tokens, batch_size, seq_len):
    batches = TokenBatches(make_tokens(n_tokens), batch_size, seq_len, seed=1)
    steps = range(batches.steps_per_epoch, 2 * batches.steps_per_epoch)
    targets = np.concatenate([batches.at(step).targets.ravel() for step in steps])
    assert len(set(targets.tolist())) == len(targets) > n_tokens - 1 - batch_size * seq_len


def test_epochs_are_shifted_differently():
    batches = TokenBatches(make_tokens(1000), batch_size=3, seq_len=7, seed=0)
    starts = [int(batches.at(e * batches.steps_per_epoch).inputs_BT[0, 0]) for e in range(8)]
    assert len(set(starts)) == 8


def test_shift_is_pinned():
    """Resumed runs depend on these values: they must not change with the code or a library."""
    batches = TokenBatches(make_tokens(60_000), batch_size=2, seq_len=5, seed=7)
    first_of = [int(batches.at(e * batches.steps_per_epoch).inputs_BT[0, 0]) for e in range(3)]
    assert first_of == [15539, 3107, 3660]


def test_smallest_corpus_is_one_batch():
    assert TokenBatches(make_tokens(22), 3, 7, seed=0).steps_per_epoch == 1
    with pytest.raises(DataError, match=r"21 tokens.*batch_size=3 and seq_len=7 needs 22"):
        TokenBatches(make_tokens(21), 3, 7, seed=0)


@pytest.mark.parametrize(
    ("n_tokens", "batch_size", "seq_len"),
    list(itertools.product([2, 3, 10, 97, 128, 129], [1, 4, 6, 200], [1, 5, 64])),
)
def test_evaluation_scores_every_target_once(n_tokens, batch_size, seq_len):
    batches = list(evaluation_token_batches(make_tokens(n_tokens), batch_size, seq_len))
    scored = [
        (int(i), int(t))
        for batch in batches
        for i, t in zip(batch.inputs_BT.ravel(), batch.targets.ravel(), strict=True)
        if t != IGNORE
    ]
    assert sorted(scored) == [(n, n + 1) for n in range(n_tokens - 1)]
    assert sum(batch.n_targets for batch in batches) == n_tokens - 1
    assert [batch.starts_stream for batch in batches] == [True] + [False] * (len(batches) - 1)
    widths = [batch.inputs_BT.shape[1] for batch in batches]
    assert set(widths[:-1]) <= {seq_len}
    assert 1 <= widths[-1] <= seq_len
    assert batches[0].inputs_BT.shape[0] <= batch_size
    assert (batches[0].targets[:, 0] != IGNORE).all()


def test_evaluation_rows_continue():
    batches = list(evaluation_token_batches(make_tokens(100), batch_size=3, seq_len=8))
    for before, after in itertools.pairwise(batches):
        counted = after.targets[:, 0] != IGNORE
        assert (after.inputs_BT[counted, 0] == before.targets[counted, -1]).all()


def test_evaluation_needs_a_target():
    with pytest.raises(DataError, match="cannot evaluate on 1 tokens"):
        next(evaluation_token_batches(make_tokens(1), 4, 4))
