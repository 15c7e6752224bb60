from switchhead_lab.sweeping.estimate import Speed
from switchhead_lab.views.sweep import basis_of_estimates


def speed(*, is_here: bool) -> Speed:
    return Speed(
        step_seconds={},
        seconds_per_mac={"dense": 1e-9},
        n_runs=3,
        devices=("cuda (NVIDIA H100)",),
        is_here=is_here,
        largest_n_parameters=1_384_000,
    )


def test_the_basis_of_estimates_in_words() -> None:
    assert basis_of_estimates({}) == [
        "MACs: whole models, forward and backward, by the convention equations; `lab match` has "
        "every convention",
        "CPU hours are unknown: no finished run on a CPU is recorded here",
        "GPU hours are unknown: no finished run on a GPU is recorded here",
        "times are unknown: no run has finished on this machine yet",
    ]
    _macs, cpu, gpu, times, rough = basis_of_estimates({"gpu": speed(is_here=False)})
    assert cpu == "CPU hours are unknown: no finished run on a CPU is recorded here"
    assert gpu == (
        "GPU hours by 3 finished runs on other machines: cuda (NVIDIA H100); "
        "models of up to 1.384M parameters"
    )
    assert times == "times are unknown: no run has finished on this machine yet"
    assert rough.startswith("estimates are rough: ")
    lines = basis_of_estimates({"cpu": speed(is_here=True)})
    assert "3 finished runs on this machine" in lines[1]
    assert not any(line.startswith("times are unknown") for line in lines)
