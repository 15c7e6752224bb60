"""Labelled examples on disk: written once, atomically, and verified by hash."""

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from switchhead_lab import __version__
from switchhead_lab.config.data import ExampleConfig, ExampleData, example_kinds
from switchhead_lab.config.identity import hash_of, identity
from switchhead_lab.data.batches import PADDING, Batch
from switchhead_lab.data.documents import SPLITS, Split
from switchhead_lab.data.example_batches import (
    ExampleBatches,
    LabelledExamples,
    evaluation_example_batches,
)
from switchhead_lab.data.labelled import Example
from switchhead_lab.data.store_files import (
    MANIFEST_FILE,
    created_atomically,
    find_or_create,
    has_expected_sizes,
    open_array,
    read_manifest,
    require_hashes,
    sha256_of_file,
    write_file,
)
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.tracking.atomic import write_text

_REMEDY = "run the command again to regenerate it"

Progress = Callable[[str], None]


class ExampleSplitManifest(FrozenModel):
    """The files of one split and their contents."""

    tokens_sha256: str
    """SHA-256 of the token file."""
    labels_sha256: str
    """SHA-256 of the label file."""
    n_examples: int
    """Number of examples."""
    n_tokens: int
    """Tokens of all examples, without padding."""
    mean_length: float
    """Mean number of tokens per example."""
    majority_fraction: float
    """Share of the most frequent class in train: the accuracy of always guessing it."""


class ExampleManifest(FrozenModel):
    """Contents of manifest.json: the generated examples and their generator."""

    schema_version: Literal[1] = 1
    """Version of this file's layout."""
    generator_version: Literal[1] = 1
    """Version of the generator; stores of other versions are regenerated."""
    corpus: str
    """Name of the examples."""
    data: ExampleConfig
    """Configuration of the examples."""
    splits: dict[Split, ExampleSplitManifest]
    """Files by split."""
    train_class_counts: list[int]
    """Examples of each class in train, by class."""
    versions: dict[str, str]
    """Versions of Python and the packages that generated the examples."""
    created_at: str
    """Time of preparation, UTC, ISO 8601."""

    @property
    def majority_class(self) -> int:
        """The most frequent class in train, the lowest on ties."""
        return _most_frequent(self.train_class_counts)


@dataclass(frozen=True)
class ExampleStore:
    """The labelled examples of one configuration."""

    path: Path
    manifest: ExampleManifest

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the hashes of all files and what their tokens mean."""
        splits = self.manifest.splits
        return hash_of(
            {
                **self.manifest.data.token_meaning(),
                "examples": {
                    split: [splits[split].tokens_sha256, splits[split].labels_sha256]
                    for split in SPLITS
                },
            }
        )

    def describe(self) -> dict[str, Any]:
        """Return manifest and digest as plain data, for provenance."""
        return {**self.manifest.model_dump(mode="json"), "digest": self.digest}

    def n_bytes(self, split: Split) -> None:
        """Return None: examples are not text."""

    def training_batches(self, batch_size: int, seq_len: int, seed: int) -> ExampleBatches:
        """Return the batches of the training split.

        Raises:
            DataError: If the split does not fill one batch.
        """
        return ExampleBatches(self.examples("train"), batch_size, seq_len, seed)

    def evaluation_batches(self, split: Split, batch_size: int, seq_len: int) -> Iterator[Batch]:
        """Yield batches in which every example of a split occurs once."""
        return evaluation_example_batches(self.examples(split), batch_size, seq_len)

    def examples(self, split: Split) -> LabelledExamples:
        """Return the examples of a split, memory-mapped and read-only.

        Raises:
            DataError: If a file is missing, unreadable or of another size.
        """
        n_examples = self.manifest.splits[split].n_examples
        shape = (n_examples, self.manifest.data.example_length)
        return LabelledExamples(
            tokens=open_array(_token_path(self.path, split), np.uint8, shape, _REMEDY),
            labels=open_array(_label_path(self.path, split), np.uint8, (n_examples,), _REMEDY),
        )

    def verify(self) -> None:
        """Check the hash of every file.

        Raises:
            DataError: If a file is missing or differs from the manifest; the message names it.
        """
        expected = {}
        for split, part in self.manifest.splits.items():
            expected[_token_path(self.path, split)] = part.tokens_sha256
            expected[_label_path(self.path, split)] = part.labels_sha256
        require_hashes(self.path, expected, _REMEDY)


def prepare_examples(
    data_dir: Path, data: ExampleData, *, progress: Progress | None = None
) -> ExampleStore:
    """Generate examples, or return the store that already holds them.

    A store is created atomically: an interruption leaves none. Processes that prepare the same
    examples at the same time wait for the first.

    Args:
        data_dir: The workspace's folder of prepared data.
        data: Configuration of the examples.
        progress: Called with a short text at the start of each stage.

    Raises:
        DataError: If there are not enough distinct examples.
        WorkspaceError: If the data folder cannot be written.
    """
    folder, report = data_dir / data.corpus, progress or (lambda _stage: None)

    def make() -> ExampleStore:
        target = folder / store_name(data)
        with created_atomically(target) as temporary:
            manifest = _fill(temporary, data, report)
        return ExampleStore(target, manifest)

    return find_or_create(folder, lambda: find_examples(data_dir, data), make)


def find_examples(data_dir: Path, data: ExampleData) -> ExampleStore | None:
    """Return the store of a configuration if it is complete, else None.

    Complete means: a readable manifest of this configuration, and files of the right sizes.
    `ExampleStore.verify` checks the contents, which takes longer.
    """
    store = _read_store(data_dir / data.corpus / store_name(data))
    return store if store is not None and store.manifest.data == data else None


def store_name(data: ExampleData) -> str:
    """Return the name of a store's folder: the start of its configuration's identity."""
    return identity(data)[:16]


def list_example_stores(data_dir: Path) -> list[ExampleStore]:
    """Return every complete store of labelled examples, in order of folder name."""
    folders = [data_dir / kind for kind in example_kinds()]
    manifests = (path for folder in folders for path in folder.glob(f"[!.]*/{MANIFEST_FILE}"))
    paths = sorted(path.parent for path in manifests)
    return [store for store in map(_read_store, paths) if store is not None]


def _read_store(path: Path) -> ExampleStore | None:
    manifest = read_manifest(path, ExampleManifest, _REMEDY)
    if manifest is None or set(manifest.splits) != set(SPLITS):
        return None
    sizes: dict[Path, int | None] = {}
    for split, part in manifest.splits.items():
        sizes[_token_path(path, split)] = part.n_examples * manifest.data.example_length
        sizes[_label_path(path, split)] = part.n_examples
    return ExampleStore(path, manifest) if has_expected_sizes(sizes, _REMEDY) else None


def _fill(folder: Path, data: ExampleData, report: Progress) -> ExampleManifest:
    """Write tokens, labels and manifest into a folder."""
    report(f"preparing {data.n_examples:,} {data.title} examples")
    examples = import_module(data.module).generate_splits(data)
    for split in SPLITS:
        rows = (row.tokens.ljust(data.example_length, bytes([PADDING])) for row in examples[split])
        write_file(_token_path(folder, split), b"".join(rows))
        write_file(_label_path(folder, split), bytes(row.value for row in examples[split]))
    counts = [0] * data.n_classes
    for row in examples["train"]:
        counts[row.value] += 1
    manifest = ExampleManifest(
        corpus=data.corpus,
        data=data,
        splits={
            split: _describe_split(folder, split, examples[split], _most_frequent(counts))
            for split in SPLITS
        },
        train_class_counts=counts,
        versions={
            "python": platform.python_version(),
            "switchhead_lab": __version__,
            **{package: version(package) for package in data.packages},
        },
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_text(folder / MANIFEST_FILE, manifest.model_dump_json(indent=2) + "\n")
    return manifest


def _describe_split(
    folder: Path, split: Split, examples: list[Example], majority_class: int
) -> ExampleSplitManifest:
    n_tokens = sum(len(row.tokens) for row in examples)
    n_majority = sum(row.value == majority_class for row in examples)
    return ExampleSplitManifest(
        tokens_sha256=sha256_of_file(_token_path(folder, split), _REMEDY),
        labels_sha256=sha256_of_file(_label_path(folder, split), _REMEDY),
        n_examples=len(examples),
        n_tokens=n_tokens,
        mean_length=n_tokens / len(examples),
        majority_fraction=n_majority / len(examples),
    )


def _most_frequent(counts: list[int]) -> int:
    return counts.index(max(counts))


def _token_path(folder: Path, split: Split) -> Path:
    return folder / f"{split}-tokens.bin"


def _label_path(folder: Path, split: Split) -> Path:
    return folder / f"{split}-labels.bin"
