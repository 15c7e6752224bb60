"""The main table of a report: every model beside the dense baseline."""

from collections.abc import Mapping, Sequence

from switchhead_lab.budget.cost_axes import (
    ATTENTION_MACS,
    ATTENTION_MEMORY,
    MODEL_MACS,
    PARAMETERS,
    axis_of,
)
from switchhead_lab.config.files import near_miss
from switchhead_lab.errors import ConfigError
from switchhead_lab.reporting.grids import (
    SIZE_COLUMNS,
    Cell,
    Column,
    Grid,
    count_cell,
    counted_names,
    mean_cell,
    names_of,
    quality_cell,
    ratio_cell,
    selected_cell,
    size_cells,
)
from switchhead_lab.reporting.quality import MS_PER_STEP, TOKENS_PER_SECOND, Quality
from switchhead_lab.reporting.report_data import ModelRow, ReportData
from switchhead_lab.reporting.statistics import MISSING


def model_grid(
    data: ReportData,
    times: Mapping[str, float] | None = None,
    columns: Sequence[Column] | None = None,
) -> Grid:
    """Build the main table: every model beside the dense baseline.

    Args:
        data: The report's data.
        times: Milliseconds of a training step by model, all timed in turn in one process; models
            that were not timed are missing.
        columns: Columns with other headings; by default those with the sweep's own names.
    """
    sweep = data.record.sweep
    columns = columns or model_columns(data.baseline.name, data.quality, sweep.convention)
    rows = tuple(_model_cells(row, data, times or {}) for row in data.models)
    return Grid("table", tuple(columns), rows)


def model_columns(dense: str, quality: Quality, convention: str) -> tuple[Column, ...]:
    """Return the columns of the main table.

    Args:
        dense: Name of the dense baseline.
        quality: The quality metric to report.
        convention: Accounting convention of MACs and memory.
    """
    heading, narrow = quality.metric.heading, quality.short_heading
    against = "/ dense" if quality.metric.is_compared_by_ratio else "vs dense"
    of_validation = quality.relative_heading(dense, "validation")
    of_test = quality.relative_heading(dense, "test")
    measured = (quality.validation.key, quality.test.key)
    return (
        Column("model", "model", is_text=True),
        Column("role", "role", is_text=True),
        *SIZE_COLUMNS,
        Column("n_parameters", "parameters", short="params"),
        Column("relative_parameter_difference", f"parameters vs {dense}", short="params\nvs dense"),
        Column("n_seeds", "n"),
        Column("n_seeds_declared", "seeds declared"),
        Column("selection_seed", ""),
        Column(
            quality.validation.key, f"validation {heading}", is_mean=True, short=f"val.\n{narrow}"
        ),
        Column(quality.relative_key, of_validation, short=f"val. {narrow}\n{against}"),
        Column(quality.test.key, f"test {heading}", is_mean=True, short=f"test\n{narrow}"),
        Column(quality.relative_key_of("test"), of_test, short=f"test {narrow}\n{against}"),
        Column("convention", "", is_text=True),
        Column("macs", f"attention MACs ({convention})", short="attention\nMACs"),
        Column("relative_macs", f"attention MACs / {dense}", short="attention\nMACs\n/ dense"),
        Column("relative_model_macs", f"model MACs / {dense}", short="model\nMACs\n/ dense"),
        Column("memory_floats", f"attention memory (floats, {convention})", short="memory"),
        Column("relative_memory_floats", f"attention memory / {dense}", short="memory\n/ dense"),
        Column("interleaved_ms_per_step", "ms/step, interleaved", short="ms/step"),
        Column("relative_interleaved_ms_per_step", f"ms/step / {dense}", short="ms/step\n/ dense"),
        # Each run's own time, which is not comparable between runs.
        Column("ms_per_step", "ms/step of each run", is_mean=True),
        Column("tokens_per_second", "tokens/s of each run", is_mean=True),
        # With the seed that selected a searched model, which biases the mean.
        *(Column(f"{one}_of_all_seeds", "", is_mean=True) for one in measured),
    )


def compact_keys(quality: Quality) -> tuple[str, ...]:
    """Return the columns that tables print unless others are chosen; they fit on a page."""
    return (
        *("n_heads", "n_experts", "top_k", "d_head", "n_parameters", "n_seeds"),
        *(quality.validation.key, quality.relative_key),
        *(quality.test.key, quality.relative_key_of("test")),
        *("relative_macs", "relative_model_macs", "relative_memory_floats"),
        "relative_interleaved_ms_per_step",
    )


def print_keys(quality: Quality) -> tuple[str, ...]:
    """Return the columns of the table for a paper, the most important first; see `fit_page`."""
    return (
        *(quality.validation.key, quality.relative_key, "n_seeds"),
        *("relative_macs", "relative_model_macs", "n_parameters"),
        *("relative_interleaved_ms_per_step", "relative_memory_floats"),
    )


def chosen_keys(columns: Sequence[Column], wanted: str, quality: Quality) -> tuple[str, ...]:
    """Return the columns to print.

    Args:
        columns: All columns of the table.
        wanted: Names from the CSV file, separated by commas; "all"; or empty for the compact ones.
        quality: The quality metric to report.

    Raises:
        ConfigError: If there is no such column.
    """
    known = [column.key for column in columns]
    if not wanted:
        return compact_keys(quality)
    if wanted == "all":
        return tuple(known)
    keys = [key.strip() for key in wanted.split(",")]
    for key in keys:
        if key not in known:
            raise ConfigError(
                f'--columns: no column "{key}"{near_miss(key, known)}; use all, or any of '
                f"{', '.join(known)}"
            )
    return tuple(keys)


def _model_cells(row: ModelRow, data: ReportData, times: Mapping[str, float]) -> tuple[Cell, ...]:
    baseline, quality, convention = data.baseline, data.quality, data.record.sweep.convention
    macs, memory = (axis_of(kind, convention) for kind in (ATTENTION_MACS, ATTENTION_MEMORY))
    seeds = row.statistics(quality.validation)
    of = "" if row.is_complete else f" of {seeds.n_expected}"
    return (
        Cell(row.name, row.name),
        Cell(row.role, row.role),
        *size_cells(row),
        count_cell(row, axis_of(PARAMETERS, convention)),
        _difference_cell(row, baseline),
        Cell(f"{seeds.n}{of}", seeds.n, runs=counted_names(row)),
        Cell(str(len(row.seeds)), len(row.seeds)),
        Cell("", row.selection_seed),
        mean_cell(row, quality.validation),
        quality_cell(row, baseline, quality, "validation"),
        mean_cell(row, quality.test),
        quality_cell(row, baseline, quality, "test"),
        Cell(convention, convention),
        count_cell(row, macs),
        ratio_cell(row, baseline, macs),
        ratio_cell(row, baseline, axis_of(MODEL_MACS, convention)),
        count_cell(row, memory),
        ratio_cell(row, baseline, memory),
        *_time_cells(row, baseline, times),
        mean_cell(row, MS_PER_STEP),
        mean_cell(row, TOKENS_PER_SECOND),
        *(selected_cell(row, one) for one in (quality.validation, quality.test)),
    )


def _time_cells(row: ModelRow, baseline: ModelRow, times: Mapping[str, float]) -> list[Cell]:
    """Return the cells of a model's interleaved step time, and of its ratio to the baseline."""
    own, base = times.get(row.name), times.get(baseline.name)
    if own is None:
        return [Cell(MISSING), Cell(MISSING)]
    time = Cell(f"{own:,.1f}", own, runs=names_of(row))
    if base is None:
        return [time, Cell(MISSING)]
    return [time, Cell(f"{100 * own / base:.1f}%", own / base, runs=names_of(row, baseline))]


def _difference_cell(row: ModelRow, baseline: ModelRow) -> Cell:
    ratio = ratio_cell(row, baseline, axis_of(PARAMETERS, ""))
    if not isinstance(ratio.value, float):
        return ratio
    difference = ratio.value - 1
    return Cell(f"{100 * difference:+.2f}%", difference, runs=ratio.runs)
