"""What is known about a claim while seeds are added to decide it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClaimState:
    """What is known about a claim.

    Attributes:
        name: Its name.
        models: The two models compared.
        n_pairs: Seeds with a result of both.
        max_seeds: Most pairs that it may use.
        needs_seeds: Whether more seeds could decide it.
        prices: Cost of one run of each, in any unit common to the sweep's claims.
    """

    name: str
    models: tuple[str, str]
    n_pairs: int
    max_seeds: int
    needs_seeds: bool
    prices: tuple[float, float]
