"""Rules: a small, safe expression language over the columns of a units frame.

A rule's text is read to a checked tree (`_rule_syntax`), and the tree is computed here, column by column.
"""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import RuleError, did_you_mean
from slicelab.curation._rule_syntax import column_name, fail, function_name, is_column, parse, source

_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "contains": operator.contains,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}

Kind = Literal["number", "text", "truth", "nothing"]
_WORDS = {"number": "numbers", "text": "text", "truth": "true or false", "nothing": "always missing"}


def evaluate_rule(rule: str, units: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Tell which units a rule describes.

    Parameters
    ----------
    rule
        Like ``label == "knife" and brightness < 0.2``. It may hold columns' names (``unit`` is the index;
        ``column("time of day")`` for names that aren't Python words), numbers, texts, True and False, comparisons
        (also chained), ``in`` and ``not in`` with a list, ``and``, ``or``, ``not``, ``+ - * /``, parentheses, and
        ``isna(c)``, ``contains(c, "text")``, ``startswith(c, "text")``, ``endswith(c, "text")`` (case matters).
    units
        A units frame, any columns of numbers, texts or truth values.

    Returns
    -------
    bool (n,), rows of `units` in order. A comparison or test with a missing value is False, ``!=`` and ``not in``
    too; so ``not (label == "knife")`` holds for missing labels and ``label != "knife"`` doesn't.

    Raises
    ------
    RuleError
        The rule can't be read, holds something that isn't on the list, names a column that doesn't exist, compares
        what can't be compared, or is longer than 10,000 characters or nested deeper than 60 levels.

    Notes
    -----
    Takes time in proportion to the number of operations x rows.
    """
    text, tree = parse(rule)
    result = _Evaluation(text, units).value(tree)
    if result.kind not in ("truth", "nothing"):
        raise RuleError(
            f"A rule must say yes or no for every unit; {text!r} gives {_WORDS[result.kind]}. "
            "Compare it with something, like 'confidence < 0.5'."
        )
    return np.array(np.broadcast_to(result.truth, len(units)), dtype=bool)


def rule_columns(rule: str) -> set[str]:
    """Return the names of the columns that a rule needs.

    Raises
    ------
    RuleError
        The rule can't be read.
    """
    nodes = list(ast.walk(parse(rule)[1]))
    functions = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return {column_name(node) for node in nodes if is_column(node) and id(node) not in functions}


@dataclass(frozen=True, eq=False)
class _Value:
    """A column, or one value for all rows: its kind, its data (filled where missing), and where it is missing."""

    kind: Kind
    data: Any
    missing: Any = False

    @property
    def truth(self) -> npt.NDArray[np.bool_]:
        """The data as truth values, False where missing."""
        if self.kind == "nothing":
            return np.zeros(np.shape(self.missing), dtype=bool)
        truth: npt.NDArray[np.bool_] = np.asarray(self.data, dtype=bool) & ~np.asarray(self.missing, dtype=bool)
        return truth


@dataclass(frozen=True, eq=False)
class _Evaluation:
    """One rule on one frame."""

    text: str
    units: pd.DataFrame

    def value(self, node: ast.expr) -> _Value:
        """Compute a checked node."""
        ways: dict[type[ast.expr], Callable[[Any], _Value]] = {
            ast.Constant: self._constant,
            ast.Name: self._column,
            ast.BoolOp: self._joined,
            ast.UnaryOp: self._turned,
            ast.BinOp: self._computed,
            ast.Compare: self._comparison,
            ast.Call: self._column if is_column(node) else self._test,
        }
        return ways[type(node)](node)

    def _constant(self, node: ast.Constant) -> _Value:
        value = node.value
        if isinstance(value, str):
            return _Value("text", np.array(value, dtype=object))
        return _Value("truth" if isinstance(value, bool) else "number", np.array(value))

    def _joined(self, node: ast.BoolOp) -> _Value:
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return _Value("truth", functools.reduce(join, [self._truth(v) for v in node.values]))

    def _turned(self, node: ast.UnaryOp) -> _Value:
        if isinstance(node.op, ast.Not):
            return _Value("truth", ~self._truth(node.operand))
        number = self._number(node.operand)
        return _Value("number", -number.data, number.missing)

    def _computed(self, node: ast.BinOp) -> _Value:
        left, right = self._number(node.left), self._number(node.right)
        with np.errstate(all="ignore"):
            data = np.asarray(_ARITHMETIC[type(node.op)](left.data, right.data))
        return _Value("number", data, np.isnan(data))

    def _comparison(self, node: ast.Compare) -> _Value:
        if isinstance(node.ops[0], (ast.In, ast.NotIn)):
            return self._inside(node)
        values = [self.value(v) for v in (node.left, *node.comparators)]
        steps = zip(node.ops, pairwise(values), strict=True)
        return _Value("truth", functools.reduce(np.logical_and, [self._compare(op, *p, node) for op, p in steps]))

    def _compare(self, op: ast.cmpop, left: _Value, right: _Value, node: ast.expr) -> npt.NDArray[np.bool_]:
        kind = self._common_kind([left, right], node)
        if kind == "truth" and not isinstance(op, (ast.Eq, ast.NotEq)):
            fail("true and false have no order", node, self.text, hint=" Use ==, != or the column alone.")
        missing = np.asarray(left.missing, dtype=bool) | np.asarray(right.missing, dtype=bool)
        if "nothing" in (left.kind, right.kind):
            return np.zeros(missing.shape, dtype=bool)
        truth: npt.NDArray[np.bool_] = np.asarray(_COMPARISONS[type(op)](left.data, right.data), dtype=bool) & ~missing
        return truth

    def _inside(self, node: ast.Compare) -> _Value:
        left = self.value(node.left)
        items = [self.value(item) for item in getattr(node.comparators[0], "elts", ())]
        if self._common_kind([left, *items], node) == "nothing" or left.kind == "nothing":
            return _Value("truth", np.zeros(np.shape(left.missing), dtype=bool))
        inside = pd.Index(np.atleast_1d(left.data)).isin([item.data.item() for item in items])
        inside = (inside if np.ndim(left.data) else inside[0]) != isinstance(node.ops[0], ast.NotIn)
        return _Value("truth", inside, left.missing)

    def _common_kind(self, values: Iterable[_Value], node: ast.expr) -> Kind:
        kinds: list[Kind] = [v.kind for v in values if v.kind != "nothing"]
        for kind in kinds[1:]:
            if kind != kinds[0]:
                problem = f"it compares {_WORDS[kinds[0]]} with {_WORDS[kind]} in {source(node, self.text)}"
                fail(problem, node, self.text, hint=" Put texts in quotes, numbers not.")
        return kinds[0] if kinds else "nothing"

    def _test(self, node: ast.Call) -> _Value:
        name, column = function_name(node), self.value(node.args[0])
        if name == "isna":
            return _Value("truth", np.asarray(column.missing, dtype=bool))
        if column.kind == "nothing":
            return _Value("truth", column.truth)
        if column.kind != "text":
            problem = f"{name} needs a column of text; {column_name(node.args[0])!r} holds {_WORDS[column.kind]}"
            fail(problem, node, self.text, hint=" Compare it with ==, < or >.")
        test, wanted = _TEXT_TESTS[name], str(self.value(node.args[1]).data)
        hits = np.fromiter((test(v, wanted) for v in column.data), dtype=bool, count=len(column.data))
        return _Value("truth", hits & ~column.missing)

    def _truth(self, node: ast.expr) -> npt.NDArray[np.bool_]:
        value = self.value(node)
        if value.kind not in ("truth", "nothing"):
            problem = f"{source(node, self.text)} is {_WORDS[value.kind]} where true or false is needed"
            fail(problem, node, self.text, hint=" Compare it with something, like 'confidence < 0.5'.")
        return value.truth

    def _number(self, node: ast.expr) -> _Value:
        value = self.value(node)
        if value.kind == "nothing":
            return _Value("number", np.full(len(self.units), np.nan), value.missing)
        if value.kind != "number":
            problem = f"it computes with {source(node, self.text)}, which is {_WORDS[value.kind]}"
            fail(problem, node, self.text, hint=" Only numbers can be added, subtracted, multiplied or divided.")
        return _Value("number", np.asarray(value.data, dtype=np.float64), value.missing)

    def _column(self, node: ast.expr) -> _Value:
        name = column_name(node)
        if name in self.units.columns:
            values = self.units[name]
        elif name == "unit":
            values = self.units.index.to_series()
        else:
            hint = did_you_mean(name, [str(c) for c in self.units.columns])
            fail(f"there is no column {name!r}", node, self.text, hint=hint)
        if not isinstance(values, pd.Series):
            fail(f"the column {name!r} is there more than once", node, self.text)
        found = _column_value(values)
        if found is None:
            problem = f"the column {name!r} holds {values.dtype}, which rules can't compare"
            fail(problem, node, self.text, hint=" Make it a column of numbers, texts or truth values.")
        return found


def _column_value(values: pd.Series) -> _Value | None:
    """Return a column's value, None where it holds neither numbers nor texts nor truth values."""
    missing = values.isna().to_numpy(bool)
    kind = _kind_of_column(values, missing)
    if kind is None or kind == "nothing":
        return None if kind is None else _Value(kind, None, missing)
    if kind == "number" and not missing.any() and isinstance(values.dtype, np.dtype) and values.dtype != object:
        return _Value(kind, values.to_numpy(), missing)
    data = values.to_numpy(object, copy=True)
    data[missing] = {"text": "", "number": np.nan, "truth": False}[kind]
    return _Value(kind, data.astype({"text": object, "number": np.float64, "truth": bool}[kind]), missing)


def _kind_of_column(values: pd.Series, missing: npt.NDArray[np.bool_]) -> Kind | None:
    if isinstance(values.dtype, (pd.CategoricalDtype, pd.StringDtype)) or values.dtype == object:
        kinds = {_kind_of(v) for v in values.to_numpy(object)[~missing]} or {"nothing"}
        return kinds.pop() if len(kinds) == 1 else None
    if pd.api.types.is_bool_dtype(values.dtype):
        return "truth"
    numbers = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype)
    return "number" if numbers else None


def _kind_of(value: object) -> Kind | None:
    if isinstance(value, str):
        return "text"
    if isinstance(value, (bool, np.bool_)):
        return "truth"
    return "number" if isinstance(value, (int, float, np.number)) else None
