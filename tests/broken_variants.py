"""Variants that break one promise each: dense attention or feed-forward with one mistake."""

import itertools
from dataclasses import replace
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from switchhead_lab.model.attention.dense import DenseMultiHeadAttention
from switchhead_lab.model.attention.moa import MoaMultiHeadAttention
from switchhead_lab.model.sublayer import SublayerOutput
from switchhead_lab.variants.base import Cost, Experts, SizeField, Variant
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.moa import MoaAttention


class Layer(DenseMultiHeadAttention):
    """Dense attention whose output a subclass changes."""

    def forward(self, context_BSD, plan) -> SublayerOutput:
        done = super().forward(context_BSD, plan)
        return replace(done, output_BTD=self.change(done.output_BTD, context_BSD))

    def change(self, output_BTD, context_BSD):
        return output_BTD


def variant_with(layer: type[nn.Module]) -> type[Variant]:
    """Return dense attention computed by another module."""

    class Changed(DenseAttention):
        def build(self, *arguments):
            return layer(self, *arguments)

    return Changed


class SeesTheFuture(Layer):
    def change(self, output_BTD, context_BSD):
        return output_BTD + output_BTD.mean(dim=1, keepdim=True)


class ScalesOutputsWithMemory(Layer):
    def change(self, output_BTD, context_BSD):
        return output_BTD * (2.0 if context_BSD.shape[1] > output_BTD.shape[1] else 1.0)


class IgnoresMemory(Layer):
    def forward(self, context_BSD, plan) -> SublayerOutput:
        T = plan.n_queries
        mask = None if plan.mask is None else plan.mask[..., -T:]
        table = plan.table[-T:] if plan.table.dim() == 3 else plan.table[-(T + 1) :]
        alone = replace(plan, n_keys=T, mask=mask, table=table)
        return super().forward(context_BSD[:, -T:], alone)


class SeesPadding(Layer):
    def forward(self, context_BSD, plan) -> SublayerOutput:
        if plan.is_token_BT is None:
            return super().forward(context_BSD, plan)
        return super().forward(context_BSD, replace(plan, mask=None))


class CountsPadding(Layer):
    def forward(self, context_BSD, plan) -> SublayerOutput:
        done = super().forward(context_BSD, plan)
        return replace(done, auxiliary_loss=done.output_BTD.square().sum())


class LearnsNoQuery(Layer):
    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.query_weight.register_hook(torch.zeros_like)


class HasMoreParameters(Layer):
    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.gain = nn.Parameter(torch.empty(1))

    def reset_parameters(self, scale, generator) -> None:
        super().reset_parameters(scale, generator)
        nn.init.ones_(self.gain)


class HasAnIdleParameter(DenseAttention):
    def parameter_parts(self, layer):
        return {**super().parameter_parts(layer), "gain": 1}

    def build(self, *arguments):
        return HasMoreParameters(self, *arguments)


class ForgetsToInitialise(Layer):
    def reset_parameters(self, scale, generator) -> None:
        self.positions.reset_parameters(scale, generator)


class IgnoresTheGenerator(Layer):
    def reset_parameters(self, scale, generator) -> None:
        super().reset_parameters(scale, torch.Generator().manual_seed(torch.seed() % 2**31))


class IgnoresTheScale(Layer):
    def reset_parameters(self, scale, generator) -> None:
        super().reset_parameters(1.0, generator)


class KeepsState(Layer):
    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.gain = next(GAINS)

    def change(self, output_BTD, context_BSD):
        return self.gain * output_BTD


GAINS = itertools.count(1.0)


class IsRandom(Layer):
    def change(self, output_BTD, context_BSD):
        return output_BTD * torch.rand(())


class RoundsToThreeBits(Layer):
    def change(self, output_BTD, context_BSD):
        if output_BTD.dtype != torch.bfloat16:
            return output_BTD
        return output_BTD.to(torch.float8_e5m2).to(torch.bfloat16)


class ScalesOutputsInTraining(Layer):
    def change(self, output_BTD, context_BSD):
        return output_BTD * (1.5 if self.training else 1.0)


class ReturnsAnotherType(Layer):
    def change(self, output_BTD, context_BSD):
        return output_BTD.double()


class ReturnsATensor(DenseMultiHeadAttention):
    def forward(self, context_BSD, plan):
        return super().forward(context_BSD, plan).output_BTD


class HasAnUncountedOperation(Layer):
    def change(self, output_BTD, context_BSD):
        return output_BTD + 1e-3 * torch.erfinv(output_BTD)


class ChangesWhenRecomputed(Layer):
    """Its output changes when the block is recomputed."""

    n_passes = 0

    def change(self, output_BTD, context_BSD):
        self.n_passes += 1
        return output_BTD * (1.0 if self.n_passes == 1 else 1.25)


class HidesItsRouter(MoaMultiHeadAttention):
    def forward(self, context_BSD, plan) -> SublayerOutput:
        return replace(super().forward(context_BSD, plan), choices={})


class MoaWithHiddenRouter(MoaAttention):
    def build(self, *arguments):
        return HidesItsRouter(self, *arguments)


class UnderCounts(DenseAttention):
    def parameter_parts(self, layer):
        parts = super().parameter_parts(layer)
        return {**parts, "value_weight": parts["value_weight"] // 2}


class CountsFlops(DenseAttention):
    def forward_cost(self, layer, convention):
        cost = super().forward_cost(layer, convention)
        return Cost(2 * cost.macs, cost.saved_floats)


class CountsFewFloats(DenseAttention):
    def forward_cost(self, layer, convention):
        cost = super().forward_cost(layer, convention)
        return Cost(cost.macs, cost.saved_floats // 3)


class ClaimsToBeExact(DenseAttention):
    exact_conventions: ClassVar[tuple[str, ...]] = ("equations",)


class CountsOneExtraToken(DenseFeedForward):
    def forward_cost(self, layer, convention):
        return super().forward_cost(replace(layer, seq_len=layer.seq_len + 1), convention)


class CountsInFractions(DenseAttention):
    def parameter_parts(self, layer):
        return {name: count / 1 for name, count in super().parameter_parts(layer).items()}


class PricesInFractions(DenseAttention):
    def forward_cost(self, layer, convention):
        cost = super().forward_cost(layer, convention)
        return Cost(cost.macs / 2, cost.saved_floats)


class PricesOneLength(DenseAttention):
    def forward_cost(self, layer, convention):
        return super().forward_cost(replace(layer, seq_len=9), convention)


class HasIndivisibleExperts(DenseAttention):
    @property
    def experts(self):
        return Experts(n_experts=7, n_chosen=1, width=self.d_head)

    def expert_parts(self):
        return ("value_weight",)


class DoublesItsHeadWidth(DenseAttention):
    @model_validator(mode="before")
    @classmethod
    def _double(cls, values):
        return {**values, "d_head": 2 * values["d_head"]}


class NeedsEvenHeads(DenseAttention):
    @model_validator(mode="after")
    def _heads_are_even(self) -> Self:
        if self.n_heads % 2:
            raise ValueError(f"n_heads={self.n_heads}: use an even number")
        return self


class HasALooseBound(DenseAttention):
    sizes: ClassVar[tuple[SizeField, ...]] = (
        SizeField("n_heads", largest="d_head"),
        SizeField("d_head"),
    )


class HasAnIdleSize(DenseAttention):
    sizes: ClassVar[tuple[SizeField, ...]] = (*DenseAttention.sizes, SizeField("n_idle"))
    n_idle: int = Field(ge=1)


class ShrinksWithHeads(DenseAttention):
    def parameter_parts(self, layer):
        return {"query_weight": 1000 // self.n_heads}


class HidesItsPadding(DenseFeedForward):
    sizes: ClassVar[tuple[SizeField, ...]] = (SizeField("d_ff"),)


class DropsNothing(DenseAttention):
    p_dropout: float = 0.0


BROKEN = [
    (DoublesItsHeadWidth, "configuration_round_trips", "another configuration"),
    (
        CountsInFractions,
        "parameter_counts_are_positive_integers",
        "query_weight has 120.0 parameters",
    ),
    (HasIndivisibleExperts, "expert_parts_divide_by_experts", "evenly among 7 experts"),
    (PricesInFractions, "formulas_grow_with_sequence_length", "equations: "),
    (PricesOneLength, "formulas_grow_with_sequence_length", "at twice that"),
    (NeedsEvenHeads, "sizes_accept_their_values", "n_heads=1 is rejected: n_heads=1: use"),
    (HasALooseBound, "sizes_accept_their_values", "n_heads=6 is accepted, .* maximum is d_head=5"),
    (HasAnIdleSize, "budget_grows_with_sizes", "no parameters or MACs depend on it"),
    (ShrinksWithHeads, "budget_grows_with_sizes", "parameters shrink with n_heads"),
    (variant_with(ReturnsAnotherType), "output_has_the_shape_of_its_input", "float64, inputs"),
    (variant_with(ReturnsATensor), "output_has_the_shape_of_its_input", "returns a Tensor, not a"),
    (variant_with(SeesTheFuture), "no_token_sees_a_later_one", "token 1 changes predictions"),
    (
        variant_with(ScalesOutputsWithMemory),
        "memory_equals_a_longer_context",
        "differs from the end",
    ),
    (variant_with(IgnoresMemory), "memory_equals_a_longer_context", "differs from the end"),
    (variant_with(SeesPadding), "bidirectional_tokens_see_all_but_padding", "see the padding at 4"),
    (variant_with(SeesPadding), "padding_has_no_effect", "changes the outputs"),
    (variant_with(CountsPadding), "padding_has_no_effect", "auxiliary loss includes padding"),
    (MoaWithHiddenRouter, "choices_of_all_routers_are_returned", "choices \\[\\]"),
    (
        variant_with(ScalesOutputsInTraining),
        "training_differs_only_by_dropout",
        "differ without dropout",
    ),
    (DropsNothing, "training_differs_only_by_dropout", "p_dropout has no effect"),
    (variant_with(RoundsToThreeBits), "bf16_is_close_to_fp32", "rounding allows 2%"),
    (UnderCounts, "parameters_match_their_counts", "value_weight has 120 .* counts 60"),
    (variant_with(HasMoreParameters), "parameters_match_their_counts", "gain has 1 .* counts 0"),
    (variant_with(ForgetsToInitialise), "parameters_are_initialised", "is not initialised"),
    (variant_with(IgnoresTheGenerator), "parameters_are_initialised", "the generator alone"),
    (variant_with(IgnoresTheScale), "parameters_are_initialised", "in proportion to `scale`"),
    (HasAnIdleParameter, "gradients_reach_every_parameter", "attention.gain gets no gradient"),
    (variant_with(LearnsNoQuery), "gradients_reach_every_parameter", "query_weight is zero"),
    (variant_with(KeepsState), "state_dict_is_complete", "not all its state"),
    (variant_with(IsRandom), "state_dict_is_complete", "not all its state"),
    (variant_with(KeepsState), "equal_seeds_give_equal_bits", "differ"),
    (
        variant_with(HasAnUncountedOperation),
        "executed_costs_are_counted",
        "erfinv.* has no FLOP formula",
    ),
    (HidesItsPadding, "executed_costs_are_counted", "do not grow .* set executed_step"),
    (CountsFlops, "formulas_agree_with_executed_costs", "equations: .* MACs, executed"),
    (CountsFewFloats, "formulas_agree_with_executed_costs", "saved floats, executed"),
    (ClaimsToBeExact, "formulas_agree_with_executed_costs", "equations: .* MACs, executed"),
    (CountsOneExtraToken, "formulas_agree_with_executed_costs", "equations: 1"),
    (variant_with(ChangesWhenRecomputed), "checkpointing_saves_less", "changes gradients"),
]
