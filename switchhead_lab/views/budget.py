"""Output of `lab budget`: parameters and costs of models side by side."""

from collections.abc import Collection, Mapping

from switchhead_lab.budget.summary import BudgetSummary
from switchhead_lab.number_text import short_count
from switchhead_lab.terminal_table import Table
from switchhead_lab.views.shared_columns import share_columns

Summaries = Mapping[str, BudgetSummary]
"""Budgets by model name."""


def parameter_table(summaries: Summaries) -> Table:
    """Return the parameters of each model."""
    rows = [
        [
            name,
            f"{summary.parameters.total:,}",
            f"{summary.parameters.embedding:,}",
            f"{summary.costs.n_active_parameters:,}",
        ]
        for name, summary in summaries.items()
    ]
    return Table("parameters", ("model", "total", "embedding", "active per token"), rows)


def part_table(summaries: Summaries) -> Table:
    """Return the parameters of each part, one column per model."""
    counts = [summary.parameters.parts for summary in summaries.values()]
    parts = dict.fromkeys(part for count in counts for part in count)
    rows = [[part, *(f"{count.get(part, 0):,}" for count in counts)] for part in parts]
    headings = ("part", *(name.replace(" ", "\n") for name in summaries))
    return Table("parameters by part, all layers together", headings, rows)


def cost_table(summaries: Summaries, conventions: Collection[str]) -> Table:
    """Return the costs of models by convention; columns equal in all rows go to the title."""
    rows = [
        [
            name,
            convention,
            *(
                "not defined" if cost is None else short_count(cost)
                for cost in (
                    costs.attention_macs(convention),
                    costs.layer_macs(convention),
                    costs.model_macs_per_token(convention),
                    costs.attention_saved_floats(convention),
                    costs.layer_saved_floats(convention),
                )
            ),
            short_count(costs.output_macs_per_token),
        ]
        for name, costs in ((name, summary.costs) for name, summary in summaries.items())
        for convention in conventions
    ]
    columns = (
        *("model", "convention", "attention", "layer", "model/\ntoken"),
        *("memory", "layer's", "output/token"),
    )
    title = "MACs and memory (floats): one layer and sequence, whole model per token"
    return share_columns(Table(title, columns, rows, n_text_columns=2), n_kept=2)
