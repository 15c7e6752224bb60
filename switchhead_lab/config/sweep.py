"""The schema of a sweep: one fair comparison, declared once.

A sweep file holds a base declaration and `[sizes.NAME]` tables. A size is an overlay: its keys
replace those of the base, so sizes differ only in what they name. `extends` starts a size from
another.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from switchhead_lab.config.architecture import (
    MoaShape,
    PositionsConfig,
    SigmaMoeFeedForward,
    SwitchHeadOptions,
    SwitchHeadShape,
    TransformerXLPositions,
)
from switchhead_lab.config.part import Part
from switchhead_lab.config.schema import DataConfig, TrainingConfig

ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=40)]
Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]
Convention = Literal["equations", "published"]
Choices = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]


class Frame(Part):
    """What all models of a sweep share besides data and training."""

    d_model: int = Field(ge=2, multiple_of=2)
    """Residual width; even, because the position table pairs sines with cosines."""
    n_layers: int = Field(ge=1)
    """Transformer blocks."""
    seq_len: int = Field(ge=2)
    """Length of the active chunk in tokens (the paper's T)."""
    context_multiple: int = Field(default=2, ge=1, le=16)
    """Chunks of context including the active one (the paper's C); 1 means no memory."""
    positions: PositionsConfig = TransformerXLPositions()
    """Position encoding."""
    p_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability on the hidden feed-forward activations."""


class Baseline(Part):
    """The dense model whose budget every other model is given."""

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


class _Declared(Part):
    """What every declared model has."""

    name: ModelName
    """Name in tables and run names."""
    seeds: Seeds = [0]
    """One run per seed."""
    feedforward: SigmaMoeFeedForward | None = None
    """Sigma-MoE in place of the dense feed-forward; leave out to keep that, matched."""


class HeadMatchedModel(_Declared):
    """Dense attention with these heads at the baseline's parameters; d_head and d_ff follow."""

    kind: Literal["dense"] = "dense"
    n_heads: int = Field(ge=1)
    """Attention heads."""


class SwitchHeadModel(_Declared, SwitchHeadShape, SwitchHeadOptions):
    """SwitchHead; d_head (and d_ff, by the rule) follow from the baseline's budget."""

    kind: Literal["switchhead"] = "switchhead"


class MoaModel(_Declared, MoaShape):
    """Mixture of Attention Heads; d_head (and d_ff, by the rule) follow from the budget."""

    kind: Literal["moa"] = "moa"


DeclaredModel = Annotated[
    HeadMatchedModel | SwitchHeadModel | MoaModel, Field(discriminator="kind")
]


class SearchSpace(Part):
    """Values Optuna may choose from."""

    n_heads: Choices
    """Attention heads."""
    n_experts: Choices
    """Experts of each head."""
    top_k: Choices
    """Experts chosen per token, head and side."""


class Study(Part):
    """An Optuna study over SwitchHead's shape; its objective is the validation perplexity."""

    name: ModelName = "switchhead"
    """Name in tables and run names."""
    space: SearchSpace
    """Values to choose from; combinations that cannot be matched are told apart before training."""
    first: list[SwitchHeadShape] = []
    """Candidates to try before the sampler's own, in this order."""
    n_trials: int = Field(ge=1)
    """Distinct candidates to train, pruned ones included."""
    seeds: Seeds = [0]
    """The search trains with the first seed; the best candidate is then trained with them all."""
    sampler_seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the TPE sampler."""
    n_startup_trials: int = Field(default=4, ge=0)
    """Trials at random before TPE models the results; also before the pruner acts."""
    n_pruning_warmup_steps: int = Field(default=0, ge=0)
    """Training steps before a trial can be pruned by the median rule."""

    @model_validator(mode="after")
    def _first_within_space(self) -> Self:
        for candidate in self.first:
            for field in ("n_heads", "n_experts", "top_k"):
                value, allowed = getattr(candidate, field), getattr(self.space, field)
                if value not in allowed:
                    raise ValueError(
                        f"a first candidate has {field}={value}, which is not in the space "
                        f"{allowed}; add it to space.{field}"
                    )
        return self


class PaperRow(Part):
    """The comparison of the paper that this sweep echoes, shown beside our figures."""

    table: int = Field(ge=1, le=8)
    """Table number."""
    dataset: str
    """Data set of the rows."""
    params: int = Field(ge=1)
    """Model size in millions, as printed."""


class Sweep(Part):
    """One comparison at one size: a dense baseline and models given the same budget."""

    name: ModelName
    """Name of the sweep."""
    size: ModelName
    """Name of the size."""
    summary: str = ""
    """One sentence for listings."""
    matching: Literal["parameter_matched", "mac_matched"]
    """Budget that every model shares with the baseline."""
    convention: Convention = "published"
    """Accounting convention of MACs and memory."""
    data: DataConfig
    """Text and tokenizer."""
    model: Frame
    """Shared architecture."""
    training: TrainingConfig
    """Shared optimisation."""
    baseline: Baseline
    """The dense baseline."""
    models: list[DeclaredModel] = []
    """Further declared models."""
    study: Study | None = None
    """Search over SwitchHead shapes; leave out for a sweep of declared models only."""
    paper: PaperRow | None = None
    """Rows of the paper to print beside ours; leave out where the paper has none."""

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        names = [self.baseline.name, *(model.name for model in self.models)]
        if self.study is not None:
            names.append(self.study.name)
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two models are named "{name}"; give each its own name')
        return self
