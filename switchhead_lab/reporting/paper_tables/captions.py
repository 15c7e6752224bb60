"""What a reader of an assembled table must know, one sentence each."""

from collections.abc import Iterator

from switchhead_lab.reporting.caption import labelled
from switchhead_lab.reporting.checks import warning_lines
from switchhead_lab.reporting.paired import unpaired_lines
from switchhead_lab.reporting.paper_setup import describe_differences
from switchhead_lab.reporting.paper_tables.assembly import Assembly, FilledBlock, FilledRow
from switchhead_lab.reporting.paper_tables.pocket_tasks import pocket_groups, pocket_lines
from switchhead_lab.reporting.paper_tables.sources import Source
from switchhead_lab.reporting.zero_shot import PAPER_SCORES, score_cell
from switchhead_lab.reporting.zero_shot_values import unevaluated_lines

# Changed fields that a warning names.
_MOST_CHANGES = 5


def missing_lines(assembly: Assembly) -> list[str]:
    """Return the rows and columns without a result, with the commands that fill them."""
    lines = [line for block in assembly.blocks for line in _missing_of(block)]
    for source in assembly.sources:
        lines += labelled(source.id, unevaluated_lines(source.data))
    if unmeasured := unmeasured_tasks(assembly):
        lines.append(
            f"INCOMPLETE: zero-shot accuracies ({', '.join(unmeasured)}) are not measured for "
            "every row: `lab eval RUN... --tasks paper` measures them."
        )
    return lines


def unmeasured_tasks(assembly: Assembly) -> list[str]:
    """Return the names of zero-shot tasks that rows with our model lack."""
    return [
        name
        for task, name in assembly.table.tasks().items()
        if any(
            task in row.printed.scores
            and (row.ours is None or score_cell(row.ours.row, PAPER_SCORES[task]) is None)
            for row in assembly.rows
        )
    ]


def latex_line(assembly: Assembly) -> str:
    """Return what a caption in print says about missing rows; empty if there are none."""
    n_missing = sum(row.is_missing for row in assembly.rows)
    n_partial = sum(not row.is_missing and bool(row.gaps) for row in assembly.rows)
    parts = [f"{n_missing} of {len(assembly.rows)} rows have no result"] * bool(n_missing)
    parts += [f"{n_partial} lack seeds"] * bool(n_partial)
    parts += ["some zero-shot accuracies are not measured"] * bool(unmeasured_tasks(assembly))
    return f"INCOMPLETE: {', '.join(parts)}; see the notes." if parts else ""


def caption_lines(assembly: Assembly) -> list[str]:
    """Return the sentences of the caption; gaps and warnings come first."""
    return [
        *missing_lines(assembly),
        *(f"WARNING: a sweep file is unusable: {error}" for error in assembly.unusable),
        *(line for block in assembly.blocks for line in _changed(block)),
        *(line for source in assembly.sources for line in labelled(source.id, _warnings(source))),
        *_comparability(assembly),
        *(line for block in assembly.blocks for line in _setups(block)),
        *(line for block in assembly.blocks for line in _unused(block)),
        f"Paper: arXiv:2312.07987, Table {assembly.table.number}, as printed: "
        f"{assembly.table.caption}.",
        "Ratios are to the dense baseline of the same data set and size: the paper's to the "
        "printed one, ours to the one of our sweep, over the seeds that both models have (n in the "
        "cell where it differs).",
        *_unpaired(assembly),
        *_costs(assembly),
        *pocket_lines(pocket_groups(assembly)),
        "Ours: mean ± sample standard deviation over n seeds; a single seed has no deviation.",
    ]


def _unpaired(assembly: Assembly) -> Iterator[str]:
    """Yield the models that share no seed with their baseline."""
    for row in assembly.rows:
        if row.ours is not None:
            label = row.printed.block.label
            yield from labelled(label, unpaired_lines([row.ours.row], row.ours.baseline))


def _missing_of(block: FilledBlock) -> Iterator[str]:
    label = block.block.label
    by_command: dict[str, list[FilledRow]] = {}
    for row in block.rows:
        if row.is_missing:
            by_command.setdefault(row.command, []).append(row)
    for command, rows in by_command.items():
        names = "; ".join(_with_gaps(row) for row in rows)
        todo = (
            f"run `{command}`"
            if command
            else "no sweep file gives its declaration now"
            if rows[0].declared
            else "no sweep file declares it"
        )
        yield f"INCOMPLETE: {label}: no result for {names}: {todo}."
    for row in block.rows:
        if row.ours is not None and not row.is_missing and not row.ours.row.is_complete:
            own = row.ours.row
            yield (
                f"INCOMPLETE: {label}: {row.printed.figures.label} has {len(own.finished)} of "
                f"{len(own.seeds)} seeds ({row.gaps})."
            )


def _with_gaps(row: FilledRow) -> str:
    label = row.printed.figures.label
    return f"{label} ({row.gaps})" if row.gaps else label


def _warnings(source: Source) -> list[str]:
    return warning_lines(source.data)


def _changed(block: FilledBlock) -> Iterator[str]:
    """Yield the sweeps that were run with other settings than their files have."""
    for source in block.sources:
        if source.is_as_declared:
            continue
        if source.declared is None:
            yield (
                f"Note: {block.block.label}: no sweep file declares {source.sweep.name} at size "
                f"{source.sweep.size}; its record is used."
            )
            continue
        changes = source.changes()
        listed = ", ".join(changes[:_MOST_CHANGES]) + ", ..." * (len(changes) > _MOST_CHANGES)
        commands = dict.fromkeys(row.declared for row in block.rows if row.source is source)
        yield (
            f"WARNING: {block.block.label}: {source.id} is not what its file declares ({listed}); "
            f"`{next(iter(commands))}` runs that."
        )


def _costs(assembly: Assembly) -> Iterator[str]:
    if any(row.figures.macs for row in assembly.table.rows):
        yield (
            "MACs and memory are those of one attention layer and sequence by the published "
            "convention, ours as well. Differences of their ratios are percentage points."
        )


def _comparability(assembly: Assembly) -> Iterator[str]:
    if any(source.differences for source in assembly.sources):
        yield (
            "Absolute values of rows with another corpus, tokenizer, size or training budget than "
            "the paper's are not comparable with the paper's: compare the ratios to dense."
        )


def _setups(block: FilledBlock) -> Iterator[str]:
    """Yield what was run for the block."""
    for source in block.sources:
        sweep, differences = source.sweep, source.differences
        if differences:
            setup = f"our {describe_differences(differences)} from the paper's"
        else:
            setup = "corpus, tokenizer, size and training budget are the paper's"
        yield (
            f"{block.block.label}: {source.id}, corpus {sweep.data.corpus}, "
            f"{sweep.training.n_steps:,} steps; {setup}."
        )


def _unused(block: FilledBlock) -> Iterator[str]:
    """Yield the recorded sweeps that are not shown."""
    others = [source.id for source in block.unused]
    others += [other for source in (*block.sources, *block.unused) for other in source.others]
    if others:
        listed = ", ".join(sorted(others))
        yield (
            f"Note: {block.block.label}: also recorded, and not shown: {listed}; `lab report ID` "
            "shows each."
        )
