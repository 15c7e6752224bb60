"""Output of `lab match`: the models of a sweep with their budgets and costs."""

from collections.abc import Iterator, Sequence

from switchhead_lab.budget.residual import describe_matched, describe_rule
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.number_text import NOTHING, short_count
from switchhead_lab.sweeping.match_rows import Row
from switchhead_lab.terminal_table import Table
from switchhead_lab.views.shared_columns import share_columns

_MODEL_COLUMNS = (*("model", "role", "H", "E", "k", "d_head", "d_ff", "params", "difference"),)
# Costs in the table: heading, key, key of the ratio to the baseline.
_COSTS = (
    ("attention", "attention_macs", "attention_macs_ratio"),
    ("layer", "layer_macs", "layer_macs_ratio"),
    ("model", "model_macs_per_token", "model_macs_per_token_ratio"),
    ("memory", "attention_memory_floats", "attention_memory_ratio"),
    ("active", "active_parameters", "active_parameters_ratio"),
)


def match_tables(sweep: Sweep, convention: str, rows: Sequence[Row]) -> list[Table]:
    """Return the tables of `match_rows`: shapes with parameters, then costs.

    Args:
        sweep: The sweep.
        convention: Convention of MACs and memory.
        rows: Its models, from `match_rows`.
    """
    title = f"{sweep.name}, size {sweep.size}: {describe_rule(sweep.matching, convention)}"
    models = Table(title, _MODEL_COLUMNS, [_cells(row) for row in rows], n_text_columns=2)
    matched = [row for row in rows if row["infeasible"] is None]
    costs = Table(
        f"costs ({convention}): the baseline's, others relative to it",
        ("model", "H", "E", "k", *(heading for heading, _, _ in _COSTS)),
        [_cost_cells(row) for row in matched],
    )
    return [share_columns(models), *([share_columns(costs)] if matched else [])]


def match_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the legend of the tables, warnings, and reasons for infeasible combinations."""
    output = next((row["output_macs_per_token"] for row in rows if row["infeasible"] is None), None)
    if output is not None:
        yield (
            "attention, layer (with feed-forward), memory (of attention): one layer and sequence;"
        )
        yield (
            f"model: MACs per token, {short_count(output)} of them the output layer's; active: "
            "parameters used by one token"
        )
    yield from _own_rule_lines(rows)
    yield from _off_budget_lines(rows)
    for reason in dict.fromkeys(row["infeasible"] for row in rows if row["infeasible"]):
        yield f"infeasible: {reason}"


def _own_rule_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what each model is matched by, if not all are matched by the same."""
    rules: dict[str, list[str]] = {}
    for row in rows:
        if row["infeasible"] is None and row["matched"] is not None:
            rule = describe_matched(row["matched"], row["matched_convention"])
            names = rules.setdefault(rule, [])
            if row["model"] not in names:
                names.append(row["model"])
    if len(rules) > 1:
        for rule, names in rules.items():
            yield f"matched by {rule}: {', '.join(names)}"


def _off_budget_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield warnings about models more than 1 % off their budget, one per study."""
    off = [row for row in rows if row["infeasible"] is None and row["off_budget"]]
    for row in off:
        if row["role"] != "candidate":
            yield f"WARNING: {row['model']} has {row['off_budget']} than the baseline"
    for name in dict.fromkeys(row["model"] for row in off if row["role"] == "candidate"):
        mine = [row for row in off if row["model"] == name]
        n_all = sum(row["model"] == name and row["infeasible"] is None for row in rows)
        yield (
            f"WARNING: {len(mine)} of {n_all} candidates of {name} are more than 1 % off the "
            f"budget; the first has {mine[0]['off_budget']}"
        )


def _shape_cells(row: Row) -> list[str]:
    return [
        NOTHING if row[key] is None else str(row[key]) for key in ("n_heads", "n_experts", "top_k")
    ]


def _cells(row: Row) -> list[str]:
    if row["infeasible"] is not None:
        return [row["model"], "infeasible", *_shape_cells(row), *[NOTHING] * 4]
    d_expert, n_experts = row["d_expert"], row["feedforward_n_experts"]
    return [
        row["model"],
        row["role"],
        *_shape_cells(row),
        str(row["d_head"]),
        str(row["d_ff"]) if d_expert is None else f"{n_experts}x{d_expert}",
        short_count(row["parameters"]),
        f"{100 * row['parameters_difference_fraction']:+.3f} %",
    ]


def _cost_cells(row: Row) -> list[str]:
    is_baseline = row["role"] == "baseline"
    return [
        row["model"],
        *_shape_cells(row),
        *(
            short_count(row[key]) if is_baseline else f"{100 * row[ratio]:.1f} %"
            for _, key, ratio in _COSTS
        ),
    ]
