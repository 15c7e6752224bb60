"""The configurations that the command checks and times."""

from dataclasses import dataclass

from switchhead_lab.benchmark.gpu.checkout import ROOT
from switchhead_lab.config.files import Tree, parse
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.sweeping.plan import declared_variants, run_config
from switchhead_lab.tracking.bench_record import step_id
from switchhead_lab.variants.examples import examples_of
from switchhead_lab.variants.registry import variants_of

SWEEP = "paper/table5-wikitext103"
"""Sweep with the models whose steps are timed."""

# The paper's RoPE models have no memory and chunks of twice the length (Sec. 3.6).
_ROPE = ("model.positions.kind=rope", "model.context_multiple=1")
_ROPE_SEQ_LEN = {"pocket": 256, "small": 512, "large": 1024}
_DRY = ("training.batch_size=2", "model.n_layers=1", "model.seq_len=8")

# Sizes for the paper's kinds; other registered kinds are checked at their first example.
_SIZES = {
    "dense": {"kind": "dense", "n_heads": 4, "d_head": 16},
    "switchhead": {"kind": "switchhead", "n_heads": 2, "d_head": 20, "n_experts": 4, "top_k": 2},
    "moa": {"kind": "moa", "n_heads": 2, "d_head": 20, "n_experts": 4, "cv_coefficient": 0.01},
}
_DENSE_FEED_FORWARD = {"kind": "dense", "d_ff": 150}
_SIGMA_MOE = {"kind": "sigma_moe", "n_experts": 8, "d_expert": 24, "top_k": 2}

_POSITIONS = {"Transformer-XL": "transformer_xl", "RoPE": "rope"}


def _attention_of(kind: str) -> Tree:
    example = examples_of(variants_of("attention")[kind])[0]
    return _SIZES.get(kind) or example.model_dump(mode="json")


SMALL_MODELS = {
    **{
        f"{kind}, {title}": (_attention_of(kind), positions, _DENSE_FEED_FORWARD)
        for title, positions in _POSITIONS.items()
        for kind in variants_of("attention")
    },
    "SwitchAll, Transformer-XL": (_SIZES["switchhead"], "transformer_xl", _SIGMA_MOE),
}
"""Attention, positions and feed-forward of the models checked against the CPU: every registered
attention with both positions."""


@dataclass(frozen=True)
class TimedModel:
    """A model whose step is timed.

    Attributes:
        size: "pocket", "small" (47M) or "large" (262M).
        positions: "xl" (Transformer-XL) or "rope".
        model: Name in the sweep.
        config: Its configuration.
    """

    size: str
    positions: str
    model: str
    config: RunConfig

    @property
    def name(self) -> str:
        """Name of the case that times it."""
        return f"{self.size} {self.positions} {self.model}"

    @property
    def origin(self) -> dict[str, str]:
        """Findings by which reports identify the step."""
        config = self.config
        batch_size = config.training.batch_size
        return {"step_id": step_id(config.model, config.vocab_size, config.n_outputs, batch_size)}


def timed_models(size: str, positions: str, *, is_dry_run: bool) -> list[TimedModel]:
    """Return the models of a size, the dense baseline first."""
    sweep = _timed_sweep(size, positions, is_dry_run=is_dry_run)
    return [
        TimedModel(size, positions, v.name, run_config(sweep, v.model, 0))
        for v in declared_variants(sweep)
    ]


def timed_model(name: str, *, is_dry_run: bool) -> TimedModel:
    """Return one model by the name of its case, e.g. "small xl dense"."""
    size, positions, _ = name.split(" ", 2)
    models = timed_models(size, positions, is_dry_run=is_dry_run)
    return next(model for model in models if model.name == name)


def _timed_sweep(size: str, positions: str, *, is_dry_run: bool) -> Sweep:
    overrides: list[str] = []
    if positions == "rope":
        overrides += [*_ROPE, f"model.seq_len={_ROPE_SEQ_LEN[size]}"]
    if is_dry_run:
        overrides += _DRY
    return find_sweep(ROOT / "sweeps", SWEEP).resolve("pocket" if is_dry_run else size, overrides)


def small_config(name: str, *, n_steps: int = 1, batch_size: int = 4) -> RunConfig:
    """Return the configuration of one of `SMALL_MODELS`: byte tokens, no dropout."""
    attention, positions, feedforward = SMALL_MODELS[name]
    training = {"n_steps": n_steps, "batch_size": batch_size, "learning_rate": 2e-3}
    training |= {"clip_norm": 0.25, "n_warmup_steps": min(20, n_steps - 1)}
    training |= {"validate_every": n_steps, "checkpoint_every": n_steps}
    model = {"d_model": 64, "n_layers": 2, "seq_len": 64, "positions": {"kind": positions}}
    model |= {"context_multiple": 1 if positions == "rope" else 2}
    model |= {"attention": attention, "feedforward": feedforward}
    data = {"corpus": "sotu", "tokenizer": {"kind": "byte"}}
    return parse(RunConfig, {"data": data, "model": model, "training": training}, name)
