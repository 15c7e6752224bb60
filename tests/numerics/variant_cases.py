"""Models with every example of every registered variant, for tests outside the contract."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.contract.models import model_around, with_dropout
from switchhead_lab.variants.base import Variant
from switchhead_lab.variants.contract import POSITIONS
from switchhead_lab.variants.examples import describe, examples_of
from switchhead_lab.variants.positions import Positions
from switchhead_lab.variants.registry import all_variants, variants_of


def name_of(example: Variant) -> str:
    return f"{example.kind} {example.block} {describe(example)}"


EXAMPLES = {
    name_of(example): example for variant in all_variants() for example in examples_of(variant)
}
_MODELS: dict[str, tuple[Variant, Positions]] = {
    f"{name}/{positions.kind}": (example, positions)
    for name, example in EXAMPLES.items()
    for positions in POSITIONS
}
# Experts in both blocks.
SWITCHALL = "switchall"
CASES = [*_MODELS, SWITCHALL]


def config_of(case: str, *, p_dropout: float = 0.0, **sizes: object) -> ModelConfig:
    """Return a small model, with `p_dropout` for all dropout of the variants under test."""
    if case == SWITCHALL:
        blocks = {"attention": "switchhead", "feedforward": "sigma_moe"}
        chosen = {b: examples_of(variants_of(b)[kind])[0] for b, kind in blocks.items()}
        config = model_around(chosen["attention"], POSITIONS[0], **sizes)
        config = config.model_copy(update=chosen)
    else:
        config = model_around(*_MODELS[case], **sizes)
    dropping = {
        name: with_dropout(getattr(config, name), p_dropout)
        for name in ("attention", "feedforward")
    }
    return config.model_copy(update=dropping)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digests_elsewhere(module: str) -> list[str]:
    """Return `digest` of a test module for every case, computed in another process."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import importlib; "
        f"print(*map(importlib.import_module({module!r}).digest, sys.argv[2:]))"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(Path(__file__).parent), *CASES]
    # Changes everything that depends on string hashes, such as the order of sets.
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.split()
