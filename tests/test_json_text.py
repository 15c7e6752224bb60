"""Numbers that JSON lacks are null, wherever they lie."""

import json
import math
from types import MappingProxyType

from switchhead_lab.json_text import to_json


def test_infinite_numbers_are_null() -> None:
    data = {"a": math.inf, "b": [1.5, -math.inf, {"c": math.nan}], "d": (2, None, "inf")}
    assert json.loads(to_json(data)) == {
        "a": None,
        "b": [1.5, None, {"c": None}],
        "d": [2, None, "inf"],
    }


def test_other_mappings_are_objects() -> None:
    assert to_json(MappingProxyType({"a": [MappingProxyType({})]})) == to_json({"a": [{}]})


def test_other_text_can_be_kept() -> None:
    assert "\u00fc" in to_json("\u00fc", ensure_ascii=False)
    assert "\u00fc" not in to_json("\u00fc")
