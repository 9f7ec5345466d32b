"""Filters on labels, as people write them: `layer >= 10 and detection.auroc > 0.8 and state == "accepted"`.

1. The text is parsed by Python's own grammar, in which `~` (text contains) takes the place of `@`; nothing is run.
2. Only `and`, `or`, `not`, parentheses and comparisons of one field with constants are taken.
3. Field and constants are checked: the field is known, a number stands where a number is, a state is a state.
4. `not` goes down to the comparisons, each of which has its opposite: left are comparisons, `and` and `or`.

What a label has no value for fits no comparison with it, nor the negation of one.
"""

from __future__ import annotations

import ast
import difflib
import io
import tokenize
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn, TypeAlias

from neurogloss.errors import UserError
from neurogloss.records import Side, State

Constant: TypeAlias = str | int | float
Fields: TypeAlias = Mapping[str, type]
"""Name and type, `str` or `float`, of what can be filtered on."""

CHOICES: Mapping[str, Collection[str]] = {
    "state": [state.value for state in State],
    "side": [side.value for side in Side],
}
_OPS = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "in",
    ast.NotEq: "not in",
    ast.In: "in",
    ast.NotIn: "not in",
}
_OPPOSITE = {"<": ">=", "<=": ">", "in": "not in", "~": "not ~"}
_OPPOSITE |= {opposite: op for op, opposite in _OPPOSITE.items()}
_LARGEST = 1e300
_LONGEST = 2000
"""Characters: bounds how deep a filter nests."""
_FORM = 'FIELD == "text", FIELD >= 0.5, FIELD in ("a", "b") or FIELD ~ "part of it", joined by and, or, not'


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of one field with constants; false where the field has no value."""

    field: str
    op: str
    """`<`, `<=`, `>`, `>=` with one number; `in`, `not in` with any values; `~`, `not ~` with one text."""
    values: tuple[Constant, ...]

    @property
    def negated(self) -> bool:
        return self.op.startswith("not ")


@dataclass(frozen=True, slots=True)
class Joined:
    """Every part holds, or any of them: at least one part."""

    every: bool
    parts: tuple[Condition, ...]


Condition: TypeAlias = Comparison | Joined


def parse(text: str, fields: Fields) -> Condition:
    """The condition that `text` states.

    Raises:
        UserError: it is none, or names a field that is not there, or compares with what cannot be there.
    """
    text = text.strip()
    source = _with_at_signs(text)
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        _refuse(text, "")
    return _Compiler(source, text, fields).condition(tree, True)


def _with_at_signs(text: str) -> str:
    """`~` replaced by `@`, which Python reads between two operands; not within strings."""
    try:
        tokens = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.OP]
    except (tokenize.TokenError, SyntaxError):
        _refuse(text, "")
    if "\n" in text or len(text) > _LONGEST or any(token.string == "@" for token in tokens):
        _refuse(text, "")
    characters = list(text)
    for token in tokens:
        if token.string == "~":
            characters[token.start[1]] = "@"
    return "".join(characters)


def _refuse(text: str, found: str) -> NoReturn:
    raise UserError(f"Expected a filter of the form {_FORM}; found {found or text!r}. Mend what follows --where.")


@dataclass(frozen=True, slots=True)
class _Compiler:
    source: str
    text: str
    fields: Fields

    def condition(self, node: ast.expr, holds: bool) -> Condition:
        """That the node holds, or that it does not."""
        match node:
            case ast.BoolOp(op=op, values=values):
                every = isinstance(op, ast.And) is holds
                return Joined(every, tuple(self.condition(value, holds) for value in values))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.condition(operand, not holds)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                found = self.comparison(left, op, right)
            case ast.BinOp(left=left, op=ast.MatMult(), right=right):
                found = self.contains(left, right)
            case _:
                _refuse(self.text, self.written(node))
        return found if holds else replace(found, op=_OPPOSITE[found.op])

    def comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Comparison:
        field, written = self.field(left), _OPS.get(type(op), "")
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List | ast.Set):
                _refuse(self.text, self.written(right))
            return Comparison(field, written, tuple(self.constant(field, item) for item in right.elts))
        if not written:
            _refuse(self.text, self.written(right))
        if not isinstance(op, ast.Eq | ast.NotEq) and self.fields[field] is str:
            raise UserError(f"{field} is text: compare it with ==, !=, in or ~, not with {written}.")
        return Comparison(field, written, (self.constant(field, right),))

    def contains(self, left: ast.expr, right: ast.expr) -> Comparison:
        field = self.field(left)
        if self.fields[field] is not str:
            raise UserError(f"{field} is a number: compare it with ==, !=, <, <=, >, >= or in, not with ~.")
        if not isinstance(right, ast.Constant) or not isinstance(right.value, str):
            raise UserError(f"Expected text in quotes after {field} ~, found {self.written(right)}.")
        return Comparison(field, "~", (right.value,))

    def field(self, node: ast.expr) -> str:
        name = self.written(node)
        if name in self.fields:
            return name
        if not isinstance(node, ast.Name | ast.Attribute | ast.BinOp):
            _refuse(self.text, name)
        near = difflib.get_close_matches(name, self.fields, n=3, cutoff=0.5)
        raise UserError(
            f"Expected a field to filter on, found {name}; the nearest are {', '.join(near)}."
            if near
            else f"Expected a field to filter on, found {name}; there are {', '.join(sorted(self.fields))}."
        )

    def constant(self, field: str, node: ast.expr) -> Constant:
        sign = 1
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            sign, node = -1, node.operand
        value = node.value if isinstance(node, ast.Constant) else None
        if self.fields[field] is str:
            if not isinstance(value, str) or sign < 0:
                raise UserError(f"{field} is text: compare it with text in quotes, not with {self.written(node)}.")
            if value not in CHOICES.get(field, (value,)):
                raise UserError(f"{field} is one of {', '.join(CHOICES[field])}; found {value!r}.")
            return value
        if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > _LARGEST:
            raise UserError(f"{field} is a number: compare it with a number, not with {self.written(node)}.")
        return sign * float(value)

    def written(self, node: ast.expr) -> str:
        """As it stands in the text."""
        return (ast.get_source_segment(self.source, node) or "").replace("@", "~")
