"""The parts of the command, cheapest and most informative first, and their time limits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One part, run in its own processes.

    Attributes:
        name: Short name, also that of the module with its cases.
        title: What it checks or measures.
        seconds: Its share of the command's time; unused time goes to later parts.
        case_seconds: Time after which a case counts as hanging.
        n_workers: Processes that share its cases; 1 for whatever is timed.
    """

    name: str
    title: str
    seconds: float
    case_seconds: float
    n_workers: int = 1

    @property
    def module(self) -> str:
        """Module that lists the part's cases."""
        return f"switchhead_lab.benchmark.gpu.{self.name}"


PARTS = (
    Part("machine", "versions, best matmul, memory bandwidth", 30, 30),
    Part("kernels", "every Triton kernel against the float64 definition", 50, 40, n_workers=8),
    Part(
        "models",
        "loss and gradients of every variant against the CPU in float64",
        20,
        30,
        n_workers=6,
    ),
    Part("steps", "training steps, Table 5: eager and captured", 150, 45),
    Part("training", "200 steps of training against the CPU's losses", 40, 60, n_workers=2),
    Part("products", "expert matmuls beside matmuls of the same MACs", 60, 30),
    Part("profile", "where a step's time goes", 45, 25),
    Part("tiles", "tiles chosen by rule beside the fastest", 30, 20),
    Part("compiled", "training steps with compiled blocks", 45, 90),
)

MINUTES = 8.0
"""Default time limit of the command."""

RESERVED_SECONDS = 10.0
"""Reserved at the end for writing results."""

EXIT_DEVICE_LOST = 17
"""Exit code of a worker whose last case left the device unusable."""

EXIT_NO_DEVICE = 18
"""Exit code of a worker without a CUDA device."""
