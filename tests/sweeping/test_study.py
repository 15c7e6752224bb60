"""A study stopped anywhere proposes, prunes and chooses the same as an uninterrupted one.

Training is simulated: curves are functions of the candidate, and a stopped candidate resumes from
its latest checkpoint, as real runs do.
"""

import contextlib
import hashlib
import os
import random
import signal
import sqlite3
import threading
from dataclasses import dataclass, field

import optuna
import pytest

from switchhead_lab.config.files import parse
from switchhead_lab.config.search import Point, Study, key_of, objectives_of
from switchhead_lab.errors import StorageError
from switchhead_lab.objectives.language_model import LanguageModelling
from switchhead_lab.sweeping import study_storage
from switchhead_lab.sweeping.study import SearchStudy
from switchhead_lab.sweeping.study_storage import connect_storage
from switchhead_lab.tracking.interruption import Interrupted
from switchhead_lab.tracking.record import MetricPoint

METRIC = "validation/perplexity"
N_STEPS, VALIDATE_EVERY, CHECKPOINT_EVERY = 60, 10, 20
SPACE = {"n_heads": [1, 2, 4], "n_experts": [2, 4, 5], "top_k": [1, 2, 3, 4]}
SHAPES = [
    (heads, experts, k)
    for heads in SPACE["n_heads"]
    for experts in SPACE["n_experts"]
    for k in SPACE["top_k"]
]


FIRST = {"n_heads": 1, "n_experts": 2, "top_k": 1}


def point_of(shape) -> Point:
    return dict(zip(SPACE, shape, strict=True))


def shape_of(point: Point):
    return tuple(point[name] for name in SPACE)


def config_of(sampler_seed: int, **changes: object) -> Study:
    tree = {
        "model": {"kind": "switchhead"},
        "space": SPACE,
        "first": [
            {"n_heads": 2, "n_experts": 4, "top_k": 2},
            {"n_heads": 4, "n_experts": 2, "top_k": 2},
        ],
        "n_trials": 9,
        "sampler_seed": sampler_seed,
        "n_startup_trials": 3,
        "n_pruning_warmup_steps": 20,
    }
    return parse(Study, {**tree, **changes}, "test")


def is_feasible(shape) -> bool:
    return shape[2] <= shape[1] and shape[0] * shape[1] < 20


def is_tried(shape, tried) -> bool:
    return key_of(point_of(shape)) in tried


def perplexity(shape, step: int) -> float:
    """Return a falling curve, different for each candidate; curves cross."""
    digest = hashlib.sha256(repr(shape).encode()).digest()
    level, speed = digest[0] / 25.6, 1 + digest[1] / 64
    return 20 + level + 40 / (1 + speed * step / 10)


class StoppedError(Exception):
    pass


@dataclass
class World:
    """The state on disk: the study's storage, and the checkpoint of every candidate."""

    config: Study
    storage: optuna.storages.BaseStorage = field(default_factory=optuna.storages.InMemoryStorage)
    checkpoints: dict = field(default_factory=dict)
    finished: dict = field(default_factory=dict)
    trained: list = field(default_factory=list)

    def open(self) -> SearchStudy:
        """Open the study as a new process does."""
        pruner = optuna.pruners.MedianPruner(
            n_startup_trials=self.config.n_startup_trials,
            n_warmup_steps=self.config.n_pruning_warmup_steps,
        )
        study = optuna.create_study(
            storage=self.storage, study_name="s", load_if_exists=True, pruner=pruner
        )
        return SearchStudy(study, self.config, objectives_of(self.config, LanguageModelling()))

    def resume(self, may_stop) -> None:
        """Run the remaining trials; `may_stop(where)` raises `StoppedError` somewhere."""
        study = self.open()

        def untried(tried):
            return next(
                (point_of(s) for s in SHAPES if is_feasible(s) and not is_tried(s, tried)), None
            )

        while (proposal := study.propose(untried)) is not None:
            may_stop("proposed")
            shape = shape_of(proposal.point)
            if not is_feasible(shape):
                study.reject_infeasible(proposal, "too large")
                continue
            if proposal.known is not None:
                study.repeat(proposal)
                continue
            hook = study.begin(proposal, str(shape))
            may_stop("begun")
            ending = self.finished.get(shape)
            if ending is None:
                ending = self.finished[shape] = self._train(shape, hook, may_stop)
                self.trained.append(shape)
            may_stop("trained")
            if ending == "pruned":
                study.prune(proposal)
            else:
                study.finish(proposal, [ending])
            may_stop("told")

    def _train(self, shape, hook, may_stop):
        step = self.checkpoints.get(shape, 0)
        while step < N_STEPS:
            step += 1
            may_stop("step")
            if step % VALIDATE_EVERY == 0:
                point = MetricPoint(step, step, 0.0, {METRIC: perplexity(shape, step)})
                prune = hook.observe(point)
                may_stop("reported")
                if prune is not None and step < N_STEPS:
                    return "pruned"
            if step % CHECKPOINT_EVERY == 0:
                self.checkpoints[shape] = step
        return perplexity(shape, N_STEPS)

    def outcome(self):
        trials = self.open()._study.get_trials()
        return (
            [(t.number, t.state, t.params, t.value, t.intermediate_values) for t in trials],
            self.open().best_point(),
            self.trained,
        )


def stopping(generator: random.Random, n_stops: int, n_points: int):
    """Return a `may_stop` that stops at random places, and the list of remaining stops."""
    places = sorted(generator.sample(range(n_points), n_stops))
    count = 0

    def may_stop(_where: str) -> None:
        nonlocal count
        count += 1
        if places and count >= places[0]:
            places.pop(0)
            raise StoppedError

    return may_stop, places


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize(
    "block", [0, *(pytest.param(one, marks=pytest.mark.thorough) for one in range(1, 10))]
)
def test_stops_do_not_change_the_study(block: int) -> None:
    """200 sampler seeds, each stopped up to twelve times, between any two actions."""
    for seed in range(20 * block, 20 * (block + 1)):
        whole = World(config_of(seed))
        n_points = 0

        def count(_where: str) -> None:
            nonlocal n_points
            n_points += 1

        whole.resume(count)
        generator = random.Random(seed)
        stopped = World(config_of(seed))
        may_stop, places = stopping(generator, 1 + seed % 12, n_points)
        while True:
            try:
                stopped.resume(may_stop)
                break
            except StoppedError:
                continue
        assert not places
        assert stopped.outcome() == whole.outcome(), f"sampler seed {seed}"


def test_the_simulation_prunes_rejects_and_differs_between_seeds() -> None:
    """Otherwise the comparison above would not test these events."""
    worlds = [World(config_of(seed)) for seed in range(12)]
    for world in worlds:
        world.resume(lambda where: None)
    endings = [ending for world in worlds for ending in world.finished.values()]
    assert "pruned" in endings
    assert any(ending != "pruned" for ending in endings)
    trials = [t for world in worlds for t in world.open()._study.get_trials()]
    assert any("infeasible" in t.user_attrs for t in trials)
    assert any("repeats_trial" in t.user_attrs for t in trials)
    assert len({tuple(world.trained) for world in worlds}) == 12


def test_first_candidates_come_first_and_a_later_one_next() -> None:
    world = World(config_of(0, n_trials=2))
    world.resume(lambda where: None)
    assert world.trained == [(2, 4, 2), (4, 2, 2)]
    first = [{"n_heads": h, "n_experts": e, "top_k": k} for h, e, k in [(2, 4, 2), (1, 5, 4)]]
    world.config = config_of(0, n_trials=3, first=first)
    world.resume(lambda where: None)
    assert world.trained[2] == (1, 5, 4)


def test_every_combination_is_tried_once_where_trials_allow() -> None:
    world = World(config_of(3, n_trials=1000))
    world.resume(lambda where: None)
    assert sorted(world.trained) == sorted(shape for shape in SHAPES if is_feasible(shape))


def test_each_sampler_proposes_feasible_candidates_in_its_own_order() -> None:
    orders = set()
    for sampler in ("tpe", "random", "grid", "nsga2"):
        world = World(config_of(0, sampler=sampler, first=[], n_startup_trials=1))
        world.resume(lambda where: None)
        assert len(set(world.trained)) == 9
        assert all(map(is_feasible, world.trained))
        orders.add(tuple(world.trained))
    assert len(orders) == 4


def test_a_failed_candidate_counts_and_is_not_proposed_again() -> None:
    world = World(config_of(0, n_trials=3))
    study = world.open()
    proposal = study.propose(lambda tried: FIRST)
    study.begin(proposal, "run")
    study.fail(proposal, "non-finite")
    world.resume(lambda where: None)
    assert shape_of(proposal.point) not in world.trained
    assert len(world.trained) == 2


def test_a_repeated_step_is_judged_as_before_the_stop() -> None:
    """A candidate stopped between its last report and its end repeats earlier steps."""
    changes = {"n_startup_trials": 1, "n_pruning_warmup_steps": 0, "n_trials": 2}
    world = World(config_of(0, **changes))
    study = world.open()

    def observe(hook, step: int, value: float) -> bool:
        return hook.observe(MetricPoint(step, step, 0.0, {METRIC: value})) is not None

    first = study.propose(lambda tried: FIRST)
    hook = study.begin(first, "first")
    assert not observe(hook, 10, 30.0)
    assert not observe(hook, 20, 25.0)
    study.finish(first, [25.0])
    second = study.propose(lambda tried: FIRST)
    for opened in (study, world.open()):
        hook = opened.begin(second, "second")
        assert not observe(hook, 10, 29.0)
        assert observe(hook, 20, 40.0)


def test_a_pruned_candidate_is_not_the_best() -> None:
    """Optuna takes its last report for its value, however early it was."""
    study = World(config_of(0, n_trials=2)).open()
    pruned = study.propose(lambda tried: FIRST)
    study.begin(pruned, "pruned").observe(MetricPoint(10, 10, 0.0, {METRIC: 20.0}))
    study.prune(pruned)
    assert study.best_point() is None
    finished = study.propose(lambda tried: FIRST)
    study.begin(finished, "finished")
    study.finish(finished, [30.0])
    assert study.best_point() == finished.point != pruned.point


def test_of_equal_candidates_the_earliest_is_the_best() -> None:
    """Ties must not depend on the storage's order."""
    study = World(config_of(0, n_trials=3)).open()
    points = []
    for value in (31.0, 30.0, 30.0):
        proposal = study.propose(lambda tried: FIRST)
        study.begin(proposal, str(proposal.number))
        study.finish(proposal, [value])
        points.append(proposal.point)
    assert len({shape_of(point) for point in points}) == 3
    assert study.best_point() == points[1]


def test_a_failing_storage_stops_without_losing_anything(tmp_path, monkeypatch) -> None:
    """Another process locks the database; the study continues after it unlocks."""
    monkeypatch.setattr(study_storage, "WAIT_SECONDS", 0.1)
    path = tmp_path / "optuna.db"
    world = World(config_of(0, n_trials=2), storage=connect_storage(f"sqlite:///{path}"))
    study = world.open()
    proposal = study.propose(lambda tried: FIRST)
    hook = study.begin(proposal, "run")
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match="study_storage of lab.toml fails: .*locked"):
            hook.observe(MetricPoint(10, 10, 0.0, {METRIC: 30.0}))
    world.resume(lambda where: None)
    assert world.trained[0] == shape_of(proposal.point)
    assert len(world.trained) == 2


def test_a_storage_unlocked_in_time_is_waited_for(tmp_path) -> None:
    path = tmp_path / "optuna.db"
    world = World(config_of(0, n_trials=2), storage=connect_storage(f"sqlite:///{path}"))
    study = world.open()
    proposal = study.propose(lambda tried: FIRST)
    other = sqlite3.connect(path, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    # Longer than the wait of a single statement.
    release = threading.Timer(study_storage._STATEMENT_SECONDS + 0.5, other.rollback)
    release.start()
    hook = study.begin(proposal, "run")
    release.join()
    other.close()
    assert hook.observe(MetricPoint(10, 10, 0.0, {METRIC: 30.0})) is None


def test_a_signal_ends_the_wait_for_a_storage(tmp_path, signals) -> None:
    path = tmp_path / "optuna.db"
    study = World(config_of(0), storage=connect_storage(f"sqlite:///{path}")).open()
    proposal = study.propose(lambda tried: FIRST)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(Interrupted):
            study.begin(proposal, "run")
