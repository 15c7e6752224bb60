"""`lab generate`: text from a trained language model."""

from typing import Annotated

import typer

from switchhead_lab.cli.options import CheckpointOption, DeviceOption, RunArgument, read_checkpoint
from switchhead_lab.cli.other_hosts import bring_model


def generate(
    run: RunArgument,
    prompt: Annotated[
        str, typer.Option("--prompt", help="Beginning of a document; may be empty.")
    ] = "",
    n_tokens: Annotated[
        int, typer.Option("--tokens", "--n-tokens", help="Maximum number of new tokens.")
    ] = 100,
    temperature: Annotated[
        float, typer.Option("--temperature", help="Sampling temperature; 0 is greedy.")
    ] = 1.0,
    top_p: Annotated[
        float,
        typer.Option(
            "--top-p", help="Sample from the likeliest tokens with this total probability."
        ),
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same text.")] = 0,
    device: DeviceOption = "",
    checkpoint: CheckpointOption = "last",
) -> None:
    """Continue a prompt with a trained language model and print the whole text.

    The text ends early if the model ends the document.

    Example: lab generate 3fb2c1 --prompt "My fellow citizens" --tokens 50 --top-p 0.9
    """
    step = read_checkpoint(checkpoint)
    from switchhead_lab.trained.generation import Sampling
    from switchhead_lab.trained.generation import generate as continue_prompt
    from switchhead_lab.trained.run import open_run

    sampling = Sampling(n_tokens=n_tokens, temperature=temperature, top_p=top_p, seed=seed)
    bring_model(run)
    text = continue_prompt(open_run(run), prompt, sampling, device=device, checkpoint=step)
    typer.echo(text)
