"""Which row a slot reads and which it is added to: one formulation for all backends.

`out[s // per_output] += gate[s] * x[s // per_input] @ weight[group[s]]`

| projection            | rows_in | rows_out | per_input | per_output |
| --------------------- | ------- | -------- | --------- | ---------- |
| SwitchHead v, k, q    | token   | head     | H * K     | K          |
| SwitchHead o          | head    | token    | K         | H * K      |
| MoA q, sigma-MoE up   | token   | slot     | H * K     | 1          |
| MoA o, sigma-MoE down | slot    | token    | 1         | H * K      |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Rows = Literal["token", "head", "slot"]


@dataclass(frozen=True)
class Slots:
    """How slots map to rows.

    Attributes:
        per_token: Slots of a token, H * K.
        per_input: Slots that read the same row.
        per_output: Slots whose products are added to the same row.
    """

    per_token: int
    per_input: int
    per_output: int


def slots_of(n_heads: int, top_k: int, rows_in: str, rows_out: str) -> Slots:
    """Return how the slots of a projection map to rows.

    Args:
        n_heads: Heads H.
        top_k: Experts chosen per token and head, K.
        rows_in: What a slot's input row belongs to.
        rows_out: What a slot's product is added to.
    """
    sizes = {"token": n_heads * top_k, "head": top_k, "slot": 1}
    return Slots(n_heads * top_k, sizes[rows_in], sizes[rows_out])


def rows_shape(choices: Sequence[int], rows: str, width: int) -> tuple[int, ...]:
    """Return the shape of rows that belong to tokens, heads or slots.

    Args:
        choices: Tokens N, heads H and experts chosen per token and head K.
        rows: What a row belongs to.
        width: Entries of a row.
    """
    n_sizes = {"token": 1, "head": 2, "slot": 3}[rows]
    return (*choices[:n_sizes], width)
