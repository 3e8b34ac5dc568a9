"""Reading rules: text to a tree that holds nothing but what is on a short list.

Python's grammar is borrowed and its meaning is not: nothing of the tree is ever evaluated by Python.
"""

from __future__ import annotations

import ast
from typing import NoReturn

from slicelab.core import RuleError, did_you_mean, listed

MAX_RULE_LENGTH = 10_000
MAX_RULE_DEPTH = 60
TEXT_FUNCTIONS = ("contains", "startswith", "endswith")
FUNCTIONS = ("isna", "column", *TEXT_FUNCTIONS)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_LARGEST = 2**1000
_HINTS: dict[type[ast.AST], str] = {
    ast.BitAnd: "'&': write 'and'",
    ast.BitOr: "'|': write 'or'",
    ast.Invert: "'~': write 'not'",
    ast.Is: "'is': write '==', or isna(column) for missing values",
    ast.IsNot: "'is not': write '!=', or not isna(column) for missing values",
    ast.Attribute: 'a dot: write the column\'s bare name, or column("a.b")',
    ast.Subscript: "square brackets after a name: write the column's bare name",
    ast.Lambda: "a lambda",
    ast.IfExp: "an 'if ... else'",
    ast.NamedExpr: "an assignment ':=': write '=='",
    ast.JoinedStr: "an f-string",
    ast.Pow: "'**'",
    ast.Mod: "'%'",
    ast.FloorDiv: "'//'",
    ast.UAdd: "a unary '+'",
    ast.Dict: "a dictionary",
}

_ON_THE_LIST = (
    " Rules hold columns, numbers, texts, comparisons, in [...], and, or, not, + - * /, isna() and contains()."
)
_FOR_CONTAINS = ' To look for a text inside a column write contains(label, "text").'


def parse(rule: str) -> tuple[str, ast.expr]:
    """Return the rule without spaces around it and its checked tree."""
    if not isinstance(rule, str) or not rule.strip():
        raise RuleError(f"A rule must be a text like 'label == \"knife\"'; got {rule!r}.")
    if len(rule) > MAX_RULE_LENGTH:
        raise RuleError(
            f"A rule may have {MAX_RULE_LENGTH} characters; this one has {len(rule)}. It starts {rule[:40]!r}. "
            "Freeze the units instead: create_slice(name, members=...)."
        )
    text = rule.strip()
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise RuleError(
            f"The rule can't be read: {error.msg} at character {error.offset or 1} of {text[:200]!r}. "
            'For a column whose name is no plain word write column("its name").'
        ) from None
    except (RecursionError, MemoryError):
        raise RuleError(f"The rule is nested too deep; at most {MAX_RULE_DEPTH} levels are read.") from None
    except ValueError as error:
        raise RuleError(f"The rule can't be read: {error}.") from None
    _check_tree(tree, text)
    return text, tree


def _check_tree(tree: ast.expr, text: str) -> None:
    waiting = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_RULE_DEPTH:
            raise RuleError(f"The rule is nested too deep; at most {MAX_RULE_DEPTH} levels are read.")
        waiting += [(operand, depth + 1) for operand in _operands(node, text)]


def _operands(node: ast.expr, text: str) -> list[ast.expr]:
    """Return the parts of a node that must be checked in turn; raise where the node isn't on the list."""
    match node:
        case ast.BoolOp(values=values):
            return values
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            return [operand]
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _ARITHMETIC):
            return [left, right]
        case ast.Compare():
            return _compared(node, text)
        case ast.Call():
            return _called(node, text)
        case ast.Constant(value=value):
            _check_constant(value, node, text)
        case ast.UnaryOp(op=op) | ast.BinOp(op=op):
            _refuse(op, node, text)
        case _ if not isinstance(node, ast.Name):
            _refuse(node, node, text)
    return []


def _compared(node: ast.Compare, text: str) -> list[ast.expr]:
    operands = [node.left]
    for op, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, (ast.In, ast.NotIn)):
            if len(node.ops) > 1:
                fail("'in' stands in a chain of comparisons", node, text, hint=" Join two comparisons with 'and'.")
            if not isinstance(right, (ast.List, ast.Tuple, ast.Set)):
                fail('after \'in\' there must be a list like ["a", "b"]', right, text, hint=_FOR_CONTAINS)
            if any(not isinstance(_unsigned(item), ast.Constant) for item in right.elts):
                fail("a list may hold texts, numbers, True and False only", right, text)
            operands += right.elts
        elif not isinstance(op, _COMPARISONS):
            _refuse(op, node, text)
        else:
            operands.append(right)
    return operands


def _called(node: ast.Call, text: str) -> list[ast.expr]:
    name = function_name(node)
    if name not in FUNCTIONS:
        fail(
            f"it calls {source(node.func, text)}; only {listed(FUNCTIONS)} may be called",
            node,
            text,
            hint=did_you_mean(name, FUNCTIONS) if name else "",
        )
    if node.keywords or len(node.args) != (1 if name in ("isna", "column") else 2):
        fail(f"it calls {name} in a way that isn't known; write {_usage(name)}", node, text)
    texts = node.args[1:] if name != "column" else node.args
    if any(not isinstance(arg, ast.Constant) or not isinstance(arg.value, str) for arg in texts):
        fail(f"what {name} takes must be a text in quotes; write {_usage(name)}", node, text)
    if name == "column":
        return []
    if not is_column(node.args[0]):
        fail(f"the first thing that {name} takes must be a column; write {_usage(name)}", node, text)
    return node.args


def _usage(name: str) -> str:
    return {"isna": "isna(label)", "column": 'column("time of day")'}.get(name, f'{name}(label, "text")')


def _unsigned(node: ast.expr) -> ast.expr:
    return node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node


def _check_constant(value: object, node: ast.expr, text: str) -> None:
    if not isinstance(value, (str, int, float)):
        hint = " For missing values write isna(column)." if value is None else ""
        fail(f"{value!r} is no text, number, True or False", node, text, hint=hint)
    if isinstance(value, int) and abs(value) > _LARGEST:
        fail("a number is too large", node, text)


def _refuse(what: ast.AST, node: ast.expr, text: str) -> NoReturn:
    word = _HINTS.get(type(what), f"{type(what).__name__!r} (Python's name for it)")
    fail(f"it holds {word}", node, text)


def source(node: ast.expr, text: str) -> str:
    """Quote the part of a rule from which a node was read."""
    return repr((ast.get_source_segment(text, node) or text)[:80])


def fail(problem: str, node: ast.expr, text: str, *, hint: str = "") -> NoReturn:
    """Raise `RuleError` with the problem, where it stands, and what to do."""
    line = text.splitlines()[node.lineno - 1] if node.lineno <= len(text.splitlines()) else ""
    at = len(line.encode()[: node.col_offset].decode(errors="ignore")) + 1
    where = f"character {at}" if "\n" not in text else f"line {node.lineno}, character {at}"
    raise RuleError(f"The rule can't be used: {problem} (at {where} of {text[:200]!r}).{hint or _ON_THE_LIST}")


def is_column(node: ast.AST) -> bool:
    """Tell whether a node names a column: bare, or by column("its name")."""
    return isinstance(node, ast.Name) or (isinstance(node, ast.Call) and function_name(node) == "column")


def column_name(node: ast.AST) -> str:
    """Return the name in such a node."""
    if isinstance(node, ast.Call):
        node = node.args[0]
    return node.id if isinstance(node, ast.Name) else str(getattr(node, "value", ""))


def function_name(call: ast.Call) -> str:
    """Return the name of the function that is called, '' where it isn't called by a name."""
    return call.func.id if isinstance(call.func, ast.Name) else ""
