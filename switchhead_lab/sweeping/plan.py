"""What a sweep will run: every declared model, matched, as run configurations (free of torch)."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from switchhead_lab.budget.counter import CostCounter, closed_form_counter
from switchhead_lab.budget.matching import baseline_model, match_candidate, match_declared
from switchhead_lab.budget.quantity import Scope
from switchhead_lab.budget.residual import MatchResidual, match_residual
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.files import near_miss
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep import Candidate, Study, Sweep
from switchhead_lab.errors import ConfigError, MatchError
from switchhead_lab.tracking.sweep_record import Role
from switchhead_lab.variants.switchhead import SwitchHeadAttention

Shape = tuple[int, int, int]
"""n_heads, n_experts, top_k: what tells candidates of one study apart."""


@dataclass(frozen=True)
class Variant:
    """One model of a sweep with its budget resolved.

    Attributes:
        name: Name in the sweep.
        role: Why it is in the sweep.
        model: Resolved architecture.
        seeds: One run per seed.
        residual: What it has more or less than the baseline.
        matched_over: The size that followed from the budget; None for the baseline.
    """

    name: str
    role: Role
    model: ModelConfig
    seeds: tuple[int, ...]
    residual: MatchResidual
    matched_over: str | None

    @property
    def matched_by(self) -> Scope | None:
        """What meets the baseline's budget: attention, or the layer; None for the baseline."""
        if self.matched_over is None:
            return None
        in_attention = self.model.attention.size_field(self.matched_over) is not None
        return "attention" if in_attention else "layer"

    @property
    def title(self) -> str:
        """Name that also tells the candidates of one study apart."""
        attention = self.model.attention
        if self.role != "candidate" or not isinstance(attention, SwitchHeadAttention):
            return self.name
        return f"{self.name} {attention.n_heads}x{attention.n_experts} k={attention.top_k}"


@dataclass(frozen=True)
class Infeasible:
    """A combination of the search space without a model.

    Attributes:
        shape: n_heads, n_experts and top_k.
        reason: Why there is no such model.
    """

    shape: Shape
    reason: str


def declared_variants(sweep: Sweep, counter: CostCounter | None = None) -> list[Variant]:
    """Return the baseline and the declared models, matched to it.

    Args:
        sweep: The sweep.
        counter: Counts MACs; by the sweep's convention if left out.

    Raises:
        MatchError: If a declared model cannot be matched.
    """
    own, baseline = sweep.baseline, baseline_model(sweep)
    residual = _residual(sweep, baseline, counter)
    variants = [Variant(own.name, "baseline", baseline, tuple(own.seeds), residual, None)]
    for declared in sweep.models:
        try:
            model = match_declared(sweep, declared, counter)
        except MatchError as error:
            raise MatchError(f'sweep {sweep.name}, model "{declared.name}": {error}') from None
        seeds, residual = tuple(declared.seeds), _residual(sweep, model, counter)
        name, free = declared.name, declared.match_over
        variants.append(Variant(name, "declared", model, seeds, residual, free))
    return variants


def candidate_variant(
    sweep: Sweep, study: Study, shape: Shape, counter: CostCounter | None = None
) -> Variant | Infeasible:
    """Return the matched model of one combination of the search space, or why there is none."""
    n_heads, n_experts, top_k = shape
    try:
        candidate = Candidate(n_heads=n_heads, n_experts=n_experts, top_k=top_k)
        model = match_candidate(sweep, candidate, counter)
    except ValidationError as error:
        return Infeasible(shape, str(error.errors()[0]["ctx"]["error"]))
    except MatchError as error:
        return Infeasible(shape, str(error))
    seeds, residual = tuple(study.seeds[:1]), _residual(sweep, model, counter)
    return Variant(study.name, "candidate", model, seeds, residual, "d_head")


def candidate_variants(
    sweep: Sweep, study: Study, counter: CostCounter | None = None
) -> Iterator[Variant | Infeasible]:
    """Yield every combination of the search space, those to be tried first before the others."""
    space = study.space
    first = [(c.n_heads, c.n_experts, c.top_k) for c in study.first]
    grid = itertools.product(space.n_heads, space.n_experts, space.top_k)
    for shape in dict.fromkeys([*first, *grid]):
        yield candidate_variant(sweep, study, shape, counter)


def first_candidates(sweep: Sweep) -> list[Variant]:
    """Return the feasible candidates that a search tries first."""
    study = sweep.study
    if study is None:
        return []
    found = [
        candidate_variant(sweep, study, (c.n_heads, c.n_experts, c.top_k)) for c in study.first
    ]
    return [variant for variant in found if isinstance(variant, Variant)]


def all_variants(sweep: Sweep, counter: CostCounter | None = None) -> list[Variant | Infeasible]:
    """Return declared models, then every combination of the search space.

    Args:
        sweep: The sweep.
        counter: Counts MACs; by the sweep's convention if left out.

    Raises:
        MatchError: If a declared model cannot be matched.
    """
    candidates = candidate_variants(sweep, sweep.study, counter) if sweep.study else ()
    return [*declared_variants(sweep, counter), *candidates]


def find_variant(variants: Sequence[Variant | Infeasible], name: str) -> Variant:
    """Return the variant of a title, or of a name that only one of them has.

    Raises:
        ConfigError: If there is none, or several; the message gives the titles to choose from.
    """
    feasible = [variant for variant in variants if isinstance(variant, Variant)]
    found = [v for v in feasible if v.title == name] or [v for v in feasible if v.name == name]
    if len(found) == 1:
        return found[0]
    titles = [variant.title for variant in found or feasible]
    what = "several models" if found else f"no such model{near_miss(name, titles)}"
    raise ConfigError(f'--model "{name}": {what}; give one of: {", ".join(titles)}')


def run_config(sweep: Sweep, model: ModelConfig, seed: int) -> RunConfig:
    """Return the configuration of one run: only model and seed differ within a sweep."""
    return RunConfig(
        seed=seed,
        objective=sweep.objective,
        data=sweep.data,
        model=model,
        training=sweep.training,
    )


def shape_of_candidate(variant: Variant) -> Shape | None:
    """Return the shape of a study's candidate; None for other models."""
    attention = variant.model.attention
    if not isinstance(attention, SwitchHeadAttention):
        return None
    return attention.n_heads, attention.n_experts, attention.top_k


def shape_of(params: Mapping[str, int]) -> Shape:
    """Return the shape in a trial's parameters."""
    return params["n_heads"], params["n_experts"], params["top_k"]


def _residual(sweep: Sweep, model: ModelConfig, counter: CostCounter | None) -> MatchResidual:
    counter = counter or closed_form_counter(sweep.convention)
    return match_residual(model, baseline_model(sweep), counter, sweep.vocab_size, sweep.n_outputs)
