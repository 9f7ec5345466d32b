"""Which units a user means: `all`, `sample:24`, `0-99,512-`, or full unit ids."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.ids import UnitId, derive_seed
from neurogloss.sources.brain.voxels import shortfalls
from neurogloss.sources.cache import Cache, Site

_INDICES = re.compile(r"(\d+)(-(\d+)?)?")
Place = tuple[str, str]
"""Hookpoint and dictionary."""
PLACE = 40
"""Bits of a unit's code below its place's number."""


class Selection(Sequence[UnitId]):
    """Units of one subject, sorted, without duplicates: eight bytes each, so that a million are no burden."""

    def __init__(self, subject: str, codes: Mapping[Place, NDArray[np.int64]]) -> None:
        """`codes`: for each place, index * 2 + (1 on the positive side) of its units."""
        self._subject, self._places = subject, sorted(codes)
        self._codes = np.concatenate(
            [np.unique(codes[place]) + (i << PLACE) for i, place in enumerate(self._places)]
        )

    @classmethod
    def of(cls, subject: str, units: Iterable[UnitId]) -> Selection:
        """These units, all of `subject`."""
        codes: defaultdict[Place, list[int]] = defaultdict(list)
        for unit in units:
            codes[unit.hookpoint, unit.dictionary].append(unit.index * 2 + (unit.sign > 0))
        return cls(subject, {place: np.array(found, np.int64) for place, found in codes.items()})

    def __len__(self) -> int:
        return len(self._codes)

    @overload
    def __getitem__(self, at: int) -> UnitId: ...
    @overload
    def __getitem__(self, at: slice) -> list[UnitId]: ...
    def __getitem__(self, at: int | slice) -> UnitId | list[UnitId]:
        found = self._codes[at]
        return self._unit(int(found)) if isinstance(at, int) else list(map(self._unit, found.tolist()))

    def _unit(self, code: int) -> UnitId:
        index, positive = divmod(code & ((1 << PLACE) - 1), 2)
        return UnitId(self._subject, *self._places[code >> PLACE], index, 1 if positive else -1)


def select(cache: Cache, spec: str, min_active: int, seed: int) -> Selection:
    """The units of a cache that `spec` means.

    `all` is every unit, alive or not. `sample:N` draws N at random from all that are alive and, of voxels,
    predicted above chance: the first N of one order, so that a larger sample holds the smaller one. `7` and `0-99`
    are indices at every hookpoint, positive side; `7-` is the negative side. Full ids may be mixed in.

    Raises:
        UserError: what cannot be read, an index out of range, or more sampled than are alive.
    """
    if spec == "all":
        return Selection(cache.subject, {(s.hookpoint, s.dictionary): _all(s) for s in cache.sites})
    if spec.startswith("sample:"):
        return Selection.of(cache.subject, _sample(cache, spec.removeprefix("sample:"), min_active, seed))
    units: list[UnitId] = []
    for part in filter(None, (part.strip() for part in spec.split(","))):
        units += _read(cache, part)
    if not units:
        raise UserError(f"Expected units such as all, sample:24, 0-99 or 512-; found {spec!r}.")
    for unit in units:
        cache.side(unit)
    return Selection.of(cache.subject, units)


def _all(site: Site) -> NDArray[np.int64]:
    positive = 2 * np.arange(site.units, dtype=np.int64) + 1
    return np.concatenate([positive, positive - 1]) if site.signed else positive


def _sample(cache: Cache, number: str, min_active: int, seed: int) -> list[UnitId]:
    shortfall = shortfalls(cache)
    alive = [unit for unit in cache.alive(min_active) if not shortfall(unit)]
    if not number.isdecimal() or not 0 < int(number) <= len(alive):
        raise UserError(f"Expected sample:N with N from 1 to the {len(alive)} units alive, found sample:{number}.")
    rng = np.random.default_rng(derive_seed(seed, "sample"))
    return [alive[i] for i in rng.permutation(len(alive))[: int(number)]]


def _read(cache: Cache, part: str) -> list[UnitId]:
    if "/" in part:
        try:
            return [UnitId.parse(part)]
        except ValueError as error:
            raise UserError(f"{error}.") from None
    found = _INDICES.fullmatch(part)
    if not found or int(found[1]) > int(found[3] or found[1]):
        raise UserError(f"Expected units such as all, sample:24, 0-99 or 512-; found {part!r}.")
    first, last, sign = int(found[1]), int(found[3] or found[1]), -1 if found[2] == "-" else 1
    units: list[UnitId] = []
    for site in cache.sites:
        end = UnitId(cache.subject, site.hookpoint, site.dictionary, last, sign)
        cache.side(end)  # before a list is made that may be long
        units += [UnitId(cache.subject, site.hookpoint, site.dictionary, i, sign) for i in range(first, last + 1)]
    return units
