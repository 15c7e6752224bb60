"""The contract of a variant's class: what the matcher, listings and records rely on.

A check is a function of an example and of the positions around it. Its docstring is the promise;
it raises `ContractError` where that is broken. None needs torch, and all of them together take
milliseconds, so plugins are checked when they are loaded. The package `contract` has the checks of
the module that computes the variant.
"""

from collections.abc import Callable, Iterator

from pydantic import ValidationError

from switchhead_lab.errors import ContractError
from switchhead_lab.variants.base import LayerSizes, SizeField, Variant
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.examples import describe, examples_of, reason_of
from switchhead_lab.variants.positions import Positions, RopePositions, TransformerXLPositions

Check = Callable[[Variant, Positions], None]
POSITIONS: tuple[Positions, ...] = (TransformerXLPositions(), RopePositions())
D_MODEL, SEQ_LEN = 12, 9
_N_VALUES = 4


def require(kept: bool, problem: str) -> None:
    """Raise unless a promise is kept.

    Raises:
        ContractError: With the problem.
    """
    if not kept:
        raise ContractError(problem)


def first_problem(check: Check, variant: type[Variant]) -> str:
    """Run a check on all examples of a variant with all positions.

    Returns:
        What is wrong with the first example that fails, and which one it is; empty if none does.
    """
    for example in examples_of(variant):
        for positions in POSITIONS:
            try:
                check(example, positions)
            except ContractError as error:
                problem = str(error)
            except Exception as error:  # whatever the variant's code raises
                problem = f"{type(error).__name__}: {error}"
            else:
                continue
            return f"{problem} ({describe(example)}, {positions.kind} positions)"
    return ""


def broken_class_promises(variant: type[Variant]) -> Iterator[str]:
    """Yield what a variant's class breaks, one line for each check; without torch.

    Raises:
        ConfigError: If there is no example to check with.
    """
    for check in CLASS_CHECKS:
        problem = first_problem(check, variant)
        if problem:
            yield f"{check_name(check)}: {problem}"


def check_name(check: Check) -> str:
    """Return the name of a check as tables print it."""
    return check.__name__.replace("_", " ")


def find_gaps(variant: type[Variant]) -> dict[str, str]:
    """Return what a variant may lack without breaking its contract, by subject."""
    gaps = {}
    unpriced = [c for c in DenseAttention.conventions if c not in variant.conventions]
    if unpriced:
        gaps["formulas"] = (
            f"none for {' and '.join(unpriced)}: a sweep in that convention refuses the variant"
        )
    undescribed = [
        name
        for name, field in variant.model_fields.items()
        if name != "kind" and not field.description
    ]
    if undescribed:
        gaps["descriptions"] = f"no docstring under {', '.join(undescribed)}"
    return gaps


def configuration_survives_records(variant: Variant, _: Positions) -> None:
    """Its configuration, written as plain data and read back, is equal."""
    plain = variant.model_dump(mode="json", exclude_none=True)
    try:
        again = type(variant).model_validate(plain)
    except ValidationError as error:
        raise ContractError(f"{plain} is not read back: {reason_of(error)}") from None
    require(again == variant, f"{plain} is read back as another configuration")


def parameter_parts_are_counts(variant: Variant, positions: Positions) -> None:
    """Its parameter parts are whole, positive numbers."""
    parts = variant.parameter_parts(_layer(positions))
    require(bool(parts), "no parameters")
    for name, count in parts.items():
        require(type(count) is int and count > 0, f"{name} has {count!r} parameters")


def expert_parts_belong_to_experts(variant: Variant, positions: Positions) -> None:
    """Parts made of experts exist and divide by their number; a token meets no more than all."""
    layer, experts = _layer(positions), variant.experts
    parts = variant.parameter_parts(layer)
    if experts is None:
        require(not variant.expert_parts(), "has parts made of experts, but `experts` is None")
        return
    require(
        1 <= experts.n_chosen <= experts.n_experts,
        f"{experts.n_chosen} of {experts.n_experts} experts are chosen",
    )
    for name in variant.expert_parts():
        require(name in parts, f"{name} is made of experts, but is not among the parameter parts")
        require(
            parts[name] % experts.n_experts == 0,
            f"{name} has {parts[name]} parameters, which {experts.n_experts} experts cannot share",
        )
    active, total = variant.active_parameters(layer), sum(parts.values())
    require(0 < active <= total, f"{active} active parameters of {total}")


def formulas_price_every_sequence(variant: Variant, positions: Positions) -> None:
    """Each convention prices it in whole numbers, which grow with the length of the sequence."""
    short, long = _layer(positions), _layer(positions, seq_len=2 * SEQ_LEN)
    unknown = [c for c in variant.exact_conventions if c not in variant.conventions]
    require(not unknown, f"exact_conventions names {unknown}, which conventions does not")
    for convention in variant.conventions:
        costs = [variant.cost(layer, convention) for layer in (short, long)]
        for unit, smaller, larger in (
            ("MACs", costs[0].macs, costs[1].macs),
            ("saved floats", costs[0].saved_floats, costs[1].saved_floats),
        ):
            require(
                type(smaller) is int and 0 < smaller < larger,
                f"{convention}: {smaller!r} {unit} at {SEQ_LEN} tokens, {larger!r} at twice that",
            )
    require(variant.approximate_macs(short) > 0, "approximate_macs is not positive")


def sizes_take_their_values(variant: Variant, _: Positions) -> None:
    """Each size takes every value from its smallest on, in its steps, up to its largest only."""
    for field in variant.sizes:
        for value in _values(variant, field):
            problem = _refusal(variant, field, value)
            require(not problem, f"{field.name}={value} is refused: {problem}")
        largest = variant.largest(field)
        if largest is not None:
            beyond = largest + variant.step(field)
            require(
                bool(_refusal(variant, field, beyond)),
                f"{field.name}={beyond} is allowed, although {field.largest}={largest} is its most",
            )


def budget_grows_with_sizes(variant: Variant, positions: Positions) -> None:
    """No parameters or MACs are saved by a larger size, and some are added by a matchable one."""
    layer = _layer(positions)
    for field in variant.sizes:
        larger = [
            variant.model_copy(update={field.name: value}) for value in _values(variant, field)
        ]
        counts = {"parameters": [sum(v.parameter_parts(layer).values()) for v in larger]}
        for convention in variant.conventions:
            counts[f"MACs ({convention})"] = [v.cost(layer, convention).macs for v in larger]
        for unit, series in counts.items():
            require(series == sorted(series), f"{unit} shrink with {field.name}: {series}")
        has_effect = any(series[0] < series[-1] for series in counts.values())
        require(
            has_effect or not field.is_matchable or len(larger) < 2,
            f"{field.name} is matchable, but no parameters or MACs depend on it",
        )


CLASS_CHECKS: tuple[Check, ...] = (
    configuration_survives_records,
    parameter_parts_are_counts,
    expert_parts_belong_to_experts,
    formulas_price_every_sequence,
    sizes_take_their_values,
    budget_grows_with_sizes,
)


def _layer(positions: Positions, seq_len: int = SEQ_LEN) -> LayerSizes:
    return LayerSizes(D_MODEL, seq_len, context_multiple=2, positions=positions)


def _values(variant: Variant, field: SizeField) -> list[int]:
    """Return the first values that a size may take, the others given."""
    smallest, step, largest = variant.smallest(field), variant.step(field), variant.largest(field)
    values = [smallest + number * step for number in range(_N_VALUES)]
    return [value for value in values if largest is None or value <= largest]


def _refusal(variant: Variant, field: SizeField, value: int) -> str:
    """Return why a variant refuses a value of a size; empty if it does not."""
    try:
        type(variant).model_validate({**variant.model_dump(), field.name: value})
    except ValidationError as error:
        return reason_of(error)
    return ""
