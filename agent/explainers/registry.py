"""The explainers by name.

A name is one of those here, of an entry point of the group `neurogloss.explainers`, or `module:Class`; what
stands behind it is called with the Parts and gives an Explainer. The path of an .md file is a prompt of one's
own that shows what `default` shows. `facets+NAME` and `ranked+NAME` wrap another explainer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import entry_points
from typing import TypeVar

from neurogloss.agent.explainers import views
from neurogloss.agent.explainers.facets import Facets
from neurogloss.agent.explainers.lavca import LaVCa
from neurogloss.agent.explainers.llm import LLMExplainer
from neurogloss.agent.explainers.pmi import PMIExplainer, Ranked
from neurogloss.agent.explainers.promoted import PromotedExplainer
from neurogloss.errors import UserError, first_line
from neurogloss.llm import CausalModel, ChatModel
from neurogloss.protocols import Embedder, Explainer, LiveSubject
from neurogloss.voxels import ReadoutOf

GROUP = "neurogloss.explainers"
"""Entry points of other packages."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What explainers may be made of; None is what is not there."""

    chat: ChatModel | None = None
    causal: CausalModel | None = None
    embedder: Embedder | None = None
    subject: Callable[[], LiveSubject] | None = None
    readout: ReadoutOf | None = None
    n: int = 3
    """Explanations asked of an LLM."""
    seed: int = 0


Factory = Callable[[Parts], Explainer]
Part = TypeVar("Part")


def names() -> tuple[str, ...]:
    """The explainers that can be asked for by name, those of other packages last."""
    return (*_OWN, *sorted({point.name for point in entry_points(group=GROUP)} - set(_OWN)))


def get(name: str, parts: Parts) -> Explainer:
    """The explainer of that name.

    Raises:
        UserError: there is none, it cannot be loaded, or it needs a part that is not there.
    """
    outer, plus, inner = name.partition("+")
    if plus and outer == "facets":
        return _facets(parts, inner)
    if plus and outer == "ranked":
        return _ranked(parts, inner)
    if name.endswith(".md"):
        return _llm(replace(views.DEFAULT, prompt=name, stimuli=None), parts)
    if name in _OWN:
        return _OWN[name](parts)
    explainer = _load(name)(parts)
    if not callable(getattr(explainer, "candidates", None)):
        found = type(explainer).__name__
        raise UserError(f"Expected {name} to give an explainer, found {found}, which has no candidates().")
    return explainer


def _load(name: str) -> Factory:
    """What an entry point or `module:Class` names."""
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    module, _, attribute = name.partition(":")
    if not found and not (module and attribute):
        known = ", ".join(names())
        raise UserError(f"Expected an explainer ({known}), module:Class or an .md file; found {name!r}.")
    try:
        factory: Factory = found[0].load() if found else getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"The explainer {name} cannot be loaded: {first_line(error)}. Is it installed?") from error
    return factory


def _llm(view: views.View, parts: Parts) -> Explainer:
    how = "Give one with --llm URL [--model NAME]"
    return LLMExplainer(_need(parts.chat, view.name, "an LLM", how), view, parts.n)


def _facets(parts: Parts, inner: str) -> Explainer:
    if inner.rpartition("+")[2] in ("output", "promoted"):
        raise UserError(f"Facets are of what activates a unit, and {inner} explains its output. Use one of them.")
    how = "Pass neurogloss.engines.embedder.MiniLM()"
    return Facets(get(inner, parts), _need(parts.embedder, "facets", "an embedder", how))


def _ranked(parts: Parts, inner: str) -> Explainer:
    how = "Install one with:  pip install 'neurogloss[subject]'"
    return Ranked(get(inner, parts), _need(parts.causal, "ranked", "a small causal language model", how))


def _lavca(parts: Parts, keywords_only: bool = False, mined: bool = False) -> Explainer:
    how = "Collect one with:  neurogloss collect-responses RUN"
    readout = _need(parts.readout, "lavca", "a run with responses of voxels", how)
    embedder = _need(parts.embedder, "lavca", "an embedder", "Pass neurogloss.engines.embedder.MiniLM()")
    return LaVCa(embedder, readout, parts.chat, keywords_only, mined)


def _need(part: Part | None, name: str, what: str, how: str) -> Part:
    if part is None:
        raise UserError(f"Expected {what} for the explainer {name}, found none. {how}.")
    return part


def _plain(parts: Parts) -> str:
    """The plain explainer that what is there can run."""
    return "default" if parts.chat else "pmi"


_OWN: dict[str, Factory] = {
    "default": lambda parts: _llm(views.DEFAULT, parts),
    "llm": lambda parts: _llm(views.DEFAULT, parts),
    "contrastive": lambda parts: _llm(views.CONTRASTIVE, parts),
    "pairs": lambda parts: _llm(views.PAIRS, parts),
    "output": lambda parts: _llm(views.output(parts.subject), parts),
    "ensemble": lambda parts: _llm(views.ensemble(parts.subject), parts),
    "pmi": lambda parts: PMIExplainer(parts.causal),
    "promoted": lambda parts: PromotedExplainer(),
    "facets": lambda parts: _facets(parts, _plain(parts)),
    "ranked": lambda parts: _ranked(parts, _plain(parts)),
    "lavca": _lavca,
    "lavca-keywords": lambda parts: _lavca(parts, keywords_only=True),
    "lavca-mined": lambda parts: _lavca(parts, mined=True),
}
