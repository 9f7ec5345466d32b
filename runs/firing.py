"""Which units fire on a text.

1. The live subject reads the text once; every dictionary of the run encodes what it reads once.
2. Of each unit the largest activation on the text is compared with the unit's threshold: at most that, and it is
   left out.
3. The rest are ordered by that activation as a share of the largest that collecting saw: units differ in scale.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurogloss.agent.models import text_settings
from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.records import Example, Label
from neurogloss.sources.cache import Cache
from neurogloss.sources.loading import require_subject_packages

if TYPE_CHECKING:
    from neurogloss.sources.live import UnitReader


@dataclass(frozen=True, slots=True)
class Firing:
    """A unit that fires on a text."""

    unit: UnitId
    share: float
    """Its largest activation on the text over the largest in the corpus; NaN where it never fired there."""
    example: Example
    """The text, with its activations."""
    label: Label | None = None
    """None where it has none."""


def _load(cache: Cache) -> UnitReader:
    """The run's subject. Raises UserError as `firing`."""
    settings = text_settings(cache)
    require_subject_packages()
    from neurogloss.sources.live import UnitReader
    from neurogloss.sources.subject import Subject

    return UnitReader(Subject.of(settings), cache.sites)


def firing(
    cache: Cache,
    text: str,
    k: int = 10,
    units: Collection[UnitId] | None = None,
    reader: UnitReader | None = None,
) -> list[Firing]:
    """The k units that fire most on the text, of all or of `units`.

    Args:
        reader: the run's subject; None: it is loaded.

    Raises:
        UserError: torch is not installed, the run is not over texts, or the text has no token or too many.
    """
    reader = reader or _load(cache)
    asked = [unit for unit in cache.units() if units is None or unit in units]
    if not reader.subject.tokenize(text).ids:
        raise UserError("Expected a text of at least one token, found one without. Give some words.")
    peaks = dict(zip(asked, reader.peaks(asked, text).tolist(), strict=True))
    shares = {}
    for unit, peak in peaks.items():
        if peak > 0:
            seen = cache.statistics(unit)
            if peak > seen.threshold:
                shares[unit] = peak / seen.maximum if seen.maximum > 0 else math.nan
    # What never fired in the corpus comes last: there is nothing to compare it with.
    first = sorted(shares, key=lambda unit: (math.isnan(shares[unit]), -shares[unit], unit))[:k]
    return [Firing(unit, shares[unit], reader.examples(unit, [text])[0]) for unit in first]
