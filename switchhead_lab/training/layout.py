"""Checks that saved tensors have the names, shapes and types that a model expects."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from switchhead_lab.model.transformer import Transformer

_MEMORY = re.compile(r"memory\.(\d{4})\.(\d{4})")
MOMENTS = ("exp_avg", "exp_avg_sq")
"""Names of AdamW's moments in its state."""


def layout_fault(
    tensors: Mapping[str, Tensor], model: Transformer, n_micro_batches: int, n_rows: int
) -> str:
    """Return what is wrong with the names, shapes and types of saved tensors.

    Args:
        tensors: Names and values, as `StepRunner.tensors` returns them after a step.
        model: The model to load them into.
        n_micro_batches: Micro-batches per step, each with its own memory.
        n_rows: Sequences per micro-batch.

    Returns:
        The first problem; empty if there is none.
    """
    expected = _expected(model)
    memories = {name: value for name, value in tensors.items() if _MEMORY.fullmatch(name)}
    for name, like in expected.items():
        if name not in tensors:
            return f"{name} is missing"
        if _kind(tensors[name]) != _kind(like):
            return f"{name} is {_kind(tensors[name])}, not {_kind(like)}"
    for name in tensors:
        if name not in expected and name not in memories:
            return f"{name} does not belong to this model"
    return _memory_fault(memories, model, n_micro_batches, n_rows)


def weights_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the model weights among saved tensors, by parameter name."""
    return tensors_below("model.", tensors)


def tensors_below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, with the prefix removed."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def first_misfit(weights: Mapping[str, Tensor], model: Transformer) -> str:
    """Return the first weight whose shape or type differs from the model's.

    Args:
        weights: Values by name; names that the model lacks are not compared.
        model: The model to load them into; its weights may be on the meta device.

    Returns:
        For example "embedding.weight is float32 (256, 16), not float32 (256, 32)"; empty if all
        weights fit.
    """
    for name, like in model.state_dict().items():
        if name in weights and _kind(weights[name]) != _kind(like):
            return f"{name} is {_kind(weights[name])}, not {_kind(like)}"
    return ""


def _expected(model: Transformer) -> dict[str, Tensor]:
    """Return tensors of the expected shapes and types by name, without memories."""
    expected = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        expected |= {f"optimizer.{name}.{moment}": parameter for moment in MOMENTS}
        expected[f"optimizer.{name}.step"] = torch.tensor(0.0)
    return expected


def _memory_fault(
    memories: Mapping[str, Tensor], model: Transformer, n_micro_batches: int, n_rows: int
) -> str:
    names = {
        f"memory.{number:04d}.{layer:04d}"
        for number in range(n_micro_batches if model.memory_len else 0)
        for layer in range(len(model.blocks))
    }
    if difference := sorted(names ^ set(memories)):
        state = "is missing" if difference[0] in names else "does not belong to this model"
        return f"{difference[0]} {state}"
    for name, value in memories.items():
        shape = (n_rows, model.memory_len, model.embedding.embedding_dim)
        is_shorter = value.dim() == 3 and value.shape[1] <= model.memory_len
        if not is_shorter or value.shape[::2] != shape[::2] or not value.is_floating_point():
            return f"{name} is {_kind(value)}, not floats of at most {shape}"
    return ""


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
