"""Compiled blocks compute what uncompiled ones do, each as one graph."""

import pytest
import torch
from test_model_contract import V, config_of, tokens
from torch._dynamo.utils import counters

from switchhead_lab.model.transformer import build_model

# Products are the same; only the gradient's order of sums may differ.
TOLERANCE = 1e-5
CASES = ["dense/xl", "switchhead/xl", "switchhead-vkqo-shared/rope", "moa/rope", "switchall/xl"]


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def losses_and_gradients(variant: str, *, compiled: bool) -> list[torch.Tensor]:
    """Run two chunks, the second with memory, so that both shapes are compiled."""
    model = build_model(config_of(variant), V, 0)
    if compiled:
        for block in model.blocks:
            # What `compile_blocks` does; a break is an error here.
            block.compile(backend="aot_eager", dynamic=False, fullgraph=True)
    first = model(tokens())
    second = model(tokens(), first.memory)
    loss = first.logits_BTV.square().mean() + second.logits_BTV.square().mean()
    if second.auxiliary_loss is not None:
        loss = loss + second.auxiliary_loss
    loss.backward()
    return [loss.detach(), *(x.grad for x in model.parameters() if x.grad is not None)]


@pytest.mark.parametrize("variant", CASES)
@pytest.mark.filterwarnings("ignore")  # the compiler's own, about itself
def test_same_outputs_and_gradients_and_no_break(variant: str) -> None:
    compiled = losses_and_gradients(variant, compiled=True)
    # One graph for each shape, whatever the number of layers.
    assert counters["stats"]["unique_graphs"] == 2
    plain = losses_and_gradients(variant, compiled=False)
    for ours, theirs in zip(compiled, plain, strict=True):
        assert (ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max()


def test_names_of_parameters_stay() -> None:
    model = build_model(config_of("switchhead/xl"), V, 0)
    names = list(model.state_dict())
    model.compile_blocks(backend="eager")
    assert list(model.state_dict()) == names
