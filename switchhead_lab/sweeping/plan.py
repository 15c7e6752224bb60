"""The plan of a sweep: its models, matched, and their run configurations (free of torch)."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.budget.matching import (
    baseline_model,
    match_declared,
    matched_quantity,
    sizes_by_convention,
)
from switchhead_lab.budget.model_costs import ModelCosts, count_costs
from switchhead_lab.budget.quantity import MatchedQuantity, Scope
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.declared import DeclaredModel, declared_models
from switchhead_lab.config.files import merge_trees, near_miss
from switchhead_lab.config.schema import InitialWeights, RunConfig, TrainingConfig
from switchhead_lab.config.search import (
    Point,
    Study,
    describe_point,
    grid_of,
    key_of,
    random_points,
    split_point,
)
from switchhead_lab.config.sweep import MatchRule, Sweep
from switchhead_lab.errors import ConfigError, MatchError
from switchhead_lab.sweeping.costing import all_counters, find_counter
from switchhead_lab.tracking.sweep_record import ResolvedModel, Role

# Larger search spaces are listed in part.
_MOST_LISTED = 200


@dataclass(frozen=True)
class Variant:
    """One matched model of a sweep.

    Attributes:
        name: Name in the sweep.
        role: Its role in the sweep.
        model: Resolved architecture.
        training: Training options: the sweep's, with searched fields replaced.
        seeds: One run per seed.
        matched_over: The matched size; None for the baseline.
        source: The model of the sweep, or run, whose weights it starts from; None to initialise
            from the seed.
        point: Values of the searched fields; empty without a search.
        rule: The rule that it was matched by; None for the baseline.
    """

    name: str
    role: Role
    model: ModelConfig
    training: TrainingConfig
    seeds: tuple[int, ...]
    matched_over: str | None
    source: str | None = None
    point: Point = field(default_factory=dict)
    rule: MatchRule | None = None

    @property
    def matched_by(self) -> Scope | None:
        """The scope matched to the baseline's: attention, or the layer; None for the baseline."""
        if self.matched_over is None:
            return None
        in_attention = self.model.attention.size_field(self.matched_over) is not None
        return "attention" if in_attention else "layer"

    @property
    def matched(self) -> MatchedQuantity | None:
        """The quantity matched to the baseline's budget; None for the baseline."""
        free, rule = self.matched_over, self.rule
        if free is None or rule is None:
            return None
        return matched_quantity(rule.matching, self.model, free)

    @property
    def title(self) -> str:
        """Name, unique also among the candidates of one study."""
        return " ".join(filter(None, (self.name, describe_point(self.point))))


@dataclass(frozen=True)
class Infeasible:
    """A combination of a search space without a model.

    Attributes:
        name: Name of the study.
        point: Values of the searched fields.
        reason: Why there is no such model.
    """

    name: str
    point: Point
    reason: str


def declared_variants(sweep: Sweep, counter: CostCounter | None = None) -> list[Variant]:
    """Return the baseline and the declared models, matched to it.

    Args:
        sweep: The sweep.
        counter: Counts MACs; by default the sweep's convention.

    Raises:
        MatchError: If a declared model cannot be matched.
    """
    counter = counter or find_counter(sweep.convention)
    variants = [_baseline(sweep, sweep.baseline.name, "baseline", sweep.baseline.seeds)]
    for declared in sweep.models:
        try:
            variants.append(_matched(sweep, declared, "declared", counter))
        except MatchError as error:
            raise MatchError(f'sweep {sweep.name}, model "{declared.name}": {error}') from None
    return variants


def candidate_variant(
    sweep: Sweep, study: Study, point: Point, counter: CostCounter | None = None
) -> Variant | Infeasible:
    """Return the matched model of one combination of a search space, or why there is none."""
    counter = counter or find_counter(sweep.convention)
    template, (fields, training) = sweep.template_of(study), split_point(point)
    seeds = study.seeds[:1]
    try:
        if template is None:
            variant = _baseline(sweep, study.name, "candidate", seeds)
        else:
            declared = _declared(merge_trees(template, fields), study.name, seeds)
            variant = _matched(sweep, declared, "candidate", counter)
        changed = _changed(variant.training, training)
    except ValidationError as error:
        return Infeasible(study.name, point, _reason_of(error))
    except MatchError as error:
        return Infeasible(study.name, point, str(error))
    return replace(variant, training=changed, point=point)


def candidate_variants(
    sweep: Sweep, study: Study, counter: CostCounter | None = None
) -> Iterator[Variant | Infeasible]:
    """Yield all combinations of a search space, those to try first at the start.

    Never ends if a range is continuous.
    """
    seen = set()
    for point in itertools.chain(study.first, grid_of(study) or random_points(study)):
        if key_of(point) not in seen:
            seen.add(key_of(point))
            yield candidate_variant(sweep, study, point, counter)


def listed_candidates(
    sweep: Sweep, study: Study, counter: CostCounter | None = None
) -> list[Variant | Infeasible]:
    """Return the first combinations of a search space for listings, one per model.

    Of combinations that differ only in training options, the first is listed.
    """
    drawn = itertools.islice(candidate_variants(sweep, study, counter), _MOST_LISTED)
    by_model: dict[str, Variant | Infeasible] = {}
    for candidate in drawn:
        fields, _ = split_point(candidate.point)
        by_model.setdefault(json.dumps(fields), candidate)
    return list(by_model.values())


def first_candidates(sweep: Sweep) -> list[Variant]:
    """Return the feasible candidates that searches try first."""
    found = [
        candidate_variant(sweep, study, point) for study in sweep.studies for point in study.first
    ]
    return [variant for variant in found if isinstance(variant, Variant)]


def all_variants(sweep: Sweep, counter: CostCounter | None = None) -> list[Variant | Infeasible]:
    """Return declared models, then the combinations of the search spaces.

    Args:
        sweep: The sweep.
        counter: Counts MACs; by default the sweep's convention.

    Raises:
        MatchError: If a declared model cannot be matched.
    """
    candidates = [listed_candidates(sweep, study, counter) for study in sweep.studies]
    return [*declared_variants(sweep, counter), *itertools.chain(*candidates)]


def find_variant(variants: Sequence[Variant | Infeasible], name: str) -> Variant:
    """Return the variant with a title, or with a name that is unique.

    Raises:
        ConfigError: If there is none, or several; the message lists the titles.
    """
    feasible = [variant for variant in variants if isinstance(variant, Variant)]
    found = [v for v in feasible if v.title == name] or [v for v in feasible if v.name == name]
    if len(found) == 1:
        return found[0]
    titles = [variant.title for variant in found or feasible]
    what = "several models" if found else f"no such model{near_miss(name, titles)}"
    raise ConfigError(f'--model "{name}": {what}; give one of: {", ".join(titles)}')


def run_config(
    sweep: Sweep,
    model: ModelConfig,
    seed: int,
    training: TrainingConfig | None = None,
    start: InitialWeights | None = None,
) -> RunConfig:
    """Return the configuration of one run; only model, seed and searched fields differ.

    Args:
        sweep: The sweep.
        model: Resolved architecture.
        seed: Seed of the run.
        training: Training options; by default the sweep's.
        start: The checkpoint to start from; None to initialise from the seed.
    """
    return RunConfig(
        seed=seed,
        objective=sweep.objective,
        data=sweep.data,
        model=model,
        training=training or sweep.training,
        initial_weights=start,
    )


def config_of(
    sweep: Sweep, variant: Variant, seed: int, start: InitialWeights | None = None
) -> RunConfig:
    """Return the configuration of a variant's run with a seed.

    If the variant has a source, the configuration is complete only with the checkpoint to start
    from, which is known once the source is trained.
    """
    return run_config(sweep, variant.model, seed, variant.training, start)


def costs_of(
    sweep: Sweep, model: ModelConfig, counters: Iterable[CostCounter], convention: str
) -> ModelCosts:
    """Return the costs of a sweep's model, matched by a convention."""
    return count_costs(model, counters, sweep.vocab_size, sweep.n_outputs, convention=convention)


def resolved_model(sweep: Sweep, variant: Variant) -> ResolvedModel:
    """Return a model's entry in the sweep record: architecture, costs and matched quantity."""
    model, free, counters = variant.model, variant.matched_over, all_counters()
    matched, sizes = variant.matched, {}
    if free is not None and matched is not None:
        sizes = sizes_by_convention(baseline_model(sweep), model, free, matched, counters)
    return ResolvedModel(
        name=variant.name,
        model=model,
        costs=costs_of(sweep, model, counters, sweep.convention),
        matched=matched,
        matched_convention=variant.rule.convention if variant.rule else sweep.convention,
        matched_over=free,
        sizes_by_convention=sizes,
    )


def _baseline(sweep: Sweep, name: str, role: Role, seeds: Sequence[int]) -> Variant:
    model = baseline_model(sweep)
    source = sweep.baseline.initial_weights
    return Variant(name, role, model, sweep.training, tuple(seeds), None, source)


def _matched(sweep: Sweep, declared: DeclaredModel, role: Role, counter: CostCounter) -> Variant:
    rule = sweep.rule_of(declared)
    if declared.match_by is None:
        rule = replace(rule, convention=counter.convention)
    else:
        counter = find_counter(rule.convention)
    model = match_declared(sweep, declared, counter)
    seeds = tuple(declared.seeds)
    free, training = declared.match_over, _changed(sweep.training, declared.training)
    source = declared.initial_weights
    return Variant(declared.name, role, model, training, seeds, free, source, rule=rule)


def _changed(training: TrainingConfig, fields: Mapping[str, Any]) -> TrainingConfig:
    return TrainingConfig.model_validate(training.model_dump() | dict(fields))


def _declared(fields: Mapping[str, Any], name: str, seeds: Sequence[int]) -> DeclaredModel:
    """Return a declaration with the fields of a sweep file."""
    values = {**fields, "name": name, "seeds": list(seeds)}
    return declared_models()[fields["kind"]].model_validate(values)


def _reason_of(error: ValidationError) -> str:
    """Return the first reason why a combination is not a valid declaration."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    raised = first.get("ctx", {}).get("error")
    return str(raised) if raised else f"{where}: {first['msg']}"
