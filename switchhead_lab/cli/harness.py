"""`lab lm-eval`: lm-evaluation-harness's own command line."""

import typer


def lm_eval(context: typer.Context) -> None:
    """Run lm-evaluation-harness's own command line, where --model switchhead_lab is a trained run.

    All arguments are the harness's; see `lab lm-eval run --help`. With `lab eval`, results are
    recorded beside the run; here they go where --output_path says.

    Example: lab lm-eval run --model switchhead_lab --model_args run=3fb2c1 --tasks blimp
    """
    from switchhead_lab.evaluation.harness_command import run_harness

    run_harness(context.args)
