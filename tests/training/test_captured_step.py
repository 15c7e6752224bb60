"""Inputs and results of a captured step, tested with a stand-in for the CUDA graph."""

import numpy as np
import pytest
import torch

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.data.batches import TokenBatches
from switchhead_lab.errors import ConfigError
from switchhead_lab.model.transformer import build_model
from switchhead_lab.training.captured_step import CapturedStep, RepeatedStep, TakenStep
from switchhead_lab.training.compute_setup import ComputeSetup, prepare_setup
from switchhead_lab.training.scoring import build_scorer
from switchhead_lab.training.step import StepRunner

N_STEPS = 17


def step_runner_of(config: RunConfig) -> StepRunner:
    # Seven steps per epoch: streams restart after the graph was captured.
    tokens = np.random.default_rng(0).integers(1, 256, 7 * 4 * 16 + 1)
    batches = TokenBatches(tokens, config.training.batch_size, config.model.seq_len, seed=0)
    model = build_model(config.model, config.vocab_size, config.seed).train()
    setup = ComputeSetup(torch.device("cpu"), "fp32", {"device_name": "test"})
    return StepRunner(config, model, build_scorer(config), batches, setup)


def with_memory(config: RunConfig) -> RunConfig:
    tree = config.model_dump(mode="json")
    tree["model"]["context_multiple"] = 2
    return RunConfig.model_validate(tree)


def without_dropout(config: RunConfig) -> RunConfig:
    def without(tree: dict) -> dict:
        return {
            name: without(value)
            if isinstance(value, dict)
            else 0.0
            if name.endswith("dropout")
            else value
            for name, value in tree.items()
        }

    return RunConfig.model_validate(without(config.model_dump(mode="json")))


@pytest.mark.parametrize("attention", ["dense", "switchhead"])
@pytest.mark.parametrize("micro_batch_size", [2, 4])
def test_captured_steps_equal_eager_steps(
    tiny_config, attention: str, micro_batch_size: int
) -> None:
    training = {"n_steps": N_STEPS, "micro_batch_size": micro_batch_size}
    configs = [
        with_memory(tiny_config(attention, **training, capture_step=captures))
        for captures in (False, True)
    ]
    if micro_batch_size == 2:
        # A graph cannot seed each micro-batch, so it drops other activations.
        configs = [without_dropout(config) for config in configs]
    eager, captured = map(step_runner_of, configs)
    losses = [[one.step(number) for number in range(N_STEPS)] for one in (eager, captured)]
    assert losses[0] == losses[1]
    expected, found = eager.tensors(), captured.tensors()
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


class CountingGraph(RepeatedStep):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    def run_eagerly(self, step):
        self.events.append("eager")
        return super().run_eagerly(step)

    def capture(self, step) -> None:
        self.events.append("capture")
        super().capture(step)

    def replay(self):
        self.events.append("replay")
        return super().replay()


def double(parts, n_targets, memories) -> TakenStep:
    """A step that overwrites its previous results, like a graph."""
    ((inputs, targets),) = parts
    double.out.copy_(inputs.sum() * 2 + targets.sum() + memories[0][0].sum())
    return TakenStep(double.out, double.out, [(inputs + memories[0][0],)])


double.out = torch.zeros(())


def test_one_signature_is_captured_and_gets_the_inputs_of_each_call() -> None:
    graph = CountingGraph()
    step = CapturedStep(double, graph)
    memory = (torch.zeros(2),)
    for number in range(5):
        parts = [(torch.full((2,), float(number)), torch.ones(2))]
        taken = step(parts, 2, [memory])
        assert float(taken.loss_sum) == 4.0 * number + 2.0 + float(memory[0].sum())
        memory = taken.memories[0]
    short = step([(torch.ones(1), torch.ones(1))], 1, [(torch.zeros(1),)])
    assert float(short.loss_sum) == 3.0
    assert graph.events == ["eager"] * 3 + ["capture", "replay", "replay", "eager"]


def test_capture_is_rejected_on_devices_without_graphs() -> None:
    with pytest.raises(ConfigError, match="training.capture_step = true but the device is cpu"):
        prepare_setup("cpu", "auto", captures_step=True)


def test_capture_with_activation_checkpointing_is_rejected(tiny_config) -> None:
    with pytest.raises(ConfigError, match="capture_step=true with checkpoint_activations=true"):
        tiny_config(capture_step=True, checkpoint_activations=True)
