"""What a layer keeps for the backward pass in bf16, beyond what `executed` counts in float32."""

from pathlib import Path

import pytest
import torch

from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.model.executed import executed_attention
from switchhead_lab.model.saved_tensors import saved_for_backward
from switchhead_lab.model.sequence_plan import plan_sequences
from switchhead_lab.sweeping.plan import config_of, declared_variants

SWEEPS = Path(__file__).parents[2] / "sweeps"


def kept_in_bf16(model) -> int:
    """Count the floats that an attention layer keeps on the CPU under bf16 autocast."""
    layer = model.attention.build(model.positions, model.d_model)
    layer.reset_parameters(1.0, torch.Generator().manual_seed(0))
    n_keys = model.context_multiple * model.seq_len
    device = torch.device("cpu")
    plan = plan_sequences(model, model.seq_len, n_keys, dtype=torch.float32, device=device)
    x = torch.randn(1, n_keys, model.d_model, requires_grad=True)
    known = [x, *layer.parameters(), plan.table, *([] if plan.mask is None else [plan.mask])]
    with saved_for_backward(known) as kept, torch.autocast("cpu", torch.bfloat16):
        layer(x, plan)
    return sum(kept.values())


def test_rounded_copies_are_kept_too() -> None:
    """The figures are those of docs/accounting.md."""
    sweep = find_sweep(SWEEPS, "matching-rules").resolve()
    dense, switchhead = (
        config_of(sweep, variant, 0).model for variant in declared_variants(sweep)[:2]
    )
    counted = [executed_attention(model).memory_floats for model in (dense, switchhead)]
    kept = [kept_in_bf16(model) for model in (dense, switchhead)]
    assert kept[0] / counted[0] == pytest.approx(1.30, abs=0.005)
    assert kept[1] / counted[1] == pytest.approx(1.63, abs=0.005)
    assert counted[1] / counted[0] == pytest.approx(0.29, abs=0.005)
    assert kept[1] / kept[0] == pytest.approx(0.36, abs=0.005)
