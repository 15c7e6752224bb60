"""What differs between a sweep and the experiment in the paper that it reproduces."""

from collections.abc import Iterator, Sequence

from switchhead_lab.config.sweep import PaperRow, Sweep
from switchhead_lab.paper.figures import load_figures
from switchhead_lab.paper.models import SENTENCEPIECE_VOCAB
from switchhead_lab.reporting.report_data import ReportData

MODEL_SIZE = "size"
"""The difference without which costs compare with the paper's."""
_BATCH_SIZES = {"enwik8": 32}


def paper_caption(paper: PaperRow, data: ReportData) -> str:
    """Return the sentences above the paper's figures."""
    size = "" if paper.params is None else f", {paper.params}M parameters"
    differences = setup_differences(paper, data)
    if differences:
        setup = (
            f"our {describe_differences(differences)}, so compare the ratios to the dense baseline"
        )
    else:
        setup = "corpus, tokenizer, size and training budget are the paper's"
    return (
        f"Paper: arXiv:2312.07987, Table {paper.table}, {paper.dataset}{size}, as printed; "
        f"{setup}. MACs and memory are those of one attention layer and sequence by the published "
        "convention, ours as well."
    )


def describe_differences(differences: Sequence[str]) -> str:
    """Return what differs as a clause: "corpus and size differ"."""
    *others, last = differences
    listed = f"{', '.join(others)} and {last}" if others else last
    return f"{listed} {'differ' if others else 'differs'}"


def setup_differences(paper: PaperRow, data: ReportData) -> list[str]:
    """Return what differs from the paper's experiment; empty if absolute values compare.

    Args:
        paper: The reproduced rows.
        data: The sweep's data.
    """
    return list(_differences(paper, data))


def _differences(paper: PaperRow, data: ReportData) -> Iterator[str]:
    sweep = data.record.sweep
    if sweep.data.corpus != paper.dataset:
        yield "corpus"
    if not _has_the_papers_tokenizer(paper, sweep):
        yield "tokenizer"
    costs = data.baseline.costs
    if paper.params is None or costs is None or round(costs.n_parameters / 1e6) != paper.params:
        yield MODEL_SIZE
    if not _has_the_papers_budget(paper, sweep):
        yield "training budget"


def _has_the_papers_tokenizer(paper: PaperRow, sweep: Sweep) -> bool:
    tokenizer = getattr(sweep.data, "tokenizer", None)
    if tokenizer is None:
        return False
    if paper.dataset == "enwik8":
        return tokenizer.kind in ("byte", "char")
    return tokenizer.kind == "sentencepiece" and sweep.vocab_size == SENTENCEPIECE_VOCAB


def _has_the_papers_budget(paper: PaperRow, sweep: Sweep) -> bool:
    """Return whether a sweep trains for as many steps of as many tokens as the paper."""
    printed, training = load_figures()["training"], sweep.training
    lengths = {
        row["T"]
        for block in load_figures()["hyperparameters"]
        for row in block["rows"]
        if row["params"] == paper.params
    }
    batch_size = _BATCH_SIZES.get(paper.dataset, printed["batch_size"])
    tokens = {length * batch_size for length in lengths}
    own = training.batch_size * sweep.model.seq_len
    return training.n_steps == printed["steps"] and own in tokens
