"""Filters on labels: `layer >= 10 and detection.auroc > 0.8 and state == "accepted"`.

`parse` checks a filter against the fields that exist and returns a `Condition`; `sql` turns that into a
parametrised SQL expression over the table `documents d` (`neurogloss.store.schema`).

A label without a value for a field meets no comparison with that field, and no negation of one: `not` is pushed
down to the comparisons, each of which has an opposite.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeAlias

from neurogloss.errors import UserError
from neurogloss.records import Side, State
from neurogloss.store.database import marks

Constant: TypeAlias = str | float
Fields: TypeAlias = Mapping[str, type]
"""Name and type (`str` or `float`) of each field."""

CHOICES: Mapping[str, Collection[str]] = {
    "state": [state.value for state in State],
    "side": [side.value for side in Side],
}
COLUMNS: Mapping[str, type] = {
    "unit": str,
    "subject": str,
    "hookpoint": str,
    "layer": float,
    "dictionary": str,
    "method": str,
    "state": str,
    "side": str,
    "density": float,
}
"""Fields that every label has or may have; each is a column of `documents`. Scores add more."""
EXPLANATION = "explanation"
"""The explanation's text, as a field."""
_OPS = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "==": "in", "!=": "not in", "~": "~"}
_OPPOSITE = {"<": ">=", "<=": ">", "in": "not in", "~": "not ~"}
_OPPOSITE |= {opposite: op for op, opposite in _OPPOSITE.items()}
_LARGEST = 1e300
_LONGEST = 2000
"""Characters of a filter."""
_DEEPEST = 100
"""Nested parentheses and negations."""
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    | (?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<word>[^\W\d][\w.-]*)
    | (?P<sign><=|>=|==|!=|[<>~()\[\],]))""",
    re.VERBOSE,
)
_FORM = 'FIELD == "text", FIELD >= 0.5, FIELD in ("a", "b") or FIELD ~ "part of it", joined by and, or, not'


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares one field with constants; false if the field has no value."""

    field: str
    op: str
    """`<`, `<=`, `>`, `>=` with one number; `in`, `not in` with any values; `~`, `not ~` with one text."""
    values: tuple[Constant, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """All of at least one part (`every`), or any of them."""

    every: bool
    parts: tuple[Condition, ...]


Condition: TypeAlias = Comparison | Joined


def parse(text: str, fields: Fields) -> Condition:
    """Returns the condition that `text` states.

    Raises:
        UserError: `text` is not a filter, names an unknown field, or compares a field with the wrong type.
    """
    parser = _Parser(text.strip(), fields)
    condition = parser.any_of(True, 0)
    if parser.next is not None:
        parser.refuse()
    return condition


class _Parser:
    """Recursive descent, one token ahead. `holds` is False inside an odd number of `not`."""

    def __init__(self, text: str, fields: Fields) -> None:
        self._text, self._fields, self._at = text, fields, 0
        if len(text) > _LONGEST or "\n" in text:
            self.refuse()
        self.advance()

    def refuse(self, found: str = "") -> NoReturn:
        raise UserError(f"Expected a filter of the form {_FORM}; found {found or repr(self._text)}. Fix --where.")

    def advance(self) -> str:
        """Returns the current token and reads the next one; its `kind` is a group of `_TOKEN`."""
        current = getattr(self, "next", None) or ""
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            if self._text[self._at :].strip():
                self.refuse()
            self.next, self.kind = None, ""
        else:
            self.kind = match.lastgroup or ""
            self.next, self._at = match[self.kind], match.end()
        return current

    def take(self, *wanted: str) -> bool:
        """Skips the current token if it is one of these."""
        found = self.kind != "text" and self.next in wanted
        if found:
            self.advance()
        return found

    def any_of(self, holds: bool, depth: int) -> Condition:
        parts = [self.all_of(holds, depth)]
        while self.take("or"):
            parts.append(self.all_of(holds, depth))
        return parts[0] if len(parts) == 1 else Joined(not holds, tuple(parts))

    def all_of(self, holds: bool, depth: int) -> Condition:
        parts = [self.one(holds, depth)]
        while self.take("and"):
            parts.append(self.one(holds, depth))
        return parts[0] if len(parts) == 1 else Joined(holds, tuple(parts))

    def one(self, holds: bool, depth: int) -> Condition:
        if depth > _DEEPEST:
            self.refuse()
        if self.take("not"):
            return self.one(not holds, depth + 1)
        if self.take("("):
            inner = self.any_of(holds, depth + 1)
            if not self.take(")"):
                self.refuse()
            return inner
        found = self.comparison()
        return found if holds else replace(found, op=_OPPOSITE[found.op])

    def comparison(self) -> Comparison:
        if self.kind != "word":
            self.refuse()
        field = self.advance()
        if self.kind == "text" or self.next not in (*_OPS, "in", "not"):
            self.refuse()
        written = self.advance()
        if self.next is None or (written == "not" and not self.take("in")):
            self.refuse()
        self._require(field)
        if written in ("in", "not"):
            return Comparison(field, "in" if written == "in" else "not in", self.several(field))
        op, is_text = _OPS[written], self._fields[field] is str
        if op == "~" and not is_text:
            raise UserError(f"{field} is a number: compare it with ==, !=, <, <=, >, >= or in, not with ~.")
        if op in ("<", "<=", ">", ">=") and is_text:
            raise UserError(f"{field} is text: compare it with ==, !=, in or ~, not with {op}.")
        if op == "~":
            if self.kind != "text":
                raise UserError(f"Expected text in quotes after {field} ~, found {self.next or 'nothing'}.")
            return Comparison(field, op, (self.quoted(self.advance()),))
        return Comparison(field, op, (self.constant(field),))

    def several(self, field: str) -> tuple[Constant, ...]:
        closing = {"(": ")", "[": "]"}.get(self.next or "") if self.kind == "sign" else None
        if closing is None:
            self.refuse(self.next or "")
        self.advance()
        values: list[Constant] = []
        while not self.take(closing):
            values.append(self.constant(field))
            if not self.take(",") and self.next != closing:
                self.refuse()
        return tuple(values)

    def constant(self, field: str) -> Constant:
        if self.next is None or self.kind == "sign":
            self.refuse()
        kind, written = self.kind, self.advance()
        if self._fields[field] is str:
            if kind != "text":
                raise UserError(f"{field} is text: compare it with text in quotes, not with {written}.")
            value = self.quoted(written)
            if value not in CHOICES.get(field, (value,)):
                raise UserError(f"{field} is one of {', '.join(CHOICES[field])}; found {value!r}.")
            return value
        if kind != "number" or abs(float(written)) > _LARGEST:
            raise UserError(f"{field} is a number: compare it with a number, not with {written}.")
        return float(written)

    def quoted(self, written: str) -> str:
        """What a text in quotes says, with Python's escapes. SQLite takes no half surrogates."""
        try:
            return str(ast.literal_eval(written)).encode(errors="replace").decode()
        except (SyntaxError, ValueError):
            self.refuse(written)

    def _require(self, name: str) -> None:
        if name in self._fields:
            return
        near = difflib.get_close_matches(name, self._fields, n=3, cutoff=0.5)
        raise UserError(
            f"Expected a field to filter on, found {name}; the nearest are {', '.join(near)}."
            if near
            else f"Expected a field to filter on, found {name}; there are {', '.join(sorted(self._fields))}."
        )


def sql(condition: Condition | None, numbers: Mapping[str, int], few: bool = False) -> tuple[str, list[Any]]:
    """Returns an SQL expression over `documents d`, and its parameters.

    Args:
        condition: None lets every row pass.
        numbers: the id in `fields` of each field that is in the table `numbers`.
        few: for a query that looks at few rows only: scores are looked up row by row, not in their index.
    """
    if condition is None:
        return "1", []
    if isinstance(condition, Joined):
        parts = [sql(part, numbers, few) for part in condition.parts]
        joint = " AND " if condition.every else " OR "
        return f"({joint.join(part for part, _ in parts)})", [each for _, some in parts for each in some]
    name = condition.field
    if name == EXPLANATION:
        return _compare("(SELECT text FROM document_texts t WHERE t.id = d.id)", condition)
    if name in COLUMNS or name not in numbers:
        return _compare(f"d.{name}", condition)
    compared, parameters = _compare("value", condition)
    start = (
        "EXISTS (SELECT 1 FROM numbers WHERE document = d.id AND"
        if few
        else "d.id IN (SELECT document FROM numbers WHERE"
    )
    return f"{start} field = ? AND {compared})", [numbers[name], *parameters]


def _compare(value: str, comparison: Comparison) -> tuple[str, list[Any]]:
    negated, op = comparison.op.startswith("not "), comparison.op.removeprefix("not ")
    if op == "~":
        return f"instr(lower({value}), lower(?)) {'=' if negated else '>'} 0", [comparison.values[0]]
    if op == "in":
        known = f"{value} IS NOT NULL AND " if negated else ""
        return f"({known}{value} {comparison.op.upper()} ({marks(comparison.values)}))", [*comparison.values]
    return f"{value} {op} ?", [comparison.values[0]]
