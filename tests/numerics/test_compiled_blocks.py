"""Compiled blocks compute the same as uncompiled ones, each as one graph."""

import pytest
import torch
from torch._dynamo.utils import counters
from variant_cases import name_of

from switchhead_lab.contract.models import V, model_around, random_tokens
from switchhead_lab.model.transformer import build_model
from switchhead_lab.variants.base import Variant
from switchhead_lab.variants.contract import POSITIONS
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.examples import examples_of
from switchhead_lab.variants.positions import Positions
from switchhead_lab.variants.registry import all_variants
from switchhead_lab.variants.switchhead import SwitchHeadAttention

# Compilation is slow: one example per variant, and one in which all projections have experts.
EXAMPLES = [
    *(examples_of(v)[0] for v in all_variants() if v is not DenseFeedForward),
    examples_of(SwitchHeadAttention)[1],
]
CASES = [(example, POSITIONS[n % len(POSITIONS)]) for n, example in enumerate(EXAMPLES)]
# Matmuls are the same; only the order of sums in gradients may differ.
TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def losses_and_gradients(
    example: Variant, positions: Positions, *, compiled: bool
) -> list[torch.Tensor]:
    """Run two chunks, the second with memory, so that both shapes are compiled."""
    model = build_model(model_around(example, positions), V, 0)
    if compiled:
        for block in model.blocks:
            # As in `compile_blocks`, but graph breaks are errors.
            block.compile(backend="aot_eager", dynamic=False, fullgraph=True)
    first = model(random_tokens())
    second = model(random_tokens(), first.memory)
    loss = first.logits_BTV.square().mean() + second.logits_BTV.square().mean()
    if second.auxiliary_loss is not None:
        loss = loss + second.auxiliary_loss
    loss.backward()
    return [loss.detach(), *(x.grad for x in model.parameters() if x.grad is not None)]


@pytest.mark.thorough
@pytest.mark.parametrize(("example", "positions"), CASES, ids=map(name_of, EXAMPLES))
@pytest.mark.filterwarnings("ignore")  # the compiler's own warnings
def test_same_outputs_and_gradients_without_graph_breaks(
    example: Variant, positions: Positions
) -> None:
    compiled = losses_and_gradients(example, positions, compiled=True)
    # One graph per shape, for any number of layers.
    assert counters["stats"]["unique_graphs"] == 2
    plain = losses_and_gradients(example, positions, compiled=False)
    for ours, theirs in zip(compiled, plain, strict=True):
        assert (ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max()


def test_parameter_names_do_not_change() -> None:
    model = build_model(model_around(*CASES[-1]), V, 0)
    names = list(model.state_dict())
    model.compile_blocks(backend="eager")
    assert list(model.state_dict()) == names
