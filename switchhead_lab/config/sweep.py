"""The schema of a sweep: one fair comparison, declared once.

A sweep file holds a base declaration and `[sizes.NAME]` tables. A size is an overlay: its keys
replace those of the base, so sizes differ only in what they name. `extends` starts a size from
another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from switchhead_lab.config.architecture import ModelSizes
from switchhead_lab.config.claimed import Quantity, quantity_of
from switchhead_lab.config.claims import Claim, QualityClaim, complete_claims
from switchhead_lab.config.cost_names import CONVENTIONS, Convention
from switchhead_lab.config.data import DataConfig
from switchhead_lab.config.declared import (
    DeclaredModel,
    RunOrModel,
    Seeds,
    declared_models,
    shared_training,
)
from switchhead_lab.config.evaluation import SweepEvaluation
from switchhead_lab.config.files import near_miss
from switchhead_lab.config.names import ModelName
from switchhead_lab.config.objective import DEFAULT_OBJECTIVE, ObjectiveConfig, task_of
from switchhead_lab.config.schema import SEARCHABLE_TRAINING, TrainingConfig
from switchhead_lab.config.search import (
    FieldValues,
    Range,
    Space,
    Study,
    objectives_of,
    require_searchable,
)
from switchhead_lab.config.sources import KEY as INITIAL_WEIGHTS
from switchhead_lab.config.sources import Entry, depths_of
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.objectives.base import Task
from switchhead_lab.variants.base import Variant
from switchhead_lab.variants.registry import OneOf, kind_of, variants_of

# A tuned field is searched from a quarter to four times the sweep's own value.
_TUNING_FACTOR = 4.0


class SharedArchitecture(ModelSizes):
    """Architecture and dropout shared by all models of a sweep."""

    p_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability on the hidden feed-forward activations."""


class Baseline(FrozenModel):
    """The dense model whose budget every other model is matched to."""

    name: ModelName = "dense"
    """Name in tables and run names."""
    n_heads: int = Field(ge=1)
    """Attention heads."""
    d_head: int = Field(ge=1)
    """Width of each head."""
    d_ff: int = Field(ge=1)
    """Feed-forward width."""
    seeds: Seeds = [0]
    """One run per seed."""
    initial_weights: RunOrModel | None = Field(default=None, exclude_if=lambda name: name is None)
    """Model of the sweep, or run, whose weights it starts from."""


class PaperModel(FrozenModel):
    """The paper's counterpart of a sweep's model, if its kind does not determine it."""

    model: str
    """The paper's name of the model."""
    params: int | None = None
    """Its printed size in millions, if it differs from that of the other rows."""
    n_heads: int | None = None
    """Its heads, if rows differ in them."""
    experts: str = ""
    """Its projections with experts, as printed (Table 6)."""


class PaperRow(FrozenModel):
    """The comparison in the paper that this sweep reproduces, shown beside our results."""

    table: int = Field(ge=1, le=8)
    """Table number."""
    dataset: str
    """Data set of the rows."""
    params: int | None = Field(default=None, ge=1)
    """Model size in millions, as printed; omit if the table prints none."""
    models: dict[str, PaperModel] = Field(default={}, exclude_if=lambda models: not models)
    """The paper's models by the sweep's names, except dense and plain SwitchHead."""


@dataclass(frozen=True)
class MatchRule:
    """The rule that a model is matched to the baseline by.

    Attributes:
        matching: "parameter_matched" or "mac_matched".
        convention: Accounting convention of its MACs.
    """

    matching: str
    convention: str


class Sweep(FrozenModel):
    """One comparison at one size: a dense baseline and models matched to its budget."""

    name: ModelName
    """Name of the sweep."""
    size: ModelName
    """Name of the size."""
    summary: str = ""
    """One sentence for listings."""
    ladder: list[ModelName] = Field(default=[], exclude_if=lambda sizes: not sizes)
    """Sizes of the file that are compared in training compute, smallest first."""
    matching: Literal["parameter_matched", "mac_matched"]
    """Budget that every model shares with the baseline."""
    convention: Convention = "published"
    """Accounting convention of MACs and memory."""
    objective: ObjectiveConfig = Field(
        default=DEFAULT_OBJECTIVE, exclude_if=lambda objective: objective == DEFAULT_OBJECTIVE
    )
    """Training objective; omitted for language modelling."""
    data: DataConfig
    """Text and tokenizer, or generated examples."""
    model: SharedArchitecture
    """Shared architecture."""
    training: TrainingConfig
    """Shared optimisation."""
    baseline: Baseline
    """The dense baseline."""
    models: list[Annotated[DeclaredModel, OneOf(declared_models)]] = []
    """Models matched to the baseline."""
    studies: list[Study] = []
    """Searches; omit for a sweep of declared models only."""
    tune: list[str] | Space = Field(default=[], exclude_if=lambda tuned: not tuned)
    """Fields of training to tune for every model, the baseline included, each in its own study and
    with the same number of trials: names, searched from a quarter to four times the sweep's value,
    or a search space as in a study."""
    n_tuning_trials: int = Field(default=5, ge=1, exclude_if=lambda number: number == 5)
    """Trials of each tuning study."""
    claims: list[Claim] = Field(default=[], exclude_if=lambda claims: not claims)
    """What the comparison is to show."""
    evaluation: SweepEvaluation | None = Field(default=None, exclude_if=lambda one: one is None)
    """Zero-shot tasks that finished runs are evaluated on."""
    paper: PaperRow | None = None
    """Rows of the paper to print beside ours; omit if the paper has none."""

    @property
    def task(self) -> Task:
        """Properties of data and model that the objective depends on."""
        return task_of(self.data, self.model)

    @property
    def vocab_size(self) -> int:
        """Number of tokens that every model reads."""
        return self.data.vocab_size + self.objective.n_extra_tokens

    @property
    def n_outputs(self) -> int:
        """Width of every model's output layer."""
        return self.objective.n_outputs(self.task)

    @model_validator(mode="after")
    def _objective_is_possible(self) -> Self:
        self.objective.require_possible(self.task)
        return self

    @property
    def tuned_space(self) -> dict[str, FieldValues]:
        """Search space that every model is tuned over; empty without `tune`."""
        if isinstance(self.tune, dict):
            return self.tune
        return {path: self._around(path) for path in self.tune}

    def _around(self, path: str) -> Range:
        """Return the range around the sweep's own value of a field of training."""
        known = [f"training.{name}" for name in SEARCHABLE_TRAINING]
        if path not in known:
            is_shared = shared_training(path)
            reason = f", which{is_shared}" if is_shared else near_miss(path, known)
            raise ValueError(
                f"tune names {path}{reason}: use fields of training: {', '.join(known)}"
            )
        value = getattr(self.training, path.partition(".")[2])
        if isinstance(value, int) or not value > 0.0:
            raise ValueError(
                f"tune names {path}, whose value {value} gives no range; write one, e.g. "
                f'tune = {{ "{path}" = [0, 10] }}'
            )
        return Range(low=value / _TUNING_FACTOR, high=value * _TUNING_FACTOR, log=True)

    @property
    def tuning(self) -> list[Study]:
        """The tuning study of each model, named after the model; empty without `tune`."""
        space = self.tuned_space
        if not space:
            return []
        models: list[Baseline | DeclaredModel] = [self.baseline, *self.models]
        return [
            Study(
                name=model.name,
                model=model.name,
                space=space,
                n_trials=self.n_tuning_trials,
                seeds=model.seeds,
            )
            for model in models
        ]

    @property
    def all_studies(self) -> list[Study]:
        """Tuning studies, then searches."""
        return [*self.tuning, *self.studies]

    def rule_of(self, declared: DeclaredModel) -> MatchRule:
        """Return the rule that a declared model is matched by: its own, or the sweep's."""
        if declared.match_by is None:
            return MatchRule(self.matching, self.convention)
        quantity, _, convention = declared.match_by.partition(":")
        if quantity == "parameters":
            return MatchRule("parameter_matched", self.convention)
        return MatchRule("mac_matched", convention)

    def template_of(self, study: Study) -> dict[str, Any] | None:
        """Return the declaration that a study completes; None for the baseline.

        Raises:
            ValueError: If the study names a model that the sweep does not have.
        """
        if not isinstance(study.model, str):
            return study.model
        if study.model == self.baseline.name:
            return None
        declared = next((model for model in self.models if model.name == study.model), None)
        if declared is None:
            names = [self.baseline.name, *(model.name for model in self.models)]
            raise ValueError(
                f'study "{study.name}": model = "{study.model}"{near_miss(study.model, names)}: '
                f"no such model; models: {', '.join(names)}"
            )
        return declared.model_dump(mode="json", exclude_unset=True, exclude={"name", "seeds"})

    @property
    def entries(self) -> dict[str, Entry]:
        """What it trains, by name: the baseline, declared models and searches."""
        models: list[Baseline | DeclaredModel] = [self.baseline, *self.models]
        entries = {model.name: Entry(model.seeds, model.initial_weights) for model in models}
        for study in self.studies:
            template = self.template_of(study)
            declared = self.baseline.initial_weights if template is None else template
            source = declared.get(INITIAL_WEIGHTS) if isinstance(declared, dict) else declared
            entries[study.name] = Entry(study.seeds, source)
        return entries

    @model_validator(mode="after")
    def _studies_are_possible(self) -> Self:
        tuned = self.tuned_space
        for study in self.studies:
            _require_kind(study)
            objectives_of(study, self.objective)
        for study in self.all_studies:
            require_searchable(study.name, study.space, self.template_of(study))
        for study in self.studies:
            missing = [path for path in tuned if path not in study.space]
            if missing:
                raise ValueError(
                    f'study "{study.name}" does not search {missing[0]}, which every other '
                    "model is tuned over; add it to the study's space"
                )
        return self

    @model_validator(mode="after")
    def _convention_has_every_formula(self) -> Self:
        variants = [v for model in self.models for v in model.variants]
        variants += [v for study in self.studies for v in _variants_of(study)]
        _require_formulas("", self.convention, variants)
        for model in self.models:
            convention = self.rule_of(model).convention
            _require_formulas(f'models: "{model.name}": match_by: ', convention, model.variants)
        return self

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        names = [self.baseline.name, *(model.name for model in self.models)]
        names += [study.name for study in self.studies]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two models are named "{name}"; give each its own name')
        return self

    @model_validator(mode="after")
    def _claims_are_possible(self) -> Self:
        for claim in self.stated_claims:
            if claim.quality is not None:
                self.quantity_of(claim.quality)
        return self

    @model_validator(mode="after")
    def _evaluation_is_possible(self) -> Self:
        if self.evaluation is not None and not self.objective.predicts_next_token:
            raise ValueError(
                f"evaluation: zero-shot tasks need a language model, but objective.kind = "
                f'"{self.objective.kind}"; remove the [evaluation] or the [objective] table'
            )
        return self

    def quantity_of(self, quality: QualityClaim) -> Quantity:
        """Return what a claim about quality measures."""
        return quantity_of(quality, self.objective, self.evaluation)

    @property
    def stated_claims(self) -> list[Claim]:
        """The claims with the model that each compares with filled in."""
        return complete_claims(self.claims, self.entries, self.baseline.name)

    @model_validator(mode="after")
    def _sources_can_run_first(self) -> Self:
        depths_of(self.entries)
        return self


def _require_kind(study: Study) -> None:
    """Check that the template of a study names a kind of attention and, if any, its source.

    Raises:
        ValueError: If it does not.
    """
    if isinstance(study.model, str):
        return
    kinds, kind = list(variants_of("attention")), str(study.model.get("kind", ""))
    if kind not in kinds:
        raise ValueError(
            f'study "{study.name}": model.kind = "{kind}"{near_miss(kind, kinds)}: kinds of '
            f"attention: {', '.join(kinds)}"
        )
    source = study.model.get(INITIAL_WEIGHTS, "")
    if not isinstance(source, str):
        raise ValueError(
            f'study "{study.name}": model.{INITIAL_WEIGHTS} = {source}: write the name of a model '
            "of the sweep or of a run, in quotes"
        )


def _require_formulas(where: str, convention: str, variants: Sequence[type[Variant]]) -> None:
    """Raise ValueError if a convention has no formula for a variant; `executed` counts any."""
    if convention == "executed":
        return
    without = [variant for variant in variants if convention not in variant.conventions]
    if without:
        formulas = [c for c in CONVENTIONS if all(c in v.conventions for v in variants)]
        raise ValueError(
            f'{where}convention="{convention}" has no formula for {kind_of(without[0])} '
            f"{without[0].block}; use {' or '.join([*formulas, 'executed'])}"
        )


def _variants_of(study: Study) -> list[type[Variant]]:
    """Return the variants that a study's own template names."""
    if isinstance(study.model, str):
        return []
    feedforward = study.model.get("feedforward") or {}
    found = (
        variants_of("attention").get(str(study.model.get("kind"))),
        variants_of("feedforward").get(str(feedforward.get("kind"))),
    )
    return [variant for variant in found if variant is not None]
