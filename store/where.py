"""Filters on labels, as people write them: `layer >= 10 and detection.auroc > 0.8 and state == "accepted"`.

1. The text is parsed by Python's own grammar, in which `~` (text contains) takes the place of `@`; nothing is run.
2. Only `and`, `or`, `not`, parentheses and comparisons of one field with constants are taken.
3. Field and constants are checked: the field is known, a number stands where a number is, a state is a state.
4. The tree becomes one SQL condition with parameters.

What a label has no value for fits no comparison with it, nor the negation of one.
"""

from __future__ import annotations

import ast
import difflib
import io
import tokenize
from collections.abc import Collection, Mapping
from dataclasses import dataclass
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
_ORDERED = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_EQUAL = {ast.Eq: "=", ast.NotEq: "<>"}
_MEMBER = {ast.In: "IN", ast.NotIn: "NOT IN"}
_LARGEST = 1e300
_LONGEST = 2000
"""Characters: bounds how deep a filter nests."""
_FORM = 'FIELD == "text", FIELD >= 0.5, FIELD in ("a", "b") or FIELD ~ "part of it", joined by and, or, not'


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL condition over columns that are named as the fields are."""

    sql: str
    parameters: tuple[Constant, ...] = ()

    def __and__(self, other: Condition) -> Condition:
        return Condition(f"({self.sql} AND {other.sql})", self.parameters + other.parameters)


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
    return _Compiler(source, text, fields).condition(tree)


def one_of(field: str, values: Collection[Constant]) -> Condition:
    """The field has one of the values."""
    return Condition(f"{quoted(field)} IN ({', '.join('?' * len(values))})", tuple(values))


def quoted(name: str) -> str:
    """As the name of a column in SQL."""
    return '"' + name.replace('"', '""') + '"'


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

    def condition(self, node: ast.expr) -> Condition:
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self.condition(value) for value in values]
                joined = (" AND " if isinstance(op, ast.And) else " OR ").join(part.sql for part in parts)
                return Condition(f"({joined})", tuple(value for part in parts for value in part.parameters))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.condition(operand)
                return Condition(f"(NOT {inner.sql})", inner.parameters)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self.comparison(left, op, right)
            case ast.BinOp(left=left, op=ast.MatMult(), right=right):
                return self.contains(left, right)
        _refuse(self.text, self.written(node))

    def comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Condition:
        field, kind = self.field(left), type(op)
        column = quoted(field)
        if kind in _MEMBER and isinstance(right, ast.Tuple | ast.List | ast.Set):
            values = tuple(self.constant(field, item) for item in right.elts)
            return Condition(f"{column} {_MEMBER[kind]} ({', '.join('?' * len(values))})", values)
        if kind in _EQUAL:
            return Condition(f"{column} {_EQUAL[kind]} ?", (self.constant(field, right),))
        if kind in _ORDERED and self.fields[field] is str:
            raise UserError(f"{field} is text: compare it with ==, !=, in or ~, not with {_ORDERED[kind]}.")
        if kind in _ORDERED:
            return Condition(f"{column} {_ORDERED[kind]} ?", (self.constant(field, right),))
        _refuse(self.text, self.written(right))

    def contains(self, left: ast.expr, right: ast.expr) -> Condition:
        field = self.field(left)
        if self.fields[field] is not str:
            raise UserError(f"{field} is a number: compare it with ==, !=, <, <=, >, >= or in, not with ~.")
        if not isinstance(right, ast.Constant) or not isinstance(right.value, str):
            raise UserError(f"Expected text in quotes after {field} ~, found {self.written(right)}.")
        return Condition(f"instr(lower({quoted(field)}), lower(?)) > 0", (right.value,))

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
