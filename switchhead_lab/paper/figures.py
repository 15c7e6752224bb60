"""Reads the paper's printed figures from the data file in this package."""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

import tomli

DATA_FILE = "switchhead.toml"
# The paper's names of models by family.
_NAMES = {
    "dense": "transformer",
    "SwitchHead": "switchhead",
    "SwitchHead + sigma-MoE": "switchall",
    "MoA": "moa",
}
_UNITS = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12}
Row = Mapping[str, Any]


@cache
def load_figures() -> dict[str, Any]:
    """Return the whole data file: "training", "hyperparameters" and "table"."""
    text = resources.files("switchhead_lab.paper").joinpath(DATA_FILE).read_text("utf-8")
    return tomli.loads(text)


def load_tables() -> list[dict[str, Any]]:
    """Return the tables of the paper as data."""
    tables: list[dict[str, Any]] = load_figures()["table"]
    return tables


def name_of(family: str) -> str:
    """Return the paper's name of a model family; empty if the paper has none."""
    return _NAMES.get(family, "")


def dataset_of(row: Row, table: Row) -> str:
    """Return the data set of a row, or that of its table."""
    return str(row.get("dataset", table.get("dataset", "")))


def parse_count(text: str) -> float:
    """Read a count as printed in the paper: "170.4M", "2.0G".

    Raises:
        ValueError: If it is not a number with an optional unit k, M, G or T.
    """
    number, exponent = _split_count(text)
    return float(number.scaleb(exponent))


def prints_as(value: float, printed: str) -> bool:
    """Return whether a value, rounded to the precision of a printed figure, equals it.

    An exact half may go either way.

    Args:
        value: Exact count.
        printed: Figure as printed, e.g. "170.4M".
    """
    number, exponent = _split_count(printed)
    unit = Decimal(1).scaleb(int(number.as_tuple().exponent))
    return abs(Decimal(value).scaleb(-exponent) - number) <= unit / 2


def _split_count(text: str) -> tuple[Decimal, int]:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kMGT]?)", text)
    if match is None:
        raise ValueError(f"{text!r} is not a count; write it like 170.4M")
    return Decimal(match[1]), _UNITS[match[2]]
