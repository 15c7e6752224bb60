from collections.abc import Callable

import pytest
import torch

from switchhead_kernels.causal_attention import op
from switchhead_kernels.rotation import rotate
from switchhead_lab.model import positions
from switchhead_lab.model.sequence_plan import (
    SequencePlan,
    future_mask,
    relative_position_table,
    rotation_table,
)
from switchhead_lab.variants.positions import RopePositions

CPU = torch.device("cpu")


def test_future_is_masked_and_nothing_else() -> None:
    mask = future_mask(2, 5, torch.float32, CPU)
    assert mask.isinf().tolist() == [[False] * 4 + [True], [False] * 5]
    assert mask[~mask.isinf()].eq(0).all()


def test_table_has_sine_on_even_and_cosine_on_odd_channels() -> None:
    table = relative_position_table(3, 4, 6, "causal", CPU)
    assert table.shape == (5, 6)
    both_ways = relative_position_table(3, 4, 6, "bidirectional", CPU)
    assert torch.equal(both_ways[:5], table)
    torch.testing.assert_close(both_ways[5:, 0], torch.tensor([2.0, 3.0]).sin())
    distance = torch.tensor([-3.0, -2.0, -1.0, 0.0, 1.0])
    torch.testing.assert_close(table[:, 0], distance.sin())
    torch.testing.assert_close(table[:, 1], distance.cos())
    torch.testing.assert_close(table[:, 4], (distance * 10_000 ** (-4 / 6)).sin())


def rotation(d_head: int) -> torch.Tensor:
    return rotation_table(RopePositions(), 105, d_head, CPU)


def test_rope_scores_depend_on_the_distance_only() -> None:
    table = rotation(6)
    x = torch.randn(1, 1, 1, 6, generator=torch.Generator().manual_seed(0))
    y = torch.randn(1, 1, 1, 6, generator=torch.Generator().manual_seed(1))

    def score(i: int, j: int) -> torch.Tensor:
        at_i, at_j = (table[:, [position]] for position in (i, j))
        return (rotate(x, at_i) * rotate(y, at_j)).sum()

    torch.testing.assert_close(score(7, 3), score(104, 100))
    assert not torch.allclose(score(7, 3), score(7, 4))


def test_rope_does_not_change_the_other_channels() -> None:
    x = torch.randn(1, 1, 3, 10, generator=torch.Generator().manual_seed(0))
    rotated = rotate(x, rotation(10)[:, 5:8])
    assert torch.equal(rotated[..., 4:], x[..., 4:])  # 5 channels, rounded down to pairs
    assert not torch.equal(rotated[..., :4], x[..., :4])


@pytest.mark.parametrize("kind", ["causal", "memory", "bidirectional", "padded"])
def test_matmuls_and_fused_attention_agree(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    H, B, T, P = 2, 3, 5, 4
    S = 8 if kind == "memory" else T
    mask = future_mask(T, S, torch.float64, CPU) if kind in ("causal", "memory") else None
    if kind == "padded":
        is_token = torch.arange(S) < torch.tensor([5, 2, 4])[:, None]
        mask = torch.zeros(B, 1, S, dtype=torch.float64).masked_fill(~is_token[:, None], -torch.inf)
    plan = SequencePlan(T, S, kind == "causal", mask, torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(H, B, n, P, dtype=torch.float64, generator=generator).requires_grad_()
        for n in (T, S, S)
    ]
    by_matmuls = "attend_causal" if kind in ("causal", "memory") else "_attend_by_matmuls"
    expected = {False: ["scaled_dot_product_attention"], True: [by_matmuls]}
    results = []
    for has_avx512 in expected:
        monkeypatch.setattr(op, "_HAS_AVX512", has_avx512)
        used = record_calls(monkeypatch)
        out = positions.attend_scaled(*inputs, plan)
        assert used == expected[has_avx512]
        results.append((out, *torch.autograd.grad(out.square().sum(), inputs)))
        monkeypatch.undo()
    for fused, saved in zip(*results, strict=True):
        torch.testing.assert_close(fused, saved)


def record_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each implementation of attention adds its name when it is called."""
    used: list[str] = []

    def recorded(name: str, call: Callable) -> Callable:
        def attend(*args: object, **kwargs: object) -> torch.Tensor:
            used.append(name)
            return call(*args, **kwargs)

        return attend

    for owner, name in (
        (positions.F, "scaled_dot_product_attention"),
        (positions, "attend_causal"),
        (positions, "_attend_by_matmuls"),
    ):
        monkeypatch.setattr(owner, name, recorded(name, getattr(owner, name)))
    return used


def test_many_keys_are_attended_without_saved_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(op, "_HAS_AVX512", True)
    used = record_calls(monkeypatch)
    for n_keys in (1024, 1025):
        x = torch.randn(1, 1, n_keys, 2)
        plan = SequencePlan(n_keys, n_keys, True, None, torch.empty(0))
        positions.attend_scaled(x, x, x, plan)
    assert used == ["attend_causal", "scaled_dot_product_attention"]
