"""SwitchHead attention: projections with experts, one attention map per head.

Letters: B batch, T query positions, S key positions (memory + chunk), L either one, D d_model,
H heads, P d_head, E experts per head, K chosen per token, N tokens (B * L).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from switchhead_kernels.attention_input import AttentionInput, attention_input
from switchhead_kernels.expert_matmul import expert_matmul
from switchhead_lab.model.initialisation import init_normal
from switchhead_lab.model.positions import (
    build_positions,
    merge_heads,
    split_heads,
)
from switchhead_lab.model.router import RoutedChoice, Router, route
from switchhead_lab.model.sequence_plan import SequencePlan
from switchhead_lab.model.sublayer import SublayerOutput
from switchhead_lab.variants.positions import PositionsConfig
from switchhead_lab.variants.switchhead import (
    DESTINATION_PROJECTIONS,
    SOURCE_PROJECTIONS,
    SwitchHeadAttention,
)


class SwitchHeadMultiHeadAttention(nn.Module):
    """SwitchHead attention, by default with experts for the value and output projections.

    `V_h = sum_{e in E_S} s_S[e] x W_V[h, e]` and
    `y = sum_h sum_{e in E_D} s_D[e] (A_h V_h) W_O[h, e]` with `s = sigmoid(x W_router[h])`;
    E_S and E_D are the K largest of s_S (source side, key positions) and of s_D (destination side,
    query positions). Key projections with experts use the source's choice, query projections the
    destination's.

    Source: SwitchHead (arXiv:2312.07987), Sec. 2.2 and 3.4.
    Symbols: `value_router` W_S, `output_router` W_D, `value_weight` W_V, `output_weight` W_O.
    """

    def __init__(
        self, config: SwitchHeadAttention, positions: PositionsConfig, d_model: int
    ) -> None:
        super().__init__()
        self.config, self.d_model = config, d_model
        H, P, E = config.n_heads, config.d_head, config.n_experts
        experts = set(config.expert_projections)

        def projection(name: str) -> nn.Parameter:
            if name in experts:
                widths = (P, d_model) if name == "o" else (d_model, P)
                return nn.Parameter(torch.empty(H, E, *widths))
            widths = (d_model, H * P) if name == "o" else (H * P, d_model)
            return nn.Parameter(torch.empty(widths))

        self.query_weight = projection("q")
        self.key_weight = projection("k")
        self.value_weight = projection("v")
        self.output_weight = projection("o")
        self.positions = build_positions(positions, d_model, H, P, has_bias=False)
        if experts & set(SOURCE_PROJECTIONS):
            self.value_router = self._router(d_model)
        if experts & set(DESTINATION_PROJECTIONS) and not config.shared_selection:
            self.output_router = self._router(d_model)

    def reset_parameters(self, scale: float, generator: torch.Generator) -> None:
        """Initialise every parameter; fan-in as in the dense layer of the same heads."""
        init_normal(self.query_weight, self.d_model, scale, generator)
        init_normal(self.key_weight, self.d_model, scale, generator)
        self.positions.reset_parameters(scale, generator)
        init_normal(self.value_weight, self.d_model, scale, generator)
        width = self.config.n_heads * self.config.d_head
        init_normal(self.output_weight, width, scale, generator)
        for router in self.children():
            if isinstance(router, Router):
                router.reset_parameters(scale, generator)

    def forward(self, context_BSD: Tensor, plan: SequencePlan) -> SublayerOutput:
        """Attend from the last T positions to the keys that the plan allows.

        Args:
            context_BSD: Shape [B, S, D], normalised memory and chunk.
            plan: Queries, keys, mask and position table.
        """
        given = attention_input(context_BSD, plan.n_queries)
        source, destination = self._choose(given)
        mixed_HBTP = self.positions.attend(
            self._to_heads("q", self.query_weight, given.chunk_BTD, destination),
            self._to_heads("k", self.key_weight, given.context_BSD, source),
            self._to_heads("v", self.value_weight, given.context_BSD, source),
            plan,
        )
        choices = {"value_router": source, "output_router": destination}
        if self.config.shared_selection:
            del choices["output_router"]
        return SublayerOutput(
            self._from_heads(mixed_HBTP, destination),
            {name: routed.choice for name, routed in choices.items() if routed is not None},
        )

    def _choose(self, given: AttentionInput) -> tuple[RoutedChoice | None, RoutedChoice | None]:
        """Return the choices at the key positions and at the query positions."""
        source = destination = None
        if hasattr(self, "value_router"):
            source = self.value_router(given.exact_context_BSD.flatten(0, 1))
        if hasattr(self, "output_router"):
            destination = self.output_router(given.exact_chunk_BTD.flatten(0, 1))
        elif self.config.shared_selection and source is not None:
            destination = route(source.choice.last_positions(*given.chunk_BTD.shape[:2]))
        return source, destination

    def _to_heads(
        self, name: str, weight: Tensor, x_BLD: Tensor, routed: RoutedChoice | None
    ) -> Tensor:
        """Project [B, L, D] to [H, B, L, P], with experts if the projection has them."""
        if name not in self.config.expert_projections:
            return split_heads(F.linear(x_BLD, weight), self.config.d_head)
        assert routed is not None, "a projection with experts has a router on its side"
        rows_NHP = expert_matmul(
            x_BLD.flatten(0, 1),
            weight,
            routed.routing,
            routed.choice.weight_NHK,
            rows_in="token",
            rows_out="head",
        )
        return rows_NHP.unflatten(0, x_BLD.shape[:2]).movedim(-2, 0)

    def _from_heads(self, x_HBTP: Tensor, routed: RoutedChoice | None) -> Tensor:
        """Project [H, B, T, P] to [B, T, D], with experts if the projection has them."""
        weight = self.output_weight
        if "o" not in self.config.expert_projections:
            return F.linear(merge_heads(x_HBTP), weight)
        assert routed is not None, "a projection with experts has a router on its side"
        B, T = x_HBTP.shape[1:3]
        output_ND = expert_matmul(
            x_HBTP.permute(1, 2, 0, 3).flatten(0, 1),
            weight,
            routed.routing,
            routed.choice.weight_NHK,
            rows_in="head",
            rows_out="token",
        )
        return output_ND.view(B, T, -1)

    def _router(self, d_model: int) -> Router:
        config = self.config
        return Router(
            d_model,
            config.n_heads,
            config.n_experts,
            config.top_k,
            gate=config.gate,
            p_dropout=config.p_expert_dropout,
        )
