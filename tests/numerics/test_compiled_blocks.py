"""Compiled blocks compute what uncompiled ones do, each as one graph."""

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

# Compiling takes long: one example of each variant, and one in which all projections have experts.
EXAMPLES = [
    *(examples_of(v)[0] for v in all_variants() if v is not DenseFeedForward),
    examples_of(SwitchHeadAttention)[1],
]
CASES = [(example, POSITIONS[n % len(POSITIONS)]) for n, example in enumerate(EXAMPLES)]
# Products are the same; only the gradient's order of sums may differ.
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
            # What `compile_blocks` does; a break is an error here.
            block.compile(backend="aot_eager", dynamic=False, fullgraph=True)
    first = model(random_tokens())
    second = model(random_tokens(), first.memory)
    loss = first.logits_BTV.square().mean() + second.logits_BTV.square().mean()
    if second.auxiliary_loss is not None:
        loss = loss + second.auxiliary_loss
    loss.backward()
    return [loss.detach(), *(x.grad for x in model.parameters() if x.grad is not None)]


@pytest.mark.parametrize(("example", "positions"), CASES, ids=map(name_of, EXAMPLES))
@pytest.mark.filterwarnings("ignore")  # the compiler's own, about itself
def test_same_outputs_and_gradients_and_no_break(example: Variant, positions: Positions) -> None:
    compiled = losses_and_gradients(example, positions, compiled=True)
    # One graph for each shape, whatever the number of layers.
    assert counters["stats"]["unique_graphs"] == 2
    plain = losses_and_gradients(example, positions, compiled=False)
    for ours, theirs in zip(compiled, plain, strict=True):
        assert (ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max()


def test_names_of_parameters_stay() -> None:
    model = build_model(model_around(*CASES[-1]), V, 0)
    names = list(model.state_dict())
    model.compile_blocks(backend="eager")
    assert list(model.state_dict()) == names
