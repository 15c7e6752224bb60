"""The only module that imports lm-evaluation-harness: our models and tasks as it sees them."""

import gc
import io
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any, TextIO

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate

from switchhead_lab.evaluation.language_models import LanguageModel, model_of_run
from switchhead_lab.evaluation.sequence_scoring import Likelihood, Scoring, score_sequences
from switchhead_lab.evaluation.tasks import Task
from switchhead_lab.evaluation.until import generate_until
from switchhead_lab.tracking.evaluations import Sample
from switchhead_lab.trained.run import open_run

MODEL_NAME = "switchhead_lab"
"""Name of our models on the harness's command line."""


@register_model(MODEL_NAME)
class HarnessModel(TemplateLM):
    """A language model as the harness sees it.

    From the harness's own command line: `--model switchhead_lab --model_args run=NAME`.

    Args:
        run: Name of a run, the start of its hash, or its directory; or a model.
        batch_size: Sequences that are read together; by default as many as have some 4,096 tokens.
        device: Device to compute on; by default that of lab.toml.
        precision: "fp32" or "bf16".
        max_batch_size: Ignored; the harness always passes it.
        report: Called with the number of requests scored so far and their total.
    """

    def __init__(
        self,
        run: "str | LanguageModel",
        batch_size: int | str | None = None,
        device: str | None = None,
        precision: Any = "fp32",
        max_batch_size: int | None = None,  # noqa: ARG002
        report: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__()
        self.model = (
            model_of_run(open_run(run), device=_chosen(device), precision=precision)
            if isinstance(run, str)
            else run
        )
        self._batch_size = None if batch_size in (None, "auto") else int(batch_size)
        self._report = report

    @property
    def eot_token_id(self) -> int:
        """Token that ends a text."""
        return self.model.end

    @property
    def prefix_token_id(self) -> int:
        """Token before the start of a text."""
        return self.model.prefix

    def tok_encode(
        self,
        string: str,
        add_special_tokens: bool | None = None,  # noqa: ARG002
        **_: Any,
    ) -> list[int]:
        """Return the tokens of a text, without prefix."""
        return self.model.encode(string)

    def loglikelihood(
        self,
        requests: list[Instance],
        disable_tqdm: bool = False,  # noqa: ARG002
    ) -> list[tuple[float, bool]]:
        """Return the log-likelihood of each continuation, and whether it is the greedy one."""
        pairs = [request.args for request in requests]
        encoded = self._encode_pairs(pairs)
        return self._loglikelihood_tokens(
            [(pair, *parts) for pair, parts in zip(pairs, encoded, strict=True)]
        )

    def _encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
        """Encode contexts with their continuations, which begin where the contexts' tokens end.

        Where a piece spans the boundary, the harness would split the joint tokens at the number of
        the context's tokens, and so lose a part of the text. Here the whole piece is scored. All
        texts are encoded at once, and those that many pairs share only once.
        """
        contexts = [context.rstrip() for context, _ in pairs]
        wholes = [context + continuation for context, continuation in pairs]
        distinct = list(dict.fromkeys([*contexts, *wholes]))
        ids = dict(zip(distinct, self.model.encode_all(distinct), strict=True))
        return [
            _split(ids[context], ids[whole])
            for context, whole in zip(contexts, wholes, strict=True)
        ]

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        prefix = self.model.prefix
        scorings = [
            _scoring(prefix, context, continuation) for _, context, continuation in requests
        ]
        return [(one.nats, one.is_greedy) for one in self._score(scorings)]

    def loglikelihood_rolling(
        self,
        requests: list[Instance],
        disable_tqdm: bool = False,  # noqa: ARG002
    ) -> list[float]:
        """Return the log-likelihood of each whole text, read with memory as in training."""
        texts = [request.args[0] for request in requests]
        scorings = [_scoring(self.model.prefix, [], ids) for ids in self.model.encode_all(texts)]
        return [one.nats for one in self._score(scorings)]

    def generate_until(
        self,
        requests: list[Instance],
        disable_tqdm: bool = False,  # noqa: ARG002
    ) -> list[str]:
        """Return the continuation of each context, up to the first stop text."""
        return [generate_until(self.model, *request.args) for request in requests]

    def _score(self, scorings: Sequence[Scoring]) -> list[Likelihood]:
        return score_sequences(self.model.next_token, scorings, self._batch_size, self._report)


def _chosen(device: str | None) -> str:
    """Return the device that was asked for; the harness says "cuda:0" if none was."""
    return "" if device in (None, "cuda:0") else str(device)


def _split(context: list[int], whole: list[int]) -> tuple[list[int], list[int]]:
    """Split tokens where those of the context end."""
    n_common = 0
    for ours, theirs in zip(context, whole, strict=False):
        if ours != theirs:
            break
        n_common += 1
    return whole[:n_common], whole[n_common:]


def _scoring(prefix: int, context: list[int], continuation: list[int]) -> Scoring:
    """Return what to score; every text begins as a document does in training."""
    tokens = [*context, *continuation]
    if tokens[:1] == [prefix]:
        return Scoring(tokens, max(1, len(context)))
    return Scoring([prefix, *tokens], 1 + len(context))


def run_task(
    model: LanguageModel,
    task: Task,
    documents: Sequence[Mapping[str, Any]],
    *,
    batch_size: int | None = None,
    report: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Sample]:
    """Return the outcome of each document of a task.

    Args:
        model: The model.
        task: The task.
        documents: Its documents, in order.
        batch_size: Sequences that are read together.
        report: Called with the number of requests scored so far and their total.
    """
    split = _Documents(documents)
    with _quiet() as shown, _less_garbage_collection():

        def report_aloud(n_done: int, n_all: int) -> None:
            with redirect_stderr(shown):
                report(n_done, n_all)

        built = _KeepingTask(
            config={**task.compiled_config, "custom_dataset": lambda **_: {task.split: split}}
        )
        evaluate(
            HarnessModel(model, batch_size, report=report_aloud),
            {"tasks": {task.name: built}, "groups": {}, "group_map": {}},
            bootstrap_iters=0,
            log_samples=False,
        )
    return built.kept


class _Documents(list[Mapping[str, Any]]):
    """Documents as a split of `datasets`, which would build each of them anew on each pass."""

    @property
    def features(self) -> Mapping[str, Any]:
        """The fields of documents."""
        return self[0]


class _KeepingTask(ConfigurableTask):
    """A task of the harness that keeps the outcome of each document.

    The harness's own log of samples costs as much as the forward passes of a small model: it also
    formats and hashes every document.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config=config)
        self.kept: list[Sample] = []

    def process_results(
        self, doc: dict[str, Any], results: list[tuple[float, bool]]
    ) -> dict[str, Any]:
        """Return the metrics of a document; called in the order of documents."""
        metrics: dict[str, Any] = super().process_results(doc, results)
        self.kept.append(
            Sample(
                number=len(self.kept),
                metrics={name: float(value) for name, value in metrics.items()},
                nats=[float(nats) for nats, _ in results],
                is_greedy=[bool(is_greedy) for _, is_greedy in results],
            )
        )
        return metrics


@contextmanager
def _quiet() -> Iterator[TextIO]:
    """Silence the harness's remarks and progress bars; yield the stream that they are kept from."""
    logger, shown = logging.getLogger("lm_eval"), sys.stderr
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stderr(io.StringIO()):
            yield shown
    finally:
        logger.setLevel(level)


@contextmanager
def _less_garbage_collection() -> Iterator[None]:
    """Keep the garbage collector from what is alive already, which costs 5 % of small tasks."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
