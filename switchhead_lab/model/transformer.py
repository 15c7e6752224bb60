"""The Transformer that every variant and objective shares.

Letters: B batch, T chunk positions, M memory positions, D d_model, V n_outputs.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from switchhead_kernels.autocast import in_compute_dtype
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.model.initialisation import block_scale, init_normal
from switchhead_lab.model.router import RoutingDecision
from switchhead_lab.model.sequence_plan import SequencePlan, plan_sequences
from switchhead_lab.model.sublayer import SublayerOutput

Memory = tuple[Tensor, ...]
"""Past inputs of each layer, [B, M, D], oldest first, without gradient."""


@dataclass(frozen=True)
class ModelOutput:
    """The result of a forward pass.

    Attributes:
        hidden_BTD: Shape [B, T, D]: the output layer's input.
        output: The output layer.
        memory: Memory for the next chunk, one tensor per layer; empty without memory.
        auxiliary_loss: Scalar to add to the training loss; None if no layer has one.
        choices: Choices of experts by router, e.g. "blocks.0.attention.value_router", including
            those of padding.
    """

    hidden_BTD: Tensor
    output: nn.Linear
    memory: Memory
    auxiliary_loss: Tensor | None
    choices: Mapping[str, RoutingDecision]

    @cached_property
    def logits_BTV(self) -> Tensor:
        """Predictions at every position, shape [B, T, V]; computed on access."""
        logits: Tensor = self.output(self.hidden_BTD)
        return logits


class Block(nn.Module):
    """Pre-LayerNorm block: `x + attention(LN(memory, x))`, then `x + feedforward(LN(x))`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.d_model)
        self.attention = config.attention.build(config.positions, config.d_model)
        self.feedforward_norm = nn.LayerNorm(config.d_model)
        self.feedforward = config.feedforward.build(config.d_model)

    def forward(
        self, x_BTD: Tensor, memory_BMD: Tensor | None, plan: SequencePlan
    ) -> SublayerOutput:
        """Transform a chunk, attending to the memory before it."""
        context = x_BTD if memory_BMD is None else torch.cat([memory_BMD, x_BTD], dim=1)
        attention = self.attention(self.attention_norm(context), plan)
        x_BTD = _add_residual(x_BTD, attention.output_BTD)
        feedforward = self.feedforward(self.feedforward_norm(x_BTD), plan)
        parts = {"attention": attention, "feedforward": feedforward}
        return SublayerOutput(
            _add_residual(x_BTD, feedforward.output_BTD),
            {
                f"{name}.{router}": choice
                for name, part in parts.items()
                for router, choice in part.choices.items()
            },
            sum_losses(part.auxiliary_loss for part in parts.values()),
        )


def _add_residual(x: Tensor, change: Tensor) -> Tensor:
    """Return `x + change`.

    On a GPU, adding tensors of two dtypes is several times slower than a cast and an addition.
    """
    if x.device.type == "cuda":
        change = change.to(torch.promote_types(x.dtype, change.dtype))
    return x + change


class Transformer(nn.Module):
    """Transformer over tokens, with memory of earlier chunks if the configuration has it.

    Set `checkpoint_activations` to recompute each block in the backward pass, which saves memory.

    Source: SwitchHead (arXiv:2312.07987), Sec. 2 and A.5: embedding scaled by sqrt(D), final
    LayerNorm, untied output layer with bias.
    """

    def __init__(self, config: ModelConfig, vocab_size: int, n_outputs: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.checkpoint_activations = False
        self.memory_len = config.memory_len
        self.embedding_scale = math.sqrt(config.d_model)
        self.embedding = nn.Embedding(vocab_size, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.final_norm = nn.LayerNorm(config.d_model)
        self.output = nn.Linear(config.d_model, vocab_size if n_outputs is None else n_outputs)

    def compile_blocks(self, backend: str = "inductor") -> None:
        """Compile each block with torch.compile at its first use; parameter names do not change.

        Args:
            backend: A backend of torch.compile.
        """
        for block in self.blocks:
            block.compile(backend=backend, dynamic=False)

    @torch.no_grad()
    def reset_parameters(self, seed: int) -> None:
        """Initialise every parameter from a seed, on the CPU so that all devices get the same."""
        generator = torch.Generator().manual_seed(seed)
        d_model = self.embedding.embedding_dim
        init_normal(self.embedding.weight, d_model, 1.0, generator)
        scale = block_scale(len(self.blocks))
        for block in self.blocks:
            assert isinstance(block, Block)
            block.attention.reset_parameters(scale, generator)
            block.feedforward.reset_parameters(scale, generator)
        init_normal(self.output.weight, d_model, 1.0, generator)
        self.output.bias.zero_()

    def forward(
        self, tokens_BT: Tensor, memory: Memory = (), is_token_BT: Tensor | None = None
    ) -> ModelOutput:
        """Predict at every position of a chunk.

        Args:
            tokens_BT: Shape [B, T], int64 in [0, vocab_size).
            memory: `ModelOutput.memory` of the previous chunk; empty at the start of a stream.
            is_token_BT: False for padding, which no token sees; None without padding.
        """
        x_BTD = self.embedding(tokens_BT) * self.embedding_scale
        plan = self._plan(x_BTD, memory, is_token_BT)
        new_memory, losses = [], []
        choices: dict[str, RoutingDecision] = {}
        for number, block in enumerate(self.blocks):
            layer_memory = memory[number] if memory else None
            if self.memory_len:
                new_memory.append(self._remember(layer_memory, x_BTD))
            done = self._run(block, x_BTD, layer_memory, plan)
            x_BTD = done.output_BTD
            losses.append(done.auxiliary_loss)
            choices |= {f"blocks.{number}.{name}": part for name, part in done.choices.items()}
        return ModelOutput(
            self.final_norm(x_BTD), self.output, tuple(new_memory), sum_losses(losses), choices
        )

    def _run(
        self, block: nn.Module, x_BTD: Tensor, memory_BMD: Tensor | None, plan: SequencePlan
    ) -> SublayerOutput:
        if self.checkpoint_activations and torch.is_grad_enabled():
            done = checkpoint(block, x_BTD, memory_BMD, plan, use_reentrant=False)
        else:
            done = block(x_BTD, memory_BMD, plan)
        assert isinstance(done, SublayerOutput)
        return done

    def _plan(self, x_BTD: Tensor, memory: Memory, is_token_BT: Tensor | None) -> SequencePlan:
        n_queries = x_BTD.shape[1]
        n_remembered = memory[0].shape[1] if memory else 0
        return plan_sequences(
            self.config,
            n_queries,
            n_remembered + n_queries,
            dtype=in_compute_dtype(x_BTD).dtype,
            device=x_BTD.device,
            is_token_BT=is_token_BT,
        )

    def _remember(self, memory_BMD: Tensor | None, x_BTD: Tensor) -> Tensor:
        x_BTD = x_BTD.detach()
        if memory_BMD is not None and x_BTD.shape[1] < self.memory_len:
            x_BTD = torch.cat([memory_BMD, x_BTD], dim=1)
        return x_BTD[:, -self.memory_len :]


def sum_losses(losses: Iterable[Tensor | None]) -> Tensor | None:
    """Return the sum of the auxiliary losses that are not None; None if all are."""
    present = [loss for loss in losses if loss is not None]
    return torch.stack(present).sum() if present else None


def build_model(
    config: ModelConfig, vocab_size: int, seed: int, n_outputs: int | None = None
) -> Transformer:
    """Build and initialise the model of a configuration, on the CPU in float32.

    Args:
        config: Architecture.
        vocab_size: Number of tokens.
        seed: Seed of the initialisation.
        n_outputs: Width of the output layer; by default vocab_size.
    """
    model = Transformer(config, vocab_size, n_outputs)
    model.reset_parameters(seed)
    return model
