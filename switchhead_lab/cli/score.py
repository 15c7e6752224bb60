"""`lab score`: likelihood of a text under a trained language model."""

from typing import Annotated

import typer

from switchhead_lab.cli.options import (
    CheckpointOption,
    DeviceOption,
    JsonOption,
    RunArgument,
    read_checkpoint,
)
from switchhead_lab.cli.other_hosts import bring_model
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal_table import print_table


def score(
    run: RunArgument,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Text files, one document each, or JSONL files, one document per line; - reads "
            "text from stdin.",
        ),
    ],
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            help="Streams that the text is split into; by default the run's, as in validation. "
            "1 reads the text in one piece.",
        ),
    ] = None,
    device: DeviceOption = "",
    checkpoint: CheckpointOption = "last",
    as_json: JsonOption = False,
) -> None:
    """Score a text with a trained language model, as in its validation.

    For the text of the validation split, nats per token equal the recorded validation loss. Words
    are separated by white space.

    Example: lab score 3fb2c1 notes/validation.txt
    """
    step = read_checkpoint(checkpoint)
    from dataclasses import asdict

    from switchhead_lab.config.data import TextData
    from switchhead_lab.data.files_as_documents import read_documents
    from switchhead_lab.trained.run import open_run
    from switchhead_lab.trained.scoring import score_documents
    from switchhead_lab.views.score import score_table

    bring_model(run)
    trained = open_run(run)
    trained.require_language_model()
    data = trained.config.data
    assert isinstance(data, TextData), "language models are trained on text"
    found = score_documents(
        trained, read_documents(files, data), batch_size=batch_size, device=device, checkpoint=step
    )
    if as_json:
        typer.echo(to_json({"run": trained.name, **asdict(found)}))
    else:
        print_table(score_table(trained.name, found))
