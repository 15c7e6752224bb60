"""Which other implementations a configuration can be compared with.

Peers compute the same shapes: dense Transformers as whole training steps, sigma-MoE as a layer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from torch import nn

from switchhead_lab.benchmark.peers import hugging_face
from switchhead_lab.benchmark.peers.plain import PlainTransformer
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.positions import RopePositions
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward

Unit = Literal["training step", "feed-forward layer"]
Builder = Callable[[], nn.Module]

_ATTENTION_CORES = ("sdpa", "eager")
_EXPERT_LOOPS = ("eager", "grouped_mm")


@dataclass(frozen=True)
class Contest:
    """The peers of one configuration.

    Attributes:
        unit: What is timed.
        peers: Builds each peer, by name.
        remarks: Why further peers are not timed.
    """

    unit: Unit
    peers: Mapping[str, Builder]
    remarks: tuple[str, ...] = field(default=())


def contest_of(config: RunConfig) -> Contest | None:
    """Return the peers of a configuration; None if there are none.

    Args:
        config: The configuration.
    """
    if isinstance(config.model.feedforward, SigmaMoeFeedForward):
        return _of_experts(config)
    if _is_plainly_dense(config):
        return _of_dense(config)
    return None


def _is_plainly_dense(config: RunConfig) -> bool:
    """Return whether a model is as the peers: dense, without dropout, with a loss per token."""
    model, batch = config.model, (1, config.model.seq_len)
    feedforward = model.feedforward
    return (
        type(model.attention) is DenseAttention
        and isinstance(feedforward, DenseFeedForward)
        and feedforward.p_dropout == 0.0
        and model.direction == "causal"
        and config.objective.target_shape(*batch) == batch
        and not (isinstance(model.positions, RopePositions) and model.memory_len)
    )


def _of_dense(config: RunConfig) -> Contest:
    model, vocab_size = config.model, config.vocab_size
    if not isinstance(model.positions, RopePositions):
        plain = {"plain PyTorch": partial(PlainTransformer, model, vocab_size)}
        return Contest("training step", plain)
    peers: dict[str, Builder] = {
        "plain PyTorch, SDPA": partial(PlainTransformer, model, vocab_size, "sdpa"),
        "plain PyTorch, manual": partial(PlainTransformer, model, vocab_size, "manual"),
    }
    remark = _why_no_hugging_face()
    if not remark and model.d_model != model.attention.n_heads * model.attention.d_head:
        remark = (
            f"Hugging Face models: their heads are d_model / n_heads wide, and d_model="
            f"{model.d_model} is not n_heads * d_head"
        )
    if not remark:
        for core in _ATTENTION_CORES:
            peers[f"GPT-2, {core}"] = partial(hugging_face.gpt2, model, vocab_size, core)
            peers[f"GPT-NeoX, {core}"] = partial(hugging_face.gpt_neox, model, vocab_size, core)
    return Contest("training step", peers, (remark,) if remark else ())


def _of_experts(config: RunConfig) -> Contest:
    remark = _why_no_hugging_face()
    if remark:
        return Contest("feed-forward layer", {}, (remark,))
    return Contest(
        "feed-forward layer",
        {
            f"Mixtral's experts, {loop}": partial(hugging_face.mixtral_experts, config.model, loop)
            for loop in _EXPERT_LOOPS
        },
    )


def _why_no_hugging_face() -> str:
    if hugging_face.is_installed():
        return ""
    return (
        "Hugging Face models: transformers is not installed; "
        "pip install 'switchhead_lab[peers]' adds it"
    )
