"""lm-evaluation-harness's own command line, with the lab's models registered.

The harness finds models only in its own package, so it has to be started from here.
"""

import sys
from collections.abc import Sequence

from lm_eval.__main__ import cli_evaluate

import switchhead_lab.evaluation.harness  # noqa: F401  (registers the model)


def run_harness(arguments: Sequence[str]) -> None:
    """Run `lm-eval` with arguments, such as `run --model switchhead_lab --model_args run=NAME`."""
    sys.argv = ["lm-eval", *arguments]
    cli_evaluate()
