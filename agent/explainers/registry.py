"""Explainers by name: the package's own, those of installed packages, and `module:Class`.

An entry is called with `Instruments` and returns an Explainer. Packages offer them in the entry-point group
`neurogloss.explainers`. The path of an .md file is a prompt that is shown what `default` shows. `facets+NAME` and
`ranked+NAME` wrap another explainer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from neurogloss.agent.explainers import views
from neurogloss.agent.explainers.facets import Facets
from neurogloss.agent.explainers.lavca import LaVCa
from neurogloss.agent.explainers.llm import LLMExplainer
from neurogloss.agent.explainers.pattern import PatternExplainer
from neurogloss.agent.explainers.pmi import PMIExplainer, PromotedExplainer, Ranked
from neurogloss.errors import UserError
from neurogloss.protocols import Explainer, Instruments
from neurogloss.registry import Registry

Factory = Callable[[Instruments], Explainer]
Part = TypeVar("Part")


def get(name: str, parts: Instruments) -> Explainer:
    """The explainer of that name.

    Raises:
        UserError: the name is unknown, its class cannot be imported, or it needs a part that the run lacks.
    """
    outer, plus, inner = name.partition("+")
    if plus and outer in _WRAPPERS:
        return _WRAPPERS[outer](parts, inner)
    if name.endswith(".md"):
        return _llm(replace(views.DEFAULT, prompt=name, stimuli=None), parts)
    explainer: Explainer = REGISTRY.find(name)(parts)
    if not callable(getattr(explainer, "candidates", None)):
        found = type(explainer).__name__
        raise UserError(f"Expected {name} to give an explainer, found {found}, which has no candidates().")
    return explainer


def _llm(view: views.View, parts: Instruments) -> Explainer:
    how = "Give one with --llm URL [--model NAME]"
    return LLMExplainer(_need(parts.chat, view.name, "an LLM", how), view, parts.n_candidates)


def _facets(parts: Instruments, inner: str) -> Explainer:
    if inner.rpartition("+")[2] in ("output", "promoted"):
        raise UserError(f"Facets are of what activates a unit, and {inner} explains its output. Use one of them.")
    how = "Pass neurogloss.engines.embedder.MiniLM()"
    return Facets(get(inner, parts), _need(parts.embedder, "facets", "an embedder", how))


def _ranked(parts: Instruments, inner: str) -> Explainer:
    how = "Install one with:  pip install 'neurogloss[subject]'"
    return Ranked(get(inner, parts), _need(parts.causal, "ranked", "a small causal language model", how))


def _lavca(parts: Instruments, keywords_only: bool = False, mined: bool = False) -> Explainer:
    how = "Collect one with:  neurogloss collect-responses RUN"
    readout = _need(parts.readout, "lavca", "a run with responses of voxels", how)
    embedder = _need(parts.embedder, "lavca", "an embedder", "Pass neurogloss.engines.embedder.MiniLM()")
    return LaVCa(embedder, readout, parts.chat, keywords_only, mined)


def _need(part: Part | None, name: str, what: str, how: str) -> Part:
    if part is None:
        raise UserError(f"Expected {what} for the explainer {name}, found none. {how}.")
    return part


def _plain(parts: Instruments) -> str:
    """The plain explainer that these parts can run."""
    return "default" if parts.chat else "pmi"


_WRAPPERS = {"facets": _facets, "ranked": _ranked}
_OWN: dict[str, Factory] = {
    "default": lambda parts: _llm(views.DEFAULT, parts),
    "llm": lambda parts: _llm(views.DEFAULT, parts),
    "contrastive": lambda parts: _llm(views.CONTRASTIVE, parts),
    "pairs": lambda parts: _llm(views.PAIRS, parts),
    "output": lambda parts: _llm(views.output(parts.subject), parts),
    "ensemble": lambda parts: _llm(views.ensemble(parts.subject), parts),
    "pmi": lambda parts: PMIExplainer(parts.causal),
    "pattern": lambda parts: PatternExplainer(parts.embedder),
    "promoted": lambda parts: PromotedExplainer(),
    "facets": lambda parts: _facets(parts, _plain(parts)),
    "ranked": lambda parts: _ranked(parts, _plain(parts)),
    "lavca": _lavca,
    "lavca-keywords": lambda parts: _lavca(parts, keywords_only=True),
    "lavca-mined": lambda parts: _lavca(parts, mined=True),
}
REGISTRY = Registry("an explainer", _OWN, group="neurogloss.explainers", also="module:Class or an .md file")
names = REGISTRY.names
