"""What the documents of a single pair of runs say about a claim, which is no verdict."""

from switchhead_lab.claims.bootstrap import document_difference
from switchhead_lab.config.claimed import SplitQuantity, TaskQuantity
from switchhead_lab.config.claims import Claim
from switchhead_lab.errors import RecordError
from switchhead_lab.reporting.claim_pairs import ComparedRuns, Pair
from switchhead_lab.reporting.zero_shot_compare import compare_tasks
from switchhead_lab.reporting.zero_shot_values import evaluation_folder, results_of
from switchhead_lab.tracking.document_losses import read_document_losses
from switchhead_lab.tracking.evaluations import HARNESS_NAMES

_NOT_OF_SEEDS = "this says nothing about other seeds."


def single_seed_sentence(claim: Claim, compared: ComparedRuns) -> str:
    """Return what the documents of a claim's only pair say; empty with more pairs or none.

    Args:
        claim: The claim, with its names filled in.
        compared: The runs that it compares.
    """
    if len(compared.pairs) != 1 or compared.unevaluated:
        return ""
    (pair,) = compared.pairs
    match compared.quantity:
        case SplitQuantity():
            return _of_split(compared.quantity, pair)
        case TaskQuantity():
            return _of_tasks(compared.quantity, pair, claim)
        case None:
            return ""


def _of_split(quantity: SplitQuantity, pair: Pair) -> str:
    split = quantity.split
    runs = [one.run for one in (pair.model, pair.versus) if one.run is not None]
    losses = [read_document_losses(run.directory, split) for run in runs]
    ours, theirs = losses if len(losses) == 2 else (None, None)
    if ours is None or theirs is None or ours.n_targets != theirs.n_targets:
        return ""
    if len(ours.n_targets) < 2:
        return f" The {split} split is a single document, whose losses say nothing about a spread."
    found = document_difference(ours.loss_nats, theirs.loss_nats, ours.n_targets)
    return (
        f" Over the {found.n_documents} documents of the {split} split alone (bootstrap, 95 %), "
        f"the loss differs by {found.nats:+.4f} nats ({found.low:+.4f} to {found.high:+.4f}); "
        f"{_NOT_OF_SEEDS}"
    )


def _of_tasks(quantity: TaskQuantity, pair: Pair, claim: Claim) -> str:
    ours, theirs = evaluation_folder(pair.model), evaluation_folder(pair.versus)
    tasks, metric = results_of(pair.model, quantity), HARNESS_NAMES[quantity.metric_name]
    try:
        found = compare_tasks(quantity.name, tasks, ours, theirs, metric)
    except RecordError:
        return f" Samples of {quantity.name} are not kept, so nothing is known about its documents."
    values = (found.difference, found.low, found.high)
    scaled = [f"{quantity.metric.scale * value:+.{quantity.metric.decimals}f}" for value in values]
    unit = " percentage points" if quantity.metric.unit == "%" else ""
    return (
        f" Over the {found.n_documents:,} documents of {quantity.name} alone (bootstrap in pairs, "
        f"95 %), the {quantity.metric.label} of {claim.model} minus that of {claim.versus} is "
        f"{scaled[0]}{unit} ({scaled[1]} to {scaled[2]}); {_NOT_OF_SEEDS}"
    )
