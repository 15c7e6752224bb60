"""Starting a run from the weights of another: found, checked, loaded and recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from switchhead_lab.config.data import DataConfig, ExampleData, TextData
from switchhead_lab.config.files import Tree
from switchhead_lab.config.schema import InitialWeights, RunConfig
from switchhead_lab.config.sources import KEY
from switchhead_lab.data.dataset import Dataset
from switchhead_lab.data.tokenisation import tokenizer_id
from switchhead_lab.errors import ConfigError, RecordError
from switchhead_lab.model.transformer import Transformer
from switchhead_lab.tracking.liveness import observed_state
from switchhead_lab.tracking.record import (
    CHECKPOINTS_DIR,
    RunRecord,
    find_directory,
    find_run,
    read_run,
)
from switchhead_lab.training.checkpoint import find_checkpoint, load_checkpoint, recorded_digest
from switchhead_lab.training.layout import first_misfit, weights_of


@dataclass(frozen=True)
class StartingWeights:
    """Weights of another run, checked against the model that starts from them.

    Attributes:
        source: Name of the run that they are from.
        step: Its optimiser steps.
        weights: Values by name.
        fresh: Names that the source lacks; they are initialised from the seed.
        unused: Names of the source that the model lacks.
    """

    source: str
    step: int
    weights: Mapping[str, Tensor]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    def load_into(self, model: Transformer) -> None:
        """Replace an initialised model's weights by those that the source has."""
        model.load_state_dict(self.weights, strict=False)

    def describe(self) -> str:
        """Return, in one line, what is taken and what is not."""
        text = f"starts from the weights of {self.source} after step {self.step}"
        if self.fresh:
            text += f"; initialised from the seed: {', '.join(self.fresh)}"
        if self.unused:
            text += f"; not taken: {', '.join(self.unused)}"
        return text

    def as_data(self) -> dict[str, Any]:
        """Return source, step and names as plain data, for provenance."""
        return {
            "source": self.source,
            "step": self.step,
            "fresh": list(self.fresh),
            "unused": list(self.unused),
        }


def resolve_initial_weights(tree: Tree, runs_dir: Path, source: str) -> Tree:
    """Return a run configuration with the name of a source run replaced by its last checkpoint.

    Args:
        tree: Plain data, as read from TOML; returned unchanged where it names no run.
        runs_dir: Folder of all runs.
        source: What to call the data in errors, usually a path.

    Raises:
        ConfigError: If the value is no text, or the run is unknown, not finished or has lost its
            last checkpoint.
    """
    reference = tree.get(KEY)
    if reference is None or isinstance(reference, Mapping):
        return tree
    where = f"{source}: {KEY} = {reference!r}"
    if not isinstance(reference, str):
        raise ConfigError(f"{where}: write the name of a run, or the start of its hash, in quotes")
    try:
        start = last_weights_of(find_run(runs_dir, reference))
    except RecordError as error:
        raise ConfigError(f"{where}: {error}") from None
    return {**tree, KEY: start.model_dump(mode="json")}


def last_weights_of(run: RunRecord) -> InitialWeights:
    """Return the last checkpoint of a finished run, to start another from.

    Raises:
        RecordError: If the run is not finished or has lost that checkpoint.
    """
    if run.result is None:
        raise RecordError(
            f"{run.name} is {observed_state(run)}, and its weights may still change; name a "
            "finished run, or finish this one first"
        )
    step = run.result.n_steps
    digest = recorded_digest(find_checkpoint(run.directory / CHECKPOINTS_DIR, step))
    return InitialWeights(run=run.run_hash, step=step, sha256=digest)


def misfit(source: RunConfig, target: RunConfig) -> str:
    """Say which weight of a source has another shape than the model that is to start from it.

    Returns:
        The first, as `layout.first_misfit` describes it; empty if all of them fit.
    """
    with torch.device("meta"):
        theirs, ours = (
            Transformer(config.model, config.vocab_size, config.n_outputs)
            for config in (source, target)
        )
    return first_misfit(theirs.state_dict(), ours)


def read_initial_weights(
    runs_dir: Path, config: RunConfig, dataset: Dataset
) -> StartingWeights | None:
    """Load and check what a run starts from; None where that is its seed.

    Args:
        runs_dir: Folder of all runs.
        config: Configuration of the run that starts.
        dataset: Its data.

    Raises:
        RecordError: If the source run or its checkpoint is gone, damaged or not what it was.
        ConfigError: If tokenizers or shapes of weights differ.
    """
    initial = config.initial_weights
    if initial is None:
        return None
    source = _find_source(runs_dir, initial)
    require_same_tokenizer(source, config.data, dataset.describe())
    path = find_checkpoint(source.directory / CHECKPOINTS_DIR, initial.step)
    if recorded_digest(path) != initial.sha256:
        raise RecordError(
            f"{path}: SHA-256 of its tensors is {recorded_digest(path)[:12]}, but {KEY}.sha256 "
            f"is {initial.sha256[:12]}: the run was trained anew with other results; name it again "
            "to start from those"
        )
    _, tensors = load_checkpoint(path, initial.run)
    weights = weights_of(tensors)
    with torch.device("meta"):
        model = Transformer(config.model, config.vocab_size, config.n_outputs)
    if misfit := first_misfit(weights, model):
        raise ConfigError(
            f"{KEY}: weights of {source.name} do not fit the model: {misfit}; use equal sizes"
        )
    known = model.state_dict().keys()
    return StartingWeights(
        source=source.name,
        step=initial.step,
        weights={name: value for name, value in weights.items() if name in known},
        fresh=tuple(name for name in known if name not in weights),
        unused=tuple(name for name in weights if name not in known),
    )


def _find_source(runs_dir: Path, initial: InitialWeights) -> RunRecord:
    directory = find_directory(runs_dir, initial.run)
    if directory is None:
        raise RecordError(
            f"{KEY}: the run that it names, with hash {initial.run[:8]}, is not in {runs_dir}; "
            "restore its directory, or name another run"
        )
    return read_run(directory)


def require_same_tokenizer(
    source: RunRecord, data: DataConfig, manifest: Mapping[str, Any]
) -> None:
    """Refuse a source whose token ids mean something else.

    Args:
        source: Run to start from.
        data: Data of the run that starts.
        manifest: Description of its data set.

    Raises:
        ConfigError: If their tokenizers, or the meanings of their tokens, differ.
    """
    theirs = _tokenizer(source.config.data, source.provenance.get("data_manifest") or {})
    ours = _tokenizer(data, manifest)
    if theirs != ours:
        raise ConfigError(
            f"{KEY}: {source.name} reads tokens of {theirs}, but this run those of {ours}: the "
            "same id would mean another text; use the source's corpus and tokenizer, or "
            "bytes for both"
        )


def _tokenizer(data: DataConfig, manifest: Mapping[str, Any]) -> str:
    """Return a text that two data share exactly if their tokens mean the same."""
    if isinstance(data, TextData):
        digest = str(manifest.get("tokenizer_sha256", "unknown"))
        return f"{tokenizer_id(data.tokenizer)} (SHA-256 {digest[:12]})"
    assert isinstance(data, ExampleData), "data are text or examples"
    meaning = ", ".join(f"{name} {value}" for name, value in data.token_meaning().items())
    return f"{data.title} with {meaning}" if meaning else data.title
