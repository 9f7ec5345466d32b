"""Short names of units, as people read and type them: only what differs between the units is named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import TYPE_CHECKING

from neurogloss.ids import UnitId, layer_of

if TYPE_CHECKING:
    from neurogloss.runs.run import Run


@dataclass(frozen=True, slots=True)
class Names:
    """Short names for units: `14/803-` is unit 803's negative side at the hookpoint of layer 14."""

    common: str
    """The places of the units, as `subject/hookpoint/dictionary`, with `*` for what differs."""
    parts: tuple[bool, bool, bool]
    """Whether a name says subject, hookpoint, dictionary."""
    start: int
    """Components of the hookpoint that all names begin with, and that a name leaves out."""
    end: int
    """Components of the hookpoint that all names end with, and that a name leaves out."""
    by_layer: bool
    """Whether layer and dictionary are enough to tell the places apart."""

    def of(self, unit: UnitId) -> str:
        """The unit's name."""
        components = unit.hookpoint.split(".")
        inner = components[self.start : len(components) - self.end]
        hookpoint = str(layer_of(unit.hookpoint)) if self.by_layer else ".".join(inner)
        place = (unit.subject, hookpoint, unit.dictionary)
        said = [name for name, differs in zip(place, self.parts, strict=True) if differs]
        return "/".join((*said, number(unit)))


def names(units: Iterable[UnitId]) -> Names:
    """Short names that tell these units apart."""
    places = {(unit.subject, unit.hookpoint, unit.dictionary) for unit in units}
    subjects, hookpoints, dictionaries = (sorted({place[i] for place in places}) for i in range(3))
    parts = (len(subjects) > 1, len(hookpoints) > 1, len(dictionaries) > 1)
    start = end = 0
    if parts[1]:
        components = [hookpoint.split(".") for hookpoint in hookpoints]
        # One component at least is left, where a hookpoint is the beginning or the end of another.
        room = min(map(len, components)) - 1
        start = min(_shared(components), room)
        end = min(_shared([names[::-1] for names in components]), room - start)
        hookpoints = [".".join((*components[0][:start], "*", *components[0][len(components[0]) - end :]))]
    common = (names[0] if len(names) == 1 else "*" for names in (subjects, hookpoints, dictionaries))
    layers = {(subject, layer_of(hookpoint), dictionary) for subject, hookpoint, dictionary in places}
    by_layer = len(layers) == len(places) and all(layer is not None for _, layer, _ in layers)
    return Names("/".join(common), parts, start, end, by_layer)


def number(unit: UnitId) -> str:
    """Index and sign, `803-`."""
    return f"{unit.index}{'-' if unit.sign < 0 else ''}"


def find(run: Run, text: str) -> UnitId:
    """Find the labelled unit that `text` names: a full id, its end, or a short name (`14/803-`, `14/sae-0/7`).

    Raises:
        UserError: none or several of the run's units fit.
    """
    place, _, index = text.rpartition("/")

    def fits(unit: UnitId) -> bool:
        where = f".{unit.hookpoint}.", unit.dictionary
        short = all(f".{part}." in where[0] or part == where[1] for part in place.split("/"))
        return (short and number(unit) == index) or str(unit).endswith(f".{text}")

    with run.ledger() as ledger:
        found = [unit for unit in ledger.units() if fits(unit)] if place else []
    return found[0] if len(found) == 1 else run.unit(text)


def _shared(parts: Sequence[Sequence[str]]) -> int:
    """Count the elements that all sequences begin with."""
    return len(commonprefix([tuple(part) for part in parts]))
