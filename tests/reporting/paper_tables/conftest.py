"""Records of the shipped sweeps of the paper's tables, made without training."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from shipped_sweeps import SWEEPS

from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.sweeping.plan import declared_variants

Fill = Callable[..., Any]
BLOCK_OF_TABLE_2 = {"dense": [20.0], "switchhead": [19.0], "dense-2-heads": [21.0]}


@pytest.fixture
def sweeps_dir(home: Path) -> Path:
    """Copy the shipped sweep files into the workspace."""
    shutil.copytree(SWEEPS, home / "sweeps")
    return home / "sweeps"


@pytest.fixture
def fill(make_writer: Callable[..., Any]) -> Fill:
    """Record a shipped sweep with a perplexity per seed of each model; others have no run."""

    def make(
        name: str,
        perplexities: Mapping[str, Sequence[float]] = BLOCK_OF_TABLE_2,
        size: str = "pocket",
        overrides: Sequence[str] = (),
        updated_at: float = 2.0,
        **changes: Any,
    ) -> Any:
        sweep = find_sweep(SWEEPS, name).resolve(size, overrides)
        writer = make_writer(**sweep.model_dump(mode="json"))
        for variant in declared_variants(sweep):
            for seed, value in enumerate(perplexities.get(variant.name, ())):
                writer.add(variant.name, variant.role, variant.model, seed, value, **changes)
        writer.write(updated_at)
        return writer

    return make
