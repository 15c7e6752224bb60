"""The fused passes: softmax over the keys up to each query, and its gradient.

Letters: X attention maps (H * B), T query positions, S key positions.
"""

from torch import Tensor

from switchhead_kernels.causal_attention import reference
from switchhead_kernels.native import library
from switchhead_kernels.native.library import SUFFIXES


def causal_softmax_(scores_XTS: Tensor, scale: float) -> Tensor:
    """Return the attention weights of scores; overwrites the scores.

    Args:
        scores_XTS: Shape [X, T, S], any float dtype; the last query sees every key.
        scale: Factor of the scores.
    """
    if scores_XTS.dtype in SUFFIXES and library.is_usable(scores_XTS):
        name = f"causal_softmax_{SUFFIXES[scores_XTS.dtype]}"
        library.call(name, scores_XTS, *scores_XTS.shape, scale)
        return scores_XTS
    return reference.causal_softmax_(scores_XTS, scale)


def causal_softmax_gradient_(grad_XTS: Tensor, weight_XTS: Tensor, scale: float) -> Tensor:
    """Return the gradient of the scores; overwrites that of the weights.

    Args:
        grad_XTS: Shape [X, T, S], any float dtype.
        weight_XTS: Same shape and dtype: what `causal_softmax_` returned.
        scale: Factor of the scores.
    """
    if grad_XTS.dtype in SUFFIXES and library.is_usable(grad_XTS, weight_XTS):
        name = f"causal_softmax_gradient_{SUFFIXES[grad_XTS.dtype]}"
        library.call(name, grad_XTS, weight_XTS, *grad_XTS.shape, scale)
        return grad_XTS
    return reference.causal_softmax_gradient_(grad_XTS, weight_XTS, scale)
