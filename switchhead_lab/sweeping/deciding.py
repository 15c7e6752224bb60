"""Adds seeds to a sweep until its claims are decided (free of torch).

Seeds come in pairs, to both models of the cheapest undecided claim. Every look is recorded, because
it has its price; see `switchhead_lab.claims.sequential`.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence

from switchhead_lab.claims.state import ClaimState
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepRecord

_SEEDS_AT_ONCE = 2


Judge = Callable[[SweepRecord], Sequence[ClaimState]]
"""Evaluates new runs, if the sweep asks for it, and returns the state of claims about quality."""


def with_added_seeds(sweep: Sweep, directory: SweepDir) -> Sweep:
    """Return a sweep with the seeds that were added to it to decide its claims."""
    known = directory.read_known()
    return sweep if known is None else extended(sweep, known.added_seeds)


def extended(sweep: Sweep, added: Mapping[str, Sequence[int]]) -> Sweep:
    """Return a sweep with further seeds of its models and studies.

    Args:
        sweep: The sweep.
        added: Seeds by name of the model or study; unknown names are ignored.
    """

    def seeds(name: str, declared: Sequence[int]) -> dict[str, list[int]]:
        return {"seeds": list(dict.fromkeys([*declared, *added.get(name, ())]))}

    baseline = sweep.baseline
    return sweep.model_copy(
        update={
            "baseline": baseline.model_copy(update=seeds(baseline.name, baseline.seeds)),
            "models": [one.model_copy(update=seeds(one.name, one.seeds)) for one in sweep.models],
            "studies": [one.model_copy(update=seeds(one.name, one.seeds)) for one in sweep.studies],
        }
    )


def run_until_decided(
    sweep: Sweep,
    directory: SweepDir,
    run: Callable[[Sweep], SweepRecord],
    judge: Judge,
    say: Callable[[str], None],
) -> SweepRecord:
    """Run a sweep, then add seeds until every claim is decided or has all seeds that it may use.

    Can be interrupted and continued at any time.

    Args:
        sweep: The sweep as declared.
        directory: The sweep's directory.
        run: Trains what is missing of a sweep.
        judge: Judges the claims.
        say: Called with one line per added pair.
    """
    before: dict[str, int] = {}
    while True:
        record = run(with_added_seeds(sweep, directory))
        states = judge(record)
        record = note_looks(directory, states)
        # A claim whose new runs failed would get seeds forever.
        growing = [
            state
            for state in states
            if state.needs_seeds and state.n_pairs > before.get(state.name, -1)
        ]
        if not growing:
            return record
        state = min(growing, key=lambda state: _price(record.sweep, state))
        before[state.name] = state.n_pairs
        added = _next_seeds(record.sweep, state)
        say(f"{state.name} is undecided with {state.n_pairs} seeds: adding {_listed(added)}")
        _add(record, directory, state.models, added)


def note_looks(directory: SweepDir, states: Sequence[ClaimState]) -> SweepRecord:
    """Record a look at every claim that has more pairs than at the last look."""

    def change(known: SweepRecord) -> dict[str, object]:
        looks = {name: list(sizes) for name, sizes in known.looks.items()}
        for state in states:
            sizes = looks.setdefault(state.name, [])
            if state.n_pairs > max(1, *sizes, 0):
                sizes.append(state.n_pairs)
        looks = {name: sizes for name, sizes in looks.items() if sizes}
        return {} if looks == known.looks else {"looks": looks}

    return _update(directory, change)


def _next_seeds(sweep: Sweep, state: ClaimState) -> list[int]:
    """Return the smallest seeds that not both models have; those that one has come first."""
    model, versus = (set(sweep.entries[name].seeds) for name in state.models)
    number = min(_SEEDS_AT_ONCE, state.max_seeds - state.n_pairs)
    new = (seed for seed in itertools.count() if seed not in model | versus)
    return [*sorted(model ^ versus), *itertools.islice(new, number)][:number]


def _price(sweep: Sweep, state: ClaimState) -> float:
    """Return the cost of the runs that the next seeds of a claim need."""
    return sum(
        price
        for name, price in zip(state.models, state.prices, strict=True)
        for seed in _next_seeds(sweep, state)
        if seed not in sweep.entries[name].seeds
    )


def _add(
    record: SweepRecord, directory: SweepDir, models: Sequence[str], seeds: Sequence[int]
) -> SweepRecord:
    def change(known: SweepRecord) -> dict[str, object]:
        added = dict(known.added_seeds)
        for name in models:
            missing = [seed for seed in seeds if seed not in record.sweep.entries[name].seeds]
            added[name] = list(dict.fromkeys([*added.get(name, []), *missing]))
        return {"added_seeds": added}

    return _update(directory, change)


def _update(
    directory: SweepDir, change: Callable[[SweepRecord], Mapping[str, object]]
) -> SweepRecord:
    """Change a sweep's record and return it; workers may have changed it meanwhile."""
    with directory.locked():
        known = directory.read()
        if changes := change(known):
            known = known.model_copy(update=changes)
            directory.write(known)
    return known


def _listed(seeds: Sequence[int]) -> str:
    return "seed" + ("s " if len(seeds) > 1 else " ") + " and ".join(map(str, seeds))
