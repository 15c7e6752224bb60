import numpy as np
import pytest

from switchhead_lab.data import example_batches
from switchhead_lab.data.example_batches import (
    ExampleBatches,
    LabelledExamples,
    evaluation_example_batches,
)
from switchhead_lab.errors import DataError

GOLDEN_ORDER = [1, 0, 6, 7, 4, 2, 3, 5]


def make_examples(n_examples: int, max_length: int = 5) -> LabelledExamples:
    """Return distinct examples: the first token of each is its index plus one."""
    tokens = np.zeros((n_examples, max_length), dtype=np.uint8)
    tokens[:, 0] = np.arange(n_examples) + 1
    return LabelledExamples(tokens, (np.arange(n_examples) % 10).astype(np.uint8))


def numbers_of(batch) -> list[int]:
    return (batch.inputs_BT[:, 0] - 1).tolist()


def epoch_of(batches: ExampleBatches, epoch: int) -> list[int]:
    steps = range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch)
    return [number for step in steps for number in numbers_of(batches.at(step))]


def test_a_batch_has_padded_inputs_and_the_labels_of_its_rows():
    batch = ExampleBatches(make_examples(12), 4, seq_len=7, seed=0).at(1)
    assert (batch.inputs_BT.shape, batch.inputs_BT.dtype) == ((4, 7), np.int64)
    assert (batch.targets.shape, batch.targets.dtype) == ((4,), np.int64)
    assert batch.starts_stream
    assert batch.n_targets == 4
    assert not batch.inputs_BT[:, 1:].any()
    assert batch.targets.tolist() == [number % 10 for number in numbers_of(batch)]


def test_a_batch_depends_on_the_step_only():
    batches = ExampleBatches(make_examples(40), 4, 5, seed=3)
    forwards = [numbers_of(batches.at(step)) for step in range(30)]
    example_batches._order.cache_clear()
    again = ExampleBatches(make_examples(40), 4, 5, seed=3)
    assert [numbers_of(again.at(step)) for step in reversed(range(30))] == forwards[::-1]


def test_every_epoch_has_each_example_once_in_its_own_order():
    batches = ExampleBatches(make_examples(200), 8, 5, seed=0)
    epochs = [epoch_of(batches, epoch) for epoch in range(4)]
    assert all(sorted(epoch) == list(range(200)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert epoch_of(ExampleBatches(make_examples(200), 8, 5, seed=1), 0) != epochs[0]
    # A shuffled order has one fixed point on average, and neighbours that are far apart.
    assert all(sum(number == place for place, number in enumerate(e)) < 8 for e in epochs)
    assert all(np.abs(np.diff(epoch)).mean() > 40 for epoch in epochs)


def test_dropped_examples_differ_between_epochs():
    batches = ExampleBatches(make_examples(10), 4, 5, seed=0)
    epochs = [epoch_of(batches, epoch) for epoch in range(12)]
    assert all(len(set(epoch)) == len(epoch) == 8 for epoch in epochs)
    assert {number for epoch in epochs for number in epoch} == set(range(10))
    assert len({frozenset(epoch) for epoch in epochs}) > 3


def test_hash_is_splitmix64():
    """First published values of the generator for seed 1234567."""
    index = np.arange(1, 6, dtype=np.uint64)
    assert example_batches._splitmix64(index, np.array([1234567], np.uint64)).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_order_stays_the_same():
    assert epoch_of(ExampleBatches(make_examples(8), 2, 5, seed=0), 0) == GOLDEN_ORDER


def test_cached_orders_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        example_batches._order(0, 0, 4)[0] = 1


def test_too_few_examples_are_rejected():
    assert ExampleBatches(make_examples(4), 4, 5, seed=0).steps_per_epoch == 1
    with pytest.raises(DataError, match=r"4 examples, fewer than batch_size=5.*smaller"):
        ExampleBatches(make_examples(4), 5, 5, seed=0)


def test_too_long_examples_are_rejected():
    message = "up to 5 tokens but seq_len=4"
    with pytest.raises(DataError, match=message):
        ExampleBatches(make_examples(4), 4, 4, seed=0).at(0)
    with pytest.raises(DataError, match=message):
        next(evaluation_example_batches(make_examples(4), 4, 4))


@pytest.mark.parametrize("batch_size", [1, 4, 10, 11])
def test_evaluation_has_each_example_once(batch_size: int):
    batches = list(evaluation_example_batches(make_examples(10), batch_size, seq_len=6))
    assert [number for batch in batches for number in numbers_of(batch)] == list(range(10))
    assert [n for batch in batches for n in batch.targets.tolist()] == list(range(10))
    assert all(batch.inputs_BT.shape[1] == 6 and batch.starts_stream for batch in batches)
    assert {len(batch.targets) for batch in batches[:-1]} <= {batch_size}
    assert len(batches[-1].targets) == 10 - batch_size * (len(batches) - 1)
