"""The child processes of the neighbour benchmark: training steps on request, and a busy neighbour.

They read one line of JSON per request, answer each with one, and end when stdin is closed. Anything
else that would go to stdout goes to stderr.
"""

import contextlib
import json
import os
import select
import sys
import time
from typing import Any

import torch

from switchhead_lab.benchmark.step import (
    build_training_model,
    n_warm_up_steps,
    numbered_steps,
    step_runner_of,
)
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.openmp import wait_settings
from switchhead_lab.training.compute_setup import prepare_setup

# Large enough for all threads, and done in milliseconds, so that requests are answered soon.
_MATMUL_SIZE = 1024


def serve_steps() -> None:
    """Time training steps of several models on request.

    The first request has their configurations by name and the precision; each following one has a
    model's name and the seconds to spend, of which at least one step is taken; the answer is the
    time of a step in seconds.
    """
    with contextlib.redirect_stdout(sys.stderr):
        _serve_steps()


def _serve_steps() -> None:
    find_workspace()  # registers the variants of plugins
    request = _read()
    setup = prepare_setup("cpu", request["precision"])
    steps = {}
    for name, tree in request["configs"].items():
        config = RunConfig.model_validate(tree)
        runner = step_runner_of(build_training_model(config), config, setup)
        steps[name] = numbered_steps(runner.step)
        for _ in range(n_warm_up_steps(config)):
            steps[name]()
    _answer({**setup.facts, "wait_settings": wait_settings(dict(os.environ))})
    while request := _read():
        started, n_steps = time.perf_counter(), 0
        while n_steps == 0 or time.perf_counter() - started < request["seconds"]:
            steps[request["model"]]()
            n_steps += 1
        _answer((time.perf_counter() - started) / n_steps)


def occupy_cores() -> None:
    """Use all cores from each request to the next, then pause until the one after it."""
    matrix = torch.randn(_MATMUL_SIZE, _MATMUL_SIZE)
    out = torch.mm(matrix, matrix)
    while _read():
        _answer("busy")
        while not select.select([sys.stdin], [], [], 0.0)[0]:
            torch.mm(matrix, matrix, out=out)
        if _read():
            _answer("idle")


def _read() -> Any:
    """Return the next request; None when stdin is closed."""
    line = sys.stdin.readline()
    return json.loads(line) if line else None


def _answer(value: object) -> None:
    assert sys.__stdout__ is not None, "the parent reads it"
    sys.__stdout__.write(json.dumps(value) + "\n")
    sys.__stdout__.flush()
