"""A run folder as an object, and search over several runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurogloss.accounts import Usage
from neurogloss.agent.state import unpack
from neurogloss.engines.embedder import MiniLM
from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.protocols import Embedder
from neurogloss.records import Evidence, Explanation, Label, Neighbour, Outcome, State
from neurogloss.runs.firing import Firing, firing
from neurogloss.runs.passages import FoundContext, find_contexts
from neurogloss.sources.cache import Cache
from neurogloss.sources.evidence import evidence, evidence_of
from neurogloss.sources.neighbours import Neighbours, nearest_directions
from neurogloss.store import search as searching
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from neurogloss.store.search import SearchResult

if TYPE_CHECKING:
    from neurogloss.sources.live import UnitReader


class Run:
    """What a run folder holds, read only.

    Raises:
        UserError: there is no run at that path.
    """

    def __init__(self, path: str | Path, embedder: Embedder | None = None) -> None:
        self.folder = RunFolder(Path(path)).require()
        self._embedder = embedder

    def __repr__(self) -> str:
        return f"Run({str(self.folder.path)!r})"

    @cached_property
    def cache(self) -> Cache:
        """The collected activations."""
        return Cache(self.folder.cache)

    @cached_property
    def embedder(self) -> Embedder:
        """The embedding model; MiniLM unless another was given."""
        return self._embedder or MiniLM()

    @cached_property
    def index(self) -> Index:
        """The index, opened when it is first asked and kept open: several threads may use it."""
        return Index(self.folder.index, self.embedder)

    def ledger(self) -> Ledger:
        """The ledger, opened read only; a context manager. Raises UserError where nothing was labelled yet."""
        if not self.folder.ledger.is_file():
            raise UserError(
                f"Expected labels in {self.folder.path}, found none. "
                f"Label it first:  neurogloss label {self.folder.path} --units sample:24"
            )
        return Ledger(self.folder.ledger, read_only=True)

    def labels(self, states: Collection[State] | None = None, method: str | None = None) -> Iterator[Label]:
        """The labels of a method, by default the newest, sorted by unit."""
        with self.ledger() as ledger:
            yield from ledger.labels(method or ledger.newest_method(), states)

    def label(self, unit: UnitId | str, method: str | None = None) -> Label:
        """One unit's label. Raises UserError where it has none."""
        unit = self.unit(unit)
        with self.ledger() as ledger:
            label = ledger.label(unit, method)
        if label is None:
            raise UserError(
                f"{unit} has no label in {self.folder.path}. See which have:  "
                f"neurogloss status {self.folder.path} --labels"
            )
        return label

    def candidates(self, label: Label) -> list[Explanation]:
        """All candidates of a label, the chosen one first."""
        with self.ledger() as ledger:
            return ledger.candidates(label.unit, label.method)

    def outcomes(self, explanation: Explanation, scorer: str) -> list[Outcome]:
        """What was asked for one score, of the explanation and of its floors, with the answers."""
        with self.ledger() as ledger:
            return ledger.outcomes(explanation.id, scorer)

    def trace(self, label: Label) -> list[dict[str, Any]]:
        """How the label's explanation was come by, a step a node: its facts, and its calls.

        Raises:
            UserError: the ledger has no trace of it.
        """
        with self.ledger() as ledger:
            packed = ledger.trace(label.unit, label.method)
        if packed is None:
            raise UserError(
                f"No trace of {label.unit} was kept: it was labelled with --no-trace, imported, or by an older "
                "version. Label it again to have one."
            )
        return unpack(packed)

    def usage(self, method: str) -> dict[str, Usage]:
        """What models were asked under a method, by stage."""
        with self.ledger() as ledger:
            return ledger.usage(method)

    def evidence(self, unit: UnitId | str) -> Evidence:
        """What was collected of one unit."""
        return evidence(self.cache, self.unit(unit))

    def evidence_of(self, units: Iterable[UnitId | str]) -> Iterator[Evidence]:
        """What was collected of each unit, in their order: for less than one after another."""
        return evidence_of(self.cache, map(self.unit, units))

    def coactive(self, unit: UnitId | str, n: int = 10) -> tuple[Neighbour, ...]:
        """The n units, of any site, that share most contexts with this one by estimated Jaccard overlap."""
        return self._neighbours.of(self.unit(unit), n)

    def aligned(self, unit: UnitId | str, n: int = 10) -> list[tuple[UnitId, float]]:
        """The n units of its dictionary whose directions have the largest cosine with this one's, and the cosines.

        Raises:
            UserError: units of the dictionary have no direction of their own, or each is an axis of its own.
        """
        unit = self.unit(unit)
        site = self.cache.site(unit)
        if site.spec in ("neurons", "voxels"):
            raise UserError(
                f"Expected a dictionary whose directions can be compared, found {site.dictionary} at "
                f"{site.hookpoint}: each of its units is an axis of its own."
            )
        self.cache.side(unit)
        found = nearest_directions(self._dictionary(site.spec), unit.index, n)
        return [(replace(unit, index=index), cosine) for index, cosine in found]

    @cached_property
    def _dictionary(self) -> Callable[[str], Any]:
        """Opens a dictionary; the latest two are kept in memory."""
        from neurogloss.sources.dictionaries import open_dictionary

        return lru_cache(2)(lambda spec: open_dictionary(spec, None))

    @cached_property
    def _neighbours(self) -> Neighbours:
        return Neighbours(self.cache)

    def unit(self, unit: UnitId | str) -> UnitId:
        """A unit by its id, or by the end of it where only one unit of the run ends so (`803-`).

        Raises:
            UserError: none or several of the run's units fit.
        """
        if isinstance(unit, UnitId):
            return unit
        try:
            return UnitId.parse(unit)
        except ValueError:
            pass
        with self.ledger() as ledger:
            fit = ledger.ending(f"/{unit}", 6)
        if len(fit) != 1:
            found = ", ".join(map(str, fit[:5])) or "none"
            raise UserError(f"Expected one unit that ends in /{unit}; found {found}. Give the full id.")
        return fit[0]

    def status(self) -> Mapping[str, Mapping[State, int]]:
        """Units by state, for each labelling method."""
        with self.ledger() as ledger:
            return {method: ledger.counts(method) for method in ledger.methods()}

    def search(
        self,
        query: str | UnitId,
        k: int = 10,
        states: Collection[State] | None = None,
        *,
        where: str = "",
        by: str = "hybrid",
    ) -> list[SearchResult]:
        """The labels whose explanations are nearest to a text, or to the explanation of a unit.

        Args:
            states: only these.
            where: a filter, as `layer >= 10 and detection.auroc > 0.8` (`neurogloss.store.where`).
            by: `dense` (meaning), `lexical` (words) or `hybrid` (both).
        """
        with self.ledger() as ledger:
            return searching.search(self.index, ledger, query, k, states, where=where, by=searching.By(by))

    def search_contexts(
        self, query: str, k: int = 10, *, where: str = "", by: str = "hybrid"
    ) -> list[FoundContext]:
        """The contexts nearest to a text, once `neurogloss index contexts` has indexed them; filter: `half`."""
        return find_contexts(self.folder, self.cache, self.embedder, query, k, where, searching.By(by))

    def firing(self, text: str, k: int = 10, *, where: str = "", reader: UnitReader | None = None) -> list[Firing]:
        """The units that fire most on a text, with their labels where they have one.

        Args:
            where: only units with a label that passes this filter.
            reader: the run's subject, where it is loaded already.
        """
        units = None
        if where:
            with self.ledger() as ledger:
                units = searching.units_where(ledger.documents, where)
        found = firing(self.cache, text, k, units, reader)
        if not self.folder.ledger.is_file():
            return found
        with self.ledger() as ledger:
            return [replace(each, label=ledger.label(each.unit)) for each in found]


def open_run(path: str | Path) -> Run:
    """The run in a folder. Raises UserError where there is none."""
    return Run(path)


def search(
    query: str | UnitId,
    run: str | Path | Sequence[str | Path],
    k: int = 10,
    *,
    where: str = "",
    by: str = "hybrid",
    states: Collection[State] | None = None,
    embedder: Embedder | None = None,
) -> list[SearchResult]:
    """Search over the explanations of a run, see `Run.search`, or of several, whatever their units are.

    Of several runs the hits stand by their similarity to the query.

    Raises:
        UserError: as `Run.search`; or several runs are to be searched by words alone, which have no similarity.
    """
    paths = [run] if isinstance(run, str | Path) else run
    if len(paths) > 1 and by == "lexical":
        raise UserError("Expected one run to search by words, found several. Search them by dense or hybrid.")
    embedder = embedder or MiniLM()
    found = []
    for path in paths:
        opened = Run(path, embedder)
        with opened.index:
            found += opened.search(query, k, states, where=where, by=by)
    return sorted(found, key=lambda hit: -hit.similarity)[:k] if len(paths) > 1 else found
