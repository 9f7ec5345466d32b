from __future__ import annotations

from typing import Any

import pytest

from neurogloss.runs.filtering import holds
from neurogloss.store.where import parse

FIELDS = {"explanation": str, "state": str, "density": float, "detection": float}
LABEL: dict[str, Any] = {"explanation": "Red things", "state": "accepted", "density": 0.05}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ('explanation ~ "red"', True),
        ('not explanation ~ "red"', False),
        ('explanation ~ "blue" or density < 0.1', True),
        ('explanation ~ "red" and density >= 0.1', False),
        ('state == "accepted" and not density > 0.05', True),
        ('state != "accepted"', False),
        ('state in ("rejected", "accepted")', True),
        ("density in (0.05, 0.1)", True),
        ("density <= 0.05", True),
        # It has no such score: nothing holds of it.
        ("detection > 0.5", False),
        ("not detection > 0.5", False),
        ("detection not in (0.5, 1)", False),
    ],
)
def test_a_filter_holds_of_a_label_as_it_does_in_search(where: str, expected: bool) -> None:
    assert holds(parse(where, FIELDS), LABEL) is expected
