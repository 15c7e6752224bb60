"""Every check of the contract fails for a variant that breaks its promise, and says what."""

import re
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import pytest
from broken_variants import BROKEN, UnderCounts
from pydantic import Field, model_validator

from switchhead_lab.contract.checks import CHECKS, report_variant
from switchhead_lab.variants.base import Variant
from switchhead_lab.variants.contract import find_gaps, first_problem
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.examples import examples_of
from switchhead_lab.variants.moa import MoaAttention

BY_NAME = {check.__name__: check for check in CHECKS}


def name_of(value: object) -> str | None:
    return value.__name__ if isinstance(value, type) else None


@pytest.mark.parametrize(("variant", "check", "message"), BROKEN, ids=name_of)
def test_a_broken_promise_is_found(variant: type[Variant], check: str, message: str) -> None:
    problem = first_problem(BY_NAME[check], variant)
    assert re.search(message, problem), problem or "no problem was found"


def test_every_check_can_fail() -> None:
    assert {check for _, check, _ in BROKEN} == set(BY_NAME)


def test_one_mistake_breaks_one_promise() -> None:
    report = report_variant(UnderCounts)
    assert [f.check for f in report.findings if f.problem] == ["parameters match their counts"]
    assert report.is_broken
    assert not report_variant(DenseAttention).is_broken


class HasFieldsOfItsOwn(DenseAttention):
    rule: Literal["first", "second"]
    is_wide: bool = False
    loss_coefficient: float = 0.0
    n_parts: int = Field(ge=1)


class NeedsATable(DenseAttention):
    table: dict[str, int]


class NeedsEqualSizes(DenseAttention):
    @model_validator(mode="after")
    def _are_equal(self) -> Self:
        if self.n_heads != self.d_head:
            raise ValueError("n_heads and d_head differ")
        return self


class HasItsOwnExamples(NeedsEqualSizes):
    @classmethod
    def examples(cls) -> Sequence[Self]:
        return (cls(n_heads=3, d_head=3),)


def test_examples_are_derived_from_the_fields() -> None:
    usual = {"n_heads": 2, "d_head": 5, "rule": "first", "n_parts": 2}
    expected = [{}, {"rule": "second"}, {"is_wide": True}, {"loss_coefficient": 0.1}]
    assert examples_of(HasFieldsOfItsOwn) == [
        HasFieldsOfItsOwn(**{**usual, **change}) for change in expected
    ]
    # Sizes that bound each other.
    assert examples_of(MoaAttention)[0] == MoaAttention(n_heads=2, d_head=8, n_experts=3)


def test_own_examples_take_precedence() -> None:
    assert examples_of(HasItsOwnExamples) == [HasItsOwnExamples(n_heads=3, d_head=3)]


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (
            NeedsATable,
            "no example value can be derived for table; define the class method examples()",
        ),
        (NeedsEqualSizes, "n_heads and d_head differ; define the class method examples()"),
    ],
)
def test_a_variant_without_an_example_is_broken(variant: type[Variant], message: str) -> None:
    (finding,) = report_variant(variant).findings
    assert finding.check == "examples"
    assert message in finding.problem


def test_gaps_do_not_break_the_contract() -> None:
    class WithoutFormulas(DenseAttention):
        conventions: ClassVar[tuple[str, ...]] = ("equations",)
        p_of_its_own: float = 0.0

    gaps = find_gaps(WithoutFormulas)
    assert gaps["formulas"].startswith("none for published: ")
    assert gaps["descriptions"] == "no docstring under p_of_its_own"
    assert find_gaps(DenseAttention) == {}
