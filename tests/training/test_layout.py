from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from switchhead_lab.benchmark.step import RandomBatches
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.model.transformer import build_model
from switchhead_lab.training.compute_setup import ComputeSetup
from switchhead_lab.training.scoring import build_scorer
from switchhead_lab.training.step import StepRunner

Tensors = dict[str, Tensor]
WEIGHT = "model.final_norm.weight"
MEMORY = "memory.0001.0001"


def step_runner_of(config: RunConfig) -> StepRunner:
    model = build_model(config.model, config.vocab_size, config.seed, config.n_outputs).train()
    setup = ComputeSetup(torch.device("cpu"), "fp32", {"device_name": "test"})
    return StepRunner(config, model, build_scorer(config), RandomBatches(config), setup)


@pytest.mark.parametrize("attention", ["dense", "switchhead"])
@pytest.mark.parametrize("n_steps", [1, 3])
def test_saved_tensors_fit_another_runner(
    tiny_config: Callable[..., RunConfig], attention: str, n_steps: int
) -> None:
    config = tiny_config(attention, micro_batch_size=2)
    runner = step_runner_of(config)
    for number in range(n_steps):
        runner.step(number)
    tensors = runner.tensors()
    fresh = step_runner_of(config)
    assert fresh.fault_of(tensors) == ""
    fresh.load_tensors(tensors)
    assert fresh.tensors().keys() == tensors.keys()


def drop(name: str) -> Callable[[Tensors], Any]:
    return lambda tensors: tensors.pop(name)


def put(name: str, like: Callable[[Tensor], Tensor]) -> Callable[[Tensors], Any]:
    return lambda tensors: tensors.update({name: like(tensors.get(name, torch.zeros(3)))})


FAULTS: list[tuple[str, Callable[[Tensors], Any]]] = [
    (f"{WEIGHT} is missing", drop(WEIGHT)),
    (f"{WEIGHT} is float32 (17,), not float32 (16,)", put(WEIGHT, lambda _: torch.zeros(17))),
    (f"{WEIGHT} is float64 (16,), not float32 (16,)", put(WEIGHT, Tensor.double)),
    ("optimizer.final_norm.weight.step is missing", drop("optimizer.final_norm.weight.step")),
    (
        "optimizer.final_norm.weight.exp_avg is float32 (1, 16), not float32 (16,)",
        put("optimizer.final_norm.weight.exp_avg", lambda value: value[None]),
    ),
    ("model.surprise does not belong to this model", put("model.surprise", Tensor.clone)),
    ("optimizer.output.bias.max_exp does not", put("optimizer.output.bias.max_exp", Tensor.clone)),
    (f"{MEMORY} is missing", drop(MEMORY)),
    ("memory.0002.0000 does not belong", put("memory.0002.0000", lambda _: torch.zeros(2, 1, 16))),
    (f"{MEMORY} is float32 (2, 17, 16), not", put(MEMORY, lambda _: torch.zeros(2, 17, 16))),
    (f"{MEMORY} is float32 (3, 16, 16), not", put(MEMORY, lambda _: torch.zeros(3, 16, 16))),
    (f"{MEMORY} is float32 (2, 16, 8), not", put(MEMORY, lambda _: torch.zeros(2, 16, 8))),
    (f"{MEMORY} is float32 (16,), not", put(MEMORY, lambda value: value[0, 0])),
    (f"{MEMORY} is int64 (2, 16, 16), not", put(MEMORY, Tensor.long)),
]


@pytest.mark.parametrize(("fault", "damage"), FAULTS, ids=[fault for fault, _ in FAULTS])
def test_a_misfit_is_named(
    tiny_config: Callable[..., RunConfig], fault: str, damage: Callable[[Tensors], Any]
) -> None:
    runner = step_runner_of(tiny_config("dense", micro_batch_size=2))
    runner.step(0)
    tensors = dict(runner.tensors())
    damage(tensors)
    assert runner.fault_of(tensors).startswith(fault)
