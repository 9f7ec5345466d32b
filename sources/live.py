"""Units on the live subject: where each reads and writes, and its activations on any text.

1. A site's dictionary is opened when it is first used, and put where the subject is.
2. Texts of like length are read together, up to the last hookpoint: one pass for all units.
3. Each dictionary encodes its vectors once for all of its units that are asked for.
4. As in collecting, BOS is no part of a text, no unit is active at a special token, and a side's activation is
   what lies on its side of 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.ids import UnitId, hash64
from neurogloss.records import Context, Example
from neurogloss.sources.cache import Site
from neurogloss.sources.corpus import context_id
from neurogloss.sources.dictionaries import Dictionary, directions_of
from neurogloss.sources.dictionaries.activations import rows_at_once
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.source import DICTIONARIES, open_listener
from neurogloss.sources.subject import Subject
from neurogloss.sources.texts import by_length

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Place:
    """A site's dictionary on the live subject."""

    subject: Subject
    dictionary: Dictionary
    reads: Hookpoint
    writes: Hookpoint
    """What it reconstructs; where it reads, but for transcoders."""

    @cached_property
    def directions(self) -> torch.Tensor:
        """(N, width) that raising each unit by 1 adds where it writes, on the subject's device, in its dtype."""
        return directions_of(self.dictionary).to(self.subject.device, self.subject.model.dtype)

    def direction(self, unit: UnitId) -> torch.Tensor:
        """(width,): the unit's direction times its sign."""
        return self.directions[unit.index] * unit.sign

    def activations(self, vectors: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
        """(T, width) vectors and (T, n) units wanted of each, to (T, n) activations of either sign."""
        import torch

        rows = rows_at_once(self.dictionary.n_units, vectors.device)
        parts = zip(vectors.split(rows), units.split(rows), strict=True)
        return torch.cat([self.dictionary.encode(part).dense().gather(1, wanted) for part, wanted in parts])


class UnitReader:
    """Reads the activations of units on any text."""

    def __init__(self, subject: Subject, sites: Sequence[Site]) -> None:
        self.subject = subject
        self._sites = {(site.hookpoint, site.dictionary): site for site in sites}
        self._open = lru_cache(DICTIONARIES)(self._open_site)

    def examples(self, unit: UnitId, texts: Sequence[str]) -> list[Example]:
        """Each text as one context, cut into the subject's tokens, with the unit's activations.

        Raises:
            UserError: the unit is not one of this subject's, or a text has no token or too many.
        """
        activations = self.activations(unit, texts)
        if () in activations:
            raise UserError("Expected texts of at least one token, found one without. Leave it out.")
        return [Example(self._context(text), values) for text, values in zip(texts, activations, strict=True)]

    def _context(self, text: str) -> Context:
        # What stands before the first token is shown as part of it.
        bounds = [0, *self.subject.tokenize(text).starts[1:], len(text)]
        tokens = tuple(text[a:b] for a, b in pairwise(bounds))
        return Context(f"{context_id(hash64(text), 0):016x}", tokens)

    def activations(self, unit: UnitId, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """For each text one activation a token of `Subject.tokenize`, at least 0, along the unit's sign.

        Raises:
            UserError: the unit is not one of this subject's, or a text is too long for the subject.
        """
        return self.activations_of([unit], texts)[0]

    def activations_of(self, units: Sequence[UnitId], texts: Sequence[str]) -> list[list[tuple[float, ...]]]:
        """The same for several units, of any of the sites: one list of texts a unit."""
        import torch

        rows = [self.subject.tokenize(text).ids for text in texts]
        self._check_lengths(rows)
        found: list[list[tuple[float, ...]]] = [[()] * len(texts) for _ in units]
        places = self._by_place(units)
        hookpoints = list(dict.fromkeys(place.reads for place in places))
        read = [i for i, row in enumerate(rows) if row] if units else []
        for batch in by_length(read, lambda i: len(rows[i]), self.subject.device):
            vectors = self.subject.vectors([rows[i] for i in batch], hookpoints)
            ids = torch.tensor([token for i in batch for token in rows[i]])
            silent = torch.isin(ids, torch.tensor(list(self.subject.special_ids)))
            for place, mine in places.items():
                inside = torch.cat([v[: len(rows[i])] for v, i in zip(vectors[place.reads], batch, strict=True)])
                wanted = torch.tensor([units[j].index for j in mine], device=inside.device)
                signs = torch.tensor([units[j].sign for j in mine])
                with torch.inference_mode():
                    values = place.activations(inside, wanted.expand(len(inside), -1)).float().cpu()
                values = (values * signs).clamp_min(0).masked_fill(silent[:, None], 0)
                for i, part in zip(batch, values.T.split([len(rows[i]) for i in batch], 1), strict=True):
                    for j, row in zip(mine, part.tolist(), strict=True):
                        found[j][i] = tuple(row)
        return found

    def peaks(self, units: Sequence[UnitId], text: str) -> NDArray[np.float32]:
        """Each unit's largest activation on a text, (len(units),), 0 where it has none; few are in memory at once.

        Raises as `activations`.
        """
        import torch

        ids = self.subject.tokenize(text).ids
        self._check_lengths([ids])
        places, found = self._by_place(units), np.zeros(len(units), np.float32)
        spoken = ~torch.isin(torch.tensor(ids, dtype=torch.long), torch.tensor(list(self.subject.special_ids)))
        if not spoken.any():
            return found
        vectors = self.subject.vectors([ids], list(dict.fromkeys(place.reads for place in places)))
        for place, mine in places.items():
            inside = vectors[place.reads][0, : len(ids)][spoken.to(vectors[place.reads].device)]
            wanted = torch.tensor([units[j].index for j in mine], device=inside.device)
            signs = torch.tensor([units[j].sign for j in mine], device=inside.device)
            with torch.inference_mode():
                for part in inside.split(rows_at_once(len(mine), inside.device)):
                    values = place.activations(part, wanted.expand(len(part), -1)).float() * signs
                    found[mine] = np.maximum(found[mine], values.amax(0).cpu().numpy())
        return found

    def _by_place(self, units: Sequence[UnitId]) -> dict[Place, list[int]]:
        """Which of the units are where. Raises UserError where one is not of this subject."""
        places: dict[Place, list[int]] = {}
        for j, unit in enumerate(units):
            places.setdefault(self._place(unit), []).append(j)
        return places

    def _place(self, unit: UnitId) -> Place:
        if unit.subject != self.subject.name:
            raise UserError(f"Expected a unit of {self.subject.name}, found {unit}.")
        site = self._sites.get((unit.hookpoint, unit.dictionary))
        if site is None:
            known = ", ".join("/".join(place) for place in self._sites)
            raise UserError(f"Expected a unit of {known}, found {unit}.")
        site.side(unit)
        return self._open(site)

    def _open_site(self, site: Site) -> Place:
        listener = open_listener(self.subject, site.hookpoint, site.spec)
        return Place(self.subject, listener.dictionary, listener.hookpoint, listener.target)

    def _check_lengths(self, rows: Sequence[Sequence[int]]) -> None:
        limit = getattr(self.subject.model.config.get_text_config(), "max_position_embeddings", None)
        longest = max(map(len, rows), default=0) + (self.subject.bos is not None)
        if limit is not None and longest > limit:
            raise UserError(
                f"Expected texts of at most {limit} tokens, which {self.subject.name} can read, found one of "
                f"{longest}. Cut it into parts."
            )
