"""A study with `n_parallel` is the same however many workers share it, and whichever is faster.

Workers take turns in a random order, train at random speeds, and are killed at random instants.
"""

import random
from dataclasses import dataclass

import pytest
from test_study import (
    CHECKPOINT_EVERY,
    N_STEPS,
    SHAPES,
    VALIDATE_EVERY,
    World,
    is_feasible,
    is_tried,
    perplexity,
    point_of,
    shape_of,
)
from test_study import config_of as study_config

from switchhead_lab.sweeping.pruning import PruningHook
from switchhead_lab.sweeping.study import Proposal
from switchhead_lab.tracking.record import MetricPoint

METRIC = "validation/perplexity"


@dataclass
class Training:
    """A candidate that a worker trains."""

    proposal: Proposal
    hook: PruningHook
    step: int


class SharedWorld(World):
    """A study that several workers share; trainings resume from checkpoints."""

    def run(self, generator: random.Random, n_workers: int, p_kill: float = 0.0) -> int:
        """Run the study to its end; return the largest number of candidates at the same time."""
        study = self.open()
        workers: list[Training | None] = [None] * n_workers
        most = 0
        while True:
            number = generator.randrange(n_workers)
            training = workers[number]
            if training is None:
                busy = [w.proposal.number for w in workers if w is not None]
                workers[number] = self._take(study, busy)
                if workers[number] is None and not busy:
                    return most
            elif generator.random() < p_kill or self._advance(study, training):
                workers[number] = None
            most = max(most, sum(worker is not None for worker in workers))

    def _take(self, study, busy) -> Training | None:
        def untried(tried):
            return next(
                (point_of(s) for s in SHAPES if is_feasible(s) and not is_tried(s, tried)), None
            )

        while (proposal := study.propose(untried, busy)) is not None:
            if not is_feasible(shape_of(proposal.point)):
                study.reject_infeasible(proposal, "too large")
                continue
            if proposal.known is not None:
                study.repeat(proposal)
                continue
            shape = shape_of(proposal.point)
            hook = study.begin(proposal, str(shape))
            return Training(proposal, hook, self.checkpoints.get(shape, 0))
        return None

    def _advance(self, study, training: Training) -> bool:
        """Train one step; return whether the candidate is done."""
        shape = shape_of(training.proposal.point)
        training.step += 1
        step = training.step
        if step % CHECKPOINT_EVERY == 0:
            self.checkpoints[shape] = step
        if step % VALIDATE_EVERY == 0:
            prune = training.hook.observe(
                MetricPoint(step, step, 0.0, {METRIC: perplexity(shape, step)})
            )
            if prune is not None and step < N_STEPS:
                study.prune(training.proposal)
                return True
        if step == N_STEPS:
            study.finish(training.proposal, [perplexity(shape, N_STEPS)])
            return True
        return False

    def essence(self):
        trials = self.open()._study.get_trials()
        return [(t.number, t.state, t.params, t.value) for t in trials], self.open().best_point()


@pytest.mark.parametrize("n_parallel", [1, pytest.param(2, marks=pytest.mark.thorough), 4])
@pytest.mark.parametrize(
    "seeds", [range(2), pytest.param(range(2, 20), marks=pytest.mark.thorough)], ids=str
)
def test_speeds_and_kills_do_not_change_the_study(n_parallel: int, seeds: range) -> None:
    for seed in seeds:
        config = study_config(seed, n_parallel=n_parallel)
        alone = SharedWorld(config)
        alone.run(random.Random(0), n_workers=1)
        for n_workers in (2, 3, 5):
            shared = SharedWorld(config)
            generator = random.Random(100 * seed + n_workers)
            shared.run(generator, n_workers, p_kill=0.005)
            assert shared.essence() == alone.essence(), f"seed {seed}, {n_workers} workers"


def test_workers_train_as_many_candidates_at_the_same_time_as_declared() -> None:
    for n_parallel in (1, 2, 4):
        world = SharedWorld(study_config(0, n_parallel=n_parallel))
        assert world.run(random.Random(0), n_workers=6) == n_parallel


def test_no_candidate_is_trained_twice() -> None:
    for seed in range(8):
        world = SharedWorld(study_config(seed, n_parallel=3))
        world.run(random.Random(seed), n_workers=3)
        trained = [t for t in world.open()._study.get_trials() if "run_name" in t.user_attrs]
        assert len({tuple(t.params.items()) for t in trained}) == len(trained) == 9


def test_the_declared_number_is_part_of_the_study_and_one_changes_no_name() -> None:
    assert "n_parallel" not in study_config(0).model_dump()
    assert study_config(0, n_parallel=2).model_dump()["n_parallel"] == 2
