"""`lab eval`: zero-shot tasks on trained runs and Hugging Face checkpoints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.cli.options import (
    CheckpointOption,
    DeviceOption,
    JsonOption,
    read_checkpoint,
)
from switchhead_lab.cli.other_hosts import bring_model
from switchhead_lab.cli.short_groups import RunByDefault
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal import tell
from switchhead_lab.terminal_table import print_table

if TYPE_CHECKING:
    from switchhead_lab.evaluation.evaluated import Evaluated
    from switchhead_lab.tracking.evaluations import TaskResult

app = typer.Typer(
    cls=RunByDefault,
    no_args_is_help=True,
    help=(
        "Evaluate language models on zero-shot tasks, through lm-evaluation-harness.\n\n"
        "`lab eval RUN` is short for `lab eval run RUN`.\n\n"
        "Example: lab eval 3fb2c1 --tasks pocket"
    ),
)

ModelsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...",
        help="Runs (names, starts of hashes, directories), or hf:FOLDER for a local Hugging Face "
        "checkpoint.",
    ),
]

TasksOption = Annotated[
    str,
    typer.Option(
        "--tasks",
        metavar="NAME,...",
        help="Tasks, groups (blimp, pocket_minimal_pairs) or suites: paper is LAMBADA, BLiMP and "
        "CBT, as in Tables 4 and 8; pocket is made from the embedded corpus.",
    ),
]
DataRootOption = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        help="Folder of the published files of LAMBADA, BLiMP and CBT; without it they are fetched "
        "from the Hugging Face hub.",
    ),
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Sequences read together; some 4,096 tokens by default. Results do not depend on it.",
    ),
]
PrecisionOption = Annotated[
    str,
    typer.Option("--precision", help="fp32, or bf16, which is faster and depends on the batch."),
]


@app.command()
def run(
    models: ModelsArgument,
    tasks: TasksOption = "pocket",
    data_root: DataRootOption = None,
    batch_size: BatchSizeOption = None,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "",
    checkpoint: CheckpointOption = "last",
    as_json: JsonOption = False,
) -> None:
    """Evaluate models on zero-shot tasks; finished tasks are not repeated.

    Results and a log of every sample go to the folder evaluation/ of a run, or, for a Hugging Face
    checkpoint, to runs/evaluations/ of the workspace.

    Example: lab eval run 3fb2c1 --tasks blimp,lambada_openai --data-root ~/zero-shot
    """
    step = read_checkpoint(checkpoint)
    from switchhead_lab.evaluation.evaluated import (
        evaluate_model,
        find_evaluated,
        require_precision,
    )
    from switchhead_lab.evaluation.tasks import find_tasks

    chosen = find_tasks([name.strip() for name in tasks.split(",")])
    wanted = require_precision(precision)
    for name in models:
        bring_model(name)
    found = [find_evaluated(name) for name in models]
    results = [
        evaluate_model(
            one,
            chosen,
            data_root=data_root,
            batch_size=batch_size,
            device=device,
            precision=wanted,
            checkpoint=step,
            report=tell,
        )
        for one in found
    ]
    _print(found, results, as_json=as_json)
    for one in found:
        one.sync()
        one.upload(tell)


def _print(found: "list[Evaluated]", results: "list[list[TaskResult]]", *, as_json: bool) -> None:
    from switchhead_lab.views.evaluation import result_table, results_as_data

    if as_json:
        data = {one.name: results_as_data(each) for one, each in zip(found, results, strict=True)}
        typer.echo(to_json(data))
        return
    for one, each in zip(found, results, strict=True):
        print_table(result_table(one.name, each))
        typer.echo(f"every task and sample: {one.directory}\n")


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A run, or hf:FOLDER.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    as_json: JsonOption = False,
) -> None:
    """Compare two evaluated models on the same documents, with bootstrap intervals.

    The intervals cover which documents were asked, not how training varies with the seed.

    Example: lab eval compare 3fb2c1 a9d04e
    """
    from dataclasses import asdict

    from switchhead_lab.evaluation.evaluated import find_evaluated
    from switchhead_lab.reporting.zero_shot_compare import compare_results
    from switchhead_lab.views.evaluation import comparison_table

    for name in (first, second):
        bring_model(name, weights=False)
    models = find_evaluated(first), find_evaluated(second)
    differences = compare_results(*(one.directory for one in models))
    if as_json:
        typer.echo(to_json([{**asdict(one), "difference": one.difference} for one in differences]))
        return
    print_table(comparison_table(models[0].name, models[1].name, differences))
