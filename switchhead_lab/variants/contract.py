"""The contract of a variant's class: what the matcher, listings and records rely on.

A check is a function of an example and its position encoding. Its docstring is the promise; it
raises `ContractError` if that is broken. The checks here need no torch and take milliseconds, so
plugins are checked when they are loaded. The package `contract` checks the module that computes the
variant.
"""

from collections.abc import Callable, Iterator

from pydantic import ValidationError

from switchhead_lab.errors import ContractError
from switchhead_lab.source_text import documented_attributes
from switchhead_lab.variants.base import LayerSizes, SizeField, Variant
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.examples import describe, examples_of, validation_message
from switchhead_lab.variants.positions import Positions, RopePositions, TransformerXLPositions

Check = Callable[[Variant, Positions], None]
POSITIONS: tuple[Positions, ...] = (TransformerXLPositions(), RopePositions())
D_MODEL, SEQ_LEN = 12, 9
_N_VALUES = 4


def require(kept: bool, problem: str) -> None:
    """Raise unless a promise is kept.

    Raises:
        ContractError: If it is broken; the message is the problem.
    """
    if not kept:
        raise ContractError(problem)


def first_problem(check: Check, variant: type[Variant]) -> str:
    """Run a check on all examples of a variant with all positions.

    Returns:
        The problem of the first example that fails, and that example; empty if none fails.
    """
    for example in examples_of(variant):
        for positions in POSITIONS:
            try:
                check(example, positions)
            except ContractError as error:
                problem = str(error)
            except Exception as error:  # variant code may raise anything
                problem = f"{type(error).__name__}: {error}"
            else:
                continue
            return f"{problem} ({describe(example)}, {positions.kind} positions)"
    return ""


def broken_class_promises(variant: type[Variant]) -> Iterator[str]:
    """Yield one line for each class check that a variant fails; needs no torch.

    Raises:
        ConfigError: If there is no example to check.
    """
    for check in CLASS_CHECKS:
        problem = first_problem(check, variant)
        if problem:
            yield f"{check_name(check)}: {problem}"


def check_name(check: Check) -> str:
    """Return the display name of a check."""
    return check.__name__.replace("_", " ")


def find_gaps(variant: type[Variant]) -> dict[str, str]:
    """Return what a variant lacks without breaking its contract, by subject."""
    gaps = {}
    without = [c for c in DenseAttention.conventions if c not in variant.conventions]
    if without:
        gaps["formulas"] = (
            f"none for {' and '.join(without)}: a sweep in that convention rejects the variant"
        )
    described = {"kind", *(name for one in variant.__mro__ for name in documented_attributes(one))}
    undescribed = [
        name
        for name, field in variant.model_fields.items()
        if name not in described and not field.description
    ]
    if undescribed:
        gaps["descriptions"] = f"no docstring under {', '.join(undescribed)}"
    return gaps


def configuration_round_trips(variant: Variant, _: Positions) -> None:
    """The configuration is equal after a round trip through plain data."""
    plain = variant.model_dump(mode="json", exclude_none=True)
    try:
        again = type(variant).model_validate(plain)
    except ValidationError as error:
        raise ContractError(f"{plain} cannot be read back: {validation_message(error)}") from None
    require(again == variant, f"{plain} reads back as another configuration")


def parameter_counts_are_positive_integers(variant: Variant, positions: Positions) -> None:
    """Parameter counts are positive integers."""
    parts = variant.parameter_parts(_layer(positions))
    require(bool(parts), "no parameters")
    for name, count in parts.items():
        require(type(count) is int and count > 0, f"{name} has {count!r} parameters")


def expert_parts_divide_by_experts(variant: Variant, positions: Positions) -> None:
    """Expert parts exist and divide evenly; active parameters do not exceed the total."""
    layer, experts = _layer(positions), variant.experts
    parts = variant.parameter_parts(layer)
    if experts is None:
        require(not variant.expert_parts(), "expert_parts() names parts, but `experts` is None")
        return
    require(
        1 <= experts.n_chosen <= experts.n_experts,
        f"{experts.n_chosen} of {experts.n_experts} experts are chosen",
    )
    for name in variant.expert_parts():
        require(name in parts, f"expert_parts() names {name}, which is not a parameter part")
        require(
            parts[name] % experts.n_experts == 0,
            f"{name} has {parts[name]} parameters, which do not divide evenly among "
            f"{experts.n_experts} experts",
        )
    active, total = variant.active_parameters(layer), sum(parts.values())
    require(0 < active <= total, f"{active} active parameters of {total}")


def formulas_grow_with_sequence_length(variant: Variant, positions: Positions) -> None:
    """Costs of each convention are integers that grow with the sequence length."""
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


def sizes_accept_their_values(variant: Variant, _: Positions) -> None:
    """Each size accepts the values from its smallest in its steps, and none above its largest."""
    for field in variant.sizes:
        for value in _values(variant, field):
            problem = _rejection(variant, field, value)
            require(not problem, f"{field.name}={value} is rejected: {problem}")
        largest = variant.largest(field)
        if largest is not None:
            beyond = largest + variant.step(field)
            require(
                bool(_rejection(variant, field, beyond)),
                f"{field.name}={beyond} is accepted, although its maximum is "
                f"{field.largest}={largest}",
            )


def budget_grows_with_sizes(variant: Variant, positions: Positions) -> None:
    """A larger size never lowers parameters or MACs; a matchable one raises some."""
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
    configuration_round_trips,
    parameter_counts_are_positive_integers,
    expert_parts_divide_by_experts,
    formulas_grow_with_sequence_length,
    sizes_accept_their_values,
    budget_grows_with_sizes,
)


def _layer(positions: Positions, seq_len: int = SEQ_LEN) -> LayerSizes:
    return LayerSizes(D_MODEL, seq_len, context_multiple=2, positions=positions)


def _values(variant: Variant, field: SizeField) -> list[int]:
    """Return the first values that a size may take, given the other fields."""
    smallest, step, largest = variant.smallest(field), variant.step(field), variant.largest(field)
    values = [smallest + number * step for number in range(_N_VALUES)]
    return [value for value in values if largest is None or value <= largest]


def _rejection(variant: Variant, field: SizeField, value: int) -> str:
    """Return why a variant rejects a value of a size; empty if it does not."""
    try:
        type(variant).model_validate({**variant.model_dump(), field.name: value})
    except ValidationError as error:
        return validation_message(error)
    return ""
