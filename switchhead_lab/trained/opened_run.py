"""The interface that trained runs and exports share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from switchhead_lab.config.data import TextData
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.data.dataset import Dataset
from switchhead_lab.data.tokenisation import Tokenizer
from switchhead_lab.errors import RecordError
from switchhead_lab.model.transformer import Transformer
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.training.compute_setup import ComputeSetup, choose_device, prepare_setup
from switchhead_lab.training.layout import first_misfit

if TYPE_CHECKING:
    import pandas as pd

Checkpoint = int | Literal["last"]
"""Optimiser steps done, or "last" for the newest checkpoint."""


@dataclass(frozen=True)
class SavedWeights:
    """Weights as they were saved.

    Attributes:
        step: Optimiser steps done.
        weights: Values by parameter name, on the CPU.
        source: The file or folder that they were read from.
    """

    step: int
    weights: Mapping[str, Tensor]
    source: Path


@dataclass(frozen=True)
class OpenedRun(ABC):
    """A run whose model can be used, wherever it is stored.

    Attributes:
        record: Its record: labels, status, result, provenance.
    """

    record: RunRecord

    @property
    def name(self) -> str:
        """The run's name, as `lab runs list` shows it."""
        return self.record.name

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return self.record.config

    @property
    @abstractmethod
    def metrics(self) -> "pd.DataFrame":
        """The recorded metrics.

        Raises:
            RecordError: If they are damaged, unreadable or stored elsewhere.
        """

    @abstractmethod
    def weights(self, checkpoint: Checkpoint = "last") -> SavedWeights:
        """Load the weights of a checkpoint onto the CPU.

        Raises:
            RecordError: If the checkpoint is missing or damaged.
        """

    @abstractmethod
    def dataset(self) -> Dataset:
        """Return the data that the run was trained on.

        Raises:
            DataError: If the data are missing and cannot be prepared.
            RecordError: If they differ from those of the training, or are stored elsewhere.
        """

    @abstractmethod
    def _default_device(self) -> str:
        """Return the device to use if none is given."""

    @abstractmethod
    def _stored_tokenizer(self, data: TextData) -> Tokenizer:
        """Return the tokenizer of a run that was trained on text."""

    def model(self, device: str = "cpu", checkpoint: Checkpoint = "last") -> Transformer:
        """Return the model with the weights of a checkpoint, in evaluation mode.

        Args:
            device: "cpu", "cuda", "mps" or "auto".
            checkpoint: Checkpoint to load; a run keeps the two newest, an export has one.

        Returns:
            A float32 model; `model(tokens_BT, memory)` gives logits and the next memory.

        Raises:
            ConfigError: If the device is not available.
            RecordError: If the checkpoint is missing, damaged or does not fit the model.
        """
        chosen = choose_device(device)
        return self.build_model(self.weights(checkpoint)).to(chosen)

    def build_model(self, saved: SavedWeights) -> Transformer:
        """Return the model with saved weights, on the CPU in evaluation mode.

        Raises:
            RecordError: If they do not fit the model.
        """
        config = self.config
        model = Transformer(config.model, config.vocab_size, config.n_outputs)
        fault = first_misfit(saved.weights, model)
        if difference := sorted(saved.weights.keys() ^ model.state_dict().keys()):
            fault = f"{difference[0]} is in only one of checkpoint and model"
        if fault:
            raise RecordError(
                f"{saved.source}: does not fit the model built by this code: {fault}; use the code "
                "that the run was trained with"
            )
        model.load_state_dict(saved.weights)
        return model.eval()

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the run's data.

        Raises:
            DataError: If it is missing and cannot be prepared.
            RecordError: If the run's data are not text, or differ from those of the training.
        """
        if not isinstance(self.config.data, TextData):
            raise RecordError(
                f"{self.name}: trained on generated {self.config.data.kind} examples, which have "
                "no tokenizer; name a run that was trained on text"
            )
        return self._stored_tokenizer(self.config.data)

    def require_language_model(self) -> None:
        """Raise unless the run predicts the next token.

        Raises:
            RecordError: If the run has another objective.
        """
        objective = self.config.objective
        if not objective.predicts_next_token:
            raise RecordError(
                f'{self.name}: objective.kind = "{objective.kind}", but a language model is '
                "needed; name a run without an [objective] table in its configuration"
            )

    def setup(self, device: str = "") -> ComputeSetup:
        """Return the device and precision to run the model as in its validation.

        Args:
            device: "auto", "cpu", "cuda" or "mps"; by default that of lab.toml, and for an export
                "auto".

        Raises:
            ConfigError: If the device is not available.
        """
        result = self.record.result
        precision = result.precision if result else self.config.training.precision
        return prepare_setup(device or self._default_device(), precision)
