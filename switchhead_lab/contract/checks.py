"""All checks of the contract, and their results for a variant.

A check is a function of an example and its position encoding. Its docstring is the promise; it
raises `ContractError` if that is broken.
"""

from dataclasses import dataclass

from switchhead_lab.contract import costs, outputs, parameters
from switchhead_lab.variants.base import Block, Variant
from switchhead_lab.variants.contract import (
    CLASS_CHECKS,
    Check,
    check_name,
    find_gaps,
    first_problem,
)
from switchhead_lab.variants.examples import describe, examples_of
from switchhead_lab.variants.registry import kind_of

_EXAMPLES_PROMISE = "The variant has examples, or they can be derived from its fields."

CHECKS: tuple[Check, ...] = (
    *CLASS_CHECKS,
    outputs.output_has_the_shape_of_its_input,
    outputs.no_token_sees_a_later_one,
    outputs.memory_equals_a_longer_context,
    outputs.bidirectional_tokens_see_all_but_padding,
    outputs.padding_has_no_effect,
    outputs.choices_of_all_routers_are_returned,
    outputs.training_differs_only_by_dropout,
    outputs.bf16_is_close_to_fp32,
    parameters.parameters_match_their_counts,
    parameters.parameters_are_initialised,
    parameters.gradients_reach_every_parameter,
    parameters.state_dict_is_complete,
    parameters.equal_seeds_give_equal_bits,
    costs.executed_costs_are_counted,
    costs.formulas_agree_with_executed_costs,
    costs.checkpointing_saves_less,
)


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        check: Name of the check.
        promise: The promise it checks, in one sentence.
        problem: What is wrong; empty if the promise is kept.
    """

    check: str
    promise: str
    problem: str


@dataclass(frozen=True)
class VariantReport:
    """Results of all checks of a variant.

    Attributes:
        kind: Kind of the variant.
        block: Which block of a layer it is.
        examples: The examples that were checked, by their fields.
        findings: One for each check; a single one if there are no examples.
        gaps: What it lacks without breaking the contract, by subject.
    """

    kind: str
    block: Block
    examples: list[str]
    findings: list[Finding]
    gaps: dict[str, str]

    @property
    def is_broken(self) -> bool:
        """Whether a promise is broken."""
        return any(finding.problem for finding in self.findings)


def report_variant(variant: type[Variant]) -> VariantReport:
    """Run every check on all examples of a variant.

    Args:
        variant: Class of the variant; it need not be registered.
    """
    try:
        examples = [describe(example) for example in examples_of(variant)]
    except Exception as error:  # variant code may raise anything
        examples, findings = [], [Finding("examples", _EXAMPLES_PROMISE, str(error))]
    else:
        findings = [
            Finding(check_name(check), _promise(check), first_problem(check, variant))
            for check in CHECKS
        ]
    return VariantReport(kind_of(variant), variant.block, examples, findings, find_gaps(variant))


def _promise(check: Check) -> str:
    return (check.__doc__ or "").partition("\n")[0]
