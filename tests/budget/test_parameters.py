"""Closed-form counts against the built model, part by part, for every shipped sweep."""

import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from shipped_sweeps import SHIPPED, SWEEPS

from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.budget.residual import difference
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.model.transformer import Transformer
from switchhead_lab.sweeping.plan import Variant, all_variants
from switchhead_lab.variants.dense_feedforward import DenseFeedForward


def built_parts(model: ModelConfig, vocab_size: int, n_outputs: int) -> Counter[str]:
    with torch.device("meta"):
        built = Transformer(model, vocab_size, n_outputs)
    parts: Counter[str] = Counter()
    for name, parameter in built.named_parameters():
        parts[re.sub(r"^blocks\.\d+\.", "blocks.", name)] += parameter.numel()
    return parts


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.stem))
def test_closed_form_equals_the_built_model(path: Path) -> None:
    file = find_sweep(SWEEPS, str(path))
    for size in file.sizes:
        sweep = file.resolve(size)
        vocab_size, n_outputs = sweep.vocab_size, sweep.n_outputs
        variants = [v for v in all_variants(sweep) if isinstance(v, Variant)]
        assert variants
        for variant in variants:
            count = count_parameters(variant.model, vocab_size, n_outputs)
            parts = built_parts(variant.model, vocab_size, n_outputs)
            assert dict(count.parts) == dict(parts)
            assert count.total == sum(parts.values())
            assert count.embedding == vocab_size * variant.model.d_model
            if variant.rule is None or variant.rule.matching == "parameter_matched":
                # The paper's SwitchAll is not matched to the baseline beyond its printed experts.
                is_dense_ff = isinstance(variant.model.feedforward, DenseFeedForward)
                baseline = count_parameters(variants[0].model, vocab_size, n_outputs).total
                fraction = difference(count.total, baseline).fraction
                assert abs(fraction) < (0.005 if is_dense_ff else 0.012)
