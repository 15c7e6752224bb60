"""Pocket tasks beside the paper's zero-shot tasks, in columns of their own and never in its own."""

from collections.abc import Iterator, Sequence

from switchhead_lab.config.zero_shot import TASK_NAMES, tasks_named
from switchhead_lab.reporting.grids import Cell, Column
from switchhead_lab.reporting.paper_tables.assembly import Assembly, FilledRow
from switchhead_lab.reporting.paper_tables.view import NOT_RUN_CELL, View
from switchhead_lab.reporting.zero_shot import read_scores, score_cell

_VIEW = "pocket-tasks"
_NOT_MEASURED = Cell("not measured")


def pocket_groups(assembly: Assembly) -> list[str]:
    """Return the pocket tasks, or groups of them, that the sweeps of a table ask for or have.

    Empty for a table without zero-shot tasks.
    """
    if not assembly.table.tasks():
        return []
    asked = [one.sweep.evaluation for one in assembly.sources if one.sweep.evaluation is not None]
    found = {task.group for wanted in asked for task in tasks_named(wanted.tasks)}
    for row in assembly.rows:
        for run in row.ours.row.finished if row.ours is not None else ():
            found |= read_scores(run).accuracy.keys()
    groups = [task.group for task in TASK_NAMES if task.suite == "pocket" and task.group in found]
    return list(dict.fromkeys(groups))


def pocket_columns(groups: Sequence[str]) -> Iterator[Column]:
    """Yield the column of each pocket task or group."""
    for group in groups:
        yield Column(group, f"{group.replace('_', ' ')} %: ours", is_mean=True)


def pocket_cells(row: FilledRow, groups: Sequence[str]) -> Iterator[Cell]:
    """Yield a row's accuracy in percent on each pocket task or group."""
    for group in groups:
        if row.ours is None:
            yield NOT_RUN_CELL
        else:
            yield score_cell(row.ours.row, [group]) or _NOT_MEASURED


def pocket_views(groups: Sequence[str]) -> tuple[View, ...]:
    """Return the table of pocket tasks; none without any."""
    if not groups:
        return ()
    keys = ("corpus", "n_seeds", *groups)
    return (View(_VIEW, "Pocket tasks, which the paper does not have", keys),)


def pocket_lines(groups: Sequence[str]) -> Iterator[str]:
    """Yield how to read the columns of pocket tasks."""
    if not groups:
        return
    chances = {task.group: task.chance for task in TASK_NAMES if task.group in groups}
    guessing = [f"{100 * chance:g} % on {name}" for name, chance in chances.items() if chance]
    yield (
        "Tasks named pocket are made from the embedded corpus, in the forms of the paper's tasks. "
        "The paper has no value for them, and no column of the paper shows them."
        + (f" Guessing gives {', '.join(guessing)}." if guessing else "")
    )
