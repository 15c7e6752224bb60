"""Time training steps alone and beside another process that uses all cores.

Models are trained in child processes, one per setting of how OpenMP's threads wait, since the
runtime reads it only once. All combinations take turns, round by round.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

from switchhead_kernels.bench import Effort, interleave
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import ConfigError, TrainingError
from switchhead_lab.openmp import VARIABLES, without_wait_settings

LAB, DEFAULT = "lab", "default"
"""Names of the lab's own setting and of that of the OpenMP runtime."""
Settings = Mapping[str, Mapping[str, str]]
"""Environment variables by the name of the setting."""
# PyTorch imported first keeps the lab from choosing the setting.
_UNTOUCHED = "import torch; "
_PROCESS = "from switchhead_lab.benchmark.neighbour_process import {0}; {0}()"


@dataclass(frozen=True)
class NeighbourTime:
    """A model's training step under one setting.

    Attributes:
        model: Name in the sweep.
        setting: How threads wait: "lab", "default", or an environment variable with its value.
        alone_ms: Median over the rounds, in milliseconds, without the neighbour.
        beside_ms: Median beside the neighbour.
        beside_over_alone: Median over the rounds of the ratio.
        alone_over_default: Median of the ratio to the default of the same round, alone.
        beside_over_default: The same beside the neighbour.
        alone_rounds_ms: Time of a step in each round.
        beside_rounds_ms: The same beside the neighbour.
    """

    model: str
    setting: str
    alone_ms: float
    beside_ms: float
    beside_over_alone: float
    alone_over_default: float
    beside_over_default: float
    alone_rounds_ms: tuple[float, ...]
    beside_rounds_ms: tuple[float, ...]


@dataclass(frozen=True)
class NeighbourBench:
    """Training steps alone and beside a neighbour.

    Attributes:
        n_threads: Threads of each process.
        precision: Precision of the training steps.
        n_rounds: Turns of each model, setting and condition.
        seconds_per_turn: Duration of a turn; a longer step is one turn.
        settings: Environment variables that held, by the name of the setting.
        times: One entry per model and setting.
    """

    n_threads: int
    precision: str
    n_rounds: int
    seconds_per_turn: float
    settings: dict[str, dict[str, str]]
    times: tuple[NeighbourTime, ...]


@dataclass(frozen=True)
class _Turn:
    model: str
    setting: str
    has_neighbour: bool


def parse_settings(texts: Sequence[str]) -> Settings:
    """Return settings from texts of the form NAME=VALUE, each named by its text.

    Raises:
        ConfigError: If one does not set how threads wait.
    """
    for text in texts:
        name, _, value = text.partition("=")
        if name not in VARIABLES or not value:
            raise ConfigError(
                f"--setting {text}: write NAME=VALUE, such as GOMP_SPINCOUNT=10000; names: "
                f"{', '.join(VARIABLES)}"
            )
    return {text: dict([text.split("=", 1)]) for text in texts}


def bench_neighbour(
    configs: Mapping[str, RunConfig],
    settings: Settings,
    n_rounds: int,
    seconds_per_turn: float,
    progress: Callable[[str], None] = lambda _: None,
) -> NeighbourBench:
    """Time the training steps of models alone and beside a neighbour, interleaved in rounds.

    Args:
        configs: Configurations by name, of equal precision.
        settings: Further settings to time besides the lab's and the default.
        n_rounds: Turns of each model, setting and condition.
        seconds_per_turn: Steps are taken until this time has passed, at least one.
        progress: Called with a line at each stage.

    Raises:
        TrainingError: If a child process ends.
    """
    variables: Settings = {LAB: {}, DEFAULT: {}, **settings}
    with contextlib.ExitStack() as stack:
        progress(f"starting a neighbour and {len(variables)} processes that train")
        neighbour = _Neighbour(stack.enter_context(_Child("occupy_cores", {}, is_untouched=True)))
        trainers = {
            name: stack.enter_context(_Child("serve_steps", setting, is_untouched=name == DEFAULT))
            for name, setting in variables.items()
        }
        facts = {name: _prepare(trainer, configs) for name, trainer in trainers.items()}

        def take(turn: _Turn) -> float:
            neighbour.switch(turn.has_neighbour)
            request = {"model": turn.model, "seconds": seconds_per_turn}
            return float(trainers[turn.setting].ask(request))

        turns = [
            _Turn(model, setting, has_neighbour)
            for has_neighbour in (False, True)
            for model in configs
            for setting in variables
        ]
        progress(f"timing {n_rounds} rounds of {len(turns)} turns; a turn is at least one step")
        calls = {str(turn): partial(take, turn) for turn in turns}
        seconds = interleave(calls, Effort.exactly(n_rounds))
    by_turn = {turn: [1e3 * one for one in seconds[str(turn)]] for turn in turns}
    return NeighbourBench(
        n_threads=facts[DEFAULT]["n_threads"],
        precision=facts[DEFAULT]["precision"],
        n_rounds=n_rounds,
        seconds_per_turn=seconds_per_turn,
        settings={name: fact["wait_settings"] for name, fact in facts.items()},
        times=tuple(_time(by_turn, model, name) for model in configs for name in variables),
    )


def _prepare(trainer: "_Child", configs: Mapping[str, RunConfig]) -> dict[str, Any]:
    precision = next(iter(configs.values())).training.precision
    trees = {name: config.model_dump(mode="json") for name, config in configs.items()}
    facts: dict[str, Any] = trainer.ask({"configs": trees, "precision": precision})
    return facts


def _time(times: Mapping[_Turn, Sequence[float]], model: str, setting: str) -> NeighbourTime:
    alone, beside = (times[_Turn(model, setting, has)] for has in (False, True))
    default_alone, default_beside = (times[_Turn(model, DEFAULT, has)] for has in (False, True))
    return NeighbourTime(
        model=model,
        setting=setting,
        alone_ms=statistics.median(alone),
        beside_ms=statistics.median(beside),
        beside_over_alone=_median_ratio(beside, alone),
        alone_over_default=_median_ratio(alone, default_alone),
        beside_over_default=_median_ratio(beside, default_beside),
        alone_rounds_ms=tuple(alone),
        beside_rounds_ms=tuple(beside),
    )


def _median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


class _Child:
    """A child process that answers requests; it is killed at the end of the block.

    Args:
        role: Function of `neighbour_process` to run.
        variables: Environment variables that set how its threads wait.
        is_untouched: Whether to keep the lab from setting it.
    """

    def __init__(self, role: str, variables: Mapping[str, str], *, is_untouched: bool) -> None:
        program = (_UNTOUCHED if is_untouched else "") + _PROCESS.format(role)
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**without_wait_settings(os.environ), **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C ends this process, which then ends its children
        )

    def ask(self, request: object) -> Any:
        """Send a request and return the answer.

        Raises:
            TrainingError: If the process has ended.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None, "a pipe"
        assert stdout is not None, "a pipe"
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        line = stdout.readline()
        if not line:
            code = self._process.wait()
            raise TrainingError(f"a process of the benchmark ended with exit code {code}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


class _Neighbour:
    """The busy process: switched on and off, it keeps all cores occupied while on."""

    def __init__(self, child: _Child) -> None:
        self._child = child
        self._is_on = False

    def switch(self, is_on: bool) -> None:
        """Switch it on or off; no effect if it is already."""
        if is_on != self._is_on:
            self._child.ask("on" if is_on else "off")
            self._is_on = is_on
