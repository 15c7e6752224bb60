"""Time that the zero-shot evaluation of a model takes beside its forward passes."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from torch import Tensor

from switchhead_lab.evaluation.evaluate import evaluate_tasks
from switchhead_lab.evaluation.language_models import LanguageModel
from switchhead_lab.evaluation.tasks import find_tasks
from switchhead_lab.trained.next_token_model import NextTokenModel

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class EvaluationCost:
    """Cost of evaluating a model on some tasks.

    Attributes:
        model: Its name.
        precision: Precision of its matmuls.
        n_documents: Documents of all tasks.
        n_positions: Positions that the model read, padding included.
        evaluation_s: Median time of the whole evaluation, from documents to written results.
        forward_s: Median time in the model's forward passes during the evaluation.
        ratio: Median over rounds of the former by the latter.
    """

    model: str
    precision: str
    n_documents: int
    n_positions: int
    evaluation_s: float
    forward_s: float
    ratio: float


@dataclass(frozen=True)
class EvaluationBench:
    """Costs of evaluating several models.

    Attributes:
        tasks: Names of tasks, groups or suites, as they were asked for.
        n_rounds: Evaluations timed per model.
        times: One entry per model.
    """

    tasks: tuple[str, ...]
    n_rounds: int
    times: tuple[EvaluationCost, ...]


def bench_evaluation(
    models: Sequence[LanguageModel],
    tasks: Sequence[str],
    n_rounds: int,
    *,
    data_root: Path | None = None,
    batch_size: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> EvaluationBench:
    """Time evaluations as `lab eval` does them, in turn; nothing is kept of their results.

    Args:
        models: Models.
        tasks: Names of tasks, groups or suites.
        n_rounds: Evaluations timed per model, after one that is not timed.
        data_root: Folder of the published files; None for the hub.
        batch_size: Sequences that are read together.
        progress: Called with a line at each stage.

    Raises:
        ConfigError: If a task is unknown, or the hub has to be used and cannot be reached.
        DataError: If a file is missing or not as published.
    """
    chosen = find_tasks(tasks)
    timed = [_TimedModel(model.next_token) for model in models]
    rounds: list[list[tuple[float, float]]] = [[] for _ in models]
    n_documents = 0
    for number in range(n_rounds + 1):
        progress(f"round {number} of {n_rounds}" if number else "warming up")
        for model, reader, costs in zip(models, timed, rounds, strict=True):
            reader.reset()
            started = time.perf_counter()
            with TemporaryDirectory() as scratch:
                shown = replace(model, next_token=reader)
                results = evaluate_tasks(
                    shown, chosen, Path(scratch), data_root=data_root, batch_size=batch_size
                )
                n_documents = sum(result.n_documents for result in results)
            if number:
                costs.append((time.perf_counter() - started, reader.seconds))
    return EvaluationBench(
        tuple(tasks),
        n_rounds,
        tuple(
            EvaluationCost(
                model=model.name,
                precision=model.precision,
                n_documents=n_documents,
                n_positions=reader.n_positions,
                evaluation_s=statistics.median(whole for whole, _ in costs),
                forward_s=statistics.median(forward for _, forward in costs),
                ratio=statistics.median(whole / forward for whole, forward in costs),
            )
            for model, reader, costs in zip(models, timed, rounds, strict=True)
        ),
    )


class _TimedModel:
    """A model that times its forward passes.

    Attributes:
        seconds: Time in forward passes since the last reset.
        n_positions: Positions read since then.
    """

    def __init__(self, model: NextTokenModel) -> None:
        self._model = model
        self.seq_len, self.window, self.device = model.seq_len, model.window, model.device
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self.seconds, self.n_positions = 0.0, 0

    def read(self, tokens_BT: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """Return hidden states [B, T, D] and the memory for the next chunk."""
        self.n_positions += tokens_BT.numel()
        return self._timed(lambda: self._model.read(tokens_BT, memory))

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """Return predictions of the next token, shape [N, V]."""
        return self._timed(lambda: self._model.logits(hidden_ND))

    def take(self, memory: Any, rows: Sequence[int]) -> Any:
        """Return the memory of some sequences of a batch, which may repeat."""
        return self._model.take(memory, rows)

    def _timed(self, forward: Callable[[], ResultT]) -> ResultT:
        started = time.perf_counter()
        result = forward()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds += time.perf_counter() - started
        return result
