"""The `executed` convention: costs counted on the layer that is trained.

The layer runs on the meta device, with its memory, for one sequence unless more are asked for.
Multiply-accumulates come from PyTorch's FLOP formulas, floats saved for the backward pass from its
saved-tensor hooks. An operation without a FLOP formula that is not known to be free of matmuls is
an error, never a zero.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, shape_wrapper

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.errors import UndefinedCostError
from switchhead_lab.model.saved_tensors import saved_for_backward
from switchhead_lab.model.sequence_plan import SequencePlan, plan_sequences

# Views, element-wise arithmetic, reductions, sorts and copies: no matmuls.
_WITHOUT_MATMUL_NAMES = (
    "_log_softmax _safe_softmax _softmax _to_copy _unsafe_view add add_ alias amax any arange "
    "as_strided bernoulli bernoulli_ bitwise_and bitwise_not cat clamp clamp_min clamp_min_ "
    "clone constant_pad_nd copy_ cos detach div div_ empty empty_like entr eq exp expand eye "
    "fill_ full gather ge gt index_select lift_fresh log logical_not logsumexp lt masked_fill "
    "masked_fill_ mean mul nan_to_num native_dropout neg new_empty new_full new_zeros ones "
    "ones_like permute pow rand_like randint relu reshape rsub scalar_tensor scatter "
    "searchsorted select sigmoid sin slice sort split split_with_sizes sqrt squeeze stack sub "
    "sum t transpose tril triu_ unbind unsqueeze var view where zero_ zeros zeros_like "
)
_WITHOUT_MATMULS = frozenset(_WITHOUT_MATMUL_NAMES.split())


def _batched_matmul_flops(_: Any, left_shape: Any, right_shape: Any, *__: Any, **___: Any) -> int:
    batch, rows, inner = left_shape
    return int(2 * batch * rows * inner * right_shape[-1])


# PyTorch counts the matmul that returns a new tensor, not the one that adds to a given one.
_FORMULAS = {torch.ops.aten.baddbmm_: _batched_matmul_flops}


class UncountedOperationError(UndefinedCostError):
    """An operation has no FLOP formula and is not listed as free of matmuls."""


@dataclass(frozen=True)
class ExecutedCost:
    """Cost of one layer, forward, as executed.

    Attributes:
        macs: Multiply-accumulates.
        memory_floats: Floats saved for the backward pass, without parameters and input.
    """

    macs: int
    memory_floats: int


def executed_attention(model: ModelConfig, n_sequences: int = 1) -> ExecutedCost:
    """Count one attention layer with its memory, as the model trains it.

    Args:
        model: The model.
        n_sequences: Sequences processed together; they share the projections of distances.

    Raises:
        UncountedOperationError: If the layer runs an operation of unknown cost.
    """
    with torch.device("meta"):
        layer = model.attention.build(model.positions, model.d_model)
        n_keys = model.context_multiple * model.seq_len
        context_BSD = torch.empty(n_sequences, n_keys, model.d_model, requires_grad=True)
        return _count(layer, context_BSD, _plan(model, n_keys))


def executed_feedforward(model: ModelConfig) -> ExecutedCost:
    """Count one feed-forward block, as the model trains it.

    Raises:
        UncountedOperationError: If the block runs an operation of unknown cost.
    """
    with torch.device("meta"):
        block = model.feedforward.build(model.d_model)
        x_BTD = torch.empty(1, model.seq_len, model.d_model, requires_grad=True)
        return _count(block, x_BTD, _plan(model, model.seq_len))


def _plan(model: ModelConfig, n_keys: int) -> SequencePlan:
    device = torch.device("meta")
    return plan_sequences(model, model.seq_len, n_keys, dtype=torch.float32, device=device)


def _count(layer: nn.Module, x: Tensor, plan: SequencePlan) -> ExecutedCost:
    # The plan belongs to the whole model, which saves its table and mask once, not per layer.
    known = [x, *layer.parameters(), plan.table, *([] if plan.mask is None else [plan.mask])]
    with saved_for_backward(known) as kept, _FlopCounter() as counter:
        layer(x, plan)
    return ExecutedCost(macs=counter.n_flops // 2, memory_floats=sum(kept.values()))


class _FlopCounter(TorchDispatchMode):
    """Counts FLOPs; raises at an operation that PyTorch's own counter would count as zero.

    That one takes twice as long, since it also counts by module and tries to decompose operations.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_flops = 0
        ours = {packet: shape_wrapper(formula) for packet, formula in _FORMULAS.items()}
        self._formulas = {**flop_registry, **ours}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = func._overloadpacket
        formula = self._formulas.get(packet)
        if formula is None and packet.__name__ not in _WITHOUT_MATMULS:
            raise UncountedOperationError(
                f"{func}: has no FLOP formula; register one, or add it to the operations "
                "without matmuls"
            )
        out = func(*args, **(kwargs or {}))
        if formula is not None:
            self.n_flops += int(formula(*args, **(kwargs or {}), out_val=out))
        return out
