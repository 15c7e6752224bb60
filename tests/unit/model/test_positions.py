import torch

from switchhead_lab.config.architecture import RopePositions
from switchhead_lab.model.positions import (
    RotaryPositions,
    future_mask,
    relative_position_table,
    shift_to_keys,
)


def test_shift_moves_every_distance_to_its_key() -> None:
    T, S = 3, 5
    by_distance = torch.arange(-(S - 1), 2).expand(2, T, S + 1).contiguous()
    shifted = shift_to_keys(by_distance)
    for query in range(T):
        for key in range(S - T + query + 1):
            assert shifted[1, query, key] == key - (S - T + query)


def test_shift_is_a_view() -> None:
    by_distance = torch.zeros(1, 3, 6)
    assert shift_to_keys(by_distance).data_ptr() == by_distance[0, 0, 2].data_ptr()


def test_future_is_masked_and_nothing_else() -> None:
    mask = future_mask(2, 5, torch.zeros(1))
    assert mask.isinf().tolist() == [[False] * 4 + [True], [False] * 5]
    assert mask[~mask.isinf()].eq(0).all()


def test_table_has_sine_on_even_and_cosine_on_odd_channels() -> None:
    table = relative_position_table(4, 6, torch.device("cpu"))
    assert table.shape == (5, 6)
    distance = torch.tensor([-3.0, -2.0, -1.0, 0.0, 1.0])
    torch.testing.assert_close(table[:, 0], distance.sin())
    torch.testing.assert_close(table[:, 1], distance.cos())
    torch.testing.assert_close(table[:, 4], (distance * 10_000 ** (-4 / 6)).sin())


def test_rope_scores_depend_on_the_distance_only() -> None:
    rope = RotaryPositions(RopePositions(), d_head=6)
    x = torch.randn(1, 1, 1, 6, generator=torch.Generator().manual_seed(0))
    y = torch.randn(1, 1, 1, 6, generator=torch.Generator().manual_seed(1))

    def score(i: int, j: int) -> torch.Tensor:
        return (rope._rotate(x, i) * rope._rotate(y, j)).sum()

    torch.testing.assert_close(score(7, 3), score(104, 100))
    assert not torch.allclose(score(7, 3), score(7, 4))


def test_rope_leaves_the_other_channels_alone() -> None:
    x = torch.randn(1, 1, 3, 10, generator=torch.Generator().manual_seed(0))
    rotated = RotaryPositions(RopePositions(), d_head=10)._rotate(x, 5)
    assert torch.equal(rotated[..., 4:], x[..., 4:])  # 5 channels, rounded down to pairs
    assert not torch.equal(rotated[..., :4], x[..., :4])
