"""Units by what their labels say: the filter of search, in which the explanation's text is one more field."""

from __future__ import annotations

import operator
from collections.abc import Mapping

from neurogloss.ids import UnitId
from neurogloss.store.documents import FIELDS, Scalar, documents
from neurogloss.store.ledger import Ledger
from neurogloss.store.where import Comparison, Condition, parse

EXPLANATION = "explanation"
_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def units_where(ledger: Ledger, where: str) -> list[UnitId]:
    """Units with an explanation, of any method, that passes a filter such as `explanation ~ "red"`, sorted.

    Raises:
        UserError: the filter is none, or names a field that no label has.
    """
    labels = [{**document.metadata, EXPLANATION: document.text} for document in documents(ledger)]
    kinds = {name: str if isinstance(value, str) else float for label in labels for name, value in label.items()}
    condition = parse(where, {**FIELDS, EXPLANATION: str, **kinds})
    return sorted({UnitId.parse(str(label["unit"])) for label in labels if holds(condition, label)})


def holds(condition: Condition, values: Mapping[str, Scalar]) -> bool:
    """Whether the condition holds of these values; no comparison does with a field that is not there."""
    if not isinstance(condition, Comparison):
        found = (holds(part, values) for part in condition.parts)
        return all(found) if condition.every else any(found)
    value = values.get(condition.field)
    if value is None:
        return False
    if condition.op in _ORDER:
        return bool(_ORDER[condition.op](value, condition.values[0]))
    if condition.op.endswith("~"):
        met = str(condition.values[0]).lower() in str(value).lower()
    else:
        met = value in condition.values
    return met is not condition.negated
