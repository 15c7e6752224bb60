"""Tables of all runs of a workspace or of one sweep."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from switchhead_lab.budget.counter import closed_form_counter
from switchhead_lab.budget.model_costs import count_costs
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.cost_names import Convention
from switchhead_lab.config.files import near_miss
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep_files import recorded_name
from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.errors import ConfigError, LabError
from switchhead_lab.objectives.registry import objectives
from switchhead_lab.reporting.report_data import MemberRun, read_report_data
from switchhead_lab.reporting.selection import select_record
from switchhead_lab.tracking.code_identity import recorded_code
from switchhead_lab.tracking.record import RunRecord, read_run, warn_of_damage
from switchhead_lab.tracking.run_listing import RunSummary, list_summaries, select_runs
from switchhead_lab.tracking.run_summary import summarise_run

if TYPE_CHECKING:
    import pandas as pd

CONVENTION: Convention = "published"
"""Convention of the columns of MACs and memory."""

_BEFORE_METRICS = (
    *("run", "sweep", "size", "model", "seed", "corpus", "objective", "state", "reason"),
    *(
        "step",
        "n_steps",
        "n_parameters",
        "n_active_parameters",
        "attention",
        "n_heads",
        "d_head",
        "n_experts",
        "top_k",
    ),
    *("feedforward", "d_ff", "d_model", "n_layers", "seq_len"),
    *("attention_macs", "attention_memory_floats", "model_macs_per_token"),
)
_AFTER_METRICS = ("ms_per_step", "started_at", "run_hash", "code")
_OF_SUMMARY = ("state", "step", "n_steps", "ms_per_step", "started_at", "run_hash")
# Integer columns with missing values.
_INTEGERS = (
    *("seed", "step", "n_steps", "n_parameters", "n_active_parameters", "n_heads", "d_head"),
    *(
        "n_experts",
        "top_k",
        "d_ff",
        "d_model",
        "n_layers",
        "seq_len",
        "attention_macs",
        "attention_memory_floats",
    ),
)
_METRIC_PREFIXES = ("best_validation", "validation", "test")


def metric_columns() -> tuple[str, ...]:
    """Return the metric columns of all registered objectives."""
    metrics = dict.fromkeys(
        metric.name for objective in objectives().values() for metric in objective.all_metrics()
    )
    return tuple(f"{prefix}_{name}" for prefix in _METRIC_PREFIXES for name in metrics)


def columns() -> tuple[str, ...]:
    """Return the columns of `runs`."""
    return (*_BEFORE_METRICS, *metric_columns(), *_AFTER_METRICS)


def runs(**filters: Any) -> "pd.DataFrame":
    """Return the runs of the workspace as a table, one row per run, by start time.

    Sizes are those of the configuration, `attention_macs` and `attention_memory_floats` those of
    one attention layer and sequence, `model_macs_per_token` those of the whole model, all by the
    `published` convention; best values are over all recorded validations, `started_at` is in
    seconds since 1970, and `code` identifies the code that computed the run.

    Args:
        filters: Values that columns must equal, e.g. `state="finished", n_heads=2`; None keeps
            rows without a value. `sweep` takes the name or id of a sweep and keeps all its runs,
            including those first requested by another sweep.

    Raises:
        ConfigError: If there is no such column, or a value is a collection.
        RecordError: If there is no such sweep or state.
    """
    _require_columns(filters)
    workspace = find_workspace()
    chosen = select_runs(
        list_summaries(workspace),
        workspace,
        sweep=filters.pop("sweep", ""),
        state=filters.pop("state", ""),
    )
    frame = _as_frame(_readable_rows(workspace.runs_dir, chosen), columns())
    for column, value in filters.items():
        kept = frame[column].isna() if value is None else frame[column] == value
        frame = frame[kept.fillna(False)]
    return frame.reset_index(drop=True)


def sweep(name: str, size: str = "") -> "pd.DataFrame":
    """Return the runs of one sweep as a table, one row per run, by name.

    The columns are those of `runs` plus two: `role` ("baseline", "declared", "best" or
    "candidate") and `trial_number` of the search. `model` is the model's name in this sweep. The
    row of a missing or damaged run says so in `state` and `reason`.

    Args:
        name: Name of the sweep or of its file.
        size: Size that was run; by default the most recently changed one, as in `lab report`.

    Raises:
        RecordError: If the sweep was not run at that size; the message lists the sizes that were.
    """
    workspace = find_workspace()
    sweeps_dir = workspace.sweeps_dir
    recorded = recorded_name(sweeps_dir, name)
    selection = select_record(workspace.runs_dir, recorded, size, sweeps_dir)
    declared = selection.record.sweep
    shared = {"sweep": declared.name, "size": declared.size, "corpus": declared.data.corpus}
    members = read_report_data(selection.record, workspace.runs_dir).runs
    wanted = (*columns(), "role", "trial_number")
    return _as_frame(({**_member_row(member), **shared} for member in members), wanted)


def _require_columns(filters: Mapping[str, Any]) -> None:
    known = columns()
    for name, value in filters.items():
        if name not in known:
            raise ConfigError(
                f'no column "{name}"{near_miss(name, known)}; columns: {", ".join(known)}'
            )
        if not (value is None or isinstance(value, str | int | float)):
            raise ConfigError(
                f"{name} = {value!r}: give one value; for several, filter the table: "
                f'table[table["{name}"].isin([...])]'
            )


def _as_frame(rows: Iterable[Mapping[str, Any]], names: Iterable[str]) -> "pd.DataFrame":
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=list(names))
    integers = [name for name in (*_INTEGERS, "trial_number") if name in frame]
    floats = ("model_macs_per_token", *metric_columns(), "ms_per_step", "started_at")
    types = {**dict.fromkeys(integers, "Int64"), **dict.fromkeys(floats, "float64")}
    return frame.astype(types)


def _readable_rows(runs_dir: Path, runs: Iterable[RunSummary]) -> Iterable[dict[str, Any]]:
    for run in runs:
        try:
            yield _row(read_run(runs_dir / run.name))
        except LabError as error:
            warn_of_damage(error)


def _member_row(member: MemberRun) -> dict[str, Any]:
    known = member.member
    return {
        "run": known.run_name,
        "run_hash": known.run_hash,
        **(_row(member.run) if member.run is not None else {}),
        "model": known.model,
        "seed": known.seed,
        "state": member.state,
        "reason": member.reason,
        "role": known.role,
        "trial_number": known.trial_number,
    }


def _row(record: RunRecord) -> dict[str, Any]:
    config, labels, summary = record.config, record.labels, summarise_run(record)
    code = recorded_code(record.provenance)
    return {
        "run": record.name,
        "sweep": labels.sweep,
        "size": labels.size,
        "model": labels.variant,
        "seed": config.seed,
        "corpus": config.data.corpus,
        "objective": config.objective.kind,
        "reason": record.status.reason,
        **_sizes(config.model),
        **_costs(config),
        **_metrics(record),
        **{name: getattr(summary, name) for name in _OF_SUMMARY},
        "code": code.digest if code else None,
    }


def _sizes(model: ModelConfig) -> dict[str, Any]:
    attention, feedforward = model.attention, model.feedforward
    return {
        "attention": attention.kind,
        "n_heads": attention.n_heads,
        "d_head": attention.d_head,
        "n_experts": attention.experts.n_experts if attention.experts else None,
        "top_k": attention.experts.n_chosen if attention.experts else None,
        "feedforward": feedforward.kind,
        "d_ff": feedforward.width,
        "d_model": model.d_model,
        "n_layers": model.n_layers,
        "seq_len": model.seq_len,
    }


def _costs(config: RunConfig) -> dict[str, Any]:
    counters = [closed_form_counter(CONVENTION)]
    costs = count_costs(config.model, counters, config.vocab_size, config.n_outputs)
    return {
        "n_parameters": costs.n_parameters,
        "n_active_parameters": costs.n_active_parameters,
        "attention_macs": costs.attention_macs(CONVENTION),
        "attention_memory_floats": costs.attention_saved_floats(CONVENTION),
        "model_macs_per_token": costs.model_macs_per_token(CONVENTION),
    }


def _metrics(record: RunRecord) -> dict[str, float | None]:
    """Return the metrics of a run's objective: the best validation so far and the final ones."""
    points = [point.metrics for point in record.metrics()]
    found: dict[str, float | None] = {}
    for metric in record.config.objective.all_metrics():
        key = f"validation/{metric.name}"
        values = [metrics[key] for metrics in points if key in metrics]
        choose = min if metric.lower_is_better else max
        found[f"best_validation_{metric.name}"] = choose(values, default=metric.null)
        if record.result is not None:
            found[f"validation_{metric.name}"] = record.result.value("validation", metric)
            found[f"test_{metric.name}"] = record.result.value("test", metric)
    if not points:
        found = dict.fromkeys(found)
    return found
