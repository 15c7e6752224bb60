"""Imports the built-in variants, which registers them."""

from switchhead_lab.variants import (
    dense_attention,
    dense_feedforward,
    grouped_query,
    moa,
    sigma_moe,
    switchhead,
)

__all__ = [
    "dense_attention",
    "dense_feedforward",
    "grouped_query",
    "moa",
    "sigma_moe",
    "switchhead",
]
