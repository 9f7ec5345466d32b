"""Explanations of another tool become labels of the ledger.

1. Each explanation gets its unit: the file's own name for it, or the place that the user gave for what the file
   calls it. A unit that the run does not have, or one that has two explanations of one method, stops all.
2. Each of the file's methods is a method of the ledger, `import-FORMAT-…`: its id comes from the format, the hash
   of the files, the file's name for the method, and the places.
3. Everything is written in one transaction. The labels are in state `explained`, to be scored like any other; what
   the file said of its own scores is in their provenance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurogloss.errors import UserError
from neurogloss.ids import UnitId, content_id
from neurogloss.records import Explanation, UnitStatistics
from neurogloss.store.exchange.files import digest, plain
from neurogloss.store.exchange.records import Found, Reading
from neurogloss.store.ledger import Ledger

MAX_INDEX = 2**63 - 1
"""SQLite has no larger number."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought."""

    methods: Mapping[str, int]
    """Labels by the ledger's method."""
    without_text: int
    """Units of the file that have no explanation there."""

    @property
    def labels(self) -> int:
        return sum(self.methods.values())


@dataclass(frozen=True, slots=True)
class Origin:
    """Where explanations come from."""

    format: str
    path: Path
    places: Mapping[str, str]
    """`subject/hookpoint/dictionary` by what the files call it; by "" for all that they do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An import that can be written: all is checked but the ledger."""

    origin: Origin
    methods: Mapping[str, Mapping[str, Any]]
    """Settings by id."""
    units: Mapping[UnitId, UnitStatistics]
    explanations: Sequence[Explanation]
    without_text: int


def plan(reading: Reading, origin: Origin, statistics: Callable[[UnitId], UnitStatistics]) -> Plan:
    """What an import of this reading would write.

    Args:
        statistics: of a unit; raises UserError for one that the run does not have.

    Raises:
        UserError: a place that is not known, an unknown unit, two explanations of a unit by one method, or files
            without an explanation.
    """
    if not reading.found:
        raise UserError(f"Expected explanations in {origin.path}, found none.")
    for row in reading.found:
        _check(row)
    methods = _methods(reading, origin)
    explanations = _explanations(reading.found, methods, origin)
    units: dict[UnitId, UnitStatistics] = {}
    for found, explanation in zip(reading.found, explanations, strict=True):
        if explanation.unit not in units:
            try:
                units[explanation.unit] = statistics(explanation.unit)
            except UserError as error:
                raise UserError(f"{found.where}: {error} Nothing was imported.") from None
    return Plan(origin, dict(methods.values()), units, explanations, reading.without_text)


def write(ledger: Path, plan: Plan) -> Imported:
    """Add all of it to the ledger, or nothing; a ledger is made where there is none.

    Raises:
        UserError: the files were imported already.
    """
    with Ledger(ledger) as opened:
        again = sorted(plan.methods.keys() & opened.methods().keys())
        if again:
            raise UserError(
                f"{plan.origin.path} was imported already, as {', '.join(again)}. Nothing was imported."
            )
        opened.record_imported(plan.methods, plan.units, plan.explanations)
    return Imported(Counter(explanation.method for explanation in plan.explanations), plan.without_text)


def _methods(reading: Reading, origin: Origin) -> dict[str, tuple[str, dict[str, Any]]]:
    """Id and settings in the ledger by the file's own name for a method."""
    facts = {
        "format": origin.format,
        "hash": digest(origin.path, reading.files),
        "places": dict(origin.places),
    }
    methods = {}
    for name in dict.fromkeys(found.method for found in reading.found):
        decides = {**facts, "method": name}
        id = f"import-{origin.format}-{content_id(decides)[3:11]}"
        methods[name] = id, {"explainer": {"name": "import"}, "import": {**decides, "file": origin.path.name}}
    return methods


def _explanations(
    found: Sequence[Found], methods: Mapping[str, tuple[str, dict[str, Any]]], origin: Origin
) -> list[Explanation]:
    """One a label; the places that were given must all be used."""
    known = {row.place for row in found} - {""}
    unused = sorted(set(origin.places) - known - ({""} if known else set()))
    if unused:
        raise UserError(
            f"Expected names that {origin.path} has for places ({', '.join(sorted(known)) or 'none'}), found "
            f"{', '.join(name or 'a place for all' for name in unused)}. Mend --at."
        )
    seen: dict[tuple[UnitId, str], str] = {}
    folder = f"{origin.path.parent}/"
    explanations = []
    for row in found:
        unit = _unit(row, origin)
        before = seen.setdefault((unit, row.method), row.where)
        if before != row.where:
            raise UserError(
                f"Expected one explanation of {unit}, found two: in {before} and in {row.where}. Take one out; "
                "nothing was imported."
            )
        told = {"explainer": "import", "where": row.where.removeprefix(folder), "source": plain(row.source)}
        id = methods[row.method][0]
        explanations.append(Explanation(unit, row.text, id, side=row.side, facets=row.facets, provenance=told))
    return explanations


def _check(row: Found) -> None:
    """Raise UserError for what a ledger cannot hold."""
    index = row.unit.index if row.unit else row.index
    words = [row.text, row.method, row.place, str(row.unit), *(facet.text for facet in row.facets)]
    if index > MAX_INDEX or plain(words) != words:
        raise UserError(f"{row.where}: expected an index below 2^63, and Unicode. Mend that row.")


def _unit(row: Found, origin: Origin) -> UnitId:
    """The unit that a row explains."""
    place = origin.places.get(row.place, origin.places.get("")) if row.place else None
    if place is not None:
        return UnitId.parse(f"{place}/{row.index}")
    if row.unit is None:
        raise UserError(
            f"{row.where}: expected to know which units {row.place} holds. Say it with  "
            f"--at {row.place}=SUBJECT/HOOKPOINT/DICTIONARY"
        )
    return row.unit
