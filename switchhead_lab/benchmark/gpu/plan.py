"""The parts of the command, cheapest and most informative first, and their time limits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One part, run in its own process.

    Attributes:
        name: Short name, also that of the module with its cases.
        title: What it checks or measures.
        seconds: Its share of the command's time; unused time goes to later parts.
        case_seconds: Time after which a case counts as hanging.
    """

    name: str
    title: str
    seconds: float
    case_seconds: float

    @property
    def module(self) -> str:
        """Module that lists the part's cases."""
        return f"switchhead_lab.benchmark.gpu.{self.name}"


PARTS = (
    Part("machine", "versions, best matmul, memory bandwidth", 30, 30),
    Part("kernels", "every Triton kernel against the float64 definition", 70, 30),
    Part("models", "loss and gradients of every variant against the CPU in float64", 30, 15),
    Part("steps", "training steps, Table 5: eager and captured", 120, 45),
    Part("training", "200 steps of training against the CPU's losses", 40, 40),
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


def part_named(name: str) -> Part:
    """Return the part with this name."""
    return next(part for part in PARTS if part.name == name)
