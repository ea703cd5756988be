"""Expression: the condition of a rule, checked once against the known facts, then run on columns.

    "cancelled_share_1h >= 0.5 and not own" -> parsed, typed -> mask over many rows

The language is Python's own syntax for `and`, `or`, `not`, comparisons (chains too), `in` a tuple
of texts, `+ - * /`, numbers, texts in quotes, names of facts, `known(fact)` and
`in_list("name")`. Nothing else parses, so nothing else can run. An unknown value (NaN) makes
every comparison false, `!=` included. What stands right of an `and` is computed only for rows
that passed the left: put the cheap and rare fact first.
"""

import ast
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from detector.errors import ConfigError
from detector.records import Bools

Column = npt.NDArray[Any]
"""One value per row: f64, bool, or text codes (i64 positions in the fact's texts). A number that is the
same for every row may come as one alone."""

NUMBER: Final = "a number"
YES_NO: Final = "yes or no"
TEXTS: Final = 16
"""Codes that a fact of texts may have: those of a row have 4 bits."""
Kind = str | tuple[str, ...]
"""What a fact is: NUMBER, YES_NO, or the texts that it may be."""


class Facts(Protocol):
    """Rows as the expression sees them."""

    def __len__(self) -> int: ...

    def take(self, mask: Bools) -> Self:
        """The rows where `mask` holds."""
        ...

    def column(self, name: str) -> Column:
        """A fact of every row."""
        ...

    def in_list(self, name: str) -> Bools:
        """Whether each row's subject is in that list."""
        ...


Run = Callable[[Facts], Column]


@dataclass(frozen=True, slots=True)
class Step:
    """One of the parts that `and` joins at the top: equal texts mean the same."""

    text: str
    mask: Run


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked condition, and the facts it looks at."""

    text: str
    names: frozenset[str]
    steps: tuple[Step, ...]

    def mask(self, facts: Facts) -> Bools:
        """Where the condition holds."""
        with quiet():
            return _every([step.mask for step in self.steps])(facts)


def quiet() -> np.errstate:
    """While conditions run: dividing by 0 gives what cannot be known, which is no news."""
    return np.errstate(all="ignore")


_COMPARE: Final[dict[type, Callable[[Column, Column], Bools]]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    # Not np.not_equal, which is true of NaN: what cannot be known is not known to differ.
    ast.NotEq: lambda a, b: (a < b) | (a > b),
}
_ARITHMETIC: Final[dict[type, Callable[[Column, Column], Column]]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}


def parse(text: str, facts: Mapping[str, Kind], lists: Collection[str], where: str) -> Expression:
    """The condition `text`; `ConfigError` at `where` says what was wanted and what was got."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise ConfigError(f"{where}: wanted an expression (got {error.msg} in {text.strip()!r})") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{where}: wanted an expression (got {error})") from error
    compiler = _Compiler(facts, lists, where)
    top = tree.body
    parts = top.values if isinstance(top, ast.BoolOp) and isinstance(top.op, ast.And) else [top]
    try:
        steps = tuple(Step(ast.unparse(part), compiler.condition(part)) for part in parts)
    except RecursionError as error:
        raise ConfigError(f"{where}: wanted an expression (got one too deeply nested)") from error
    return Expression(" ".join(text.split()), frozenset(compiler.names), steps)


class _Compiler:
    """Turns syntax into closures over columns, refusing what is not in the language."""

    def __init__(self, facts: Mapping[str, Kind], lists: Collection[str], where: str) -> None:
        self.names: set[str] = set()
        self._facts = facts
        self._lists = lists
        self._where = where

    def condition(self, node: ast.expr) -> Run:
        """A part that must be yes or no."""
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return _every([self.condition(value) for value in values])
            case ast.BoolOp(op=ast.Or(), values=values):
                return _any([self.condition(value) for value in values])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.condition(operand)
                return lambda facts: ~inner(facts)
            case ast.Compare():
                return self._comparison(node)
            case ast.Call():
                return self._call(node)
            case ast.Name(id=name):
                if self._kind(node) != YES_NO:
                    raise self._error(f"a comparison of {name}", node)
                return lambda facts: facts.column(name)
        raise self._error("yes or no", node)

    def _comparison(self, node: ast.Compare) -> Run:
        sides = [node.left, *node.comparators]
        steps = [self._pair(a, op, b) for a, op, b in zip(sides, node.ops, sides[1:], strict=False)]
        return _every(steps)

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Run:
        if isinstance(left, ast.Name) and isinstance(self._kind(left), tuple):
            return self._text(left, op, right)
        compare = _COMPARE.get(type(op))
        if compare is None:
            raise self._error("<, <=, >, >=, == or !=", op)
        a, b = self._number(left), self._number(right)

        def run(facts: Facts) -> Bools:
            return _wide(compare(a(facts), b(facts)), facts)

        return run

    def _text(self, left: ast.Name, op: ast.cmpop, right: ast.expr) -> Run:
        """`zone_class == "premium"`, `zone_class in ("premium", "satellite")`, and their opposites."""
        texts = self._kind(left)
        single = isinstance(op, ast.Eq | ast.NotEq)
        if not single and not isinstance(op, ast.In | ast.NotIn):
            raise self._error("==, !=, in or not in", op)
        if single:
            options = [right]
        elif isinstance(right, ast.Tuple | ast.List | ast.Set):
            options = right.elts
        else:
            raise self._error("texts in brackets", right)
        codes = []
        for option in options:
            value = option.value if isinstance(option, ast.Constant) else None
            if value not in texts:
                raise self._error(f"one of {', '.join(texts)} for {left.id}", option)
            codes.append(texts.index(str(value)))
        name, answers = left.id, np.full(TEXTS, isinstance(op, ast.NotEq | ast.NotIn))
        answers[codes] = isinstance(op, ast.Eq | ast.In)
        return lambda facts: answers[facts.column(name)]

    def _number(self, node: ast.expr) -> Run:
        """A part that must be a number."""
        match node:
            case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
                try:
                    constant = np.array(value, np.float64)
                except OverflowError as error:
                    raise self._error("a number that fits a float", node) from error
                return lambda facts: constant
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = self._number(operand)
                return lambda facts: -inner(facts)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                apply, a, b = _ARITHMETIC[type(op)], self._number(left), self._number(right)
                return lambda facts: apply(a(facts), b(facts))
            case ast.Name(id=name):
                if self._kind(node) != NUMBER:
                    raise self._error(f"a number, which {name} is not", node)
                return lambda facts: facts.column(name)
        raise self._error("a number", node)

    def _call(self, node: ast.Call) -> Run:
        match node:
            case ast.Call(func=ast.Name(id="known"), args=[ast.Name(id=name) as fact], keywords=[]):
                if self._kind(fact) != NUMBER:
                    raise self._error("a number in known(…)", fact)
                return lambda facts: _wide(~np.isnan(facts.column(name)), facts)
            case ast.Call(func=ast.Name(id="in_list"), args=[ast.Constant(value=str(name))], keywords=[]):
                if name not in self._lists:
                    raise self._error(f"one of the lists {', '.join(sorted(self._lists)) or '(none)'}", node)
                return lambda facts: facts.in_list(name)
        raise self._error('known(fact) or in_list("name")', node)

    def _kind(self, node: ast.Name) -> Kind:
        if node.id not in self._facts:
            raise self._error("a feature or fact that exists", node)
        self.names.add(node.id)
        return self._facts[node.id]

    def _error(self, wanted: str, node: ast.AST) -> ConfigError:
        got = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
        return ConfigError(f"{self._where}: wanted {wanted} (got {got})")


def _wide(mask: Bools, facts: Facts) -> Bools:
    """A mask over all rows, also where constants gave one answer for them all."""
    return mask if mask.ndim else np.full(len(facts), mask)


def _every(steps: list[Run]) -> Run:
    """All of them, each on the rows that passed those before."""

    def run(facts: Facts) -> Bools:
        mask = np.array(steps[0](facts), dtype=np.bool_)
        for step in steps[1:]:
            if not mask.any():
                break
            mask[mask] = step(facts.take(mask))
        return mask

    return run


def _any(steps: list[Run]) -> Run:
    """Any of them, each on the rows that no earlier one took."""

    def run(facts: Facts) -> Bools:
        mask = np.array(steps[0](facts), dtype=np.bool_)
        for step in steps[1:]:
            if mask.all():
                break
            mask[~mask] = step(facts.take(~mask))
        return mask

    return run
