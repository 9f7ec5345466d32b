"""What a format writes, and what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurogloss.ids import UnitId
from neurogloss.records import Evidence, Example, Facet, Label, Side, UnitStatistics


@dataclass(frozen=True, slots=True)
class Entry:
    """One label with what a format may say beside it."""

    label: Label
    statistics: UnitStatistics | None
    settings: Mapping[str, Any]
    """Of the label's method, as the ledger has them."""
    evidence: Evidence | None = None
    """Of the unit, where the format shows contexts and the run has collected any."""


@dataclass(frozen=True, slots=True)
class Found:
    """One explanation in a file of another tool, or of ours."""

    where: str
    """File and line, or file and row."""
    text: str
    unit: UnitId | None
    """None where the file does not name units as neurogloss does; then it gives `place` and `index`."""
    place: str = ""
    """What the file calls subject, hookpoint and dictionary together."""
    index: int = 0
    method: str = ""
    """What the file calls the way in which the explanation was made."""
    side: Side = Side.INPUT
    facets: tuple[Facet, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    """JSON: what else the file says of it, its own scores among it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All that a file or folder holds."""

    found: tuple[Found, ...]
    files: tuple[Path, ...]
    """Those that were read, sorted."""
    without_text: int = 0
    """Units that are in the files, but have no explanation there."""


Write = Callable[[Path, Iterable[Entry]], None]
"""Writes entries to a new path, all or nothing."""
Read = Callable[[Path], Reading]
"""Reads a file or a folder. Raises UserError, which names file and line, for what is not in the format."""


@dataclass(frozen=True, slots=True)
class Format:
    """What can be done with one format."""

    write: Write | None = None
    read: Read | None = None
    contexts: bool = False
    """Whether it shows contexts: `write` wants the evidence of each unit."""


def distinct(examples: Iterable[Example]) -> list[Example]:
    """Each context once, by descending peak."""
    found = {example.context.id: example for example in examples}
    return sorted(found.values(), key=lambda example: (-example.peak, example.context.id))
