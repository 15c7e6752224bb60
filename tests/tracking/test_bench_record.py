from collections.abc import Callable

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.tracking.bench_record import step_id


def test_the_identity_of_a_step_covers_all_that_its_time_depends_on(
    tiny_config: Callable[..., RunConfig],
) -> None:
    model, other = tiny_config("dense").model, tiny_config("switchhead").model
    same = step_id(model, 256, 256, 4)
    assert step_id(tiny_config("dense", seed=1).model, 256, 256, 4) == same
    others = [
        step_id(other, 256, 256, 4),
        step_id(model, 257, 256, 4),
        step_id(model, 256, 257, 4),
        step_id(model, 256, 256, 8),
    ]
    assert len({same, *others}) == 5
