"""One product for every expert projection, and the choice of its backend.

A slot is one choice: token n, head h, k-th of its experts. Each slot takes the row of its token, of
its token and head, or its own; its product is added to the row of its token, of its token and head,
or stands alone.

| projection           | rows_in | rows_out |
| SwitchHead v, k, q   | token   | head     |
| SwitchHead o         | head    | token    |
| MoA q, sigma-MoE up  | token   | slot     |
| MoA o, sigma-MoE down| slot    | token    |

Letters: N tokens, H heads, E experts per head, K chosen per token and head, X width in, Y width
out.
"""

from typing import Literal

from torch import Tensor

from switchhead_kernels.expert_matmul import dense, reference

Rows = Literal["token", "head", "slot"]
Backend = Literal["dense", "reference"]


def expert_matmul(
    x: Tensor,
    weight_HEXY: Tensor,
    index_NHK: Tensor,
    gate_NHK: Tensor | None = None,
    *,
    rows_in: Rows,
    rows_out: Rows,
    backend: Backend = "dense",
) -> Tensor:
    """Multiply rows with the weights of the experts they are routed to.

    Source: SwitchHead (arXiv:2312.07987), Eq. 8 to 10; sigma-MoE (arXiv:2310.10837), Eq. 11.

    Args:
        x: Shape [N, X], [N, H, X] or [N, H, K, X] by `rows_in`, any float dtype.
        weight_HEXY: Shape [H, E, X, Y].
        index_NHK: Shape [N, H, K], int64 in [0, E), distinct along K.
        gate_NHK: Shape [N, H, K], any float dtype: factor of each product; all 1 if left out.
        rows_in: What a slot's input row belongs to.
        rows_out: What a slot's product is added to.
        backend: "dense" (fast; the combinations of the table above) or "reference" (the
            definition; all combinations).

    Returns:
        Shape [N, Y], [N, H, Y] or [N, H, K, Y] by `rows_out`, dtype of `x`.

    Raises:
        ValueError: If the backend lacks the combination of rows.
    """
    function = dense.expert_matmul if backend == "dense" else reference.expert_matmul
    return function(x, weight_HEXY, index_NHK, gate_NHK, rows_in, rows_out)
