"""How a trained model uses its experts: by layer and head at the end, and on average over time.

Letters: L layers, H heads, E experts.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from switchhead_lab.errors import RecordError
from switchhead_lab.reporting.report_data import MemberRun, ReportData
from switchhead_lab.tracking.file_names import ROUTER_USE_FILE

_NAMES = {
    "attention.value_router": "value experts",
    "attention.output_router": "output experts",
    "attention.router": "heads",
    "feedforward.router": "feed-forward experts",
}


@dataclass(frozen=True)
class RouterKind:
    """The routers of one kind in all layers.

    Attributes:
        name: What they choose.
        share_LHE: Share of the choices that went to each expert, by layer and head.
        entropy: Steps and use entropy at each validation: 1 for even use, 0 for one expert; the
            mean over layers and heads.
    """

    name: str
    share_LHE: tuple[tuple[tuple[float, ...], ...], ...]
    entropy: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class ExpertUse:
    """The routers of one trained model.

    Attributes:
        model: Name of the model in the sweep.
        run: Name of the run.
        seed: Its seed.
        kinds: Its routers by kind.
    """

    model: str
    run: str
    seed: int
    kinds: tuple[RouterKind, ...]


def read_expert_use(data: ReportData) -> Iterator[ExpertUse]:
    """Yield the use of experts of each model that has any, in the first finished seed.

    Raises:
        RecordError: If a run's counts are damaged.
    """
    for row in data.models:
        for run in row.finished[:1]:
            counts = _read_counts(run)
            kinds = tuple(_kinds(counts, run))
            if kinds:
                yield ExpertUse(row.name, run.member.run_name, run.member.seed, kinds)


def _read_counts(run: MemberRun) -> Mapping[str, list[list[int]]]:
    """Return the choices by router, [H, E] each; empty if the model has no routers."""
    assert run.run is not None, "finished runs have a record"
    path = run.run.directory / ROUTER_USE_FILE
    if not path.is_file():
        return {}
    try:
        counts: Mapping[str, list[list[int]]] = json.loads(path.read_text(encoding="utf-8"))[
            "counts"
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: damaged ({error}); remove it to report without it") from None
    return counts


def _kinds(counts: Mapping[str, Any], run: MemberRun) -> Iterator[RouterKind]:
    by_kind: dict[str, list[list[list[int]]]] = {}
    for router, counts_HE in counts.items():  # in the order of the layers
        by_kind.setdefault(".".join(router.split(".")[2:]), []).append(counts_HE)
    for kind, counts_LHE in by_kind.items():
        shares = tuple(
            tuple(tuple(_shares(counts_E)) for counts_E in counts_HE) for counts_HE in counts_LHE
        )
        yield RouterKind(_NAMES.get(kind, kind), shares, tuple(_entropies(kind, run)))


def _shares(counts_E: list[int]) -> Iterator[float]:
    total = sum(counts_E)
    return (count / total if total else 0.0 for count in counts_E)


def _entropies(kind: str, run: MemberRun) -> Iterator[tuple[int, float]]:
    name = f"router/{kind}/use_entropy"
    for point in run.points:
        if name in point.metrics:
            yield point.step, point.metrics[name]
