"""Planted units labelled by the project's own batch, and how right their labels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.planted.oracle import Oracle
from benchmarks.planted.rules import Rule
from benchmarks.planted.run import texts_of, unit_id
from benchmarks.planted.subject import PlantedSubject
from benchmarks.planted.units import Unit, rule_of
from neurogloss.agent import methods
from neurogloss.agent.models import Models
from neurogloss.engines.usage import RecordedModel
from neurogloss.protocols import LiveSubject, Quiet
from neurogloss.runs.label import label_units
from neurogloss.runs.stages import LocalStages
from neurogloss.runs.sweep import Sweeps
from neurogloss.settings import LabelSettings, make
from neurogloss.sources.cache import Cache
from neurogloss.store.ledger import Ledger

RIGHT = 0.9
"""Least F1 of a label that is right by extension."""
MEMORY = 400
"""Texts of the explain half that the oracle can write."""


@dataclass(frozen=True)
class Labelled:
    """The planted units under one way of labelling."""

    texts: tuple[str, ...]
    """One a unit: its explanation, empty where it has none."""
    exact: tuple[bool, ...]
    """Whether the text names the unit's rule."""
    by_extension: tuple[bool, ...]
    """Whether the rule that it names agrees with the unit's on held-out text."""
    tokens: float
    """Spent on explaining, mean over units."""


class PlantedModels(Models):
    """The models of a planted run: its subject goes by rule."""

    def __init__(self, cache: Cache, settings: LabelSettings, planted: Sequence[Unit]) -> None:
        super().__init__(cache, settings, Quiet())
        self._planted = planted

    @cached_property
    def live(self) -> LiveSubject:
        return PlantedSubject(self._planted, texts_of(self._cache, "explain"))


async def label(
    cache: Cache,
    planted: Sequence[Unit],
    ledger: Path,
    error: float = 0.0,
    among: Sequence[int] | None = None,
    **values: Any,
) -> Labelled:
    """Label the units with the oracle.

    Args:
        planted: all that the cache was collected from.
        ledger: file to write.
        error: the oracle's, as a judge.
        among: numbers of the units to be labelled; None: all.
        values: settings of the labelling.
    """
    settings = make(LabelSettings, {"llm": "oracle", "scorers": ("detection", "fuzzing"), **values})
    chosen = range(len(planted)) if among is None else among
    models = PlantedModels(cache, settings, planted)
    chat = RecordedModel(Oracle(error, settings.seed, texts_of(cache, "explain")[:MEMORY]))
    method = methods.build(settings, cache, models, chat)
    with Ledger(ledger) as opened:
        sweeps = Sweeps(opened, method.id, settings, [unit_id(i) for i in chosen], Quiet())
        await label_units(sweeps, method, cache, LocalStages(cache, models, settings, method))
        labels = [opened.label(unit_id(i), method.id) for i in chosen]
        tokens = opened.usage(method.id)["explain"].tokens
    texts = [
        each.explanation.text if each and each.explanation else each.reason if each else "" for each in labels
    ]
    named, rules = [rule_of(text) for text in texts], [planted[i].rule for i in chosen]
    held_out = texts_of(cache, "score")
    pairs = list(zip(named, rules, strict=True))
    return Labelled(
        tuple(texts),
        tuple(same(found, rule) for found, rule in pairs),
        tuple(agreement(found, rule, held_out) >= RIGHT for found, rule in pairs),
        tokens / len(rules),
    )


def same(found: Rule | None, rule: Rule) -> bool:
    """Whether they are one rule; parts may stand in any order."""
    return found is not None and set(found.parts or (found,)) == set(rule.parts or (rule,))


def agreement(found: Rule | None, rule: Rule, texts: Sequence[str]) -> float:
    """F1 of the tokens at which one is active against those of the other, in [0, 1]; 0 where nothing was found."""
    if found is None or same(found, rule):
        return float(found is not None)
    both = total = 0
    for text in texts:
        mine, theirs = found.positions(text), rule.positions(text)
        both += len(mine & theirs)
        total += len(mine) + len(theirs)
    return 2 * both / total if total else 0.0
