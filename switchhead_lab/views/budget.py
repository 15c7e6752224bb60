"""The tables of `lab budget`: parameters and costs of models side by side."""

from collections.abc import Collection, Mapping

from switchhead_lab.budget.summary import BudgetSummary
from switchhead_lab.number_text import short_count
from switchhead_lab.terminal import Table

Summaries = Mapping[str, BudgetSummary]
"""Budgets by name of the model."""


def parameter_table(summaries: Summaries) -> Table:
    """Return the parameters of each model."""
    rows = [
        [
            name,
            f"{summary.parameters.total:,}",
            f"{summary.parameters.embedding:,}",
            f"{summary.active_parameters:,}",
        ]
        for name, summary in summaries.items()
    ]
    return Table("parameters", ("model", "total", "embedding", "active per token"), rows)


def part_table(summaries: Summaries) -> Table:
    """Return the parameters of each part, a column for each model."""
    counts = [summary.parameters.parts for summary in summaries.values()]
    parts = dict.fromkeys(part for count in counts for part in count)
    rows = [[part, *(f"{count.get(part, 0):,}" for count in counts)] for part in parts]
    return Table("parameters by part, all layers together", ("part", *summaries), rows)


def cost_table(summaries: Summaries, conventions: Collection[str]) -> Table:
    """Return the costs of each model in each of some conventions."""
    rows = [
        [
            name,
            cost.convention,
            short_count(cost.macs_per_layer),
            short_count(cost.macs_per_model),
            short_count(cost.macs_per_token),
            short_count(cost.memory_floats_per_layer),
            short_count(cost.feedforward_macs_per_token),
            short_count(summary.output_macs_per_token),
        ]
        for name, summary in summaries.items()
        for cost in summary.costs
        if cost.convention in conventions
    ]
    columns = (
        *("model", "convention", "attention MACs/layer", "MACs/model", "MACs/token"),
        *("memory/layer", "feed-forward MACs/token", "output MACs/token"),
    )
    return Table("costs, one sequence, forward", columns, rows, n_text_columns=2)
