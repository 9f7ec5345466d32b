"""Which units a user means: `all`, `sample:24`, `0-99,512-`, or full unit ids."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from neurogloss.errors import UserError
from neurogloss.ids import UnitId, derive_seed
from neurogloss.sources.cache import Cache

_INDICES = re.compile(r"(\d+)(-(\d+)?)?")


def select(cache: Cache, spec: str, min_active: int, seed: int) -> list[UnitId]:
    """The units of a cache that `spec` means, sorted, without duplicates.

    `all` is every unit, alive or not. `sample:N` draws N at random from all that are alive, the first N of one
    order, so that a larger sample holds the smaller one. `7` and `0-99` are indices at every hookpoint, positive
    side; `7-` is the negative side. Full ids may be mixed in.

    Raises:
        UserError: what cannot be read, an index out of range, or more sampled than are alive.
    """
    if spec == "all":
        return sorted(cache.units())
    if spec.startswith("sample:"):
        return _sample(cache, spec.removeprefix("sample:"), min_active, seed)
    units: list[UnitId] = []
    for part in filter(None, (part.strip() for part in spec.split(","))):
        units += _read(cache, part)
    if not units:
        raise UserError(f"Expected units such as all, sample:24, 0-99 or 512-; found {spec!r}.")
    for unit in units:
        cache.side(unit)
    return sorted(set(units))


def _sample(cache: Cache, number: str, min_active: int, seed: int) -> list[UnitId]:
    alive = cache.alive(min_active)
    if not number.isdecimal() or not 0 < int(number) <= len(alive):
        raise UserError(f"Expected sample:N with N from 1 to the {len(alive)} units alive, found sample:{number}.")
    rng = np.random.default_rng(derive_seed(seed, "sample"))
    return sorted(alive[i] for i in rng.permutation(len(alive))[: int(number)])


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
        units += [replace(end, index=index) for index in range(first, last + 1)]
    return units
