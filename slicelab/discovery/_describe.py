"""Rules over attributes: shallow trees, read off as expressions of the language of slice rules.

What a rule selects is computed here too, and is what the expression selects: a missing value satisfies no condition.
"""

from __future__ import annotations

import json
import keyword
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Rule

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Kind = Literal["number", "text", "truth"]

DEPTH = 3
MIN_LEAF = 5
MIN_F1 = 0.5
MAX_VALUES = 20
MAX_MISSING = 0.5
LONGEST_TEXT = 200
LONGEST_RULE = 9_000
"""The language reads 10,000 characters; some are left for what people add."""


@dataclass(frozen=True, eq=False)
class Column:
    """An attribute that a rule may use.

    Parameters
    ----------
    name, kind
        Of the column: numbers, texts or truth values.
    data
        float64 (n,), NaN where missing; truth values are 0 and 1, texts their positions in `texts`.
    texts
        The different texts, sorted.
    """

    name: str
    kind: Kind
    data: FloatArray
    texts: tuple[str, ...] = ()

    def take(self, rows: IntArray) -> Column:
        """Return the column of these rows only."""
        return replace(self, data=self.data[rows])

    @property
    def usable(self) -> bool:
        """Whether at least half its values are there, and they differ."""
        missing = np.isnan(self.data)
        if missing.mean() > MAX_MISSING or missing.all():
            return False
        differ = np.ptp(self.data[~missing]) > 0
        return bool(differ or (self.kind == "text" and missing.any()))


@dataclass(frozen=True)
class Condition:
    """One comparison of a column; a rule is several, joined by "and".

    Parameters
    ----------
    column
        Position of the column.
    test
        "<=" and ">" for numbers; "==" and "!=" for texts and truth values.
    value
        Of `Column.data`.
    """

    column: int
    test: Literal["<=", ">", "==", "!="]
    value: float


Conditions = tuple[Condition, ...]


def describe(inside: Mask, attributes: pd.DataFrame, half: IntArray, *, random_state: int = 0) -> Rule | None:
    """Find the rule over attributes that describes a group best.

    Parameters
    ----------
    inside
        bool (n,): the members.
    attributes
        DataFrame with the n rows of the group's population. Columns of numbers, texts or truth values are used, where
        at least half the values are there and differ; of a column of texts its 20 most frequent values.
    half
        int64 (n,) of 0 and 1.
    random_state
        Seed: which of equally good splits is taken.

    Returns
    -------
    Rule, or None where no rule reaches a held-out F1 of 0.5.

    Notes
    -----
    A decision tree of depth 3 (scikit-learn), members against the rest with balanced weights; the rule is the path to
    the leaf with the best F1, less the conditions without which F1 is no lower. The expression is that of all rows.
    Precision and recall are those of the rules found on either half alone, counted on the other half, together.
    """
    columns = read_columns(attributes)
    if not columns:
        return None
    held_out = np.zeros(len(inside), bool)
    for side in (0, 1):
        conditions = _best_path(columns, inside, np.flatnonzero(half == side), random_state)
        if conditions:
            held_out |= satisfied(columns, conditions) & (half != side)
    conditions = _best_path(columns, inside, np.arange(len(inside)), random_state)
    if not conditions or f1_score(held_out, inside) < MIN_F1:
        return None
    expression = write_rule(columns, conditions)
    hits, support = int((held_out & inside).sum()), int(held_out.sum())
    if len(expression) > LONGEST_RULE:
        return None
    return Rule(expression, precision=hits / support, recall=hits / int(inside.sum()), support=support)


def f1_score(selected: Mask, wanted: Mask) -> float:
    """Return the F1 of a selection, 0 where nothing is selected or wanted."""
    total = int(selected.sum()) + int(wanted.sum())
    return 2 * int((selected & wanted).sum()) / total if total else 0.0


def read_columns(attributes: pd.DataFrame) -> list[Column]:
    """Return the columns that rules may use, in order.

    Left out are columns whose name is no text, is there twice or has more than 200 characters; columns of anything but
    numbers, texts or truth values; with infinite numbers; of which more than half is missing; that are the same
    everywhere.
    """
    columns = []
    twice = attributes.columns.duplicated(keep=False)
    for at, name in enumerate(attributes.columns):
        if isinstance(name, str) and not twice[at] and len(name) <= LONGEST_TEXT:
            column = read_column(name, attributes.iloc[:, at])
            if column is not None and column.usable:
                columns.append(column)
    return columns


def read_column(name: str, values: pd.Series[Any]) -> Column | None:
    """Return a column, None where it holds anything but finite numbers, texts or truth values, or nothing at all."""
    missing = values.isna().to_numpy(bool)
    kind = _kind_of(values, missing)
    if kind is None or missing.all():
        return None
    objects = values.to_numpy(object, copy=True)
    if kind != "text":
        objects[missing] = np.nan
        data = objects.astype(np.float64)
        return None if np.isinf(data).any() else Column(name, kind, data)
    texts, codes = np.unique(objects[~missing], return_inverse=True)
    data = np.full(len(objects), np.nan)
    data[~missing] = codes
    return Column(name, kind, data, tuple(str(text) for text in texts))


def _kind_of(values: pd.Series[Any], missing: Mask) -> Kind | None:
    """Tell what a column holds, as the language of rules sees it; None: something that it can't compare."""
    dtype = values.dtype
    if isinstance(dtype, (pd.CategoricalDtype, pd.StringDtype)) or pd.api.types.is_object_dtype(dtype):
        kinds = {_kind_of_value(value) for value in values.to_numpy(object)[~missing]}
        return kinds.pop() if len(kinds) == 1 else None
    if pd.api.types.is_bool_dtype(dtype):
        return "truth"
    numbers = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)
    return "number" if numbers else None


def _kind_of_value(value: object) -> Kind | None:
    if isinstance(value, str):
        return "text"
    if isinstance(value, (bool, np.bool_)):
        return "truth"
    return "number" if isinstance(value, (int, float, np.number)) else None


def satisfied(columns: Sequence[Column], conditions: Conditions) -> Mask:
    """Tell which rows satisfy all conditions; a missing value satisfies none."""
    selected = np.ones(len(columns[0].data), bool)
    for condition in conditions:
        data = columns[condition.column].data
        match condition.test:
            case "<=":
                selected &= data <= condition.value
            case ">":
                selected &= data > condition.value
            case "==":
                selected &= data == condition.value
            case "!=":
                selected &= (data != condition.value) & ~np.isnan(data)
    return selected


def grow_paths(columns: Sequence[Column], target: npt.NDArray[Any], rows: IntArray, tree: Any) -> list[Conditions]:
    """Fit a tree and return the path to each of its leaves; none where it doesn't split.

    Parameters
    ----------
    columns
        Attributes.
    target
        (n,), what the tree predicts.
    rows
        int64 (m,), the rows it is fitted on.
    tree
        A scikit-learn tree, not yet fitted.
    """
    features = [feature for at, column in enumerate(columns) for feature in _features(at, column, rows)]
    if not features or len(rows) < 2 * MIN_LEAF:
        return []
    tree.fit(np.stack([feature.codes for feature in features], axis=1), target[rows])
    grown = tree.tree_
    paths: list[Conditions] = []
    stack: list[tuple[int, Conditions]] = [(0, ())]
    while stack:
        node, path = stack.pop()
        if grown.children_left[node] < 0:
            paths.append(path)
            continue
        low, high = features[grown.feature[node]].split(float(grown.threshold[node]))
        stack += [(grown.children_right[node], (*path, high)), (grown.children_left[node], (*path, low))]
    return [path for path in paths if path]


@dataclass(frozen=True, eq=False)
class _Feature:
    """What a tree splits on: the ranks of a column's numbers, or whether a column has one value."""

    column: int
    codes: npt.NDArray[np.float32]
    numbers: FloatArray | None = None
    value: float = 1.0
    truth: bool = False

    def split(self, threshold: float) -> tuple[Condition, Condition]:
        """Return the conditions of the lower and the upper branch."""
        if self.numbers is not None:
            at = int(threshold)
            bound = short_number_between(float(self.numbers[at]), float(self.numbers[at + 1]))
            return Condition(self.column, "<=", bound), Condition(self.column, ">", bound)
        without = Condition(self.column, "==", 0.0) if self.truth else Condition(self.column, "!=", self.value)
        return without, Condition(self.column, "==", self.value)


def _features(at: int, column: Column, rows: IntArray) -> list[_Feature]:
    """Numbers become ranks: trees round to 32 bits. A missing one takes the middle rank, to be in nobody's way."""
    data = column.data[rows]
    missing = np.isnan(data)
    if missing.all():
        return []
    if column.kind == "text":
        values, counts = np.unique(data[~missing], return_counts=True)
        common = [v for v in np.argsort(-counts, kind="stable")[:MAX_VALUES] if counts[v] >= MIN_LEAF]
        short = [float(values[v]) for v in common if len(column.texts[int(values[v])]) <= LONGEST_TEXT]
        return [_Feature(at, (data == value).astype(np.float32), value=value) for value in short]
    numbers, ranks = np.unique(data[~missing], return_inverse=True)
    codes = np.full(len(data), np.sort(ranks)[len(ranks) // 2], np.float32)
    codes[~missing] = ranks
    if len(numbers) < 2:
        return []
    return [_Feature(at, codes, truth=True) if column.kind == "truth" else _Feature(at, codes, numbers)]


def short_number_between(low: float, high: float) -> float:
    """Return the number with the fewest digits near the middle of [low, high), low < high."""
    middle = low / 2 + high / 2
    for digits in range(1, 18):
        short = float(f"{middle:.{digits}g}")
        if low <= short < high:
            return short
    return low


def _best_path(columns: Sequence[Column], inside: Mask, rows: IntArray, random_state: int) -> Conditions:
    """Return the conditions with the best F1 on these rows, none superfluous; empty where there are none."""
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(
        max_depth=DEPTH, min_samples_leaf=MIN_LEAF, class_weight="balanced", random_state=random_state
    )
    here = [column.take(rows) for column in columns]
    wanted = inside[rows]

    def score(conditions: Conditions) -> float:
        return f1_score(satisfied(here, conditions), wanted)

    best = max(grow_paths(columns, inside, rows, tree), key=score, default=())
    shorter = True
    while shorter and len(best) > 1:
        options = [best[:i] + best[i + 1 :] for i in range(len(best))]
        option = max(options, key=score)
        shorter = score(option) >= score(best)
        best = option if shorter else best
    return best


def write_value(column: Column, value: float) -> str:
    """Write a value of `Column.data` as what it stands for."""
    if column.kind == "number":
        return write_number(value)
    return write_text(column.texts[int(value)]) if column.kind == "text" else str(bool(value))


def write_rule(columns: Sequence[Column], conditions: Conditions) -> str:
    """Write conditions in the language of slice rules, those on one column as one."""
    parts = []
    for at in dict.fromkeys(condition.column for condition in conditions):
        of = [condition for condition in conditions if condition.column == at]
        parts.append(_write_bounds(columns[at], of) if columns[at].kind == "number" else _write_values(columns[at], of))
    return " and ".join(parts)


def _write_bounds(column: Column, conditions: Sequence[Condition]) -> str:
    name = write_name(column.name)
    low = max((c.value for c in conditions if c.test == ">"), default=None)
    high = min((c.value for c in conditions if c.test == "<="), default=None)
    if low is None or high is None:
        return f"{name} <= {write_number(high)}" if high is not None else f"{name} > {write_number(low or 0.0)}"
    return f"{write_number(low)} < {name} <= {write_number(high)}"


def _write_values(column: Column, conditions: Sequence[Condition]) -> str:
    name = write_name(column.name)
    equal = [c for c in conditions if c.test == "=="]
    if column.kind == "truth":
        return " and ".join(f"{name} == {write_value(column, value)}" for value in sorted({c.value for c in equal}))
    left_out = {c.value for c in conditions}
    left = {c.value for c in equal} or set(column.data[~np.isnan(column.data)].tolist()) - left_out
    if len(left) == 1:
        return f"{name} == {write_value(column, left.pop())}"
    unwanted = [write_value(column, value) for value in sorted(left_out)]
    return f"{name} != {unwanted[0]}" if len(unwanted) == 1 else f"{name} not in [{', '.join(unwanted)}]"


def write_name(name: str) -> str:
    """Write a column's name: bare where it is a plain word, else as column("its name")."""
    plain = name.isidentifier() and not keyword.iskeyword(name) and unicodedata.normalize("NFKC", name) == name
    return name if plain else f"column({write_text(name)})"


def write_text(text: str) -> str:
    """Write a text in quotes, with what can't be shown escaped."""
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else repr(text)


def write_number(value: float) -> str:
    """Write a number so that it is read as the same number; whole ones without a point."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
