import numpy as np
import pytest

from switchhead_lab.claims import bootstrap
from switchhead_lab.claims.bootstrap import document_difference, task_difference


def test_the_difference_is_that_of_the_mean_losses() -> None:
    ours, theirs, n_targets = [30.0, 8.0, 50.0], [28.0, 9.0, 46.0], [10, 4, 20]
    found = document_difference(ours, theirs, n_targets)
    assert found.nats == pytest.approx(88.0 / 34 - 83.0 / 34)
    assert found.n_documents == 3
    assert found.low < found.nats < found.high


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says(monkeypatch) -> None:
    monkeypatch.setattr(bootstrap, "_N_RESAMPLES", 1000)
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        n_targets = generator.integers(50, 500, 60)
        differences = n_targets * generator.normal(0.1, 0.2, 60)
        found = document_difference(list(differences), [0.0] * 60, list(n_targets))
        covered += found.low <= 0.1 <= found.high
    assert 0.90 < covered / 300 < 0.98


def test_equal_models_differ_by_nothing_and_results_repeat() -> None:
    losses, n_targets = [3.0, 4.0], [2, 2]
    found = document_difference(losses, losses, n_targets)
    assert (found.nats, found.low, found.high) == (0.0, 0.0, 0.0)
    other = document_difference([4.0, 4.0], losses, n_targets)
    assert other == document_difference([4.0, 4.0], losses, n_targets)


def right_answers(generator, p_first: float, p_second: float, n: int = 200):
    return tuple((generator.random(n) < p).astype(float) for p in (p_first, p_second))


def test_the_interval_of_tasks_covers_the_true_difference_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        tasks = [right_answers(generator, 0.7, 0.6), right_answers(generator, 0.5, 0.5)]
        found = task_difference(tasks, lambda means: means)
        covered += found.low <= 0.05 <= found.high
    assert 0.91 < covered / 300 < 0.98


def test_tasks_have_equal_weights_and_documents_are_paired() -> None:
    # Of 4 documents and of 1, so that the first task does not count four times.
    tasks = [([1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]), ([1.0], [0.0])]
    found = task_difference(tasks, lambda means: means)
    assert (found.first, found.second) == (pytest.approx(0.875), pytest.approx(0.25))
    # Both models always answer alike, so nothing can differ.
    equal = [1.0, 0.0, 1.0]
    same = task_difference([(equal, equal)], lambda means: means)
    assert (same.low, same.high) == (0.0, 0.0)


def test_a_metric_of_the_means_is_resampled_as_such() -> None:
    nats = np.random.default_rng(0).normal(-2.0, 0.5, 400)
    found = task_difference([(list(nats), list(nats - 0.1))], lambda means: np.exp(-means))
    assert found.first == pytest.approx(np.exp(-nats.mean()))
    assert found.first / found.second == pytest.approx(np.exp(-0.1))
    assert found.low < found.first - found.second < found.high < 0.0
