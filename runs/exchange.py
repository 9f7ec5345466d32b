"""A run's labels to and from other tools' files: the ledger and the cache meet the formats here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.records import UnitStatistics
from neurogloss.runs.run import open_run
from neurogloss.sources.cache import Cache
from neurogloss.store.exchange import diff as differing
from neurogloss.store.exchange import importing
from neurogloss.store.exchange.diff import Difference
from neurogloss.store.exchange.formats import reader, writer
from neurogloss.store.exchange.importing import Imported, Origin
from neurogloss.store.exchange.records import Entry

UNSEEN = UnitStatistics(0, 0, math.nan, 0.0, 0.0, ())
"""Of a unit in a run that has read no corpus."""


def export(
    run: str | Path,
    out: str | Path,
    format: str,
    *,
    method: str | None = None,
    hookpoint: str | None = None,
    dictionary: str | None = None,
) -> int:
    """Write a run's labels in a format that others read.

    Args:
        out: a path where nothing is yet; a file or a folder, as the format has it.
        format: of `neurogloss.store.exchange.formats`.
        method: by default the newest.
        hookpoint, dictionary: only units of these.

    Returns:
        How many labels were written.

    Raises:
        UserError: an unknown format or method, no such labels, or what the format cannot hold; then there is
            nothing at `out`.
    """
    write, contexts = writer(format)
    opened = open_run(run)
    with opened.ledger() as ledger:
        chosen = ledger.method(method)
        settings = ledger.methods()[chosen]
        labels = [
            label
            for label in ledger.labels(chosen)
            if hookpoint in (None, label.unit.hookpoint) and dictionary in (None, label.unit.dictionary)
        ]
        if not labels:
            raise UserError(f"Expected labels by {chosen} to export, found none there. Choose other units.")
        shown = contexts and opened.folder.cache.is_dir()

        def entries() -> Iterator[Entry]:
            found = opened.evidence_of(label.unit for label in labels) if shown else repeat(None, len(labels))
            for label, evidence in zip(labels, found, strict=True):
                yield Entry(label, ledger.statistics(label.unit), settings, evidence)

        write(Path(out), entries())
        return len(labels)


def import_labels(run: str | Path, path: str | Path, format: str, *, at: Sequence[str] = ()) -> Imported:
    """Add the explanations of a file or folder to a run, as a labelling method of their own, to be scored.

    Args:
        run: a run folder; one that has collected no activations, or is not there yet, takes units of any name.
        format: of `neurogloss.store.exchange.formats`.
        at: `NAME=SUBJECT/HOOKPOINT/DICTIONARY`, or that without `NAME=` for all: what the file's names mean.

    Raises:
        UserError: what the user can mend; then nothing was imported.
    """
    folder, source = RunFolder(Path(run)), Path(path)
    reading = reader(format)(source)
    origin = Origin(format, source, _places(at))
    if folder.path.exists() and any(folder.path.iterdir()):
        folder.require()
    cache = Cache(folder.cache) if folder.cache.is_dir() else None
    plan = importing.plan(reading, origin, cache.statistics if cache else lambda _: UNSEEN)
    with folder.writing():
        return importing.write(folder.ledger, plan)


def diff(
    run_a: str | Path, run_b: str | Path, method_a: str | None = None, method_b: str | None = None
) -> Difference:
    """What changed from the labels of one run, or one method, to those of another; the newest methods by default.

    Raises:
        UserError: there is no such run or method.
    """
    first, second = open_run(run_a), open_run(run_b)
    with first.ledger() as one, second.ledger() as other:
        names = one.method(method_a), other.method(method_b)
    if first.folder.path.resolve() == second.folder.path.resolve() and names[0] == names[1]:
        raise UserError(
            f"Expected two sets of labels, found {names[0]} of {first.folder.path} twice. Name two of its methods "
            "with --method-a and --method-b."
        )
    return differing.compare(first.labels(method=names[0]), second.labels(method=names[1]))


def _places(given: Sequence[str]) -> dict[str, str]:
    places: dict[str, str] = {}
    for text in given:
        name, _, place = text.rpartition("=")
        try:
            unit = UnitId.parse(f"{place}/0")
        except ValueError:
            raise UserError(f"Expected SUBJECT/HOOKPOINT/DICTIONARY, found {place!r}. Mend --at.") from None
        if name in places:
            raise UserError(f"Expected one place for {name or 'all'}, found two. Mend --at.")
        places[name] = str(unit).rpartition("/")[0]
    return places
