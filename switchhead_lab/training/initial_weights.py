"""Initial weights from another run: found, checked, loaded and recorded."""

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
        source: Name of the source run.
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
        """Overwrite an initialised model's weights with those of the source."""
        model.load_state_dict(self.weights, strict=False)

    def describe(self) -> str:
        """Return one line that says which weights are used and which are not."""
        text = f"starts from the weights of {self.source} after step {self.step}"
        if self.fresh:
            text += f"; initialised from the seed: {', '.join(self.fresh)}"
        if self.unused:
            text += f"; not used: {', '.join(self.unused)}"
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
    """Replace the name of a source run by its last checkpoint in a run configuration.

    Args:
        tree: Plain data, as read from TOML; returned unchanged if it names no run.
        runs_dir: Folder of all runs.
        source: What to call the data in errors, usually a path.

    Raises:
        ConfigError: If the value is not a string, or the run is unknown, not finished or lacks its
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
    """Return the last checkpoint of a finished run, as initial weights for another.

    Raises:
        RecordError: If the run is not finished or lacks that checkpoint.
    """
    if run.result is None:
        raise RecordError(
            f"{run.name} is {observed_state(run)}, so its weights may still change; name a "
            "finished run, or finish this one first"
        )
    step = run.result.n_steps
    digest = recorded_digest(find_checkpoint(run.directory / CHECKPOINTS_DIR, step))
    return InitialWeights(run=run.run_hash, step=step, sha256=digest)


def misfit(source: RunConfig, target: RunConfig) -> str:
    """Return the first weight of a source whose shape differs from the target model's.

    Returns:
        As `layout.first_misfit`; empty if all weights fit.
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
    """Load and check a run's initial weights; None if it is initialised from its seed.

    Args:
        runs_dir: Folder of all runs.
        config: Configuration of the new run.
        dataset: Its data.

    Raises:
        RecordError: If the source run or its checkpoint is missing, damaged or changed.
        ConfigError: If the tokenizers or the shapes of weights differ.
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
            f"is {initial.sha256[:12]}: the run was retrained with other results; name it again "
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
            f"{KEY}: no run with hash {initial.run[:8]} in {runs_dir}; "
            "restore its directory, or name another run"
        )
    return read_run(directory)


def require_same_tokenizer(
    source: RunRecord, data: DataConfig, manifest: Mapping[str, Any]
) -> None:
    """Raise if the same token id means different text to a source and a run.

    Args:
        source: Run to start from.
        data: Data configuration of the new run.
        manifest: Manifest of its data set.

    Raises:
        ConfigError: If their tokenizers, or the meanings of their tokens, differ.
    """
    theirs = _tokenizer(source.config.data, source.provenance.get("data_manifest") or {})
    ours = _tokenizer(data, manifest)
    if theirs != ours:
        raise ConfigError(
            f"{KEY}: {source.name} has tokenizer {theirs}, but this run has {ours}: the "
            "same token id would mean different text; use the source's corpus and tokenizer, or "
            "bytes for both"
        )


def _tokenizer(data: DataConfig, manifest: Mapping[str, Any]) -> str:
    """Return a description that is equal if and only if token ids have the same meaning."""
    if isinstance(data, TextData):
        digest = str(manifest.get("tokenizer_sha256", "unknown"))
        return f"{tokenizer_id(data.tokenizer)} (SHA-256 {digest[:12]})"
    assert isinstance(data, ExampleData), "data are either text or examples"
    meaning = ", ".join(f"{name} {value}" for name, value in data.token_meaning().items())
    return f"{data.title} with {meaning}" if meaning else data.title
