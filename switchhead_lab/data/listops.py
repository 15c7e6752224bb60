"""ListOps: expressions of nested operators over digits, drawn at random, and their values.

Source: ListOps (Nangia and Bowman, arXiv:1804.06028). Differs from the original generator, in
which most expressions are shallow: depth is drawn uniformly, then length uniformly among those that
the depth allows, and then an expression of both.
"""

from collections.abc import Iterable, Sequence
from random import Random

from switchhead_lab.config.data import ListOpsData, Operator
from switchhead_lab.data.batches import PADDING
from switchhead_lab.data.documents import Split
from switchhead_lab.data.labelled import Draw, Example, split_randomly
from switchhead_lab.errors import DataError

FIRST_DIGIT = 1
CLOSING = 11
FIRST_OPERATOR = 12

_N_DIGITS = 10
_MAX_MISSES = 10_000
"""Consecutive draws without a new example after which none is assumed to be left."""


def generate_splits(data: ListOpsData) -> dict[Split, list[Example]]:
    """Draw distinct examples and split them at random.

    A duplicate is dropped, and depth and length are drawn again. Short expressions, of which few
    exist, are therefore rarer than with uniform depths and lengths, but equally so in all splits,
    since examples are split only after all are drawn.

    Args:
        data: Number and shape of the examples, and the seed.

    Raises:
        DataError: If there are not enough distinct examples.
    """
    draw = Random(f"listops:{data.seed}").random
    examples = _draw_distinct(data, data.n_examples, draw)
    return split_randomly(examples, data.split_sizes(), draw)


def render_example(tokens: Iterable[int], data: ListOpsData) -> str:
    """Format an example as text, without padding."""
    return render(tokens, data.operators)


def render(tokens: Iterable[int], operators: Sequence[Operator]) -> str:
    """Format tokens as text without padding, e.g. `[MAX 2 9 [MIN 4 7 ] 0 ]`.

    Args:
        tokens: Tokens of one example.
        operators: Operators in the order of the configuration.
    """
    names = ["", *map(str, range(_N_DIGITS)), "]", *(f"[{name}" for name in operators)]
    return " ".join(names[token] for token in tokens if token != PADDING)


def evaluate(tokens: Iterable[int], operators: Sequence[Operator]) -> int:
    """Return the value of an expression, reading its tokens from left to right.

    Args:
        tokens: Tokens of one example; padding may follow.
        operators: Operators in the order of the configuration.

    Raises:
        DataError: If the tokens are not one whole expression.
    """
    row = [int(token) for token in tokens]
    opened: list[Operator] = []
    values: list[list[int]] = [[]]
    for token in row:
        if token == PADDING and not opened:
            continue
        if FIRST_OPERATOR <= token < FIRST_OPERATOR + len(operators):
            opened.append(operators[token - FIRST_OPERATOR])
            values.append([])
        elif FIRST_DIGIT <= token < FIRST_DIGIT + _N_DIGITS:
            values[-1].append(token - FIRST_DIGIT)
        elif token == CLOSING and opened and values[-1]:
            arguments = values.pop()
            values[-1].append(_apply(opened.pop(), arguments))
        else:
            break
    else:
        if not opened and len(values[0]) == 1:
            return values[0][0]
    raise DataError(f"tokens {row} are not one ListOps expression; regenerate the examples")


class _Node:
    """An operator of a growing expression: its number of digits and its operators."""

    __slots__ = ("children", "level", "n_digits")

    def __init__(self, level: int) -> None:
        self.level = level
        self.n_digits = 2
        self.children: list[_Node] = []


def _draw_distinct(data: ListOpsData, n_wanted: int, draw: Draw) -> list[Example]:
    lengths = {
        depth: range(
            max(data.min_length, data.shortest(depth)),
            min(data.max_length, data.longest(depth)) + 1,
        )
        for depth in range(1, data.max_depth + 1)
    }
    depths = [depth for depth, choices in lengths.items() if choices]
    found: dict[bytes, int] = {}
    n_misses = 0
    while len(found) < n_wanted:
        depth = depths[int(draw() * len(depths))]
        length = lengths[depth][int(draw() * len(lengths[depth]))]
        tokens = bytearray()
        value = _write(_grow(data, depth, length, draw), data.operators, tokens, draw)
        key = bytes(tokens)
        # Some lengths are impossible, e.g. 5 with two arguments; the expression is shorter then.
        if len(key) < data.min_length or key in found:
            n_misses += 1
            if n_misses == _MAX_MISSES:
                raise _too_few(data, len(found), n_wanted)
            continue
        n_misses = 0
        found[key] = value
    return [Example(tokens, value) for tokens, value in found.items()]


def _grow(data: ListOpsData, depth: int, length: int, draw: Draw) -> _Node:
    """Return an expression of a given depth and length, or the closest length below it.

    It starts as a chain of operators down to the depth. Then it grows at random: a digit becomes an
    operator with two digits, or an operator that may have more arguments gets another digit.

    Args:
        data: Configuration, for the maximum number of arguments.
        depth: Depth of nesting.
        length: Tokens to reach, at least those of the chain.
        draw: Source of numbers in [0, 1).
    """
    # Every nesting makes an operator with two arguments, every other step adds one: this share of
    # nestings gives (2 + max_arguments) / 2 arguments on average, if length and depth allow it.
    max_arguments = data.max_arguments
    nested_fraction = 2 / max_arguments
    digits: list[_Node] = []
    widenable: list[_Node] = []

    def add_operator(level: int) -> _Node:
        node = _Node(level)
        if level < depth:
            digits.extend((node, node))
        if max_arguments > node.n_digits:
            widenable.append(node)
        return node

    def nest(node: _Node) -> _Node:
        child = add_operator(node.level + 1)
        node.n_digits -= 1
        node.children.append(child)
        return child

    root = node = add_operator(1)
    while node.level < depth:
        digits.pop()
        node = nest(node)
    room = length - data.shortest(depth)
    while room:
        may_nest = bool(digits) and room >= 3
        if not may_nest and not widenable:
            break
        if may_nest and (not widenable or draw() < nested_fraction):
            nest(_take(digits, draw))
            room -= 3
            continue
        node = _take(widenable, draw)
        node.n_digits += 1
        room -= 1
        if node.level < depth:
            digits.append(node)
        if node.n_digits + len(node.children) < max_arguments:
            widenable.append(node)
    return root


def _take(nodes: list[_Node], draw: Draw) -> _Node:
    """Remove and return a random node; reorders the others."""
    place = int(draw() * len(nodes))
    nodes[place], nodes[-1] = nodes[-1], nodes[place]
    return nodes.pop()


def _write(node: _Node, operators: Sequence[Operator], tokens: bytearray, draw: Draw) -> int:
    """Append an expression's tokens, drawing operators, digits and their order; return its value.

    Removes the children from the nodes.
    """
    choice = int(draw() * len(operators))
    tokens.append(FIRST_OPERATOR + choice)
    n_digits, children = node.n_digits, node.children
    values: list[int] = []
    while n_digits or children:
        if not children or draw() * (n_digits + len(children)) < n_digits:
            n_digits -= 1
            digit = int(draw() * _N_DIGITS)
            tokens.append(FIRST_DIGIT + digit)
            values.append(digit)
        else:
            child = children.pop(int(draw() * len(children)))
            values.append(_write(child, operators, tokens, draw))
    tokens.append(CLOSING)
    return _apply(operators[choice], values)


def _apply(operator: Operator, values: list[int]) -> int:
    match operator:
        case "MIN":
            return min(values)
        case "MAX":
            return max(values)
        case "MED":
            ordered, middle = sorted(values), len(values) // 2
            is_odd = len(values) % 2 == 1
            return ordered[middle] if is_odd else (ordered[middle - 1] + ordered[middle]) // 2
        case "SM":
            return sum(values) % _N_DIGITS


def _too_few(data: ListOpsData, n_found: int, n_wanted: int) -> DataError:
    names = ("operators", "max_depth", "max_arguments", "min_length", "max_length")
    values = ", ".join(f"{name}={getattr(data, name)}" for name in names)
    return DataError(
        f"n_train={data.n_train}, n_validation={data.n_validation} and n_test={data.n_test} are "
        f"{n_wanted} distinct ListOps examples, but only {n_found} were found with {values}; use "
        "fewer, add operators, or raise max_length, max_depth or max_arguments"
    )
