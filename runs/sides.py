"""Units that are compared with others: a run, and a place in it.

By text alone they are the units that have an explanation; otherwise those that were active in some contexts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.runs.run import Run
from neurogloss.sources.brain.voxels import NAME as VOXELS
from neurogloss.sources.brain.voxels import Voxels
from neurogloss.sources.cache import Cache, Site, read_sketch, sketch_folder
from neurogloss.sources.contexts import HALVES
from neurogloss.store.measures import Int
from neurogloss.store.similarity import Member

By = Literal["text", "decoder", "coactivation", "correlation"]
"""Kinds of evidence."""


class Place(NamedTuple):
    """Which units of a run; None takes all. Any tuple of its first parts will do."""

    hookpoint: str | None = None
    dictionary: str | None = None
    roi: str | None = None
    """Regions of the brain, separated by commas: voxels in one of them."""

    def holds(self, run: Run) -> NDArray[np.int64] | None:
        """Indices of the voxels in the region; None: all units. Raises UserError where there is no such region."""
        if self.roi is None:
            return None
        voxels = Voxels.of(run.cache)
        if voxels is None:
            raise UserError(
                f"Expected voxels, which regions are of, in {run.folder.path}, found none. Leave out --roi."
            )
        return voxels.within(self.roi.split(","))


Where = tuple[str | None, ...]
ANYWHERE: Where = Place()


@dataclass(frozen=True)
class Side:
    """A run's units that are compared."""

    run: Run
    members: list[Member]
    sites: list[tuple[Site, Int]]
    """Each site with the rows of its sides that are compared, in the order of the members; empty by text alone."""
    rare: int = 0
    """Units that were left out."""

    @cached_property
    def cache(self) -> Cache:
        return self.run.cache


def side_of(run: Run, where: Where, by: Collection[By], min_active: int) -> Side:
    """The units of a run at that place. Raises UserError where there are none."""
    place = Place(*where)
    held = place.holds(run)
    if set(by) == {"text"}:
        texts = _texts(run)
        units = [u for u in texts if held is None or (u.dictionary == VOXELS and u.index in held)]
        return Side(run, [Member(u, texts[u]) for u in _at(place, units, run, "explanations")], [])
    cache = run.cache
    sites = _at(place, cache.sites, run, "units")
    texts = _texts(run) if run.folder.ledger.is_file() else {}
    found, members, rare = [], [], 0
    for site in sites:
        active = np.add.reduce([arrays["n_active"] for arrays in sketches(cache, site)])
        looked_at = np.arange(len(active))
        if held is not None:
            looked_at = looked_at[np.isin(looked_at % site.units, held) & (site.dictionary == VOXELS)]
        rows = looked_at[active[looked_at] >= min_active]
        rare += len(looked_at) - len(rows)
        found.append((site, rows))
        for row in rows.tolist():
            sign = 1 if row < site.units else -1
            unit = UnitId(cache.subject, site.hookpoint, site.dictionary, row % site.units, sign)
            members.append(Member(unit, texts.get(unit)))
    if not members:
        raise UserError(
            f"Expected units of {run.folder.path} that were active in {min_active} contexts, found none of "
            f"{rare}. Ask for fewer, or collect more tokens."
        )
    return Side(run, members, found, rare)


def _texts(run: Run) -> dict[UnitId, str]:
    """What is said of each unit that has an explanation."""
    return {label.unit: label.explanation.text for label in run.labels() if label.explanation is not None}


def _at(place: Place, where: Sequence[Any], run: Run, what: str) -> list[Any]:
    """Sites or units at that place. Raises UserError where there are none."""
    hookpoint, dictionary, _ = place
    found = [
        each for each in where if hookpoint in (None, each.hookpoint) and dictionary in (None, each.dictionary)
    ]
    if not found:
        wanted = f"{hookpoint or 'any hookpoint'}/{dictionary or 'any dictionary'}"
        known = ", ".join(sorted({f"{each.hookpoint}/{each.dictionary}" for each in where}))
        raise UserError(f"Expected {what} at {wanted}; {run.folder.path} has {known or 'none'}.")
    return found


def sketches(cache: Cache, site: Site) -> list[dict[str, NDArray[Any]]]:
    """The arrays of both halves, mapped."""
    return [read_sketch(sketch_folder(cache.path, None) / f"{site.name}.{half}", mapped=True) for half in HALVES]
