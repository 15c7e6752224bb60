"""Whole training steps on fake CUDA tensors: no operand on the CPU, no device sync."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from fake_cuda import DEVICE, OnDeviceOnly, fake_cuda, run_backward, set_up, without_adamw
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from switchhead_lab.benchmark.step import RandomBatches
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.model.transformer import Transformer, build_model
from switchhead_lab.training.compute_setup import ComputeSetup
from switchhead_lab.training.scoring import build_scorer
from switchhead_lab.training.step import StepRunner
from switchhead_lab.variants.examples import examples_of
from switchhead_lab.variants.registry import variants_of

XL, ROPE = {"kind": "transformer_xl"}, {"kind": "rope"}
SWITCHHEAD = {"kind": "switchhead", "n_heads": 2, "d_head": 5, "n_experts": 4, "top_k": 2}
# A width that needs padding.
FEEDFORWARD = {"kind": "dense", "d_ff": 17, "p_dropout": 0.1}
SIGMA_MOE = {
    **{"kind": "sigma_moe", "n_experts": 4, "d_expert": 5, "top_k": 2},
    **{"entropy_coefficient": 0.1, "p_expert_dropout": 0.1},
}
VARIANTS = {
    **{
        f"{kind}-{number}-{name}": (example.model_dump(mode="json"), positions, FEEDFORWARD)
        for kind, variant in variants_of("attention").items()
        for number, example in enumerate(examples_of(variant))
        for name, positions in (("xl", XL), ("rope", ROPE))
    },
    "switchall-xl": (SWITCHHEAD, XL, SIGMA_MOE),
}
LISTS = {"kind": "listops", "max_depth": 2, "max_length": 14, "n_train": 9, "n_validation": 9}
# Further examples of a variant are in the thorough tests.
CASES = [
    *(
        pytest.param(
            variant, "bf16", marks=[pytest.mark.thorough] * (variant.split("-")[1] not in "0xl")
        )
        for variant in VARIANTS
    ),
    ("dense-0-xl", "fp32"),
    ("switchall-xl", "fp32"),
]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fake_cuda(monkeypatch):
        yield


@pytest.fixture
def config_of(tiny_config: Callable[..., RunConfig]) -> Callable[..., RunConfig]:
    def make(variant: str, *, classifies: bool = False, **training: Any) -> RunConfig:
        tree = tiny_config(**training).model_dump(mode="json")
        attention, positions, feedforward = VARIANTS[variant]
        parts = {"attention": attention, "positions": positions, "feedforward": feedforward}
        tree["model"] |= {**parts, "n_layers": 1, "context_multiple": 2}
        if classifies:
            tree["model"] |= {"direction": "bidirectional", "context_multiple": 1}
            tree |= {"objective": {"kind": "classification"}, "data": {**LISTS, "n_test": 9}}
        return RunConfig.model_validate(tree)

    return make


def step_runner_of(config: RunConfig, precision: str) -> StepRunner:
    with torch.device(DEVICE):
        model = Transformer(config.model, config.vocab_size, config.n_outputs).train()
    model.to = lambda _: model  # already on the device; fake parameters cannot be moved
    setup = ComputeSetup(DEVICE, precision, {"device_name": "fake"})
    objective = build_scorer(config)
    with set_up():
        return StepRunner(config, model, objective, RandomBatches(config), setup)


def take_steps(config: RunConfig, precision: str, n_steps: int = 1) -> StepRunner:
    runner = step_runner_of(config, precision)
    memories = runner._memories
    for number in range(n_steps):
        batch = RandomBatches(config).at(number)
        parts = runner._on_device(batch)
        with without_adamw(), OnDeviceOnly():
            taken = runner._take_eagerly(parts, batch.targets.size, memories)
        memories = taken.memories
    return runner


def require_gradients(runner: StepRunner) -> None:
    for name, parameter in runner.model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.device == DEVICE, name
        assert parameter.grad.dtype == parameter.dtype, name
        assert runner._optimizer.state[parameter]["exp_avg"].device == DEVICE, name


@pytest.mark.parametrize(("variant", "precision"), CASES)
def test_steps_with_memory_stay_on_the_device(
    cuda, config_of, variant: str, precision: str
) -> None:
    runner = take_steps(config_of(variant), precision, n_steps=2)
    require_gradients(runner)


@pytest.mark.parametrize("variant", ["dense-0-xl", "switchhead-0-rope", "moa-2-xl", "switchall-xl"])
def test_steps_of_a_classifier_stay_on_the_device(cuda, config_of, variant: str) -> None:
    runner = take_steps(config_of(variant, classifies=True, micro_batch_size=2), "bf16")
    require_gradients(runner)


def test_checkpointed_blocks_stay_on_the_device(cuda, config_of) -> None:
    runner = take_steps(config_of("switchall-xl", checkpoint_activations=True), "bf16")
    require_gradients(runner)


def test_every_micro_batch_seeds_the_device(cuda, config_of, monkeypatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed", seeds.append)
    config = config_of("switchhead-0-xl", micro_batch_size=1)
    with without_adamw(), pytest.raises(DataDependentOutputException):
        step_runner_of(config, "bf16").step(0)
    assert len({*seeds}) == len(seeds) == config.training.batch_size


def test_the_first_device_sync_of_a_step_reads_the_loss(cuda, config_of) -> None:
    runner = step_runner_of(config_of("switchhead-0-xl"), "bf16")
    with without_adamw(), pytest.raises(DataDependentOutputException) as raised:
        runner.step(0)
    assert "float(loss_sum)" in str(raised.traceback[1].statement)


def on_the_cpu(x: torch.Tensor) -> object:
    return x + torch.ones(3)


def zero_dimensional(x: torch.Tensor) -> object:
    return x * torch.tensor(2.0)


def moved_to(x: torch.Tensor) -> object:
    return torch.tensor(2.0, device=x.device)


def moved_from(x: torch.Tensor) -> object:
    return x.cpu()


@pytest.mark.parametrize("fault", [on_the_cpu, zero_dimensional, moved_to, moved_from])
def test_a_tensor_on_the_cpu_is_detected(cuda, fault: Callable[[torch.Tensor], object]) -> None:
    x = torch.zeros(3, device=DEVICE)
    with OnDeviceOnly(), pytest.raises(AssertionError, match="has a tensor on cpu"):
        fault(x)


@pytest.mark.parametrize("fault", [bool, float, torch.Tensor.item])
def test_reading_a_number_is_detected(cuda, fault: Callable[[torch.Tensor], object]) -> None:
    x = torch.zeros((), device=DEVICE)
    with OnDeviceOnly(), pytest.raises(DataDependentOutputException):
        fault(x)


@pytest.mark.parametrize("fault", [torch.nonzero, lambda x: x[x > 0], torch.unique])
def test_a_data_dependent_shape_is_detected(cuda, fault: Callable[[torch.Tensor], object]) -> None:
    x = torch.zeros(3, device=DEVICE)
    with OnDeviceOnly(), pytest.raises(DynamicOutputShapeException):
        fault(x)


@pytest.mark.parametrize("variant", ["switchhead-0-xl", "moa-2-rope"])
def test_the_backward_pass_in_python_equals_autograds(config_of, variant: str) -> None:
    """The tests above run the backward pass in Python, so they rely on this."""
    config = config_of(variant)
    grads = []
    for backward in (torch.Tensor.backward, run_backward):
        model = build_model(config.model, config.vocab_size, 0)
        tokens = torch.arange(32).view(2, 16)
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16):
            score = build_scorer(config).score(model, tokens, tokens, ())
        loss = score.loss_nats_sum
        backward(loss if score.auxiliary_loss is None else loss + score.auxiliary_loss)
        grads.append([x.grad for x in model.parameters()])
    for theirs, ours in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
