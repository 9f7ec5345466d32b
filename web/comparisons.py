"""What the service answers about two sets of units side by side, as JSON."""

from __future__ import annotations

from neurogloss.web.schemas import Name, Number, View


class PairedUnit(View):
    """One side of a pair."""

    unit: Name
    text: str | None


class Pair(View):
    """As `neurogloss.store.similarity.Pair`."""

    a: PairedUnit
    b: PairedUnit
    similarity: Number
    matched: bool
    values: dict[str, Number]
    """By kind of evidence."""


class Level(View):
    """As `neurogloss.store.similarity.Level`."""

    kind: str
    pairs: int
    mean: Number
    floor: Number
    limit: Number
    share_a: Number
    share_b: Number
    floor_is: str


class Lone(View):
    """A unit that is like none of the other side."""

    unit: Name
    text: str | None
    similarity: Number


class Heat(View):
    """As `neurogloss.runs.similarity.Grid`: a cell compares two places."""

    kind: str
    rows: list[str]
    columns: list[str]
    means: list[list[Number]]
    floors: list[list[Number]]


class Comparison(View):
    """Two sets of units side by side."""

    match: str
    ranked_by: str
    limit: Number
    levels: list[Level]
    missing: dict[str, str]
    """Kinds of evidence that are not at hand, and why."""
    units: tuple[int, int]
    matched: tuple[int, int]
    pairs: list[Pair]
    """At most 5,000, the most alike first."""
    distinctive: tuple[list[Lone], list[Lone]]
    """At most 500 a side."""
    heat: Heat | None
    """Place by place; null where each side is one place."""
